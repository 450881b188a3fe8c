//! The deadlines of the connections in the table, and the check of its invariants.

use super::ConnTable;
#[cfg(debug_assertions)]
use crate::conn::Conn;
use crate::conn::NO_BUFFERS;
use crate::conn::deadlines::Tick;

impl<S> ConnTable<S> {
    /// The connection was active between frames.
    #[inline]
    pub(crate) fn renew_idle(&mut self, key: u32, now: Tick) {
        self.idle.renew(&mut self.conns, key, now);
    }

    /// The connection is idle from now on, whatever it was before.
    pub(crate) fn restart_idle(&mut self, key: u32, now: Tick) {
        self.idle.arm(&mut self.conns, key, now);
    }

    /// The connection is not timed for being idle any more.
    pub(crate) fn stop_idle(&mut self, key: u32) {
        self.idle.cancel(&mut self.conns, key);
    }

    /// Everything is sent, and the peer has until the linger timeout to end its side.
    pub(crate) fn start_linger(&mut self, key: u32, now: Tick) {
        self.idle.cancel(&mut self.conns, key);
        self.lingering.arm(&mut self.conns, key, now);
    }

    /// The first byte of a frame has come.
    pub(crate) fn start_frame(&mut self, key: u32, now: Tick) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.frames.arm(&mut self.buffers, index, now);
        }
    }

    /// The frame is complete, or never will be.
    pub(crate) fn stop_frame(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.frames.cancel(&mut self.buffers, index);
        }
    }

    /// A write left something unsent. The peer's time begins with the first such write, and again whenever it
    /// has `taken` some; an attempt that it took nothing of changes nothing.
    pub(crate) fn time_write(&mut self, key: u32, taken: bool, now: Tick) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS && (taken || !self.buffers[index as usize].write_link.is_linked()) {
            self.writes.renew(&mut self.buffers, index, now);
        }
    }

    /// The peer is not timed for reading its answers any more.
    pub(crate) fn stop_write(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.writes.cancel(&mut self.buffers, index);
        }
    }

    /// The first connection whose time to linger was over at `now`.
    pub(crate) fn due_linger(&mut self, now: Tick) -> Option<u32> {
        self.lingering.due(&mut self.conns, now)
    }

    /// The first connection whose frame was not complete at its deadline.
    pub(crate) fn due_frame(&mut self, now: Tick) -> Option<u32> {
        let index = self.frames.due(&mut self.buffers, now)?;
        Some(self.buffers[index as usize].conn)
    }

    /// The first connection whose peer read none of its answers until its deadline.
    pub(crate) fn due_write(&mut self, now: Tick) -> Option<u32> {
        let index = self.writes.due(&mut self.buffers, now)?;
        Some(self.buffers[index as usize].conn)
    }

    /// The first connection that was idle until its deadline.
    pub(crate) fn due_idle(&mut self, now: Tick) -> Option<u32> {
        self.idle.due(&mut self.conns, now)
    }

    /// Milliseconds until the first deadline of any kind.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> Option<u32> {
        [
            self.idle.wait_ms(&mut self.conns, now),
            self.lingering.wait_ms(&mut self.conns, now),
            self.frames.wait_ms(&mut self.buffers, now),
            self.writes.wait_ms(&mut self.buffers, now),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// What must be true of the table at any time.
#[cfg(debug_assertions)]
impl<S> ConnTable<S> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn<S>> {
        self.conns.iter().map(|(_, conn)| conn)
    }

    /// Panics if it is not: buffers without an owner, or with two; a queue that is not sorted, or that has a
    /// connection which should not wait.
    pub(crate) fn check(&mut self) {
        let mut with_buffers = 0;
        for (key, conn) in &self.conns {
            if conn.buffers != NO_BUFFERS {
                with_buffers += 1;
                let owner = self.buffers[conn.buffers as usize].conn;
                assert_eq!(owner as usize, key, "buffers belong to the connection that refers to them");
            }
        }
        assert_eq!(with_buffers, self.buffers.len(), "each buffer has one connection");
        let idle = self.idle.check(&mut self.conns);
        let lingering = self.lingering.check(&mut self.conns);
        assert!(idle + lingering <= self.conns.len(), "no connection is both idle and lingering");
        let lingering_states = self.conns.iter().filter(|(_, conn)| conn.session.is_lingering()).count();
        assert_eq!(lingering, lingering_states, "each lingering connection has a deadline");
        self.frames.check(&mut self.buffers);
        self.writes.check(&mut self.buffers);
    }
}
