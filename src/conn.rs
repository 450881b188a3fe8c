//! One connection: its state, what it wants, and the bytes it could not pass on yet.
//!
//! All that changes a connection's state is [`State::after`]. What a connection wants to read or write is
//! computed from its state and its unsent bytes, never stored. This file knows bytes and services, not the
//! poller, the table or the record; whoever calls it acts on what it returns.

use std::fmt;

use crate::deadlines::Link;
use crate::peers::PeerKey;
use crate::service::{Next, Progress};

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
    /// Whether bytes of the peer are of use now. Backpressure is the one comparison: a peer that does not
    /// take its answers is not asked for more.
    pub(crate) fn wants_read(&self, unsent_bytes: usize, unsent_bytes_max: usize) -> bool {
        match self.state {
            State::Open => unsent_bytes <= unsent_bytes_max && !self.flags.contains(Flags::HELD),
            State::Lingering => true,
            State::Ending | State::Finishing | State::Closed => false,
        }
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

    pub(crate) fn contains(self, flag: u8) -> bool {
        self.0 & flag != 0
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
        unread.extend_from_slice(&fresh[progress.consumed..]);
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
    if progress.next != Next::Continue {
        *unread = Vec::new();
    }
    progress
}
