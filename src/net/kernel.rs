//! The kernel's network, on `mio`. No other module uses `mio`.

#![expect(clippy::disallowed_methods, reason = "the clocks are read here")]

#[cfg(feature = "batches")]
pub(crate) mod batch;
pub(crate) mod bound_socket;
#[cfg(any(feature = "cli", feature = "handlers"))]
mod connected;
#[cfg(feature = "cli")]
mod connector;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod low_water;
#[cfg(feature = "batches")]
mod senders;
#[cfg(feature = "cli")]
mod spin;
mod stop_requests;
mod supervision;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Waker};

use self::bound_socket::BoundSocket;
#[cfg(feature = "batches")]
use super::Datagram;
use super::{Clock, DatagramIo, Event, Listen, Poller, Secrets, StreamIo, Tick, Token};
#[cfg(feature = "cli")]
use crate::net::notify::Notifier;
#[cfg(feature = "signals")]
use crate::net::signals::Signals;
use crate::net::sockets::{self, SocketOptions};
#[cfg(feature = "batches")]
use crate::net::{receive_unbatched, send_unbatched};

pub use stop_requests::Stopper;

/// Sockets of the kernel, its poller and its clocks.
pub struct KernelNet {
    poll: Poll,
    events: Events,
    events_max: usize,
    options: SocketOptions,
    started: Instant,
    /// A poller has one waker: only the last one made works.
    waker: Arc<Waker>,
    stop_requests: Arc<AtomicU32>,
    #[cfg(feature = "signals")]
    signals: Option<Signals>,
    #[cfg(feature = "signals")]
    hangups: Option<Signals>,
    #[cfg(feature = "cli")]
    summary_requests: Option<Signals>,
    #[cfg(feature = "signals")]
    was_reopen_requested: bool,
    #[cfg(feature = "cli")]
    timer: Option<connector::Timer>,
    #[cfg(feature = "cli")]
    spin_time: spin::SpinTime,
    #[cfg(feature = "cli")]
    notifier: Option<Box<Notifier>>,
}

/// A socket for datagrams.
#[derive(Debug)]
pub struct DatagramSocket {
    io: UdpSocket,
    #[cfg(feature = "batches")]
    batches: batch::Batches,
}

impl KernelNet {
    /// A poller without sources.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(options: SocketOptions) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(Token::STOP.0))?);
        Ok(Self {
            poll,
            events: Events::with_capacity(0),
            events_max: 0,
            options,
            started: Instant::now(),
            waker,
            stop_requests: Arc::default(),
            #[cfg(feature = "signals")]
            signals: None,
            #[cfg(feature = "signals")]
            hangups: None,
            #[cfg(feature = "cli")]
            summary_requests: None,
            #[cfg(feature = "signals")]
            was_reopen_requested: false,
            #[cfg(feature = "cli")]
            timer: None,
            #[cfg(feature = "cli")]
            spin_time: spin::SpinTime::new(),
            #[cfg(feature = "cli")]
            notifier: None,
        })
    }

    /// Accepts connections from a listener that is open already.
    ///
    /// # Errors
    /// It cannot be registered with the poller.
    pub fn adopt_listener(
        &mut self,
        listener: std::net::TcpListener,
        token: Token,
    ) -> io::Result<(TcpListener, SocketAddr)> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        self.poll.registry().register(&mut listener, mio::Token(token.0), Interest::READABLE)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// Receives datagrams from a socket that is open already.
    ///
    /// # Errors
    /// It cannot be registered with the poller.
    pub fn adopt_socket(
        &mut self,
        socket: std::net::UdpSocket,
        token: Token,
    ) -> io::Result<(DatagramSocket, SocketAddr)> {
        let address = socket.local_addr()?;
        self.adopt_bound(BoundSocket::adopt(socket, address, self.options), token)
    }

    pub(crate) fn adopt_bound(
        &mut self,
        bound: BoundSocket,
        token: Token,
    ) -> io::Result<(DatagramSocket, SocketAddr)> {
        bound.socket.set_nonblocking(true)?;
        let mut io = UdpSocket::from_std(bound.socket);
        self.poll.registry().register(&mut io, mio::Token(token.0), Interest::READABLE)?;
        let socket = DatagramSocket {
            io,
            #[cfg(feature = "batches")]
            batches: bound.batches,
        };
        Ok((socket, bound.address))
    }

    /// Makes the poller report when `descriptor`, to which the journal is written, takes more bytes.
    ///
    /// # Errors
    /// It cannot be registered with the poller: `PermissionDenied` for what never makes a writer wait, such as a plain
    /// file or `/dev/null`.
    pub fn watch_journal(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let token = mio::Token(Token::JOURNAL.0);
        self.poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::WRITABLE)
    }
}

#[cfg(feature = "handlers")]
impl KernelNet {
    /// Makes the poller report events of a descriptor, until it is closed.
    pub(crate) fn watch_source(&mut self, descriptor: RawFd, token: Token) -> io::Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&descriptor), mio::Token(token.0), all)
    }
}

impl StreamIo for KernelNet {
    type Stream = TcpStream;

    fn read(&mut self, mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer)
    }

    fn write(&mut self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    #[cfg(all(feature = "cli", target_os = "linux"))]
    fn set_low_water_mark(&mut self, stream: &TcpStream, bytes: usize) {
        // Without it, there are more events.
        let _ = nix::sys::socket::setsockopt(stream, low_water::ReceiveLowWater, &bytes);
    }

    fn half_close(&mut self, stream: &TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }

    fn take_error(&mut self, stream: &TcpStream) -> Option<io::Error> {
        stream.take_error().unwrap_or_else(Some)
    }

    #[cfg(feature = "handlers")]
    fn reset_on_close(&mut self, stream: &TcpStream) {
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }

    fn close(&mut self, stream: TcpStream) {
        // Closing removes it from the poller, since no other descriptor refers to the socket.
        drop(stream);
    }
}

impl DatagramIo for KernelNet {
    type Socket = DatagramSocket;

    fn receive(&mut self, socket: &DatagramSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        socket.io.recv_from(buffer)
    }

    fn send(&mut self, socket: &DatagramSocket, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        socket.io.send_to(datagram, peer).map(drop)
    }

    #[cfg(feature = "batches")]
    fn receive_batch(
        &mut self,
        socket: &DatagramSocket,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> io::Result<bool> {
        if let Ok(more) = socket.batches.receive(&socket.io, buffer, slot_bytes, received) {
            return more;
        }
        let few_bytes = buffer.len().min(batch::FEW * slot_bytes);
        let more = receive_unbatched(self, socket, &mut buffer[..few_bytes], slot_bytes, received);
        socket.batches.note(received.len());
        more
    }

    #[cfg(feature = "batches")]
    fn send_batch(
        &mut self,
        socket: &DatagramSocket,
        datagrams: &[Datagram],
        bytes: &[u8],
    ) -> io::Result<usize> {
        let by_batch = socket.batches.send(&socket.io, datagrams, bytes);
        by_batch.unwrap_or_else(|_| send_unbatched(self, socket, datagrams, bytes))
    }
}

impl Listen for KernelNet {
    type Listener = TcpListener;

    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(TcpListener, SocketAddr)> {
        self.adopt_listener(sockets::listen(address, self.options)?, token)
    }

    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(DatagramSocket, SocketAddr)> {
        self.adopt_bound(BoundSocket::bind(address, self.options)?, token)
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept()
    }

    fn register(&mut self, stream: &mut TcpStream, token: Token) -> io::Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE;
        #[cfg(target_os = "linux")]
        let all = all | Interest::PRIORITY;
        self.poll.registry().register(stream, mio::Token(token.0), all)
    }

    #[cfg(feature = "handlers")]
    fn dial(&mut self, address: SocketAddr) -> io::Result<TcpStream> {
        sockets::dial(address).map(TcpStream::from_std)
    }

    #[cfg(feature = "handlers")]
    fn connected(&mut self, stream: &TcpStream) -> io::Result<bool> {
        connected::connected(stream)
    }

    // While another process has the socket too, closing it does not remove it from the poller.
    fn close_listener(&mut self, mut listener: TcpListener) {
        let _ = self.poll.registry().deregister(&mut listener);
    }

    fn close_socket(&mut self, mut socket: DatagramSocket) {
        let _ = self.poll.registry().deregister(&mut socket.io);
    }
}

impl Poller for KernelNet {
    fn allocate(&mut self, events_max: usize) {
        if self.events_max != events_max {
            self.events = Events::with_capacity(events_max);
            self.events_max = events_max;
        }
    }

    fn poll(
        &mut self,
        events_max: usize,
        timeout: Option<Duration>,
        on_event: impl FnMut(Event),
    ) -> io::Result<()> {
        self.allocate(events_max);
        let mut polled = self.poll.poll(&mut self.events, timeout);
        // The process may have been stopped and continued: events that have arrived meanwhile must be polled
        // before a connection is found idle. A poll that does not wait is not interrupted again.
        while polled.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            polled = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        }
        polled?;
        let events = self.events.iter().map(|event| Event {
            token: Token(event.token().0),
            readable: event.is_readable(),
            writable: event.is_writable(),
            ended: event.is_read_closed() || event.is_error() || event.is_priority(),
        });
        events.for_each(on_event);
        Ok(())
    }

    #[cfg(feature = "handlers")]
    fn waker(&self) -> super::Waker {
        let waker = self.waker.clone();
        super::Waker::new(move || waker.wake())
    }
}

/// The poller's descriptor, which is readable while there are events: to wait for it in another loop.
impl AsRawFd for KernelNet {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl Clock for KernelNet {
    fn now(&mut self) -> Tick {
        Tick::after(self.started.elapsed())
    }

    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&mut self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Secrets for KernelNet {}

impl std::fmt::Debug for KernelNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelNet").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
