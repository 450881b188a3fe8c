//! One connection: its state, what it wants, and the bytes it could not pass on yet.
//!
//! All that changes a connection's state is [`State::after`]. What a connection wants to read or write is
//! computed from its state and its unsent bytes, never stored. This file knows bytes and services, not the
//! poller, the table or the record; whoever calls it acts on what it returns.

pub(crate) mod counters;
pub(crate) mod deadlines;
pub(crate) mod peer_addr;
pub(crate) mod reply_rules;
pub(crate) mod sessions;
pub(crate) mod table;
pub(crate) mod token;

use std::fmt;

use crate::conn::deadlines::Link;
use crate::conn::peer_addr::PeerKey;
use crate::service::{Action, Progress};

/// Half a cache line for each idle connection: this, and nothing else, is what holding one costs.
#[derive(Debug)]
pub(crate) struct Conn<S> {
    pub(crate) stream: S,
    pub(crate) peer: PeerKey,
    /// Tells this tenant of the slot from those before it.
    pub(crate) generation: u16,
    /// Which listener it came in on.
    pub(crate) endpoint: u8,
    pub(crate) state: State,
    pub(crate) flags: Flags,
    /// Why it will be closed, once `state` has left `Open`.
    pub(crate) reason: CloseReason,
    /// Where its bytes on the way are held; [`NO_PENDING`] when there are none.
    pub(crate) pending: u32,
    /// While `Open` in the queue of idle connections, while `Lingering` in that of lingering ones.
    pub(crate) link: Link,
}

/// No bytes are on the way.
pub(crate) const NO_PENDING: u32 = u32::MAX;

impl<S> Conn<S> {
    /// Whether it is open, and there is nothing to do for it until an event says so.
    pub(crate) fn is_drained(&self) -> bool {
        self.state == State::Open && self.pending == NO_PENDING && !self.flags.contains(Flags::READABLE)
    }

    /// Whether bytes of the peer are of use now. Backpressure is the one comparison: a peer that does not
    /// take its answers is not asked for more.
    pub(crate) fn wants_read(&self, unsent_bytes: usize, unsent_bytes_max: usize) -> bool {
        let is_heard = unsent_bytes <= unsent_bytes_max && !self.flags.contains(Flags::HELD);
        (self.state == State::Open && is_heard) || self.state == State::Lingering
    }
}

/// What is true of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// What the peer sends goes to the service, and what the service answers goes to the peer.
    Open,
    /// The service has given its last answer, which has not left yet. Nothing more is read.
    Ending,
    /// As `Ending`, and the peer has ended its side too: nothing of it is left unread.
    Finishing,
    /// Everything is sent and our side is ended. What the peer still sends is read and thrown away: if we
    /// closed with bytes unread, the kernel would reset the connection and with it the last answer.
    Lingering,
    /// Over; the slot can go to another.
    Closed,
}

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The peer has ended its side, and all that it sent is read.
    PeerEnded,
    /// The service has given its last answer.
    ServiceEnded,
    /// Nothing is left unsent.
    Flushed,
}

impl State {
    /// The state after `signal`. Entering `Lingering` ends our side, entering `Closed` closes. Errors and
    /// deadlines are not in the table: they close a connection in any state.
    pub(crate) fn after(self, signal: Signal) -> Self {
        match (self, signal) {
            (Self::Open, Signal::Flushed) => Self::Open,
            (Self::Open | Self::Ending, Signal::ServiceEnded) => Self::Ending,
            (Self::Open | Self::Ending | Self::Finishing, Signal::PeerEnded)
            | (Self::Finishing, Signal::ServiceEnded) => Self::Finishing,
            (Self::Ending | Self::Lingering, Signal::Flushed) | (Self::Lingering, Signal::ServiceEnded) => {
                Self::Lingering
            }
            (Self::Finishing, Signal::Flushed)
            | (Self::Lingering, Signal::PeerEnded)
            | (Self::Closed, Signal::PeerEnded | Signal::ServiceEnded | Signal::Flushed) => Self::Closed,
        }
    }
}

/// What is remembered of a connection's readiness and of its place in the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A read may bring something: set by an event, cleared by a read that drained the socket.
    pub(crate) const READABLE: u8 = 1;
    /// A write may take something: set by an event, cleared by a write that did not take all.
    pub(crate) const WRITABLE: u8 = 2;
    /// The poller has seen the peer end its side, so a short read does not mean that no more will come.
    pub(crate) const END_SEEN: u8 = 4;
    /// In the run queue.
    pub(crate) const QUEUED: u8 = 8;
    /// What is unsent waits for the record.
    pub(crate) const HELD: u8 = 16;

    /// A fresh socket takes writes; whether it has something to read, the first event tells.
    pub(crate) fn fresh() -> Self {
        Self(Self::WRITABLE)
    }

    /// What the poller says: what ends may bring something as well.
    pub(crate) fn note(&mut self, readable: bool, writable: bool, ended: bool) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        self.0 |= flag(readable || ended, Self::READABLE);
        self.0 |= flag(writable, Self::WRITABLE) | flag(ended, Self::END_SEEN);
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

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The service, or the peer between two frames, ended the stream.
    Served,
    /// The peer ended its side inside a frame.
    Truncated,
    /// The peer's bytes were refused.
    BadInput,
    /// The table was full when the peer connected.
    Full,
    /// A frame was not whole in time.
    FrameTimeout,
    /// No frame began in time.
    IdleTimeout,
    /// The peer took nothing of its answers in time.
    WriteTimeout,
    /// The peer reset the connection.
    Reset,
    /// The network failed in another way.
    Failed,
    /// The connection could not be registered with the poller.
    Unregistered,
    /// The server stopped.
    Stopped,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Served,
        Self::Truncated,
        Self::BadInput,
        Self::Full,
        Self::FrameTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::Reset,
        Self::Failed,
        Self::Unregistered,
        Self::Stopped,
    ];

    /// The reason that an error of reading or writing stands for.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        if matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected) {
            Self::Reset
        } else {
            Self::Failed
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Served => "served",
            Self::Truncated => "the peer ended inside a frame",
            Self::BadInput => "bad input",
            Self::Full => "the server is full",
            Self::FrameTimeout => "a frame was not whole in time",
            Self::IdleTimeout => "idle for too long",
            Self::WriteTimeout => "the peer took nothing for too long",
            Self::Reset => "reset by the peer",
            Self::Failed => "the network failed",
            Self::Unregistered => "the poller did not take it",
            Self::Stopped => "the server stopped",
        })
    }
}

/// Bytes of a connection that are on the way, held only while there are any.
///
/// ```text
///   unread:  the beginning of a frame, never a whole one
///   unsent:  answered, and sent up to `sent`:   0 <= sent <= unsent.len()
/// ```
#[derive(Debug)]
pub(crate) struct Pending {
    /// The connection they belong to.
    pub(crate) conn: u32,
    /// Bytes thrown away while lingering.
    pub(crate) lingered_bytes: usize,
    /// While `unread` is not empty, in the queue of frames that have begun.
    pub(crate) frame_link: Link,
    /// While the peer takes nothing of `unsent`, in the queue of such peers.
    pub(crate) write_link: Link,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
}

impl Pending {
    pub(crate) fn of(conn: u32) -> Self {
        Self {
            conn,
            lingered_bytes: 0,
            frame_link: Link::LOOSE,
            write_link: Link::LOOSE,
            unread: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
        }
    }

    pub(crate) fn unread(&mut self) -> &mut Vec<u8> {
        &mut self.unread
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.unsent[self.sent..]
    }

    /// Holds `answer` until it can leave, behind what is held already.
    pub(crate) fn hold(&mut self, answer: &[u8]) {
        // What has left is let go of before the buffer would grow, so that it stays in proportion to
        // what is unsent.
        if self.sent > 0 && self.unsent.len() + answer.len() > self.unsent.capacity() {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        self.unsent.extend_from_slice(answer);
        self.check();
    }

    /// `bytes` more have left.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        self.check();
        if self.sent == self.unsent.len() {
            self.unsent = Vec::new();
            self.sent = 0;
        }
    }

    /// Whether nothing is on the way any more.
    pub(crate) fn is_over(&self) -> bool {
        self.unread.is_empty() && self.unsent().is_empty() && self.lingered_bytes == 0
    }

    fn check(&self) {
        assert!(self.sent <= self.unsent.len(), "no more is sent than was there");
    }
}

/// Gives `receive` what has come, behind what it left the last time, and keeps in `unread` what it leaves
/// now.
///
/// As long as frames come whole, nothing is copied: `unread` stays empty and without memory.
pub(crate) fn feed(unread: &mut Vec<u8>, fresh: &[u8], receive: impl FnOnce(&[u8]) -> Progress) -> Progress {
    let progress = if unread.is_empty() {
        let progress = receive(fresh);
        if progress.consumed < fresh.len() {
            unread.extend_from_slice(&fresh[progress.consumed..]);
        }
        progress
    } else {
        unread.extend_from_slice(fresh);
        let progress = receive(unread);
        if progress.consumed > 0 {
            // Copied, not moved down: a long frame must not leave its memory to the next one's beginning.
            *unread = unread[progress.consumed..].to_vec();
        }
        progress
    };
    if !matches!(progress.action, Action::Continue) {
        *unread = Vec::new();
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::service::message::{ACKNOWLEDGEMENT, Message};
    use crate::service::{Output, StreamService};
    use std::net::SocketAddr;

    const STATES: [State; 5] =
        [State::Open, State::Ending, State::Finishing, State::Lingering, State::Closed];
    const SIGNALS: [Signal; 3] = [Signal::PeerEnded, Signal::ServiceEnded, Signal::Flushed];

    #[test]
    fn every_state_has_its_answer_to_every_signal() {
        use State::{Closed, Ending, Finishing, Lingering, Open};
        let table = [
            // peer ended, service ended, flushed
            [Finishing, Ending, Open],
            [Finishing, Ending, Lingering],
            [Finishing, Finishing, Closed],
            [Closed, Lingering, Lingering],
            [Closed, Closed, Closed],
        ];
        for (state, row) in STATES.into_iter().zip(table) {
            for (signal, after) in SIGNALS.into_iter().zip(row) {
                assert_eq!(state.after(signal), after, "{state:?} after {signal:?}");
            }
        }
    }

    #[test]
    fn no_signal_leads_back() {
        // In the order of the enum a connection only ever goes on, but for `Ending` and `Finishing`, which
        // differ in what the peer has done.
        for state in STATES {
            for signal in SIGNALS {
                assert!(state.after(signal) as u8 >= state as u8, "{state:?} after {signal:?}");
            }
        }
    }

    #[test]
    fn a_peer_that_does_not_take_its_answers_is_not_read_from() {
        let mut peers = peer_addr::Peers::default();
        let mut conn = Conn {
            stream: (),
            peer: peers.keep(SocketAddr::from(([127, 0, 0, 1], 1))),
            generation: 0,
            endpoint: 0,
            state: State::Open,
            flags: Flags::fresh(),
            reason: CloseReason::Served,
            pending: NO_PENDING,
            link: Link::LOOSE,
        };
        assert!(conn.wants_read(10, 10) && !conn.wants_read(11, 10));
        conn.flags.insert(Flags::HELD);
        assert!(!conn.wants_read(0, 10));
        for (state, wants) in [
            (State::Ending, false),
            (State::Finishing, false),
            (State::Lingering, true),
            (State::Closed, false),
        ] {
            conn.state = state;
            assert_eq!(conn.wants_read(0, 10), wants, "{state:?}");
        }
    }

    /// Feeds `pieces` to the service one after the other, as reads bring them, and returns what it answered.
    fn answers(pieces: &[&[u8]]) -> Vec<u8> {
        let service = Message::new(1000);
        let (mut unread, mut answer) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut answer, None);
            feed(&mut unread, piece, |unread| service.received(unread, false, &mut out));
        }
        assert!(unread.is_empty(), "nothing is left of whole frames");
        answer
    }

    fn wire(bodies: &[&str]) -> Vec<u8> {
        let mut wire = Vec::new();
        bodies.iter().for_each(|body| frame::append(body, &mut wire));
        wire
    }

    #[test]
    fn frames_split_at_any_two_bytes_are_each_acknowledged_once() {
        let wire = wire(&["größe", "", "b"]);
        let whole = answers(&[&wire]);
        assert_eq!(whole.len(), 3 * (64 + ACKNOWLEDGEMENT.len()));
        for first in 0..wire.len() {
            for second in first..wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                let pieces: Vec<&[u8]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
                assert_eq!(answers(&pieces), whole, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn frames_that_come_byte_by_byte_are_each_acknowledged_once() {
        let wire = wire(&["one", "two"]);
        let pieces: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(answers(&pieces), answers(&[&wire]));
    }

    #[test]
    fn whole_frames_leave_no_memory_behind_and_a_long_one_none_to_the_next() {
        let keep = |unread: &mut Vec<u8>, fresh: &[u8], consumed| {
            feed(unread, fresh, |_| Progress { consumed, action: Action::Continue });
        };
        let mut unread = Vec::new();
        keep(&mut unread, &[1; 100], 100);
        assert_eq!(unread.capacity(), 0);
        keep(&mut unread, &[1; 9000], 0);
        keep(&mut unread, &[2; 10], 9000);
        assert_eq!(unread, [2; 10]);
        assert!(unread.capacity() < 100);
        keep(&mut unread, &[2; 10], 20);
        assert_eq!(unread.capacity(), 0);
    }

    #[test]
    fn what_follows_the_end_of_the_stream_is_not_kept() {
        for action in [Action::End, Action::Refuse(String::new())] {
            let mut unread = vec![1];
            feed(&mut unread, &[2, 3], |_| Progress { consumed: 1, action });
            assert!(unread.is_empty());
        }
    }

    #[test]
    fn answers_that_a_peer_takes_in_any_portions_leave_once_and_in_order() {
        let answer: Vec<u8> = (0..=255).collect();
        for portion in 1..=256 {
            let mut pending = Pending::of(0);
            let mut taken = Vec::new();
            pending.hold(&answer);
            while !pending.unsent().is_empty() {
                if taken.len() == portion {
                    pending.hold(&answer); // more is answered meanwhile
                }
                let bytes = portion.min(pending.unsent().len());
                taken.extend_from_slice(&pending.unsent()[..bytes]);
                pending.advance(bytes);
            }
            assert_eq!(&taken[..256], answer);
            assert!(taken.len() == 256 || taken[256..] == answer);
            assert!(pending.is_over());
        }
    }

    #[test]
    fn a_slow_peer_holds_memory_in_proportion_to_what_it_has_not_taken() {
        let mut pending = Pending::of(0);
        for _ in 0..10_000 {
            pending.hold(&[0; 100]);
            pending.advance(pending.unsent().len().saturating_sub(500));
        }
        assert!(pending.unsent.capacity() < 5000, "{}", pending.unsent.capacity());
    }
}
