//! Which model is better with one number of connections, by how much, and how sure that is.
//!
//! The runs of both models alternate, so a run of the loop and the run of threads beside it met the same machine.
//! Their ratio is free of what disturbed both. The verdict is the geometric mean of these ratios, with the interval of
//! Student's t distribution on their logarithms. It holds from two pairs on, since it is wide when there are few.
//!
//! Pairs may be added until the verdict is decided. The interval would then contain the true ratio less often than it
//! claims, so there are verdicts at a few numbers of pairs only, which share the probability of an error (Bonferroni).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::compare::server::Server;
use crate::report::format;

/// The comparison of the loop with another server in one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Verdict {
    /// The other server.
    #[serde(skip)]
    pub rival: Server,
    /// What is compared.
    pub measure: Measure,
    /// Number of connections.
    pub connections: u32,
    /// How many times better the loop is, as the geometric mean of the pairs. Below 1, the other server is better:
    /// threads, or in `further` that of the command.
    pub ratio: f64,
    /// Lower end of the interval of the ratio.
    pub low: f64,
    /// Upper end of the interval of the ratio.
    pub high: f64,
    /// The least probability that the interval contains the true ratio, 0 to 1, also if pairs were added until the
    /// verdict was decided.
    pub confidence: f64,
    /// Number of pairs of runs in the interval.
    pub pairs: usize,
    /// What follows from the interval.
    pub decision: Decision,
    /// If `decision` is `undecided`: about how many more pairs would decide; null if they are too many to count.
    pub more_pairs: Option<usize>,
    /// Reasons to read the verdict with care, as sentences.
    pub qualifications: Vec<Qualification>,
}

/// At which numbers of pairs there is a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::compare) enum Looks {
    /// At one number, which is known before the first run.
    #[default]
    Once,
    /// At [`LOOKS`], since pairs are added until it is decided. The planned number is one of them, at which most
    /// verdicts are decided.
    Repeated {
        /// The planned number.
        planned: usize,
    },
}

impl Looks {
    /// How many of `pairs` the verdict is from; `None` if there are too few.
    fn used(self, pairs: usize) -> Option<usize> {
        match self {
            Self::Once => Some(pairs).filter(|pairs| *pairs >= PAIRS_MIN),
            Self::Repeated { .. } => LOOKS.into_iter().rfind(|look| *look <= pairs),
        }
    }

    /// Half the width of the interval of the mean of `pairs`.
    fn half_width(self, deviation: f64, pairs: usize) -> f64 {
        let quantile = match self {
            Self::Repeated { planned } => {
                let of_planned = QUANTILES_PLANNED.get(pairs - PAIRS_MIN).filter(|_| pairs == planned);
                let look = || LOOKS.iter().position(|look| *look == pairs);
                of_planned.copied().or_else(|| Some(QUANTILES_ADDED[look()?]))
            }
            Self::Once => None,
        };
        quantile.unwrap_or_else(|| quantile_once(pairs - 1)) * deviation / small(pairs).sqrt()
    }

    /// How many pairs must follow `pairs` until the interval is narrow enough, if mean and deviation stay what they
    /// are. More than the greatest look are those of a new comparison with that many.
    fn more_pairs(self, mean: f64, deviation: f64, pairs: usize) -> Option<usize> {
        let distance = (mean.abs() - MARGIN.ln()).abs();
        let is_look = |all: &usize| *all > PAIRS_ADDED_MAX || self.used(*all) == Some(*all);
        let mut looks = (pairs + 1..=PAIRS_MAX).filter(is_look);
        looks.find(|all| self.half_width(deviation, *all) <= distance).map(|all| all - pairs)
    }
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
    /// The server of the command is better, by the margin or more; in `further` only.
    Further,
    /// The difference is smaller than the margin.
    Same,
    /// The interval is too wide.
    Undecided,
}

/// A reason to read a verdict with care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum Qualification {
    /// The generator was the limit of this server in most runs.
    GeneratorLimited(Server),
    /// Other programs delayed the generator in most pairs.
    OtherPrograms,
}

impl Verdict {
    /// The verdict from the logarithms of the ratios, one of each pair; `None` with fewer than two pairs. Those after
    /// the last look are left out.
    pub(in crate::compare) fn of(
        measure: Measure,
        rival: Server,
        connections: u32,
        logs: &[f64],
        looks: Looks,
    ) -> Option<Self> {
        let pairs = looks.used(logs.len())?;
        let all = logs.len();
        let logs = &logs[..pairs];
        let mean = logs.iter().sum::<f64>() / small(pairs);
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let deviation = (squares / small(pairs - 1)).sqrt();
        let half = looks.half_width(deviation, pairs);
        let decision = match (mean - half, mean + half) {
            (low, _) if low >= MARGIN.ln() => Decision::Loop,
            (_, high) if high <= -MARGIN.ln() => match rival {
                Server::Loop | Server::Threads => Decision::Threads,
                Server::With(_) => Decision::Further,
            },
            (low, high) if low >= -MARGIN.ln() && high <= MARGIN.ln() => Decision::Same,
            _ => Decision::Undecided,
        };
        let is_open = decision == Decision::Undecided;
        Some(Self {
            rival,
            measure,
            connections,
            ratio: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
            confidence: CONFIDENCE,
            pairs,
            decision,
            more_pairs: is_open.then(|| looks.more_pairs(mean, deviation, all)).flatten(),
            qualifications: Vec::new(),
        })
    }

    /// The better server.
    pub(crate) fn winner(&self) -> Option<Server> {
        match self.decision {
            Decision::Loop => Some(Server::Loop),
            Decision::Threads | Decision::Further => Some(self.rival),
            Decision::Same | Decision::Undecided => None,
        }
    }

    /// The server with the better mean, and how many times better it is: the mean, and the ends of the interval.
    pub(super) fn lead(&self) -> (Server, [f64; 3]) {
        if self.ratio >= 1.0 {
            (Server::Loop, [self.ratio, self.low, self.high])
        } else {
            (self.rival, [1.0 / self.ratio, 1.0 / self.high, 1.0 / self.low])
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
            || format!("too close to {} for any reasonable number of pairs", margin()),
            |pairs| format!("about {} more would decide it", format::count(pairs as u64)),
        )
    }
}

impl Measure {
    /// `the loop needs 3.6 times less CPU a message`.
    pub(super) fn claim(self, server: Server, times: f64) -> String {
        let times = format::number(times);
        match self {
            Self::CpuPerMessage => format!("{} {times} times less CPU a message", server.does("need")),
            Self::Rate => format!("{} {times} times as many messages a second", server.does("handle")),
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
        format!("the same {} within {}", self.name(), margin())
    }

    /// `CPU a message`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuPerMessage => "CPU a message",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, [times, ..]) = self.lead();
        let (claim, precision) = (self.measure.claim(model, times), self.precision());
        match self.decision {
            Decision::Loop | Decision::Threads | Decision::Further => write!(f, "{claim} ({precision})")?,
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
            Self::GeneratorLimited(server) => {
                format!("the generator was the limit of {}{at}, which may handle more", server.subject())
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

/// The smallest ratio that `pairs` decide if their logarithms deviate by `deviation`; `None` if no ratio is decided.
pub(in crate::compare) fn smallest_difference(deviation: f64, pairs: usize, looks: Looks) -> Option<f64> {
    let used = looks.used(pairs)?;
    Some(MARGIN * looks.half_width(deviation, used).exp())
}

/// The 97.5 % quantile of Student's t distribution.
fn quantile_once(degrees_of_freedom: usize) -> f64 {
    let table = degrees_of_freedom.checked_sub(1).and_then(|index| QUANTILES.get(index));
    // Beyond the table, this is exact to a thousandth.
    table.copied().unwrap_or_else(|| 1.96 + 2.4 / small(degrees_of_freedom))
}

/// The margin as text: `3 %`.
fn margin() -> String {
    format!("{:.0} %", (MARGIN - 1.0) * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "pairs are few")]
fn small(number: usize) -> f64 {
    number as f64
}

/// A smaller difference does not count, however certain it is.
pub(crate) const MARGIN: f64 = 1.03;

/// One pair has no spread, so no interval.
const PAIRS_MIN: usize = 2;

/// Beyond this, the number of missing pairs is no advice.
const PAIRS_MAX: usize = 1000;

/// The probability of an error that is left is 5 %: half of it is that of the look at the planned number of pairs,
/// which is 2 or 3, and each of the other five looks has 0.5 %.
const CONFIDENCE: f64 = 0.95;

/// The numbers of pairs with a verdict if pairs are added.
const LOOKS: [usize; 6] = [2, 3, 5, 8, 13, PAIRS_ADDED_MAX];

/// Pairs after which none are added.
pub(in crate::compare) const PAIRS_ADDED_MAX: usize = 20;

/// The 98.75 % quantiles of Student's t distribution for 2 and 3 pairs.
const QUANTILES_PLANNED: [f64; 2] = [25.452, 6.205];

/// The 99.75 % quantiles for the numbers of pairs in [`LOOKS`].
const QUANTILES_ADDED: [f64; LOOKS.len()] = [127.321, 14.089, 5.598, 4.029, 3.428, 3.174];

/// Of 1 to 30 degrees of freedom, from the usual tables.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

#[cfg(test)]
mod tests;
