//! Whether a connection that was begun is open.

use std::io;

use mio::net::TcpStream;

/// Whether the connection is open.
///
/// # Errors
/// Why it will not be.
pub(super) fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
