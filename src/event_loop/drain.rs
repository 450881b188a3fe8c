//! Stopping: frames that have begun are finished, then the server ends.

use crate::conn::deadlines::{Tick, milliseconds};
use crate::conn::{CloseReason, Conn};
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
    /// Frames that have begun are finished.
    Draining {
        since: Tick,
        step: DrainStep,
    },
    Stopped,
}

/// How far draining has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainStep {
    /// Connections that wait to be accepted are accepted, and bytes that have arrived are read, before listeners are
    /// closed and idle connections are ended.
    Accepting,
    /// Idle connections were ended at this time, but for new ones: the first frame of these may be on its way.
    Lingering { since: Tick },
    /// What is idle is ended.
    Finishing,
}

/// Maximum time that new connections delay closing the listeners, and that peers which never pause delay ending the idle
/// connections, and closing them, in milliseconds.
const DRAIN_STEP_MS_MAX: u32 = 100;

impl<N: Net> EventLoop<N> {
    /// Handles requests to stop: the first drains, the second stops at once.
    pub(super) fn stop(&mut self) {
        for _ in 0..self.net.stop_requests() {
            self.stop_once();
        }
    }

    /// Handles a request to stop.
    pub(super) fn stop_once(&mut self) {
        #[cfg(feature = "cli")]
        self.show_stopping();
        self.net.stop_began();
        self.phase = match self.phase {
            Phase::Serving if self.limits.drain_delay.is_zero() => self.begin_draining(),
            Phase::Serving => {
                let delay_ms = milliseconds(self.limits.drain_delay);
                log::info!("stopping in {delay_ms} ms: everything is served until then");
                Phase::Delaying { since: self.now }
            }
            Phase::Delaying { .. } | Phase::Draining { .. } | Phase::Stopped => Phase::Stopped,
        };
    }

    fn begin_draining(&mut self) -> Phase {
        let (connections, busy) = (self.served(), self.table.busy_len());
        log::info!("stopping: {connections} open connections, {busy} busy");
        self.close_inherited_listeners();
        Phase::Draining { since: self.now, step: DrainStep::Accepting }
    }

    /// Milliseconds until draining has something to do.
    pub(super) fn drain_wait_ms(&self) -> Option<u32> {
        match self.phase {
            Phase::Serving => None,
            Phase::Delaying { since } => Some(self.delay_left_ms(since)),
            Phase::Draining { step: DrainStep::Accepting, .. } | Phase::Stopped => Some(0),
            Phase::Draining { since, step: DrainStep::Lingering { since: ended_at } } => {
                Some(self.drain_left_ms(since).min(self.linger_left_ms(ended_at)))
            }
            Phase::Draining { since, step: DrainStep::Finishing } => Some(self.drain_left_ms(since)),
        }
    }

    fn delay_left_ms(&self, since: Tick) -> u32 {
        milliseconds(self.limits.drain_delay).saturating_sub(self.now.ms_since(since))
    }

    /// Whether a connection is idle and to be ended. In the beginning only one that was just answered is, and then all
    /// but the new ones.
    pub(super) fn ends_if_idle(&self, key: u32, was_answered: bool) -> bool {
        let conn = self.table.conn(key);
        conn.is_idle()
            && match self.phase {
                Phase::Draining { step: DrainStep::Accepting, .. } => was_answered,
                Phase::Draining { step: DrainStep::Lingering { .. }, .. } => {
                    was_answered || !self.is_new(conn)
                }
                Phase::Draining { step: DrainStep::Finishing, .. } => true,
                Phase::Serving | Phase::Delaying { .. } | Phase::Stopped => false,
            }
    }

    fn is_new(&self, conn: &Conn<N::Stream>) -> bool {
        conn.began_ms_ago(self.now) < milliseconds(self.limits.drain_linger_timeout)
    }

    fn linger_left_ms(&self, ended_at: Tick) -> u32 {
        milliseconds(self.limits.drain_linger_timeout).saturating_sub(self.now.ms_since(ended_at))
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
        match self.phase {
            Phase::Draining { since, step: DrainStep::Accepting } => {
                self.close_listeners_then_end_idle(since);
            }
            Phase::Draining { since, step: DrainStep::Lingering { since: ended_at } } => {
                let linger_ms = milliseconds(self.limits.drain_linger_timeout);
                if self.linger_left_ms(ended_at) == 0 && self.has_seen_events(ended_at, linger_ms) {
                    self.close_idle_and_ended();
                    self.phase = Phase::Draining { since, step: DrainStep::Finishing };
                }
            }
            Phase::Draining { step: DrainStep::Finishing, .. }
            | Phase::Serving
            | Phase::Delaying { .. }
            | Phase::Stopped => {}
        }
        if let Phase::Draining { since, step } = self.phase {
            // The last connection may have been closed just now, and no event would report it.
            let is_done =
                step != DrainStep::Accepting && self.table.len() == 0 && self.journal.unwritten_bytes() == 0;
            if is_done || self.drain_left_ms(since) == 0 {
                self.phase = Phase::Stopped;
            }
        }
        if self.phase != Phase::Stopped {
            return Ok(());
        }
        self.close_all();
        #[cfg(feature = "handlers")]
        self.stop_handlers();
        if self.journal.unwritten_bytes() > 0 {
            return Err(LoopError::Journal(unwritten_at_end()));
        }
        Ok(())
    }

    /// The first step of draining takes a few turns: some to accept the connections that wait, since a frame
    /// may be on its way behind them; one that polls everything that has arrived; and then connections that have
    /// nothing to do are ended.
    fn close_listeners_then_end_idle(&mut self, since: Tick) {
        if !self.endpoints_are_closed() {
            // A poll that returned as many events as it could may have left those of listeners behind.
            let is_backlog_pending = !self.has_seen_all_events()
                || (self.accepting == Accepting::Running
                    && self.listeners.iter().any(|listener| listener.ready));
            if !is_backlog_pending || self.now.ms_since(since) >= DRAIN_STEP_MS_MAX {
                self.close_endpoints();
            }
        } else if self.has_seen_events(since, DRAIN_STEP_MS_MAX) {
            self.end_idle();
            self.phase = Phase::Draining { since, step: DrainStep::Lingering { since: self.now } };
        }
    }

    /// Ends the idle connections that are not new. They are closed when their peers have ended too: closing them
    /// now would reset a peer that is sending.
    fn end_idle(&mut self) {
        for key in self.table.keys() {
            let conn = self.table.conn(key);
            if conn.is_idle() && !self.is_new(conn) {
                let id = conn.id(key);
                let effect = self.table.stop(key, self.now);
                if self.apply(key, effect) {
                    self.ended_idle.push(id);
                }
            }
        }
    }

    /// Closes what is idle, or was when its stream was ended.
    fn close_idle_and_ended(&mut self) {
        for id in std::mem::take(&mut self.ended_idle) {
            if let Some(key) = self.table.find(id) {
                self.close(key, CloseReason::Stopped);
            }
        }
        for key in self.table.keys() {
            if self.table.conn(key).is_idle() {
                self.close(key, CloseReason::Stopped);
            }
        }
    }

    /// Whether the last poll has returned everything that had arrived. It is not waited for long, from `due_ms` after
    /// `since` on: peers that never pause would delay the drain.
    fn has_seen_events(&self, since: Tick, due_ms: u32) -> bool {
        self.has_seen_all_events() || self.now.ms_since(since) >= due_ms.saturating_add(DRAIN_STEP_MS_MAX)
    }

    /// Whether the last poll has returned everything that had arrived.
    fn has_seen_all_events(&self) -> bool {
        self.events_polled < self.limits.events_per_poll_max
    }

    /// From now on the kernel refuses new connections, but where another process has the listener too.
    fn close_endpoints(&mut self) {
        for socket in self.sockets.take() {
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
        self.close_idle_and_ended();
        let keys = self.table.keys();
        // One that lingers has had its last answer.
        let unfinished = keys.iter().filter(|key| !self.table.conn(**key).session().is_lingering()).count();
        if unfinished > 0 {
            log::warn!("stopped with unfinished connections: {unfinished}");
        }
        for key in keys {
            self.close(key, CloseReason::Stopped);
        }
    }
}
