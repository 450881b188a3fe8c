//! A handler of any type, with the states of its connections.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use slab::Slab;

use super::context::{CallOutcome, ConnContext, Context};
use super::handler::{Handler, SourceEvent};
use super::mailbox::{Mailbox, Post};
use super::registry::ConnId;
use crate::conn::CloseReason;
use crate::service::{Action, Output, Progress, StreamService};

/// A handler whose type is not known. Each state is named by its index.
pub(super) trait AnyHandler: Send {
    /// Makes the state of a new connection; returns its index.
    fn opened(&mut self, cx: ConnContext<'_>) -> (u32, CallOutcome);

    /// Returns the bytes consumed.
    fn received(&mut self, state: u32, unread: &[u8], cx: ConnContext<'_>) -> (usize, CallOutcome);

    fn notify(&mut self, state: u32, notice: Notice, cx: ConnContext<'_>) -> CallOutcome;

    /// Puts the state of a closed connection aside, for [`tell_closed`](Self::tell_closed).
    fn put_aside(&mut self, state: u32, id: ConnId, reason: CloseReason);

    /// A connection that the handler has asked for will not be opened.
    fn note_not_connected(&mut self, id: ConnId, error: io::Error);

    /// Whether connections have been closed that it was not told of.
    fn has_closed(&self) -> bool;

    /// Tells it of a connection that was closed; returns false if there is none.
    fn tell_closed(&mut self, cx: &mut Context<'_>) -> bool;

    /// Whether others have posted something that it was not passed.
    fn has_posts(&self) -> bool;

    /// Passes on what others have posted first; returns false if there is nothing.
    fn take_post(&mut self, cx: &mut Context<'_>) -> bool;

    fn take_stop_requests(&mut self) -> u32;

    fn source_ready(&mut self, event: SourceEvent, cx: &mut Context<'_>);

    /// The server has stopped.
    fn close_mailbox(&self);

    /// The number of states.
    #[cfg(debug_assertions)]
    fn states(&self) -> usize;
}

/// What a handler is told of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice {
    Ended,
    Drained,
    Timer,
}

/// A connection that the handler is to be told of.
enum Closed<C> {
    Conn(ConnId, C, CloseReason),
    NotConnected(ConnId, io::Error),
}

pub(super) struct Adapter<H: Handler> {
    handler: H,
    states: Slab<H::Conn>,
    closed: VecDeque<Closed<H::Conn>>,
    mailbox: Arc<Mailbox<H::Message>>,
    /// What was taken out of it.
    posts: VecDeque<Post<H::Message>>,
}

impl<H: Handler> Adapter<H> {
    pub(super) fn new(handler: H, mailbox: Arc<Mailbox<H::Message>>) -> Self {
        Self { handler, states: Slab::new(), closed: VecDeque::new(), mailbox, posts: VecDeque::new() }
    }
}

impl<H: Handler> AnyHandler for Adapter<H> {
    fn opened(&mut self, mut cx: ConnContext<'_>) -> (u32, CallOutcome) {
        let state = self.handler.opened(&mut cx);
        let state = u32::try_from(self.states.insert(state)).expect("connections are counted in 32 bits");
        (state, cx.finish(H::refused))
    }

    fn received(&mut self, state: u32, unread: &[u8], mut cx: ConnContext<'_>) -> (usize, CallOutcome) {
        let consumed = self.handler.received(&mut self.states[state as usize], unread, &mut cx);
        (consumed, cx.finish(H::refused))
    }

    fn notify(&mut self, state: u32, notice: Notice, mut cx: ConnContext<'_>) -> CallOutcome {
        let state = &mut self.states[state as usize];
        match notice {
            Notice::Ended => self.handler.ended(state, &mut cx),
            Notice::Drained => self.handler.drained(state, &mut cx),
            Notice::Timer => self.handler.timer(state, &mut cx),
        }
        cx.finish(H::refused)
    }

    fn put_aside(&mut self, state: u32, id: ConnId, reason: CloseReason) {
        let state = self.states.remove(state as usize);
        self.closed.push_back(Closed::Conn(id, state, reason));
    }

    fn note_not_connected(&mut self, id: ConnId, error: io::Error) {
        self.closed.push_back(Closed::NotConnected(id, error));
    }

    fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    fn tell_closed(&mut self, cx: &mut Context<'_>) -> bool {
        match self.closed.pop_front() {
            None => return false,
            Some(Closed::Conn(id, state, reason)) => self.handler.closed(id, state, reason, cx),
            Some(Closed::NotConnected(id, error)) => self.handler.connect_failed(id, &error, cx),
        }
        true
    }

    fn has_posts(&self) -> bool {
        !self.posts.is_empty() || !self.mailbox.is_empty()
    }

    fn take_post(&mut self, cx: &mut Context<'_>) -> bool {
        if self.posts.is_empty() {
            self.posts = self.mailbox.take();
        }
        match self.posts.pop_front() {
            None => return false,
            Some(Post::Message(message)) => self.handler.message(message, cx),
            Some(Post::Bytes(to, bytes)) => {
                cx.send_to(to, &bytes);
            }
        }
        true
    }

    fn take_stop_requests(&mut self) -> u32 {
        self.mailbox.take_stop_requests()
    }

    fn source_ready(&mut self, event: SourceEvent, cx: &mut Context<'_>) {
        self.handler.ready(event, cx);
    }

    fn close_mailbox(&self) {
        self.mailbox.close();
    }

    #[cfg(debug_assertions)]
    fn states(&self) -> usize {
        self.states.len()
    }
}

/// What a handler is at its endpoint, before a connection is opened: it can refuse one.
pub(super) struct AtEndpoint<H>(PhantomData<fn() -> H>);

impl<H> AtEndpoint<H> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H: Handler> StreamService for AtEndpoint<H> {
    fn received(&self, unread: &[u8], _ended: bool, _out: &mut Output<'_>) -> Progress {
        debug_assert!(false, "its connections are those of the handler");
        Progress { consumed: unread.len(), action: Action::End }
    }

    fn uses_journal(&self) -> bool {
        H::USES_JOURNAL
    }

    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        H::refused(reason, out.answer());
    }
}
