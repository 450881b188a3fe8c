//! Peers of a server, on which nothing waits longer than [`WAIT_MAX`].

#[cfg(feature = "cli")]
use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::SockRef;

use super::{ACKNOWLEDGEMENT, WAIT_MAX, acknowledgement, frame};

/// A connection to a server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By an end of stream.
    Closed,
    /// By a reset.
    Reset,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self::on(stream)
    }

    /// A peer with the local address `source`.
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        let source: SocketAddr = format!("{source}:0").parse().unwrap();
        let address = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port());
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::on(socket.into())
    }

    /// A peer on an existing connection.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
        Self { stream }
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server accepts what is sent");
    }

    /// Sends, unless the server has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The next `bytes` bytes.
    pub(crate) fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let mut received = vec![0; bytes];
        self.stream
            .read_exact(&mut received)
            .unwrap_or_else(|error| panic!("cannot receive {bytes} bytes: {error}"));
        received
    }

    /// The body of the next frame.
    pub(crate) fn receive_frame(&mut self) -> String {
        let header = String::from_utf8(self.receive(64)).unwrap();
        let body_bytes = header.trim_end_matches(' ').parse().expect("a header begins with a number");
        String::from_utf8(self.receive(body_bytes)).unwrap()
    }

    pub(crate) fn receive_acknowledgement(&mut self) {
        let received = self.receive(64 + ACKNOWLEDGEMENT.len());
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(&acknowledgement()));
    }

    /// Sends a message and receives its acknowledgement.
    pub(crate) fn exchange(&mut self, body: impl AsRef<[u8]>) {
        self.send(frame(body));
        self.receive_acknowledgement();
    }

    /// All bytes until the end of the stream, and how it ends.
    pub(crate) fn receive_all(&mut self) -> (Vec<u8>, End) {
        self.receive_all_of("the stream")
    }

    /// The same; `what` names the stream in the message of a failure.
    pub(crate) fn receive_all_of(&mut self, what: &str) -> (Vec<u8>, End) {
        let mut received = Vec::new();
        match self.stream.read_to_end(&mut received) {
            Ok(_) => (received, End::Closed),
            Err(error) if is_reset(&error) => (received, End::Reset),
            Err(error) => panic!("{what} does not end: {error}; {} bytes were received", received.len()),
        }
    }

    /// All text until the end of the stream, which is not a reset.
    pub(crate) fn receive_text(&mut self) -> String {
        let (received, end) = self.receive_all();
        let text = String::from_utf8(received).unwrap();
        assert_eq!(end, End::Closed, "after '{text}'");
        text
    }

    /// Checks that nothing is there to be received.
    pub(crate) fn assert_silent(&mut self) {
        assert_eq!(self.peek(), None, "nothing is received");
    }

    /// The number of bytes that can be received without waiting, if any; 0 is the end of the stream.
    pub(crate) fn peek(&self) -> Option<usize> {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0; 256]);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if is_reset(&error) => Some(0),
            Err(error) => panic!("cannot peek: {error}"),
        }
    }
}

/// Waits until what `peers` have sent is in the receive buffers of the server: a busy machine delivers it later.
#[cfg(feature = "cli")] // and `procfs` with it
pub(crate) fn wait_for_delivery<'a>(peers: impl IntoIterator<Item = &'a Peer>) {
    let mut waiting: HashSet<SocketAddr> = peers.into_iter().map(Peer::local_address).collect();
    super::eventually("the bytes are delivered", || {
        // One look for all: the table has each socket of the machine.
        for socket in procfs::net::tcp().unwrap().iter().filter(|it| it.tx_queue == 0) {
            waiting.remove(&socket.local_address);
        }
        waiting.is_empty().then_some(())
    });
}

/// Whether `error` means that the other side has closed the connection.
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// A peer of a datagram service.
pub(crate) struct DatagramPeer {
    socket: UdpSocket,
}

impl DatagramPeer {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self { socket }
    }

    /// Sends a datagram.
    pub(crate) fn send(&self, datagram: impl AsRef<[u8]>) {
        self.socket.send(datagram.as_ref()).unwrap();
    }

    /// Sends a datagram and returns the next one received.
    pub(crate) fn request(&self, datagram: impl AsRef<[u8]>) -> String {
        self.send(datagram);
        let mut buffer = [0; 2048];
        let bytes = self.socket.recv(&mut buffer).expect("a reply is received");
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }
}
