//! Services: functions from bytes to bytes.
//!
//! A service never sees a socket, a clock or another connection, and keeps nothing about one: what it
//! does not consume it is given again, with more behind it. That is why the same service runs under the
//! event loop, under a thread per connection, under a simulated network, and in a unit test that has no
//! network at all.
//!
//! The five services of the program are in [`ALL`]; to add one is a file and its line there.

pub mod daytime;
pub mod endpoint;
pub mod greeting;
pub mod message;
pub mod month;
pub mod reply;

use std::io::Write;
use std::net::SocketAddr;

use crate::journal::escape::escape;

/// A service on a stream of bytes (TCP).
pub trait StreamService: Send + Sync {
    /// A peer has connected at `unix_seconds`. Services that speak first do so here.
    fn opened(&self, unix_seconds: i64, out: &mut Output<'_>) -> Action {
        let _ = (unix_seconds, out);
        Action::Continue
    }

    /// `unread` is all that the peer has sent and the service has not consumed yet: at least one byte, or
    /// none when `ended` says that the peer has ended its side and no more will come.
    ///
    /// What is left unconsumed counts as the beginning of a frame: its deadline runs, and when the peer
    /// ends in it, it is counted as truncated.
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress;

    /// The connection is not served any further, for a reason the peer should know: its input was bad, or
    /// the table is full. A service whose answers are framed says it in a frame; one whose peers take any
    /// byte for the answer itself stays silent.
    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        let _ = (reason, out);
    }
}

/// A service on datagrams (UDP).
pub trait DatagramService: Send + Sync {
    /// A datagram has come from a peer, which has a session or not. The answer, if `out` is given one,
    /// is one datagram; the return value says whether the peer has a session from now on.
    fn received(&self, session: Session, datagram: &[u8], out: &mut Output<'_>) -> Session;

    /// Whether `datagram` is one of this service's own answers. Such a datagram is never answered, or
    /// two servers that one forged packet points at each other would talk for ever.
    fn is_own_answer(&self, datagram: &[u8]) -> bool;

    /// Bytes of the longest datagram that the service takes; a longer one comes in cut to one byte more.
    fn datagram_bytes_max(&self) -> usize;
}

/// What becomes of the stream after the service has spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// More may come.
    Continue,
    /// The last answer is given: the stream ends once it is sent.
    End,
    /// The input is bad, for this reason. The stream ends once [`StreamService::refused`] has told the
    /// peer so.
    Refuse(String),
}

/// What a stream service did with the bytes it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Bytes consumed, from the beginning.
    pub consumed: usize,
    /// What becomes of the stream.
    pub action: Action,
}

/// Whether a peer of a datagram service has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// The peer is unknown.
    None,
    /// The peer is known.
    Open,
}

/// Where a service puts what it has to say: to the peer, and on record.
#[derive(Debug)]
pub struct Output<'a> {
    peer: SocketAddr,
    answer: &'a mut Vec<u8>,
    records: Option<&'a mut Vec<u8>>,
    recorded: u64,
}

impl<'a> Output<'a> {
    /// Collects answers to `peer` behind what is in `answer`, and lines of record behind what is in
    /// `records`; with `None`, nothing is kept on record.
    pub fn new(peer: SocketAddr, answer: &'a mut Vec<u8>, records: Option<&'a mut Vec<u8>>) -> Self {
        Self { peer, answer, records, recorded: 0 }
    }

    /// Sends `bytes` to the peer, behind all that was sent before. They leave once everything recorded
    /// so far is recorded.
    pub fn send(&mut self, bytes: &[u8]) {
        self.answer.extend_from_slice(bytes);
    }

    /// The buffer that answers to the peer are appended to, for services that format in place. What
    /// stands in it already is not the caller's.
    pub fn answer(&mut self) -> &mut Vec<u8> {
        self.answer
    }

    /// Records `text` as one line, `[peer-address:port] text`, [escaped](crate::journal::escape).
    pub fn record(&mut self, text: &[u8]) {
        self.recorded += 1;
        if self.records.is_some() {
            self.write_line(text);
        }
    }

    #[inline(never)]
    fn write_line(&mut self, text: &[u8]) {
        if let Some(lines) = &mut self.records {
            write!(lines, "[{}] ", self.peer).expect("writing to a Vec cannot fail");
            escape(text, lines);
            lines.push(b'\n');
        }
    }

    /// How many times [`record`](Self::record) was called.
    #[must_use]
    pub fn journal_lines(&self) -> u64 {
        self.recorded
    }
}

/// A service of the program: what users call it and how it is made.
pub struct Kind {
    /// As users write it.
    pub name: &'static str,
    /// Port where it is served when none is given.
    pub default_port: u16,
    /// Makes the service. Which variant it makes is its transport.
    pub make: Make,
}

/// Makes a service for the transport it is for.
pub enum Make {
    /// For TCP.
    Stream(fn(Settings) -> Box<dyn StreamService>),
    /// For UDP.
    Datagram(fn(Settings) -> Box<dyn DatagramService>),
}

/// What a service may be told when it is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of the longest message taken.
    pub message_bytes_max: usize,
    /// The local time zone.
    pub time_zone: tz::TimeZone,
}

/// Every service of the program, in the order in which they are listed to users.
pub static ALL: [Kind; 5] = [message::KIND, greeting::KIND, daytime::KIND, reply::KIND, month::KIND];

impl Kind {
    /// The service that users call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.name == name)
    }

    /// `tcp` or `udp`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self.make {
            Make::Stream(_) => "tcp",
            Make::Datagram(_) => "udp",
        }
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What the tests of the services share: a service asked once, and what it said.
#[cfg(test)]
mod asked {
    use super::*;

    pub(super) struct Said<T> {
        pub(super) returned: T,
        pub(super) answer: String,
        pub(super) records: String,
    }

    pub(super) fn ask<T>(call: impl FnOnce(&mut Output<'_>) -> T) -> Said<T> {
        let (mut answer, mut records) = (Vec::new(), Vec::new());
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let returned = call(&mut Output::new(peer, &mut answer, Some(&mut records)));
        let text = |bytes| String::from_utf8(bytes).expect("services speak UTF-8");
        Said { returned, answer: text(answer), records: text(records) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports_are_unique() {
        for (place, kind) in ALL.iter().enumerate() {
            assert!(std::ptr::eq(Kind::named(kind.name).unwrap(), kind));
            assert!(ALL[..place].iter().all(|other| other.default_port != kind.default_port));
        }
    }

    #[test]
    fn a_record_is_one_line_that_names_the_peer() {
        let said = asked::ask(|out| {
            out.record(b"one\ntwo");
            out.record(b"");
            out.journal_lines()
        });
        assert_eq!(said.returned, 2);
        assert_eq!(said.records, "[127.0.0.1:4000] one\\ntwo\n[127.0.0.1:4000] \n");
    }

    #[test]
    fn what_is_not_kept_on_record_is_still_counted() {
        let mut answer = Vec::new();
        let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut answer, None);
        out.record(b"text");
        assert_eq!(out.journal_lines(), 1);
    }
}
