//! Messages that were sent together, as long as they are in flight.

/// Messages of one connection that were due and sent at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// When they were sent.
    pub(crate) sent_ns: u64,
    /// How long before that they were due, in microseconds: rounded up, so that no response looks faster
    /// than it was.
    pub(crate) lag_us: u32,
    /// Number of messages.
    pub(crate) count: u32,
}

impl Batch {
    /// Messages that are sent when they are due.
    pub(crate) fn on_time(now_ns: u64, count: u32) -> Self {
        Self { sent_ns: now_ns, lag_us: 0, count }
    }

    /// A message that was due at `due_ns` and is sent at `now_ns`.
    pub(crate) fn due(due_ns: u64, now_ns: u64) -> Self {
        let lag_us = now_ns.saturating_sub(due_ns).div_ceil(1000);
        Self { sent_ns: now_ns, lag_us: u32::try_from(lag_us).unwrap_or(u32::MAX), count: 1 }
    }

    /// When they were due; the lag is rounded up, so this is up to a microsecond after it, and not before.
    pub(crate) fn due_ns(&self) -> u64 {
        let rounding_ns = if self.lag_us > 0 { 999 } else { 0 };
        self.sent_ns.saturating_sub(u64::from(self.lag_us) * 1000) + rounding_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_of_a_message_is_rounded_up() {
        let lag_us = |due_ns, now_ns| Batch::due(due_ns, now_ns).lag_us;
        assert_eq!([lag_us(5, 5), lag_us(5, 6), lag_us(5, 1005), lag_us(5, 1006)], [0, 1, 1, 2]);
        assert_eq!(lag_us(6, 5), 0, "it is sent early");
    }
}
