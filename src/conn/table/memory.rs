//! The memory of all buffers: its sum, and the connections that hold most of it.

use super::ConnTable;
use crate::conn::buffers::ConnBuffers;
use crate::conn::deadlines::Tick;
use crate::conn::memory::YOUNG_MS;
use crate::conn::{Conn, NO_BUFFERS};

impl<S> ConnTable<S> {
    /// The memory of all buffers, in bytes.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// The memory of a connection's buffers, in bytes.
    pub(crate) fn held_bytes(&self, conn: &Conn<S>) -> usize {
        self.buffers_of(conn).map_or(0, ConnBuffers::counted_bytes)
    }

    /// How many bytes of a frame may be added to those that are stored, with a memory plan.
    pub(crate) fn planned_room(&self, conn: &Conn<S>) -> usize {
        let Some(buffer_bytes) = self.spare_maps.planned_bytes() else { return usize::MAX };
        buffer_bytes.saturating_sub(self.buffers_of(conn).map_or(0, ConnBuffers::unread_bytes))
    }

    /// For how long a frame of it has been incomplete, in milliseconds, if that is timed.
    pub(crate) fn frame_ms(&self, conn: &Conn<S>, now: Tick) -> Option<u32> {
        self.buffers_of(conn)?.frame_ms(now)
    }

    /// Counts the memory of a connection again, after a change of its unread bytes.
    pub(crate) fn recount_unread(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.recount(index);
        }
    }

    /// Sets `worst` to connections that together hold `bytes` or more, at most `count_max`: those that are worst by what
    /// they hold and for how long, but not `except`.
    ///
    /// They are compared by the power of two, which needs two passes and no sorting.
    pub(crate) fn find_worst_holders(
        &self,
        worst: &mut Vec<u32>,
        bytes: usize,
        count_max: usize,
        except: Option<u32>,
        now: Tick,
    ) {
        let holders = || {
            let others = self.buffers.iter().map(|(_, buffers)| buffers);
            others.filter(|buffers| Some(buffers.conn) != except)
        };
        let mut classes = [Class::default(); CLASSES];
        for buffers in holders() {
            let class = &mut classes[class_of(buffers, now)];
            class.bytes += buffers.counted_bytes();
            class.count += 1;
        }
        // The highest classes that together are enough; of the lowest of these, only some.
        let (mut lowest, mut above) = (0, Class::default());
        for (index, class) in classes.iter().enumerate().rev() {
            lowest = index;
            if above.bytes + class.bytes >= bytes || above.count + class.count >= count_max {
                break;
            }
            above.bytes += class.bytes;
            above.count += class.count;
        }
        worst.clear();
        for buffers in holders() {
            let class = class_of(buffers, now);
            if class == lowest && above.bytes < bytes && above.count < count_max {
                above.bytes += buffers.counted_bytes();
                above.count += 1;
                worst.push(buffers.conn);
            } else if class > lowest {
                worst.push(buffers.conn);
            }
        }
    }

    pub(super) fn recount(&mut self, index: u32) {
        let buffers = &mut self.buffers[index as usize];
        let former = buffers.recount();
        self.stored_bytes = self.stored_bytes - former + buffers.counted_bytes();
    }

    fn buffers_of(&self, conn: &Conn<S>) -> Option<&ConnBuffers> {
        (conn.buffers != NO_BUFFERS).then(|| &self.buffers[conn.buffers as usize])
    }
}

/// The holders of one power of two.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    bytes: usize,
    count: usize,
}

/// The power of two of bytes times milliseconds: those of the frame that is incomplete, and those that are unsent.
///
/// Of a young frame, few bytes count: a long message on its way is better than the little that each of many
/// attackers holds for longer. What a peer does not read has no such excuse.
fn class_of(buffers: &ConnBuffers, now: Tick) -> usize {
    let unsent_bytes = buffers.unsent_memory();
    let frame_bytes = buffers.counted_bytes() - unsent_bytes;
    let (frame_bytes, frame_ms) = match buffers.frame_ms(now) {
        Some(age_ms) if age_ms < YOUNG_MS => (frame_bytes.min(YOUNG_BYTES_MAX), age_ms),
        age_ms => (frame_bytes, age_ms.unwrap_or(YOUNG_MS)),
    };
    let unsent_ms = buffers.unsent_ms(now).max(UNSENT_MS_MIN);
    let weigh = |bytes: usize, ms: u32| (bytes as u64).saturating_mul(ms.into());
    let byte_ms = weigh(frame_bytes, frame_ms.max(1)).saturating_add(weigh(unsent_bytes, unsent_ms));
    byte_ms.checked_ilog2().unwrap_or(0) as usize
}

/// Of a young frame, no more bytes count.
const YOUNG_BYTES_MAX: usize = 16 * 1024;

/// Unsent bytes count as if they had waited for this time, in milliseconds.
const UNSENT_MS_MIN: u32 = 1000;

const CLASSES: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::limits::Limits;

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    impl ConnTable<()> {
        fn worst_holders(&self, bytes: usize, count_max: usize, except: Option<u32>, now: Tick) -> Vec<u32> {
            let mut worst = vec![4711];
            self.find_worst_holders(&mut worst, bytes, count_max, except, now);
            worst
        }
    }

    /// A table with a connection for each of `unread`, the beginning of a frame of that many bytes.
    fn table(unread: &[usize]) -> ConnTable<()> {
        let mut table = ConnTable::new(&Limits::default());
        for bytes in unread {
            let key = table.insert((), SocketAddr::from(([127, 0, 0, 1], 4000)), 0).key;
            table.store_unread(key, &vec![b'1'; *bytes]);
            table.start_frame(key, at(0));
        }
        table
    }

    #[test]
    fn the_sum_is_that_of_all_buffers_on_the_heap_and_in_maps() {
        for bytes in [10, 1024, 1025, 100_000] {
            let mut table = table(&[bytes, bytes]);
            let entry = size_of::<ConnBuffers>();
            let one = table.held_bytes(table.conn(0));
            assert!((entry + bytes..=entry + bytes.next_multiple_of(4096)).contains(&one), "{bytes}: {one}");
            assert_eq!(table.stored_bytes(), 2 * one);
            table.push_unsent(0, &vec![0; bytes]);
            assert_eq!(table.held_bytes(table.conn(0)), 2 * one - entry);
            table.advance_unsent(0, bytes);
            assert_eq!(table.stored_bytes(), 2 * one);
            table.discard_unread(0);
            assert_eq!(table.stored_bytes(), one + entry);
            table.release_if_empty(0);
            assert_eq!(table.stored_bytes(), one);
            table.check();
            table.remove(1);
            assert_eq!(table.stored_bytes(), 0);
        }
    }

    #[test]
    fn the_largest_holders_are_the_worst() {
        let table = table(&[10, 50_000, 200, 500_000, 100_000, 0]);
        let now = at(6000);
        assert_eq!(table.worst_holders(1, 10, None, now), [3]);
        assert_eq!(table.worst_holders(500_000, 10, None, now), [3]);
        assert_eq!(table.worst_holders(550_000, 10, None, now), [3, 4]);
        assert_eq!(table.worst_holders(550_000, 10, Some(3), now), [0, 1, 2, 4], "there are no more");
        assert_eq!(table.worst_holders(usize::MAX, 2, None, now), [3, 4], "no more at once");
    }

    #[test]
    fn of_two_holders_the_one_that_waits_longer_is_worse() {
        let mut table = table(&[10_000, 10_000]);
        table.start_frame(0, at(9000));
        assert_eq!(table.worst_holders(1, 10, None, at(10_000)), [1]);
        // A large frame that has just begun is better than a small one of long ago.
        table.store_unread(0, "1".repeat(60_000).as_bytes());
        assert_eq!(table.worst_holders(1, 10, None, at(10_000)), [1]);
    }

    #[test]
    fn a_long_message_on_its_way_is_better_than_shorter_frames_that_began_earlier() {
        let mut table = table(&[20_000, 1_000_000]);
        table.start_frame(1, at(4000));
        assert_eq!(table.worst_holders(1, 10, None, at(4500)), [0]);
        assert_eq!(table.worst_holders(1, 10, None, at(9500)), [1], "it is not on its way for so long");
    }

    #[test]
    fn what_a_peer_does_not_read_is_worse_than_a_long_message_on_its_way() {
        let mut table = table(&[1_000_000, 10]);
        table.push_unsent(1, &vec![0; 50_000]);
        table.renew_write(1, true, at(1000));
        assert_eq!(table.worst_holders(1, 10, None, at(1000)), [1]);
    }

    #[test]
    fn the_buffers_of_many_leave_no_memory_behind() {
        let mut table = table(&[10; 1000]);
        (0..1000).for_each(|key| table.remove(key));
        assert_eq!(table.buffers.capacity(), 0);
    }

    #[test]
    fn of_two_peers_that_read_nothing_the_one_that_has_done_so_for_longer_is_worse() {
        let mut table = table(&[0, 0]);
        for (key, ms) in [(0, 9000), (1, 0)] {
            table.push_unsent(key, &[0; 10_000]);
            table.renew_write(key, false, at(ms));
        }
        assert_eq!(table.worst_holders(1, 10, None, at(10_000)), [1]);
    }

    #[test]
    fn of_a_frame_on_its_way_16_kib_count() {
        let mut table = table(&[2000, 1_000_000]);
        table.start_frame(0, at(500));
        table.start_frame(1, at(2000));
        assert_eq!(table.worst_holders(1, 10, None, at(6000)), [1]);
    }

    #[test]
    fn of_equal_holders_no_more_are_named_than_are_asked_for() {
        let table = table(&[10_000; 5]);
        let one = table.held_bytes(table.conn(0));
        assert_eq!(table.worst_holders(2 * one, 10, None, at(10)), [0, 1]);
        assert_eq!(table.worst_holders(2 * one + 1, 10, None, at(10)), [0, 1, 2]);
        assert_eq!(table.worst_holders(usize::MAX, 2, None, at(10)), [0, 1]);
    }

    #[test]
    fn a_frame_is_on_its_way_for_less_than_five_seconds() {
        let mut table = table(&[100_000, 1_000_000]);
        table.start_frame(1, at(1000));
        assert_eq!(table.worst_holders(1, 10, None, at(5999)), [0]);
        assert_eq!(table.worst_holders(1, 10, None, at(6000)), [1]);
    }

    #[test]
    fn unsent_bytes_are_not_counted_as_those_of_a_frame_too() {
        let mut table = table(&[4096, 0]);
        table.push_unsent(1, &[0; 8192]);
        table.renew_write(1, false, at(6000));
        assert_eq!(table.worst_holders(1, 10, None, at(6000)), [0]);
    }
}
