//! How a run ended: before its time, and whether it failed because of the server.

use serde::{Deserialize, Serialize};

use crate::load::error_kind::ErrorKind;

/// Why a run ended before its duration was over, or opened fewer connections than requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndedEarly {
    /// A signal ended the run.
    Interrupted,
    /// The server closed or reset the connections, or refuses new ones: none was left to send on.
    ServerGone,
    /// Wrong replies ended the connections: none was left to send on.
    WrongReplies,
    /// The rest of the connections was not requested, after a hundred consecutive failures.
    GaveUp,
    /// The rest of the connections was not requested: no descriptor was left.
    Descriptors,
    /// The rest of the connections was not requested: no port of the source addresses was free.
    Ports,
    /// The rest of the connections was not requested: a source address is not an address of this machine.
    Source,
    /// The rest of the connections was not requested: the kernel was out of memory for sockets.
    Memory,
}

impl EndedEarly {
    /// Why no further connection was requested after an error of this kind.
    pub(crate) fn of_opening(error: ErrorKind) -> Self {
        match error {
            ErrorKind::Descriptors => Self::Descriptors,
            ErrorKind::Ports => Self::Ports,
            ErrorKind::Source => Self::Source,
            ErrorKind::Memory => Self::Memory,
            ErrorKind::Refused
            | ErrorKind::Unreachable
            | ErrorKind::ConnectTimeout
            | ErrorKind::ServerCap
            | ErrorKind::Closed
            | ErrorKind::Reset
            | ErrorKind::WrongReply
            | ErrorKind::ServerRefuses
            | ErrorKind::ReplyTimeout
            | ErrorKind::NewSession
            | ErrorKind::NoFreeConnection
            | ErrorKind::Network => Self::GaveUp,
        }
    }
}

/// The part of a run that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Connections were being opened.
    Opening,
    /// Messages were sent and not measured.
    WarmUp,
    /// Messages were sent, or connections held.
    Measuring,
    /// Outstanding replies were awaited.
    Draining,
}

/// The time from the last reply to the end of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silence {
    /// From the start of sending to the last reply, or 0 if that was before.
    pub(crate) began_ns: u64,
    /// Its duration.
    pub(crate) ns: u64,
    /// Messages sent in it.
    pub(crate) sent: u64,
    /// Messages in flight when it began, if messages were still sent then: none of them was answered. When sending
    /// has ended, those in flight are answered one after the other, and the last may be lost.
    pub(crate) in_flight: u64,
    /// The server refused or reset connections in it, and nothing succeeded.
    pub(crate) is_refused: bool,
}

/// Why a run failed. Except for the first, the server is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failed {
    /// No connection could be opened.
    NoConnection,
    /// Messages were sent, and none was acknowledged.
    NothingAcknowledged,
    /// The server closed or reset the connections, or refused new ones, and did not reply again.
    ServerGone,
    /// The run ended early: wrong replies ended the connections.
    WrongReplies,
    /// The server stopped replying and did not resume before the end of the run.
    StoppedReplying,
}
