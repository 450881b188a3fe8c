//! The memory budget: how much of it may be in use, and how much a connection may hold.
//!
//! ```text
//!   0                                      high mark          budget
//!   |---- used ------------------|---- room ----|---- reserve ----|
//! ```
//!
//! A connection is read only while it holds less than half of what is free: of the room, or of room and reserve
//! for a frame that began a short time ago. So the largest holders stop first, all get equal shares under
//! pressure, and a peer that holds nothing is never stopped. Above the high mark the worst holders are closed.

/// The budget for all bytes that wait in the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryBudget {
    bytes_max: usize,
}

impl MemoryBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max }
    }

    pub(crate) fn bytes_max(self) -> usize {
        self.bytes_max
    }

    /// With more than this in use, connections are closed.
    pub(crate) fn high_mark(self) -> usize {
        self.bytes_max - self.bytes_max / 8
    }

    /// Bytes that may be added below the high mark.
    pub(crate) fn room(self, used: usize) -> usize {
        self.high_mark().saturating_sub(used)
    }

    /// A connection that holds as many bytes or more is not read. `is_young`: its frame began a short time ago.
    pub(crate) fn share(self, used: usize, is_young: bool) -> usize {
        let limit = if is_young { self.bytes_max } else { self.high_mark() };
        limit.saturating_sub(used) / 2
    }

    /// Part of the budget that is freed at once: a scan for the worst holders has to pay off.
    pub(crate) fn step(self) -> usize {
        (self.bytes_max / 16).min(STEP_BYTES_MAX)
    }

    /// The most that is kept for the frames that follow.
    pub(crate) fn spare_bytes_max(self) -> usize {
        self.bytes_max / 8
    }

    /// The limit of a buffer that all connections share, such as the lines of the journal: `bytes`, or less under a
    /// small budget.
    pub(crate) fn fit(self, bytes: usize) -> usize {
        bytes.min(self.bytes_max / 16)
    }
}

/// A frame is young for this time, in milliseconds: a long message takes as long on a slow network.
pub(crate) const YOUNG_MS: u32 = 5000;

/// The maximum of [`MemoryBudget::step`], in bytes.
const STEP_BYTES_MAX: usize = 256 * 1024;

/// The smallest budget with which a message of `message_bytes_max` bytes is served: the message, its line in the
/// journal, in which every byte can be escaped as four, and what connections share.
pub(crate) fn budget_bytes_min(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_mul(8).saturating_add(SHARED_BYTES)
}

/// Upper bound of what connections share under the smallest budget.
const SHARED_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_in_use_the_less_a_connection_may_hold() {
        let budget = MemoryBudget::new(8000);
        assert_eq!(budget.share(0, false), 3500);
        assert_eq!(budget.share(5000, false), 1000);
        assert_eq!(budget.share(7000, false), 0);
        assert_eq!(budget.share(9000, true), 0);
    }

    #[test]
    fn a_young_frame_may_use_the_reserve() {
        let budget = MemoryBudget::new(8000);
        assert_eq!((budget.share(7000, false), budget.share(7000, true)), (0, 500));
    }

    #[test]
    fn under_the_smallest_budget_one_message_of_the_maximum_size_is_read() {
        // On 32 bits, the budget for 1 GiB is more than there are addresses.
        for message in [12, 1 << 16, 1 << 20, (1 << 30).min(usize::MAX / 16)] {
            let budget = MemoryBudget::new(budget_bytes_min(message));
            // It holds all but its last byte, and its buffer may be twice as large.
            let held = 2 * (message + 64);
            assert!(held < budget.share(held + SHARED_BYTES / 4, false), "{message}");
        }
        assert_eq!(budget_bytes_min(usize::MAX), usize::MAX);
    }

    #[test]
    fn the_parts_of_a_budget_are_in_proportion_to_it() {
        let budget = MemoryBudget::new(8000);
        assert_eq!((budget.bytes_max(), budget.high_mark()), (8000, 7000));
        assert_eq!([0, 6999, 7000, 9000].map(|used| budget.room(used)), [7000, 1, 0, 0]);
        assert_eq!(budget.step(), 500);
        assert_eq!([499, 500, 501].map(|bytes| budget.fit(bytes)), [499, 500, 500]);
        assert_eq!(MemoryBudget::new(1 << 30).step(), 262_144);
        assert_eq!(budget_bytes_min(1000), 8000 + 1_048_576);
    }
}
