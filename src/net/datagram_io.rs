//! Datagrams, alone and in batches.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Whether this build has datagrams; without them, nothing of them is compiled.
pub(crate) const HAS_UDP: bool = cfg!(any(feature = "udp", not(feature = "only")));

/// Receives and sends datagrams.
pub trait DatagramIo {
    /// A socket for datagrams.
    type Socket;

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

    /// Receives datagrams, each into `slot_bytes` of `buffer` of its own and cut to that, and appends a
    /// description of each to `received`, which is empty. Returns whether more may wait: if not, an event
    /// will report the next.
    ///
    /// # Errors
    /// Nothing was received. It concerns a datagram that was sent earlier, unless it comes again and again.
    fn receive_batch(
        &mut self,
        socket: &Self::Socket,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> io::Result<bool> {
        receive_unbatched(self, socket, buffer, slot_bytes, received)
    }

    /// Sends `datagrams`, at least one, whose bytes lie in `bytes`, and returns how many were sent. The rest is
    /// to be sent again: the first of it may have failed.
    ///
    /// # Errors
    /// The first was not sent; that concerns this datagram alone, unless it is `Interrupted`.
    fn send_batch(
        &mut self,
        socket: &Self::Socket,
        datagrams: &[Datagram],
        bytes: &[u8],
    ) -> io::Result<usize> {
        send_unbatched(self, socket, datagrams, bytes)
    }
}

/// A datagram in a batch: where its bytes lie, and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes in the buffer of the batch.
    pub bytes: Range<usize>,
    /// The sender, or the receiver.
    pub peer: SocketAddr,
    /// The address of this machine that it was sent to, and that the answer leaves from. `None`: the one
    /// that the socket is bound to or, where it is bound to all of them, the one that the kernel chooses.
    pub local: Option<IpAddr>,
}

/// [`DatagramIo::receive_batch`] for a network without batches: one datagram a call.
///
/// # Errors
/// Those of [`DatagramIo::receive_batch`].
pub fn receive_unbatched<N: DatagramIo + ?Sized>(
    net: &mut N,
    socket: &N::Socket,
    buffer: &mut [u8],
    slot_bytes: usize,
    received: &mut Vec<Datagram>,
) -> io::Result<bool> {
    for (index, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
        match net.receive(socket, slot) {
            Ok((bytes, peer)) => {
                let start = index * slot_bytes;
                received.push(Datagram { bytes: start..start + bytes, peer, local: None });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if received.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(true)
}

/// [`DatagramIo::send_batch`] for a network without batches: one datagram a call.
///
/// # Errors
/// Those of [`DatagramIo::send_batch`].
pub fn send_unbatched<N: DatagramIo + ?Sized>(
    net: &mut N,
    socket: &N::Socket,
    datagrams: &[Datagram],
    bytes: &[u8],
) -> io::Result<usize> {
    for (sent, datagram) in datagrams.iter().enumerate() {
        match net.send(socket, &bytes[datagram.bytes.clone()], datagram.peer) {
            Ok(()) => {}
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent),
        }
    }
    Ok(datagrams.len())
}
