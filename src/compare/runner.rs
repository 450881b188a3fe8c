//! The comparison under way: one step after the other, until all are done or somebody ends it.

#![expect(clippy::disallowed_methods, reason = "people are told how long it still takes")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cores::Cores;
use super::error::CompareError;
use super::measure::{Measured, Sample, measure};
use super::options::CompareOptions;
use super::plan::{Cell, Load, MODELS, Step};
use super::stop_request::StopRequest;
use crate::compare::analysis::statistics::Estimate;
use crate::server::options::Model;

/// Somebody who is told how it goes.
pub(crate) trait Progress {
    /// A run begins: `done` of `planned` are over, and all will be after about `left`.
    fn step(&mut self, what: &str, done: usize, planned: usize, left: Duration);
}

/// Nobody.
impl Progress for () {
    fn step(&mut self, _: &str, _: usize, _: usize, _: Duration) {}
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(super) samples: BTreeMap<(Cell, Model), Vec<Sample>>,
    /// Messages a second that were asked for in open loops.
    pub(super) rates: BTreeMap<Cell, u64>,
    pub(super) done: usize,
    /// Repeats that were left out, to be over in time.
    pub(super) left_out: usize,
    pub(super) planned: usize,
    pub(super) is_interrupted: bool,
    pub(super) took: Duration,
}

/// Goes through `steps`.
pub(super) fn go(
    steps: &[Step],
    options: &CompareOptions,
    cores: &Cores,
    progress: &mut dyn Progress,
) -> Result<Course, CompareError> {
    let stop = StopRequest::listen().map_err(CompareError::Signals)?;
    let began = Instant::now();
    let mut course = Course { planned: steps.len(), ..Course::default() };
    let mut left: Duration = steps.iter().map(|step| step.estimate(options)).sum();
    let mut estimated = Duration::ZERO;
    // Both models have as many runs in a cell, so it is decided once for both.
    let mut decided = None;
    for step in steps {
        if stop.is_requested() {
            course.is_interrupted = true;
            break;
        }
        let pace = pace(began.elapsed(), estimated);
        progress.step(&step.to_string(), course.done, course.planned, left.mul_f64(pace));
        let estimate = step.estimate(options);
        left = left.saturating_sub(estimate);
        let is_late = options.budget.is_some_and(|budget| began.elapsed() + left.mul_f64(pace) > budget);
        let pair = (step.cell, step.repeat);
        let is_left_out = match decided {
            Some((of, is_left_out)) if of == pair => is_left_out,
            _ => is_late && step.repeat >= KEPT,
        };
        decided = Some((pair, is_left_out));
        if is_left_out || !course.can_be_done(step, options) {
            course.left_out += 1;
            continue;
        }
        estimated += estimate;
        let rate = course.rates.get(&step.cell).copied();
        match measure(step, rate, options, cores, &stop)? {
            Measured::Sample(sample) => {
                course.samples.entry((step.cell, step.model)).or_default().push(*sample);
            }
            Measured::Interrupted => {
                course.is_interrupted = true;
                break;
            }
        }
        course.done += 1;
    }
    course.took = began.elapsed();
    Ok(course)
}

/// How much longer things take than it was thought.
fn pace(took: Duration, estimated: Duration) -> f64 {
    if estimated < TRUSTED { 1.0 } else { took.as_secs_f64() / estimated.as_secs_f64() }
}

impl Course {
    /// Whether all is there that `step` needs: the rate of an open loop follows from the closed one.
    fn can_be_done(&mut self, step: &Step, options: &CompareOptions) -> bool {
        let Cell { load, .. } = step.cell;
        let percent = match load {
            Load::Closed | Load::Stack(_) => return true,
            Load::Open if options.rate.is_some() => {
                self.rates.extend(options.rate.map(|rate| (step.cell, rate)));
                return true;
            }
            Load::Open => OPEN_PERCENT,
            Load::Percent(percent) => percent,
        };
        if !self.rates.contains_key(&step.cell) {
            let Some(slower) = self.slower(step.cell) else { return false };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, rounded")]
            let rate = (slower * f64::from(percent) / 100.0).round() as u64;
            self.rates.insert(step.cell, rate.max(1));
        }
        true
    }

    /// Messages a second of the slower model in the closed loop.
    fn slower(&self, cell: Cell) -> Option<f64> {
        let closed = Cell { load: Load::Closed, ..cell };
        let rate = |model| {
            let samples = self.samples.get(&(closed, model))?.iter().filter(|sample| sample.ended.is_none());
            Some(Estimate::of(samples.map(|sample| sample.rate))?.median)
        };
        let [one, other] = MODELS.map(rate);
        Some(one?.min(other?)).filter(|rate| *rate > 0.0)
    }
}

/// Of what the slower model does in the closed loop, what is asked of both in the open one, in percent.
pub(super) const OPEN_PERCENT: u32 = 50;

/// Repeats that are never left out.
const KEPT: u32 = 2;

/// After so much the pace is known.
const TRUSTED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::options::Workload;

    fn cell(load: Load) -> Cell {
        Cell { workload: Workload::AllActive, connections: 10, load }
    }

    fn step(load: Load) -> Step {
        Step { cell: cell(load), model: Model::Loop, repeat: 0 }
    }

    fn measured(rates: [f64; 2]) -> Course {
        let sample = |rate| vec![Sample { rate, ..Sample::default() }];
        let samples = MODELS.into_iter().zip(rates);
        let samples = samples.map(|(model, rate)| ((cell(Load::Closed), model), sample(rate))).collect();
        Course { samples, ..Course::default() }
    }

    #[test]
    fn the_rate_of_an_open_loop_is_half_of_what_the_slower_model_does() {
        let options = CompareOptions::full("loopline".into());
        let mut course = measured([3000.0, 1000.0]);
        assert!(course.can_be_done(&step(Load::Open), &options));
        assert!(course.can_be_done(&step(Load::Percent(80)), &options));
        assert_eq!(course.rates[&cell(Load::Open)], 500);
        assert_eq!(course.rates[&cell(Load::Percent(80))], 800);
        let asked = CompareOptions { rate: Some(7), ..options };
        let mut course = measured([3000.0, 1000.0]);
        assert!(course.can_be_done(&step(Load::Open), &asked));
        assert_eq!(course.rates[&cell(Load::Open)], 7);
    }

    #[test]
    fn without_a_rate_there_is_no_open_loop() {
        let options = CompareOptions::full("loopline".into());
        assert!(!measured([3000.0, 0.0]).can_be_done(&step(Load::Open), &options));
        assert!(!Course::default().can_be_done(&step(Load::Open), &options));
    }

    #[test]
    fn time_left_follows_from_the_time_that_was_needed() {
        let seconds = Duration::from_secs;
        assert!((pace(seconds(30), seconds(10)) - 3.0).abs() < 1e-9);
        assert!((pace(seconds(30), seconds(1)) - 1.0).abs() < 1e-9, "that is too early to tell");
    }
}
