//! How long before a scheduled moment a generator polls without waiting.
//!
//! A process that waits is woken late: by some microseconds on an idle machine, by more in a virtual machine.
//! Polling without waiting (spinning) for that long before the moment hides this, and uses the processor.

/// The time to spin before each moment, which follows the lateness of the wake-ups.
#[derive(Debug)]
pub(super) struct SpinTime {
    ns: u64,
}

impl SpinTime {
    pub(super) fn new() -> Self {
        Self { ns: SPIN_MAX_NS }
    }

    /// How long to wait before spinning, if the moment is `wait_ns` away. `None`: not at all.
    pub(super) fn wait(&self, wait_ns: u64) -> Option<u64> {
        // Waiting for less costs as much as spinning: two system calls, and a processor that was idle.
        (wait_ns > SPIN_MAX_NS).then(|| wait_ns - self.ns)
    }

    /// A wake-up was late by `late_ns`.
    pub(super) fn woke(&mut self, late_ns: u64) {
        let wanted_ns = (late_ns + late_ns / 4).clamp(SPIN_MIN_NS, SPIN_MAX_NS);
        // Late wake-ups count at once, punctual ones over the next hundreds.
        self.ns = if wanted_ns > self.ns { wanted_ns } else { self.ns - (self.ns - wanted_ns) / DECAY };
    }
}

/// The longest time to spin: longer delays come from other programs, and spinning does not prevent them.
const SPIN_MAX_NS: u64 = 60_000;

/// The shortest time to spin: the precision of a poll.
const SPIN_MIN_NS: u64 = 2_000;

/// Divisor of the difference by which the time gets shorter at each wake-up.
const DECAY: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_near_is_not_waited_for() {
        let spin = SpinTime::new();
        assert_eq!((spin.wait(SPIN_MAX_NS), spin.wait(200_000)), (None, Some(140_000)));
    }

    #[test]
    fn spinning_gets_shorter_while_wake_ups_are_punctual_and_longer_at_once() {
        let mut spin = SpinTime::new();
        (0..10_000).for_each(|_| spin.woke(4000));
        let shortest_ns = 200_000 - spin.wait(200_000).unwrap();
        assert!((5000..5300).contains(&shortest_ns), "{shortest_ns}");
        spin.woke(40_000);
        assert_eq!(spin.wait(200_000), Some(150_000));
        (0..100).for_each(|_| spin.woke(4000));
        assert!(spin.wait(200_000).unwrap() < 180_000, "a late wake-up is remembered for a while");
        spin.woke(10_000_000);
        assert_eq!(spin.wait(200_000), Some(140_000), "it is limited");
    }
}
