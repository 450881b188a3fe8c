//! How a run ended, in a line: for the table, the page and standard error.

use crate::load::stats::ending::{EndedEarly, Failed, Stage};
use crate::load::stats::summary::Summary;
use crate::report::format::{count, time_us};

/// Why the run failed, if it did, with the first error: for standard error, which has no list of failures.
pub(crate) fn failure_with_error(summary: &Summary) -> Option<String> {
    let why = failure(summary)?;
    let first = summary.failures.first().map(|failure| failure.first.as_str());
    match (summary.failed?, first) {
        (Failed::NoConnection | Failed::NothingAcknowledged, Some(first)) => Some(format!("{why}: {first}")),
        (Failed::NoConnection, None) => Some(format!("{why}: none was requested")),
        (
            Failed::NothingAcknowledged | Failed::ServerGone | Failed::WrongReplies | Failed::StoppedReplying,
            _,
        ) => Some(why),
    }
}

/// Why the run failed, if it did.
pub(crate) fn failure(summary: &Summary) -> Option<String> {
    Some(match summary.failed? {
        Failed::NoConnection => "no connection could be opened".into(),
        Failed::NothingAcknowledged => {
            let messages = &summary.messages;
            let [sent, failed, unanswered] = [messages.sent, messages.failed, messages.unanswered].map(count);
            format!("nothing was acknowledged, {sent} sent: {failed} failed, {unanswered} unanswered")
        }
        Failed::ServerGone if summary.ended_early != Some(EndedEarly::ServerGone) => {
            format!("the server went away at {}", last_reply(summary))
        }
        Failed::ServerGone | Failed::WrongReplies => early_end(summary)?,
        Failed::StoppedReplying => format!("the server stopped replying at {}", last_reply(summary)),
    })
}

/// The time of the last reply.
fn last_reply(summary: &Summary) -> String {
    let at_seconds = summary.last_reply_seconds.unwrap_or_default();
    format!("{} of {}", time_us(at_seconds * 1e6), time_us(summary.planned_seconds * 1e6))
}

/// Why the opening ended early, and why the run did, except for a reason that `failure` names.
pub(crate) fn early_ends(summary: &Summary) -> Vec<String> {
    let opening = summary.connections.why_not_tried.filter(|why| *why != EndedEarly::Interrupted);
    let opening = opening.map(|why| format!("opening ended early: {}", reason(why)));
    let run = early_end(summary).filter(|run| opening.as_ref() != Some(run));
    let failure = failure(summary);
    [opening, run].into_iter().flatten().filter(|how| failure.as_ref() != Some(how)).collect()
}

/// Why the run ended early, or its opening, if either did.
fn early_end(summary: &Summary) -> Option<String> {
    let at = match summary.ended_in? {
        Stage::Opening => "while connections were opened".into(),
        Stage::WarmUp => "in the warm-up".into(),
        Stage::Measuring => format!(
            "at {} of {}",
            time_us(summary.duration_seconds * 1e6),
            time_us(summary.planned_seconds * 1e6)
        ),
        Stage::Draining => "while outstanding replies were awaited".into(),
    };
    let why = summary.ended_early?;
    Some(match (why, summary.ended_in) {
        (EndedEarly::Interrupted, _) => format!("interrupted {at}"),
        (_, Some(Stage::Opening)) => format!("opening ended early: {}", reason(why)),
        _ => format!("ended early {at}: {}", reason(why)),
    })
}

fn reason(why: EndedEarly) -> &'static str {
    match why {
        EndedEarly::Interrupted => "interrupted",
        EndedEarly::ServerGone => "the server went away",
        EndedEarly::WrongReplies => "wrong replies ended all connections",
        EndedEarly::GaveUp => "gave up after 100 consecutive failures to connect",
        EndedEarly::Descriptors => "no descriptor was left",
        EndedEarly::Ports => "no port was left",
        EndedEarly::Source => "no such source address",
        EndedEarly::Memory => "no memory for sockets was left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::error_kind::ErrorKind;
    use crate::load::stats::summary::Failure;

    fn ended(reason: EndedEarly, stage: Stage) -> Summary {
        let mut of = Summary::sample();
        (of.ended_early, of.ended_in, of.duration_seconds) = (Some(reason), Some(stage), 0.949);
        of
    }

    #[test]
    fn an_early_end_is_described_by_its_time_and_its_reason() {
        for (reason, stage, expected) in [
            (EndedEarly::ServerGone, Stage::Measuring, "ended early at 949 ms of 10 s: the server went away"),
            (EndedEarly::ServerGone, Stage::WarmUp, "ended early in the warm-up: the server went away"),
            (EndedEarly::Interrupted, Stage::Measuring, "interrupted at 949 ms of 10 s"),
            (EndedEarly::Interrupted, Stage::Opening, "interrupted while connections were opened"),
            (EndedEarly::Interrupted, Stage::Draining, "interrupted while outstanding replies were awaited"),
            (EndedEarly::Descriptors, Stage::Opening, "opening ended early: no descriptor was left"),
            (EndedEarly::Ports, Stage::Measuring, "ended early at 949 ms of 10 s: no port was left"),
        ] {
            assert_eq!(early_end(&ended(reason, stage)).as_deref(), Some(expected));
        }
        assert_eq!(early_end(&Summary::sample()), None);
    }

    #[test]
    fn the_end_of_the_opening_is_described_beside_that_of_the_run() {
        let mut of = ended(EndedEarly::Interrupted, Stage::Measuring);
        of.connections.why_not_tried = Some(EndedEarly::Descriptors);
        let opening = "opening ended early: no descriptor was left";
        assert_eq!(early_ends(&of), [opening, "interrupted at 949 ms of 10 s"]);
        (of.ended_early, of.ended_in) = (Some(EndedEarly::Descriptors), Some(Stage::Opening));
        assert_eq!(early_ends(&of), [opening]);
        let mut of = ended(EndedEarly::Interrupted, Stage::Opening);
        of.connections.why_not_tried = Some(EndedEarly::Interrupted);
        assert_eq!(early_ends(&of), ["interrupted while connections were opened"]);
    }

    #[test]
    fn only_standard_error_has_the_first_error_in_the_description_of_a_failure() {
        let mut of = Summary::sample();
        of.failed = Some(Failed::NothingAcknowledged);
        (of.messages.acknowledged, of.messages.failed, of.messages.unanswered) = (0, 49_999, 1);
        let counts = "nothing was acknowledged, 50,000 sent: 49,999 failed, 1 unanswered";
        assert_eq!([failure(&of), failure_with_error(&of)], [(); 2].map(|()| Some(counts.to_owned())));
        let first = String::from("connection 1: byte 0 of the reply is 'H', expected '3'");
        of.failures = vec![Failure { reason: ErrorKind::WrongReply, count: 49_999, first: first.clone() }];
        assert_eq!(failure(&of).as_deref(), Some(counts));
        assert_eq!(failure_with_error(&of), Some(format!("{counts}: {first}")));
        of.failed = Some(Failed::NoConnection);
        assert_eq!(failure(&of).as_deref(), Some("no connection could be opened"));
        assert_eq!(failure_with_error(&of), Some(format!("no connection could be opened: {first}")));
        (of.failed, of.last_reply_seconds) = (Some(Failed::StoppedReplying), Some(3.0));
        assert_eq!(failure(&of).as_deref(), Some("the server stopped replying at 3 s of 10 s"));
        of.failed = Some(Failed::ServerGone);
        assert_eq!(failure(&of).as_deref(), Some("the server went away at 3 s of 10 s"));
        let mut gone = ended(EndedEarly::ServerGone, Stage::Measuring);
        gone.failed = Some(Failed::ServerGone);
        assert_eq!([failure(&gone), failure_with_error(&gone)], [(); 2].map(|()| early_end(&gone)));
    }
}
