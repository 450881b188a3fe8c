//! Endings: deadlines that are over, and the end of the server.

use crate::conn::counters::Notice;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::conn::{CloseReason, Flags, Signal, State};
use crate::event_loop::accept::Accepting;
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::unwritten_at_the_end;
use crate::net::Net;

/// What the server is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Asked to stop: frames that have begun are finished. Before listeners and idle connections are
    /// closed, whoever has connected and whatever has come by then is taken in (`swept` tells).
    Draining {
        since: Tick,
        swept: bool,
    },
    Stopped,
}

impl Phase {
    /// Whether a connection that waits for nothing is to end: once idle ones are being closed anyway, and
    /// before that if it was just `answered`, and so is known to be between two frames.
    pub(super) fn ends_quiet(self, answered: bool) -> bool {
        match self {
            Self::Draining { swept, .. } => swept || answered,
            Self::Serving | Self::Stopped => false,
        }
    }
}

/// How long a storm of connects can put the first step of draining off.
const ACCEPT_WHILE_DRAINING_MS: u32 = 100;

impl<N: Net> EventLoop<N> {
    /// The one place where the state of a connection changes, and where what that means is done. Returns
    /// whether the connection is still there.
    pub(super) fn signal(&mut self, key: u32, signal: Signal) -> bool {
        let conn = self.table.conn_mut(key);
        let (reason, after) = (conn.reason, conn.state.after(signal));
        if after == conn.state {
            return true;
        }
        match after {
            State::Closed => {
                self.close(key, reason);
                return false;
            }
            State::Lingering => {
                if self.net.half_close(&conn.stream).is_err() {
                    self.close(key, CloseReason::Reset);
                    return false;
                }
                self.table.linger(key, self.now);
            }
            State::Open | State::Ending | State::Finishing => {}
        }
        self.table.conn_mut(key).state = after;
        true
    }

    /// The one place where connections are closed.
    pub(super) fn close(&mut self, key: u32, reason: CloseReason) {
        self.counters.closed[reason as usize] += 1;
        let peer = self.table.peer(key);
        if self.table.conn(key).reason == CloseReason::Full {
            self.refusals -= 1;
        }
        let address = self.listeners[usize::from(self.table.conn(key).endpoint)].address;
        log::debug!("{address}: {peer} closed: {reason}");
        match reason {
            CloseReason::Full
            | CloseReason::FrameTimeout
            | CloseReason::WriteTimeout
            | CloseReason::Failed
            | CloseReason::Unregistered => {
                self.warn(Notice::Closed(reason), &format_args!("{address}: {peer}: {reason}"));
            }
            // Bad input has had its line when it was refused; the others are in order.
            CloseReason::Served
            | CloseReason::Truncated
            | CloseReason::BadInput
            | CloseReason::IdleTimeout
            | CloseReason::Reset
            | CloseReason::Stopped => {}
        }
        let stream = self.table.remove(key);
        self.net.close(stream);
        self.accepting = Accepting::Running;
    }

    /// Closes what was over its deadline by `heard_until`, before this turn's poll.
    ///
    /// With this process stopped for a while, or a machine asleep, everybody would look idle although their
    /// bytes wait. So a deadline that is found over when the poll returns has to wait for another poll, which
    /// hears of all that has come. One that brought as many events as it could may have left more behind:
    /// then expiring waits until the kernel had nothing more to tell, for as many turns at most as it takes
    /// to hear of every connection once.
    pub(super) fn expire(&mut self, heard_until: Tick) {
        let turns_max = self.table.len() / self.limits.events_per_poll_max.max(1) + 1;
        if self.happened.len() >= self.limits.events_per_poll_max && self.expiries_deferred < turns_max {
            self.expiries_deferred += 1;
            return;
        }
        self.expiries_deferred = 0;
        let now = self.now;
        // A poll that waited for weeks left the ticks of before behind, and no deadline was there to end it.
        let heard_until = if heard_until.is_by(now) { heard_until } else { now };
        while let Some(key) = self.table.lingering.due(&mut self.table.conns, heard_until) {
            let reason = self.table.conn(key).reason;
            self.close(key, reason);
        }
        while let Some(place) = self.table.frames.due(&mut self.table.pendings, heard_until) {
            let key = self.table.pendings[place as usize].conn;
            // Bytes that have come and were not read yet are not the peer's delay, nor is the record's.
            if self.table.conn(key).flags.contains(Flags::READABLE | Flags::HELD) {
                self.table.frames.arm(&mut self.table.pendings, place, now);
            } else {
                self.close(key, CloseReason::FrameTimeout);
            }
        }
        while let Some(place) = self.table.writes.due(&mut self.table.pendings, heard_until) {
            let key = self.table.pendings[place as usize].conn;
            self.close(key, CloseReason::WriteTimeout);
        }
        while let Some(key) = self.table.idle.due(&mut self.table.conns, heard_until) {
            let conn = self.table.conn(key);
            if conn.state != State::Open {
                self.table.idle.cancel(&mut self.table.conns, key);
            } else if conn.flags.contains(Flags::READABLE) || !self.table.is_quiet(key) {
                self.table.idle.arm(&mut self.table.conns, key, now);
            } else {
                self.close(key, CloseReason::IdleTimeout);
            }
        }
        for socket in self.sockets.iter_mut().filter(|socket| !socket.ready) {
            // A datagram that waits comes before the end of its session.
            socket.sessions.expire(heard_until);
        }
    }

    /// Somebody asks to stop: the first time in order, the second time at once.
    pub(super) fn stop(&mut self) {
        for _ in 0..self.net.stop_requests() {
            self.phase = match self.phase {
                Phase::Serving => {
                    let frames = self.table.pendings.len();
                    log::info!("stopping: {} connections, {frames} of them busy", self.table.len());
                    Phase::Draining { since: self.now, swept: false }
                }
                Phase::Draining { .. } | Phase::Stopped => Phase::Stopped,
            };
        }
    }

    /// Milliseconds until the phase wants to be looked at.
    pub(super) fn phase_wait_ms(&self) -> Option<u32> {
        match self.phase {
            Phase::Serving => None,
            Phase::Draining { swept: false, .. } | Phase::Stopped => Some(0),
            Phase::Draining { since, swept: true } => Some(self.drain_left_ms(since)),
        }
    }

    fn drain_left_ms(&self, since: Tick) -> u32 {
        milliseconds(self.limits.drain_timeout).saturating_sub(self.now.ms_since(since))
    }

    /// Goes on towards the end, if the server was asked to stop.
    pub(super) fn end_by_phase(&mut self) -> Result<(), LoopError> {
        if let Phase::Draining { since, swept: false } = self.phase {
            self.sweep(since);
        }
        if let Phase::Draining { since, swept } = self.phase {
            // The sweep may have closed the last connection: no event would come to tell.
            let is_done = swept && self.table.len() == 0 && self.journal.unwritten_bytes() == 0;
            if is_done || self.drain_left_ms(since) == 0 {
                self.phase = Phase::Stopped;
            }
        }
        if self.phase != Phase::Stopped {
            return Ok(());
        }
        self.close_all();
        if self.journal.unwritten_bytes() > 0 {
            return Err(LoopError::Journal(unwritten_at_the_end()));
        }
        Ok(())
    }

    /// The first step of draining takes a few turns: some to accept who has connected already, since a
    /// frame may be on its way behind them; one that hears of all that has come; and then connections
    /// that wait for nothing are closed.
    fn sweep(&mut self, since: Tick) {
        if !self.accepts_nothing() {
            let some_wait =
                self.accepting == Accepting::Running && self.listeners.iter().any(|one| one.ready);
            if !some_wait || self.now.ms_since(since) >= ACCEPT_WHILE_DRAINING_MS {
                self.close_endpoints();
            }
        } else if self.happened.len() < self.limits.events_per_poll_max {
            for key in self.keys() {
                if self.is_between_frames(key) {
                    self.close(key, CloseReason::Stopped);
                }
            }
            self.phase = Phase::Draining { since, swept: true };
        }
    }

    /// Whether the connection is open and nothing of it is on the way, in either direction or in the kernel.
    pub(super) fn is_between_frames(&self, key: u32) -> bool {
        let conn = self.table.conn(key);
        conn.state == State::Open && self.table.is_quiet(key) && !conn.flags.contains(Flags::READABLE)
    }

    /// Whoever connects from now on is refused by the kernel.
    fn close_endpoints(&mut self) {
        self.sockets.clear();
        for listener in &mut self.listeners {
            listener.ready = false;
            listener.socket = None;
        }
    }

    fn accepts_nothing(&self) -> bool {
        self.sockets.is_empty() && self.listeners.iter().all(|listener| listener.socket.is_none())
    }

    fn close_all(&mut self) {
        let keys = self.keys();
        if !keys.is_empty() {
            log::warn!("stopped before {} connections were done", keys.len());
        }
        for key in keys {
            self.close(key, CloseReason::Stopped);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "connections are counted in 32 bits")]
    fn keys(&self) -> Vec<u32> {
        self.table.conns.iter().map(|(key, _)| key as u32).collect()
    }
}
