//! One run: a server, the load on it, and the measurements of both.

#![expect(clippy::disallowed_methods, reason = "context switches are counted per second")]

use std::net::SocketAddr;
use std::time::Instant;

use super::child::{Child, StartError};
use super::cores::Cores;
use super::error::CompareError;
use super::options::{CompareOptions, Workload};
use super::plan::{Load, Step};
use super::process_stats::{ProcessStats, Switches, cpu_us};
use super::stop_request::StopRequest;
use crate::load::error_kind::OpenLimit;
use crate::load::options::LoadOptions;
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::Outcome;
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
    pub(super) failed: u64,
    pub(super) limited_by: Option<OpenLimit>,
    pub(super) generator_busy: f64,
    pub(super) generator_cpu_seconds: f64,
    pub(super) lag_p99: Option<f64>,
    /// Why the results describe the generator and not the server.
    pub(super) invalid: Option<InvalidReason>,
    /// How the server ended, if it ended before the run; the other values mean nothing then.
    pub(super) server_ended: Option<String>,
}

/// Runs `step`, at `rate` messages a second in an open loop. Returns `None` if a signal ended the run.
pub(super) fn measure(
    step: &Step,
    rate: Option<u64>,
    options: &CompareOptions,
    cores: &Cores,
    signals: &StopRequest,
) -> Result<Option<Sample>, CompareError> {
    let stack_bytes = match step.scenario.load {
        Load::Stack(bytes) => Some(bytes),
        Load::Closed | Load::Open | Load::Percent(_) => None,
    };
    let started =
        cores.as_server(|| Child::start(&options.program, options.service, step.model, stack_bytes));
    let mut child = match started {
        Ok(child) => child,
        Err(StartError::Killed(by)) => {
            return Ok(Some(Sample { server_ended: Some(by), ..Sample::default() }));
        }
        Err(StartError::Failed(line)) => return Err(CompareError::NoServer(line)),
    };
    // From here on, the load generator handles the signals.
    if signals.is_requested() {
        return Ok(None);
    }
    let pid = child.pid();
    let mut observer = ServerObserver { pid, before: ProcessStats::read(pid), ..ServerObserver::default() };
    // The generator may spin on a processor of its own.
    let spin = cores.split.is_some();
    let load_options = LoadOptions { spin, ..load_options(step, rate, options, child.address) };
    let outcome = load::run(&load_options, &mut observer).map_err(CompareError::NoLoad)?;
    if outcome.summary.interrupted {
        return Ok(None);
    }
    Ok(Some(Sample { server_ended: child.exit_reason(), ..sample(step, &outcome, &observer) }))
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
#[derive(Default)]
struct ServerObserver {
    pid: u32,
    before: ProcessStats,
    driving: Option<(Instant, Switches)>,
    cpu_us: [Option<f64>; 2],
    over: Option<(Instant, ProcessStats)>,
}

impl Observer for ServerObserver {
    fn driving(&mut self) {
        let stats = ProcessStats::read(self.pid);
        self.driving = Some((Instant::now(), stats.switches));
    }

    // Between these two, nothing slow may run, since messages are in flight.
    fn measuring(&mut self) {
        self.cpu_us[0] = cpu_us(self.pid);
    }

    fn measured(&mut self) {
        self.cpu_us[1] = cpu_us(self.pid);
    }

    fn finished(&mut self) {
        let at = Instant::now();
        self.over = Some((at, ProcessStats::read(self.pid)));
    }
}

fn sample(step: &Step, outcome: &Outcome, observer: &ServerObserver) -> Sample {
    let summary = &outcome.summary;
    let response = &summary.latency_us.response;
    let over = observer.over.map(|(_, stats)| stats).unwrap_or_default();
    let growth = |of: fn(&ProcessStats) -> Option<f64>| Some(of(&over)? - of(&observer.before)?);
    let messages = summary.messages.rate * summary.duration_seconds;
    let [began, ended] = observer.cpu_us;
    let used_us = ended.zip(began).map(|(ended, began)| ended - began);
    // The switches of threads that have ended are not known.
    let switches = observer.driving.zip(observer.over).filter(|_| step.scenario.workload != Workload::Churn);
    let per_second = |of: fn(&Switches) -> f64| {
        let ((began, before), (over, stats)) = switches?;
        let seconds = over.saturating_duration_since(began).as_secs_f64();
        (seconds > 0.0).then(|| (of(&stats.switches) - of(&before)) / seconds)
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
        failed: summary.messages.failed + summary.messages.unanswered,
        limited_by: summary.connections.limited_by,
        generator_busy: summary.generator.busy,
        generator_cpu_seconds: summary.generator.cpu_seconds,
        lag_p99: summary.schedule_lag_us.p99,
        invalid: summary.why_invalid,
        server_ended: None,
    }
}

/// Bytes of a large body.
const LARGE_BYTES: usize = 64 << 10;

/// Messages in flight on a pipelined connection.
const PIPELINE: u32 = 16;

#[cfg(test)]
mod tests {
    use super::super::plan::Scenario;
    use super::*;
    use crate::server::options::Model;
    use crate::service::echo;

    #[test]
    fn a_further_service_is_driven_by_the_workloads_that_its_texts_allow() {
        let options =
            CompareOptions { service: &echo::DEFINITION, ..CompareOptions::full("loopline".into()) };
        for workload in Workload::ALL {
            let scenario = Scenario { workload, connections: 100, load: Load::Closed };
            let step = Step { scenario, model: Model::Loop, repeat: 0 };
            let load = load_options(&step, None, &options, "127.0.0.1:4000".parse().unwrap());
            assert_eq!(load.target.to_string(), "echo=127.0.0.1:4000");
            assert_eq!(load.check().is_err(), workload == Workload::LargeBodies, "{workload:?}");
        }
    }
}
