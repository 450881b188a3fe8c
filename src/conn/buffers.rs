//! The bytes of a connection that could not be passed on yet.

use crate::conn::deadlines::{Link, Tick};
use crate::conn::spare_maps::SpareMaps;
use crate::conn::stored_bytes::StoredBytes;
use crate::conn::unread::Unread;

/// The bytes of one connection that are neither consumed nor sent. They exist only while there are any, or while the
/// connection is paused.
///
/// ```text
///   unread:  the beginning of a frame, never a whole one
///   unsent:  answers, of which `sent` bytes are sent:   0 <= sent <= unsent.len()
/// ```
#[derive(Debug)]
pub(crate) struct ConnBuffers {
    /// The slot of the connection they belong to.
    pub(super) conn: u32,
    /// Bytes discarded while lingering.
    discarded_bytes: usize,
    /// While `unread` is not empty, in the queue of frame deadlines.
    pub(super) frame_link: Link,
    /// In the queue of write deadlines while the peer is expected to read `unsent`.
    pub(super) write_link: Link,
    unread: Unread,
    unsent: StoredBytes,
    sent: usize,
    /// A handler wants nothing more of the peer for now.
    #[cfg(feature = "handlers")]
    pub(super) is_paused: bool,
    /// What the table counts for it.
    counted_bytes: usize,
}

impl ConnBuffers {
    pub(super) fn new(conn: u32) -> Self {
        Self {
            conn,
            discarded_bytes: 0,
            frame_link: Link::UNLINKED,
            write_link: Link::UNLINKED,
            unread: Unread::new(),
            unsent: StoredBytes::new(),
            sent: 0,
            #[cfg(feature = "handlers")]
            is_paused: false,
            counted_bytes: 0,
        }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.unread.memory_bytes() + self.unsent.capacity()
    }

    /// Replaces the counted bytes by those that it takes now; returns the former.
    pub(super) fn recount(&mut self) -> usize {
        let bytes = self.bytes();
        std::mem::replace(&mut self.counted_bytes, bytes)
    }

    pub(super) fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }

    /// The memory of the unsent bytes.
    pub(super) fn unsent_memory(&self) -> usize {
        self.unsent.capacity()
    }

    /// The bytes of the frame that is incomplete.
    pub(super) fn unread_bytes(&self) -> usize {
        self.unread.len()
    }

    /// For how long the peer has accepted none of the unsent bytes, in milliseconds; 0 if that is not timed.
    pub(super) fn unsent_ms(&self, now: Tick) -> u32 {
        self.write_link.age_ms(now).unwrap_or(0)
    }

    /// For how long a frame has been incomplete, if it is timed.
    pub(super) fn frame_ms(&self, now: Tick) -> Option<u32> {
        self.frame_link.age_ms(now)
    }

    pub(super) fn unread(&mut self) -> &mut Unread {
        &mut self.unread
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.unsent[self.sent..]
    }

    /// Appends `answer` to what is unsent. Returns false if the memory plan has no space for it.
    pub(super) fn push_unsent(&mut self, answer: &[u8], maps: &mut SpareMaps) -> bool {
        if maps.planned_bytes().is_some() {
            return self.push_planned(answer, maps);
        }
        // Sent bytes are dropped where the buffer grows, so that its size stays in proportion to what is unsent.
        if self.unsent.len() + answer.len() > self.unsent.capacity() {
            let spare = answer.len() + self.unsent().len() / 2;
            self.unsent.drop_front(self.sent, spare);
            self.sent = 0;
        }
        self.unsent.extend_from_slice(answer);
        true
    }

    fn push_planned(&mut self, answer: &[u8], maps: &mut SpareMaps) -> bool {
        self.unsent.consume(self.sent);
        self.sent = 0;
        let needed = self.unsent.len() + answer.len();
        let has_space = maps.grow(&mut self.unsent, needed, needed);
        if has_space {
            self.unsent.extend_from_slice(answer);
        }
        has_space
    }

    /// `bytes` more are sent.
    pub(super) fn advance(&mut self, bytes: usize, maps: &mut SpareMaps) {
        self.sent += bytes;
        assert!(self.sent <= self.unsent.len(), "more was sent than there was");
        if self.sent == self.unsent.len() {
            maps.give_back(std::mem::replace(&mut self.unsent, StoredBytes::new()));
            self.sent = 0;
        }
    }

    /// Ends with all bytes; the memory plan gets their buffers back.
    pub(super) fn give_back(self, maps: &mut SpareMaps) {
        self.unread.give_back(maps);
        maps.give_back(self.unsent);
    }

    /// How many buffers of a memory plan it has.
    #[cfg(debug_assertions)]
    pub(super) fn pooled_buffers(&self) -> usize {
        usize::from(self.unread.memory_bytes() > 0) + usize::from(self.unsent.capacity() > 0)
    }

    #[cfg(any(debug_assertions, feature = "handlers"))]
    pub(super) fn is_in_frame(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Counts bytes that were discarded, and returns how many there are now.
    pub(super) fn add_discarded(&mut self, bytes: usize) -> usize {
        self.discarded_bytes += bytes;
        self.discarded_bytes
    }

    /// Whether there is nothing left to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.unsent().is_empty() && self.discarded_bytes == 0 && !self.is_paused()
    }

    /// Whether a handler wants nothing more of the peer for now.
    #[cfg_attr(not(feature = "handlers"), expect(clippy::unused_self, reason = "there are no handlers"))]
    pub(super) fn is_paused(&self) -> bool {
        #[cfg(feature = "handlers")]
        return self.is_paused;
        #[cfg(not(feature = "handlers"))]
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> SpareMaps {
        SpareMaps::new(0)
    }

    #[test]
    fn answers_that_a_peer_takes_in_any_portions_leave_once_and_in_order() {
        let answer: Vec<u8> = (0..=255).collect();
        for portion in 1..=256 {
            let mut buffers = ConnBuffers::new(0);
            let mut taken = Vec::new();
            buffers.push_unsent(&answer, &mut maps());
            while !buffers.unsent().is_empty() {
                if taken.len() == portion {
                    buffers.push_unsent(&answer, &mut maps()); // more is answered meanwhile
                }
                let bytes = portion.min(buffers.unsent().len());
                taken.extend_from_slice(&buffers.unsent()[..bytes]);
                buffers.advance(bytes, &mut maps());
            }
            assert_eq!(&taken[..256], answer);
            assert!(taken.len() == 256 || taken[256..] == answer);
            assert!(buffers.is_empty());
        }
    }

    #[test]
    fn a_slow_peer_holds_memory_in_proportion_to_what_it_has_not_taken() {
        let mut buffers = ConnBuffers::new(0);
        for _ in 0..10_000 {
            buffers.push_unsent(&[0; 100], &mut maps());
            buffers.advance(buffers.unsent().len().saturating_sub(500), &mut maps());
        }
        assert!(buffers.unsent.capacity() < 5000, "{}", buffers.unsent.capacity());
    }

    #[test]
    fn a_buffer_that_grows_drops_what_is_sent_and_has_space_for_half_as_much_again() {
        let mut buffers = ConnBuffers::new(0);
        let mut push = |sent: usize, bytes: usize| {
            buffers.advance(sent, &mut maps());
            buffers.push_unsent(&vec![0; bytes], &mut maps());
            (buffers.sent, buffers.unsent.capacity())
        };
        assert_eq!(push(0, 4000), (0, 4096));
        assert_eq!(push(100, 96), (100, 4096), "there is space for them");
        assert_eq!(push(0, 96), (0, 8192), "3996 and 96 are left, and 1998 may follow");
        assert_eq!(push(0, 4100), (0, 8192), "it is full");
        assert_eq!(push(0, 4000), (0, 16_384), "12,192 are left, and 4096 may follow");
        assert_eq!(push(8096, 4192), (8096, 16_384), "it is full");
        assert_eq!(push(96, 4000), (0, 16_384), "8192 of 16,384 were sent");
    }

    #[test]
    fn a_buffer_is_empty_without_unread_unsent_and_discarded_bytes() {
        let mut buffers = ConnBuffers::new(0);
        assert!(buffers.is_empty());
        buffers.push_unsent(b"answer", &mut maps());
        assert!(!buffers.is_empty() && !buffers.is_in_frame());
        buffers.advance(6, &mut maps());
        assert!(buffers.is_empty());
        *buffers.unread() = Unread::holding(b"1");
        assert!(!buffers.is_empty() && buffers.is_in_frame());
        *buffers.unread() = Unread::new();
        assert_eq!([5, 7].map(|bytes| buffers.add_discarded(bytes)), [5, 12]);
        assert!(!buffers.is_empty());
    }
}
