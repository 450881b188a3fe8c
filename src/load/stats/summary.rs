//! The result of a run: the numbers that the table, the JSON and the page show.

use serde::{Deserialize, Serialize};

use super::ending::{EndedEarly, Failed, Stage};
use super::idle_probe::ProbeResult;
use super::invalid::InvalidReason;
use super::latency::{Lag, Latency, Percentiles};
use super::stages::StageRow;
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Second {
    /// Seconds from the start of the run to the end of this interval.
    pub at_seconds: f64,
    /// Length of this interval, in seconds. It is shorter at the end of the run, and on both
    /// sides of the end of the opening, of the warm-up and of a stage.
    pub length_seconds: f64,
    /// Connections open at the end of the interval.
    pub open: u64,
    /// Connections opened in it.
    pub opened: u64,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages answered correctly in it.
    pub answered: u64,
    /// Connections that could not be opened or were lost, and messages that failed, in the interval.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Summary {
    /// The target: a service or `hold`, with its address.
    pub endpoint: Target,
    /// Counts and times of connections.
    pub connections: Connections,
    /// Counts of messages: sent = acknowledged + failed + unanswered.
    pub messages: Messages,
    /// Of the messages, those of connections that are not active. Absent without `--heartbeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeats: Option<Heartbeats>,
    /// What became of the connections that were silent. Absent without `--idle-probe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_probe: Option<ProbeResult>,
    /// Counts of datagrams: sent = answered + late + lost. Absent if the service is not on UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<Datagrams>,
    /// Distributions of times, in microseconds.
    pub latency_us: Latencies,
    /// How late messages were sent, in microseconds. Only an open loop has a schedule.
    pub schedule_lag_us: Lag,
    /// Bytes of all connections, with the headers of the protocol and without those of the network.
    pub bytes: Bytes,
    /// Resources used by the load generator.
    pub generator: Generator,
    /// How long messages were sent or connections held, without the warm-up, in seconds.
    pub duration_seconds: f64,
    /// How long messages should be sent, without the warm-up: the option, which JSON has as such.
    #[serde(skip)]
    pub planned_seconds: f64,
    /// When messages were sent.
    pub load_model: LoadModel,
    /// From the start of sending to the last reply, in seconds; null if no message was acknowledged.
    pub last_reply_seconds: Option<f64>,
    /// Whether a signal ended the run.
    pub interrupted: bool,
    /// Why the run ended before its time, or opened fewer connections than requested; null if it did not.
    pub ended_early: Option<EndedEarly>,
    /// The part of the run that ended early; null if none did.
    pub ended_in: Option<Stage>,
    /// Why the run failed, which is exit status 1 or 4; null if it did not.
    pub failed: Option<Failed>,
    /// Whether the generator kept up: false if it was the limit, so that the numbers are not those of the server.
    pub valid: bool,
    /// Why `valid` is false, as a sentence; null if it is true.
    pub why_invalid: Option<InvalidReason>,
    /// The stages of `--open-rate`, then those of `--rate` and `--active`. Absent without stages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRow>,
    /// Errors by kind, the most frequent first.
    pub failures: Vec<Failure>,
}

/// Connections of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Connections {
    /// Connections to open; with a connection for each message, those of all messages.
    pub asked: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened; with a connection for each message, the message has failed too.
    pub failed: u64,
    /// Of these, connections of one message: the failed message counts as the error.
    pub failed_with_message: u64,
    /// Connections that were not requested; `why_not_tried` is why.
    pub not_tried: u64,
    /// Why the opening ended early, even if the run ended early later; null if all connections were requested.
    pub why_not_tried: Option<EndedEarly>,
    /// Opened connections that ended before the run.
    pub lost: u64,
    /// Lost connections without a message in flight. The others are counted by their failed messages.
    pub lost_idle: u64,
    /// Connections that took a second or more to open, as when the kernel has to repeat the SYN.
    pub slow: u64,
    /// Duration of the opening, in seconds; with a connection for each message, how long messages were sent.
    pub open_seconds: f64,
    /// Connections opened per second.
    pub open_rate: f64,
    /// The local addresses that connections were requested from.
    pub sources: Vec<SourceUse>,
    /// What kept the rest from being opened; null if all were opened.
    pub limited_by: Option<OpenLimit>,
}

/// Messages of a run: `sent = acknowledged + failed + unanswered`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Messages {
    /// Messages sent.
    pub sent: u64,
    /// Messages answered correctly.
    pub acknowledged: u64,
    /// Messages answered wrongly, or sent on a connection that ended before the answer. Over UDP, a wrong answer is an
    /// error in `failures`, and its message is unanswered: it may have another answer.
    pub failed: u64,
    /// Messages not answered when the run was over.
    pub unanswered: u64,
    /// Messages that were due on schedule and not sent. They are not part of `sent`.
    pub never_sent: u64,
    /// Messages acknowledged per second, without heartbeats.
    pub rate: f64,
    /// Messages due per second, without heartbeats; null in a closed loop.
    pub offered_rate: Option<f64>,
}

/// Heartbeats of a run: `sent = acknowledged + failed + unanswered`. `messages` includes them; `latency_us` does not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Heartbeats {
    /// Heartbeats sent.
    pub sent: u64,
    /// Heartbeats answered correctly.
    pub acknowledged: u64,
    /// Heartbeats answered wrongly, or sent on a connection that ended before the answer.
    pub failed: u64,
    /// Heartbeats not answered when the run was over.
    pub unanswered: u64,
    /// From when a heartbeat was due until it was answered.
    pub latency_us: Latency,
}

/// Datagrams of a run: `sent = answered + late + lost`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Datagrams {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams answered in time.
    pub answered: u64,
    /// Datagrams answered after the timeout.
    pub late: u64,
    /// Datagrams not answered before the run was over.
    pub lost: u64,
    /// Answers that were received again. They are in none of the other counts.
    pub duplicate: u64,
    /// Datagrams that the kernel of this host dropped during the run, of all programs unless stated otherwise.
    pub kernel: DatagramDrops,
}

/// Growth of the kernel's counters during the run, for the whole host.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DatagramDrops {
    /// Datagrams dropped because a receive buffer was full (`RcvbufErrors`).
    pub receive_buffer: u64,
    /// Of these, at the sockets of this run: the generator was too slow.
    pub own_receive_buffer: u64,
    /// Of these, at a socket with the port of the server on this host: the server was too slow.
    pub server_receive_buffer: u64,
    /// Datagrams dropped because a send buffer was full (`SndbufErrors`).
    pub send_buffer: u64,
    /// Datagrams dropped because no socket had the port (`NoPorts`).
    pub no_port: u64,
}

/// Latencies of a run.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Latencies {
    /// Response time: from when a message was due until it was answered.
    pub response: Latency,
    /// Service time: from when a message was sent until it was answered.
    pub service: Latency,
    /// From the request of a connection until it was open. Those that the server closed before anything was
    /// sent on them are included, though they are counted as failed.
    pub connect: Latency,
}

/// Bytes of all connections, with the headers of the protocol and without those of the network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Bytes {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

/// Resources used by this process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Generator {
    /// CPU time of the generator, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory of the generator at the end of the run, in bytes.
    pub rss_bytes: u64,
    /// Memory of the generator for a connection, in bytes; null if there are too few connections to measure it.
    pub bytes_per_connection: Option<f64>,
    /// Of the CPU time, how long it polled without waiting, until a message was due (`--spin`), in seconds.
    pub spin_seconds: f64,
    /// Share of the time in which the generator neither waited nor spun, 0 to 1. Above 0.95, it may have been the
    /// limit.
    pub busy: f64,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadModel {
    /// On schedule, independently of the server.
    Open,
    /// When the previous reply was received.
    Closed,
    /// Never: connections are only opened and held.
    Hold,
    /// Once before a silence and once after it.
    #[serde(rename = "idle_probe")]
    Probe,
}

impl LoadModel {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open loop",
            Self::Closed => "closed loop",
            Self::Hold => "held",
            Self::Probe => "idle probe",
        }
    }
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Failure {
    /// The kind of error, in words.
    pub reason: ErrorKind,
    /// How often it occurred.
    pub count: u64,
    /// Description of the first: one line, in which bytes of the server are escaped.
    pub first: String,
}
