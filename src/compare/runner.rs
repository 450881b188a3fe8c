//! Runs the steps, then more pairs of what is not decided, until all is decided, the time is over, or a signal ends the
//! comparison.

#![expect(
    clippy::disallowed_methods,
    reason = "a time limit is kept, and the live line shows the remaining time"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::analysis::pairs::{self, MEASURES};
use super::analysis::verdict::{Decision, Looks, PAIRS_ADDED_MAX};
use super::cores::Cores;
use super::error::CompareError;
use super::measure::{Sample, TIMEOUT_MIN, WAITS, measure};
use super::options::CompareOptions;
use super::pace::Pace;
use super::plan::{self, Load, Scenario, Step};
use super::server::{MODELS, Server};
use super::stop_request::StopRequest;
use crate::compare::analysis::statistics::Estimate;

/// The progress of a comparison.
pub(crate) enum Progress {
    /// A run begins.
    Run {
        /// The run.
        step: String,
        /// Completed runs.
        done: usize,
        /// All runs.
        planned: usize,
        /// The remaining time, estimated.
        left: Duration,
    },
    /// A signal has arrived: the run in progress ends, and the result follows.
    Stopping,
}

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(super) looks: Looks,
    pub(super) samples: BTreeMap<(Scenario, Server), Vec<Sample>>,
    /// The rates of the open loops, in messages a second.
    pub(super) rates: BTreeMap<Scenario, u64>,
    pub(super) done: usize,
    /// Runs skipped for lack of time, and open loops without a rate.
    pub(super) skipped: usize,
    pub(super) planned: usize,
    /// Pairs that were added because a verdict was not decided.
    pub(super) more_pairs: usize,
    /// Scenarios without a run of each server.
    pub(super) not_measured: Vec<(Scenario, SkipReason)>,
    pub(super) is_interrupted: bool,
    pub(super) elapsed: Duration,
}

/// Why nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum SkipReason {
    /// The time limit was reached.
    TimeLimit,
    /// A signal ended the comparison.
    Interrupted,
    /// The rate of an open loop follows from the closed loop, which has no result.
    NoRate,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeLimit => "since the time limit was reached",
            Self::Interrupted => "since the comparison was interrupted",
            Self::NoRate => "since the closed loop has no rate",
        })
    }
}

/// The time since the comparison began.
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }
}

/// What runs a step, and its clock.
trait Bench {
    /// Time since the comparison began.
    fn elapsed(&self) -> Duration;

    /// Whether a signal has arrived.
    fn is_stopped(&self) -> bool;

    /// Runs `step`, at `rate` in an open loop. It takes `left` at most. `None` if a signal ended it.
    fn run(&mut self, step: &Step, rate: Option<u64>, left: Duration)
    -> Result<Option<Sample>, CompareError>;
}

/// This machine.
struct RealBench<'a, S> {
    clock: Clock,
    options: &'a CompareOptions,
    cores: &'a Cores,
    stop: StopRequest,
    show: &'a mut S,
}

/// Runs `steps`, and reports the progress to `show`.
pub(super) fn run(
    steps: &[Step],
    options: &CompareOptions,
    cores: &Cores,
    clock: Clock,
    mut show: impl FnMut(Progress),
) -> Result<Runs, CompareError> {
    let stop = StopRequest::listen().map_err(CompareError::Signals)?;
    // Both the run in progress and the runner may notice the signal, which is reported once.
    let (shared, is_reported) = (RefCell::new(&mut show), Cell::new(false));
    let report = |progress: Progress| {
        let is_stopping = matches!(progress, Progress::Stopping);
        if !is_stopping || !is_reported.replace(true) {
            shared.borrow_mut()(progress);
        }
    };
    let mut stopping = report;
    let mut bench = RealBench { clock, options, cores, stop, show: &mut stopping };
    Runner::new(&mut bench, options).run(steps, report)
}

impl<S: FnMut(Progress)> Bench for RealBench<'_, S> {
    fn elapsed(&self) -> Duration {
        self.clock.0.elapsed()
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    fn run(
        &mut self,
        step: &Step,
        rate: Option<u64>,
        left: Duration,
    ) -> Result<Option<Sample>, CompareError> {
        measure(step, rate, left, self.options, self.cores, &self.stop, &mut || {
            (self.show)(Progress::Stopping);
        })
    }
}

/// A comparison in progress.
struct Runner<'a, B> {
    bench: &'a mut B,
    options: &'a CompareOptions,
    pace: Pace,
    runs: Runs,
}

impl<'a, B: Bench> Runner<'a, B> {
    fn new(bench: &'a mut B, options: &'a CompareOptions) -> Self {
        Self { bench, options, pace: Pace::new(), runs: Runs { looks: options.looks(), ..Runs::default() } }
    }

    fn run(mut self, steps: &[Step], mut show: impl FnMut(Progress)) -> Result<Runs, CompareError> {
        self.runs.planned = steps.len();
        let mut left = steps;
        // A run without the one beside it is of no use, so a pair is skipped as a whole before it begins.
        for pair in steps.chunk_by(|one, other| (one.scenario, one.repeat) == (other.scenario, other.repeat))
        {
            if self.runs.is_interrupted {
                break;
            }
            self.run_pair(pair, left, &mut show)?;
            left = &left[pair.len()..];
        }
        while let Some(scenario) = self.next_undecided().filter(|_| !self.runs.is_interrupted) {
            let repeat = u32::try_from(self.runs.pairs(scenario)).unwrap_or(u32::MAX);
            let pair = plan::round(scenario, repeat, &self.options.servers());
            self.runs.planned += pair.len();
            self.runs.more_pairs += 1;
            self.run_pair(&pair, &pair, &mut show)?;
        }
        self.list_not_measured(steps);
        self.runs.elapsed = self.bench.elapsed();
        Ok(self.runs)
    }

    /// Runs `pair`, one run of each server, if it fits into the time limit. `left` are all runs that are left.
    fn run_pair(
        &mut self,
        pair: &[Step],
        left: &[Step],
        show: &mut impl FnMut(Progress),
    ) -> Result<(), CompareError> {
        let is_known = pair.iter().all(|step| self.runs.find_rate(step, self.options));
        let whole = pair.iter().map(|step| step.estimate(self.options)).sum();
        if !is_known || !self.fits(whole) {
            self.runs.skipped += pair.len();
            return Ok(());
        }
        for (index, step) in pair.iter().enumerate() {
            if self.bench.is_stopped() {
                show(Progress::Stopping);
                self.runs.is_interrupted = true;
                return Ok(());
            }
            let estimate = step.estimate(self.options);
            // The first run may have been slower than all before.
            if !self.fits(estimate) {
                self.runs.skipped += 1;
                continue;
            }
            let rest = left[index..].iter().map(|step| step.estimate(self.options)).sum();
            let Runs { done, planned, .. } = self.runs;
            let left = self.time_left().min(self.pace.probable(rest));
            show(Progress::Run { step: step.to_string(), done, planned, left });
            let began = self.bench.elapsed();
            let rate = self.runs.rates.get(&step.scenario).copied();
            let Some(sample) = self.bench.run(step, rate, self.time_left())? else {
                self.runs.is_interrupted = true;
                return Ok(());
            };
            self.pace.ran(estimate, self.bench.elapsed().saturating_sub(began));
            self.runs.samples.entry((step.scenario, step.server)).or_default().push(sample);
            self.runs.done += 1;
        }
        Ok(())
    }

    fn time_left(&self) -> Duration {
        let budget = self.options.budget.unwrap_or(Duration::MAX);
        budget.saturating_sub(RESULT_TIME).saturating_sub(self.bench.elapsed())
    }

    /// Whether runs with this estimate end within the time limit, even if they are slow.
    fn fits(&self, estimate: Duration) -> bool {
        self.options.budget.is_none() || self.needs(estimate) <= self.time_left()
    }

    /// The time that runs with this estimate may take, with the shortest timeouts.
    fn needs(&self, estimate: Duration) -> Duration {
        self.pace.cautious(estimate).max(estimate + WAITS * TIMEOUT_MIN)
    }

    /// What needs another pair: of those that fit into the time, the one that is nearest to a decision. The CPU time of
    /// a message comes first.
    fn next_undecided(&self) -> Option<Scenario> {
        let until = self.options.more_pairs_until?;
        let time_left = self.time_left().min(until.saturating_sub(self.bench.elapsed()));
        let scenarios = self.runs.samples.keys().map(|(scenario, _)| *scenario);
        let fits = |scenario: &Scenario| {
            let round = plan::round(*scenario, 0, &self.options.servers());
            self.needs(round.iter().map(|step| step.estimate(self.options)).sum()) <= time_left
        };
        let open = scenarios
            .filter(|it| it.load == Load::Closed && self.runs.pairs(*it) < PAIRS_ADDED_MAX)
            .filter(fits);
        open.filter_map(|scenario| {
            Some((self.runs.missing_pairs(scenario, &self.options.servers())?, scenario))
        })
        .min_by_key(|(missing, _)| *missing)
        .map(|(_, scenario)| scenario)
    }

    fn list_not_measured(&mut self, steps: &[Step]) {
        // The first rounds have all scenarios and servers.
        let first: Vec<Step> = steps.iter().filter(|step| step.repeat == 0).copied().collect();
        for pair in first.chunk_by(|one, other| one.scenario == other.scenario) {
            let scenario = pair[0].scenario;
            if pair.iter().all(|step| self.runs.samples.contains_key(&(scenario, step.server))) {
                continue;
            }
            let why = if self.runs.is_interrupted {
                SkipReason::Interrupted
            } else if pair.iter().all(|step| self.runs.find_rate(step, self.options)) {
                SkipReason::TimeLimit
            } else {
                SkipReason::NoRate
            };
            self.runs.not_measured.push((scenario, why));
        }
    }
}

impl Runs {
    /// The runs of the loop and of `rival` in a scenario, in their order.
    pub(super) fn beside_loop(&self, scenario: Scenario, rival: Server) -> [&[Sample]; 2] {
        [Server::Loop, rival].map(|it| self.samples.get(&(scenario, it)).map_or(&[][..], Vec::as_slice))
    }

    /// Completed pairs of runs of both models in a scenario.
    fn pairs(&self, scenario: Scenario) -> usize {
        let [by_loop, by_threads] = self.beside_loop(scenario, Server::Threads);
        by_loop.len().min(by_threads.len())
    }

    /// The least of what [`missing_pairs_of`](Self::missing_pairs_of) finds for `servers` without the loop.
    fn missing_pairs(&self, scenario: Scenario, servers: &[Server]) -> Option<(usize, usize)> {
        let rivals = servers.iter().filter(|it| **it != Server::Loop);
        rivals.filter_map(|rival| self.missing_pairs_of(scenario, *rival)).min()
    }

    /// Which measure is not decided, and how many pairs it probably needs; `None` if both are, or if the loop and
    /// `rival` cannot be compared.
    fn missing_pairs_of(&self, scenario: Scenario, rival: Server) -> Option<(usize, usize)> {
        let [by_loop, by_threads] = self.beside_loop(scenario, rival);
        if by_loop.len() != by_threads.len() || !pairs::is_compared(scenario, by_loop, by_threads) {
            return None;
        }
        MEASURES.iter().enumerate().find_map(|(priority, measure)| {
            match pairs::verdict(*measure, scenario, rival, [by_loop, by_threads], self.looks) {
                None => Some((priority, 1)),
                Some(verdict) if verdict.decision == Decision::Undecided => {
                    Some((priority, verdict.more_pairs.unwrap_or(usize::MAX)))
                }
                Some(_) => None,
            }
        })
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
            let Some(slower) = self.slowest_rate(step.scenario, &options.servers()) else { return false };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, rounded")]
            let rate = (slower * f64::from(percent) / 100.0).round() as u64;
            self.rates.insert(step.scenario, rate.max(1));
        }
        true
    }

    /// The rate of the slowest of `servers` in the closed loop. Of those of other commands, the ones without a rate do
    /// not count.
    fn slowest_rate(&self, scenario: Scenario, servers: &[Server]) -> Option<f64> {
        let closed = Scenario { load: Load::Closed, ..scenario };
        let rate = |server| {
            let samples =
                self.samples.get(&(closed, server))?.iter().filter(|sample| sample.server_failed.is_none());
            Some(Estimate::of(samples.map(|sample| sample.rate))?.median)
        };
        let [one, other] = MODELS.map(rate);
        let further = servers[MODELS.len()..].iter().filter_map(|it| rate(*it).filter(|rate| *rate > 0.0));
        Some(further.fold(one?.min(other?), f64::min)).filter(|rate| *rate > 0.0)
    }
}

/// The rate of the open loop, in percent of the rate of the slowest server in the closed loop.
pub(super) const OPEN_PERCENT: u32 = 50;

/// Time to compute and to write the result.
const RESULT_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
