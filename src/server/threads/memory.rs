//! The memory budget of the threads: the bytes that each holds, and who is closed when they are too many.
//!
//! A thread cannot be kept from reading as a connection of the loop can, since it waits in a call for its peer or for
//! the journal. So it accounts for what it holds before it waits, and whichever thread exceeds the budget closes
//! the connections that hold most. A peer whose messages are short holds nothing that counts. The memory of a
//! connection that is closed is free a moment later, when its thread has ended, and the allocator may keep it: the
//! budget bounds the bytes that wait, and not the resident memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::conn::memory::MemoryBudget;

/// The bytes that all hold, and what is kept for the frames that follow.
#[derive(Debug)]
pub(super) struct Memory {
    budget: MemoryBudget,
    used: AtomicUsize,
}

/// The bytes that one connection holds, or that are kept for all.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { budget: MemoryBudget::new(bytes_max), used: AtomicUsize::new(0) }
    }

    /// It holds `bytes` now.
    pub(super) fn set(&self, held: &Held, bytes: usize) {
        let before = held.0.swap(bytes, Ordering::SeqCst);
        // The difference may be negative: the sum wraps, and is right in the end.
        self.used.fetch_add(bytes.wrapping_sub(before), Ordering::SeqCst);
    }

    /// How many bytes are to be freed.
    pub(super) fn to_free(&self) -> usize {
        match self.used.load(Ordering::SeqCst).saturating_sub(self.budget.high_mark()) {
            0 => 0,
            over => over + self.budget.step(),
        }
    }

    /// The most that a thread reads at once, of `bytes`: it accounts for a read only afterwards, and many may read when
    /// memory is short.
    pub(super) fn read_bytes_max(&self, bytes: usize) -> usize {
        if self.used() > self.budget.high_mark() / 2 { bytes.min(SHORT_READ_BYTES) } else { bytes }
    }

    /// The most that is kept for the frames that follow.
    pub(super) fn spare_bytes_max(&self) -> usize {
        self.budget.spare_bytes_max()
    }

    /// The bytes that all hold.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }
}

/// What is read at once when more than half of the memory is in use.
const SHORT_READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_short_when_more_than_half_of_the_memory_is_in_use() {
        let (memory, held) = (Memory::new(1 << 20), Held::default());
        for (used, expected) in [(0, 100_000), (448 << 10, 100_000), ((448 << 10) + 1, SHORT_READ_BYTES)] {
            memory.set(&held, used);
            assert_eq!(memory.read_bytes_max(100_000), expected, "{used}");
            assert_eq!(memory.read_bytes_max(1000), 1000, "{used}");
        }
    }
}
