//! What a handler can do: send, publish, join groups, arm a timer, end connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::groups::Group;
use super::registry::{ConnId, Pause, Registry};
use crate::conn::deadlines::Tick;
use crate::conn::token::ConnToken;
use crate::event_loop::outbox::{Outbox, Recipients};
use crate::journal::Lines;
use crate::service::{Action, with_text};

/// What a handler can do in any call.
///
/// A connection receives what is sent to it in the order of the calls, whichever call of whichever handler sends it. All of it
/// leaves at the end of the turn, after the journal was written.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) registry: &'a mut Registry,
    pub(super) outbox: &'a mut Outbox,
    pub(super) dialer: &'a mut dyn Dial,
    /// Which handler is called.
    pub(super) handler: u8,
    pub(super) now: Tick,
    /// What is sent waits for the journal.
    pub(super) needs_commit: bool,
    /// The connection that the call is about, and where the bytes that it is sent begin in the outbox.
    pub(super) own: Option<(ConnToken, usize)>,
}

/// Begins connections, whatever the network is.
pub(super) trait Dial: fmt::Debug {
    /// Begins a connection of a handler.
    fn dial(&mut self, handler: u8, address: SocketAddr) -> io::Result<ConnToken>;
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

    /// Ends our side of a connection, after everything that was sent to it has been written; nothing more is sent to it. The
    /// peer may go on to send. Returns false if it is closed.
    pub fn end_sending(&mut self, id: ConnId) -> bool {
        let Some(token) = self.registry.find(id) else { return false };
        self.deliver(Recipients::SendingEnds(token), &[]);
        true
    }

    /// Closes a connection at once, in such a way that its peer sees a reset: what it has not taken is lost. Returns false if it is
    /// closed.
    pub fn abort(&mut self, id: ConnId) -> bool {
        let Some(token) = self.registry.find(id) else { return false };
        self.deliver(Recipients::Aborted(token), &[]);
        true
    }

    /// Begins to connect to another server. The connection is one of this handler: [`Handler::opened`](super::Handler::opened)
    /// is called when it is open, and [`Handler::connect_failed`](super::Handler::connect_failed) if it is not open when
    /// `timeout` is over, or cannot be opened. Until then, what is sent to it is kept.
    ///
    /// # Errors
    /// It is known at once that there will be no connection: the server has as many as it
    /// [may have](crate::limits::Limits::connections_max), no descriptor or port is left, or the address cannot be reached.
    /// Neither method is called then.
    pub fn connect(&mut self, address: SocketAddr, timeout: Duration) -> io::Result<ConnId> {
        let token = self.dialer.dial(self.handler, address)?;
        let id = self.registry.next_id(token);
        self.registry.insert(id, token, self.handler);
        self.registry.set_timer(token, self.now, timeout);
        Ok(id)
    }

    /// Whether a peer has not taken all that it was sent before this turn. [`Handler::drained`](super::Handler::drained) is
    /// called when it has.
    #[must_use]
    pub fn is_behind(&self, id: ConnId) -> bool {
        self.registry.is_slow(id)
    }

    /// Reads nothing more from a connection, from the next turn on, until it is [resumed](Self::resume). What its peer sends waits
    /// in the kernel, and then at the peer. The end of its side is not seen meanwhile. Returns false if it is closed.
    pub fn pause(&mut self, id: ConnId) -> bool {
        self.set_pause(id, Pause::Begins)
    }

    /// Reads from a connection again. What the handler has not consumed before is passed to it again. Returns false if the
    /// connection is closed.
    pub fn resume(&mut self, id: ConnId) -> bool {
        self.set_pause(id, Pause::Ends)
    }

    fn set_pause(&mut self, id: ConnId, pause: Pause) -> bool {
        let Some(token) = self.registry.find(id) else { return false };
        self.registry.pauses.push((token, pause));
        true
    }

    /// Asks the server to stop, as SIGTERM does: it drains, and the second request ends it at once.
    pub fn stop(&mut self) {
        self.registry.stop_requests += 1;
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
    /// Our side of the connection has not ended.
    takes_answers: bool,
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
        takes_answers: bool,
    ) -> Self {
        cx.own = Some((token, cx.outbox.bytes.len()));
        Self { cx, id, token, peer, journal, journal_lines: 0, action: Action::Continue, takes_answers }
    }

    /// Ends the call; what is refused is refused with the text of `refused`.
    pub(super) fn finish(self, refused: fn(&str, &mut Vec<u8>)) -> CallOutcome {
        let Self { cx, action, journal_lines, takes_answers, .. } = self;
        if let Action::Refuse(reason) = &action {
            if takes_answers {
                with_text(reason, &mut |reason| refused(reason, &mut cx.outbox.bytes));
            }
        }
        let start = cx.own.map_or(0, |(_, start)| start);
        CallOutcome { action, journal_lines, start }
    }

    /// The connection. It can be kept: it never stands for another one.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The address of the peer: for a connection to another server, that server's.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends bytes to the peer, unless our side of the connection [has ended](Context::end_sending).
    pub fn send(&mut self, bytes: &[u8]) {
        if self.takes_answers {
            self.cx.outbox.bytes.extend_from_slice(bytes);
        }
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
