//! From what was counted to what is told: the summary, and whether it tells of the server.

use super::stats::invalid::InvalidReason;
use super::stats::summary::{
    Bytes, Connections, DatagramDrops, Datagrams, Generator, Lag, Latencies, Latency, LoadModel, Messages,
    Outcome, Summary,
};
use super::stats::tally::seconds;
use crate::load::options::LoadOptions;
use crate::load::run::Measurements;
use crate::load::stats::kernel_counters;

/// What was read of the kernel before the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    ran_ns: u64,
    drops: DatagramDrops,
    port: u16,
}

impl Baseline {
    /// Now, before the run.
    pub(crate) fn now(server_port: u16) -> Self {
        Self {
            ran_ns: kernel_counters::scheduled().ran_ns,
            drops: kernel_counters::datagram_drops(server_port),
            port: server_port,
        }
    }
}

/// The result of a run.
pub(crate) fn outcome(options: &LoadOptions, measurements: Measurements, before: &Baseline) -> Outcome {
    let waited = seconds(measurements.waited_ns);
    let generator = generator(&measurements, before);
    let connections = connections(options, &measurements);
    let datagrams = options.target.is_datagrams().then(|| datagrams(&measurements, before));
    let messages = messages(options, &measurements);
    let Measurements { tally, drive_ns, never_sent, is_interrupted, .. } = measurements;
    let bytes = Bytes { sent: tally.counts().sent_bytes, received: tally.counts().received_bytes };
    let (seconds_told, times, connect, failures) = tally.into_parts();
    let mut summary = Summary {
        loopline: env!("CARGO_PKG_VERSION"),
        endpoint: options.target.to_string(),
        connections,
        messages,
        datagrams,
        latency_us: Latencies {
            response: Latency::of(&times.response),
            service: Latency::of(&times.service),
            connect: Latency::of(&connect),
        },
        schedule_lag_us: Lag::of(&times.lag),
        bytes,
        generator,
        duration_seconds: seconds(drive_ns),
        load_model: if options.rate.is_some() { LoadModel::Open } else { LoadModel::Closed },
        valid: true,
        why_invalid: None,
        failures,
    };
    summary.why_invalid = why_invalid(&summary, never_sent, waited);
    summary.valid = summary.why_invalid.is_none();
    Outcome {
        summary,
        is_interrupted,
        seconds: seconds_told,
        response: times.response,
        service: times.service,
        lag: times.lag,
    }
}

fn connections(options: &LoadOptions, measurements: &Measurements) -> Connections {
    let count = measurements.tally.counts();
    let open_seconds = seconds(measurements.open_ns);
    // Where each message has a connection of its own, each has asked for one, and those that did not get it
    // have failed as messages.
    let asked = if options.is_one_shot() { count.sent } else { options.connections.into() };
    let open_ns = if options.is_one_shot() { measurements.drive_ns } else { measurements.open_ns };
    let cause = measurements.stopped_opening.or_else(|| measurements.tally.main_open_error());
    Connections {
        asked,
        opened: count.opened,
        failed: count.open_failed,
        lost: count.lost,
        slow: count.slow,
        open_seconds,
        open_rate: rate(count.opened, open_ns),
        limited_by: cause.filter(|_| count.opened < asked).map(|kind| kind.limit(count.opened > 0)),
    }
}

fn messages(options: &LoadOptions, measurements: &Measurements) -> Messages {
    let count = measurements.tally.counts();
    Messages {
        sent: count.sent,
        acknowledged: count.answered,
        failed: count.failed,
        unanswered: count.in_flight(),
        rate: rate(measurements.answered, measurements.drive_ns),
        #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
        offered_rate: options.rate.map(|rate| rate as f64),
    }
}

fn datagrams(measurements: &Measurements, before: &Baseline) -> Datagrams {
    let count = measurements.tally.counts();
    Datagrams {
        sent: count.sent,
        answered: count.answered - count.late,
        late: count.late,
        lost: count.sent - count.answered,
        duplicate: count.duplicate,
        kernel: kernel_counters::datagram_drops(before.port).since(before.drops),
    }
}

fn generator(measurements: &Measurements, before: &Baseline) -> Generator {
    let idle = if measurements.drive_ns == 0 {
        1.0
    } else {
        seconds(measurements.idle_ns) / seconds(measurements.drive_ns)
    };
    Generator {
        cpu_seconds: seconds(kernel_counters::scheduled().ran_ns.saturating_sub(before.ran_ns)),
        rss_bytes: measurements.rss_bytes,
        bytes_per_connection: measurements.bytes_per_connection,
        busy: (1.0 - idle).clamp(0.0, 1.0),
    }
}

/// Why the figures tell more of the generator than of the server, if they do.
fn why_invalid(summary: &Summary, never_sent: u64, waited_seconds: f64) -> Option<InvalidReason> {
    if summary.connections.opened == 0 {
        return Some(InvalidReason::NoConnection);
    }
    let busy = summary.generator.busy;
    if summary.messages.sent > 0 && busy > BUSY_MAX {
        return Some(InvalidReason::Busy(busy));
    }
    let waited = waited_seconds / summary.duration_seconds;
    if summary.duration_seconds > 0.0 && waited > WAITED_MAX {
        return Some(InvalidReason::Waited(waited));
    }
    if never_sent > 0 {
        return Some(InvalidReason::NeverSent(never_sent));
    }
    match (summary.schedule_lag_us.p99, summary.latency_us.response.p99) {
        (Some(lag), Some(response)) if lag > LAG_MAX_US && lag > response / 10.0 => {
            Some(InvalidReason::Late(lag))
        }
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { count as f64 / seconds(ns) }
}

/// A generator that waits less than this share of the time is at its limit.
const BUSY_MAX: f64 = 0.95;

/// One that has waited for a processor longer than this was not alone on it.
const WAITED_MAX: f64 = 0.1;

/// A lag that matters to nobody, in microseconds.
const LAG_MAX_US: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn why(change: impl FnOnce(&mut Summary)) -> Option<InvalidReason> {
        why_with(change, 0, 0.0)
    }

    fn why_with(
        change: impl FnOnce(&mut Summary),
        never_sent: u64,
        waited_seconds: f64,
    ) -> Option<InvalidReason> {
        let mut summary = Summary::sample();
        change(&mut summary);
        why_invalid(&summary, never_sent, waited_seconds)
    }

    #[test]
    fn a_run_without_a_fault_is_valid() {
        assert_eq!(why(|_| {}), None);
    }

    #[test]
    fn without_a_connection_nothing_is_known() {
        assert_eq!(why(|it| it.connections.opened = 0), Some(InvalidReason::NoConnection));
        assert_eq!(why(|it| it.connections.opened = 1), None);
    }

    #[test]
    fn a_generator_at_its_limit_says_nothing_of_the_server() {
        assert_eq!(why(|it| it.generator.busy = 0.951), Some(InvalidReason::Busy(0.951)));
        assert_eq!(why(|it| it.generator.busy = 0.95), None);
        // Whoever only holds connections may read as much as comes.
        assert_eq!(why(|it| (it.generator.busy, it.messages.sent) = (1.0, 0)), None);
    }

    #[test]
    fn a_generator_that_had_no_processor_was_not_alone() {
        assert_eq!(why_with(|_| {}, 0, 1.01), Some(InvalidReason::Waited(0.101)));
        assert_eq!(why_with(|_| {}, 0, 1.0), None);
        assert_eq!(why_with(|it| it.duration_seconds = 0.0, 0, 1.0), None);
    }

    #[test]
    fn messages_that_were_never_sent_are_the_generators_fault() {
        assert_eq!(why_with(|_| {}, 7, 0.0), Some(InvalidReason::NeverSent(7)));
    }

    #[test]
    fn a_lag_counts_where_it_is_much_of_the_response_time() {
        let lag = |lag: f64, response: f64| {
            why(|it| {
                it.schedule_lag_us.p99 = Some(lag);
                it.latency_us.response.p99 = Some(response);
            })
        };
        assert_eq!(lag(240.1, 2400.0), Some(InvalidReason::Late(240.1)));
        assert_eq!(lag(239.9, 2400.0), None);
        // Less than a tenth of a millisecond matters to nobody.
        assert_eq!(lag(100.0, 200.0), None);
        assert_eq!(lag(100.1, 200.0), Some(InvalidReason::Late(100.1)));
        assert_eq!(why(|it| it.schedule_lag_us.p99 = None), None);
    }
}
