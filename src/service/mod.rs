//! Services: functions from bytes to bytes.
//!
//! A service never sees a socket, a clock or another connection, and keeps no state of a connection: bytes
//! that it does not consume are passed to it again, with more after them. So the same service runs under
//! the event loop, under a thread per connection, on a simulated network, and in a unit test without any.
//!
//! The file of a service has both sides of its protocol: the server side ([`StreamService`] or
//! [`DatagramService`]), and the [client side](client_side) that `client` and `load` drive. To add a
//! service to the program, add its file and its entry in [`ALL`]:
//!
//! ```
//! use loopline::service::{
//!     Action, Definition, ExpectedReply, Output, Progress, Reply, StreamClient, StreamService,
//! };
//!
//! /// Sends each line back.
//! struct Echo;
//!
//! pub static ECHO: Definition = Definition::stream("echo", 7, |_settings| Box::new(Echo), &Echo);
//!
//! impl StreamService for Echo {
//!     fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
//!         let consumed = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
//!         out.send(&unread[..consumed]);
//!         Progress { consumed, action: Action::Continue }
//!     }
//! }
//!
//! impl StreamClient for Echo {
//!     fn text_bytes(&self) -> Option<std::ops::RangeInclusive<usize>> {
//!         Some(0..=1000)
//!     }
//!
//!     fn append_request(&self, text: &str, out: &mut Vec<u8>) {
//!         out.extend_from_slice(text.as_bytes());
//!         out.push(b'\n');
//!     }
//!
//!     fn expected_reply(&self, text: &str) -> ExpectedReply {
//!         ExpectedReply::Exact(format!("{text}\n").into())
//!     }
//!
//!     fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
//!         let Some(end) = unread.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
//!         Ok(Some(Reply { wire_bytes: end + 1, body: &unread[..end], is_refusal: false }))
//!     }
//!
//!     fn server_ends_stream(&self) -> bool {
//!         false
//!     }
//! }
//! ```

pub mod client_side;
pub mod daytime;
mod definition;
pub mod endpoint;
pub mod greeting;
pub mod message;
pub mod month;
mod output;
pub mod reply;

pub use client_side::{
    Answer, ClientSide, DatagramClient, ExpectedAnswer, ExpectedReply, Reply, StreamClient,
};
pub use definition::{Definition, Make, Settings};
pub use output::Output;

/// The services of the program, in the order in which they are listed to users.
pub static ALL: &[Definition] =
    &[message::DEFINITION, greeting::DEFINITION, daytime::DEFINITION, reply::DEFINITION, month::DEFINITION];

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

    /// Whether `datagram` is one of this service's own answers. The server never answers one, or a forged
    /// packet could make two servers answer each other forever.
    fn is_own_answer(&self, datagram: &[u8]) -> bool;

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
    Refuse(String),
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

#[cfg(test)]
mod fixtures;
