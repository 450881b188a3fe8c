//! The seam to the network: all that the event loop asks of a kernel, as a trait.
//!
//! The real one is [`kernel::KernelNet`], on `mio`; the loop is compiled for it without indirection. Tests
//! put a simulated network in its place. Time comes through the same seam, since a simulated network has a
//! simulated clock.

pub(crate) mod fd_limit;
pub mod kernel;
pub mod sockets;
pub mod unbatched;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

pub use crate::conn::deadlines::Tick;
pub use crate::conn::token::Token;

/// A network, its poller and its clocks.
///
/// Every source is registered once, for reading and writing, edge-triggered: an event tells that something
/// has changed, and none follows until an operation has said [`io::ErrorKind::WouldBlock`] or has moved
/// fewer bytes than it was asked to. Nothing blocks but `poll`.
pub trait Net {
    /// Accepts connections.
    type Listener;
    /// A connection's stream of bytes.
    type Stream;
    /// Sends and receives datagrams.
    type Socket;

    /// Listens at `address`; returns the address with the port that was really taken.
    ///
    /// # Errors
    /// The address can not be listened at.
    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(Self::Listener, SocketAddr)>;

    /// Receives datagrams at `address`; returns the address with the port that was really taken.
    ///
    /// # Errors
    /// The address can not be bound.
    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Takes the next connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; else what [`AcceptFailure::of`] makes of it.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Lets events of `stream` come, with `token`.
    ///
    /// # Errors
    /// The poller has no room.
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Reads; 0 is the end of the peer's side.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, or the end of the connection.
    fn read(&mut self, stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes, and says how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, or the end of the connection.
    fn write(&mut self, stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;

    /// Ends our side of the stream.
    ///
    /// # Errors
    /// The connection is gone.
    fn half_close(&mut self, stream: &Self::Stream) -> io::Result<()>;

    /// The error that has ended the connection, if one has.
    fn failure(&mut self, stream: &Self::Stream) -> Option<io::Error>;

    /// Closes the stream. No event of it comes with a later poll.
    fn close(&mut self, stream: Self::Stream);

    /// Receives a datagram, cut to the length of `buffer`.
    ///
    /// # Errors
    /// `WouldBlock`, or an error that concerns one datagram.
    fn receive(&mut self, socket: &Self::Socket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends a datagram.
    ///
    /// # Errors
    /// It was not sent; that concerns this datagram alone.
    fn send(&mut self, socket: &Self::Socket, datagram: &[u8], peer: SocketAddr) -> io::Result<()>;

    /// Receives datagrams, each into `slot_bytes` of `buffer` of its own and cut to that, and appends to
    /// `received`, which is empty, what they are. Returns whether more may wait: if not, an event will tell
    /// of the next. An error concerns a datagram that was sent earlier, and is not told.
    fn receive_batch(
        &mut self,
        socket: &Self::Socket,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> bool {
        unbatched::receive(self, socket, buffer, slot_bytes, received)
    }

    /// Sends `datagrams`, at least one, whose bytes lie in `bytes`, and says how many of them were sent. What
    /// comes behind those is to be sent again: the first of it may have failed.
    ///
    /// # Errors
    /// The first was not sent; that concerns this datagram alone, if it is not `Interrupted`.
    fn send_batch(
        &mut self,
        socket: &Self::Socket,
        datagrams: &[Datagram],
        bytes: &[u8],
    ) -> io::Result<usize> {
        unbatched::send(self, socket, datagrams, bytes)
    }

    /// Waits until something has happened or `timeout` is over, and appends up to `events_max` events.
    /// `None` waits for ever.
    ///
    /// # Errors
    /// The poller is broken; an interrupted wait is not an error.
    fn poll(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// How often the server was asked to stop since the last call.
    fn stop_requests(&mut self) -> u32;

    /// The monotonic clock.
    fn now(&mut self) -> Tick;

    /// The clock of the wall: seconds since the epoch.
    fn unix_seconds(&mut self) -> i64;
}

/// What a client of very many connections asks of a network besides: to connect, and a clock that is finer
/// than the deadlines'.
#[cfg(feature = "cli")]
pub trait Dial: Net {
    /// Asks for a connection to `peer`, from `source` if one is given, and lets its events come. It is
    /// there once [`connected`](Self::connected) says so, to be asked when an event has come.
    ///
    /// # Errors
    /// `AddrNotAvailable` when no port of the source is free; out of descriptors or memory; refused, or
    /// unreachable, as far as that is known at once.
    fn connect(&mut self, source: Option<IpAddr>, peer: SocketAddr, token: Token)
    -> io::Result<Self::Stream>;

    /// Whether the connection is there.
    ///
    /// # Errors
    /// Why there will be none. `AddrInUse`: it has reached itself, since nobody listens and the port it was
    /// given is the one it asked for.
    fn connected(&mut self, stream: &Self::Stream) -> io::Result<bool>;

    /// A socket for datagrams to and from `peer` only, with events of `token`.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    fn connect_socket(
        &mut self,
        source: Option<IpAddr>,
        peer: SocketAddr,
        token: Token,
    ) -> io::Result<Self::Socket>;

    /// The monotonic clock, in nanoseconds.
    fn now_ns(&mut self) -> u64;

    /// Waits as [`poll`](Net::poll) does, from `now_ns` until `until_ns` at the latest and some microseconds
    /// after it at most.
    ///
    /// # Errors
    /// The poller is broken.
    fn poll_until(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        now_ns: u64,
        until_ns: u64,
    ) -> io::Result<()>;
}

/// A datagram in a batch: where its bytes lie, and between whom it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Its place in the buffer of the batch.
    pub bytes: Range<usize>,
    /// Who has sent it, or is sent it.
    pub peer: SocketAddr,
    /// The address of this machine that it was sent to, and that the answer leaves from. `None`: the one
    /// that the socket is bound to or, where it is bound to all of them, the one that the kernel chooses.
    pub local: Option<IpAddr>,
}

/// What the poller says of a source. All of it is a hint: the outcome of reading and writing decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The source.
    pub token: Token,
    /// A read may bring something.
    pub readable: bool,
    /// A write may take something.
    pub writable: bool,
    /// A short read does not mean that nothing is left: the peer has ended its side, the connection is
    /// broken, or urgent data, at which reads stop, is on its way.
    pub ended: bool,
}

/// What a failed accept means for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptFailure {
    /// No connection waits.
    NoneWaits,
    /// That one connection failed before it was taken; the next may be fine.
    ThatOne,
    /// The system is out of descriptors or memory; trying at once again would spin.
    Exhausted,
}

impl AcceptFailure {
    /// Linux passes errors of the new connection on to accept (`accept(2)`), so all but the known signs of
    /// exhaustion are taken to concern that one.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::WouldBlock, _) => Self::NoneWaits,
            (io::ErrorKind::OutOfMemory, _) | (_, Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)) => {
                Self::Exhausted
            }
            _ => Self::ThatOne,
        }
    }
}
