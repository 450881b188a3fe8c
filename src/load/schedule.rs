//! When the messages of an open loop are due. It reads no clock.
//!
//! The time at which a message is due depends on its number only, not on the server, and not on how late
//! earlier messages were sent.

use fastrand::Rng;
use serde::Serialize;

use crate::units::float;

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// The intervals between messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// Equal intervals.
    Uniform,
    /// Exponentially distributed intervals, as from many independent senders.
    Poisson,
}

/// The times at which messages are due, in order.
#[derive(Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    rate: u64,
    taken: u64,
    next_ns: u64,
    /// `None`: equal intervals.
    random: Option<Rng>,
}

impl Schedule {
    /// `rate` messages per second, from `start_ns`.
    pub(crate) fn new(start_ns: u64, rate: u64, arrivals: Arrivals) -> Self {
        let random = (arrivals == Arrivals::Poisson).then(|| Rng::with_seed(SEED));
        let mut schedule = Self { start_ns, rate, taken: 0, next_ns: start_ns, random };
        schedule.next_ns = schedule.after(start_ns);
        schedule
    }

    /// When the next message is due.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Goes on to the message after the next.
    pub(crate) fn advance(&mut self) {
        self.taken += 1;
        self.next_ns = self.after(self.next_ns);
    }

    /// Skips the messages that are due before `end_ns`. Returns how many; of random intervals, a large number is
    /// the mean from some point on.
    pub(crate) fn skip_until(&mut self, end_ns: u64) -> u64 {
        let before = self.taken;
        if self.random.is_none() {
            // The message number n is due at n / rate, rounded down.
            let due = mul(end_ns.saturating_sub(self.start_ns), self.rate).div_ceil(SECOND_NS.into());
            self.taken = before.max(u64::try_from(due).unwrap_or(u64::MAX));
            self.next_ns = self.after(end_ns);
            return self.taken - before;
        }
        while self.next_ns < end_ns {
            if self.taken - before == COUNTED_MAX {
                let rest = mul(end_ns - self.next_ns, self.rate) / u128::from(SECOND_NS);
                self.taken += 1 + u64::try_from(rest).unwrap_or(u64::MAX / 2);
                self.next_ns = self.after(end_ns);
            } else {
                self.advance();
            }
        }
        self.taken - before
    }

    fn after(&mut self, previous_ns: u64) -> u64 {
        match &mut self.random {
            // Computed from the start, so that rounding errors do not add up.
            None => {
                let since_start = u128::from(self.taken) * u128::from(SECOND_NS) / u128::from(self.rate);
                self.start_ns + u64::try_from(since_start).unwrap_or(u64::MAX / 2)
            }
            Some(random) => {
                // The logarithm of 1 - [0, 1) is always finite.
                let gap_seconds = -(1.0 - random.f64()).ln() / float(self.rate);
                previous_ns + nanoseconds(gap_seconds)
            }
        }
    }
}

fn mul(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval is short")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Messages of random intervals that are counted one by one when they are skipped, which takes milliseconds.
const COUNTED_MAX: u64 = 1_000_000;

/// Every run has the same arrivals, so that runs can be compared.
const SEED: u64 = 0x6c6f_6f70_6c69_6e65;

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &mut Schedule, messages: usize) -> Vec<u64> {
        let mut moments = Vec::new();
        for _ in 0..messages {
            moments.push(schedule.next_ns());
            schedule.advance();
        }
        moments
    }

    #[test]
    fn uniform_messages_are_due_at_equal_intervals_and_rounding_errors_do_not_add_up() {
        let moments = due(&mut Schedule::new(100, 3, Arrivals::Uniform), 3_000_001);
        assert_eq!(moments[..4], [100, 333_333_433, 666_666_766, 1_000_000_100]);
        assert_eq!(moments[3_000_000], 1_000_000 * SECOND_NS + 100);
    }

    #[test]
    fn an_interval_has_as_many_messages_as_rate_times_length_wherever_it_begins() {
        for (rate, seconds) in [(5000, 30), (3, 1), (7000, 2), (49_999, 1)] {
            for begin_ns in [0, 1, 333_333_333, 700_000_017] {
                let mut schedule = Schedule::new(0, rate, Arrivals::Uniform);
                let mut count_before = |end_ns| {
                    let mut count = 0;
                    while schedule.next_ns() < end_ns {
                        schedule.advance();
                        count += 1;
                    }
                    count
                };
                count_before(begin_ns);
                // A message that is due at the end is due in the next interval.
                assert_eq!(
                    count_before(begin_ns + seconds * SECOND_NS),
                    rate * seconds,
                    "{rate}, {begin_ns}"
                );
            }
        }
    }

    #[test]
    fn skipped_messages_are_as_many_as_are_due() {
        for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
            for (rate, end_ns) in
                [(3, 2 * SECOND_NS), (7, 1_000_000_101), (49_999, 3_333_333), (1, 50), (5, 100)]
            {
                let [mut skipping, mut counting] = [(); 2].map(|()| Schedule::new(100, rate, arrivals));
                skipping.advance();
                counting.advance();
                let mut count = 0;
                while counting.next_ns() < end_ns {
                    counting.advance();
                    count += 1;
                }
                assert_eq!(skipping.skip_until(end_ns), count, "{rate} until {end_ns}");
                assert_eq!(skipping.next_ns(), counting.next_ns());
            }
        }
    }

    #[test]
    fn any_number_of_messages_is_skipped_at_once() {
        let (rate, day_ns) = (100_000_000, 86_400 * SECOND_NS);
        let count = rate * 86_400;
        assert_eq!(Schedule::new(0, rate, Arrivals::Uniform).skip_until(day_ns), count);
        let poisson = Schedule::new(0, rate, Arrivals::Poisson).skip_until(day_ns);
        assert!(poisson.abs_diff(count) < count / 1000, "{poisson}");
    }

    #[test]
    fn poisson_messages_have_the_requested_mean_rate_and_exponential_intervals() {
        let moments = due(&mut Schedule::new(0, 1000, Arrivals::Poisson), 100_000);
        // The start is no arrival: the first message is as far from it as from the next.
        assert_ne!(moments[0], 0);
        let seconds = float(moments[99_999]) / 1e9;
        assert!((99.0..101.0).contains(&seconds), "{seconds}");
        // Of exponential intervals, 1/e or 36.8 % are longer than the mean.
        let long = moments.windows(2).filter(|pair| pair[1] - pair[0] > 1_000_000).count();
        assert!((36_000..37_600).contains(&long), "{long}");
    }
}
