//! How much slower than estimated the runs are on this machine.

use std::time::Duration;

/// The pace so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    estimated: Duration,
    taken: Duration,
    /// The ratio of the slowest run.
    slowest: f64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { estimated: Duration::ZERO, taken: Duration::ZERO, slowest: 1.0 }
    }

    /// A run with this estimate has taken `taken`, with the start and the end of its server.
    pub(super) fn ran(&mut self, estimate: Duration, taken: Duration) {
        self.estimated += estimate;
        self.taken += taken;
        self.slowest = self.slowest.max(taken.as_secs_f64() / estimate.as_secs_f64());
    }

    /// The time that a run probably takes.
    pub(super) fn probable(&self, estimate: Duration) -> Duration {
        let is_known = self.estimated >= ESTIMATED_MIN;
        let ratio = if is_known { self.taken.as_secs_f64() / self.estimated.as_secs_f64() } else { 1.0 };
        estimate.mul_f64(ratio)
    }

    /// The time that a run takes if it is as slow as the slowest. A time limit is kept by this one.
    pub(super) fn cautious(&self, estimate: Duration) -> Duration {
        estimate.mul_f64(self.slowest)
    }
}

/// Estimated time of the completed runs from which the mean is reliable.
const ESTIMATED_MIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probable_time_follows_the_mean_and_the_cautious_one_the_slowest_run() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new();
        assert_eq!((pace.probable(seconds(3)), pace.cautious(seconds(3))), (seconds(3), seconds(3)));
        pace.ran(seconds(1), seconds(6));
        assert_eq!(pace.probable(seconds(3)), seconds(3), "too early");
        pace.ran(seconds(2), seconds(3));
        assert_eq!((pace.probable(seconds(3)), pace.cautious(seconds(3))), (seconds(9), seconds(18)));
        pace.ran(seconds(10), seconds(1));
        assert_eq!(pace.cautious(seconds(3)), seconds(18), "a fast run changes nothing");
    }
}
