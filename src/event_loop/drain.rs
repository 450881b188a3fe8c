//! Stopping: frames that have begun are finished, then the server ends.

use crate::conn::CloseReason;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::event_loop::accept::Accepting;
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::unwritten_at_end;
use crate::net::Net;

/// Whether the server serves, drains or has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// A request to stop has arrived, and everything is served as before, until the drain delay is over.
    Delaying {
        since: Tick,
    },
    /// A request to stop has arrived: frames that have begun are finished. Connections that wait to be accepted
    /// are accepted, and bytes that have arrived are read, before listeners and idle connections are closed.
    Draining {
        since: Tick,
        idle_closed: bool,
    },
    Stopped,
}

impl Phase {
    /// Whether an idle connection is ended now. Before the idle ones are closed, only one that was just answered
    /// is.
    pub(super) fn ends_idle(self, was_answered: bool) -> bool {
        match self {
            Self::Draining { idle_closed, .. } => idle_closed || was_answered,
            Self::Serving | Self::Delaying { .. } | Self::Stopped => false,
        }
    }
}

/// Maximum time that new connections delay closing the listeners, in milliseconds.
const DRAIN_ACCEPT_MS_MAX: u32 = 100;

impl<N: Net> EventLoop<N> {
    /// Handles requests to stop: the first drains, the second stops at once.
    pub(super) fn stop(&mut self) {
        for _ in 0..self.net.stop_requests() {
            #[cfg(feature = "cli")]
            self.show_stopping();
            self.phase = match self.phase {
                Phase::Serving if self.limits.drain_delay.is_zero() => self.begin_draining(),
                Phase::Serving => {
                    log::info!("stopping in {:?}: everything is served until then", self.limits.drain_delay);
                    Phase::Delaying { since: self.now }
                }
                Phase::Delaying { .. } | Phase::Draining { .. } | Phase::Stopped => Phase::Stopped,
            };
        }
    }

    fn begin_draining(&mut self) -> Phase {
        let (connections, busy) = (self.table.len(), self.table.busy_len());
        log::info!("stopping: {connections} open connections, {busy} busy");
        self.close_inherited_listeners();
        Phase::Draining { since: self.now, idle_closed: false }
    }

    /// Milliseconds until draining has something to do.
    pub(super) fn drain_wait_ms(&self) -> Option<u32> {
        match self.phase {
            Phase::Serving => None,
            Phase::Delaying { since } => Some(self.delay_left_ms(since)),
            Phase::Draining { idle_closed: false, .. } | Phase::Stopped => Some(0),
            Phase::Draining { since, idle_closed: true } => Some(self.drain_left_ms(since)),
        }
    }

    fn delay_left_ms(&self, since: Tick) -> u32 {
        milliseconds(self.limits.drain_delay).saturating_sub(self.now.ms_since(since))
    }

    fn drain_left_ms(&self, since: Tick) -> u32 {
        milliseconds(self.limits.drain_timeout).saturating_sub(self.now.ms_since(since))
    }

    /// Takes the next step of stopping, if that was requested.
    pub(super) fn continue_draining(&mut self) -> Result<(), LoopError> {
        if let Phase::Delaying { since } = self.phase {
            if self.delay_left_ms(since) == 0 {
                self.phase = self.begin_draining();
            }
        }
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
    /// may be on its way behind them; one that polls everything that has arrived; and then connections that have
    /// nothing to do are closed.
    fn close_listeners_then_idle(&mut self, since: Tick) {
        if !self.endpoints_are_closed() {
            // A poll that returned as many events as it could may have left those of listeners behind.
            let is_backlog_pending = self.events.len() >= self.limits.events_per_poll_max
                || (self.accepting == Accepting::Running
                    && self.listeners.iter().any(|listener| listener.ready));
            if !is_backlog_pending || self.now.ms_since(since) >= DRAIN_ACCEPT_MS_MAX {
                self.close_endpoints();
            }
        } else if self.events.len() < self.limits.events_per_poll_max {
            for key in self.table.keys() {
                if self.table.conn(key).is_idle() {
                    self.close(key, CloseReason::Stopped);
                }
            }
            self.phase = Phase::Draining { since, idle_closed: true };
        }
    }

    /// From now on the kernel refuses new connections, but where another process has the listener too.
    fn close_endpoints(&mut self) {
        for socket in self.sockets.drain(..) {
            self.net.close_socket(socket.socket);
        }
        for index in 0..self.listeners.len() {
            self.close_listener(index);
        }
    }

    fn close_listener(&mut self, index: usize) {
        self.listeners[index].ready = false;
        if let Some(listener) = self.listeners[index].socket.take() {
            self.net.close_listener(listener);
        }
    }

    /// Leaves connections that wait to be accepted to the next process.
    fn close_inherited_listeners(&mut self) {
        for index in 0..self.listeners.len() {
            if self.listeners[index].is_inherited {
                self.close_listener(index);
            }
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
