//! What a handler can do: send, publish, join groups, arm a timer, end connections.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::groups::Group;
use super::registry::{ConnId, Registry};
use crate::conn::deadlines::Tick;
use crate::conn::token::ConnToken;
use crate::event_loop::outbox::{Outbox, Recipients};
use crate::journal::Lines;
use crate::service::Action;

/// What a handler can do in any call.
///
/// A connection receives what is sent to it in the order of the calls, whichever call of whichever handler sends it. All of it
/// leaves at the end of the turn, after the journal was written.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) registry: &'a mut Registry,
    pub(super) outbox: &'a mut Outbox,
    pub(super) now: Tick,
    /// What is sent waits for the journal.
    pub(super) needs_commit: bool,
    /// The connection that the call is about, and where the bytes that it is sent begin in the outbox.
    pub(super) own: Option<(ConnToken, usize)>,
}

impl Context<'_> {
    /// Sends bytes to a connection of any handler of this server. Returns false if it is closed, and then does nothing.
    ///
    /// A connection that has not taken [`unsent_bytes_max`](crate::limits::Limits::unsent_bytes_max) bytes when more are sent to
    /// it by others is closed: [`CloseReason::TooSlow`](crate::CloseReason::TooSlow).
    pub fn send_to(&mut self, to: ConnId, bytes: &[u8]) -> bool {
        let Some(token) = self.registry.find(to) else { return false };
        self.deliver(Recipients::Conn(token), bytes);
        true
    }

    /// Sends bytes to each member of a group, of any handler. They are copied only for a member that does not take them at
    /// once. See [`send_to`](Self::send_to) for one that is too slow.
    pub fn publish(&mut self, group: Group, bytes: &[u8]) {
        if let Some(places) = self.registry.groups.places(group) {
            self.deliver(Recipients::Group(places), bytes);
        }
    }

    /// Adds a connection to a group; it is sent what is published from now on. Returns false if it is closed, or a member
    /// already.
    pub fn join(&mut self, id: ConnId, group: Group) -> bool {
        self.registry.join(id, group)
    }

    /// Removes a connection from a group; it is sent nothing more of it, not even what was published in this turn.
    /// Returns false if it was not a member. A connection that closes leaves all groups.
    pub fn leave(&mut self, id: ConnId, group: Group) -> bool {
        self.registry.leave(id, group)
    }

    /// The number of members of a group.
    #[must_use]
    pub fn members(&self, group: Group) -> usize {
        self.registry.groups.len(group)
    }

    /// Ends a connection, after everything that was sent to it has been written. Returns false if it is closed.
    pub fn disconnect(&mut self, id: ConnId) -> bool {
        let Some(token) = self.registry.find(id) else { return false };
        self.deliver(Recipients::Ending(token), &[]);
        true
    }

    /// Whether a connection is open.
    #[must_use]
    pub fn is_open(&self, id: ConnId) -> bool {
        self.registry.find(id).is_some()
    }

    /// The time of this turn.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Sends bytes to others, behind what the connection of this call was sent.
    fn deliver(&mut self, to: Recipients, bytes: &[u8]) {
        if let Some((token, start)) = self.own {
            self.outbox.push_answer(token, start, self.needs_commit);
        }
        self.outbox.deliver(to, bytes, self.needs_commit);
        if let Some((_, start)) = &mut self.own {
            *start = self.outbox.bytes.len();
        }
    }
}

/// What a handler can do in a call that is about one of its connections.
#[derive(Debug)]
pub struct ConnContext<'a> {
    cx: Context<'a>,
    id: ConnId,
    token: ConnToken,
    peer: SocketAddr,
    journal: Option<&'a mut Lines>,
    journal_lines: u64,
    action: Action,
}

/// What a call about a connection leaves to do.
#[derive(Debug)]
pub(in crate::event_loop) struct CallOutcome {
    pub(in crate::event_loop) action: Action,
    pub(in crate::event_loop) journal_lines: u64,
    /// The answer begins here in the outbox.
    pub(in crate::event_loop) start: usize,
}

impl<'a> ConnContext<'a> {
    pub(super) fn new(
        mut cx: Context<'a>,
        id: ConnId,
        token: ConnToken,
        peer: SocketAddr,
        journal: Option<&'a mut Lines>,
    ) -> Self {
        cx.own = Some((token, cx.outbox.bytes.len()));
        Self { cx, id, token, peer, journal, journal_lines: 0, action: Action::Continue }
    }

    /// Ends the call; what is refused is refused with the text of `refused`.
    pub(super) fn finish(self, refused: impl FnOnce(&str, &mut Vec<u8>)) -> CallOutcome {
        let Self { cx, action, journal_lines, .. } = self;
        if let Action::Refuse(reason) = &action {
            refused(reason, &mut cx.outbox.bytes);
        }
        let start = cx.own.map_or(0, |(_, start)| start);
        CallOutcome { action, journal_lines, start }
    }

    /// The connection. It can be kept: it never stands for another one.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends bytes to the peer.
    pub fn send(&mut self, bytes: &[u8]) {
        self.cx.outbox.bytes.extend_from_slice(bytes);
    }

    /// Records `text`, which was sent to `service`, in the journal as one line. What is sent after it in this call leaves when it
    /// is written. A handler that calls this sets [`USES_JOURNAL`](super::Handler::USES_JOURNAL).
    pub fn record(&mut self, service: &'static str, text: &[u8]) {
        if let Some(journal) = &mut self.journal {
            if self.journal_lines == 0 {
                journal.set_sender(self.peer);
            }
            journal.add_next(service, text);
        }
        self.journal_lines += 1;
        self.cx.needs_commit = true;
    }

    /// Ends the connection, after everything that was sent to it has been written.
    pub fn end(&mut self) {
        if self.action == Action::Continue {
            self.action = Action::End;
        }
    }

    /// Refuses the input of the peer for this reason: [`Handler::refused`](super::Handler::refused) is called with it, then
    /// the connection ends.
    pub fn refuse(&mut self, reason: &str) {
        self.action = Action::Refuse(reason.into());
    }

    /// Calls [`Handler::timer`](super::Handler::timer) for this connection when `duration` is over, in milliseconds, and not
    /// earlier. A connection has one timer: this replaces what was set before.
    pub fn set_timer(&mut self, duration: Duration) {
        let (token, now) = (self.token, self.cx.now);
        self.cx.registry.set_timer(token, now, duration);
    }

    /// Cancels the timer.
    pub fn cancel_timer(&mut self) {
        self.cx.registry.cancel_timer(self.token);
    }
}

impl<'a> Deref for ConnContext<'a> {
    type Target = Context<'a>;

    fn deref(&self) -> &Context<'a> {
        &self.cx
    }
}

impl DerefMut for ConnContext<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}
