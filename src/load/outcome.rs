//! Computes the result of a run from its measurements.

use super::options::LoadOptions;
use super::run::Measurements;
use super::stats::invalid::InvalidReason;
use super::stats::kernel_counters;
use super::stats::summary::{
    Bytes, Connections, DatagramDrops, Datagrams, Generator, Lag, Latencies, Latency, LoadModel, Messages,
    Outcome, Summary,
};
use super::stats::tally::seconds;

/// Counters of the kernel before the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    cpu_ns: u64,
    drops: DatagramDrops,
    port: u16,
}

impl Baseline {
    pub(crate) fn now(server_port: u16) -> Self {
        Self {
            cpu_ns: kernel_counters::scheduler_times().cpu_ns,
            drops: kernel_counters::datagram_drops(server_port),
            port: server_port,
        }
    }
}

/// The result of a run.
pub(crate) fn outcome(options: &LoadOptions, measurements: Measurements, baseline: &Baseline) -> Outcome {
    let is_datagrams = options.target.is_datagrams();
    let generator = generator(&measurements, baseline);
    let connections = connections(options, &measurements);
    let datagrams = is_datagrams.then(|| datagrams(&measurements, baseline));
    let messages = messages(options, &measurements);
    let Measurements { tally, drive_ns, waited_ns, never_sent, is_interrupted, .. } = measurements;
    let bytes = Bytes { sent: tally.counts().sent_bytes, received: tally.counts().received_bytes };
    let (intervals, times, connect, failures) = tally.into_parts();
    let mut summary = Summary {
        loopline: env!("CARGO_PKG_VERSION"),
        endpoint: options.target.clone(),
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
    summary.why_invalid = InvalidReason::of(&summary, never_sent, seconds(waited_ns));
    summary.valid = summary.why_invalid.is_none();
    Outcome {
        summary,
        is_interrupted,
        seconds: intervals,
        response: times.response,
        service: times.service,
        lag: times.lag,
    }
}

fn connections(options: &LoadOptions, measurements: &Measurements) -> Connections {
    let counts = measurements.tally.counts();
    // A one-shot connection belongs to a message: if it cannot be opened, the message has failed.
    let asked = if options.is_one_shot() { counts.sent } else { options.connections.into() };
    let open_ns = if options.is_one_shot() { measurements.drive_ns } else { measurements.open_ns };
    let cause = measurements.stopped_opening.or_else(|| measurements.tally.main_open_error());
    Connections {
        asked,
        opened: counts.opened,
        failed: counts.open_failed,
        lost: counts.lost,
        slow: counts.slow,
        open_seconds: seconds(measurements.open_ns),
        open_rate: rate(counts.opened, open_ns),
        limited_by: cause.filter(|_| counts.opened < asked).map(|kind| kind.limit(counts.opened > 0)),
    }
}

fn messages(options: &LoadOptions, measurements: &Measurements) -> Messages {
    let counts = measurements.tally.counts();
    Messages {
        sent: counts.sent,
        acknowledged: counts.answered,
        failed: counts.failed,
        unanswered: counts.in_flight(),
        rate: rate(measurements.answered, measurements.drive_ns),
        #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
        offered_rate: options.rate.map(|rate| rate as f64),
    }
}

fn datagrams(measurements: &Measurements, baseline: &Baseline) -> Datagrams {
    let counts = measurements.tally.counts();
    Datagrams {
        sent: counts.sent,
        answered: counts.answered - counts.late,
        late: counts.late,
        lost: counts.sent - counts.answered,
        duplicate: counts.duplicate,
        kernel: kernel_counters::datagram_drops(baseline.port).since(baseline.drops),
    }
}

fn generator(measurements: &Measurements, baseline: &Baseline) -> Generator {
    let (idle_ns, drive_ns) = (measurements.idle_ns, measurements.drive_ns);
    let idle = if drive_ns == 0 { 1.0 } else { seconds(idle_ns) / seconds(drive_ns) };
    Generator {
        cpu_seconds: seconds(kernel_counters::scheduler_times().cpu_ns.saturating_sub(baseline.cpu_ns)),
        rss_bytes: measurements.rss_bytes,
        bytes_per_connection: measurements.bytes_per_connection,
        busy: (1.0 - idle).clamp(0.0, 1.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { count as f64 / seconds(ns) }
}
