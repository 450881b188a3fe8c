//! Accepting connections: how many per turn, and what happens when there is no room.
//!
//! An edge-triggered listener reports waiting connections once. So a loop that stops accepting while some may
//! still wait has to remember that, and to continue without an event.

use std::net::SocketAddr;

use crate::conn::CloseReason;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::conn::log_throttle::LogKind;
use crate::conn::table::SessionParts;
use crate::conn::token::Source;
use crate::event_loop::EventLoop;
use crate::net::{AcceptFailure, Net};
use crate::service::Output;

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    Running,
    /// There is no room: in the table, or the system is out of descriptors or memory. A closed connection
    /// ends the pause, and so does a short time, because descriptors and memory may be freed elsewhere.
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
        for index in 0..self.listeners.len() {
            if self.accepting == Accepting::Running && self.listeners[index].ready {
                self.accept_from(index);
            }
        }
    }

    fn accept_from(&mut self, endpoint: usize) {
        let mut unix_seconds = None;
        for _ in 0..self.limits.accepts_per_turn_max {
            if self.table.len() >= self.limits.connections_max + self.limits.refusals_max {
                return self.pause_accepting(&"the reserve for refused connections is full");
            }
            let Some(listener) = &self.listeners[endpoint].socket else { return };
            match self.net.accept(listener) {
                Ok((stream, peer)) => {
                    let unix_seconds = *unix_seconds.get_or_insert_with(|| self.net.unix_seconds());
                    self.open(endpoint, stream, peer, unix_seconds);
                }
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::WouldBlock => {
                        self.listeners[endpoint].ready = false;
                        return;
                    }
                    AcceptFailure::ThisConnection => self.counters.accepts_failed += 1,
                    AcceptFailure::Exhausted => return self.pause_accepting(&error),
                },
            }
        }
        if unix_seconds.is_none() {
            // Nothing but failures for a whole turn: trying again at once would spin.
            self.pause_accepting(&"every connection failed before it was accepted");
        }
    }

    fn pause_accepting(&mut self, why: &dyn std::fmt::Display) {
        self.accepting = Accepting::Paused { since: self.now };
        self.warn(LogKind::AcceptPaused, &format_args!("accepting is paused: {why}"));
    }

    fn open(&mut self, endpoint: usize, stream: N::Stream, peer: SocketAddr, unix_seconds: i64) {
        let is_full = self.table.len() - self.refusals >= self.limits.connections_max;
        #[expect(clippy::cast_possible_truncation, reason = "the index of a listener has eight bits")]
        let id = self.table.insert(stream, peer, endpoint as u8);
        self.counters.opened += 1;
        let stream = &mut self.table.conn_mut(id.key).stream;
        if let Err(error) = self.net.register(stream, Source::Conn(id).into()) {
            log::debug!("{peer}: {error}");
            return self.close(id.key, CloseReason::Unregistered);
        }

        let start = self.outbox.bytes.len();
        let service = self.listeners[endpoint].service.as_ref();
        let mut out = Output::new(peer, &mut self.outbox.bytes, self.journal.lines());
        let SessionParts { session, .. } = self.table.session_parts(id.key);
        let step = if is_full {
            session.open_full(service, self.limits.connections_max, &mut out)
        } else {
            session.open(service, unix_seconds, &mut out)
        };
        self.refusals += usize::from(is_full);
        let journal_lines = self.apply_step(id.key, step);
        self.table.renew_idle(id.key, self.now);
        self.queue_answer(id.key, start, journal_lines);
    }
}
