//! Accepting connections: how many per turn, and what happens when there is no room.
//!
//! An edge-triggered listener reports waiting connections once. So a loop that stops accepting while some may
//! still wait has to remember that, and to continue without an event.

use std::net::SocketAddr;

use crate::conn::CloseReason;
use crate::conn::admission::Refusal;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::conn::log_throttle::LogKind;
use crate::conn::table::SessionParts;
use crate::conn::token::{ConnToken, Source};
use crate::event_loop::EventLoop;
use crate::net::{AcceptFailure, Net};
use crate::service::{Output, with_text};

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    Running,
    /// The system is out of descriptors or memory, or accepting does nothing but fail. A closed connection ends the
    /// pause, and so does a short time, because descriptors and memory may be freed elsewhere.
    Paused {
        since: Tick,
    },
}

impl<N: Net> EventLoop<N> {
    /// Milliseconds until a pause is over.
    pub(super) fn accept_wait_ms(&self) -> Option<u32> {
        match self.accepting {
            Accepting::Running => None,
            Accepting::Paused { since } => {
                let pause_ms = milliseconds(self.limits.accept_pause);
                self.listeners
                    .iter()
                    .any(|listener| listener.ready)
                    .then(|| pause_ms.saturating_sub(self.now.ms_since(since)))
            }
        }
    }

    pub(super) fn accept(&mut self) {
        if self.accept_wait_ms() == Some(0) {
            self.accepting = Accepting::Running;
        }
        let count = self.listeners.len();
        // The admin endpoint is the last one, and comes first: it must not wait for descriptors behind others. But a pause
        // at one listener is followed by the next, so that each has its turn.
        let first = self.first_listener.min(count);
        let admin = if first < count { self.admin_listener() } else { None };
        for index in admin.into_iter().chain(first..count).chain(0..first) {
            if self.accepting == Accepting::Running && self.listeners[index].ready {
                self.accept_from(index);
            }
        }
    }

    #[cfg_attr(not(feature = "cli"), expect(clippy::unused_self, reason = "there is no admin endpoint"))]
    fn admin_listener(&self) -> Option<usize> {
        #[cfg(feature = "cli")]
        return self.admin.endpoint();
        #[cfg(not(feature = "cli"))]
        None
    }

    fn accept_from(&mut self, endpoint: usize) {
        let mut unix_seconds = None;
        for _ in 0..self.limits.accepts_per_turn_max {
            let Some(listener) = &self.listeners[endpoint].socket else { return };
            let outcome = self.net.accept(listener);
            let listener = &mut self.listeners[endpoint];
            match outcome {
                Ok((stream, peer)) => {
                    listener.failed_accepts = 0;
                    let unix_seconds = *unix_seconds.get_or_insert_with(|| self.net.unix_seconds());
                    self.open(endpoint, stream, peer, unix_seconds);
                }
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::WouldBlock => {
                        (listener.ready, listener.failed_accepts) = (false, 0);
                        return;
                    }
                    AcceptFailure::ThisConnection => {
                        self.counters.accepts_failed += 1;
                        listener.failed_accepts += 1;
                        if listener.failed_accepts >= self.limits.accepts_per_turn_max {
                            return self.pause_accepting(endpoint, &error);
                        }
                    }
                    AcceptFailure::Exhausted => return self.pause_accepting(endpoint, &error),
                },
            }
        }
    }

    fn pause_accepting(&mut self, endpoint: usize, why: &dyn std::fmt::Display) {
        self.accepting = Accepting::Paused { since: self.now };
        self.first_listener = endpoint + 1;
        self.warn(LogKind::AcceptPaused, &format_args!("accepting is paused: {why}"));
    }

    fn open(&mut self, endpoint: usize, stream: N::Stream, peer: SocketAddr, unix_seconds: i64) {
        #[cfg(feature = "cli")]
        if self.is_admin_endpoint(endpoint) {
            return self.open_admin(endpoint, stream, peer);
        }
        self.counters.opened += 1;
        #[cfg(feature = "cli")]
        if self.listeners[endpoint].behind_proxy {
            return self.open_behind_proxy(endpoint, stream, peer);
        }
        let refusal = self.admissions.refusal(peer, self.served() - self.refusals);
        if let Some(refusal) = refusal.filter(|_| self.refusals >= self.limits.refusals_max) {
            return self.refuse_at_once(endpoint, stream, peer, refusal);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the index of a listener has eight bits")]
        let id = self.table.insert(stream, peer, endpoint as u8);
        self.admissions.add(peer);
        if !self.register(id) {
            return;
        }
        #[cfg(feature = "handlers")]
        if let Some(handler) = self.listeners[endpoint].handler.filter(|_| refusal.is_none()) {
            self.table.start_idle(id.key, self.now);
            return self.open_for_handler(id, handler);
        }
        let start = self.outbox.bytes.len();
        let service = self.listeners[endpoint].service.as_ref();
        let mut out = Output::new(peer, &mut self.outbox.bytes, self.journal.lines());
        let SessionParts { session, .. } = self.table.session_parts(id.key);
        let step = if let Some(refusal) = refusal {
            self.admissions.remove(peer);
            self.refusals += 1;
            session.refuse(service, refusal, &mut out)
        } else {
            session.open(service, unix_seconds, &mut out)
        };
        let journal_lines = self.apply_step(id.key, step);
        self.table.start_idle(id.key, self.now);
        self.queue_answer(id, start, journal_lines);
    }

    /// Open connections, but for those of the admin endpoint.
    pub(super) fn served(&self) -> usize {
        #[cfg(feature = "cli")]
        return self.table.len() - self.admin.len();
        #[cfg(not(feature = "cli"))]
        self.table.len()
    }

    /// Makes the poller report events of a new connection, or closes it. Returns whether it is open.
    pub(super) fn register(&mut self, id: ConnToken) -> bool {
        let stream = &mut self.table.conn_mut(id.key).stream;
        let Err(error) = self.net.register(stream, Source::Conn(id).into()) else { return true };
        log::debug!("{}: {error}", self.table.peer(id.key));
        self.close(id.key, CloseReason::Unregistered);
        false
    }

    /// Sends the reason, which the empty buffer of a new connection takes, and closes the connection.
    pub(super) fn refuse_at_once(
        &mut self,
        endpoint: usize,
        stream: N::Stream,
        peer: SocketAddr,
        refusal: Refusal,
    ) {
        let start = self.outbox.bytes.len();
        let mut out = Output::new(peer, &mut self.outbox.bytes, None);
        let service = &self.listeners[endpoint].service;
        with_text(&refusal, &mut |reason| service.refused(reason, &mut out));
        if self.outbox.bytes.len() > start {
            let _ = self.net.write(&stream, &self.outbox.bytes[start..]);
        }
        self.outbox.bytes.truncate(start);
        self.close_unserved(endpoint, stream, peer, refusal.close_reason());
    }
}
