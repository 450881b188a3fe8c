//! Calling a handler for one of its connections, and doing what it leaves to do.

use std::net::SocketAddr;

use super::adapter::{AnyHandler, Notice};
use super::context::{CallOutcome, ConnContext, Context};
use super::registry::Registry;
use crate::conn::CloseReason;
use crate::conn::deadlines::Tick;
use crate::conn::stream_session::{FrameDeadline, consume};
use crate::conn::token::ConnToken;
use crate::event_loop::EventLoop;
use crate::event_loop::outbox::Outbox;
use crate::event_loop::read::ReadOutcome;
use crate::journal::Lines;
use crate::net::Net;
use crate::service::Action;

/// The parts of the loop that a call needs.
struct CallParts<'a> {
    handler: &'a mut dyn AnyHandler,
    state: u32,
    cx: ConnContext<'a>,
}

/// The handler and the context of a call about a connection, or `None` if it is not one of a handler that was opened.
fn call_parts<'a>(
    list: &'a mut [Box<dyn AnyHandler>],
    registry: &'a mut Registry,
    outbox: &'a mut Outbox,
    journal: Option<&'a mut Lines>,
    token: ConnToken,
    peer: SocketAddr,
    now: Tick,
) -> Option<CallParts<'a>> {
    let id = registry.id(token.key)?;
    let entry = registry.entry(token.key)?;
    let (handler, state) = (usize::from(entry.handler), entry.state);
    let cx = Context { registry, outbox, now, needs_commit: false, own: None };
    let cx = ConnContext::new(cx, id, token, peer, journal);
    Some(CallParts { handler: list[handler].as_mut(), state, cx })
}

/// [`call_parts`], with the fields of the loop borrowed one by one.
macro_rules! parts {
    ($server:ident, $token:expr, $peer:expr) => {
        call_parts(
            &mut $server.handlers.list,
            &mut $server.handlers.registry,
            &mut $server.outbox,
            $server.journal.lines(),
            $token,
            $peer,
            $server.now,
        )
    };
}

impl<N: Net> EventLoop<N> {
    /// The handler of the endpoint of a connection.
    #[inline]
    pub(in crate::event_loop) fn handler_of(&self, key: u32) -> Option<u8> {
        self.listeners[usize::from(self.table.conn(key).endpoint)].handler
    }

    /// Opens a connection that is admitted.
    pub(in crate::event_loop) fn open_for_handler(&mut self, token: ConnToken, handler: u8) {
        let peer = self.table.peer(token.key);
        let id = self.handlers.registry.next_id(token);
        self.handlers.registry.insert(id, token, handler);
        let Some(parts) = parts!(self, token, peer) else { return };
        let (state, outcome) = parts.handler.opened(parts.cx);
        if let Some(entry) = self.handlers.registry.entry(token.key) {
            entry.state = state;
        }
        self.finish_call(token, outcome, FrameDeadline::Keep);
    }

    /// Passes `fresh` bytes to the handler, behind those of the connection that are unread.
    #[inline(never)]
    pub(in crate::event_loop) fn receive_for_handler(&mut self, key: u32, fresh: usize) -> ReadOutcome {
        let token = self.table.conn(key).id(key);
        let peer = self.table.peer(key);
        let mut unread = self.table.take_unread(key);
        let before = unread.len();
        let Some(parts) = parts!(self, token, peer) else { return ReadOutcome::Done };
        let read = &self.read_buffer[..fresh];
        let bytes = if before == 0 {
            read
        } else {
            unread.append(read, &mut self.table.spare_maps);
            &unread
        };
        let (consumed, outcome) = parts.handler.received(parts.state, bytes, parts.cx);
        let consumed = consumed.min(bytes.len());
        let frame = if before == 0 && consumed == fresh {
            FrameDeadline::Keep
        } else {
            if before == 0 {
                unread.append(read, &mut self.table.spare_maps);
            }
            consume(&mut unread, before > 0, consumed, &outcome.action)
        };
        let is_other = before == 0 || frame != FrameDeadline::Keep;
        self.table.put_unread(key, unread, is_other, self.now);
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
        self.table.store_unread(key, fresh);
        self.open_for_handler(token, handler);
        if !fresh.is_empty() && self.table.conn(key).session().is_open() {
            self.table.start_frame(key, self.now);
            return self.receive_for_handler(key, 0);
        }
        ReadOutcome::Done
    }

    /// Tells the handler what has happened to a connection that is open.
    pub(super) fn notify_handler(&mut self, token: ConnToken, notice: Notice) {
        let Some(key) = self.table.find(token) else { return };
        if !self.table.conn(key).session().takes_answers() {
            return;
        }
        let peer = self.table.peer(key);
        let Some(parts) = parts!(self, token, peer) else { return };
        let outcome = parts.handler.notify(parts.state, notice, parts.cx);
        self.finish_call(token, outcome, FrameDeadline::Keep);
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
        if let Some((id, entry)) = self.handlers.registry.remove(key) {
            self.handlers.list[usize::from(entry.handler)].put_aside(entry.state, id, reason);
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

    /// Ends a connection for a handler that is called for another one.
    pub(in crate::event_loop) fn end_for_other(&mut self, token: ConnToken) -> bool {
        let Some(key) = self.table.find(token) else { return false };
        if !self.table.conn(key).session().takes_answers() {
            return false;
        }
        let session = self.table.session_parts(key).session;
        let step = session.handled(Action::End, FrameDeadline::Stop, 0);
        let _ = self.apply_step(key, step);
        true
    }
}
