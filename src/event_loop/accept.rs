//! Accepting connections: how many a turn, and what happens when there is no room.
//!
//! An edge-triggered listener tells of a waiting connection once. So whoever stops accepting while some
//! may still wait has to remember that, and to come back without being told.

use std::net::SocketAddr;

use crate::conn::CloseReason;
use crate::conn::counters::Notice;
use crate::conn::deadlines::{Tick, milliseconds};
use crate::conn::token::Source;
use crate::event_loop::EventLoop;
use crate::net::{AcceptFailure, Net};
use crate::service::{Action, Output};

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    Running,
    /// There is no room: in the table, or the system is out of descriptors or memory. A closed connection
    /// ends the pause, and so does a short time, because what the system lacks may come free elsewhere.
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
        for place in 0..self.listeners.len() {
            if self.accepting == Accepting::Running && self.listeners[place].ready {
                self.accept_from(place);
            }
        }
    }

    fn accept_from(&mut self, place: usize) {
        let mut unix_seconds = None;
        for _ in 0..self.limits.accepts_per_turn_max {
            if self.table.len() >= self.limits.connections_max + self.limits.refusals_max {
                return self.pause_accepting(&"too many connections are being refused at once");
            }
            let Some(listener) = &self.listeners[place].socket else { return };
            match self.net.accept(listener) {
                Ok((stream, peer)) => {
                    let unix_seconds = *unix_seconds.get_or_insert_with(|| self.net.unix_seconds());
                    self.open(place, stream, peer, unix_seconds);
                }
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::NoneWaits => {
                        self.listeners[place].ready = false;
                        return;
                    }
                    AcceptFailure::ThatOne => self.counters.accepts_failed += 1,
                    AcceptFailure::Exhausted => return self.pause_accepting(&error),
                },
            }
        }
        if unix_seconds.is_none() {
            // Nothing but failures for a whole turn: whatever it is, trying on at once would be spinning.
            self.pause_accepting(&"connections fail before they are accepted");
        }
    }

    fn pause_accepting(&mut self, why: &dyn std::fmt::Display) {
        self.accepting = Accepting::Paused { since: self.now };
        self.warn(Notice::AcceptPaused, &format_args!("accepting pauses: {why}"));
    }

    fn open(&mut self, place: usize, stream: N::Stream, peer: SocketAddr, unix_seconds: i64) {
        let is_full = self.table.len() - self.refusals >= self.limits.connections_max;
        #[expect(clippy::cast_possible_truncation, reason = "a listener's place has eight bits")]
        let id = self.table.insert(stream, peer, place as u8);
        self.counters.opened += 1;
        let stream = &mut self.table.conn_mut(id.key).stream;
        if let Err(error) = self.net.register(stream, Source::Conn(id).into()) {
            log::debug!("{peer}: {error}");
            return self.close(id.key, CloseReason::Unregistered);
        }

        let start = self.outbox.bytes.len();
        let service = &self.listeners[place].service;
        let mut out = Output::new(peer, &mut self.outbox.bytes, self.journal.lines());
        let action = if is_full {
            Action::Refuse(format!(
                "the server is full, it serves {} connections",
                self.limits.connections_max
            ))
        } else {
            service.opened(unix_seconds, &mut out)
        };
        if let Action::Refuse(reason) = &action {
            service.refused(reason, &mut out);
        }
        let recorded = out.journal_lines();
        self.refusals += usize::from(is_full);
        self.apply(id.key, action, if is_full { CloseReason::Full } else { CloseReason::BadInput });
        self.table.renew_idle(id.key, self.now);
        self.post(id.key, start, recorded);
    }
}
