//! Visiting connections: read what has arrived, and let the service answer into the outbox. Nothing is sent here.

use std::io;

use crate::conn::Flags;
use crate::conn::log_throttle::LogKind;
use crate::conn::stream_session::{FrameDeadline, Step, receive_whole};
use crate::conn::table::SessionParts;
use crate::conn::token::ConnToken;
use crate::conn::unread::Unread;
use crate::event_loop::EventLoop;
use crate::event_loop::memory::push_open;
use crate::event_loop::outbox::Answer;
use crate::limits::Limits;
use crate::net::Net;
use crate::service::{Output, Reason};

/// The outcome of a read.
pub(super) enum ReadOutcome {
    /// Nothing is left to do: the connection is closed, or its answer is queued.
    Done,
    /// It is still open, and this many lines were appended to the journal.
    Open { journal_lines: u64 },
}

impl<N: Net> EventLoop<N> {
    /// Visits a connection: reads up to `bytes_max` bytes once, if bytes are wanted, and queues an answer in the
    /// outbox if something is to be sent.
    pub(super) fn visit(&mut self, id: ConnToken, bytes_max: usize) {
        let key = id.key;
        let start = self.outbox.bytes.len();
        let reads_little = !self.journal_is_behind() && self.table.conn(key).reads_little();
        let outcome = if reads_little { self.read(key, bytes_max) } else { self.visit_other(key, bytes_max) };
        if let ReadOutcome::Open { journal_lines } = outcome {
            self.queue_answer(id, start, journal_lines);
        }
    }

    /// Reads from a connection that moves bulk, holds bytes, or has come to its end, as far as the limits allow it.
    #[inline(never)]
    fn visit_other(&mut self, key: u32, bytes_max: usize) -> ReadOutcome {
        self.table.conn_mut(key).flags.remove(Flags::QUEUED);
        if self.journal_is_behind() {
            self.hold_if_it_uses_journal(key);
        }
        let conn = self.table.conn(key);
        let bytes_max = if self.would_read(conn) { bytes_max.min(self.room_of(conn)) } else { 0 };
        if bytes_max == 0 {
            return ReadOutcome::Open { journal_lines: 0 };
        }
        #[cfg(feature = "handlers")]
        if self.handler_of(key).is_some() && conn.session().is_received() {
            let bytes = match self.read_into_buffer(key, bytes_max) {
                Ok(bytes) => bytes,
                Err(outcome) => return outcome,
            };
            return self.receive_for_handler(key, bytes);
        }
        if conn.session().is_open() {
            self.read_more(key, bytes_max)
        } else {
            match self.read_into_buffer(key, bytes_max) {
                Ok(bytes) => self.on_other_bytes(key, bytes),
                Err(outcome) => outcome,
            }
        }
    }

    /// While the journal has no room, reading for a service that writes to it is of no use.
    #[cold]
    fn hold_if_it_uses_journal(&mut self, key: u32) {
        let conn = self.table.conn(key);
        let uses_journal = self.listeners[usize::from(conn.endpoint)].service.uses_journal();
        if uses_journal && conn.session().is_receiving() && conn.flags.contains(Flags::READABLE) {
            self.hold(key);
        }
    }

    /// The connection waits for the journal: it is neither read nor written.
    pub(super) fn hold(&mut self, key: u32) {
        let conn = self.table.conn_mut(key);
        if !conn.flags.contains(Flags::HELD) {
            conn.flags.insert(Flags::HELD);
            let id = conn.id(key);
            push_open(&mut self.held, id, &self.table);
            // What is unsent waits for the journal now, and not for the peer.
            self.table.stop_write(key);
        }
    }

    /// Queues the bytes of the outbox from `start` on as the connection's answer. If there is nothing to send,
    /// the visit ends here.
    #[expect(clippy::inline_always, reason = "it runs for every message")]
    #[inline(always)]
    pub(super) fn queue_answer(&mut self, to: ConnToken, start: usize, journal_lines: u64) {
        self.counters.messages += journal_lines;
        let needs_commit = journal_lines > 0;
        let bytes = start..self.outbox.bytes.len();
        if !bytes.is_empty() || self.sends_without_answer(to.key) {
            self.outbox.answers.push(Answer { to, bytes, needs_commit });
        } else {
            self.reschedule(to.key, false);
        }
    }

    /// Whether bytes of earlier turns are to be sent, or the stream is to be ended.
    #[inline(never)]
    fn sends_without_answer(&self, key: u32) -> bool {
        let conn = self.table.conn(key);
        conn.session().is_ending() || self.table.unsent_bytes_of(conn) > 0
    }

    /// Reads from a connection that commonly sends whole frames, and few bytes at a time.
    #[expect(clippy::inline_always, reason = "it runs for every message")]
    #[inline(always)]
    fn read(&mut self, key: u32, bytes_max: usize) -> ReadOutcome {
        let SessionParts { stream, flags, session, peer, endpoint } = self.table.session_parts(key);
        flags.remove(Flags::QUEUED);
        let bytes = match self.net.read(stream, &mut self.read_buffer[..bytes_max]) {
            Ok(bytes @ 1..) => bytes,
            outcome => return self.on_no_bytes(key, outcome),
        };
        self.counters.read_bytes += bytes as u64;
        flags.note_read(bytes, bytes_max);
        let listener = &self.listeners[usize::from(endpoint)];
        #[cfg(feature = "handlers")]
        if listener.handler.is_some() {
            return self.receive_for_handler(key, bytes);
        }
        let service = listener.service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let left = match receive_whole(service, &self.read_buffer[..bytes], &mut out) {
            Ok(left) => left,
            Err(action) => {
                let step = session.end(service, action, FrameDeadline::Keep, &mut out);
                self.table.renew_idle(key, self.now);
                return ReadOutcome::Open { journal_lines: self.apply_step(key, step) };
            }
        };
        let journal_lines = out.journal_lines();
        self.table.renew_idle(key, self.now);
        // Commonly nothing is left.
        if !left.is_empty() {
            if !self.table.store_unread(key, left) {
                return self.close_full(key, journal_lines);
            }
            self.shed_over_high_mark(Some(key));
            self.table.start_frame(key, self.now);
        }
        ReadOutcome::Open { journal_lines }
    }

    /// Reads behind what the connection holds, so that a long frame is received where it stays. Between short frames,
    /// it holds nothing.
    fn read_more(&mut self, key: u32, bytes_max: usize) -> ReadOutcome {
        let mut unread = self.table.take_unread(key);
        let before = unread.len();
        // It is not received into the shared buffer then, so a read may take more than fits there.
        let may_be_long = unread.is_long() && bytes_max == self.limits.read_bytes_max;
        let bytes_max = if may_be_long { self.long_read_bytes(key, &unread) } else { bytes_max };
        let is_bulk = bytes_max > self.limits.light_read_bytes_max && self.memory_room() >= 2 * bytes_max;
        let is_direct = is_bulk || unread.is_long();
        let space_bytes =
            if is_direct { unread.make_space(bytes_max, &mut self.table.spare_maps) } else { 0 };
        let is_direct = space_bytes > 0;
        let bytes_max = if is_direct { space_bytes } else { bytes_max };
        let space = if is_direct { unread.space(bytes_max) } else { &mut self.read_buffer[..bytes_max] };
        let outcome = self.net.read(&self.table.conn(key).stream, space);
        let Some(bytes) = outcome.as_ref().ok().copied().filter(|bytes| *bytes > 0) else {
            self.table.put_unread(key, unread, before == 0, self.now);
            return self.after_read(key, outcome, bytes_max).err().unwrap_or(ReadOutcome::Done);
        };
        let _ = self.after_read(key, Ok(bytes), bytes_max);
        if is_direct {
            unread.add(bytes);
        } else if !unread.append(&self.read_buffer[..bytes], &mut self.table.spare_maps) {
            self.table.put_unread(key, unread, false, self.now);
            return self.close_full(key, 0);
        }
        let SessionParts { session, peer, endpoint, .. } = self.table.session_parts(key);
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let step = session.receive(service, &mut unread, bytes, &mut out);
        if let Some(mark) = unread.move_low_water_mark(self.low_water_bytes_max(key)) {
            self.net.set_low_water_mark(&self.table.conn(key).stream, mark);
        }
        let is_other = before == 0 || step.frame != FrameDeadline::Keep;
        self.table.put_unread(key, unread, is_other, self.now);
        if self.table.planned_room(self.table.conn(key)) == 0 {
            // The frame is longer than its buffer.
            return self.close_full(key, step.journal_lines);
        }
        self.table.renew_idle(key, self.now);
        self.shed_over_high_mark(Some(key));
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Closes a connection for which the memory plan has no space. The lines that it has in the journal count.
    #[cold]
    pub(super) fn close_full(&mut self, key: u32, journal_lines: u64) -> ReadOutcome {
        self.counters.messages += journal_lines;
        self.close_for_memory(key);
        ReadOutcome::Done
    }

    /// How many bytes of a frame may collect in the kernel. Nothing is waited for while more can be read at once, or
    /// while memory is short: that of the kernel has no budget.
    fn low_water_bytes_max(&self, key: u32) -> usize {
        let is_drained = !self.table.conn(key).flags.contains(Flags::READABLE);
        let has_memory = self.memory_room() >= self.memory.high_mark() / 4;
        if is_drained && has_memory { self.limits.low_water_bytes_max } else { 1 }
    }

    /// How many bytes are read of a frame at once: what is missing of it, as far as the limits allow it.
    fn long_read_bytes(&self, key: u32, unread: &Unread) -> usize {
        let Limits { read_bytes_max, long_read_bytes_max, .. } = self.limits;
        let bytes_max = long_read_bytes_max.min(self.room_of(self.table.conn(key)));
        unread.missing_bytes().min(bytes_max).max(read_bytes_max)
    }

    /// Reads up to `bytes_max` bytes into the shared buffer, and returns how many, or the outcome of anything else.
    fn read_into_buffer(&mut self, key: u32, bytes_max: usize) -> Result<usize, ReadOutcome> {
        let outcome = self.net.read(&self.table.conn(key).stream, &mut self.read_buffer[..bytes_max]);
        self.after_read(key, outcome, bytes_max)
    }

    /// Handles all outcomes of a read of up to `bytes_max` bytes but these bytes.
    fn after_read(
        &mut self,
        key: u32,
        outcome: io::Result<usize>,
        bytes_max: usize,
    ) -> Result<usize, ReadOutcome> {
        let Ok(bytes @ 1..) = outcome else { return Err(self.on_no_bytes(key, outcome)) };
        self.counters.read_bytes += bytes as u64;
        self.table.conn_mut(key).flags.note_read(bytes, bytes_max);
        Ok(bytes)
    }

    /// Handles a read that has returned no bytes: the end of the peer's side, or an error.
    #[inline(never)]
    fn on_no_bytes(&mut self, key: u32, outcome: io::Result<usize>) -> ReadOutcome {
        let Err(error) = outcome else { return self.on_end_of_stream(key) };
        let conn = self.table.conn_mut(key);
        if error.kind() == io::ErrorKind::WouldBlock {
            conn.flags.remove(Flags::READABLE);
        }
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            return ReadOutcome::Open { journal_lines: 0 };
        }
        let reason = conn.session().reason_of(&error);
        self.close(key, reason);
        ReadOutcome::Done
    }

    /// Handles the bytes that have been read from a connection that awaits a header, or lingers.
    fn on_other_bytes(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        #[cfg(feature = "cli")]
        if self.table.conn(key).session().is_awaiting() {
            return self.on_header_bytes(key, bytes);
        }
        self.discard(key, bytes)
    }

    /// Discards bytes of a peer whose stream has ended.
    fn discard(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        if self.table.add_discarded(key, bytes) > self.limits.linger_bytes_max {
            self.close(key, self.table.conn(key).session().reason());
            return ReadOutcome::Done;
        }
        ReadOutcome::Open { journal_lines: 0 }
    }

    /// Handles the end of the peer's side.
    fn on_end_of_stream(&mut self, key: u32) -> ReadOutcome {
        self.table.conn_mut(key).flags.remove(Flags::READABLE);
        let is_in_frame = self.table.discard_unread(key);
        #[cfg(feature = "handlers")]
        if self.handler_of(key).is_some() && self.table.conn(key).session().is_received() {
            return self.end_for_handler(key, is_in_frame);
        }
        #[cfg(feature = "cli")]
        if self.table.conn(key).session().is_awaiting() {
            self.table.end_header(key, self.table.peer(key));
        }
        let SessionParts { session, peer, endpoint, .. } = self.table.session_parts(key);
        if session.is_lingering() {
            self.close(key, self.table.conn(key).session().reason());
            return ReadOutcome::Done;
        }
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::to_stored(peer, &mut self.outbox.bytes, self.journal.lines());
        let step = session.peer_ended(service, is_in_frame, &mut out);
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Does what a step requires, but for the commit and the answer. Returns the lines that need the commit.
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
    fn log_refusal(&mut self, key: u32, reason: &Reason) {
        let peer = self.table.peer(key);
        let address = self.listeners[usize::from(self.table.conn(key).endpoint)].name;
        let kind = LogKind::Closed(self.table.conn(key).session().reason());
        self.warn(kind, &format_args!("{address}: {peer} refused: {reason}"));
    }
}
