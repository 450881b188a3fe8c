//! The median of repeated runs and its confidence interval, and the quantiles of Student's t distribution.

use std::f64::consts::FRAC_PI_2;

use serde::Serialize;

/// The median of some runs, and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Estimate {
    /// The middle value of the runs, or the mean of the middle two.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// The probability that the interval contains the true median, 0 to 1, for any distribution. With fewer than five
    /// runs it is null, and the interval is their range.
    pub confidence: Option<f64>,
    /// Number of runs.
    pub runs: usize,
}

impl Estimate {
    /// The estimate from `runs`; `None` if there are none.
    #[must_use]
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut runs: Vec<f64> = runs.into_iter().filter(|run| run.is_finite()).collect();
        runs.sort_by(f64::total_cmp);
        let (first, last) = (*runs.first()?, *runs.last()?);
        let middle = runs.len() / 2;
        let median = if runs.len() % 2 == 1 { runs[middle] } else { runs[middle - 1].midpoint(runs[middle]) };
        let whole = Self { median, low: first, high: last, confidence: None, runs: runs.len() };
        if runs.len() < RUNS_MIN {
            return Some(whole);
        }
        // The narrowest interval that is confident enough, or else the whole range.
        let confident = (0..middle).rev().find(|rank| confidence(runs.len(), *rank) >= CONFIDENCE);
        let rank = confident.unwrap_or(0);
        let confidence = Some(confidence(runs.len(), rank));
        Some(Self { low: runs[rank], high: runs[runs.len() - 1 - rank], confidence, ..whole })
    }
}

/// The probability that the median lies between the `rank`-th smallest and the `rank`-th largest of `runs`,
/// counted from zero: each run is below or above it with equal probability.
fn confidence(runs: usize, rank: usize) -> f64 {
    let (mut ways, mut outside) = (1.0, 0.0);
    for below in 0..=rank {
        outside += ways;
        ways *= small(runs - below) / small(below + 1);
    }
    1.0 - 2.0 * outside / 2f64.powf(small(runs))
}

/// The logarithms of `runs`; `None` with fewer than two, or one without a value.
pub(super) fn logs(runs: &[f64]) -> Option<Vec<f64>> {
    let logs: Option<Vec<f64>> =
        runs.iter().map(|run| Some(run.ln()).filter(|log| log.is_finite())).collect();
    logs.filter(|logs| logs.len() >= 2)
}

/// The quantile of Student's t distribution that its absolute value exceeds with the probability `error`.
pub(super) fn quantile(error: f64, degrees_of_freedom: usize) -> f64 {
    let degrees = degrees_of_freedom.max(1);
    let (mut low, mut high) = (0.0_f64, FRAC_PI_2);
    // The angle is exact to a billionth of a billionth.
    for _ in 0..60 {
        let angle = low.midpoint(high);
        if inside(angle, degrees) < 1.0 - error { low = angle } else { high = angle }
    }
    small(degrees).sqrt() * low.midpoint(high).tan()
}

/// The probability that the absolute value of Student's t is below `tan(angle) * sqrt(degrees)`: the finite series for a
/// whole number of degrees.
fn inside(angle: f64, degrees: usize) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let is_odd = degrees % 2 == 1;
    let (mut term, mut sum) = (if is_odd { cosine } else { 1.0 }, 0.0);
    for power in (usize::from(is_odd)..degrees - 1).step_by(2) {
        sum += term;
        term *= cosine.powi(2) * small(power + 1) / small(power + 2);
    }
    if is_odd { (angle + sine * sum) / FRAC_PI_2 } else { sine * sum }
}

#[expect(clippy::cast_precision_loss, reason = "runs are few")]
fn small(number: usize) -> f64 {
    number as f64
}

/// With fewer runs, an interval means little.
const RUNS_MIN: usize = 5;

const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Estimate::of([]), None);
        assert_eq!(Estimate::of([f64::NAN]), None);
        assert!((Estimate::of([3.0, 1.0, 2.0]).unwrap().median - 2.0).abs() < 1e-9);
        assert!((Estimate::of([4.0, 1.0, 3.0, 2.0]).unwrap().median - 2.5).abs() < 1e-9);
    }

    #[test]
    fn few_runs_give_a_range_and_more_runs_an_interval() {
        let of = |runs: u32| Estimate::of((1..=runs).map(f64::from)).unwrap();
        assert_eq!((of(4).low, of(4).high, of(4).confidence), (1.0, 4.0, None));
        // From tables of the binomial distribution.
        for (runs, low, high, confidence) in
            [(5, 1.0, 5.0, 0.9375), (6, 1.0, 6.0, 0.968_75), (10, 2.0, 9.0, 0.978_515_625)]
        {
            let it = of(runs);
            assert_eq!((it.low, it.high), (low, high), "{runs}");
            assert!((it.confidence.unwrap() - confidence).abs() < 1e-9, "{runs}: {it:?}");
        }
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        let it = Estimate::of([10.0, 11.0, 10.5, 10.2, 400.0]).unwrap();
        assert!((it.median - 10.5).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (error, degrees, expected) in [
            (0.05, 1, 12.706),
            (0.05, 2, 4.303),
            (0.05, 3, 3.182),
            (0.05, 4, 2.776),
            (0.05, 7, 2.365),
            (0.05, 30, 2.042),
            (0.05, 1000, 1.962),
            (0.01, 5, 4.032),
            (0.001, 1, 636.619),
            (0.001, 4, 8.610),
            (0.001, 9, 4.781),
            (0.001, 18, 3.922),
        ] {
            let it = quantile(error, degrees);
            assert!((it / expected - 1.0).abs() < 2e-4, "{error}, {degrees}: {it}");
        }
    }
}
