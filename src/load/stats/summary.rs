//! What a run has found: the numbers that the table, the JSON and the page show.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::invalid::InvalidReason;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::target::Target;

/// A run, whole: the summary, and what the plots are drawn from.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The result in numbers.
    pub summary: Summary,
    /// A signal ended it before its time.
    pub is_interrupted: bool,
    /// What was, second by second, opening included.
    pub seconds: Vec<Second>,
    /// From when a message was due to its reply, in nanoseconds.
    pub response: Histogram<u64>,
    /// From when a message was sent to its reply, in nanoseconds.
    pub service: Histogram<u64>,
    /// From when a message was due to when it was sent, in nanoseconds; empty in a closed loop.
    pub lag: Histogram<u64>,
}

/// One second of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Second {
    /// Seconds from the beginning of the run to the end of this interval.
    pub at_seconds: f64,
    /// Length of this interval in seconds; only the last is shorter.
    pub length_seconds: f64,
    /// Connections open at its end.
    pub open: u64,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages answered in it, rightly.
    pub answered: u64,
    /// Connections that failed to open or were lost in it, and messages that failed.
    pub errors: u64,
    /// Response times of the messages answered in it, in microseconds.
    pub response_us: Percentiles,
    /// How late messages were sent in it, in microseconds.
    pub lag_us: Percentiles,
}

/// Some percentiles of an interval.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Percentiles {
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

/// The result, as `--json` writes it. Times are in microseconds, rates a second.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Version of the program.
    pub loopline: &'static str,
    /// What was driven.
    pub endpoint: Target,
    /// How opening went.
    pub connections: Connections,
    /// What became of the messages.
    pub messages: Messages,
    /// The same for datagrams, which can be late, lost or double.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<Datagrams>,
    /// Latencies.
    pub latency_us: Latencies,
    /// How late messages were sent.
    pub schedule_lag_us: Lag,
    /// Bytes of all connections.
    pub bytes: Bytes,
    /// What the run cost this process.
    pub generator: Generator,
    /// Seconds in which messages were sent.
    pub duration_seconds: f64,
    /// Whether messages were sent on schedule or when a reply was in.
    pub load_model: LoadModel,
    /// Whether the figures tell of the server: false when the generator was what limited them.
    pub valid: bool,
    /// Why not.
    pub why_invalid: Option<InvalidReason>,
    /// What went wrong, by reason, the most frequent first.
    pub failures: Vec<Failure>,
}

/// How opening went.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Connections {
    /// As many as were asked for.
    pub asked: u64,
    /// As many as were open at some time.
    pub opened: u64,
    /// As many as could not be opened.
    pub failed: u64,
    /// Opened, and then closed by the other side or broken before the run was over.
    pub lost: u64,
    /// Opened only after a second or more, as when a full backlog makes the kernel send its SYN again.
    pub slow: u64,
    /// Time that opening took.
    pub open_seconds: f64,
    /// Connections opened a second.
    pub open_rate: f64,
    /// What kept the rest from being opened.
    pub limited_by: Option<OpenLimit>,
}

/// What became of the messages: `sent = acknowledged + failed + unanswered`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Messages {
    /// Sent.
    pub sent: u64,
    /// Answered, and rightly.
    pub acknowledged: u64,
    /// Answered wrongly, or on a connection that broke before the answer.
    pub failed: u64,
    /// Without an answer when the run was over.
    pub unanswered: u64,
    /// Acknowledged a second.
    pub rate: f64,
    /// Asked for a second; `None` in a closed loop.
    pub offered_rate: Option<f64>,
}

/// What became of the datagrams: `sent = answered + late + lost`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Datagrams {
    /// Sent.
    pub sent: u64,
    /// Answered in time.
    pub answered: u64,
    /// Answered after the timeout.
    pub late: u64,
    /// Not answered before the run was over.
    pub lost: u64,
    /// Answers that came again; they are in none of the others.
    pub duplicate: u64,
    /// What the kernel of this host says it dropped meanwhile, whoever sent it.
    pub kernel: DatagramDrops,
}

/// Counters of the kernel, as they grew during the run, for the whole host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct DatagramDrops {
    /// No room in a receive buffer (`RcvbufErrors`).
    pub receive_buffer: u64,
    /// Of these, in those of the sockets of this run: the generator was too slow.
    pub own_receive_buffer: u64,
    /// Of these, in that of a socket at the server's port on this host: the server was too slow.
    pub server_receive_buffer: u64,
    /// No room in a send buffer (`SndbufErrors`).
    pub send_buffer: u64,
    /// Nobody listened at the port (`NoPorts`).
    pub no_port: u64,
}

/// Latencies of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Latencies {
    /// From when a message was due.
    pub response: Latency,
    /// From when it was sent.
    pub service: Latency,
    /// From asking for a connection to having it.
    pub connect: Latency,
}

/// A distribution of times. A percentile for which there are too few samples is `None`: each needs ten
/// samples above it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Latency {
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p99_9: Option<f64>,
    /// 99.99th percentile.
    pub p99_99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// Samples.
    pub count: u64,
}

/// How late messages were sent.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Lag {
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p99_9: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

/// Bytes of all connections, headers of the protocol included and those of the network not.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Bytes {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// What the run cost this process.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Generator {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Resident memory at the end of the run.
    pub rss_bytes: u64,
    /// Memory of this process a connection; `None` when there are too few to tell.
    pub bytes_per_connection: Option<f64>,
    /// Share of the time in which it had something to do, 0 to 1.
    pub busy: f64,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadModel {
    /// On schedule, whatever the server does.
    Open,
    /// When the reply to the one before is in.
    Closed,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// What.
    pub reason: ErrorKind,
    /// How often.
    pub count: u64,
    /// The first, in words.
    pub first: String,
}

impl Latency {
    /// The distribution of `nanoseconds`, without what there are too few samples for.
    #[must_use]
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(nanoseconds, 50.0),
            p90: percentile_us(nanoseconds, 90.0),
            p99: percentile_us(nanoseconds, 99.0),
            p99_9: percentile_us(nanoseconds, 99.9),
            p99_99: percentile_us(nanoseconds, 99.99),
            max: max_us(nanoseconds),
            mean: (!nanoseconds.is_empty()).then(|| nanoseconds.mean() / NANOSECONDS_A_MICROSECOND),
            count: nanoseconds.len(),
        }
    }
}

impl Lag {
    /// The distribution of `nanoseconds`, without what there are too few samples for.
    #[must_use]
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(nanoseconds, 50.0),
            p99: percentile_us(nanoseconds, 99.0),
            p99_9: percentile_us(nanoseconds, 99.9),
            max: max_us(nanoseconds),
        }
    }
}

impl Percentiles {
    /// The distribution of `nanoseconds`, without what there are too few samples for. It is asked for while
    /// messages are due, and each percentile looks through all counts: there are no more than are shown.
    #[must_use]
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(nanoseconds, 50.0),
            p99: percentile_us(nanoseconds, 99.0),
            max: max_us(nanoseconds),
        }
    }
}

/// The percentile in microseconds, if at least ten samples are above it: fewer, and it would be an anecdote.
#[must_use]
pub(crate) fn percentile_us(nanoseconds: &Histogram<u64>, percentile: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a count of samples is far below 2^52")]
    let samples_above = nanoseconds.len() as f64 * (100.0 - percentile) / 100.0;
    // What 99.9 leaves of 100 is a little less than a tenth in floating point.
    (samples_above + 1e-6 >= SAMPLES_ABOVE).then(|| microseconds(nanoseconds.value_at_percentile(percentile)))
}

fn max_us(nanoseconds: &Histogram<u64>) -> Option<f64> {
    (!nanoseconds.is_empty()).then(|| microseconds(nanoseconds.max()))
}

#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^52 nanoseconds, 52 days")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / NANOSECONDS_A_MICROSECOND
}

/// Samples that a percentile needs above it.
const SAMPLES_ABOVE: f64 = 10.0;

const NANOSECONDS_A_MICROSECOND: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_ten_samples_above_it() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(2000, 9_999).unwrap();
        assert_eq!(percentile_us(&histogram, 99.9), None);
        histogram.record(2000).unwrap();
        assert_eq!(percentile_us(&histogram, 99.9), Some(2.0));
        assert_eq!(percentile_us(&histogram, 99.99), None);
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        let latency = Latency::of(&Histogram::new(3).unwrap());
        assert_eq!((latency.p50, latency.max, latency.mean, latency.count), (None, None, None, 0));
    }
}
