//! The interface of a handler.

use std::io;

use super::context::{ConnContext, Context};
use super::registry::ConnId;
use crate::conn::CloseReason;

/// A service with state, for streams (TCP).
///
/// All methods are called by the thread of the loop, one after the other. None may block: everybody would wait.
pub trait Handler: Send + 'static {
    /// What it keeps of a connection.
    type Conn: Send;

    /// What other threads post to it; see [`Handle::post`](super::Handle::post).
    type Message: Send;

    /// Messages and bytes of other threads that wait for it at once.
    const POSTS_MAX: usize = 16 * 1024;

    /// Whether it [records](ConnContext::record) messages in the journal. While that has no room, its connections are not
    /// read.
    const USES_JOURNAL: bool = false;

    /// A connection is open: a peer has connected, or another server has accepted a connection that this handler has
    /// [asked for](Context::connect). Returns the state of the connection.
    fn opened(&mut self, cx: &mut ConnContext<'_>) -> Self::Conn;

    /// `unread` is everything that the peer has sent and the handler has not consumed: at least one byte. Returns how many
    /// bytes are consumed, from the beginning. The others are passed again, with more after them. They count as the
    /// beginning of a frame: the frame timeout applies to them.
    fn received(&mut self, conn: &mut Self::Conn, unread: &[u8], cx: &mut ConnContext<'_>) -> usize;

    /// The peer has ended its side, between two frames. The connection ends by default. Otherwise the handler can go on to
    /// send to it, until it ends it.
    fn ended(&mut self, conn: &mut Self::Conn, cx: &mut ConnContext<'_>) {
        let _ = conn;
        cx.end();
    }

    /// A peer that had not taken all that it was sent has taken it now.
    fn drained(&mut self, conn: &mut Self::Conn, cx: &mut ConnContext<'_>) {
        let _ = (conn, cx);
    }

    /// The [timer](ConnContext::set_timer) of the connection has expired.
    fn timer(&mut self, conn: &mut Self::Conn, cx: &mut ConnContext<'_>) {
        let _ = (conn, cx);
    }

    /// A connection that this handler has [asked for](Context::connect) was not opened; it has no state. The error says why: it was
    /// refused, the time is over (`TimedOut`), or it was given up before, by this server (`ConnectionAborted`).
    fn connect_failed(&mut self, id: ConnId, error: &io::Error, cx: &mut Context<'_>) {
        let _ = (id, error, cx);
    }

    /// A connection that was opened is closed.
    fn closed(&mut self, id: ConnId, conn: Self::Conn, reason: CloseReason, cx: &mut Context<'_>) {
        let _ = (id, conn, reason, cx);
    }

    /// Another thread has posted a message.
    fn message(&mut self, message: Self::Message, cx: &mut Context<'_>) {
        let _ = (message, cx);
    }

    /// A descriptor of the handler is ready; see [`EventLoop::watch`](crate::event_loop::EventLoop::watch).
    fn ready(&mut self, event: SourceEvent, cx: &mut Context<'_>) {
        let _ = (event, cx);
    }

    /// What a peer is sent that is refused for this reason: the server is full, or the handler has refused its input. By default
    /// nothing.
    fn refused(reason: &str, reply: &mut Vec<u8>)
    where
        Self: Sized,
    {
        let _ = (reason, reply);
    }
}

/// A descriptor that a handler watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(pub(super) u16);

/// What the poller reports of such a descriptor. Events are edge-triggered: none follows until the handler has read or
/// written until `WouldBlock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceEvent {
    /// Which one.
    pub source: SourceId,
    /// A read may bring something.
    pub readable: bool,
    /// A write may take something.
    pub writable: bool,
}
