//! The verdict on a step, from the result of its run.

use serde::Serialize;

use super::boundary::Verdict;
use super::options::{Quantity, SearchOptions};
use crate::load::error_kind::OpenLimit;
use crate::load::output::ending;
use crate::load::stats::summary::{Outcome, Summary};
use crate::load::stats::threshold::Judgment;
use crate::report::format::{count, rate};
use crate::units::float;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepEnd {
    /// The number held: no condition held, and the server kept up.
    Held,
    /// A condition of `--until` holds.
    Condition,
    /// The server did not acknowledge the messages as fast as they were sent.
    NotKeptUp,
    /// The server did not accept all connections, or did not keep them.
    Connections,
    /// The server failed, as in a run with exit status 4, or no connection could be opened.
    ServerFailed,
    /// The generator was the limit.
    Generator,
    /// This host does not allow the number of connections.
    Host,
    /// The metric of a condition is unknown: there were too few samples.
    Unknown,
    /// A signal ended the step.
    Interrupted,
}

/// The verdict on a step, with its reason.
#[derive(Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) end: StepEnd,
    /// Why it is not `Held`.
    pub(super) why: Option<String>,
    /// Of connections, those that held.
    pub(super) reached: Option<u64>,
    pub(super) thresholds: Vec<Judgment>,
}

impl Judged {
    /// What it means for the search; `None` if the step was interrupted.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let reached = self.reached;
        Some(match self.end {
            StepEnd::Held => Verdict::Held,
            StepEnd::Condition | StepEnd::NotKeptUp | StepEnd::Connections | StepEnd::ServerFailed => {
                Verdict::Failed { reached }
            }
            StepEnd::Generator => Verdict::Invalid,
            StepEnd::Host => Verdict::Unreachable { reached },
            StepEnd::Unknown => Verdict::Unjudged,
            StepEnd::Interrupted => return None,
        })
    }
}

/// The verdict on the step of a search.
pub(super) fn judge(options: &SearchOptions, outcome: &Outcome) -> Judged {
    let thresholds: Vec<Judgment> = options.until.iter().map(|it| it.judge(&outcome.summary)).collect();
    let (end, why, reached) = decide(options, outcome, &thresholds);
    Judged { end, why, reached, thresholds }
}

/// What is certain whatever the generator did comes first.
fn decide(
    options: &SearchOptions,
    outcome: &Outcome,
    thresholds: &[Judgment],
) -> (StepEnd, Option<String>, Option<u64>) {
    let summary = &outcome.summary;
    if summary.interrupted {
        return (StepEnd::Interrupted, None, None);
    }
    let of_connections = options.find == Quantity::Connections;
    let kept = kept_connections(summary).filter(|_| of_connections);
    if let Some(limit) =
        summary.connections.limited_by.filter(|limit| is_of_host(*limit) && !is_refused(summary))
    {
        return (StepEnd::Host, Some(opened(summary, limit)), kept);
    }
    if let Some(why) = ending::failure_with_error(summary) {
        return (StepEnd::ServerFailed, Some(why), None);
    }
    let holding = thresholds.iter().find(|it| !it.met && it.value.is_some());
    if let Some(why) = not_held(summary).filter(|_| of_connections) {
        return (StepEnd::Connections, Some(why), kept);
    }
    if let Some(why) = summary.why_invalid.filter(|_| holding.is_some() || !options.is_of_server()) {
        return (StepEnd::Generator, Some(why.to_string()), None);
    }
    if let Some(holding) = holding {
        return (StepEnd::Condition, holding.why_not.clone(), None);
    }
    if let Some(why) = not_kept_up(outcome).filter(|_| summary.valid) {
        return (StepEnd::NotKeptUp, Some(why), None);
    }
    match thresholds.iter().find(|it| !it.met) {
        Some(unknown) => (StepEnd::Unknown, unknown.why_not.clone(), None),
        None => (StepEnd::Held, None, None),
    }
}

/// The connections that were opened and not lost, if there are some.
fn kept_connections(summary: &Summary) -> Option<u64> {
    let of = &summary.connections;
    Some(of.opened.saturating_sub(of.lost)).filter(|kept| *kept > 0)
}

fn is_of_host(limit: OpenLimit) -> bool {
    matches!(limit, OpenLimit::Descriptors | OpenLimit::Ports | OpenLimit::Source | OpenLimit::Memory)
}

/// Whether connections failed otherwise than at a limit of this host.
fn is_refused(summary: &Summary) -> bool {
    let local = summary.failures.iter().filter(|failure| failure.reason.is_final());
    summary.connections.failed > local.map(|failure| failure.count).sum()
}

/// Why the connections are not as many as requested, if they are not.
fn not_held(summary: &Summary) -> Option<String> {
    let of = &summary.connections;
    if of.opened < of.asked {
        return Some(match of.limited_by {
            Some(limit) => opened(summary, limit),
            None => format!("{} of {} connections opened", count(of.opened), count(of.asked)),
        });
    }
    (of.lost > 0).then(|| format!("{} of {} connections lost", count(of.lost), count(of.opened)))
}

fn opened(summary: &Summary, limit: OpenLimit) -> String {
    let of = &summary.connections;
    format!("{} of {} connections opened, limited by {limit}", count(of.opened), count(of.asked))
}

/// Why the server did not keep up with an open loop, if it did not. Replies to the last messages may be outstanding
/// when sending ends: as many as are sent in the time of the fastest reply, and one.
fn not_kept_up(outcome: &Outcome) -> Option<String> {
    let summary = &outcome.summary;
    let messages = &summary.messages;
    let offered = messages.offered_rate?;
    if messages.never_sent > 0 {
        let unsent = count(messages.never_sent);
        return Some(format!("{unsent} messages were due and never sent: no connection was free"));
    }
    let sent = float(messages.sent - summary.heartbeats.as_ref().map_or(0, |heartbeats| heartbeats.sent));
    let sent_rate = sent / summary.duration_seconds;
    let fastest_seconds = float(outcome.times.response.min()) / 1e9;
    let outstanding = sent_rate * fastest_seconds.min(summary.duration_seconds) + 1.0;
    let acknowledged = messages.rate * summary.duration_seconds;
    let is_behind = acknowledged + outstanding < sent * KEPT_UP;
    is_behind.then(|| format!("{} of {} offered were acknowledged", rate(messages.rate), rate(offered)))
}

/// The share of the messages that a server acknowledges while they are sent if it keeps up.
const KEPT_UP: f64 = 0.95;

#[cfg(test)]
mod tests;
