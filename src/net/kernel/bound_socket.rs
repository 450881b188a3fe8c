//! A socket for datagrams that is bound, and that no poller knows yet: each model of the server receives from it in
//! its own way.

use std::io;
use std::net::{SocketAddr, UdpSocket};

#[cfg(feature = "batches")]
use super::batch::Batches;
use crate::net::sockets::{self, SocketOptions};

/// The socket, and what its batches need.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub(crate) socket: UdpSocket,
    pub(crate) address: SocketAddr,
    #[cfg(feature = "batches")]
    pub(crate) batches: Batches,
}

impl BoundSocket {
    /// Binds a socket to `address`.
    ///
    /// # Errors
    /// The address is in use, is not an address of this machine, or is not permitted.
    pub(crate) fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<Self> {
        let socket = sockets::bind(address, options)?;
        let address = socket.local_addr()?;
        Ok(Self {
            #[cfg(feature = "batches")]
            batches: Batches::of_new(&socket, address, options)?,
            socket,
            address,
        })
    }

    /// A socket that is bound to `address` already. Another process may have it, too.
    #[cfg_attr(not(feature = "batches"), expect(unused_variables, reason = "they are for batches"))]
    pub(crate) fn adopt(socket: UdpSocket, address: SocketAddr, options: SocketOptions) -> Self {
        Self {
            #[cfg(feature = "batches")]
            batches: Batches::of(&socket, address, options),
            socket,
            address,
        }
    }
}
