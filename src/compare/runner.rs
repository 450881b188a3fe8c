//! Runs the steps one after the other, until all are done or a signal ends the comparison.

#![expect(clippy::disallowed_methods, reason = "the live line shows the remaining time")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cores::Cores;
use super::error::CompareError;
use super::measure::{Sample, measure};
use super::options::CompareOptions;
use super::plan::{Load, MODELS, Scenario, Step};
use super::stop_request::StopRequest;
use crate::compare::analysis::statistics::Estimate;
use crate::server::options::Model;

/// The progress of a comparison when a run begins.
pub(crate) struct Progress {
    /// The run.
    pub step: String,
    /// Completed runs.
    pub done: usize,
    /// All runs.
    pub planned: usize,
    /// The remaining time, estimated.
    pub left: Duration,
}

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(super) samples: BTreeMap<(Scenario, Model), Vec<Sample>>,
    /// The rates of the open loops, in messages a second.
    pub(super) rates: BTreeMap<Scenario, u64>,
    pub(super) done: usize,
    /// Repeats skipped for lack of time, and open loops without a rate.
    pub(super) skipped: usize,
    pub(super) planned: usize,
    pub(super) is_interrupted: bool,
    pub(super) elapsed: Duration,
}

/// Runs `steps`, and calls `show` before each.
pub(super) fn run(
    steps: &[Step],
    options: &CompareOptions,
    cores: &Cores,
    mut show: impl FnMut(Progress),
) -> Result<Runs, CompareError> {
    let stop = StopRequest::listen().map_err(CompareError::Signals)?;
    let began = Instant::now();
    let mut runs = Runs { planned: steps.len(), ..Runs::default() };
    let mut left: Duration = steps.iter().map(|step| step.estimate(options)).sum();
    let mut estimated = Duration::ZERO;
    // Both models have the same number of runs in a scenario, so a pair is skipped as a whole.
    let mut decided = None;
    for step in steps {
        if stop.is_requested() {
            runs.is_interrupted = true;
            break;
        }
        let pace = pace(began.elapsed(), estimated);
        let Runs { done, planned, .. } = runs;
        show(Progress { step: step.to_string(), done, planned, left: left.mul_f64(pace) });
        let estimate = step.estimate(options);
        left = left.saturating_sub(estimate);
        let is_late = options.budget.is_some_and(|budget| began.elapsed() + left.mul_f64(pace) > budget);
        let pair = (step.scenario, step.repeat);
        let is_skipped = match decided {
            Some((of, is_skipped)) if of == pair => is_skipped,
            _ => is_late && step.repeat >= REPEATS_MIN,
        };
        decided = Some((pair, is_skipped));
        if is_skipped || !runs.find_rate(step, options) {
            runs.skipped += 1;
            continue;
        }
        estimated += estimate;
        let rate = runs.rates.get(&step.scenario).copied();
        let Some(sample) = measure(step, rate, options, cores, &stop)? else {
            runs.is_interrupted = true;
            break;
        };
        runs.samples.entry((step.scenario, step.model)).or_default().push(sample);
        runs.done += 1;
    }
    runs.elapsed = began.elapsed();
    Ok(runs)
}

/// The ratio of the time spent to the estimate.
fn pace(elapsed: Duration, estimated: Duration) -> f64 {
    if estimated < PACE_MIN { 1.0 } else { elapsed.as_secs_f64() / estimated.as_secs_f64() }
}

impl Runs {
    /// The runs of the loop and of threads in a scenario, in their order.
    pub(super) fn of_models(&self, scenario: Scenario) -> [&[Sample]; 2] {
        MODELS.map(|model| self.samples.get(&(scenario, model)).map_or(&[][..], Vec::as_slice))
    }

    /// Finds the rate of an open loop, which follows from the closed loop; `false` if there is none.
    fn find_rate(&mut self, step: &Step, options: &CompareOptions) -> bool {
        let Scenario { load, .. } = step.scenario;
        let percent = match load {
            Load::Closed | Load::Stack(_) => return true,
            Load::Open if options.rate.is_some() => {
                self.rates.extend(options.rate.map(|rate| (step.scenario, rate)));
                return true;
            }
            Load::Open => OPEN_PERCENT,
            Load::Percent(percent) => percent,
        };
        if !self.rates.contains_key(&step.scenario) {
            let Some(slower) = self.slower_rate(step.scenario) else { return false };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, rounded")]
            let rate = (slower * f64::from(percent) / 100.0).round() as u64;
            self.rates.insert(step.scenario, rate.max(1));
        }
        true
    }

    /// The rate of the slower model in the closed loop.
    fn slower_rate(&self, scenario: Scenario) -> Option<f64> {
        let closed = Scenario { load: Load::Closed, ..scenario };
        let rate = |model| {
            let samples =
                self.samples.get(&(closed, model))?.iter().filter(|sample| sample.server_ended.is_none());
            Some(Estimate::of(samples.map(|sample| sample.rate))?.median)
        };
        let [one, other] = MODELS.map(rate);
        Some(one?.min(other?)).filter(|rate| *rate > 0.0)
    }
}

/// The rate of the open loop, in percent of the rate of the slower model in the closed loop.
pub(super) const OPEN_PERCENT: u32 = 50;

/// Repeats that are never skipped.
const REPEATS_MIN: u32 = 2;

/// Estimated time of the completed runs from which the pace is reliable.
const PACE_MIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::options::Workload;

    fn scenario(load: Load) -> Scenario {
        Scenario { workload: Workload::AllActive, connections: 10, load }
    }

    fn step(load: Load) -> Step {
        Step { scenario: scenario(load), model: Model::Loop, repeat: 0 }
    }

    fn measured(rates: [f64; 2]) -> Runs {
        let sample = |rate| vec![Sample { rate, ..Sample::default() }];
        let samples = MODELS.into_iter().zip(rates);
        let samples = samples.map(|(model, rate)| ((scenario(Load::Closed), model), sample(rate))).collect();
        Runs { samples, ..Runs::default() }
    }

    #[test]
    fn the_rate_of_an_open_loop_is_half_that_of_the_slower_model() {
        let options = CompareOptions::full("loopline".into());
        let mut runs = measured([3000.0, 1000.0]);
        assert!(runs.find_rate(&step(Load::Open), &options));
        assert!(runs.find_rate(&step(Load::Percent(80)), &options));
        assert_eq!(runs.rates[&scenario(Load::Open)], 500);
        assert_eq!(runs.rates[&scenario(Load::Percent(80))], 800);
        let with_rate = CompareOptions { rate: Some(7), ..options };
        let mut runs = measured([3000.0, 1000.0]);
        assert!(runs.find_rate(&step(Load::Open), &with_rate));
        assert_eq!(runs.rates[&scenario(Load::Open)], 7);
    }

    #[test]
    fn an_open_loop_without_a_rate_is_skipped() {
        let options = CompareOptions::full("loopline".into());
        assert!(!measured([3000.0, 0.0]).find_rate(&step(Load::Open), &options));
        assert!(!Runs::default().find_rate(&step(Load::Open), &options));
    }

    #[test]
    fn the_remaining_time_follows_from_the_pace_so_far() {
        let seconds = Duration::from_secs;
        assert!((pace(seconds(30), seconds(10)) - 3.0).abs() < 1e-9);
        assert!((pace(seconds(30), seconds(1)) - 1.0).abs() < 1e-9, "too early");
    }
}
