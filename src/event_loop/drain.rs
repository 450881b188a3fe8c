//! Stopping: frames that have begun are finished, then the server ends.

use crate::conn::CloseReason;
use crate::conn::Flags;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::event_loop::accept::Accepting;
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::unwritten_at_end;
use crate::net::Net;

/// Whether the server serves, drains or has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// A request to stop has come: frames that have begun are finished. Connections that wait to be accepted
    /// are accepted, and bytes that have come are read, before listeners and idle connections are closed.
    Draining {
        since: Tick,
        idle_closed: bool,
    },
    Stopped,
}

impl Phase {
    /// Whether a connection that has nothing to do is ended: once idle ones are being closed anyway, and before
    /// that if it was just `answered`, and so is known to be between two frames.
    pub(super) fn ends_quiet(self, answered: bool) -> bool {
        match self {
            Self::Draining { idle_closed, .. } => idle_closed || answered,
            Self::Serving | Self::Stopped => false,
        }
    }
}

/// How long a storm of connects can put off closing the listeners, in milliseconds.
const ACCEPT_WHILE_DRAINING_MS: u32 = 100;

impl<N: Net> EventLoop<N> {
    /// Handles requests to stop: the first drains, the second stops at once.
    pub(super) fn stop(&mut self) {
        for _ in 0..self.net.stop_requests() {
            self.phase = match self.phase {
                Phase::Serving => {
                    let (connections, busy) = (self.table.len(), self.table.busy());
                    log::info!("stopping: {connections} open connections, {busy} busy");
                    Phase::Draining { since: self.now, idle_closed: false }
                }
                Phase::Draining { .. } | Phase::Stopped => Phase::Stopped,
            };
        }
    }

    /// Milliseconds until draining has something to do.
    pub(super) fn drain_wait_ms(&self) -> Option<u32> {
        match self.phase {
            Phase::Serving => None,
            Phase::Draining { idle_closed: false, .. } | Phase::Stopped => Some(0),
            Phase::Draining { since, idle_closed: true } => Some(self.drain_left_ms(since)),
        }
    }

    fn drain_left_ms(&self, since: Tick) -> u32 {
        milliseconds(self.limits.drain_timeout).saturating_sub(self.now.ms_since(since))
    }

    /// Goes on with stopping, if that was requested.
    pub(super) fn continue_draining(&mut self) -> Result<(), LoopError> {
        if let Phase::Draining { since, idle_closed: false } = self.phase {
            self.close_listeners_then_idle(since);
        }
        if let Phase::Draining { since, idle_closed } = self.phase {
            // The last connection may have been closed just now, and no event would report it.
            let is_done = idle_closed && self.table.len() == 0 && self.journal.unwritten_bytes() == 0;
            if is_done || self.drain_left_ms(since) == 0 {
                self.phase = Phase::Stopped;
            }
        }
        if self.phase != Phase::Stopped {
            return Ok(());
        }
        self.close_all();
        if self.journal.unwritten_bytes() > 0 {
            return Err(LoopError::Journal(unwritten_at_end()));
        }
        Ok(())
    }

    /// The first step of draining takes a few turns: some to accept the connections that wait, since a frame
    /// may be on its way behind them; one that polls everything that has come; and then connections that have
    /// nothing to do are closed.
    fn close_listeners_then_idle(&mut self, since: Tick) {
        if !self.endpoints_are_closed() {
            let some_wait =
                self.accepting == Accepting::Running && self.listeners.iter().any(|one| one.ready);
            if !some_wait || self.now.ms_since(since) >= ACCEPT_WHILE_DRAINING_MS {
                self.close_endpoints();
            }
        } else if self.events.len() < self.limits.events_per_poll_max {
            for key in self.table.keys() {
                if self.is_between_frames(key) {
                    self.close(key, CloseReason::Stopped);
                }
            }
            self.phase = Phase::Draining { since, idle_closed: true };
        }
    }

    /// Whether the connection is open and no byte of it is on its way, in either direction or in the kernel.
    pub(super) fn is_between_frames(&self, key: u32) -> bool {
        let conn = self.table.conn(key);
        conn.session.is_open() && self.table.is_quiet(key) && !conn.flags.contains(Flags::READABLE)
    }

    /// From now on the kernel refuses new connections.
    fn close_endpoints(&mut self) {
        self.sockets.clear();
        for listener in &mut self.listeners {
            listener.ready = false;
            listener.socket = None;
        }
    }

    fn endpoints_are_closed(&self) -> bool {
        self.sockets.is_empty() && self.listeners.iter().all(|listener| listener.socket.is_none())
    }

    fn close_all(&mut self) {
        let keys = self.table.keys();
        if !keys.is_empty() {
            log::warn!("stopped with unfinished connections: {}", keys.len());
        }
        for key in keys {
            self.close(key, CloseReason::Stopped);
        }
    }
}
