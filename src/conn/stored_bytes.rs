//! Bytes of a connection that wait, in memory that returns to the system when they are gone.
//!
//! An allocator keeps what is freed: holes between small allocations stay with the process. So more than a few bytes
//! have a memory map of their own. Less is on the heap, since a map takes a page and two system calls.
//!
//! The kernel gives a map its memory page by page, when bytes are written there. So a map may be longer than what has
//! come: that is address space, and only the pages that have been written to count.

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
    Heap(Vec<u8>),
    Map(Map),
}

/// A memory map.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: MmapMut,
    /// As many bytes from the beginning, in whole pages, have been written to.
    written: usize,
}

impl StoredBytes {
    pub(crate) const fn new() -> Self {
        Self { memory: Memory::Heap(Vec::new()), len: 0 }
    }

    /// Without bytes yet, in the memory of `map`.
    pub(crate) fn in_map(map: Map) -> Self {
        Self { memory: Memory::Map(map), len: 0 }
    }

    /// Without bytes yet, with space for `bytes` on the heap, however many these are.
    pub(crate) fn on_heap(bytes: usize) -> Self {
        Self { memory: Memory::Heap(vec![0; bytes]), len: 0 }
    }

    /// Ends with the bytes, and keeps their map, if they are in one.
    pub(crate) fn into_map(self) -> Option<Map> {
        match self.memory {
            Memory::Heap(_) => None,
            Memory::Map(map) => Some(map),
        }
    }

    /// The memory that they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.memory {
            Memory::Heap(bytes) => bytes.capacity(),
            Memory::Map(map) => map.written,
        }
    }

    /// As many bytes have space.
    pub(crate) fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Heap(bytes) => bytes.len(),
            Memory::Map(map) => map.bytes.len(),
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
        self.space()[..bytes.len()].copy_from_slice(bytes);
        self.add(bytes.len());
    }

    /// The space behind the bytes. What is written to its beginning becomes part of them with [`add`](Self::add).
    pub(crate) fn space(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(heap) => &mut heap[self.len..],
            Memory::Map(map) => &mut map.bytes[self.len..],
        }
    }

    /// `bytes` have been written to the space.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.len += bytes;
        assert!(self.len <= self.capacity(), "more bytes than there is space for");
        if let Memory::Map(map) = &mut self.memory {
            map.written = map.written.max(self.len.next_multiple_of(PAGE_BYTES));
        }
    }

    /// Drops the first `bytes` bytes, and moves the others to the beginning of the same memory.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let len = self.len;
        match &mut self.memory {
            Memory::Heap(heap) => heap.copy_within(bytes..len, 0),
            Memory::Map(map) => map.bytes.copy_within(bytes..len, 0),
        }
        self.len -= bytes;
    }

    /// Drops the first `bytes` bytes, and the memory of the others that is more than they and `spare` more need.
    pub(crate) fn drop_front(&mut self, bytes: usize, spare: usize) {
        *self = Self::copied(&self[bytes..], spare);
    }

    /// A copy, with space for `spare` more bytes.
    #[cold]
    pub(crate) fn copied(bytes: &[u8], spare: usize) -> Self {
        let capacity = bytes.len().saturating_add(spare);
        let map = if capacity > HEAP_BYTES_MAX { Map::new(capacity) } else { None };
        // Without a map, for example since a process has a limited number of them, the heap has to do.
        let mut copy = map.map_or_else(|| Self::on_heap(capacity), Self::in_map);
        copy.space()[..bytes.len()].copy_from_slice(bytes);
        copy.add(bytes.len());
        copy
    }
}

impl Map {
    /// A map for `bytes` bytes; `None` if there is no address space for it.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let bytes = MmapMut::map_anon(bytes.next_multiple_of(PAGE_BYTES)).ok()?;
        Some(Self { bytes, written: 0 })
    }

    /// A map that is longer than what will be written to it.
    pub(crate) fn sparse(bytes: usize) -> Option<Self> {
        let map = Self::new(bytes)?;
        // Huge pages would be given to the part that nothing is written to. A kernel without them needs no advice.
        #[cfg(target_os = "linux")]
        let _ = map.bytes.advise(memmap2::Advice::NoHugePage);
        Some(map)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.written
    }
}

impl Deref for StoredBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => &bytes[..self.len],
            Memory::Map(map) => &map.bytes[..self.len],
        }
    }
}

/// The most that is on the heap. The beginning of a short message is.
pub(crate) const HEAP_BYTES_MAX: usize = 1024;

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
            stored.consume(10);
            assert!(*stored == all[10..], "{portion}");
            stored.drop_front(19_980, 0);
            assert_eq!((&*stored, stored.memory_bytes()), (&all[19_990..], 10));
        }
    }

    #[test]
    fn without_spare_space_it_takes_the_pages_that_it_needs() {
        let mut stored = StoredBytes::new();
        assert_eq!(stored.memory_bytes(), 0);
        stored.extend_from_slice(&[1; 5000]);
        assert_eq!(stored.memory_bytes(), 8192);
        stored.extend_from_slice(&[2; 3192]);
        assert_eq!((stored.len(), stored.memory_bytes()), (8192, 8192));
        stored.extend_from_slice(&[3]);
        assert_eq!((stored.len(), stored.memory_bytes()), (8193, 12_288));
    }

    #[test]
    fn of_a_map_the_pages_count_that_have_been_written_to() {
        let mut stored = StoredBytes::in_map(Map::sparse(1 << 20).unwrap());
        assert_eq!((stored.len(), stored.memory_bytes(), stored.capacity()), (0, 0, 1 << 20));
        stored.space()[..5000].fill(b'1');
        stored.add(5000);
        assert_eq!((&*stored, stored.memory_bytes()), (&[b'1'; 5000][..], 8192));
        stored.consume(5000);
        assert_eq!((stored.len(), stored.memory_bytes()), (0, 8192), "they still have memory");
        let map = stored.into_map().unwrap();
        assert_eq!((map.len(), map.memory_bytes()), (1 << 20, 8192));
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
