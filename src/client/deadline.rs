//! The deadline of a step, and pauses. The only file of the client that reads the clock.

#![expect(clippy::disallowed_methods, reason = "the client blocks, with deadlines")]

use std::time::{Duration, Instant};

/// A point in time, and the timeout it was computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// The time from the beginning of the step to the deadline.
    pub(super) timeout: Duration,
    /// `None` if it is later than the clock can represent.
    instant: Option<Instant>,
}

impl Deadline {
    /// `timeout` from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self { timeout, instant: Instant::now().checked_add(timeout) }
    }

    /// The time left; `None` after the deadline. Never zero, which means "no timeout" to a socket.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let Some(instant) = self.instant else {
            return Some(Duration::MAX);
        };
        Some(instant.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

/// Waits before another attempt.
pub(super) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_is_never_zero_and_never_more_than_the_timeout() {
        let hour = Duration::from_secs(3600);
        assert!(Deadline::after(hour).remaining().unwrap() <= hour);
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), None);
        assert_eq!(Deadline::after(Duration::MAX).remaining(), Some(Duration::MAX));
    }
}
