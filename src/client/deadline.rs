//! The moment by which a step of the client must be over. The only file of the client that reads the clock.

#![expect(clippy::disallowed_methods, reason = "the client waits for one server at a time, by the clock")]

use std::time::{Duration, Instant};

/// A moment, and the timeout that it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// How long after the beginning the moment is.
    pub(super) timeout: Duration,
    /// `None` when it is further away than the clock can count.
    moment: Option<Instant>,
}

impl Deadline {
    /// `timeout` from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self { timeout, moment: Instant::now().checked_add(timeout) }
    }

    /// How long it still is; `None` when the moment has come, never zero, which sockets take for "no
    /// timeout".
    pub(super) fn remaining(&self) -> Option<Duration> {
        let Some(moment) = self.moment else {
            return Some(Duration::MAX);
        };
        Some(moment.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_never_zero_and_never_more_than_the_timeout() {
        let hour = Duration::from_secs(3600);
        assert!(Deadline::after(hour).remaining().unwrap() <= hour);
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), None);
        assert_eq!(Deadline::after(Duration::MAX).remaining(), Some(Duration::MAX));
    }
}
