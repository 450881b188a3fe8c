//! The memory of all buffers: its sum, and the connections that hold most of it.

use super::ConnTable;
use crate::conn::buffers::ConnBuffers;
use crate::conn::deadlines::Tick;
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

    /// For how long a frame of it has been incomplete, in milliseconds, if that is timed.
    pub(crate) fn frame_ms(&self, conn: &Conn<S>, now: Tick) -> Option<u32> {
        self.buffers_of(conn)?.frame_ms(now)
    }

    /// Makes space for `bytes` more bytes of a frame that has begun; with little `room`, for no more than these.
    pub(crate) fn reserve_unread(&mut self, key: u32, bytes: usize, room: usize) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.buffers[index as usize].reserve_unread(bytes, room);
        }
    }

    /// Counts the memory of a connection again, after a change of its unread bytes.
    pub(crate) fn recount_unread(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.recount(index);
        }
    }

    /// Connections that together hold `bytes` or more, at most `count_max`: those that are worst by what they hold
    /// and for how long, but not `except`.
    ///
    /// They are compared by the power of two, which needs two passes and no sorting.
    pub(crate) fn worst_holders(
        &self,
        bytes: usize,
        count_max: usize,
        except: Option<u32>,
        now: Tick,
    ) -> Vec<u32> {
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
        let mut worst = Vec::new();
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
        worst
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

/// The power of two of bytes times milliseconds.
fn class_of(buffers: &ConnBuffers, now: Tick) -> usize {
    let byte_ms = (buffers.counted_bytes() as u64).saturating_mul(u64::from(buffers.waiting_ms(now)) + 1);
    byte_ms.checked_ilog2().unwrap_or(0) as usize
}

const CLASSES: usize = u64::BITS as usize;
