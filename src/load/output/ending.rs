//! How a run ended, in a line: for the table, the page and standard error.

use crate::load::stats::ending::{EndedEarly, Failed, Stage};
use crate::load::stats::summary::Summary;
use crate::report::format::{count, time_us};

/// Why the run failed, if it did.
pub(crate) fn failure(summary: &Summary) -> Option<String> {
    let first = summary.failures.first().map(|failure| failure.first.as_str());
    Some(match summary.failed? {
        Failed::NoConnection => {
            format!("no connection could be opened: {}", first.unwrap_or("none was requested"))
        }
        Failed::NothingAcknowledged => {
            let messages = &summary.messages;
            let [sent, failed, unanswered] = [messages.sent, messages.failed, messages.unanswered].map(count);
            let first = first.map_or_else(String::new, |first| format!(": {first}"));
            format!("nothing was acknowledged, {sent} sent: {failed} failed, {unanswered} unanswered{first}")
        }
        Failed::ServerGone | Failed::WrongReplies => early_end(summary)?,
        Failed::StoppedReplying => format!(
            "the server stopped replying at {} of {}",
            time_us(summary.last_reply_seconds.unwrap_or_default() * 1e6),
            time_us(summary.planned_seconds * 1e6)
        ),
    })
}

/// Why the run, or its opening, ended early, if it did.
pub(crate) fn early_end(summary: &Summary) -> Option<String> {
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
    let why = match summary.ended_early? {
        EndedEarly::Interrupted => return Some(format!("interrupted {at}")),
        EndedEarly::ServerGone => "the server went away",
        EndedEarly::WrongReplies => "wrong replies ended all connections",
        EndedEarly::GaveUp => "gave up after 100 consecutive failures to connect",
        EndedEarly::Descriptors => "no descriptor was left",
        EndedEarly::Ports => "no port was left",
        EndedEarly::Source => "no such source address",
        EndedEarly::Memory => "no memory for sockets was left",
    };
    Some(if summary.ended_in == Some(Stage::Opening) {
        format!("opening ended early: {why}")
    } else {
        format!("ended early {at}: {why}")
    })
}
