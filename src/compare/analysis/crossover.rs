//! Which model has the higher rate, and from how many connections on.

use super::statistics::Estimate;
use crate::server::options::Model;

/// The rates of both models at one number of connections; `None` without a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatePair {
    /// The number of connections.
    pub connections: u32,
    /// The event loop.
    pub by_loop: Option<Estimate>,
    /// Threads.
    pub by_threads: Option<Estimate>,
    /// Whether the generator was the limit of the loop, whose rate may then be higher.
    pub loop_is_limited: bool,
    /// The same for threads.
    pub threads_are_limited: bool,
}

/// The comparison of the rates at all numbers of connections, in their order.
#[derive(Debug)]
pub(crate) struct Crossover {
    /// The pairs with the rates of both models.
    pub known: Vec<RatePair>,
    /// Of these, the pairs with a clear difference, and the faster model.
    pub decided: Vec<(RatePair, Model)>,
}

impl Crossover {
    /// Compares `pairs`, which are sorted by number of connections.
    #[must_use]
    pub(crate) fn of(pairs: &[RatePair]) -> Self {
        let known: Vec<RatePair> = pairs.iter().filter(|pair| pair.ratio().is_some()).copied().collect();
        let decided = known.iter().filter_map(|pair| Some((*pair, pair.faster()?))).collect();
        Self { known, decided }
    }

    /// The models before and after each change of the faster model, and the number of connections at the change.
    pub(super) fn changes(&self) -> Vec<(Model, Model, f64)> {
        let neighbors = self.decided.windows(2).map(|both| (&both[0], &both[1]));
        let changes = neighbors.filter(|((_, before), (_, after))| before != after);
        changes.filter_map(|((a, before), (b, after))| Some((*before, *after, crossing(a, b)?))).collect()
    }

    /// The number of connections at which one model overtakes the other, if that happens once.
    #[must_use]
    pub(crate) fn connections(&self) -> Option<f64> {
        match self.changes()[..] {
            [(_, _, connections)] => Some(connections),
            _ => None,
        }
    }

    /// The largest ratio by which `model` is faster, and the number of connections there.
    pub(super) fn largest_lead(&self, model: Model) -> Option<(f64, u32)> {
        let lead = |pair: &RatePair| {
            let ratio = pair.ratio()?;
            Some((if model == Model::Loop { ratio } else { 1.0 / ratio }, pair.connections))
        };
        let leads =
            self.decided.iter().filter(|(_, faster)| *faster == model).filter_map(|(pair, _)| lead(pair));
        leads.max_by(|(a, _), (b, _)| a.total_cmp(b))
    }
}

impl RatePair {
    /// The rate of the loop divided by that of threads.
    fn ratio(&self) -> Option<f64> {
        let (by_loop, by_threads) = (self.by_loop?.median, self.by_threads?.median);
        (by_loop > 0.0 && by_threads > 0.0).then(|| by_loop / by_threads)
    }

    /// The model with the higher rate, unless the difference may be chance.
    fn faster(&self) -> Option<Model> {
        let ratio = self.ratio()?;
        let is_apart =
            self.by_loop?.is_apart_from(&self.by_threads?) && (ratio - 1.0).abs() >= DIFFERENCE_MIN;
        // The slower model may have been slowed by the generator.
        let (faster, is_doubtful) = if ratio > 1.0 {
            (Model::Loop, self.threads_are_limited)
        } else {
            (Model::Threads, self.loop_is_limited)
        };
        (is_apart && !is_doubtful).then_some(faster)
    }
}

/// Where the line between the ratios of two pairs crosses 1, with both axes logarithmic.
fn crossing(before: &RatePair, after: &RatePair) -> Option<f64> {
    let (from, to) = (before.ratio()?.ln(), after.ratio()?.ln());
    // The faster models differ, so one logarithm is positive and the other negative.
    let share = (from / (from - to)).clamp(0.0, 1.0);
    let (low, high) = (f64::from(before.connections).ln(), f64::from(after.connections).ln());
    Some((low + share * (high - low)).exp())
}

/// The smallest difference that counts, however certain it is.
const DIFFERENCE_MIN: f64 = 0.03;
