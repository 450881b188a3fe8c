//! The result of a run: the numbers that the table, the JSON and the page show.

use serde::Serialize;

use super::ending::{EndedEarly, Failed, Stage};
use super::invalid::InvalidReason;
use super::latency::{Lag, Latency, Percentiles};
use super::times::Times;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::sources::SourceUse;
use crate::load::target::Target;

/// The result: the summary, and the data of the plots.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The numbers.
    pub summary: Summary,
    /// All seconds, including those of the opening.
    pub seconds: Vec<Second>,
    /// The times of all messages and connections. There is no lag in a closed loop.
    pub times: Times,
}

/// One second of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Second {
    /// Seconds from the start of the run to the end of this interval.
    pub at_seconds: f64,
    /// Length of this interval in seconds. The last is shorter, and the two that the end of the opening separates.
    pub length_seconds: f64,
    /// Connections open at its end.
    pub open: u64,
    /// Connections opened.
    pub opened: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages answered correctly.
    pub answered: u64,
    /// Connections that could not be opened or were lost, and messages that failed.
    pub errors: u64,
    /// Response times of the answered messages, in microseconds.
    pub response_us: Percentiles,
    /// How late messages were sent, in microseconds.
    pub lag_us: Percentiles,
    /// Times to connect, in microseconds.
    pub connect_us: Percentiles,
}

/// The result as `--json` writes it: times in microseconds, rates per second.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// The target.
    pub endpoint: Target,
    /// Connections.
    pub connections: Connections,
    /// Messages.
    pub messages: Messages,
    /// Messages as datagrams, which can be late, lost or duplicated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<Datagrams>,
    /// Latencies.
    pub latency_us: Latencies,
    /// How late messages were sent.
    pub schedule_lag_us: Lag,
    /// Bytes of all connections.
    pub bytes: Bytes,
    /// Resources used by this process.
    pub generator: Generator,
    /// How long messages were sent.
    pub duration_seconds: f64,
    /// How long messages should be sent, without the warm-up: the option, which JSON has as such.
    #[serde(skip)]
    pub planned_seconds: f64,
    /// When messages were sent.
    pub load_model: LoadModel,
    /// From the start of sending to the last reply in seconds, if messages were acknowledged.
    pub last_reply_seconds: Option<f64>,
    /// A signal has ended the run.
    pub interrupted: bool,
    /// Why it ended before its time, or opened fewer connections than requested.
    pub ended_early: Option<EndedEarly>,
    /// The part of the run that ended early.
    pub ended_in: Option<Stage>,
    /// Why the run failed.
    pub failed: Option<Failed>,
    /// Whether the numbers are the server's: false if the generator was the limit.
    pub valid: bool,
    /// Why not.
    pub why_invalid: Option<InvalidReason>,
    /// Errors by kind, the most frequent first.
    pub failures: Vec<Failure>,
}

/// Connections of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Connections {
    /// Connections to open.
    pub asked: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub failed: u64,
    /// Connections that were not requested: see [`Summary::ended_early`].
    pub not_tried: u64,
    /// Opened connections that ended before the run.
    pub lost: u64,
    /// Of these, connections without a message in flight. The others are counted by their failed messages.
    pub lost_idle: u64,
    /// Connections that took a second or more to open, as when the kernel has to repeat the SYN.
    pub slow: u64,
    /// Duration of the opening; with a connection for each message, how long messages were sent.
    pub open_seconds: f64,
    /// Connections opened per second.
    pub open_rate: f64,
    /// The local addresses that connections were requested from.
    pub sources: Vec<SourceUse>,
    /// What kept the rest from being opened.
    pub limited_by: Option<OpenLimit>,
}

/// Messages of a run: `sent = acknowledged + failed + unanswered`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Messages {
    /// Sent.
    pub sent: u64,
    /// Answered correctly.
    pub acknowledged: u64,
    /// Answered wrongly, or on a connection that ended before the answer.
    pub failed: u64,
    /// Not answered when the run was over.
    pub unanswered: u64,
    /// Due on schedule and not sent; not in `sent`.
    pub never_sent: u64,
    /// Acknowledged per second.
    pub rate: f64,
    /// Due per second; `None` in a closed loop.
    pub offered_rate: Option<f64>,
}

/// Datagrams of a run: `sent = answered + late + lost`.
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
    /// Answers that were received again; they are in none of the other counts.
    pub duplicate: u64,
    /// Datagrams of all programs that the kernel of this host dropped during the run.
    pub kernel: DatagramDrops,
}

/// Growth of the kernel's counters during the run, for the whole host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct DatagramDrops {
    /// No room in a receive buffer (`RcvbufErrors`).
    pub receive_buffer: u64,
    /// Of these, at the sockets of this run: the generator was too slow.
    pub own_receive_buffer: u64,
    /// Of these, at a socket with the server's port on this host: the server was too slow.
    pub server_receive_buffer: u64,
    /// No room in a send buffer (`SndbufErrors`).
    pub send_buffer: u64,
    /// No socket at the port (`NoPorts`).
    pub no_port: u64,
}

/// Latencies of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Latencies {
    /// From when a message was due.
    pub response: Latency,
    /// From when it was sent.
    pub service: Latency,
    /// From the request of a connection until it is established.
    pub connect: Latency,
}

/// Bytes of all connections, with the headers of the protocol and without those of the network.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Bytes {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// Resources used by this process.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Generator {
    /// CPU time.
    pub cpu_seconds: f64,
    /// Resident memory at the end of the run.
    pub rss_bytes: u64,
    /// Memory of this process per connection; `None` if there are too few connections.
    pub bytes_per_connection: Option<f64>,
    /// Of the CPU time, how long it polled without waiting, until a message was due (`--spin`).
    pub spin_seconds: f64,
    /// Share of the time in which it neither waited nor spun, 0 to 1.
    pub busy: f64,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadModel {
    /// On schedule, independently of the server.
    Open,
    /// When the previous reply was received.
    Closed,
    /// Never: connections are only opened and held.
    Hold,
}

impl LoadModel {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open loop",
            Self::Closed => "closed loop",
            Self::Hold => "held",
        }
    }
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// The kind.
    pub reason: ErrorKind,
    /// How often.
    pub count: u64,
    /// Description of the first: one line, in which bytes of the server are escaped.
    pub first: String,
}
