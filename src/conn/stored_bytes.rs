//! Bytes of a connection that wait, in memory that returns to the system when they are gone.
//!
//! An allocator keeps what is freed: holes between small allocations stay with the process. So more than a few bytes
//! have a memory map of their own. Less is on the heap, since a map takes a page and two system calls.

use std::ops::Deref;

use memmap2::MmapMut;

/// A growing sequence of bytes.
#[derive(Debug)]
pub(crate) struct StoredBytes {
    memory: Memory,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    /// Its length is that of the bytes.
    Heap(Vec<u8>),
    Map(MmapMut),
}

impl StoredBytes {
    pub(crate) const fn new() -> Self {
        Self { memory: Memory::Heap(Vec::new()), len: 0 }
    }

    /// The memory that they take.
    pub(crate) fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Heap(bytes) => bytes.capacity(),
            Memory::Map(map) => map.len(),
        }
    }

    /// Makes space for `bytes` more, and if it has to grow for them, for `spare` more than these.
    pub(crate) fn reserve(&mut self, bytes: usize, spare: usize) {
        if self.capacity() - self.len < bytes {
            *self = Self::copied(self, bytes.saturating_add(spare));
        }
    }

    /// Appends `bytes`. It grows by no more than these; [`reserve`](Self::reserve) first to copy less often.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len(), 0);
        match &mut self.memory {
            Memory::Heap(heap) => heap.extend_from_slice(bytes),
            Memory::Map(map) => map[self.len..][..bytes.len()].copy_from_slice(bytes),
        }
        self.len += bytes.len();
    }

    /// Drops the first `bytes` bytes, and the memory of the others that is more than they and `spare` more need.
    pub(crate) fn drop_front(&mut self, bytes: usize, spare: usize) {
        *self = Self::copied(&self[bytes..], spare);
    }

    /// A copy, with space for `spare` more bytes.
    #[cold]
    fn copied(bytes: &[u8], spare: usize) -> Self {
        let capacity = bytes.len().saturating_add(spare);
        let map = if capacity > HEAP_BYTES_MAX {
            MmapMut::map_anon(capacity.next_multiple_of(PAGE_BYTES)).ok()
        } else {
            None
        };
        // Without a map, for example since a process has a limited number of them, the heap has to do.
        let memory = if let Some(mut map) = map {
            map[..bytes.len()].copy_from_slice(bytes);
            Memory::Map(map)
        } else {
            let mut heap = Vec::with_capacity(capacity);
            heap.extend_from_slice(bytes);
            Memory::Heap(heap)
        };
        Self { memory, len: bytes.len() }
    }
}

impl Deref for StoredBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Map(map) => &map[..self.len],
        }
    }
}

/// The most that is on the heap. The beginning of a short message is.
const HEAP_BYTES_MAX: usize = 1024;

/// The size of a page on most machines; where pages are larger, a map takes a little more than is counted.
const PAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_appended_in_any_portions_are_the_same_on_the_heap_and_in_maps() {
        let all: Vec<u8> = (0..20_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        for portion in [1, 7, 1000, 1024, 1025, 4096, 20_000] {
            let mut stored = StoredBytes::new();
            for bytes in all.chunks(portion) {
                stored.reserve(bytes.len(), stored.len());
                stored.extend_from_slice(bytes);
            }
            assert!(*stored == *all, "{portion}");
            stored.drop_front(19_990, 0);
            assert_eq!((&*stored, stored.capacity()), (&all[19_990..], 10));
        }
    }

    #[test]
    fn without_spare_space_it_takes_the_pages_that_it_needs() {
        let mut stored = StoredBytes::new();
        assert_eq!(stored.capacity(), 0);
        stored.extend_from_slice(&[1; 5000]);
        assert_eq!(stored.capacity(), 8192);
        stored.extend_from_slice(&[2; 3192]);
        assert_eq!((stored.len(), stored.capacity()), (8192, 8192));
        stored.extend_from_slice(&[3]);
        assert_eq!((stored.len(), stored.capacity()), (8193, 12_288));
    }

    #[test]
    fn what_fits_is_not_moved() {
        for bytes in [1024, 8192] {
            let mut stored = StoredBytes::new();
            stored.extend_from_slice(&vec![1; bytes - 100]);
            stored.reserve(100, 0);
            assert_eq!(stored.capacity(), bytes);
            stored.reserve(100, 10_000);
            assert_eq!(stored.capacity(), bytes, "there is space for them");
            stored.reserve(101, 10_000);
            assert!(stored.capacity() > bytes + 10_000);
        }
    }
}
