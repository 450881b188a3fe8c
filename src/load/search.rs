//! `load --find`: searches for the largest rate, or number of connections, at which no condition holds. Each step is a
//! complete run with connections of its own.

pub(crate) mod boundary;
#[cfg(test)]
pub(super) mod fixtures;
pub(crate) mod options;
pub(crate) mod result;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;

use signal_hook::consts::{SIGINT, SIGTERM};

use self::boundary::Boundary;
use self::options::{MAX, SearchOptions};
use self::result::{Above, Certainty, SearchEnd, SearchResult, StepRow};
use self::verdict::{StepEnd, judge};
use super::options::LoadOptions;
use super::stats::ending::Failed;
use super::stats::summary::Outcome;
use super::{LoadError, Observer};
use crate::net::signals::Signals;

/// Receives the progress of a search, and of each of its runs.
pub(crate) trait SearchObserver: Observer {
    /// The step `number`, from 1, begins, with `value` and these options.
    fn step(&mut self, number: usize, value: u64, options: &LoadOptions);
}

/// Searches until the boundary is found, or SIGINT or SIGTERM ends it.
///
/// # Errors
/// See [`LoadError`]. Failures of the target are part of the result.
pub(crate) fn search(
    options: &SearchOptions,
    observer: &mut impl SearchObserver,
) -> Result<SearchResult, LoadError> {
    // A signal between two runs ends the search as well.
    let mut signals = Signals::new(&[SIGINT, SIGTERM]).map_err(LoadError::Network)?;
    search_by(options, |number, value| {
        if signals.take() > 0 {
            return Ok(None);
        }
        let step = options.at(value);
        observer.step(number, value, &step);
        super::run(&step, observer).map(Some)
    })
}

/// Checks the options and the address, without connecting.
///
/// # Errors
/// See [`LoadError`].
pub(crate) fn check(options: &SearchOptions) -> Result<(), LoadError> {
    options.check().map_err(LoadError::Usage)?;
    super::check(&options.at(options.start()))
}

/// Searches with runs by `run`, which is given the number of the step and its value, and returns `None` if a signal has
/// ended the search before.
fn search_by(
    options: &SearchOptions,
    mut run: impl FnMut(usize, u64) -> Result<Option<Outcome>, LoadError>,
) -> Result<SearchResult, LoadError> {
    let mut boundary = Boundary::new(options.start(), options.min(), MAX);
    let (mut steps, mut ended_early) = (Vec::new(), None);
    let mut unopened = 0;
    while let Some(value) = boundary.next() {
        let Some(outcome) = run(steps.len() + 1, value)? else {
            ended_early = Some(SearchEnd::Interrupted);
            break;
        };
        let judged = judge(options, &outcome);
        let verdict = judged.verdict();
        let is_unopened =
            judged.end == StepEnd::ServerFailed && outcome.summary.failed == Some(Failed::NoConnection);
        steps.push(StepRow::new(value, judged, &outcome));
        let Some(verdict) = verdict else {
            ended_early = Some(SearchEnd::Interrupted);
            break;
        };
        boundary.add(value, verdict);
        unopened = if is_unopened { unopened + 1 } else { 0 };
        // With a smaller number, none would be opened either.
        if is_unopened && (steps.len() == 1 || unopened >= UNOPENED_MAX) {
            ended_early = Some(SearchEnd::ServerGone);
            break;
        }
    }
    if ended_early.is_none() && boundary.is_exhausted() {
        ended_early = Some(SearchEnd::TooManySteps);
    }
    let answer = boundary.answer();
    Ok(SearchResult {
        endpoint: options.first.target.clone(),
        find: options.find,
        load_model: options.first.load_model(),
        answer: answer.map(|side| side.value),
        answer_steps: answer.map_or(0, |side| side.steps),
        answer_held: answer.map_or(0, |side| side.agreed),
        above: boundary.above().and_then(|side| Above::new(&side, &steps)),
        certainty: answer.map(|_| Certainty::of(&boundary)),
        ended_early,
        steps,
    })
}

/// Consecutive steps without a connection after which the server is gone. One that restarts has some time.
const UNOPENED_MAX: u32 = 2;
