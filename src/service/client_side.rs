//! The client side of a service: the requests a client sends, and the replies that are correct.
//!
//! Bytes in, bytes out, as the server side: no socket and no clock. The client and the load generator know a
//! service by these traits only, not by its name.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::output::Output;
use super::server_side::{DatagramService, Session};

/// The client side of a [definition](super::Definition), for the transport that the service is for.
#[derive(Clone, Copy)]
pub enum ClientSide {
    /// For TCP.
    Stream(&'static dyn StreamClient),
    /// For UDP.
    Datagram(&'static dyn DatagramClient),
}

/// The client side of a [`StreamService`](super::StreamService).
pub trait StreamClient: Sync {
    /// Sizes in bytes of the texts that a request can carry. `None`, the default: there are no requests,
    /// the server sends first.
    fn text_bytes(&self) -> Option<RangeInclusive<usize>> {
        None
    }

    /// The request that carries `text`, which may be too long to be copied.
    fn request(&self, text: String) -> Vec<u8> {
        let mut request = Vec::new();
        self.append_request(&text, &mut request);
        request
    }

    /// Appends the request that carries `text` to `out`. A request of no bytes is sent by ending the
    /// sending side.
    fn append_request(&self, text: &str, out: &mut Vec<u8>) {
        let _ = (text, out);
    }

    /// What a correct server replies to the request that carries `text`: at least one byte.
    fn expected_reply(&self, text: &str) -> ExpectedReply;

    /// Reads the reply that `unread` begins with, correct or not; `Ok(None)` if more bytes are needed to
    /// find its end. A reply after which the server ends the stream may also end there.
    ///
    /// # Errors
    /// One line that says why these bytes cannot be the beginning of a reply.
    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String>;

    /// Whether the server ends the stream after its first reply, so that each request needs a connection
    /// of its own.
    fn server_ends_stream(&self) -> bool;

    /// The text of the request after which the server ends the stream, if there is one.
    fn farewell(&self) -> Option<&'static str> {
        None
    }
}

/// A reply that was found at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Bytes that it takes on the wire.
    pub wire_bytes: usize,
    /// Its text, without what frames it; of a refusal, the reason.
    pub body: &'a [u8],
    /// Whether the server refuses to go on.
    pub is_refusal: bool,
}

impl<'a> Reply<'a> {
    /// All of `bytes`, as a reply that is not framed.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { wire_bytes: bytes.len(), body: bytes, is_refusal: false }
    }
}

/// What the bytes of a reply must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedReply {
    /// These bytes.
    Exact(Vec<u8>),
    /// One byte for each of the pattern, where `A` stands for an ASCII letter, `0` for a digit, `_` for a
    /// digit or a space, and any other byte for itself.
    Pattern(&'static [u8]),
}

impl ExpectedReply {
    /// Bytes of the reply.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        match self {
            Self::Exact(bytes) => bytes.len(),
            Self::Pattern(pattern) => pattern.len(),
        }
    }

    /// Whether `byte` may stand at `position`, counted from 0.
    #[must_use]
    pub fn allows(&self, position: usize, byte: u8) -> bool {
        match self {
            Self::Exact(bytes) => bytes.get(position) == Some(&byte),
            Self::Pattern(pattern) => match pattern.get(position) {
                None => false,
                Some(b'A') => byte.is_ascii_alphabetic(),
                Some(b'0') => byte.is_ascii_digit(),
                Some(b'_') => byte.is_ascii_digit() || byte == b' ',
                Some(other) => byte == *other,
            },
        }
    }

    /// What may stand at `position`, for an error message.
    #[must_use]
    pub fn describe(&self, position: usize) -> String {
        let (expected, is_pattern) = match self {
            Self::Exact(bytes) => (bytes.get(position), false),
            Self::Pattern(pattern) => (pattern.get(position), true),
        };
        match expected {
            None => "the end of the stream".into(),
            Some(b'A') if is_pattern => "a letter".into(),
            Some(b'0') if is_pattern => "a digit".into(),
            Some(b'_') if is_pattern => "a digit or a space".into(),
            Some(other) => describe_byte(*other),
        }
    }
}

/// `byte` as an error message shows it: `'a'`, `0x0d`.
#[must_use]
pub(crate) fn describe_byte(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' {
        format!("'{}'", char::from(byte))
    } else {
        format!("0x{byte:02x}")
    }
}

/// The client side of a [`DatagramService`].
///
/// Datagrams carry no number, and may be lost, delayed or duplicated: an answer is matched with its
/// request by what it says.
pub trait DatagramClient: Sync {
    /// The datagram that opens a session.
    fn hello(&self) -> &'static [u8];

    /// The datagram that ends a session.
    fn farewell(&self) -> &'static [u8];

    /// Requests whose answers all differ, so that an answer shows which of them it is to: at least one,
    /// at most 255.
    fn requests(&self) -> &'static [&'static str];

    /// What an answer is to.
    fn classify(&self, answer: &[u8]) -> Answer;

    /// What a correct server answers to `text` in a session.
    fn expected_answer(&self, text: &str) -> ExpectedAnswer;
}

/// What an answer of a datagram service is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To the datagram that has opened a session.
    Opened,
    /// To the request at this index of [`requests`](DatagramClient::requests).
    To(usize),
    /// To a request that the service does not understand.
    Error,
    /// It is no answer of this service.
    Unknown,
}

/// The answer to one request in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// The datagram.
    pub datagram: Vec<u8>,
    /// Whether the session is over with it.
    pub ends_session: bool,
}

impl ExpectedAnswer {
    /// What `service` answers to `text` in a session, for services that answer every peer alike.
    #[must_use]
    pub fn of(service: &dyn DatagramService, text: &str) -> Self {
        let mut datagram = Vec::new();
        let peer = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut out = Output::new(peer, &mut datagram, None);
        let session = service.received(Session::Open, text.as_bytes(), &mut out);
        Self { datagram, ends_session: session == Session::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_allows_a_class_of_bytes_at_each_position() {
        let reply = ExpectedReply::Pattern(b"A_0:");
        for (position, good, bad) in [(0, b"aZ", b"1 "), (1, b" 7", b"ax"), (2, b"09", b" a")] {
            assert!(good.iter().all(|byte| reply.allows(position, *byte)));
            assert!(!bad.iter().any(|byte| reply.allows(position, *byte)));
        }
        assert!(reply.allows(3, b':') && !reply.allows(3, b';') && !reply.allows(4, b':'));
        let described: Vec<String> = (0..5).map(|position| reply.describe(position)).collect();
        assert_eq!(described, ["a letter", "a digit or a space", "a digit", "':'", "the end of the stream"]);
        for (position, described) in ["'A'", "0x0d", "'0'", "'_'", "' '"].into_iter().enumerate() {
            assert_eq!(ExpectedReply::Exact(b"A\r0_ ".to_vec()).describe(position), described);
        }
    }
}
