//! What the machine did to all scenarios of a comparison alike.
//!
//! A round is one run of each server in each scenario. Other programs, and the frequency of the processor, slow down or
//! speed up a whole round. Such a change lasts: it does not average out over the rounds as the spread of single runs does,
//! and differs from one comparison to the next by at least as much as from one round to the next.

use super::super::statistics::logs;
use crate::units::float;

/// The variance of the logarithms of a measure that all scenarios of a round have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drift {
    pub(super) variance: f64,
    pub(super) degrees_of_freedom: f64,
}

impl Drift {
    /// From the runs of each scenario in their order, by an analysis of variance: what the means of the rounds vary more
    /// than the spread within a round explains. One scenario has nothing in common with others.
    pub(super) fn of<'a>(scenarios: impl Iterator<Item = &'a [f64]>) -> Self {
        let mut runs: Vec<Vec<f64>> = scenarios.filter_map(logs).collect();
        runs.sort_by_key(Vec::len);
        // Scenarios with few completed runs do not count, and additional runs are in no round.
        let rounds = runs.get(runs.len() / 2).map_or(0, Vec::len);
        runs.retain(|runs| runs.len() >= rounds);
        if rounds < 2 || runs.len() < 2 {
            return Self { variance: 0.0, degrees_of_freedom: 1.0 };
        }
        let (scenarios, degrees_of_freedom) = (float(runs.len() as u64), float(rounds as u64 - 1));
        let mut sums = vec![0.0; rounds];
        let mut squares = 0.0;
        for runs in &runs {
            let mean = runs[..rounds].iter().sum::<f64>() / float(rounds as u64);
            for (sum, run) in sums.iter_mut().zip(runs) {
                *sum += run - mean;
                squares += (run - mean).powi(2);
            }
        }
        let of_rounds = sums.iter().map(|sum| (sum / scenarios).powi(2)).sum::<f64>() / degrees_of_freedom;
        let of_runs = squares / scenarios / degrees_of_freedom;
        let variance = ((scenarios * of_rounds - of_runs) / (scenarios - 1.0)).max(0.0);
        Self { variance, degrees_of_freedom }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the logarithms of the runs of some scenarios.
    fn of(scenarios: &[&[f64]]) -> (f64, f64) {
        let runs: Vec<Vec<f64>> =
            scenarios.iter().map(|logs| logs.iter().map(|log| log.exp()).collect()).collect();
        let it = Drift::of(runs.iter().map(Vec::as_slice));
        (it.variance, it.degrees_of_freedom)
    }

    fn assert_is(of: (f64, f64), variance: f64, degrees_of_freedom: f64) {
        assert!((of.0 - variance).abs() < 1e-9 && (of.1 - degrees_of_freedom).abs() < 1e-9, "{of:?}");
    }

    #[test]
    fn what_a_round_changes_in_all_scenarios_is_drift() {
        let rounds = [1.0, 1.2, 1.4];
        assert_is(of(&[&rounds, &rounds, &[5.0, 5.2, 5.4]]), 0.04, 2.0);
        // The variance in each scenario is 0.04, and that of the means of the rounds 0.28 / 9.
        assert_is(of(&[&rounds, &[1.0, 1.2, 1.4, 9.0], &[2.0, 2.4, 2.2]]), (0.28 / 3.0 - 0.04) / 2.0, 2.0);
        // Runs of a scenario that failed, and those that were added, are in no round.
        assert_is(of(&[&rounds, &[1.0, 1.2, 1.4, 9.0], &[3.0, 4.0], &rounds]), 0.04, 2.0);
    }

    #[test]
    fn what_changes_in_each_scenario_by_itself_is_none() {
        assert_is(of(&[&[1.0, 1.2, 1.4], &[1.4, 1.2, 1.0]]), 0.0, 2.0);
        for nothing_in_common in [&[&[1.0, 1.2, 1.4][..]][..], &[&[1.0], &[1.0]], &[]] {
            assert_is(of(nothing_in_common), 0.0, 1.0);
        }
    }
}
