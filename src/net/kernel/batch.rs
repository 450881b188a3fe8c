//! Datagrams of the kernel in batches: `recvmmsg` by `quinn-udp`, `sendmmsg` by `rustix`.
//!
//! Receive offload (`UDP_GRO`) stays off: it needs a buffer of 64 KiB for what is mostly one small datagram, and
//! on loopback and from many peers the kernel coalesces nothing.

use std::array;
use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use libc::{EINVAL, ENETUNREACH, ENOSYS, EOPNOTSUPP, EPERM};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};
use socket2::{Domain, Socket, Type};

use super::senders::Senders;
use crate::net::Datagram;
use crate::net::sockets::SocketOptions;

/// The state of a socket for batches.
#[derive(Debug)]
pub(crate) struct Batches {
    /// The state of `quinn-udp`. `None`: batches are off.
    state: Option<UdpSocketState>,
    /// False once the kernel has refused a batch.
    usable: Cell<bool>,
    /// The last time enough datagrams came to be worth a batch.
    expects_many: Cell<bool>,
    /// Bound to all addresses: only a batch reports the destination address of a datagram.
    at_all_addresses: bool,
    /// If so, the sockets that send from one address each.
    senders: Senders,
}

/// The batch is not possible, or not worth it: one datagram a call.
#[derive(Debug)]
pub(crate) struct Unbatched;

impl Batches {
    /// For a socket bound to `address`, which another process may have, too.
    pub(super) fn of(socket: &impl AsFd, address: SocketAddr, options: SocketOptions) -> Self {
        Self {
            state: if options.batches { prepare(socket, address).ok() } else { None },
            usable: Cell::new(true),
            expects_many: Cell::new(false),
            at_all_addresses: address.ip().is_unspecified(),
            senders: Senders::default(),
        }
    }

    /// For a socket that was just bound to `address`.
    ///
    /// # Errors
    /// The port would stay open to other processes.
    pub(super) fn of_new(
        socket: &UdpSocket,
        address: SocketAddr,
        options: SocketOptions,
    ) -> io::Result<Self> {
        let mut batches = Self::of(socket, address, options);
        // Where processes share the port, a sender would receive for all of them until it is connected.
        if batches.state.is_some() && batches.at_all_addresses && !options.reuse_port {
            batches.senders = Senders::open(socket, address)?;
        }
        Ok(batches)
    }

    /// For a socket without batches.
    #[cfg(feature = "cli")]
    pub(super) fn none() -> Self {
        let no = Cell::new(false);
        let senders = Senders::default();
        Self { state: None, usable: no.clone(), expects_many: no, at_all_addresses: false, senders }
    }

    /// The number of sockets that only send.
    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }

    fn state(&self) -> Result<&UdpSocketState, Unbatched> {
        self.state.as_ref().filter(|_| self.usable.get()).ok_or(Unbatched)
    }

    /// The kernel does not support batches: from now on one datagram a call.
    pub(super) fn give_up(&self) {
        self.usable.set(false);
    }

    /// Records how many datagrams the last call received.
    pub(super) fn note(&self, received: usize) {
        self.expects_many.set(received >= FEW);
    }

    /// Makes what is sent by the sender of `local` fail.
    #[cfg(test)]
    pub(super) fn end_sender(&self, local: IpAddr) {
        let index = self.senders.index_of(local).expect("there is one");
        self.senders.socket(index).shutdown(std::net::Shutdown::Write).unwrap();
    }

    #[cfg(test)]
    pub(super) fn is_used(&self) -> bool {
        self.state().is_ok()
    }

    /// As [`receive_batch`](crate::net::DatagramIo::receive_batch). A short batch
    /// does not mean that the socket is drained, since an error ends one, too: more may wait until the kernel
    /// reports that it would block.
    pub(crate) fn receive(
        &self,
        socket: &impl AsFd,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> Result<io::Result<bool>, Unbatched> {
        let state = self.state()?;
        if !self.expects_many.get() && !self.at_all_addresses {
            return Err(Unbatched);
        }
        let mut chunks = buffer.chunks_exact_mut(slot_bytes);
        let slots_max = chunks.len().min(quinn_udp::BATCH_SIZE);
        let mut slots: [IoSliceMut<'_>; quinn_udp::BATCH_SIZE] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        match state.recv(socket.into(), &mut slots[..slots_max], &mut metas) {
            Ok(count) => {
                self.note(count);
                received.extend(metas[..count].iter().enumerate().map(|(place, meta)| Datagram {
                    bytes: place * slot_bytes..place * slot_bytes + meta.len,
                    peer: meta.addr,
                    local: meta.dst_ip,
                }));
                Ok(Ok(true))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Ok(false)),
            // A sandbox without the call, or one that forbids it.
            Err(error) if matches!(error.raw_os_error(), Some(ENOSYS | EOPNOTSUPP | EPERM)) => {
                self.give_up();
                Err(Unbatched)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// As [`send_batch`](crate::net::DatagramIo::send_batch).
    pub(crate) fn send(
        &self,
        socket: &impl AsFd,
        datagrams: &[Datagram],
        bytes: &[u8],
    ) -> Result<io::Result<usize>, Unbatched> {
        let state = self.state()?;
        let pieces_max = state.max_gso_segments();
        let mut datagrams = datagrams;
        let together = in_one_piece(datagrams, pieces_max);
        if together >= PIECE_MIN {
            if send_together(state, socket, &datagrams[..together], datagrams[0].local, bytes).is_ok() {
                return Ok(Ok(together));
            }
            // One of them may be at fault, or the device cannot segment.
            datagrams = &datagrams[..together];
        } else {
            let near = datagrams.len().min(MANY);
            let apart = (1..near).find(|place| in_one_piece(&datagrams[*place..], pieces_max) >= PIECE_MIN);
            datagrams = &datagrams[..apart.unwrap_or(near)];
        }
        let route = self.route(&datagrams[0]);
        let alike = datagrams.iter().take_while(|one| self.route(one) == route).count();
        let datagrams = &datagrams[..alike];
        let sent = match route {
            Route::Kernel => send_batch(socket, datagrams, bytes),
            Route::Sender(index) => match send_batch(self.senders.socket(index), datagrams, bytes) {
                // The address may be gone, or the buffer of the sender is full.
                Err(error) if !is_unsupported(&error) => send_each(state, socket, &datagrams[..1], bytes),
                sent => sent,
            },
            Route::Given => send_each(state, socket, datagrams, bytes),
        };
        match sent {
            Err(error) if is_unsupported(&error) => {
                self.give_up();
                Err(Unbatched)
            }
            sent => Ok(sent),
        }
    }

    fn route(&self, datagram: &Datagram) -> Route {
        let Some(local) = datagram.local else { return Route::Kernel };
        self.senders.index_of(local).map_or(Route::Given, Route::Sender)
    }
}

/// What sets the source address of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// The kernel: it is the address that the socket is bound to, or the kernel chooses it.
    Kernel,
    /// The sender with this index, which is bound to it.
    Sender(usize),
    /// The datagram itself.
    Given,
}

/// The kernel does not have the call, or not for this socket.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOSYS | EOPNOTSUPP))
}

/// The state is made for another socket, which is dropped at once: making it sets options that QUIC needs (no
/// fragments, receive offload, congestion marks) and that must not be set here.
fn prepare(socket: &impl AsFd, address: SocketAddr) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new((&Socket::new(Domain::IPV4, Type::DGRAM, None)?).into())?;
    // On a socket bound to one address, that is the destination of every datagram.
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    Ok(state)
}

/// How many of `datagrams`, from the first on, can be sent as one segmented buffer (`UDP_SEGMENT`): to one peer,
/// adjacent in memory, and as long as the first, but for the last, which may be shorter.
fn in_one_piece(datagrams: &[Datagram], count_max: usize) -> usize {
    let first = &datagrams[0];
    let segment_bytes = first.bytes.len();
    if segment_bytes > SEGMENT_BYTES_MAX {
        return 1;
    }
    let goes_on = |(one, next): &(&Datagram, &Datagram)| {
        one.bytes.len() == segment_bytes
            && (1..=segment_bytes).contains(&next.bytes.len())
            && one.bytes.end == next.bytes.start
            && next.bytes.end - first.bytes.start <= PIECE_BYTES_MAX
            && (next.peer, next.local) == (first.peer, first.local)
    };
    1 + datagrams.iter().zip(&datagrams[1..]).take(count_max - 1).take_while(goes_on).count()
}

fn send_together(
    state: &UdpSocketState,
    socket: &impl AsFd,
    datagrams: &[Datagram],
    from: Option<IpAddr>,
    bytes: &[u8],
) -> io::Result<()> {
    let first = &datagrams[0];
    let end = datagrams[datagrams.len() - 1].bytes.end;
    let transmit = Transmit {
        destination: first.peer,
        ecn: None,
        contents: &bytes[first.bytes.start..end],
        segment_size: Some(first.bytes.len()),
        src_ip: from,
    };
    state.try_send(socket.into(), &transmit)
}

fn send_one(socket: &impl AsFd, datagram: &Datagram, bytes: &[u8]) -> io::Result<usize> {
    sendto(socket, &bytes[datagram.bytes.clone()], SendFlags::empty(), &datagram.peer)?;
    Ok(1)
}

/// Sends up to [`MANY`] datagrams in one call, from the address that the socket is bound to.
fn send_batch(socket: &impl AsFd, datagrams: &[Datagram], bytes: &[u8]) -> io::Result<usize> {
    match datagrams.len() {
        ..=1 => send_one(socket, &datagrams[0], bytes),
        2..=FEW => send_up_to::<FEW>(socket.as_fd(), datagrams, bytes),
        _ => send_up_to::<MANY>(socket.as_fd(), datagrams, bytes),
    }
}

/// One call for each, since no safe interface sets the source address of each datagram of a batch.
fn send_each(
    state: &UdpSocketState,
    socket: &impl AsFd,
    datagrams: &[Datagram],
    bytes: &[u8],
) -> io::Result<usize> {
    for (sent, datagram) in datagrams.iter().enumerate() {
        let send = |from| send_together(state, socket, &datagrams[sent..=sent], from, bytes);
        let outcome = match send(datagram.local) {
            // A broadcast or multicast address cannot be the source of an answer.
            Err(error)
                if datagram.local.is_some() && matches!(error.raw_os_error(), Some(EINVAL | ENETUNREACH)) =>
            {
                send(None)
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {}
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent),
        }
    }
    Ok(datagrams.len())
}

fn send_up_to<const MOST: usize>(
    socket: BorrowedFd<'_>,
    datagrams: &[Datagram],
    bytes: &[u8],
) -> io::Result<usize> {
    let count = datagrams.len().min(MOST);
    let nth = |place: usize| &datagrams[place.min(count - 1)];
    let peers: [SocketAddrAny; MOST] = array::from_fn(|place| nth(place).peer.into());
    let contents: [[IoSlice<'_>; 1]; MOST] =
        array::from_fn(|place| [IoSlice::new(&bytes[nth(place).bytes.clone()])]);
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; MOST] =
        array::from_fn(|_| SendAncillaryBuffer::default());
    let mut places = 0..MOST;
    let mut messages = controls.each_mut().map(|control| {
        let place = places.next().unwrap_or_default();
        MMsgHdr::new_with_addr(&peers[place], &contents[place], control)
    });
    Ok(sendmmsg(socket, &mut messages[..count], SendFlags::empty())?)
}

/// Received datagrams from which on a batch is worth its cost.
pub(super) const FEW: usize = 4;

/// Datagrams sent at a time: as many as are received.
const MANY: usize = quinn_udp::BATCH_SIZE;

/// Datagrams from which on a segmented buffer is worth its cost.
const PIECE_MIN: usize = 3;

/// Maximum bytes of a segment: it fits into every path, since segments must not be fragmented.
const SEGMENT_BYTES_MAX: usize = 1200;

/// Maximum bytes of a segmented buffer: a little less than a datagram can hold.
const PIECE_BYTES_MAX: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// To which peer, and from where to where.
    fn pieces(datagrams: &[(u16, usize, usize)], count_max: usize) -> usize {
        let datagrams: Vec<_> = datagrams
            .iter()
            .map(|(port, start, end)| Datagram {
                bytes: *start..*end,
                peer: SocketAddr::from(([127, 0, 0, 1], *port)),
                local: None,
            })
            .collect();
        in_one_piece(&datagrams, count_max)
    }

    #[test]
    fn what_is_alike_and_to_one_peer_goes_in_one_piece() {
        assert_eq!(pieces(&[(1, 0, 5)], 64), 1);
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 10), (1, 10, 15)], 64), 3);
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 10), (1, 10, 15)], 2), 2);
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 10), (2, 10, 15)], 64), 2, "another peer");
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 9), (1, 9, 13)], 64), 2, "the last may be shorter");
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 11)], 64), 1, "but not longer");
        assert_eq!(pieces(&[(1, 0, 5), (1, 6, 11)], 64), 1, "something lies between");
        assert_eq!(pieces(&[(1, 0, 5), (1, 5, 5)], 64), 1, "nothing is no piece");
        assert_eq!(pieces(&[(1, 0, 1201), (1, 1201, 2402)], 64), 1, "too long");
        let long: Vec<_> = (0..64).map(|place| (1, place * 1200, (place + 1) * 1200)).collect();
        assert_eq!(pieces(&long, 64), 54, "more than a datagram holds");
    }
}
