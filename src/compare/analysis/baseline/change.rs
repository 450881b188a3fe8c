//! A measure in a scenario, now and before, with the interval of its ratio.

use std::fmt;

use serde::Serialize;

use super::super::statistics::{logs, quantile};
use super::super::verdict::{MARGIN, Measure};
use super::drift::Drift;
use crate::report::format;
use crate::units::float;

/// A measure in a scenario, now and before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Change {
    /// The workload, the connections, the server and the load.
    pub scenario: String,
    /// What is compared.
    pub measure: Measure,
    /// The value now, divided by the value before: of the geometric means of the runs.
    pub ratio: f64,
    /// Lower end of the interval of the ratio.
    pub low: f64,
    /// Upper end of that interval.
    pub high: f64,
    /// Number of runs now.
    pub runs: usize,
    /// Number of runs before.
    pub baseline_runs: usize,
    /// What follows from the interval.
    pub direction: Direction,
}

/// What follows from the interval of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Better, by 3 % or more: less CPU time, or more messages.
    Better,
    /// Worse, by 3 % or more.
    Worse,
    /// The difference is smaller than 3 %.
    Same,
    /// The interval is too wide.
    Undecided,
}

impl Change {
    /// The change from the first of `runs` to the second; `None` with fewer than two on a side. `error` is the
    /// probability that the interval does not contain the true ratio.
    pub(super) fn of(
        scenario: &str,
        measure: Measure,
        runs: [&[f64]; 2],
        drifts: [Drift; 2],
        error: f64,
    ) -> Option<Self> {
        let [before, now] = runs;
        let [(mean_before, spread_before), (mean_now, spread_now)] = [mean_log(before)?, mean_log(now)?];
        let degrees_of = |runs: &[f64]| float(runs.len() as u64) - 1.0;
        let parts = [(spread_before, degrees_of(before)), (spread_now, degrees_of(now))];
        let all = parts.into_iter().chain(drifts.iter().map(|it| (it.variance, it.degrees_of_freedom)));
        let (variance, weighted) = all.fold((0.0, 0.0), |(sum, weighted), (variance, degrees)| {
            (sum + variance, weighted + variance.powi(2) / degrees)
        });
        // Welch and Satterthwaite, rounded down.
        let degrees = variance.powi(2) / weighted;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the number of runs"
        )]
        let degrees = if degrees.is_finite() { (degrees as usize).max(1) } else { 1 };
        let (mean, half) = (mean_now - mean_before, quantile(error, degrees) * variance.sqrt());
        let (low, high) = (mean - half, mean + half);
        let margin = MARGIN.ln();
        let is_less_better = measure == Measure::CpuPerMessage;
        let direction = match (low >= margin, high <= -margin) {
            (true, _) if is_less_better => Direction::Worse,
            (_, true) if !is_less_better => Direction::Worse,
            (true, _) | (_, true) => Direction::Better,
            _ if low >= -margin && high <= margin => Direction::Same,
            _ => Direction::Undecided,
        };
        Some(Self {
            scenario: scenario.into(),
            measure,
            ratio: mean.exp(),
            low: low.exp(),
            // JSON has no infinity.
            high: high.exp().min(f64::MAX),
            runs: now.len(),
            baseline_runs: before.len(),
            direction,
        })
    }

    /// The ends of the interval as text.
    pub(crate) fn ends(&self) -> [String; 2] {
        [self.low, self.high].map(times)
    }
}

/// A ratio as text. Greater ones have no meaning.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        small if small < 0.001 => "< 0.001".into(),
        great if great > 1000.0 => "> 1,000".into(),
        ratio => format::number(ratio),
    }
}

/// The mean of the logarithms, and its squared standard error; `None` if they have none.
fn mean_log(runs: &[f64]) -> Option<(f64, f64)> {
    let logs = logs(runs)?;
    let n = float(logs.len() as u64);
    let mean = logs.iter().sum::<f64>() / n;
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    Some((mean, squares / (n - 1.0) / n))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ratio, [low, high]) = (times(self.ratio), self.ends());
        let Self { scenario, runs, baseline_runs, .. } = self;
        let measure = self.measure.name();
        write!(
            f,
            "{scenario}: {measure} is {ratio} times that of the baseline (interval {low} to {high}, {runs} runs against \
             {baseline_runs})"
        )
    }
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "the same",
            Self::Undecided => "not decided",
        }
    }
}
