//! The server side of a service: what it does with the bytes of a stream, and with datagrams.

use super::output::Output;
use super::reason::Reason;
pub use crate::frame::Known;

/// The server side of a service on a stream of bytes (TCP).
pub trait StreamService: Send + Sync {
    /// A peer has connected at `unix_seconds`. Services that send first do so here.
    fn opened(&self, unix_seconds: i64, out: &mut Output<'_>) -> Action {
        let _ = (unix_seconds, out);
        Action::Continue
    }

    /// `unread` is everything that the peer has sent and the service has not consumed: at least one byte,
    /// or, when the peer has `ended` its sending side, possibly none.
    ///
    /// Bytes left unconsumed count as the beginning of a frame: the frame timeout applies to them, and if
    /// the peer ends its side now, the frame is counted as truncated.
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress;

    /// Does the same for a connection that moves many bytes, or has bytes left. A service that knows the length of a
    /// frame from its beginning can store in `known` what it has found out about the frame that it leaves unconsumed,
    /// and is passed that again with more bytes, so that it need not examine the same bytes again. The server then has
    /// memory for a frame of that length. At first, and for services without this method, nothing is known.
    fn received_more(&self, unread: &[u8], known: &mut Known, out: &mut Output<'_>) -> Progress {
        let _ = known;
        self.received(unread, false, out)
    }

    /// Whether it records messages in the journal. While that has no room, nothing is read for such a service.
    fn uses_journal(&self) -> bool {
        false
    }

    /// The server refuses to serve the connection further, because the input was bad or the connection
    /// table is full. A service whose answers are framed sends `reason`; one whose peers take any byte for
    /// the answer sends nothing.
    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        let _ = (reason, out);
    }
}

/// The server side of a service on datagrams (UDP).
pub trait DatagramService: Send + Sync {
    /// A datagram has come from a peer in the state `session`. What is sent to `out`, if anything, is one
    /// datagram. Returns the new state.
    fn received(&self, session: Session, datagram: &[u8], out: &mut Output<'_>) -> Session;

    /// Whether `datagram` is one of this service's own answers, or the beginning of one that was cut. The server
    /// never answers one, or a forged packet could make two servers answer each other forever.
    fn is_own_answer(&self, datagram: &[u8]) -> bool;

    /// Whether `answer` reports an error. The server limits these, since a peer that is a service itself may answer
    /// each with another.
    fn is_error(&self, answer: &[u8]) -> bool {
        let _ = answer;
        false
    }

    /// Maximum size of a request in bytes. A longer datagram is truncated to one byte more.
    fn datagram_bytes_max(&self) -> usize;
}

/// What happens to the stream next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It stays open.
    Continue,
    /// It ends once everything sent so far has been written.
    End,
    /// The input is bad, for this reason: [`StreamService::refused`] is called with it, then the stream
    /// ends.
    Refuse(Reason),
}

/// What a stream service did with the bytes it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Bytes consumed, from the beginning.
    pub consumed: usize,
    /// What happens to the stream next.
    pub action: Action,
}

/// Whether a peer of a datagram service has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// It has none.
    None,
    /// It has one.
    Open,
}
