//! Calling a handler for one of its connections, and doing what it leaves to do.

use std::io;

use super::adapter::{AnyHandler, Notice};
use super::context::{CallOutcome, ConnContext, Context};
use super::outgoing::Dialer;
use super::registry::NOT_OPENED;
use crate::conn::CloseReason;
use crate::conn::stream_session::{FrameDeadline, StreamSession, consume};
use crate::conn::token::ConnToken;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::Phase;
use crate::event_loop::read::ReadOutcome;
use crate::journal::Lines;
use crate::net::Net;
use crate::service::Action;

impl<N: Net> EventLoop<N> {
    /// The handler of the endpoint of a connection.
    #[inline]
    pub(in crate::event_loop) fn handler_of(&self, key: u32) -> Option<u8> {
        self.listeners[usize::from(self.table.conn(key).endpoint)].handler
    }

    /// Calls a handler.
    pub(super) fn call<T>(
        &mut self,
        index: u8,
        call: impl for<'c> FnOnce(&mut dyn AnyHandler, Context<'c>, Option<&'c mut Lines>) -> T,
    ) -> T {
        // Refused and admin connections come on top of those that are served.
        let on_top = self.refusals + self.table.len() - self.served();
        let table_max = self.limits.connections_max + on_top;
        let mut dialer = Dialer {
            table_max: (self.phase != Phase::Stopped).then_some(table_max),
            net: &mut self.net,
            table: &mut self.table,
            endpoints: &self.handlers.outgoing,
            opened: &mut self.counters.opened,
        };
        let cx = Context {
            registry: &mut self.handlers.registry,
            outbox: &mut self.outbox,
            dialer: &mut dialer,
            handler: index,
            now: self.now,
            needs_commit: false,
            own: None,
        };
        call(self.handlers.list[usize::from(index)].as_mut(), cx, self.journal.lines())
    }

    /// Calls the handler of a connection, with the index of its state. `None`: it is not one of a handler.
    fn call_for<T>(
        &mut self,
        token: ConnToken,
        call: impl FnOnce(&mut dyn AnyHandler, u32, ConnContext<'_>) -> T,
    ) -> Option<T> {
        let id = self.handlers.registry.id(token.key)?;
        let entry = self.handlers.registry.entry(token.key)?;
        let (index, state) = (entry.handler, entry.state);
        let peer = self.table.peer(token.key);
        let takes_answers = self.table.conn(token.key).session().takes_answers();
        Some(self.call(index, |handler, cx, journal| {
            call(handler, state, ConnContext::new(cx, id, token, peer, journal, takes_answers))
        }))
    }

    /// Opens a connection that is admitted.
    pub(in crate::event_loop) fn open_for_handler(&mut self, token: ConnToken, handler: u8) {
        let id = self.handlers.registry.next_id(token);
        self.handlers.registry.insert(id, token, handler);
        self.call_opened(token);
    }

    /// Tells the handler that a connection is open.
    pub(super) fn call_opened(&mut self, token: ConnToken) {
        let Some((state, outcome)) = self.call_for(token, |handler, _, cx| handler.opened(cx)) else {
            return;
        };
        if let Some(entry) = self.handlers.registry.entry(token.key) {
            entry.state = state;
        }
        self.finish_call(token, outcome, FrameDeadline::Keep);
    }

    /// Passes `fresh` bytes to the handler, behind those of the connection that are unread.
    #[inline(never)]
    pub(in crate::event_loop) fn receive_for_handler(&mut self, key: u32, fresh: usize) -> ReadOutcome {
        let token = self.table.conn(key).id(key);
        let mut unread = self.table.take_unread(key);
        let before = unread.len();
        let read_buffer = std::mem::take(&mut self.read_buffer);
        let read = &read_buffer[..fresh];
        let bytes = if before == 0 {
            read
        } else {
            if !unread.append(read, &mut self.table.spare_maps) {
                self.read_buffer = read_buffer;
                self.table.put_unread(key, unread, false, self.now);
                return self.close_full(key, 0);
            }
            &unread
        };
        let called = self.call_for(token, |handler, state, cx| handler.received(state, bytes, cx));
        let (consumed, outcome) = called.expect("a connection is in the registry while it is used");
        let consumed = consumed.min(bytes.len());
        let frame = if before == 0 && consumed == fresh {
            FrameDeadline::Keep
        } else {
            if before == 0 && !unread.append(read, &mut self.table.spare_maps) {
                self.read_buffer = read_buffer;
                self.table.put_unread(key, unread, false, self.now);
                return self.close_full(key, outcome.journal_lines);
            }
            consume(&mut unread, before > 0, consumed, &outcome.action)
        };
        self.read_buffer = read_buffer;
        let is_other = before == 0 || frame != FrameDeadline::Keep;
        self.table.put_unread(key, unread, is_other, self.now);
        let conn = self.table.conn(key);
        if self.table.planned_room(conn) == 0 && !self.table.is_paused(conn) {
            return self.close_full(key, outcome.journal_lines);
        }
        self.table.renew_idle(key, self.now);
        self.shed_over_high_mark(Some(key));
        self.finish_call(token, outcome, frame);
        ReadOutcome::Done
    }

    /// Opens a connection whose proxy has named the peer. `fresh` is what the peer has sent already.
    #[cfg(feature = "cli")]
    pub(in crate::event_loop) fn identify_for_handler(
        &mut self,
        key: u32,
        handler: u8,
        fresh: &[u8],
    ) -> ReadOutcome {
        let token = self.table.conn(key).id(key);
        self.table.session_parts(key).session.identified_for_handler();
        self.table.recount_unread(key);
        if !self.table.store_unread(key, fresh) {
            return self.close_full(key, 0);
        }
        self.open_for_handler(token, handler);
        if !fresh.is_empty() && self.table.conn(key).session().is_open() {
            self.table.start_frame(key, self.now);
            return self.receive_for_handler(key, 0);
        }
        ReadOutcome::Done
    }

    /// Tells the handler what has happened to a connection.
    pub(super) fn notify_handler(&mut self, token: ConnToken, notice: Notice) {
        if self.table.find(token).is_none() {
            return;
        }
        let outcome = self.call_for(token, |handler, state, cx| handler.notify(state, notice, cx));
        if let Some(outcome) = outcome {
            self.finish_call(token, outcome, FrameDeadline::Keep);
        }
    }

    /// Tells the handler of a connection that is in use.
    pub(super) fn notify_if_used(&mut self, token: ConnToken, notice: Notice) {
        let session = self.table.find(token).map(|key| self.table.conn(key).session());
        if session.is_some_and(StreamSession::is_used) {
            self.notify_handler(token, notice);
        }
    }

    /// The peer has ended its side.
    pub(in crate::event_loop) fn end_for_handler(&mut self, key: u32, is_in_frame: bool) -> ReadOutcome {
        let token = self.table.conn(key).id(key);
        let session = self.table.session_parts(key).session;
        let step = session.read_ended(is_in_frame);
        let _ = self.apply_step(key, step);
        if is_in_frame {
            return ReadOutcome::Open { journal_lines: 0 };
        }
        self.notify_handler(token, Notice::Ended);
        ReadOutcome::Done
    }

    /// Does what a call leaves to do: the answer, and the end of the connection.
    fn finish_call(&mut self, token: ConnToken, outcome: CallOutcome, frame: FrameDeadline) {
        let CallOutcome { action, journal_lines, start } = outcome;
        let session = self.table.session_parts(token.key).session;
        let step = session.handled(action, frame, journal_lines);
        let journal_lines = self.apply_step(token.key, step);
        self.queue_answer(token, start, journal_lines);
    }

    /// Notes that a connection is closed.
    pub(in crate::event_loop) fn close_for_handler(&mut self, key: u32, reason: CloseReason) {
        let Some((id, entry)) = self.handlers.registry.remove(key) else { return };
        let handler = &mut self.handlers.list[usize::from(entry.handler)];
        if entry.state == NOT_OPENED {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, reason.to_string());
            handler.note_not_connected(id, error);
        } else {
            handler.put_aside(entry.state, id, reason);
        }
    }

    /// Notes that bytes for a connection are unsent, or that all of them were sent now.
    pub(in crate::event_loop) fn note_unsent(&mut self, key: u32, is_slow: bool) {
        let token = self.table.conn(key).id(key);
        let Some(entry) = self.handlers.registry.entry(key) else { return };
        if std::mem::replace(&mut entry.is_slow, is_slow) && !is_slow {
            self.handlers.drained.push(token);
        }
    }

    /// Ends a connection for a handler, whichever connection that is called for. Returns whether an answer is to follow.
    pub(super) fn end_for_other(&mut self, token: ConnToken) -> bool {
        let Some(key) = self.table.find(token) else { return false };
        let session = self.table.session_parts(key).session;
        if session.is_connecting() {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "its handler has given it up");
            self.note_not_connected(key, error);
            self.close(key, CloseReason::Served);
            return false;
        }
        let is_used = session.is_used();
        if is_used {
            let step = session.handled(Action::End, FrameDeadline::Stop, 0);
            let _ = self.apply_step(key, step);
        }
        is_used
    }

    /// Resets a connection.
    pub(super) fn abort(&mut self, token: ConnToken) {
        let Some(key) = self.table.find(token) else { return };
        if self.table.conn(key).session().is_connecting() {
            self.end_for_other(token);
            return;
        }
        self.net.reset_on_close(&self.table.conn(key).stream);
        self.close(key, CloseReason::Served);
    }

    /// Ends our side of a connection; the same holds for it.
    pub(super) fn end_sending(&mut self, token: ConnToken) -> bool {
        let Some(key) = self.table.find(token) else { return false };
        let session = self.table.session_parts(key).session;
        if session.is_connecting() {
            if let Some(entry) = self.handlers.registry.entry(key) {
                entry.ends_sending = true;
            }
            return false;
        }
        let takes_answers = session.takes_answers();
        session.write_ended();
        takes_answers
    }
}
