//! Connections: what the server keeps of each, from its state to the deadlines it waits for.
//!
//! A connection's state changes only by [`State::after`]. What a connection wants to read or write is computed
//! from its state and its unsent bytes, never stored. Nothing here knows the network or the poller: callers
//! act on the result.

pub(crate) mod admission;
pub(crate) mod buffers;
pub(crate) mod close_reason;
pub(crate) mod counters;
pub(crate) mod deadlines;
pub(crate) mod established;
pub(crate) mod hash_key;
pub(crate) mod log_throttle;
pub(crate) mod memory;
pub(crate) mod peer_addr;
#[cfg(feature = "cli")]
pub(crate) mod proxy_header;
pub(crate) mod reply_rate;
pub(crate) mod reply_rules;
pub(crate) mod source_network;
pub(crate) mod spare_maps;
pub(crate) mod state;
pub(crate) mod stored_bytes;
pub(crate) mod stream_session;
pub(crate) mod table;
#[cfg(feature = "handlers")]
pub(crate) mod timers;
pub(crate) mod token;
pub(crate) mod udp_sessions;
pub(crate) mod unread;

pub use close_reason::CloseReason;

use deadlines::{Link, Tick};
use peer_addr::PeerKey;
use stream_session::StreamSession;
use token::ConnToken;

/// Half a cache line: all that an idle connection costs.
#[derive(Debug)]
pub(crate) struct Conn<S> {
    pub(crate) stream: S,
    peer: PeerKey,
    /// Distinguishes this connection from earlier ones in the same slot.
    generation: u16,
    /// Index of the listener that accepted it.
    pub(crate) endpoint: u8,
    session: StreamSession,
    pub(crate) flags: Flags,
    /// Index of its buffers; [`NO_BUFFERS`] when it has none.
    buffers: u32,
    /// In the queue of header deadlines while `Awaiting`, a queue of idle deadlines while `Open`, that of linger deadlines
    /// while `Lingering`.
    link: Link,
}

/// The connection has no buffers.
const NO_BUFFERS: u32 = u32::MAX;

impl<S> Conn<S> {
    /// Its identity, given the slot it is in.
    pub(crate) fn id(&self, key: u32) -> ConnToken {
        ConnToken { key, generation: self.generation }
    }

    pub(crate) fn session(&self) -> StreamSession {
        self.session
    }

    /// Whether it was accepted at the admin endpoint.
    #[inline]
    pub(crate) fn is_admin(&self) -> bool {
        cfg!(feature = "cli") && self.flags.contains(Flags::ADMIN)
    }

    /// Milliseconds since it was accepted, or, with an idle timeout, since it was last active or a little longer.
    pub(crate) fn began_ms_ago(&self, now: Tick) -> u32 {
        now.ms_since(self.link.since())
    }

    /// Whether bytes of it are stored.
    pub(crate) fn has_buffers(&self) -> bool {
        self.buffers != NO_BUFFERS
    }

    /// Whether it is between two frames, or before a header: no byte of it is stored, or known to be in the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        (self.session.is_receiving() || self.session.is_half_open())
            && !self.has_buffers()
            && !self.flags.contains(Flags::READABLE)
    }

    /// Whether a visit reads whatever the limits are: it is open, has something to read, and holds no bytes.
    #[inline]
    pub(crate) fn reads_freely(&self) -> bool {
        self.flags.contains(Flags::READABLE)
            && !self.flags.contains(Flags::HELD)
            && !self.has_buffers()
            && self.session.is_open()
    }

    /// The same, and it moves a few bytes at a time.
    #[inline]
    pub(crate) fn reads_little(&self) -> bool {
        self.reads_freely() && !self.flags.contains(Flags::BULK)
    }

    /// Whether a write may be tried.
    #[inline]
    pub(crate) fn takes_writes(&self) -> bool {
        self.flags.contains(Flags::WRITABLE) && !self.flags.contains(Flags::HELD)
    }

    /// Whether bytes of the peer are wanted now. Backpressure is one comparison: nothing is read from a peer
    /// that does not read its answers.
    pub(crate) fn wants_read(&self, unsent_bytes: usize, unsent_bytes_max: usize) -> bool {
        let has_room = unsent_bytes <= unsent_bytes_max && !self.flags.contains(Flags::HELD);
        (self.session.is_receiving() && has_room) || self.session.is_lingering()
    }
}

/// The readiness of a connection, and the queues of the turn that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A read may return bytes: set by an event, cleared by a read that drained the socket.
    pub(crate) const READABLE: u8 = 1;
    /// A write may take bytes: set by an event, cleared by a write that did not take all.
    pub(crate) const WRITABLE: u8 = 2;
    /// The poller has seen the peer end its side, so a short read does not mean that the socket is drained.
    pub(crate) const END_SEEN: u8 = 4;
    /// In the run queue.
    pub(crate) const QUEUED: u8 = 8;
    /// In the list of connections that wait for the journal: neither read nor written.
    pub(crate) const HELD: u8 = 16;
    /// It moves many bytes at a time: visited after the others, and for a limited number of bytes per turn.
    pub(crate) const BULK: u8 = 32;
    /// In the list of connections that are not read until memory is free.
    pub(crate) const STARVED: u8 = 64;
    /// It was accepted at the admin endpoint.
    pub(crate) const ADMIN: u8 = 128;

    /// A new socket takes writes. The first event reports whether there is something to read.
    pub(crate) fn new() -> Self {
        Self(Self::WRITABLE)
    }

    /// Adds what the poller reports. A read of a stream that has ended may return bytes as well.
    pub(crate) fn note(&mut self, readable: bool, writable: bool, ended: bool) {
        let flag = |is_set: bool, flag: u8| u8::from(is_set) * flag;
        self.0 |= flag(readable || ended, Self::READABLE);
        self.0 |= flag(writable, Self::WRITABLE);
        self.0 |= flag(ended, Self::END_SEEN);
    }

    /// A read of up to `bytes_max` bytes has returned `bytes`, at least one.
    #[inline]
    pub(crate) fn note_read(&mut self, bytes: usize, bytes_max: usize) {
        // A short read has drained the socket; what comes later brings an event of its own. Only the end of the
        // stream may already have had its event.
        if bytes >= bytes_max {
            self.insert(Self::BULK);
        } else if !self.contains(Self::END_SEEN) {
            self.remove(Self::READABLE);
        }
    }

    /// Whether any of `flags` is set.
    pub(crate) fn contains(self, flags: u8) -> bool {
        self.0 & flags != 0
    }

    pub(crate) fn insert(&mut self, flag: u8) {
        self.0 |= flag;
    }

    pub(crate) fn remove(&mut self, flag: u8) {
        self.0 &= !flag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::service::Output;
    use crate::service::message::Message;

    fn conn(address: SocketAddr) -> Conn<()> {
        Conn {
            stream: (),
            peer: peer_addr::PeerAddrs::default().intern(address),
            generation: 0,
            endpoint: 0,
            session: StreamSession::new(),
            flags: Flags::new(),
            buffers: NO_BUFFERS,
            link: Link::UNLINKED,
        }
    }

    fn v4_peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    /// Its peer has sent what is refused.
    fn end(conn: &mut Conn<()>) {
        let mut answer = Vec::new();
        let mut out = Output::new(v4_peer(), &mut answer, None);
        let _ = conn.session.receive_first(&Message::new(10), b"x", &mut out);
    }

    #[test]
    fn a_peer_that_does_not_read_its_answers_is_not_read_from() {
        let mut conn = conn(v4_peer());
        assert!(conn.wants_read(10, 10) && !conn.wants_read(11, 10));
        conn.flags.insert(Flags::HELD);
        assert!(!conn.wants_read(0, 10));
        conn.flags.remove(Flags::HELD);
        end(&mut conn);
        assert!(!conn.wants_read(0, 10), "nothing is read behind the last answer");
        let _ = conn.session.flushed();
        assert!(conn.wants_read(0, 10), "what still comes is discarded");
    }

    #[test]
    fn a_connection_reads_freely_while_it_is_readable_open_and_neither_held_nor_storing_bytes() {
        let mut conn = conn(v4_peer());
        assert!(!conn.reads_freely(), "no event has reported bytes");
        conn.flags.note(true, false, false);
        assert!(conn.reads_freely());
        conn.flags.insert(Flags::HELD);
        assert!(!conn.reads_freely());
        conn.flags.remove(Flags::HELD);
        conn.buffers = 0;
        assert!(!conn.reads_freely() && conn.has_buffers());
        conn.buffers = NO_BUFFERS;
        assert!(conn.reads_freely() && !conn.has_buffers());
        end(&mut conn);
        assert!(!conn.reads_freely());
    }

    #[test]
    fn a_connection_is_idle_while_no_byte_of_it_is_known() {
        let mut conn = conn(v4_peer());
        assert!(conn.is_idle());
        conn.flags.insert(Flags::READABLE);
        assert!(!conn.is_idle());
        conn.flags.remove(Flags::READABLE);
        conn.buffers = 0;
        assert!(!conn.is_idle());
        conn.buffers = NO_BUFFERS;
        end(&mut conn);
        assert!(!conn.is_idle());
    }

    #[test]
    fn each_report_of_the_poller_adds_its_flags_and_removes_none() {
        for (report, flags) in [
            ((false, false, false), 0),
            ((true, false, false), Flags::READABLE),
            ((false, true, false), Flags::WRITABLE),
            ((false, false, true), Flags::READABLE | Flags::END_SEEN),
        ] {
            for before in [0, Flags::READABLE, Flags::WRITABLE, Flags::END_SEEN, Flags::HELD] {
                let mut noted = Flags(before);
                noted.note(report.0, report.1, report.2);
                assert_eq!(noted, Flags(before | flags), "{report:?} in addition to {before}");
            }
        }
    }

    #[test]
    fn a_short_read_has_drained_the_socket_unless_the_end_was_seen() {
        for (before, bytes, after) in [
            (Flags::READABLE, 1, 0),
            (Flags::READABLE | Flags::END_SEEN, 1, Flags::READABLE | Flags::END_SEEN),
            (Flags::READABLE, 2, Flags::READABLE | Flags::BULK),
        ] {
            let mut flags = Flags(before);
            flags.note_read(bytes, 2);
            assert_eq!(flags, Flags(after), "{bytes} of 2 bytes with {before}");
        }
    }
}
