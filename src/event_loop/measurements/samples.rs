//! A sample of the counters for each of the last ten minutes' seconds.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

/// The state of a server at the end of a second. Counts are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Sample {
    /// Seconds since the epoch.
    pub(crate) t: i64,
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) closed: u64,
    pub(crate) messages: u64,
    pub(crate) received_bytes: u64,
    pub(crate) datagrams: u64,
    pub(crate) datagrams_dropped: u64,
    pub(crate) memory_used: u64,
    pub(crate) memory_budget: u64,
    pub(crate) turns: u64,
    /// Turn times in that second, in microseconds.
    pub(crate) turn_us_p50: u64,
    pub(crate) turn_us_p99: u64,
    pub(crate) turn_us_max: u64,
}

/// The samples of the last ten minutes.
///
/// A server that waits takes none. Those of the time that it has waited are made up when it goes on, which is exact:
/// nothing has changed meanwhile.
#[derive(Debug)]
pub(crate) struct Samples {
    kept: VecDeque<Sample>,
    /// The number of the next sample.
    next: u64,
    /// When it is due, by the clock of the server in nanoseconds.
    due_ns: u64,
    /// The time of the next sample by the wall clock, in seconds.
    due_unix: i64,
    /// Of the second that is not over.
    turn_us: Histogram<u32>,
}

/// The samples that are kept: ten minutes.
pub(crate) const SAMPLES_MAX: usize = 600;

const SECOND_NS: u64 = 1_000_000_000;

impl Samples {
    pub(super) fn new(now_ns: u64, unix_seconds: i64) -> Self {
        Self {
            kept: VecDeque::with_capacity(SAMPLES_MAX),
            next: 0,
            due_ns: now_ns + SECOND_NS,
            due_unix: unix_seconds + 1,
            turn_us: Histogram::new_with_bounds(1, TURN_US_MAX, 2).expect("the bounds are valid"),
        }
    }

    /// Whether a sample is due.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }

    /// Records the time of a turn.
    pub(crate) fn record_turn(&mut self, turn_ns: u64) {
        self.turn_us.saturating_record(turn_ns / 1000);
    }

    /// Keeps the samples that are due, each with the values of `state`.
    pub(super) fn take(&mut self, mut state: Sample, now_ns: u64, unix_seconds: i64) {
        let mut missing = (now_ns - self.due_ns) / SECOND_NS + 1;
        // The wall clock was set, or the machine was asleep.
        let due_unix = unix_seconds - i64::try_from(missing - 1).unwrap_or(0);
        if due_unix.abs_diff(self.due_unix) > CLOCK_TOLERANCE_SECONDS {
            self.due_unix = due_unix;
        }
        if !self.turn_us.is_empty() {
            state.turn_us_p50 = self.turn_us.value_at_quantile(0.5);
            state.turn_us_p99 = self.turn_us.value_at_quantile(0.99);
            state.turn_us_max = self.turn_us.max();
            self.turn_us.reset();
        }
        // Those that would be dropped at once are not made.
        let skipped = missing.saturating_sub(SAMPLES_MAX as u64);
        self.advance(skipped);
        missing -= skipped;
        for _ in 0..missing {
            if self.kept.len() == SAMPLES_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Sample { t: self.due_unix, ..state.clone() });
            self.advance(1);
            (state.turn_us_p50, state.turn_us_p99, state.turn_us_max) = (0, 0, 0);
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.next += seconds;
        self.due_ns += seconds * SECOND_NS;
        self.due_unix += i64::try_from(seconds).unwrap_or(0);
    }

    /// The time by the wall clock in seconds, as exact as the times of samples, if those that are due are taken.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.due_unix - 1
    }

    /// The number of the next sample.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The samples that are kept, from number `first` on.
    pub(crate) fn since(&self, first: u64) -> impl Iterator<Item = &Sample> {
        let oldest = self.next - self.kept.len() as u64;
        let skipped = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.kept.iter().skip(skipped)
    }
}

/// The longest turn that is told from longer ones: a minute.
const TURN_US_MAX: u64 = 60_000_000;

/// Samples are a second apart by a clock that runs a little slower or faster than the wall clock is set.
const CLOCK_TOLERANCE_SECONDS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn times(samples: &Samples, first: u64) -> Vec<i64> {
        samples.since(first).map(|sample| sample.t).collect()
    }

    fn state(messages: u64) -> Sample {
        Sample { messages, ..Sample::default() }
    }

    #[test]
    fn a_sample_is_due_each_second_and_has_the_turns_of_that_second() {
        let mut samples = Samples::new(5, 100);
        assert!(!samples.is_due(SECOND_NS + 4) && samples.is_due(SECOND_NS + 5));
        for us in 1..=100 {
            samples.record_turn(us * 1000);
        }
        samples.take(state(7), SECOND_NS + 6, 101);
        assert!(!samples.is_due(2 * SECOND_NS) && samples.next() == 1);
        let sample = samples.since(0).next().unwrap().clone();
        assert_eq!((sample.t, sample.messages), (101, 7));
        assert_eq!((sample.turn_us_p50, sample.turn_us_p99, sample.turn_us_max), (50, 99, 100));
        samples.take(state(8), 2 * SECOND_NS + 5, 102);
        assert_eq!(samples.since(1).next().unwrap().turn_us_max, 0, "no turn in that second");
    }

    #[test]
    fn seconds_in_which_the_server_waited_have_samples_without_turns() {
        let mut samples = Samples::new(0, 100);
        samples.record_turn(9000);
        samples.take(state(7), 3 * SECOND_NS + 1, 103);
        let all: Vec<(i64, u64, u64)> =
            samples.since(0).map(|sample| (sample.t, sample.messages, sample.turn_us_max)).collect();
        assert_eq!(all, [(101, 7, 9), (102, 7, 0), (103, 7, 0)]);
    }

    #[test]
    fn ten_minutes_are_kept_however_long_the_server_has_waited() {
        let mut samples = Samples::new(0, 0);
        samples.take(state(1), 3 * SECOND_NS, 3);
        samples.take(state(2), 100_000 * SECOND_NS, 100_000);
        assert_eq!((samples.next(), samples.since(0).count()), (100_000, SAMPLES_MAX));
        assert_eq!(times(&samples, 99_998), [99_999, 100_000]);
        samples.take(state(3), 100_001 * SECOND_NS, 100_001);
        assert_eq!((samples.since(0).count(), times(&samples, 0)[0]), (SAMPLES_MAX, 99_402));
    }

    #[test]
    fn samples_are_found_by_number() {
        let mut samples = Samples::new(0, 0);
        samples.take(state(1), 4 * SECOND_NS, 4);
        assert_eq!(times(&samples, 0), [1, 2, 3, 4]);
        assert_eq!(times(&samples, 3), [4]);
        assert!(times(&samples, samples.next()).is_empty());
        assert!(times(&samples, u64::MAX).is_empty());
    }

    #[test]
    fn times_are_a_second_apart_until_the_wall_clock_is_set() {
        let mut samples = Samples::new(0, 1000);
        for (second, unix) in [(1, 1001), (2, 1004), (3, 1003), (4, 5000), (5, 5001), (6, 60)] {
            samples.take(state(0), second * SECOND_NS, unix);
        }
        assert_eq!(times(&samples, 0), [1001, 1002, 1003, 5000, 5001, 60]);
        assert_eq!(samples.unix_seconds(), 60);
    }
}
