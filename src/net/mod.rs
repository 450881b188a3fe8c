//! The interface to the network: all that the event loop and the load generator ask of a kernel, as traits.
//!
//! | trait | concern |
//! |---|---|
//! | [`StreamIo`], [`DatagramIo`] | reading and writing |
//! | [`Listen`] | accepting connections, receiving from any peer |
//! | [`Poller`] | waiting for events |
//! | [`StopRequests`] | signals and other requests to stop |
//! | [`Supervision`] | reports to a service manager |
//! | [`Clock`] | the monotonic clock and the wall clock |
//! | [`Secrets`] | random keys |
//!
//! [`Net`] is all of them, which is what a server needs. The real one is [`kernel::KernelNet`], on `mio`; the
//! loop is compiled for it without indirection. Tests use a simulated network, which has a simulated clock.

#[cfg(feature = "cli")]
mod connect;
mod datagram_io;
pub(crate) mod fd_limit;
pub mod kernel;
#[cfg(feature = "cli")]
pub(crate) mod kernel_drops;
#[cfg(feature = "cli")]
pub(crate) mod notify;
pub(crate) mod output;
#[cfg(feature = "signals")]
pub(crate) mod signals;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sockets;
pub(crate) mod stderr;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::conn::deadlines::Tick;
pub use crate::conn::hash_key::HashKey;
pub use crate::conn::token::Token;
#[cfg(feature = "cli")]
pub(crate) use connect::{ClientNet, Connect, PreciseTime};
pub(crate) use datagram_io::HAS_UDP;
pub use datagram_io::{Datagram, DatagramIo, receive_unbatched, send_unbatched};

/// A network that a server can run on.
///
/// Every source is registered once, for reading and writing, edge-triggered: an event reports that something
/// has changed, and none follows until an operation has returned [`io::ErrorKind::WouldBlock`] or has moved
/// fewer bytes than requested. Nothing blocks but [`poll`](Poller::poll).
pub trait Net: Listen + Poller + StopRequests + Supervision + Clock + Secrets {}

impl<N: Listen + Poller + StopRequests + Supervision + Clock + Secrets> Net for N {}

/// Reads and writes streams of bytes.
pub trait StreamIo {
    /// A connection's stream.
    type Stream;

    /// Reads; 0 is the end of the peer's side.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, or the end of the connection.
    fn read(&mut self, stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes, and returns how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, or the end of the connection.
    fn write(&mut self, stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;

    /// Makes the poller report bytes only when `bytes` have arrived, or the stream can bring no more. With 1, any
    /// bytes are reported, also those that have arrived before. It is a hint: a network may report more.
    fn set_low_water_mark(&mut self, _stream: &Self::Stream, _bytes: usize) {}

    /// Ends our side of the stream.
    ///
    /// # Errors
    /// The connection is gone.
    fn half_close(&mut self, stream: &Self::Stream) -> io::Result<()>;

    /// Takes the error that has ended the connection, if there is one.
    fn take_error(&mut self, stream: &Self::Stream) -> Option<io::Error>;

    /// Makes closing the stream reset the connection, if the network can do that.
    #[cfg(feature = "handlers")]
    fn reset_on_close(&mut self, stream: &Self::Stream) {
        let _ = stream;
    }

    /// Closes the stream. No later poll returns an event of it.
    fn close(&mut self, stream: Self::Stream);
}

/// Opens the sockets of a server.
pub trait Listen: StreamIo + DatagramIo {
    /// Accepts connections.
    type Listener;

    /// Listens at `address`; returns the address with the port that was really taken.
    ///
    /// # Errors
    /// The address cannot be listened at.
    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(Self::Listener, SocketAddr)>;

    /// Receives datagrams at `address`; returns the address with the port that was really taken.
    ///
    /// # Errors
    /// The address cannot be bound.
    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Takes the next waiting connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; otherwise see [`AcceptFailure::of`].
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Makes the poller report events of `stream`, with `token`.
    ///
    /// # Errors
    /// The poller has no room.
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Begins to connect to another server. [`register`](Self::register) follows; the stream is open once
    /// [`connected`](Self::connected) returns true, which is asked after each event. By default it fails: such a network has no
    /// other servers.
    ///
    /// # Errors
    /// No descriptor, port or memory is left, or the connection is known at once to be impossible.
    #[cfg(feature = "handlers")]
    fn dial(&mut self, address: SocketAddr) -> io::Result<Self::Stream> {
        let _ = address;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether a stream that [`dial`](Self::dial) has returned is open.
    ///
    /// # Errors
    /// Why it will not be.
    #[cfg(feature = "handlers")]
    fn connected(&mut self, stream: &Self::Stream) -> io::Result<bool> {
        let _ = stream;
        Ok(true)
    }

    /// Closes a listener. No later poll returns an event of it, even if another process has it too.
    fn close_listener(&mut self, listener: Self::Listener) {
        drop(listener);
    }

    /// Closes a socket for datagrams; the same holds for it.
    fn close_socket(&mut self, socket: Self::Socket) {
        drop(socket);
    }
}

/// Waits for events.
pub trait Poller {
    /// Allocates what polls for up to `events_max` events need, which is otherwise done by the first one.
    fn allocate(&mut self, _events_max: usize) {}

    /// Waits until an event is there or `timeout` is over, and passes up to `events_max` events to `on_event`.
    /// `None` waits without a limit.
    ///
    /// # Errors
    /// The poller is broken; an interrupted wait is not an error.
    fn poll(
        &mut self,
        events_max: usize,
        timeout: Option<Duration>,
        on_event: impl FnMut(Event),
    ) -> io::Result<()>;

    /// What other threads end a wait with. By default nothing does: such a network is driven by the only thread there is.
    #[cfg(feature = "handlers")]
    fn waker(&self) -> Waker {
        Waker::new(|| Ok(()))
    }
}

/// Ends the wait of a poller, from any thread.
#[cfg(feature = "handlers")]
#[derive(Clone)]
pub struct Waker(std::sync::Arc<dyn Fn() -> io::Result<()> + Send + Sync>);

#[cfg(feature = "handlers")]
impl Waker {
    /// Ends waits by calling `wake`.
    #[must_use]
    pub fn new(wake: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(wake))
    }

    /// Ends the current wait, or the next one.
    ///
    /// # Errors
    /// The poller is broken.
    pub fn wake(&self) -> io::Result<()> {
        (self.0)()
    }
}

#[cfg(feature = "handlers")]
impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// Receives requests: to stop, such as SIGTERM, and to open the journal again.
pub trait StopRequests {
    /// The number of requests since the last call. An event with [`Token::STOP`] precedes it.
    fn stop_requests(&mut self) -> u32;

    /// Whether it was requested to open the journal again (SIGHUP) since the last call. The same event precedes it.
    fn was_reopen_requested(&mut self) -> bool {
        false
    }

    /// Whether it was requested to log the counters (SIGUSR1) since the last call. The same event precedes it.
    fn was_summary_requested(&mut self) -> bool {
        false
    }
}

/// Reports to what supervises the server, such as a service manager; by default nothing does.
pub trait Supervision {
    /// Milliseconds until the end of a turn is to be reported, even if nothing happens.
    fn supervision_wait_ms(&self, _now: Tick) -> Option<u32> {
        None
    }

    /// A turn has ended, with this many connections, and messages since the start.
    fn turn_ended(&mut self, _now: Tick, _connections: usize, _messages: u64) {}

    /// The server has been asked to stop.
    fn stop_began(&mut self) {}

    /// The journal was opened again, by request.
    fn journal_reopened(&mut self) {}
}

/// The clocks of a server.
pub trait Clock {
    /// The monotonic clock.
    fn now(&mut self) -> Tick;

    /// The monotonic clock in nanoseconds, for measuring how long something takes.
    fn monotonic_ns(&mut self) -> u64;

    /// The wall clock: milliseconds since the epoch.
    fn unix_ms(&mut self) -> i64;

    /// The same in seconds.
    fn unix_seconds(&mut self) -> i64 {
        self.unix_ms().div_euclid(1000)
    }
}

/// The random numbers of a server.
pub trait Secrets {
    /// The key of a table whose entries peers choose; random unless a simulation draws it.
    fn hash_key(&mut self) -> HashKey {
        HashKey::random()
    }
}

/// What the poller reports of a source. All of it is a hint: the outcome of reading and writing decides.
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
    WouldBlock,
    /// This connection failed before it was accepted; the next may not.
    ThisConnection,
    /// The system is out of descriptors or memory; trying at once again would spin.
    Exhausted,
}

impl AcceptFailure {
    /// Linux passes errors of the new connection on to accept (`accept(2)`), so all but the known signs of
    /// exhaustion are taken to concern this connection only.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::WouldBlock, _) => Self::WouldBlock,
            (io::ErrorKind::OutOfMemory, _) | (_, Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)) => {
                Self::Exhausted
            }
            _ => Self::ThisConnection,
        }
    }
}
