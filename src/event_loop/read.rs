//! Visiting connections: read what has arrived, and let the service answer into the outbox. Nothing is sent here.

use std::io;

use crate::conn::Flags;
use crate::conn::log_throttle::LogKind;
use crate::conn::stream_session::{FrameDeadline, Step};
use crate::conn::table::SessionParts;
use crate::event_loop::EventLoop;
use crate::event_loop::outbox::Answer;
use crate::net::Net;
use crate::service::Output;

/// The outcome of a read.
pub(super) enum ReadOutcome {
    /// The connection is closed.
    Closed,
    /// It is still open, and this many lines were appended to the journal.
    Open { journal_lines: u64 },
}

impl<N: Net> EventLoop<N> {
    /// Visits a connection: reads up to `bytes_max` bytes once, if bytes are wanted, and queues an answer in the
    /// outbox if something is to be sent.
    pub(super) fn visit(&mut self, key: u32, bytes_max: usize) {
        if self.journal_is_behind() {
            self.hold_if_it_uses_journal(key);
        }
        let conn = self.table.conn_mut(key);
        conn.flags.remove(Flags::QUEUED);
        let bytes_max = if conn.reads_freely() { bytes_max } else { self.readable_bytes(key, bytes_max) };
        let start = self.outbox.bytes.len();
        let outcome =
            if bytes_max > 0 { self.read(key, bytes_max) } else { ReadOutcome::Open { journal_lines: 0 } };
        if let ReadOutcome::Open { journal_lines } = outcome {
            self.queue_answer(key, start, journal_lines);
        }
    }

    /// How many of `bytes_max` bytes a connection may read that the limits may keep from it.
    #[inline(never)]
    fn readable_bytes(&self, key: u32, bytes_max: usize) -> usize {
        let conn = self.table.conn(key);
        if self.would_read(conn) { bytes_max.min(self.room_of(conn)) } else { 0 }
    }

    /// While the journal has no room, reading for a service that writes to it is of no use.
    #[cold]
    fn hold_if_it_uses_journal(&mut self, key: u32) {
        let conn = self.table.conn(key);
        let uses_journal = self.listeners[usize::from(conn.endpoint)].uses_journal;
        if uses_journal && conn.session().is_receiving() && conn.flags.contains(Flags::READABLE) {
            self.hold(key);
        }
    }

    /// The connection waits for the journal: it is neither read nor written.
    pub(super) fn hold(&mut self, key: u32) {
        let conn = self.table.conn_mut(key);
        if !conn.flags.contains(Flags::HELD) {
            conn.flags.insert(Flags::HELD);
            self.held.push(conn.id(key));
            // What is unsent waits for the journal now, and not for the peer.
            self.table.stop_write(key);
        }
    }

    /// Queues the bytes of the outbox from `start` on as the connection's answer. If there is nothing to send,
    /// the visit ends here.
    #[expect(clippy::inline_always, reason = "it runs for every message")]
    #[inline(always)]
    pub(super) fn queue_answer(&mut self, key: u32, start: usize, journal_lines: u64) {
        self.counters.messages += journal_lines;
        let needs_commit = journal_lines > 0;
        let conn = self.table.conn(key);
        if needs_commit {
            self.listeners[usize::from(conn.endpoint)].uses_journal = true;
        }
        let bytes = start..self.outbox.bytes.len();
        if !bytes.is_empty() || conn.session().is_ending() || self.table.unsent_bytes_of(conn) > 0 {
            let to = conn.id(key);
            self.outbox.answers.push(Answer { to, bytes, needs_commit });
        } else {
            self.reschedule(key, false);
        }
    }

    fn read(&mut self, key: u32, bytes_max: usize) -> ReadOutcome {
        let buffer = &mut self.read_buffer[..bytes_max];
        let conn = self.table.conn_mut(key);
        match self.net.read(&conn.stream, buffer) {
            Ok(0) => self.on_end_of_stream(key),
            Ok(bytes) => {
                self.counters.read_bytes += bytes as u64;
                // A short read has drained the socket; what comes later brings an event of its own. Only
                // the end of the stream may already have had its event.
                if bytes < bytes_max {
                    if !conn.flags.contains(Flags::END_SEEN) {
                        conn.flags.remove(Flags::READABLE);
                    }
                } else {
                    conn.flags.insert(Flags::BULK);
                }
                self.on_bytes(key, bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.flags.remove(Flags::READABLE);
                ReadOutcome::Open { journal_lines: 0 }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                ReadOutcome::Open { journal_lines: 0 }
            }
            Err(error) => {
                let reason = conn.session().reason_of(&error);
                self.close(key, reason);
                ReadOutcome::Closed
            }
        }
    }

    /// Handles the first `bytes` bytes of the read buffer, which have just been read.
    fn on_bytes(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        let SessionParts { session, unread, peer, endpoint } = self.table.session_parts(key);
        if unread.is_some() || !session.is_open() {
            return self.on_more_bytes(key, bytes);
        }
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let (step, left) = session.receive_first(service, &self.read_buffer[..bytes], &mut out);
        self.table.renew_idle(key, self.now);
        // Commonly nothing is left.
        if !left.is_empty() {
            self.table.store_unread(key, left);
            self.shed_over_high_mark(Some(key));
        }
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Handles the bytes that have been read from a connection that holds bytes, or lingers.
    #[inline(never)]
    fn on_more_bytes(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        #[cfg(feature = "cli")]
        if self.table.conn(key).session().is_awaiting() {
            return self.on_header_bytes(key, bytes);
        }
        self.table.reserve_unread(key, bytes, self.memory_room());
        let SessionParts { session, unread, peer, endpoint } = self.table.session_parts(key);
        let Some(unread) = unread.filter(|_| !session.is_lingering()) else {
            return self.discard(key, bytes);
        };
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let step = session.receive(service, unread, &self.read_buffer[..bytes], &mut out);
        self.table.renew_idle(key, self.now);
        self.table.recount_unread(key);
        self.shed_over_high_mark(Some(key));
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Discards bytes of a peer whose stream has ended.
    fn discard(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        if self.table.add_discarded(key, bytes) > self.limits.linger_bytes_max {
            self.close(key, self.table.conn(key).session().reason());
            return ReadOutcome::Closed;
        }
        ReadOutcome::Open { journal_lines: 0 }
    }

    /// Handles the end of the peer's side.
    fn on_end_of_stream(&mut self, key: u32) -> ReadOutcome {
        self.table.conn_mut(key).flags.remove(Flags::READABLE);
        let is_in_frame = self.table.discard_unread(key);
        #[cfg(feature = "cli")]
        if self.table.conn(key).session().is_awaiting() {
            self.table.end_header(key, self.table.peer(key));
        }
        let SessionParts { session, peer, endpoint, .. } = self.table.session_parts(key);
        if session.is_lingering() {
            self.close(key, self.table.conn(key).session().reason());
            return ReadOutcome::Closed;
        }
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let step = session.peer_ended(service, is_in_frame, &mut out);
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Does what a step requires, but for the commit and the answer. Returns the lines that need the commit.
    #[expect(clippy::inline_always, reason = "it runs for every message, and commonly does nothing")]
    #[inline(always)]
    pub(super) fn apply_step(&mut self, key: u32, step: Step) -> u64 {
        if step.frame != FrameDeadline::Keep {
            self.set_frame_deadline(key, step.frame);
        }
        if let Some(reason) = step.refusal {
            self.log_refusal(key, &reason);
        }
        step.journal_lines
    }

    fn set_frame_deadline(&mut self, key: u32, frame: FrameDeadline) {
        match frame {
            FrameDeadline::Keep => {}
            FrameDeadline::Start => self.table.start_frame(key, self.now),
            FrameDeadline::Stop => self.table.stop_frame(key),
        }
    }

    #[cold]
    fn log_refusal(&mut self, key: u32, reason: &str) {
        let peer = self.table.peer(key);
        let address = self.listeners[usize::from(self.table.conn(key).endpoint)].address;
        let kind = LogKind::Closed(self.table.conn(key).session().reason());
        self.warn(kind, &format_args!("{address}: {peer} refused: {reason}"));
    }
}
