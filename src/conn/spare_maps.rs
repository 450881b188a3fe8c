//! Memory maps that long frames have left, for the next ones: the kernel clears each page of a new map, which costs
//! more than receiving into it.
//!
//! They are limited, are freed when memory is short, and return to the system after a second without use. With a memory
//! plan there are none: all bytes are stored in the buffers of a pool, which were allocated at the start.

use crate::conn::deadlines::Tick;
use crate::conn::stored_bytes::{Map, StoredBytes};

/// Maps without bytes, the one that was used last at the end.
#[derive(Debug)]
pub(crate) struct SpareMaps {
    maps: Vec<(Map, Tick)>,
    bytes: usize,
    bytes_max: usize,
    /// With a memory plan.
    pool: Option<Pool>,
}

/// The buffers of a memory plan.
#[derive(Debug)]
struct Pool {
    free: Vec<StoredBytes>,
    /// The size of each.
    buffer_bytes: usize,
    /// The number of all.
    #[cfg(debug_assertions)]
    buffers: usize,
}

impl SpareMaps {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { maps: Vec::new(), bytes: 0, bytes_max, pool: None }
    }

    /// Allocates `buffers` of `buffer_bytes` bytes each. From now on bytes are stored there, and nowhere else: what takes
    /// one gives it [back](Self::give_back).
    pub(crate) fn allocate(&mut self, buffers: usize, buffer_bytes: usize) {
        let free = (0..buffers).map(|_| StoredBytes::on_heap(buffer_bytes)).collect();
        self.pool = Some(Pool {
            free,
            buffer_bytes,
            #[cfg(debug_assertions)]
            buffers,
        });
    }

    /// The size of the buffers in which bytes are stored, with a memory plan.
    pub(crate) fn planned_bytes(&self) -> Option<usize> {
        self.pool.as_ref().map(|pool| pool.buffer_bytes)
    }

    /// The number of buffers that are taken, with a memory plan.
    #[cfg(debug_assertions)]
    pub(crate) fn taken_buffers(&self) -> Option<usize> {
        self.pool.as_ref().map(|pool| pool.buffers - pool.free.len())
    }

    /// A copy of `bytes`; `None` if the memory plan has no buffer for it.
    pub(crate) fn copied(&mut self, bytes: &[u8]) -> Option<StoredBytes> {
        let Some(pool) = &mut self.pool else { return Some(StoredBytes::copied(bytes, 0)) };
        let mut copy = StoredBytes::new();
        if !pool.grow(&mut copy, bytes.len()) {
            self.give_back(copy);
            return None;
        }
        copy.extend_from_slice(bytes);
        Some(copy)
    }

    /// Ends with the bytes; the memory plan gets their buffer back.
    pub(crate) fn give_back(&mut self, mut stored: StoredBytes) {
        if let Some(pool) = self.pool.as_mut().filter(|_| stored.capacity() > 0) {
            stored.consume(stored.len());
            pool.free.push(stored);
        }
    }

    /// The memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives `stored` space for `needed` bytes in all: for `capacity` bytes, if that is only address space. A frame that
    /// may be long takes the memory that an earlier one has left. Returns false if the memory plan has no space.
    pub(crate) fn grow(&mut self, stored: &mut StoredBytes, needed: usize, capacity: usize) -> bool {
        if let Some(pool) = &mut self.pool {
            return pool.grow(stored, needed);
        }
        let map = if capacity < MAP_BYTES_MIN { None } else { self.take(capacity) };
        let space = if capacity < MAP_BYTES_MIN { capacity } else { needed };
        let mut larger = map.map_or_else(|| StoredBytes::copied(&[], space), StoredBytes::in_map);
        larger.extend_from_slice(stored);
        *stored = larger;
        true
    }

    fn take(&mut self, bytes: usize) -> Option<Map> {
        let index = self.maps.iter().rposition(|(map, _)| map.len() >= bytes);
        let Some(index) = index else { return Map::sparse(bytes.max(MAP_BYTES)) };
        let (map, _) = self.maps.remove(index);
        self.bytes -= map.memory_bytes();
        Some(map)
    }

    /// Keeps the memory of `stored` for others, if it is long and there are not too many.
    pub(crate) fn put(&mut self, stored: StoredBytes, now: Tick) {
        let Some(map) = stored.into_map() else { return };
        if map.len() >= MAP_BYTES && self.bytes + map.memory_bytes() <= self.bytes_max {
            self.bytes += map.memory_bytes();
            self.maps.push((map, now));
        }
    }

    /// Frees all.
    pub(crate) fn clear(&mut self) {
        self.maps = Vec::new();
        self.bytes = 0;
    }

    /// Milliseconds until one is freed because it is not used.
    #[inline]
    pub(crate) fn wait_ms(&self, now: Tick) -> Option<u32> {
        self.maps.first().map(|(_, used)| UNUSED_MS.saturating_sub(now.ms_since(*used)))
    }

    /// Frees those that were not used for a second.
    #[inline]
    pub(crate) fn expire(&mut self, now: Tick) {
        if !self.maps.is_empty() {
            self.free_unused(now);
        }
    }

    #[inline(never)]
    fn free_unused(&mut self, now: Tick) {
        while self.wait_ms(now) == Some(0) {
            let (map, _) = self.maps.remove(0);
            self.bytes -= map.memory_bytes();
        }
        if self.maps.is_empty() {
            self.clear();
        }
    }
}

impl Pool {
    /// Gives `stored` a buffer, if it has none. Returns false if none is free, or it is too short for `needed` bytes.
    fn grow(&mut self, stored: &mut StoredBytes, needed: usize) -> bool {
        if stored.capacity() == 0 {
            let Some(buffer) = self.free.pop() else { return false };
            *stored = buffer;
        }
        stored.capacity() >= needed
    }
}

/// Fewer bytes have a map of their own size.
const MAP_BYTES_MIN: usize = 16 * 1024;

/// The length of a map, which is address space: a message of the default maximum, and a read behind its end.
const MAP_BYTES: usize = (1024 + 192) * 1024;

/// One that is not used for this time is freed, in milliseconds.
const UNUSED_MS: u32 = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    /// A frame that has received `bytes` bytes, and needs space for more.
    fn long(maps: &mut SpareMaps, bytes: usize) -> StoredBytes {
        let mut stored = StoredBytes::new();
        maps.grow(&mut stored, bytes, bytes);
        stored.extend_from_slice(&vec![b'1'; bytes]);
        stored
    }

    #[test]
    fn a_frame_receives_into_the_memory_that_another_has_left() {
        let mut maps = SpareMaps::new(1 << 20);
        let first = long(&mut maps, 100_000);
        maps.put(first, at(0));
        assert_eq!(maps.bytes(), 102_400);
        let second = long(&mut maps, 50_000);
        assert_eq!((second.memory_bytes(), maps.bytes()), (102_400, 0));
        let mut short = StoredBytes::new();
        maps.put(second, at(0));
        maps.grow(&mut short, 10_000, 12_000);
        assert_eq!((short.memory_bytes(), maps.bytes()), (0, 102_400), "a short one is not charged with it");
    }

    #[test]
    fn a_frame_keeps_its_bytes_when_it_grows() {
        let mut maps = SpareMaps::new(1 << 20);
        let mut stored = StoredBytes::new();
        stored.extend_from_slice(b"12");
        for (needed, capacity) in
            [(1000, 1000), (5000, 8192), (20_000, MAP_BYTES), (MAP_BYTES + 1, MAP_BYTES + 4096)]
        {
            maps.grow(&mut stored, needed, needed);
            assert_eq!((&stored[..], stored.capacity() / 4096), (&b"12"[..], capacity / 4096), "{needed}");
        }
    }

    #[test]
    fn with_a_memory_plan_there_are_as_many_buffers_as_were_allocated() {
        let mut maps = SpareMaps::new(0);
        maps.allocate(2, 2000);
        let mut first = StoredBytes::new();
        assert!(maps.grow(&mut first, 10, 100_000));
        assert_eq!((first.capacity(), maps.planned_bytes()), (2000, Some(2000)));
        assert!(maps.grow(&mut first, 2000, 2000) && !maps.grow(&mut first, 2001, 2001));
        assert!(maps.copied(&[1; 2001]).is_none(), "it would be too long");
        assert_eq!(maps.copied(&[1; 2000]).as_deref(), Some(&[1; 2000][..]));
        assert!(maps.copied(b"1").is_none(), "none is left");
        first.extend_from_slice(b"first");
        maps.give_back(first);
        maps.give_back(StoredBytes::new());
        assert_eq!(maps.copied(b"second").as_deref(), Some(&b"second"[..]));
        assert!(maps.copied(b"third").is_none(), "one was given back");
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut maps = SpareMaps::new(150_000);
        let all = [100_000, 60_000, 40_000, 10_000].map(|bytes| long(&mut maps, bytes));
        all.into_iter().for_each(|stored| maps.put(stored, at(0)));
        assert_eq!(maps.bytes(), 102_400 + 40_960, "10,000 bytes have a map of their own size");
        maps.clear();
        assert_eq!((maps.bytes(), maps.wait_ms(at(0))), (0, None));
    }

    #[test]
    fn what_is_not_used_for_a_second_is_freed() {
        let mut maps = SpareMaps::new(1 << 20);
        let all = [20_000, 40_000].map(|bytes| long(&mut maps, bytes));
        for (stored, ms) in all.into_iter().zip([0, 500]) {
            maps.put(stored, at(ms));
        }
        assert_eq!(maps.wait_ms(at(600)), Some(400));
        maps.expire(at(999));
        assert_eq!(maps.bytes(), 20_480 + 40_960);
        maps.expire(at(1000));
        assert_eq!((maps.bytes(), maps.wait_ms(at(1000))), (40_960, Some(500)));
        maps.expire(at(1500));
        assert_eq!((maps.bytes(), maps.wait_ms(at(1500))), (0, None));
    }
}
