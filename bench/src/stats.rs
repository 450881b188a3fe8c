//! Median and quartiles of runs, ratios and slopes: pure functions.

use serde::Serialize;

/// The median and the quartiles of some runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter of the runs is below it.
    pub(crate) lower_quartile: f64,
    /// A quarter of the runs is above it.
    pub(crate) upper_quartile: f64,
    pub(crate) runs: usize,
}

impl Spread {
    /// The spread of `runs`; `None` if there are none.
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut runs: Vec<f64> = runs.into_iter().collect();
        runs.sort_by(f64::total_cmp);
        let last = runs.len().checked_sub(1)?;
        // Positions are counted in quarters, with interpolation between two runs.
        let at = |quarters: usize| {
            let (index, rest) = (quarters / 4, [0.0, 0.25, 0.5, 0.75][quarters % 4]);
            runs[index] + rest * (runs[(index + 1).min(last)] - runs[index])
        };
        let (lower_quartile, median, upper_quartile) = (at(last), at(2 * last), at(3 * last));
        Some(Self { median, lower_quartile, upper_quartile, runs: runs.len() })
    }
}

/// The quotients of pairs: the first of `dividends` by the first of `divisors`, and so on.
pub(crate) fn ratios(dividends: &[f64], divisors: &[f64]) -> Vec<f64> {
    dividends.iter().zip(divisors).map(|(dividend, divisor)| dividend / divisor).collect()
}

/// The slope of the line through two points.
pub(crate) fn slope((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> f64 {
    (y2 - y1) / (x2 - x1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_runs_are_between_the_quartiles() {
        assert_eq!(Spread::of([]), None);
        let spread = |lower_quartile, median, upper_quartile, runs| {
            Some(Spread { median, lower_quartile, upper_quartile, runs })
        };
        assert_eq!(Spread::of([7.0]), spread(7.0, 7.0, 7.0, 1));
        assert_eq!(Spread::of([9.0, 1.0, 2.0, 4.0, 3.0]), spread(2.0, 3.0, 4.0, 5));
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), spread(1.75, 2.5, 3.25, 4));
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The second pair was measured while the machine was half as fast: the ratios agree, the medians do not.
        let ratios = Spread::of(ratios(&[2.0, 4.0, 2.0], &[1.0, 2.0, 1.0]));
        assert_eq!(ratios, Some(Spread { median: 2.0, lower_quartile: 2.0, upper_quartile: 2.0, runs: 3 }));
    }

    #[test]
    fn a_slope_ignores_the_constant_part() {
        assert!((slope((2000.0, 164_000.0), (18_000.0, 676_000.0)) - 32.0).abs() < 1e-9);
    }
}
