//! Batches of datagrams for a network that knows none, or does not always: one datagram after the other.

use std::io;

use super::{Datagram, Net};

/// As [`Net::receive_batch`].
pub fn receive<N: Net + ?Sized>(
    net: &mut N,
    socket: &N::Socket,
    buffer: &mut [u8],
    slot_bytes: usize,
    received: &mut Vec<Datagram>,
) -> bool {
    for (place, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
        match net.receive(socket, slot) {
            Ok((bytes, peer)) => {
                let start = place * slot_bytes;
                received.push(Datagram { bytes: start..start + bytes, peer, local: None });
            }
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// As [`Net::send_batch`].
///
/// # Errors
/// Those of [`Net::send_batch`].
pub fn send<N: Net + ?Sized>(
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
