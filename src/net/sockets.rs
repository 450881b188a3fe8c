//! Opening sockets: those that listen, for both models of the server, and those that connect.

use std::io;
#[cfg(any(feature = "cli", feature = "handlers"))]
use std::net::TcpStream;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

#[cfg(feature = "cli")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Options of the sockets of a server.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Maximum number of connections that wait to be accepted. The system reduces it to its own limit
    /// (`net.core.somaxconn`). When a short backlog overflows, each dropped connect costs its peer a second.
    pub backlog: u16,
    /// Several processes may share the port.
    pub reuse_port: bool,
    /// Receive and send datagrams in batches, if the system supports it and the crate is built with them.
    pub batches: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { backlog: 4096, reuse_port: false, batches: true }
    }
}

/// Listens at `address`, blocking.
///
/// # Errors
/// The address is in use, is not an address of this machine, or is not permitted.
pub(crate) fn listen(address: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server can bind its port at once, although old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    set_reuse_port(&socket, options)?;
    set_stream_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog.into())?;
    Ok(socket.into())
}

/// A TCP port on 127.0.0.1 that nothing uses at this moment.
///
/// # Errors
/// No port is free.
#[cfg(feature = "cli")]
pub(crate) fn unused_port() -> io::Result<u16> {
    // Without SO_REUSEADDR, so that a server without it can bind the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let address = socket.local_addr()?.as_socket();
    Ok(address.map_or(0, |address| address.port()))
}

/// Sets the options of accepted connections, which inherit them from the listener.
fn set_stream_options(socket: &Socket) -> io::Result<()> {
    // An answer never waits for the acknowledgement of earlier bytes.
    socket.set_tcp_nodelay(true)?;
    // So that a peer that has vanished does not keep its connection: without a timeout for idle connections, the
    // kernel alone finds out.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_LOW)?;
    Ok(())
}

/// Prepares a listener that another process has opened, and returns its address. The backlog stays as it is.
///
/// # Errors
/// The socket does not listen.
#[cfg(feature = "cli")]
pub(crate) fn adopt(listener: &TcpListener) -> io::Result<SocketAddr> {
    let socket = SockRef::from(listener);
    if !socket.is_listener()? {
        return Err(io::Error::other("the socket does not listen"));
    }
    set_stream_options(&socket)?;
    listener.local_addr()
}

/// Idle time after which the kernel asks whether the peer is still there. Routers commonly forget a connection after
/// longer; shorter would wake peers that sleep.
const KEEPALIVE_TIME: Duration = Duration::from_secs(300);

/// Time from one question that is not answered to the next.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Unanswered questions after which the connection is reset: eight minutes after the last sign of the peer.
const KEEPALIVE_RETRIES: u32 = 3;

/// Bytes that the kernel takes of a peer's replies beyond those that are on their way to it, and below half of which
/// it reports that it takes more. Without it, the kernel takes megabytes and reports when a third of them are
/// gone: a peer that reads slowly but steadily seems to read nothing until then.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_LOW: u32 = 128 * 1024;

/// Receives datagrams at `address`, blocking.
///
/// # Errors
/// The address is in use, is not an address of this machine, or is not permitted.
pub(crate) fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    set_reuse_port(&socket, options)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Begins to connect to `peer`, non-blocking: the connection may not be open yet when this returns.
///
/// # Errors
/// No port, descriptor or memory is left, or the peer is known to be unreachable. `AddrInUse`: it is connected to itself.
#[cfg(feature = "cli")]
pub(crate) fn connect(source: Option<SocketAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(source) = source {
        if source.port() == 0 {
            // The kernel chooses the port when it knows the peer. So one port serves for several peers, and the
            // kernel need not search for a port that is not used at all.
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
        } else {
            // An earlier connection of the port may be in TIME_WAIT.
            socket.set_reuse_address(true)?;
        }
        bind_to(&socket, source)?;
    }
    begin_to_connect(&socket, peer)?;
    Ok(socket.into())
}

/// Begins to connect to `peer`, non-blocking, with the options that accepted connections have.
///
/// # Errors
/// See [`connect`].
#[cfg(feature = "handlers")]
pub(crate) fn dial(peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    set_stream_options(&socket)?;
    begin_to_connect(&socket, peer)?;
    Ok(socket.into())
}

#[cfg(any(feature = "cli", feature = "handlers"))]
fn begin_to_connect(socket: &Socket, peer: SocketAddr) -> io::Result<()> {
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => refuse_itself(socket, peer),
    }
}

/// A socket is connected to itself if no process listens at the port, and the port chosen for the socket is the same.
#[cfg(any(feature = "cli", feature = "handlers"))]
fn refuse_itself(socket: &Socket, peer: SocketAddr) -> io::Result<()> {
    if socket.local_addr()?.as_socket() == Some(peer) {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "nothing listens there"));
    }
    Ok(())
}

/// A socket, non-blocking, for datagrams to and from `peer` only.
///
/// # Errors
/// No port, descriptor or memory is left, or the peer is unreachable. `AddrInUse`: it is connected to itself.
#[cfg(feature = "cli")]
pub(crate) fn connect_datagrams(source: Option<SocketAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if let Some(source) = source {
        bind_to(&socket, source)?;
    }
    socket.connect(&peer.into())?;
    refuse_itself(&socket, peer)?;
    Ok(socket.into())
}

/// Binds the socket to its own address and port. An address that is not this machine's has an error of its own, since
/// connecting fails with the same error when no port is free.
#[cfg(feature = "cli")]
fn bind_to(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    socket.bind(&source.into()).map_err(|error| match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not an address of this machine", source.ip()),
        ),
        _ => error,
    })
}

fn set_reuse_port(socket: &Socket, options: SocketOptions) -> io::Result<()> {
    if options.reuse_port { socket.set_reuse_port(true) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn accepted_connections_inherit_the_options_of_the_listener() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), SocketOptions::default()).unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_LOW);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_socket_that_is_connected_to_itself_is_refused() {
        let itself = SocketAddr::from(([127, 0, 0, 1], unused_port().unwrap()));
        let error = connect(Some(itself), itself).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::AddrInUse, "nothing listens there"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_datagram_socket_that_is_connected_to_itself_is_refused() {
        // The socket that has found the port is closed again.
        let itself = UdpSocket::bind("127.0.0.1:0").and_then(|unused| unused.local_addr()).unwrap();
        let error = connect_datagrams(Some(itself), itself).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::AddrInUse, "nothing listens there"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_kernel_sends_nothing_by_itself_on_an_idle_connection_of_a_client() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), SocketOptions::default()).unwrap();
        let stream = connect(None, listener.local_addr().unwrap()).unwrap();
        let socket = SockRef::from(&stream);
        // An idle probe relies on it: what is on the way counts the time since the last packet.
        assert!(!socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }
}
