//! Batches of datagrams for a network that knows none, or does not always: one datagram after the other.

use std::io;

use super::{Datagram, DatagramIo};

/// As [`DatagramIo::receive_batch`].
pub fn receive<N: DatagramIo + ?Sized>(
    net: &mut N,
    socket: &N::Socket,
    buffer: &mut [u8],
    slot_bytes: usize,
    received: &mut Vec<Datagram>,
) -> bool {
    for (index, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
        match net.receive(socket, slot) {
            Ok((bytes, peer)) => {
                let start = index * slot_bytes;
                received.push(Datagram { bytes: start..start + bytes, peer, local: None });
            }
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// As [`DatagramIo::send_batch`].
///
/// # Errors
/// Those of [`DatagramIo::send_batch`].
pub fn send<N: DatagramIo + ?Sized>(
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
