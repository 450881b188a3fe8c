//! The search for the largest number that holds, from the outcomes of steps. It knows neither what the number means
//! nor how a step is made.
//!
//! ```text
//!  grow ──▶ narrow ──▶ repeat ──▶ over
//!  start, twice that, …    the middle     both sides of the boundary,
//!  until one fails         of the rest    three steps each
//! ```
//!
//! A number that fails is tried again at once, and a third time if the two steps differ. The three are no phases but
//! follow from what is known: when a repeated step changes the verdict on a number, the search grows or narrows again.

use std::collections::BTreeMap;

/// The verdict of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The number held.
    Held,
    /// It did not. If the step shows which smaller number may hold, `reached` is that.
    Failed { reached: Option<u64> },
    /// The step cannot count: the generator was the limit.
    Invalid,
    /// This host does not allow the number.
    Unreachable { reached: Option<u64> },
    /// Too little was measured for a verdict; more will be with a larger number.
    Unjudged,
}

/// The steps with one number.
#[derive(Debug, Clone, Copy, Default)]
struct Trials {
    held: u32,
    failed: u32,
    invalid: u32,
    is_unjudged: bool,
    reached: Option<u64>,
}

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Most steps held.
    Held,
    /// Most steps failed, and at least two.
    Failed,
    /// The generator or this host does not allow it.
    Unreached,
    /// No step could be judged.
    Unjudged,
    /// The next step decides.
    Undecided,
}

/// A number at the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) value: u64,
    pub(crate) standing: Standing,
    /// Steps with a verdict.
    pub(crate) steps: u32,
    /// Of these, steps that agree with the standing.
    pub(crate) agreed: u32,
}

/// The state of a search.
#[derive(Debug)]
pub(crate) struct Boundary {
    start: u64,
    min: u64,
    max: u64,
    steps: u32,
    trials: BTreeMap<u64, Trials>,
}

impl Boundary {
    /// A search from `min` to `max` that begins with `start`.
    pub(crate) fn new(start: u64, min: u64, max: u64) -> Self {
        let max = max.max(min);
        Self { start: start.clamp(min, max), min, max, steps: 0, trials: BTreeMap::new() }
    }

    /// The number of the next step; `None` if the search is over.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.is_exhausted() {
            return None;
        }
        if let Some((value, _)) = self.standings().find(|(_, it)| *it == Standing::Undecided) {
            return Some(value);
        }
        let held = self.held();
        let unjudged =
            self.standings().filter(|(_, it)| *it == Standing::Unjudged).map(|(value, _)| value).last();
        let Some(limit) = self.limit() else {
            return match held.max(unjudged) {
                None => Some(self.start),
                Some(value) if value < self.max => Some(value.saturating_mul(2).min(self.max)),
                Some(_) => held.filter(|held| self.trials[held].may_repeat()),
            };
        };
        let below = held.max(unjudged.filter(|value| *value < limit));
        self.between(below, limit).or_else(|| self.repeated(held, limit))
    }

    /// Adds the verdict of a step with `value`.
    pub(crate) fn add(&mut self, value: u64, verdict: Verdict) {
        let is_above_held = self.held().is_some_and(|held| held < value);
        let trials = self.trials.entry(value).or_default();
        self.steps += 1;
        match verdict {
            Verdict::Held => trials.held += 1,
            Verdict::Failed { reached } => {
                trials.failed += 1;
                trials.reached = reached;
            }
            Verdict::Invalid => trials.invalid += 1,
            Verdict::Unreachable { reached } => {
                trials.invalid = INVALID_MAX;
                trials.reached = reached;
            }
            // More was measured with a smaller number.
            Verdict::Unjudged if is_above_held || trials.held + trials.failed > 0 => trials.failed += 1,
            Verdict::Unjudged => trials.is_unjudged = true,
        }
    }

    /// The largest number that holds, below each that does not.
    pub(crate) fn answer(&self) -> Option<Side> {
        self.held_below(self.end()).map(|value| self.side(value))
    }

    /// The smallest number that does not hold, or is not decided.
    pub(crate) fn above(&self) -> Option<Side> {
        self.end().map(|value| self.side(value))
    }

    /// Whether all steps agree on the boundary.
    pub(crate) fn is_consistent(&self) -> bool {
        let end = self.end().unwrap_or(u64::MAX);
        self.trials.iter().all(|(value, it)| if *value < end { it.failed == 0 } else { it.held == 0 })
    }

    /// Whether both sides of the boundary were repeated as often as they can be.
    pub(crate) fn is_repeated(&self) -> bool {
        let sides = [self.answer(), self.above().filter(|side| side.standing != Standing::Unreached)];
        sides.into_iter().flatten().all(|side| side.steps >= REPEATS)
    }

    /// Whether it has ended without a result that more steps would not change.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps >= STEPS_MAX
    }

    fn standings(&self) -> impl Iterator<Item = (u64, Standing)> {
        self.trials.iter().map(|(value, trials)| (*value, trials.standing()))
    }

    /// The smallest number that fails or is not reached.
    fn limit(&self) -> Option<u64> {
        self.standings().find(|(_, it)| matches!(it, Standing::Failed | Standing::Unreached)).map(|it| it.0)
    }

    /// The smallest number that is not known to hold, and is not too small to be judged.
    fn end(&self) -> Option<u64> {
        self.standings().find(|(_, it)| !matches!(it, Standing::Held | Standing::Unjudged)).map(|it| it.0)
    }

    fn held(&self) -> Option<u64> {
        self.held_below(self.limit())
    }

    fn held_below(&self, limit: Option<u64>) -> Option<u64> {
        let below = self.trials.range(..limit.unwrap_or(u64::MAX));
        below.rev().find(|(_, trials)| trials.standing() == Standing::Held).map(|(value, _)| *value)
    }

    fn side(&self, value: u64) -> Side {
        let trials = self.trials[&value];
        let standing = trials.standing();
        let agreed = if standing == Standing::Held { trials.held } else { trials.failed };
        Side { value, standing, steps: trials.held + trials.failed, agreed }
    }

    /// The next number between `below`, which holds or cannot be judged, and `limit`; `None` if they are close.
    fn between(&self, below: Option<u64>, limit: u64) -> Option<u64> {
        let low = below.unwrap_or(self.min - 1);
        // What a step has reached is not a guess: it is tried, and then the number after it.
        let hint = self.trials[&limit].reached.filter(|reached| (self.min..limit).contains(reached));
        // The number just below is not, if that one was tried for the same reason: step by step takes too long.
        let was_hinted = self.trials.get(&(limit + 1)).is_some_and(|above| above.reached == Some(limit));
        match hint {
            Some(reached) if reached > low && (reached + 1 < limit || !was_hinted) => return Some(reached),
            Some(reached) if reached == low && reached + 1 < limit => return Some(reached + 1),
            _ => {}
        }
        let close = match below.map(|below| self.trials[&below].standing()) {
            None => 1,
            Some(Standing::Unjudged) => limit / 4,
            Some(_) => precision(limit),
        };
        (limit - low > close).then(|| low + (limit - low) / 2)
    }

    /// The side of the boundary that is tried again, the number that holds first.
    fn repeated(&self, held: Option<u64>, limit: u64) -> Option<u64> {
        let limit = Some(limit).filter(|limit| self.trials[limit].standing() == Standing::Failed);
        [held, limit].into_iter().flatten().find(|value| self.trials[value].may_repeat())
    }
}

impl Trials {
    fn standing(&self) -> Standing {
        let is_over = self.invalid >= INVALID_MAX;
        if self.held > self.failed {
            Standing::Held
        } else if self.failed > self.held && (self.failed > 1 || is_over) {
            Standing::Failed
        } else if is_over {
            Standing::Unreached
        } else if self.is_unjudged {
            Standing::Unjudged
        } else {
            Standing::Undecided
        }
    }

    fn may_repeat(&self) -> bool {
        self.held + self.failed < REPEATS && self.invalid < INVALID_MAX
    }
}

/// How close the sides of the boundary are in the end: 2 % of the number above it, and neighbors below 100.
pub(crate) fn precision(limit: u64) -> u64 {
    (limit / 50).max(1)
}

/// Steps with each side of the boundary: an odd number, so that one standing has most of them.
pub(crate) const REPEATS: u32 = 3;

/// Steps with the same number that cannot count.
const INVALID_MAX: u32 = 3;

/// A search whose steps contradict each other ends after this number.
pub(crate) const STEPS_MAX: u32 = 100;

#[cfg(test)]
mod tests;
