//! How a run ended: before its time, and whether it failed because of the server.

use serde::Serialize;

use super::summary::Summary;
use super::tally::seconds;
use crate::load::error_kind::ErrorKind;

/// Why a run ended before its duration was over, or opened fewer connections than requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

/// Why a run failed. Except for the first, the server is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failed {
    /// No connection could be opened.
    NoConnection,
    /// Messages were sent, and none was acknowledged.
    NothingAcknowledged,
    /// The run ended early: the server closed or reset the connections, or refused new ones.
    ServerGone,
    /// The run ended early: wrong replies ended the connections.
    WrongReplies,
    /// The server stopped replying and did not resume before the end of the run.
    StoppedReplying,
}

impl Failed {
    /// Why the run failed, if it did.
    pub(crate) fn of(summary: &Summary, silence: &Silence) -> Option<Self> {
        let (connections, messages) = (&summary.connections, &summary.messages);
        // Interrupted before the first connection was opened or has failed, a run has no result.
        let is_tried = !summary.interrupted || connections.failed + messages.failed > 0;
        if connections.opened == 0 {
            return is_tried.then_some(Self::NoConnection);
        }
        if messages.sent > 0 && messages.acknowledged == 0 {
            return Some(Self::NothingAcknowledged);
        }
        if summary.ended_early == Some(EndedEarly::ServerGone) {
            return Some(Self::ServerGone);
        }
        if summary.ended_early == Some(EndedEarly::WrongReplies) {
            return Some(Self::WrongReplies);
        }
        // A datagram that is lost is no failure of the server.
        let sent_min = if summary.datagrams.is_some() { DATAGRAMS_IN_SILENCE_MIN } else { 1 };
        // A slow server is given more time than it has needed for any other reply.
        let longest_us = summary.latency_us.service.max.unwrap_or_default();
        let silence_min_us = (longest_us * 2.0).max(SILENCE_MIN_US);
        let is_silent = silence.sent >= sent_min && seconds(silence.ns) * 1e6 >= silence_min_us;
        is_silent.then_some(Self::StoppedReplying)
    }
}

/// A server that does not reply for a shorter time has not stopped replying, in microseconds.
const SILENCE_MIN_US: f64 = 1e6;

/// So many consecutive datagrams are hardly lost by chance.
const DATAGRAMS_IN_SILENCE_MIN: u64 = 3;

#[cfg(test)]
mod tests {
    use super::super::summary::Datagrams;
    use super::*;

    fn failed_with(change: impl FnOnce(&mut Summary, &mut Silence)) -> Option<Failed> {
        let (mut summary, mut silence) = (Summary::sample(), Silence::default());
        change(&mut summary, &mut silence);
        Failed::of(&summary, &silence)
    }

    #[test]
    fn a_run_without_a_connection_has_failed_unless_it_was_interrupted_before() {
        assert_eq!(failed_with(|of, _| of.connections.opened = 0), Some(Failed::NoConnection));
        let interrupted = |failed| {
            failed_with(|of, _| {
                (of.connections.opened, of.connections.failed, of.interrupted) = (0, failed, true);
            })
        };
        assert_eq!((interrupted(0), interrupted(1)), (None, Some(Failed::NoConnection)));
    }

    #[test]
    fn a_run_in_which_nothing_was_acknowledged_has_failed() {
        let run = |sent| failed_with(|of, _| (of.messages.sent, of.messages.acknowledged) = (sent, 0));
        assert_eq!((run(1), run(0)), (Some(Failed::NothingAcknowledged), None));
        assert_eq!(failed_with(|of, _| of.messages.acknowledged = 1), None);
    }

    #[test]
    fn only_the_server_makes_a_run_that_ended_early_fail() {
        let ended = |reason| failed_with(|of, _| of.ended_early = Some(reason));
        assert_eq!(ended(EndedEarly::ServerGone), Some(Failed::ServerGone));
        assert_eq!(ended(EndedEarly::WrongReplies), Some(Failed::WrongReplies));
        for reason in [EndedEarly::Interrupted, EndedEarly::Descriptors, EndedEarly::GaveUp] {
            assert_eq!(ended(reason), None, "{reason:?}");
        }
    }

    #[test]
    fn a_server_has_stopped_replying_after_a_second_and_twice_its_longest_reply() {
        let silent = |ms: u64, sent, longest_us| {
            failed_with(|of, silence| {
                of.latency_us.service.max = Some(longest_us);
                (silence.ns, silence.sent) = (ms * 1_000_000, sent);
            })
        };
        assert_eq!(silent(1000, 1, 1000.0), Some(Failed::StoppedReplying));
        assert_eq!(silent(999, 1, 1000.0), None);
        assert_eq!(silent(5000, 1, 2_500_000.0), Some(Failed::StoppedReplying));
        assert_eq!(silent(4999, 1, 2_500_000.0), None);
        assert_eq!(silent(60_000, 0, 1000.0), None, "no message was outstanding");
    }

    #[test]
    fn a_lost_datagram_is_not_a_server_that_has_stopped_replying() {
        let lost = |sent| {
            failed_with(|of, silence| {
                of.datagrams = Some(Datagrams::default());
                (silence.ns, silence.sent) = (9_000_000_000, sent);
            })
        };
        assert_eq!((lost(2), lost(3)), (None, Some(Failed::StoppedReplying)));
    }
}
