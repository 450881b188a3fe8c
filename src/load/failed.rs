//! Decides whether a run failed, by its result.

use super::stats::ending::{EndedEarly, Failed, Silence};
use super::stats::summary::Summary;
use super::stats::tally::seconds;

/// Why the run with this result failed, if it did. `silence` followed the last reply.
pub(crate) fn why_failed(summary: &Summary, silence: &Silence) -> Option<Failed> {
    let (connections, messages) = (&summary.connections, &summary.messages);
    // Interrupted before the first connection was opened or has failed, a run has no result.
    let is_tried = !summary.interrupted || connections.failed + messages.failed > 0;
    let is_gone = summary.ended_early == Some(EndedEarly::ServerGone) || silence.is_refused;
    // Connections of the warm-up are not counted.
    if connections.opened == 0 && !is_gone {
        return is_tried.then_some(Failed::NoConnection);
    }
    if messages.sent > 0 && messages.acknowledged == 0 {
        return Some(Failed::NothingAcknowledged);
    }
    if summary.idle_probe.is_some() {
        // Connections that die are what it looks for.
        return None;
    }
    if is_gone {
        return Some(Failed::ServerGone);
    }
    if summary.ended_early == Some(EndedEarly::WrongReplies) {
        return Some(Failed::WrongReplies);
    }
    // A datagram that is lost is no failure of the server. In a closed loop, few are sent after the last reply.
    let (unanswered, unanswered_min) = if summary.datagrams.is_some() {
        (silence.sent + silence.in_flight, DATAGRAMS_IN_SILENCE_MIN)
    } else {
        (silence.sent, 1)
    };
    // A slow server is given more time than it has needed for any other reply.
    let longest_us = summary.latency_us.service.max.unwrap_or_default();
    let silence_min_us = (longest_us * 2.0).max(SILENCE_MIN_US);
    let is_silent = unanswered >= unanswered_min && seconds(silence.ns) * 1e6 >= silence_min_us;
    is_silent.then_some(Failed::StoppedReplying)
}

/// A server that does not reply for a shorter time has not stopped replying, in microseconds.
const SILENCE_MIN_US: f64 = 1e6;

/// This number of consecutive datagrams is hardly lost by chance.
const DATAGRAMS_IN_SILENCE_MIN: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stats::summary::Datagrams;

    fn failed_with(change: impl FnOnce(&mut Summary, &mut Silence)) -> Option<Failed> {
        let (mut summary, mut silence) = (Summary::sample(), Silence::default());
        change(&mut summary, &mut silence);
        why_failed(&summary, &silence)
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
    fn a_server_that_refuses_after_its_last_reply_is_gone_whatever_the_silence() {
        let refused = |change: fn(&mut Summary)| {
            failed_with(|of, silence| {
                silence.is_refused = true;
                change(of);
            })
        };
        assert_eq!(refused(|_| {}), Some(Failed::ServerGone));
        assert_eq!(refused(|of| of.datagrams = Some(Datagrams::default())), Some(Failed::ServerGone));
        // All connections were opened in the warm-up.
        assert_eq!(refused(|of| of.connections.opened = 0), Some(Failed::ServerGone));
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

    #[test]
    fn a_datagram_server_that_dies_late_in_a_closed_loop_has_stopped_replying() {
        let died = |in_flight, is_udp: bool| {
            failed_with(|of, silence| {
                of.datagrams = is_udp.then(Datagrams::default);
                (silence.ns, silence.sent, silence.in_flight) = (1_000_000_000, u64::from(is_udp), in_flight);
            })
        };
        assert_eq!((died(49, true), died(1, true)), (Some(Failed::StoppedReplying), None));
        assert_eq!(died(49, false), None, "nothing was sent after the last reply");
    }
}
