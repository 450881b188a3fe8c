//! Sockets, made the same way for whoever needs them: those that listen, for the event loop and for the
//! threads, and those that connect.

use std::io;
#[cfg(feature = "cli")]
use std::net::{IpAddr, TcpStream};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// How listening sockets are made.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Connections that may wait to be accepted. The system cuts it to its own limit
    /// (`net.core.somaxconn`). A short backlog drops connects in a storm, and each costs its peer a second.
    pub backlog: u16,
    /// Several processes may share the port.
    pub reuse_port: bool,
    /// Datagrams are received and sent in batches, where the system can and the crate is built with them.
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
/// The address is taken, not this machine's, or not allowed.
pub fn listen(address: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server takes its port at once, though old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    set_reuse_port(&socket, options)?;
    // Accepted sockets inherit it: answers are written whole, and never wait for a peer's acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog.into())?;
    Ok(socket.into())
}

/// Receives datagrams at `address`, blocking.
///
/// # Errors
/// The address is taken, not this machine's, or not allowed.
pub fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    set_reuse_port(&socket, options)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Asks for a connection to `peer`, non-blocking: it may be on its way when this returns.
///
/// # Errors
/// No port, descriptor or memory is left, or the peer is known to be out of reach.
#[cfg(feature = "cli")]
pub(crate) fn connect(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        // The port is chosen when the peer is known, so that the same one serves for other peers too, and
        // so that choosing does not have to look for one that nobody has.
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
        bind_to(&socket, source)?;
    }
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// A socket, non-blocking, for datagrams to and from `peer` only.
///
/// # Errors
/// No port, descriptor or memory is left, or there is no way to the peer.
#[cfg(feature = "cli")]
pub(crate) fn connect_datagrams(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if let Some(source) = source {
        bind_to(&socket, source)?;
    }
    socket.connect(&peer.into())?;
    Ok(socket.into())
}

/// Gives the socket its own address. Connecting fails alike when no port of it is free, so that an address
/// which is not this machine's gets an error of its own.
#[cfg(feature = "cli")]
fn bind_to(socket: &Socket, source: IpAddr) -> io::Result<()> {
    socket.bind(&SocketAddr::new(source, 0).into()).map_err(|error| match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{source} is no address of this machine"))
        }
        _ => error,
    })
}

fn set_reuse_port(socket: &Socket, options: SocketOptions) -> io::Result<()> {
    if options.reuse_port { socket.set_reuse_port(true) } else { Ok(()) }
}
