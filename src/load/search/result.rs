//! The result of a search, as the table, the page and the JSON have it.

use serde::Serialize;

use super::boundary::{Boundary, Side, Standing};
use super::options::Quantity;
use super::verdict::{Judged, StepEnd};
use crate::load::stats::latency::Percentiles;
use crate::load::stats::summary::{LoadModel, Outcome};
use crate::load::stats::threshold::Judgment;
use crate::load::target::Target;

/// The result of a search. Times are in microseconds, rates per second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SearchResult {
    /// The target: a service or `hold`, `tcp` or `udp`, with its address.
    pub endpoint: Target,
    /// What was searched for.
    pub find: Quantity,
    /// When messages were sent.
    pub load_model: LoadModel,
    /// The largest rate, or number of connections, that held, below each that did not; null if none held.
    pub answer: Option<u64>,
    /// Steps with the answer that had a verdict.
    pub answer_steps: u32,
    /// Of these, steps that held.
    pub answer_held: u32,
    /// What is above the answer; null if nothing was found there.
    pub above: Option<Above>,
    /// How sure the answer is; null if there is none.
    pub certainty: Option<Certainty>,
    /// Why the search ended before the boundary was found and repeated; null if it was.
    pub ended_early: Option<SearchEnd>,
    /// All steps in their order.
    pub steps: Vec<StepRow>,
}

/// The smallest number that did not hold.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Above {
    /// The rate, or number of connections.
    pub value: u64,
    /// How its steps ended: what stopped the search. With `generator` or `host`, the answer is that of the generator or
    /// of this host, and the server may be capable of more.
    pub end: StepEnd,
    /// The reason, in words.
    pub why: String,
    /// Steps with this number that had a verdict.
    pub steps: u32,
    /// Of these, steps that failed.
    pub failed: u32,
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Certainty {
    /// Both sides of the boundary were repeated, and no step contradicts the answer.
    Repeated,
    /// Steps contradict each other: the boundary is blurred.
    Varied,
    /// No step contradicts the answer, and not both sides of the boundary have three steps.
    Once,
}

/// Why a search ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum SearchEnd {
    /// A signal ended it.
    Interrupted,
    /// The server does not accept connections.
    ServerGone,
    /// After 100 steps, the boundary was not found: steps contradict each other.
    TooManySteps,
}

/// A step of a search.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StepRow {
    /// The rate, or number of connections.
    pub value: u64,
    /// How it ended.
    pub end: StepEnd,
    /// Why it did not hold, in words; null if it held.
    pub why: Option<String>,
    /// Connections that were opened.
    pub opened: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages answered correctly.
    pub acknowledged: u64,
    /// Messages acknowledged per second while messages were sent.
    pub rate: f64,
    /// Response times, in microseconds.
    pub response_us: Percentiles,
    /// Share of the time in which the generator neither waited nor spun, 0 to 1.
    pub busy: f64,
    /// The value of each `--until`.
    pub thresholds: Vec<Judgment>,
}

impl StepRow {
    pub(super) fn new(value: u64, judged: Judged, outcome: &Outcome) -> Self {
        let summary = &outcome.summary;
        let response = &summary.latency_us.response;
        Self {
            value,
            end: judged.end,
            why: judged.why,
            opened: summary.connections.opened,
            sent: summary.messages.sent,
            acknowledged: summary.messages.acknowledged,
            rate: summary.messages.rate,
            response_us: Percentiles { p50: response.p50, p99: response.p99, max: response.max },
            busy: summary.generator.busy,
            thresholds: judged.thresholds,
        }
    }
}

impl Above {
    /// The side `of` the boundary, with the reason of its last step with this outcome.
    pub(super) fn new(of: &Side, steps: &[StepRow]) -> Option<Self> {
        let is_unreached = of.standing == Standing::Unreached;
        let is_reason = |row: &&StepRow| match row.end {
            StepEnd::Generator | StepEnd::Host => is_unreached,
            StepEnd::Held | StepEnd::Interrupted => false,
            StepEnd::Condition
            | StepEnd::NotKeptUp
            | StepEnd::Connections
            | StepEnd::ServerFailed
            | StepEnd::Unknown => !is_unreached,
        };
        let last = steps.iter().rev().filter(|row| row.value == of.value).find(is_reason)?;
        Some(Self {
            value: of.value,
            end: last.end,
            why: last.why.clone().unwrap_or_default(),
            steps: of.steps,
            failed: of.agreed,
        })
    }
}

impl Certainty {
    pub(super) fn of(boundary: &Boundary) -> Self {
        match (boundary.is_consistent(), boundary.is_repeated()) {
            (false, _) => Self::Varied,
            (true, true) => Self::Repeated,
            (true, false) => Self::Once,
        }
    }
}
