//! One run: a server, the load on it, and the measurements of both.

#![expect(clippy::disallowed_methods, reason = "context switches are counted per second")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::child::{Child, StartError};
use super::cores::Cores;
use super::error::CompareError;
use super::options::{CompareOptions, Workload};
use super::plan::{Load, Step};
use super::process_stats::{ProcessStats, Processes, Switches, cpu_us_of};
use super::stop_request::StopRequest;
use crate::load::error_kind::OpenLimit;
use crate::load::options::LoadOptions;
use crate::load::output::ending;
use crate::load::stats::ending::Failed;
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::{Outcome, Summary};
use crate::load::{self, Observer};
use crate::service::endpoint::Endpoint;

/// The measurements of a run. A value that could not be measured is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) rate: f64,
    pub(super) cpu_us_per_message: Option<f64>,
    /// Response times in microseconds.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) p99_9: Option<f64>,
    /// Memory with all connections open, in bytes.
    pub(super) user_bytes: Option<f64>,
    /// Growth of kernel memory since before they were opened, in bytes.
    pub(super) kernel_stack_bytes: Option<f64>,
    pub(super) slab_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    /// Context switches a second.
    pub(super) voluntary: Option<f64>,
    pub(super) involuntary: Option<f64>,
    pub(super) opened: u64,
    /// Connections that were lost after they were open.
    pub(super) lost: u64,
    pub(super) failed: u64,
    pub(super) limited_by: Option<OpenLimit>,
    pub(super) generator_busy: f64,
    pub(super) generator_cpu_seconds: f64,
    pub(super) lag_p99: Option<f64>,
    /// Why the results describe the generator and not the server.
    pub(super) invalid: Option<InvalidReason>,
    /// How the server failed, if it ended, closed its connections or stopped replying during the run. The other values
    /// mean nothing then.
    pub(super) server_failed: Option<String>,
}

/// Runs `step`, at `rate` messages a second in an open loop. It takes `left` at most, see
/// [`timeout`]. Returns `None` if a signal ended the run, of which `stopping` is called at once.
pub(super) fn measure(
    step: &Step,
    rate: Option<u64>,
    left: Duration,
    options: &CompareOptions,
    cores: &Cores,
    signals: &StopRequest,
    stopping: &mut dyn FnMut(),
) -> Result<Option<Sample>, CompareError> {
    let stack_bytes = match step.scenario.load {
        Load::Stack(bytes) => Some(bytes),
        Load::Closed | Load::Open | Load::Percent(_) => None,
    };
    let timeout = timeout(left, options);
    let start = || Child::start(&options.program, options.service, step.server, stack_bytes, timeout);
    let started = cores.as_server(start);
    let mut child = match started {
        Ok(child) => child,
        Err(StartError::Ended(how)) => {
            return Ok(Some(Sample { server_failed: Some(how), ..Sample::default() }));
        }
        Err(StartError::Failed(line)) => return Err(CompareError::NoServer(line)),
    };
    // From here on, the load generator handles the signals.
    if signals.is_requested() {
        stopping();
        return Ok(None);
    }
    let processes = child.processes();
    let pids = processes.now();
    let counters = Counters { before: ProcessStats::read(&pids), ..Counters::default() };
    let mut observer = ServerObserver { processes, pids, counters, signals, stopping };
    // The generator may spin on a processor of its own.
    let spin = cores.split.is_some();
    let load = LoadOptions { spin, timeout, ..load_options(step, rate, options, child.address) };
    let load = LoadOptions { drain_timeout: load.drain_timeout.min(timeout), ..load };
    let outcome = load::run(&load, &mut observer).map_err(CompareError::NoLoad)?;
    if outcome.summary.interrupted {
        return Ok(None);
    }
    let sample = sample(step, &outcome, &observer.counters);
    // How the process ended is more precise than what the generator has noticed.
    Ok(Some(Sample { server_failed: child.exit_reason().or(sample.server_failed), ..sample }))
}

fn load_options(step: &Step, rate: Option<u64>, options: &CompareOptions, server: SocketAddr) -> LoadOptions {
    let endpoint =
        Endpoint { host: server.ip().to_string(), port: server.port(), ..Endpoint::of(options.service) };
    let connections = step.scenario.connections;
    let all = LoadOptions {
        connections,
        duration: options.duration,
        warmup: options.warmup,
        rate,
        ..LoadOptions::of(endpoint.into())
    };
    match step.scenario.workload {
        Workload::AllActive => all,
        Workload::FewActive => LoadOptions { active: Some((connections / 100).max(1)), ..all },
        Workload::Churn => LoadOptions { one_shot: true, ..all },
        Workload::LargeBodies => LoadOptions { body_bytes: LARGE_BYTES, ..all },
        Workload::Pipelined => LoadOptions { pipeline: PIPELINE, ..all },
    }
}

/// Reads the statistics of the server at the phases of a run.
struct ServerObserver<'a> {
    processes: Processes,
    /// Those that existed when all connections were open.
    pids: Vec<u32>,
    counters: Counters,
    signals: &'a StopRequest,
    stopping: &'a mut dyn FnMut(),
}

/// The statistics of the server at the phases of a run.
#[derive(Default)]
struct Counters {
    before: ProcessStats,
    driving: Option<(Instant, Switches)>,
    cpu_us: [Option<f64>; 2],
    over: Option<(Instant, ProcessStats)>,
}

impl Observer for ServerObserver<'_> {
    fn driving(&mut self) {
        self.pids = self.processes.now();
        let stats = ProcessStats::read(&self.pids);
        self.counters.driving = Some((Instant::now(), stats.switches));
    }

    // Between these two, nothing slow may run, since messages are in flight.
    fn measuring(&mut self) {
        self.counters.cpu_us[0] = cpu_us_of(&self.pids);
    }

    fn measured(&mut self) {
        self.counters.cpu_us[1] = cpu_us_of(&self.pids);
        if self.signals.is_requested() {
            (self.stopping)();
        }
    }

    fn finished(&mut self) {
        // The statistics of thousands of threads take a while, and a run that was ended early does not count.
        if self.signals.is_requested() {
            (self.stopping)();
        } else {
            self.counters.over = Some((Instant::now(), ProcessStats::read(&self.pids)));
        }
    }
}

fn sample(step: &Step, outcome: &Outcome, counters: &Counters) -> Sample {
    let summary = &outcome.summary;
    let response = &summary.latency_us.response;
    let over = counters.over.map(|(_, stats)| stats).unwrap_or_default();
    // The kernel's memory is that of the whole machine, and other programs may have released some.
    let growth = |of: fn(&ProcessStats) -> Option<f64>| {
        Some(of(&over)? - of(&counters.before)?).filter(|bytes| *bytes >= 0.0)
    };
    let messages = summary.messages.rate * summary.duration_seconds;
    let [began, ended] = counters.cpu_us;
    let used_us = ended.zip(began).map(|(ended, began)| ended - began);
    // The switches of threads that have ended are not known.
    let switches = counters.driving.zip(counters.over).filter(|_| step.scenario.workload != Workload::Churn);
    let per_second = |of: fn(&Switches) -> f64| {
        let ((began, before), (over, stats)) = switches?;
        let seconds = over.saturating_duration_since(began).as_secs_f64();
        (seconds > 0.0).then(|| (of(&stats.switches) - of(&before)) / seconds).filter(|rate| *rate >= 0.0)
    };
    Sample {
        rate: summary.messages.rate,
        cpu_us_per_message: used_us.filter(|_| messages >= 1.0).map(|us| us / messages),
        p50: response.p50,
        p99: response.p99,
        p99_9: response.p99_9,
        user_bytes: over.user_bytes,
        kernel_stack_bytes: growth(|stats| stats.kernel_stack_bytes),
        slab_bytes: growth(|stats| stats.slab_bytes),
        threads: over.threads,
        voluntary: per_second(|switches| switches.voluntary),
        involuntary: per_second(|switches| switches.involuntary),
        opened: match step.scenario.workload {
            Workload::Churn => summary.connections.opened,
            // A refused connection was open for a moment.
            Workload::AllActive | Workload::FewActive | Workload::LargeBodies | Workload::Pipelined => {
                summary.connections.opened.saturating_sub(summary.connections.lost)
            }
        },
        lost: summary.connections.lost,
        failed: summary.messages.failed + summary.messages.unanswered,
        limited_by: summary.connections.limited_by,
        generator_busy: summary.generator.busy,
        generator_cpu_seconds: summary.generator.cpu_seconds,
        lag_p99: summary.schedule_lag_us.p99,
        invalid: summary.why_invalid,
        server_failed: server_failure(summary),
    }
}

/// How the server failed during the run. A run without replies has a mark of its own.
fn server_failure(summary: &Summary) -> Option<String> {
    match summary.failed? {
        Failed::ServerGone | Failed::WrongReplies | Failed::StoppedReplying => ending::failure(summary),
        Failed::NoConnection | Failed::NothingAcknowledged => None,
    }
}

/// The timeout of each of the waits of a run, so that all of it takes `left` at most.
pub(super) fn timeout(left: Duration, options: &CompareOptions) -> Duration {
    let spare = left.saturating_sub(options.warmup + options.duration);
    (spare / WAITS).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
}

/// What a run waits for: that the server starts, connections, and outstanding replies.
pub(super) const WAITS: u32 = 3;

pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A run does not begin if less is left for each of its waits.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// Bytes of a large body.
const LARGE_BYTES: usize = 64 << 10;

/// Messages in flight on a pipelined connection.
const PIPELINE: u32 = 16;

#[cfg(test)]
mod tests {
    use super::super::plan::Scenario;
    use super::*;
    use crate::compare::server::Server;
    use crate::load::Times;
    use crate::load::stats::ending::{EndedEarly, Stage};
    use crate::service::echo;

    #[test]
    fn a_further_service_is_driven_by_the_workloads_that_its_texts_allow() {
        let options =
            CompareOptions { service: &echo::DEFINITION, ..CompareOptions::full("loopline".into()) };
        for workload in Workload::ALL {
            let scenario = Scenario { workload, connections: 100, load: Load::Closed };
            let step = Step { scenario, server: Server::Loop, repeat: 0 };
            let load = load_options(&step, None, &options, "127.0.0.1:4000".parse().unwrap());
            assert_eq!(load.target.to_string(), "echo=127.0.0.1:4000");
            assert_eq!(load.check().is_err(), workload == Workload::LargeBodies, "{workload:?}");
        }
    }

    fn stats(user: f64, stacks: f64, slab: f64, switches: f64) -> ProcessStats {
        ProcessStats {
            user_bytes: Some(user),
            threads: Some(4.0),
            switches: Switches { voluntary: switches, involuntary: switches / 10.0 },
            kernel_stack_bytes: Some(stacks),
            slab_bytes: Some(slab),
        }
    }

    /// A run of two seconds with 1,000 messages a second.
    fn measured(workload: Workload, before: ProcessStats, after: ProcessStats) -> Sample {
        measured_with(Summary::sample(), workload, before, after)
    }

    fn measured_with(
        mut summary: Summary,
        workload: Workload,
        before: ProcessStats,
        after: ProcessStats,
    ) -> Sample {
        (summary.messages.rate, summary.duration_seconds) = (1000.0, 2.0);
        let outcome = Outcome { summary, seconds: Vec::new(), times: Times::new() };
        let began = Instant::now();
        let counters = Counters {
            before,
            driving: Some((began, before.switches)),
            cpu_us: [Some(7_000_000.0), Some(7_010_000.0)],
            over: Some((began + Duration::from_secs(4), after)),
        };
        let scenario = Scenario { workload, connections: 10, load: Load::Closed };
        sample(&Step { scenario, server: Server::Loop, repeat: 0 }, &outcome, &counters)
    }

    #[test]
    fn the_server_is_measured_from_the_first_message_to_the_last() {
        let (signals, own) = (StopRequest::listen().unwrap(), std::process::id());
        let mut stopping = || panic!("nothing was requested");
        let mut observer = ServerObserver {
            processes: Processes::Server(own),
            pids: Vec::new(),
            counters: Counters::default(),
            signals: &signals,
            stopping: &mut stopping,
        };
        observer.driving();
        observer.measuring();
        observer.measured();
        observer.finished();
        let Counters { driving, cpu_us, over, .. } = observer.counters;
        assert_eq!(observer.pids, [own]);
        assert!(driving.is_some() && over.is_some_and(|(_, stats)| stats.threads.is_some()));
        assert!(cpu_us[0].is_some() && cpu_us[0] <= cpu_us[1], "{cpu_us:?}");
    }

    #[test]
    fn what_was_there_before_the_run_is_not_counted() {
        let it = measured(Workload::AllActive, stats(1e5, 5e6, 9e7, 300.0), stats(3e5, 6e6, 9.2e7, 700.0));
        assert_eq!(it.cpu_us_per_message, Some(5.0));
        assert_eq!((it.kernel_stack_bytes, it.slab_bytes), (Some(1e6), Some(2e6)));
        assert_eq!((it.voluntary, it.involuntary), (Some(100.0), Some(10.0)));
        assert_eq!((it.user_bytes, it.threads), (Some(3e5), Some(4.0)));
    }

    #[test]
    fn a_failure_of_the_server_that_the_generator_has_noticed_is_one_of_the_sample() {
        let failed = |reason| {
            let mut summary = Summary::sample();
            (summary.failed, summary.last_reply_seconds) = (reason, Some(0.5));
            (summary.ended_early, summary.ended_in) = (Some(EndedEarly::ServerGone), Some(Stage::Measuring));
            let [before, after] = [(); 2].map(|()| ProcessStats::default());
            measured_with(summary, Workload::AllActive, before, after).server_failed
        };
        assert_eq!(failed(None), None);
        let gone = failed(Some(Failed::ServerGone)).unwrap();
        assert!(gone.ends_with(": the server went away"), "{gone}");
        let stopped = failed(Some(Failed::StoppedReplying)).unwrap();
        assert!(stopped.starts_with("the server stopped replying at 500 ms of "), "{stopped}");
        assert_eq!(failed(Some(Failed::NothingAcknowledged)), None, "the rate of 0 has its own mark");
    }

    #[test]
    fn what_other_programs_have_released_is_not_known() {
        let it = measured(Workload::AllActive, stats(1e5, 5e6, 9e7, 300.0), stats(3e5, 4e6, 8e7, 200.0));
        assert_eq!((it.kernel_stack_bytes, it.slab_bytes), (None, None));
        assert_eq!((it.voluntary, it.involuntary), (None, None));
    }
}
