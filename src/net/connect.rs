//! What the load generator asks of a network besides: to connect, and a clock and a poller that are finer than
//! a millisecond.

use std::io;
use std::net::SocketAddr;

use super::{DatagramIo, Event, StopRequests, StreamIo, Token};

/// A network that a client of very many connections can run on.
pub(crate) trait ClientNet: Connect + PreciseTime + StopRequests {}

impl<N: Connect + PreciseTime + StopRequests> ClientNet for N {}

/// Opens the sockets of a client.
pub(crate) trait Connect: StreamIo + DatagramIo {
    /// Begins to connect to `peer`, from `source` if one is given (from any port if its port is 0). The stream is open
    /// once a write takes something, or [`connected`](Self::connected) returns true, which is worth asking after an
    /// event. [`watch`](Self::watch) or [`watch_reads`](Self::watch_reads) follows.
    ///
    /// # Errors
    /// `AddrNotAvailable` when no port of the source is free; `AddrInUse` when the port of the source is not, or when
    /// the stream is connected to itself, since no process listens at the port and the local port chosen is the same;
    /// out of descriptors or memory; refused, or unreachable, as far as that is known at once.
    fn connect(&mut self, source: Option<SocketAddr>, peer: SocketAddr) -> io::Result<Self::Stream>;

    /// Makes the poller report all events of the stream. What is written goes out at once, whatever was written before.
    ///
    /// # Errors
    /// The poller has no room.
    fn watch(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Makes the poller report what can be read from the stream. All that is ever written to it is written, by one
    /// write.
    ///
    /// # Errors
    /// The poller has no room.
    fn watch_reads(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// The address that a stream was opened from.
    ///
    /// # Errors
    /// The connection is gone.
    fn local_address(stream: &Self::Stream) -> io::Result<SocketAddr>;

    /// Whether the connection is open.
    ///
    /// # Errors
    /// Why it will not be.
    fn connected(&mut self, stream: &Self::Stream) -> io::Result<bool>;

    /// A socket for datagrams to and from `peer` only, with events of `token`.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    fn connect_socket(
        &mut self,
        source: Option<SocketAddr>,
        peer: SocketAddr,
        token: Token,
    ) -> io::Result<Self::Socket>;

    /// The address that a socket was opened from.
    ///
    /// # Errors
    /// It is not known.
    fn local_address_of_socket(socket: &Self::Socket) -> io::Result<SocketAddr>;
}

/// A clock and a poller for a schedule.
pub(crate) trait PreciseTime {
    /// The monotonic clock, in nanoseconds.
    fn now_ns(&mut self) -> u64;

    /// Waits as [`Poller::poll`](super::Poller::poll) does, from `now_ns` until `until_ns`. With `spin`, it does not
    /// wait if that moment is near, and may return some time before it, so that it is not late. Returns whether it
    /// did not wait for this reason.
    ///
    /// # Errors
    /// The poller is broken.
    fn poll_until(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        now_ns: u64,
        until_ns: u64,
        spin: bool,
    ) -> io::Result<bool>;
}
