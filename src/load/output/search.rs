//! The result of a search in words and rows, for the table and the page.

use crate::load::search::options::Quantity;
use crate::load::search::result::{Certainty, SearchEnd, SearchResult, StepRow};
use crate::load::search::verdict::StepEnd;
use crate::load::stats::summary::LoadModel;
use crate::report::format::{connections, count, optional, rate, share, time_us};
use crate::units::float;

/// The answer, in a line.
pub(crate) fn answer(of: &SearchResult) -> String {
    let early = of.ended_early.map_or_else(String::new, |end| format!("{}: ", early_end(end)));
    let Some(above) = &of.above else {
        let held = of.answer.map(|answer| format!("at least {}", held(of, answer)));
        return early + &held.unwrap_or_else(|| "no answer".into());
    };
    let value = number(of, above.value);
    let (limit, is_of_server) = match above.end {
        StepEnd::Generator => (format!("at {value}, the generator was the limit"), false),
        StepEnd::Host => (format!("at {value}, this host was the limit"), false),
        StepEnd::Unknown => (format!("{value} could not be judged"), true),
        StepEnd::Held
        | StepEnd::Condition
        | StepEnd::NotKeptUp
        | StepEnd::Connections
        | StepEnd::ServerFailed
        | StepEnd::Interrupted => (format!("{value} failed in {}", steps(above.failed, above.steps)), true),
    };
    let found = match of.answer {
        None => "no answer".into(),
        Some(answer) if is_of_server => held(of, answer),
        Some(answer) => format!("at least {}", held(of, answer)),
    };
    format!("{early}{found}; {limit}: {}", above.why)
}

fn held(of: &SearchResult, answer: u64) -> String {
    format!("{} held in {}", number(of, answer), steps(of.answer_held, of.answer_steps))
}

/// How sure the answer is, if there is one.
pub(crate) fn certainty(of: &SearchResult) -> Option<&'static str> {
    Some(match of.certainty? {
        Certainty::Repeated => "repeated, and no step contradicts it",
        Certainty::Varied => "steps contradict each other: the boundary is blurred",
        Certainty::Once => {
            "no step contradicts it, but not both sides of the boundary were repeated often enough"
        }
    })
}

/// Why the search ended early.
pub(crate) fn early_end(end: SearchEnd) -> &'static str {
    match end {
        SearchEnd::Interrupted => "interrupted",
        SearchEnd::ServerGone => "the server does not accept connections",
        SearchEnd::TooManySteps => "ended after 100 steps that contradict each other",
    }
}

/// The options of the search, in a line.
pub(crate) fn title(of: &SearchResult) -> String {
    let what = match of.find {
        Quantity::Rate => "the largest rate",
        Quantity::Connections => "the largest number of connections",
    };
    format!("{}, {}, {what}, {}", of.endpoint, of.load_model.name(), counted_steps(of.steps.len()))
}

/// How a step ended, in a word or two.
pub(crate) fn end(of: StepEnd) -> &'static str {
    match of {
        StepEnd::Held => "held",
        StepEnd::Condition | StepEnd::NotKeptUp | StepEnd::Connections | StepEnd::ServerFailed => "failed",
        StepEnd::Generator => "generator not ok",
        StepEnd::Host => "limit of this host",
        StepEnd::Unknown => "unknown",
        StepEnd::Interrupted => "interrupted",
    }
}

/// The names of the columns of the steps.
pub(crate) fn columns(of: &SearchResult) -> [&'static str; 9] {
    let value = match of.find {
        Quantity::Rate => "rate",
        Quantity::Connections => "connections",
    };
    ["step", value, "result", "acknowledged", "p50", "p99", "max", "busy", "why"]
}

/// The cells of the step `index`, from 0.
pub(crate) fn cells(of: &SearchResult, index: usize, row: &StepRow) -> [String; 9] {
    let is_sent = of.load_model != LoadModel::Hold && row.sent > 0;
    [
        (index + 1).to_string(),
        plain(of, row.value),
        end(row.end).into(),
        optional(is_sent.then_some(row.rate), rate),
        optional(row.response_us.p50, time_us),
        optional(row.response_us.p99, time_us),
        optional(row.response_us.max, time_us),
        share(row.busy),
        row.why.clone().unwrap_or_default(),
    ]
}

/// A value as in `8,000/s` or `37 connections`.
pub(crate) fn number(of: &SearchResult, value: u64) -> String {
    match of.find {
        Quantity::Rate => rate(float(value)),
        Quantity::Connections => connections(value),
    }
}

/// The value of a step: `8,000/s` or `37`.
fn plain(of: &SearchResult, value: u64) -> String {
    match of.find {
        Quantity::Rate => rate(float(value)),
        Quantity::Connections => count(value),
    }
}

fn steps(agreed: u32, all: u32) -> String {
    format!("{agreed} of {}", counted_steps(all as usize))
}

fn counted_steps(number: usize) -> String {
    format!("{number} step{}", if number == 1 { "" } else { "s" })
}
