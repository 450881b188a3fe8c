//! The comparison under way: one step after the other, until all are done or somebody ends it.

#![expect(clippy::disallowed_methods, reason = "people are told how long it still takes")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::CompareError;
use super::cores::Cores;
use super::measure::{Measured, Sample, measure};
use super::options::CompareOptions;
use super::plan::{Cell, Load, MODELS, Step};
use super::stats::Estimate;
use crate::options::Model;

/// Somebody who is told how it goes.
pub trait Progress {
    /// A run begins: `done` of `planned` are over, and all will be after about `left`.
    fn step(&mut self, what: &str, done: usize, planned: usize, left: Duration);
}

/// Nobody.
impl Progress for () {
    fn step(&mut self, _: &str, _: usize, _: usize, _: Duration) {}
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) samples: BTreeMap<(Cell, Model), Vec<Sample>>,
    /// Messages a second that were asked for in open loops.
    pub(super) rates: BTreeMap<Cell, u64>,
    pub(super) done: usize,
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
    for step in steps {
        if stop.is_asked_for() {
            course.is_interrupted = true;
            break;
        }
        let pace = pace(began.elapsed(), estimated);
        progress.step(&step.to_string(), course.done, course.planned, left.mul_f64(pace));
        let estimate = step.estimate(options);
        left = left.saturating_sub(estimate);
        estimated += estimate;
        if !course.can_be_done(step, options) {
            course.done += 1;
            continue;
        }
        let rate = course.rates.get(&step.cell).copied();
        match measure(step, rate, options, cores)? {
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

/// Ctrl-C, a request to end, or a terminal that is gone.
struct StopRequest {
    asked: Arc<AtomicBool>,
    listening: Vec<SigId>,
}

impl StopRequest {
    fn listen() -> io::Result<Self> {
        let mut this = Self { asked: Arc::default(), listening: Vec::new() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            this.listening.push(signal_hook::flag::register(signal, this.asked.clone())?);
        }
        Ok(this)
    }

    fn is_asked_for(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for StopRequest {
    fn drop(&mut self) {
        for id in self.listening.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Of what the slower model does in the closed loop, what is asked of both in the open one, in percent.
pub(super) const OPEN_PERCENT: u32 = 50;

/// After so much the pace is known.
const TRUSTED: Duration = Duration::from_secs(2);
