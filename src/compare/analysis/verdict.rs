//! Which model is better with one number of connections, by how much, and how sure that is.
//!
//! The runs of both models alternate, so a run of the loop and the run of threads beside it met the same machine.
//! Their ratio is free of what disturbed both. The verdict is the geometric mean of these ratios, with the interval of
//! Student's t distribution on their logarithms. It holds from two pairs on, since it is wide when there are few.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::report::format;
use crate::server::options::Model;

/// The comparison of both models in one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Verdict {
    /// What is compared.
    pub measure: Measure,
    /// Number of connections.
    pub connections: u32,
    /// How many times better the loop is, as the geometric mean of the pairs. Below 1, threads are better.
    pub ratio: f64,
    /// Lower end of the interval of the ratio.
    pub low: f64,
    /// Upper end of the interval of the ratio.
    pub high: f64,
    /// The probability that the interval contains the true ratio, 0 to 1.
    pub confidence: f64,
    /// Number of pairs of runs.
    pub pairs: usize,
    /// What follows from the interval.
    pub decision: Decision,
    /// If `decision` is `undecided`: about how many more pairs would decide; null if they are too many to count.
    pub more_pairs: Option<usize>,
    /// Reasons to read the verdict with care, as sentences.
    pub qualifications: Vec<Qualification>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// CPU time of the server for each message. Other programs hardly change it.
    CpuPerMessage,
    /// Messages a second.
    Rate,
}

/// The conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// The loop is better, by the margin or more.
    Loop,
    /// Threads are better, by the margin or more.
    Threads,
    /// The difference is smaller than the margin.
    Same,
    /// The interval is too wide.
    Undecided,
}

/// A reason to read a verdict with care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum Qualification {
    /// The generator was the limit of this model in most runs.
    GeneratorLimited(Model),
    /// Other programs delayed the generator in most pairs.
    OtherPrograms,
}

impl Verdict {
    /// The verdict from the logarithms of the ratios, one of each pair; `None` with fewer than two pairs.
    pub(crate) fn of(measure: Measure, connections: u32, logs: &[f64]) -> Option<Self> {
        let pairs = logs.len();
        if pairs < PAIRS_MIN {
            return None;
        }
        let mean = logs.iter().sum::<f64>() / small(pairs);
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let deviation = (squares / small(pairs - 1)).sqrt();
        let half = half_width(deviation, pairs);
        let decision = match (mean - half, mean + half) {
            (low, _) if low >= MARGIN.ln() => Decision::Loop,
            (_, high) if high <= -MARGIN.ln() => Decision::Threads,
            (low, high) if low >= -MARGIN.ln() && high <= MARGIN.ln() => Decision::Same,
            _ => Decision::Undecided,
        };
        let is_open = decision == Decision::Undecided;
        Some(Self {
            measure,
            connections,
            ratio: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
            confidence: CONFIDENCE,
            pairs,
            decision,
            more_pairs: is_open.then(|| more_pairs(mean, deviation, pairs)).flatten(),
            qualifications: Vec::new(),
        })
    }

    /// The better model.
    pub(crate) fn winner(&self) -> Option<Model> {
        match self.decision {
            Decision::Loop => Some(Model::Loop),
            Decision::Threads => Some(Model::Threads),
            Decision::Same | Decision::Undecided => None,
        }
    }

    /// The model with the better mean, and how many times better it is: the mean, and the ends of the interval.
    pub(super) fn lead(&self) -> (Model, [f64; 3]) {
        if self.ratio >= 1.0 {
            (Model::Loop, [self.ratio, self.low, self.high])
        } else {
            (Model::Threads, [1.0 / self.ratio, 1.0 / self.high, 1.0 / self.low])
        }
    }

    /// The interval and the number of pairs: `95 % interval 3.1 to 4.2, 5 pairs`.
    pub(super) fn precision(&self) -> String {
        let (_, [_, low, high]) = self.lead();
        let [low, high] = [low, high].map(format::number);
        let percent = self.confidence * 100.0;
        format!("{percent:.0} % interval {low} to {high}, {} pairs", self.pairs)
    }

    /// What would decide an open verdict.
    pub(super) fn needed(&self) -> String {
        self.more_pairs.map_or_else(
            || format!("too close to {MARGIN_PERCENT} % for any reasonable number of pairs"),
            |pairs| format!("about {} more would decide it", format::count(pairs as u64)),
        )
    }
}

impl Measure {
    /// `the loop needs 3.6 times less CPU a message`.
    pub(super) fn claim(self, model: Model, times: f64) -> String {
        let times = format::number(times);
        match (self, model) {
            (Self::CpuPerMessage, Model::Loop) => format!("the loop needs {times} times less CPU a message"),
            (Self::CpuPerMessage, Model::Threads) => format!("threads need {times} times less CPU a message"),
            (Self::Rate, Model::Loop) => format!("the loop handles {times} times as many messages a second"),
            (Self::Rate, Model::Threads) => format!("threads handle {times} times as many messages a second"),
        }
    }

    /// What a better model does: `less` CPU, `more` messages.
    pub(super) fn direction(self) -> &'static str {
        match self {
            Self::CpuPerMessage => "less",
            Self::Rate => "more",
        }
    }

    /// `the same CPU a message within 3 %`.
    pub(super) fn same(self) -> String {
        let what = match self {
            Self::CpuPerMessage => "CPU a message",
            Self::Rate => "rate",
        };
        format!("the same {what} within {MARGIN_PERCENT} %")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, [times, ..]) = self.lead();
        let (claim, precision) = (self.measure.claim(model, times), self.precision());
        match self.decision {
            Decision::Loop | Decision::Threads => write!(f, "{claim} ({precision})")?,
            Decision::Same => write!(f, "{} ({precision})", self.measure.same())?,
            Decision::Undecided => write!(f, "not decided: {claim} ({precision}; {})", self.needed())?,
        }
        self.qualifications.iter().try_for_each(|it| write!(f, "; {it}"))
    }
}

impl Qualification {
    /// The sentence, with `at` after the subject: ` at 10 connections`, or nothing.
    pub(super) fn at(self, at: &str) -> String {
        match self {
            Self::GeneratorLimited(Model::Loop) => {
                format!("the generator was the limit of the loop{at}, which may handle more")
            }
            Self::GeneratorLimited(Model::Threads) => {
                format!("the generator was the limit of threads{at}, which may handle more")
            }
            Self::OtherPrograms => format!("other programs delayed the generator{at}"),
        }
    }
}

impl fmt::Display for Qualification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(""))
    }
}

impl Serialize for Qualification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Half the width of the interval of the mean.
fn half_width(deviation: f64, pairs: usize) -> f64 {
    quantile(pairs - 1) * deviation / small(pairs).sqrt()
}

/// The smallest ratio that `pairs` decide if their logarithms deviate by `deviation`; `None` if no ratio is decided.
pub(in crate::compare) fn smallest_difference(deviation: f64, pairs: usize) -> Option<f64> {
    (pairs >= PAIRS_MIN).then(|| MARGIN * half_width(deviation, pairs).exp())
}

/// How many pairs must follow until the interval is narrow enough, if mean and deviation stay what they are.
fn more_pairs(mean: f64, deviation: f64, pairs: usize) -> Option<usize> {
    let distance = (mean.abs() - MARGIN.ln()).abs();
    (pairs + 1..=PAIRS_MAX).find(|pairs| half_width(deviation, *pairs) <= distance).map(|all| all - pairs)
}

/// The 97.5 % quantile of Student's t distribution.
fn quantile(degrees_of_freedom: usize) -> f64 {
    let table = degrees_of_freedom.checked_sub(1).and_then(|index| QUANTILES.get(index));
    // Beyond the table, this is exact to a thousandth.
    table.copied().unwrap_or_else(|| 1.96 + 2.4 / small(degrees_of_freedom))
}

#[expect(clippy::cast_precision_loss, reason = "pairs are few")]
fn small(number: usize) -> f64 {
    number as f64
}

/// A smaller difference does not count, however certain it is.
pub(crate) const MARGIN: f64 = 1.03;
const MARGIN_PERCENT: u32 = 3;

/// One pair has no spread, so no interval.
const PAIRS_MIN: usize = 2;

/// With more pairs than this, "so many more pairs" is no advice.
const PAIRS_MAX: usize = 1000;

const CONFIDENCE: f64 = 0.95;

/// Of 1 to 30 degrees of freedom, from the usual tables.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

#[cfg(test)]
mod tests;
