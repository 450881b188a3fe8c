//! Gathering: take in what is there, let the services answer into the outbox. Nothing is sent here.

use std::io;

use crate::conn::counters::Notice;
use crate::conn::token::ConnId;
use crate::conn::{CloseReason, Flags, NO_PENDING, Signal, State, feed};
use crate::event_loop::EventLoop;
use crate::event_loop::outbox::Answer;
use crate::net::Net;
use crate::service::{Action, Output, Progress};

impl<N: Net> EventLoop<N> {
    /// Looks after one connection: reads once, if it is of use, and leaves a note in the outbox if
    /// something is to be sent.
    pub(super) fn visit(&mut self, key: u32) {
        self.table.conn_mut(key).flags.remove(Flags::QUEUED);
        if self.record_is_behind() {
            self.hold_if_it_records(key);
        }
        let reads = self.can_read(self.table.conn(key));
        let start = self.outbox.bytes.len();
        match if reads { self.read(key) } else { Visited::Stays { recorded: 0 } } {
            Visited::Gone => {}
            Visited::Stays { recorded } => self.post(key, start, recorded),
        }
    }

    /// Without room on record there is no use in reading what would be recorded.
    #[cold]
    fn hold_if_it_records(&mut self, key: u32) {
        let conn = self.table.conn(key);
        let records = self.listeners[usize::from(conn.endpoint)].records;
        if records && conn.state == State::Open && conn.flags.contains(Flags::READABLE) {
            self.hold(key);
        }
    }

    /// Puts into the outbox what the connection is owed, from `start` on, or sees to it at once that it
    /// goes on if that is nothing.
    pub(super) fn post(&mut self, key: u32, start: usize, recorded: u64) {
        self.counters.messages += recorded;
        let recorded = recorded > 0;
        let conn = self.table.conn(key);
        if recorded {
            self.listeners[usize::from(conn.endpoint)].records = true;
        }
        let bytes = start..self.outbox.bytes.len();
        let ends = matches!(conn.state, State::Ending | State::Finishing);
        if !bytes.is_empty() || ends || self.table.unsent_bytes_of(conn) > 0 {
            let to = ConnId { key, generation: conn.generation };
            self.outbox.answers.push(Answer { to, bytes, recorded });
        } else {
            self.settle(key, false);
        }
    }

    /// Takes over what a service wants to become of the stream.
    pub(super) fn apply(&mut self, key: u32, action: Action, if_refused: CloseReason) {
        match action {
            Action::Continue => return,
            Action::End => {}
            Action::Refuse(reason) => {
                self.table.conn_mut(key).reason = if_refused;
                if if_refused == CloseReason::BadInput {
                    let peer = self.table.peer(key);
                    let address = self.listeners[usize::from(self.table.conn(key).endpoint)].address;
                    self.warn(
                        Notice::Closed(if_refused),
                        &format_args!("{address}: {peer} refused: {reason}"),
                    );
                }
            }
        }
        self.signal(key, Signal::ServiceEnded);
    }

    /// The connection waits for the record, with what it has to send and with what it has to say.
    pub(super) fn hold(&mut self, key: u32) {
        let flags = &mut self.table.conn_mut(key).flags;
        if !flags.contains(Flags::HELD) {
            flags.insert(Flags::HELD);
            // It is not the peer that takes nothing now.
            self.table.write_done(key);
            self.held.push(self.table.id(key));
        }
    }

    fn read(&mut self, key: u32) -> Visited {
        let buffer = &mut self.read_buffer[..self.limits.read_bytes_max];
        let asked = buffer.len();
        let conn = self.table.conn_mut(key);
        match self.net.read(&conn.stream, buffer) {
            Ok(0) => self.take_end(key),
            Ok(bytes) => {
                // A short read has drained the socket; what comes later brings an event of its own. Only
                // the end of the stream may already have had its event.
                if bytes < asked && !conn.flags.contains(Flags::END_SEEN) {
                    conn.flags.remove(Flags::READABLE);
                }
                self.take_in(key, bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.flags.remove(Flags::READABLE);
                Visited::Stays { recorded: 0 }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Visited::Stays { recorded: 0 },
            Err(error) => {
                self.close(key, CloseReason::of(&error));
                Visited::Gone
            }
        }
    }

    /// `bytes` bytes have come into the read buffer.
    fn take_in(&mut self, key: u32, bytes: usize) -> Visited {
        let conn = self.table.conn(key);
        if conn.state == State::Lingering {
            return self.throw_away(key, bytes);
        }
        let fresh = &self.read_buffer[..bytes];
        let service = &self.listeners[usize::from(conn.endpoint)].service;
        let peer = self.table.peers.address(conn.peer);
        let mut out = Output::new(peer, &mut self.outbox.bytes, self.journal.lines());
        // Mostly there is nothing from before, and nothing is left.
        let mut left = Vec::new();
        let unread = match conn.pending {
            NO_PENDING => &mut left,
            place => self.table.pendings[place as usize].unread(),
        };
        let was_between_frames = unread.is_empty();
        let Progress { consumed, action } =
            feed(unread, fresh, |unread| service.received(unread, false, &mut out));
        let is_in_frame = !unread.is_empty();
        if let Action::Refuse(reason) = &action {
            service.refused(reason, &mut out);
        }
        let recorded = out.journal_lines();
        self.table.renew_idle(key, self.now);
        self.table.keep_unread(key, left);
        if is_in_frame && (was_between_frames || consumed > 0) {
            self.table.begin_frame(key, self.now);
        } else if !is_in_frame && !was_between_frames {
            self.table.end_frame(key);
        }
        if !matches!(action, Action::Continue) {
            self.apply(key, action, CloseReason::BadInput);
        }
        Visited::Stays { recorded }
    }

    /// So many bytes have come of a peer that nobody listens to any more.
    fn throw_away(&mut self, key: u32, bytes: usize) -> Visited {
        let reason = self.table.conn(key).reason;
        let pending = self.table.pending_mut(key);
        pending.lingered_bytes += bytes;
        if pending.lingered_bytes > self.limits.linger_bytes_max {
            self.close(key, reason);
            return Visited::Gone;
        }
        Visited::Stays { recorded: 0 }
    }

    /// The peer has ended its side.
    fn take_end(&mut self, key: u32) -> Visited {
        self.table.conn_mut(key).flags.remove(Flags::READABLE);
        if !self.signal(key, Signal::PeerEnded) {
            return Visited::Gone;
        }
        if !self.table.take_unread(key).is_empty() {
            self.table.end_frame(key);
            self.table.conn_mut(key).reason = CloseReason::Truncated;
            return Visited::Stays { recorded: 0 };
        }
        let conn = self.table.conn(key);
        let service = &self.listeners[usize::from(conn.endpoint)].service;
        let mut out = Output::new(self.table.peer(key), &mut self.outbox.bytes, self.journal.lines());
        let Progress { action, .. } = service.received(&[], true, &mut out);
        if let Action::Refuse(reason) = &action {
            service.refused(reason, &mut out);
        }
        let recorded = out.journal_lines();
        self.apply(key, action, CloseReason::BadInput);
        Visited::Stays { recorded }
    }
}

/// What a visit came to.
enum Visited {
    /// The connection is closed.
    Gone,
    /// It is still there, and has recorded so many messages.
    Stays { recorded: u64 },
}
