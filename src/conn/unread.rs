//! The bytes of a connection that its service has not consumed: the beginning of a frame.

use std::ops::Deref;

use crate::conn::deadlines::Tick;
use crate::conn::spare_maps::SpareMaps;
use crate::conn::stored_bytes::{HEAP_BYTES_MAX, StoredBytes};
use crate::service::Known;

/// The beginning of a frame, and what the service knows of it. A read appends to it: nothing is copied.
#[derive(Debug)]
pub(crate) struct Unread {
    bytes: StoredBytes,
    pub(super) known: Known,
    /// The low-water mark of the socket: never more than is missing of the frame.
    low_water_mark: usize,
}

impl Unread {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: StoredBytes::new(),
            known: Known { wire_bytes: 0, checked_bytes: 0 },
            low_water_mark: 1,
        }
    }

    /// Only `bytes`, of which nothing is known.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        Self { bytes: StoredBytes::copied(bytes, 0), ..Self::new() }
    }

    /// The same in the memory of `maps`; `None` if the memory plan has no space.
    pub(crate) fn stored(bytes: &[u8], maps: &mut SpareMaps) -> Option<Self> {
        Some(Self { bytes: maps.copied(bytes)?, ..Self::new() })
    }

    /// Ends with the bytes; the memory plan gets their buffer back.
    pub(crate) fn give_back(self, maps: &mut SpareMaps) {
        maps.give_back(self.bytes);
    }

    /// The memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.memory_bytes()
    }

    /// Whether the next read should append to it: of a short one, memory for a read would be most of what it takes.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes.len() > HEAP_BYTES_MAX
    }

    /// The bytes that are missing of a frame of known length, and one more: a read of no more than the frame would not
    /// show that there is nothing behind it.
    pub(crate) fn missing_bytes(&self) -> usize {
        self.known.wire_bytes.saturating_add(1).saturating_sub(self.bytes.len())
    }

    /// Changes the low-water mark to what is missing, up to `bytes_max`, and to 1 if that is little; returns it if it
    /// has to be set.
    pub(crate) fn move_low_water_mark(&mut self, bytes_max: usize) -> Option<usize> {
        let missing = self.known.wire_bytes.saturating_sub(self.bytes.len());
        let mark = if missing <= bytes_max / 4 { 1 } else { missing.min(bytes_max).max(1) };
        (std::mem::replace(&mut self.low_water_mark, mark) != mark).then_some(mark)
    }

    /// Appends a copy of `bytes`. Returns false if the memory plan has no space for them.
    pub(crate) fn append(&mut self, bytes: &[u8], maps: &mut SpareMaps) -> bool {
        let has_space = self.grow(self.bytes.len() + bytes.len(), maps);
        if has_space {
            self.bytes.extend_from_slice(bytes);
        }
        has_space
    }

    /// Makes space for a read of up to `bytes_max` bytes, and returns for how many: the read should end soon after a long
    /// frame, since the beginning of the next is copied. But if it ended with the frame, it would not show that there is
    /// no more. It returns 0 if the memory plan has no space.
    pub(crate) fn make_space(&mut self, bytes_max: usize, maps: &mut SpareMaps) -> usize {
        let len = self.bytes.len();
        let whole = self.known.wire_bytes.saturating_add(BEYOND_FRAME_BYTES);
        let is_long = self.known.wire_bytes >= LONG_FRAME_BYTES;
        let bytes = if is_long { bytes_max.min(whole.saturating_sub(len)) } else { bytes_max };
        if self.grow(len + bytes, maps) { bytes } else { 0 }
    }

    /// Makes space for `needed` bytes in all. A frame of known length gets address space for all of it, so that it is
    /// not moved again; memory follows what comes.
    fn grow(&mut self, needed: usize, maps: &mut SpareMaps) -> bool {
        let len = self.bytes.len();
        let whole = self.known.wire_bytes.saturating_add(BEYOND_FRAME_BYTES);
        let expected = if self.known.wire_bytes > 0 { whole.min(needed.saturating_mul(16)) } else { 0 };
        self.bytes.capacity() >= needed.max(expected)
            || maps.grow(&mut self.bytes, needed, expected.max(needed + len))
    }

    /// The space that was made for `bytes` bytes.
    pub(crate) fn space(&mut self, bytes: usize) -> &mut [u8] {
        &mut self.bytes.space()[..bytes]
    }

    /// `bytes` have been read into the space.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes.add(bytes);
    }

    /// Drops the first `bytes` bytes. What is known is known of the frame behind them.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if bytes > 0 {
            self.bytes.consume(bytes);
        }
    }

    /// Leaves memory to others that is more than the frame needs. `is_other`: it is not the frame that memory was taken
    /// for. A long one must not leave its memory to the beginning of the next.
    pub(crate) fn release_memory(&mut self, is_other: bool, maps: &mut SpareMaps, now: Tick) {
        if maps.planned_bytes().is_some() {
            if self.bytes.is_empty() {
                maps.give_back(std::mem::replace(&mut self.bytes, StoredBytes::new()));
            }
            return;
        }
        let has_known_length = self.known.wire_bytes > 0;
        let expected = self.known.wire_bytes.max(self.bytes.len());
        if !is_other && !has_known_length && !self.bytes.is_empty() {
            return;
        }
        if expected.saturating_mul(2) < self.memory_bytes() {
            let fitting = StoredBytes::copied(&self.bytes, 0);
            maps.put(std::mem::replace(&mut self.bytes, fitting), now);
        }
    }
}

impl Deref for Unread {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A read may go on behind a frame for this many bytes.
const BEYOND_FRAME_BYTES: usize = 4096;

/// Behind a shorter frame, several others may be read at once.
const LONG_FRAME_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn long(maps: &mut SpareMaps, bytes: usize) -> Unread {
        let mut unread = Unread::new();
        assert_eq!(unread.make_space(bytes, maps), bytes);
        unread.space(bytes).fill(b'1');
        unread.add(bytes);
        unread
    }

    #[test]
    fn a_read_ends_soon_after_a_long_frame() {
        let mut maps = SpareMaps::new(1 << 20);
        let mut unread = long(&mut maps, 20_000);
        assert_eq!(unread.make_space(50_000, &mut maps), 50_000, "its length is unknown");
        unread.known.wire_bytes = LONG_FRAME_BYTES - 1;
        assert_eq!(unread.make_space(50_000, &mut maps), 50_000, "others may follow");
        unread.known.wire_bytes = 40_000;
        assert_eq!(unread.make_space(50_000, &mut maps), 20_000 + BEYOND_FRAME_BYTES);
        assert_eq!(unread.make_space(5000, &mut maps), 5000);
        assert_eq!(unread.space(5000).len(), 5000);
    }

    #[test]
    fn no_more_is_waited_for_than_is_missing_of_the_frame() {
        let mut unread = long(&mut SpareMaps::new(1 << 20), 20_000);
        for (wire_bytes, mark) in [
            (0, None),
            (30_000, Some(1000)),
            (21_000, None),
            (20_999, Some(999)),
            (20_251, Some(251)),
            (20_250, Some(1)),
            (20_000, None),
        ] {
            unread.known.wire_bytes = wire_bytes;
            assert_eq!(unread.move_low_water_mark(1000), mark, "of {wire_bytes}");
        }
    }

    #[test]
    fn a_part_of_unknown_length_has_memory_for_itself_alone() {
        let mut maps = SpareMaps::new(1 << 20);
        let mut unread = Unread::new();
        unread.append(&[b'1'; 10], &mut maps);
        assert_eq!(unread.memory_bytes(), 10);
    }

    #[test]
    fn memory_follows_what_comes_and_not_what_is_announced() {
        let mut maps = SpareMaps::new(1 << 20);
        let mut unread = Unread::new();
        unread.append(&[b'1'; 2000], &mut maps);
        unread.known.wire_bytes = 1 << 20;
        unread.make_space(100_000, &mut maps);
        assert_eq!((unread.memory_bytes(), unread.len()), (4096, 2000));
        assert!(unread.bytes.capacity() > 1 << 20, "it will not be moved");
        unread.space(5000).fill(b'1');
        unread.add(5000);
        assert_eq!(unread.memory_bytes(), 8192);
    }

    #[test]
    fn a_long_frame_leaves_its_memory_to_others_and_none_to_the_beginning_of_the_next() {
        let (mut maps, now) = (SpareMaps::new(1 << 20), Tick::default());
        for left in [0, 10, 5000] {
            let mut unread = long(&mut maps, 200_000);
            unread.consume(200_000 - left);
            unread.release_memory(true, &mut maps, now);
            assert_eq!((unread.len(), unread.memory_bytes() <= left.next_multiple_of(4096)), (left, true));
            assert_eq!(maps.bytes(), 200_704);
        }
    }

    #[test]
    fn a_frame_keeps_the_memory_that_it_will_need_or_has_just_been_given() {
        let (mut maps, now) = (SpareMaps::new(1 << 20), Tick::default());
        for (left, wire_bytes, is_other, is_kept) in [
            (100_352, 0, true, true),
            (100_351, 0, true, false),
            (10, 0, false, true),
            (0, 0, false, false),
            (10, 100_352, false, true),
            (10, 100_351, false, false),
        ] {
            let mut unread = long(&mut maps, 200_000);
            unread.consume(200_000 - left);
            unread.known.wire_bytes = wire_bytes;
            unread.release_memory(is_other, &mut maps, now);
            assert_eq!(unread.memory_bytes() == 200_704, is_kept, "{left} of {wire_bytes}");
            maps.clear();
        }
    }
}
