//! Sockets that only send: one for each local address, beside a socket that is bound to all of them.
//!
//! No safe interface sets the source address of each datagram of a `sendmmsg`. What a socket sends leaves from the
//! address that it is bound to, so a batch of replies from one address leaves in one call, by the socket of that address.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// The sockets, by the address that they send from.
#[derive(Debug, Default)]
pub(super) struct Senders(Vec<(IpAddr, Socket)>);

impl Senders {
    /// The sockets beside `receiver`, which is bound to all addresses at the port of `address`: one for each address that
    /// the machine has now, up to [`SENDERS_MAX`].
    ///
    /// Two sockets have the port of an address only if both have `SO_REUSEPORT` when the second is bound. The receiver
    /// has had the port alone until now. The option is set only while the senders are bound, and the kernel lets no
    /// other user bind the port meanwhile: afterwards, no process can, whatever options it sets.
    ///
    /// Until it is connected, a sender receives what is sent to its address, which is then lost. So the senders are
    /// opened right after the receiver, before any peer knows that the server has started.
    ///
    /// # Errors
    /// The port would stay open to other processes.
    pub(super) fn open(receiver: &UdpSocket, address: SocketAddr) -> io::Result<Self> {
        let receiver = SockRef::from(receiver);
        receiver.set_reuse_port(true)?;
        let opened = local_addresses(address.is_ipv6())
            .into_iter()
            .filter_map(|local| Some((local, open(SocketAddr::new(local, address.port())).ok()?)));
        let senders = Self(opened.collect());
        receiver.set_reuse_port(false)?;
        Ok(senders)
    }

    /// The socket that sends from `local`, as its index.
    pub(super) fn index_of(&self, local: IpAddr) -> Option<usize> {
        self.0.iter().position(|(address, _)| *address == local)
    }

    pub(super) fn socket(&self, index: usize) -> &Socket {
        &self.0[index].1
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A socket that sends from `local`.
fn open(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    // A connected socket receives from its peer alone, errors too, but Linux lets it send to any address. This peer is
    // the socket itself: no other process has its address and port.
    socket.connect(&local.into())?;
    socket.set_reuse_port(false)?;
    Ok(socket)
}

/// The addresses of this machine as a socket of the family reports them: one for IPv6 has those of IPv4 mapped.
fn local_addresses(is_ipv6: bool) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let interfaces = getifaddrs().into_iter().flatten();
    for address in interfaces.filter_map(|interface| local_address(&interface, is_ipv6)) {
        if addresses.len() < SENDERS_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn local_address(interface: &InterfaceAddress, is_ipv6: bool) -> Option<IpAddr> {
    let address = interface.address.as_ref()?;
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) if is_ipv6 => Some(v4.ip().to_ipv6_mapped().into()),
        (Some(v4), _) => Some(v4.ip().into()),
        // An address of one link is no address without its interface.
        (None, Some(v6)) if is_ipv6 && !v6.ip().is_unicast_link_local() => Some(v6.ip().into()),
        (None, _) => None,
    }
}

/// Maximum number of sockets that only send. Replies from further addresses leave one by one.
const SENDERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket bound to all addresses of a family, its address, and its senders. `None`: the machine lacks the family.
    fn opened(wildcard: &str) -> Option<(UdpSocket, SocketAddr, Senders)> {
        let receiver = UdpSocket::bind(wildcard).ok()?;
        let address = receiver.local_addr().unwrap();
        let senders = Senders::open(&receiver, address).unwrap();
        assert!(senders.len() > 0, "at least for loopback");
        Some((receiver, address, senders))
    }

    fn addresses(senders: &Senders) -> impl Iterator<Item = IpAddr> {
        senders.0.iter().map(|(address, _)| *address)
    }

    #[test]
    fn no_other_socket_can_have_the_port_whatever_its_options() {
        for wildcard in ["0.0.0.0:0", "[::]:0"] {
            let Some((_receiver, address, senders)) = opened(wildcard) else { continue };
            for ip in addresses(&senders).chain([address.ip(), [127, 0, 0, 2].into()]) {
                for (reuse_address, reuse_port) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let other = Socket::new(Domain::for_address((ip, 0).into()), Type::DGRAM, None).unwrap();
                    other.set_reuse_address(reuse_address).unwrap();
                    other.set_reuse_port(reuse_port).unwrap();
                    let error = other.bind(&SocketAddr::new(ip, address.port()).into()).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{ip}, {reuse_address}, {reuse_port}");
                }
            }
        }
    }

    #[test]
    fn the_receiver_receives_what_is_sent_to_the_address_of_a_sender() {
        for wildcard in ["0.0.0.0:0", "[::]:0"] {
            let Some((receiver, address, senders)) = opened(wildcard) else { continue };
            receiver.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            for (ip, sender) in &senders.0 {
                let peer = UdpSocket::bind(SocketAddr::new(*ip, 0)).unwrap();
                peer.send_to(b"?", (*ip, address.port())).unwrap();
                let (_, from) = receiver.recv_from(&mut [0]).expect("it receives the datagram");
                assert_eq!(from, peer.local_addr().unwrap());
                // What a closed port returns does not come to the sender either.
                drop(peer);
                for _ in 0..2 {
                    sender.send_to(b"!", &from.into()).unwrap();
                }
                assert_eq!(sender.take_error().unwrap().map(|error| error.kind()), None);
            }
        }
    }

    #[test]
    fn the_addresses_are_different_and_bounded_and_have_an_interface() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for is_ipv6 in [false, true] {
            let addresses = local_addresses(is_ipv6);
            assert!(addresses.iter().all(|address| address.is_ipv6() == is_ipv6));
            assert!(addresses.iter().any(|address| address.to_canonical() == loopback));
            assert!(addresses.len() <= SENDERS_MAX);
            let different: std::collections::HashSet<_> = addresses.iter().collect();
            assert_eq!(different.len(), addresses.len());
        }
    }
}
