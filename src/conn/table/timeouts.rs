//! The deadlines of the connections in the table.

use super::ConnTable;
use crate::conn::NO_BUFFERS;
use crate::conn::deadlines::{Link, Tick};

/// The kinds of deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    /// The peer did not end its side after our last answer.
    Linger,
    /// A frame was not complete.
    Frame,
    /// The peer read none of its answers.
    Write,
    /// No frame began.
    Idle,
    /// The header of a proxy was not complete.
    Header,
}

impl<S> ConnTable<S> {
    /// Starts the idle deadline of a connection that has just been accepted.
    pub(crate) fn start_idle(&mut self, key: u32, now: Tick) {
        self.conns[key as usize].link = Link::unlinked_at(now);
        self.idle.arm(&mut self.conns, key, now);
    }

    /// Renews the idle deadline, after activity. That of an admin connection is renewed by
    /// [`restart_idle`](Self::restart_idle) alone.
    #[inline]
    pub(crate) fn renew_idle(&mut self, key: u32, now: Tick) {
        if self.idle.is_on() {
            self.renew_timed(key, now);
        }
    }

    #[inline(never)]
    fn renew_timed(&mut self, key: u32, now: Tick) {
        if !self.conn(key).is_admin() {
            self.idle.renew(&mut self.conns, key, now);
        }
    }

    /// Starts the deadline of a frame.
    pub(crate) fn start_frame(&mut self, key: u32, now: Tick) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.frames.arm(&mut self.buffers, index, now);
        }
    }

    /// Ends the deadline of a frame.
    pub(crate) fn stop_frame(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.frames.cancel(&mut self.buffers, index);
        }
    }

    /// Starts the write deadline with the first write that leaves something unsent, and renews it when the peer has
    /// taken some. A write of which it took nothing changes nothing.
    pub(crate) fn renew_write(&mut self, key: u32, has_taken: bool, now: Tick) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS && (has_taken || !self.buffers[index as usize].write_link.is_linked()) {
            self.writes.renew(&mut self.buffers, index, now);
        }
    }

    /// Ends the write deadline.
    pub(crate) fn stop_write(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS {
            self.writes.cancel(&mut self.buffers, index);
        }
    }

    /// A connection that had a deadline at or before `now`, and its kind. It stays due until the deadline is
    /// restarted or the connection removed.
    pub(crate) fn due(&mut self, now: Tick) -> Option<(u32, TimeoutKind)> {
        if let Some(key) = self.lingering.due(&mut self.conns, now) {
            return Some((key, TimeoutKind::Linger));
        }
        if let Some(index) = self.frames.due(&mut self.buffers, now) {
            return Some((self.buffers[index as usize].conn, TimeoutKind::Frame));
        }
        if let Some(index) = self.writes.due(&mut self.buffers, now) {
            return Some((self.buffers[index as usize].conn, TimeoutKind::Write));
        }
        if let Some(key) = self.headers.due(&mut self.conns, now) {
            return Some((key, TimeoutKind::Header));
        }
        let idle = self.idle.due(&mut self.conns, now);
        idle.or_else(|| self.admin_idle.due(&mut self.conns, now)).map(|key| (key, TimeoutKind::Idle))
    }

    /// Starts the idle deadline anew.
    pub(crate) fn restart_idle(&mut self, key: u32, now: Tick) {
        let queue = if self.conn(key).is_admin() { &mut self.admin_idle } else { &mut self.idle };
        queue.arm(&mut self.conns, key, now);
    }

    /// Renews the idle deadline of an admin connection, unless it lingers.
    pub(crate) fn renew_admin(&mut self, key: u32, now: Tick) {
        if !self.conn(key).session().is_lingering() {
            self.restart_idle(key, now);
        }
    }

    /// Ends the idle deadline.
    pub(super) fn cancel_idle(&mut self, key: u32) {
        let queue = if self.conn(key).is_admin() { &mut self.admin_idle } else { &mut self.idle };
        queue.cancel(&mut self.conns, key);
    }

    /// The admin connection that has been idle for the longest time.
    #[cfg(feature = "cli")]
    pub(crate) fn longest_idle_admin(&self) -> Option<u32> {
        self.admin_idle.first()
    }

    /// Starts the deadline of a proxy's header anew.
    pub(crate) fn restart_header(&mut self, key: u32, now: Tick) {
        self.headers.arm(&mut self.conns, key, now);
    }

    /// Milliseconds until the first deadline of any kind.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> Option<u32> {
        [
            self.headers.wait_ms(&mut self.conns, now),
            self.idle.wait_ms(&mut self.conns, now),
            self.admin_idle.wait_ms(&mut self.conns, now),
            self.lingering.wait_ms(&mut self.conns, now),
            self.frames.wait_ms(&mut self.buffers, now),
            self.writes.wait_ms(&mut self.buffers, now),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
