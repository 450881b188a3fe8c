//! When the messages of an open loop are due, or connections are to be opened. It reads no clock.
//!
//! The time at which a message is due depends on its number only, not on the server, and not on how late
//! earlier messages were sent: message n, from 0, is due when the integral of the rate exceeds n. Of equal intervals it is
//! computed exactly from the beginning of its stage, so that rounding errors do not add up.

use fastrand::Rng;
use serde::Serialize;

use super::profile::{LoadStage, PARTS};
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
    /// In order of time. The last has no end.
    pieces: Box<[Piece]>,
    /// The one in which the next message is due.
    piece: usize,
    taken: u64,
    next_ns: u64,
    steps: Option<Steps>,
    /// `None`: equal intervals.
    random: Option<Rng>,
}

/// A time in which the rate is constant or changes linearly.
#[derive(Debug, Clone, Copy)]
struct Piece {
    began_ns: u64,
    /// Parts of messages that are due before it.
    began_parts: u64,
    from: u64,
    to: u64,
    /// Of a constant rate, it is not used.
    length_ns: u64,
}

/// Equal intervals of a constant rate, without a division for each: what is lost by rounding down is kept.
#[derive(Debug, Clone, Copy)]
struct Steps {
    rate: u64,
    interval_ns: u64,
    /// What is missing of the interval, and of the time of the next message, in parts of a nanosecond of which it has
    /// `rate`.
    lost: u64,
    lost_of_next: u64,
}

impl Schedule {
    /// `rate` messages per second, from `start_ns`.
    pub(crate) fn new(start_ns: u64, rate: u64, arrivals: Arrivals) -> Self {
        Self::of_stages(start_ns, &[], rate, arrivals)
    }

    /// As `stages` say, from `start_ns`; then `rate` messages per second.
    pub(crate) fn of_stages(start_ns: u64, stages: &[LoadStage], rate: u64, arrivals: Arrivals) -> Self {
        let mut pieces = Vec::with_capacity(stages.len() + 1);
        let (mut began_ns, mut began_parts) = (start_ns, 0);
        for stage in stages {
            let length_ns = stage.length_ns();
            pieces.push(Piece { began_ns, began_parts, from: stage.from, to: stage.to, length_ns });
            began_ns += length_ns;
            began_parts += stage.parts();
        }
        pieces.push(Piece { began_ns, began_parts, from: rate, to: rate, length_ns: u64::MAX });
        let random = (arrivals == Arrivals::Poisson).then(|| Rng::with_seed(SEED));
        let mut schedule =
            Self { pieces: pieces.into(), piece: 0, taken: 0, next_ns: start_ns, steps: None, random };
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
            let due = self.parts_before(end_ns).div_ceil(PARTS.into());
            self.taken = before.max(u64::try_from(due).unwrap_or(u64::MAX));
            self.steps = None;
            self.next_ns = self.after(end_ns);
            return self.taken - before;
        }
        while self.next_ns < end_ns {
            if self.taken - before == COUNTED_MAX {
                let rest = self.parts_before(end_ns) - self.parts_before(self.next_ns);
                self.taken += 1 + u64::try_from(rest / u128::from(PARTS)).unwrap_or(u64::MAX / 2);
                self.next_ns = self.after(end_ns);
            } else {
                self.advance();
            }
        }
        self.taken - before
    }

    fn after(&mut self, previous_ns: u64) -> u64 {
        let Some(random) = &mut self.random else {
            let parts = mul(self.taken, PARTS);
            // At a rate of zero, the next message is due when it is over.
            while self.next_piece().is_some_and(|next| u128::from(next.began_parts) <= parts) {
                self.piece += 1;
                self.steps = None;
            }
            if let Some(steps) = &mut self.steps {
                return previous_ns.saturating_add(steps.next());
            }
            let piece = &self.pieces[self.piece];
            self.steps = piece.steps(parts);
            return piece.due_ns(parts);
        };
        // The logarithm of 1 - [0, 1) is always finite.
        let mut messages = -(1.0 - random.f64()).ln();
        let mut from_ns = previous_ns;
        while let Some(next) = self.next_piece() {
            let left = self.pieces[self.piece].messages_after(from_ns);
            if from_ns < next.began_ns && messages < left {
                break;
            }
            if from_ns < next.began_ns {
                messages -= left;
                from_ns = next.began_ns;
            }
            self.piece += 1;
        }
        self.pieces[self.piece].after_messages(from_ns, messages)
    }

    fn next_piece(&self) -> Option<&Piece> {
        self.pieces.get(self.piece + 1)
    }

    /// The parts of messages that are due before `end_ns`, rounded up.
    fn parts_before(&self, end_ns: u64) -> u128 {
        let piece = self.pieces.partition_point(|piece| piece.began_ns <= end_ns);
        piece.checked_sub(1).map_or(0, |piece| self.pieces[piece].parts_before(end_ns))
    }
}

impl Steps {
    /// The time to the next message.
    fn next(&mut self) -> u64 {
        self.lost_of_next += self.lost;
        if self.lost_of_next < self.rate {
            return self.interval_ns;
        }
        self.lost_of_next -= self.rate;
        self.interval_ns + 1
    }
}

impl Piece {
    /// The intervals after the message before which there are `parts`, if they are equal.
    fn steps(&self, parts: u128) -> Option<Steps> {
        let rate = self.from;
        if rate == 0 || rate > RATE_IN_STEPS_MAX || self.to != rate {
            return None;
        }
        let since = (parts - u128::from(self.began_parts)) * PART_NS;
        let lost_of_next = u64::try_from(since % u128::from(rate)).expect("it is less than the rate");
        Some(Steps { rate, interval_ns: SECOND_NS / rate, lost: SECOND_NS % rate, lost_of_next })
    }

    /// When the message is due before which there are `parts`, rounded down.
    fn due_ns(&self, parts: u128) -> u64 {
        let parts = parts - u128::from(self.began_parts);
        let since = match (self.from, self.to) {
            (0, 0) => return u64::MAX,
            (from, to) if from == to => parts * PART_NS / u128::from(from),
            _ => self.ramp_reaches(parts),
        };
        self.began_ns.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The last nanosecond at which at most `parts` of messages are due in a ramp.
    fn ramp_reaches(&self, parts: u128) -> u128 {
        let wanted = parts * u128::from(self.length_ns) * PARTS_NS;
        let is_before = |since_ns: u128| self.ramp_area(since_ns) <= wanted;
        let length_ns = u128::from(self.length_ns);
        // A guess in floating point, then the exact time near it.
        #[expect(clippy::cast_precision_loss, reason = "it is a guess")]
        let guess = self.after_messages(self.began_ns, parts as f64 / float(PARTS)) - self.began_ns;
        let (mut low, mut high) = (u128::from(guess).min(length_ns), length_ns + 1);
        let mut step = 1;
        while !is_before(low) {
            (high, low) = (low, low.saturating_sub(step));
            step *= 2;
        }
        step = 1;
        while low + step < high && is_before(low + step) {
            low += step;
            step *= 2;
        }
        high = high.min(low + step);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if is_before(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// The parts of messages that are due in a ramp before `since_ns` of it, as a multiple of its length in units of
    /// [`PARTS_NS`].
    fn ramp_area(&self, since_ns: u128) -> u128 {
        let [length_ns, from, to] = [self.length_ns, self.from, self.to].map(u128::from);
        let level = 2 * length_ns * from;
        let height = if to >= from { level + (to - from) * since_ns } else { level - (from - to) * since_ns };
        since_ns * height
    }

    /// The parts of messages that are due before `end_ns`, rounded up.
    fn parts_before(&self, end_ns: u64) -> u128 {
        let since_ns = u128::from(end_ns - self.began_ns);
        let parts = if self.from == self.to {
            (since_ns * u128::from(self.from)).div_ceil(PART_NS)
        } else {
            self.ramp_area(since_ns).div_ceil(u128::from(self.length_ns) * PARTS_NS)
        };
        u128::from(self.began_parts) + parts
    }

    /// The rate at `at_ns`, in messages per second.
    fn rate(&self, at_ns: u64) -> f64 {
        float(self.from) + self.slope() * seconds(at_ns - self.began_ns)
    }

    /// How the rate changes, in messages per second and second.
    fn slope(&self) -> f64 {
        if self.from == self.to {
            return 0.0;
        }
        (float(self.to) - float(self.from)) / seconds(self.length_ns)
    }

    /// The expected number of messages from `at_ns` to its end.
    fn messages_after(&self, at_ns: u64) -> f64 {
        let left_seconds = seconds((self.began_ns + self.length_ns).saturating_sub(at_ns));
        self.rate(at_ns).midpoint(float(self.to)) * left_seconds
    }

    /// When `messages` more are expected than at `at_ns`.
    fn after_messages(&self, at_ns: u64, messages: f64) -> u64 {
        if self.from == self.to {
            return at_ns.saturating_add(nanoseconds(messages / float(self.from)));
        }
        let (rate, slope) = (self.rate(at_ns), self.slope());
        // The solution of rate * t + slope / 2 * t² = messages that does not subtract nearly equal numbers.
        let root = (rate * rate + 2.0 * slope * messages).max(0.0).sqrt();
        at_ns.saturating_add(nanoseconds(2.0 * messages / (rate + root)))
    }
}

fn mul(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

/// A cast saturates: of a rate of zero, the time is infinite.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval is short")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Nanoseconds in which a part of a message is due at a rate of one.
const PART_NS: u128 = (SECOND_NS / PARTS) as u128;

/// Twice as many: an area below a ramp is twice its messages.
const PARTS_NS: u128 = 2 * PART_NS;

/// Twice as much must fit into 64 bits.
const RATE_IN_STEPS_MAX: u64 = u64::MAX / 2;

/// Messages of random intervals that are counted one by one when they are skipped, which takes milliseconds.
const COUNTED_MAX: u64 = 1_000_000;

/// Every run has the same arrivals, so that runs can be compared.
const SEED: u64 = 0x6c6f_6f70_6c69_6e65;

#[cfg(test)]
mod tests;
