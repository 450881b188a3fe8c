//! Addresses of peers in six bytes each.
//!
//! A message is recorded with its sender's address, and once a peer has reset the connection the kernel no
//! longer tells it. So every connection keeps the address; an IPv4 address and its port fit beside the rest
//! of it in half a cache line. IPv6 addresses stand in a table of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use slab::Slab;

/// A peer's address, or where it is kept: port 0, which no TCP peer has, marks a place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerKey([u16; 3]);

/// The addresses that do not fit into their key.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    long: Slab<SocketAddrV6>,
}

impl Peers {
    /// Keeps `address`. An IPv4 address that came in IPv6 form is kept as the IPv4 address that it is.
    pub(crate) fn keep(&mut self, address: SocketAddr) -> PeerKey {
        match (address.ip().to_canonical(), address) {
            (IpAddr::V4(ip), _) if address.port() != 0 => {
                let [a, b, c, d] = ip.octets();
                PeerKey([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), address.port()])
            }
            (_, SocketAddr::V6(long)) => self.keep_long(long),
            (_, SocketAddr::V4(odd)) => {
                self.keep_long(SocketAddrV6::new(odd.ip().to_ipv6_mapped(), odd.port(), 0, 0))
            }
        }
    }

    /// The address that `key` was given for.
    pub(crate) fn address(&self, key: PeerKey) -> SocketAddr {
        let PeerKey([high, low, port]) = key;
        if port == 0 {
            return SocketAddr::V6(self.long[place(key)]);
        }
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
    }

    /// The key is used no more.
    pub(crate) fn forget(&mut self, key: PeerKey) {
        if key.0[2] == 0 {
            self.long.remove(place(key));
        }
    }

    fn keep_long(&mut self, address: SocketAddrV6) -> PeerKey {
        let place = u32::try_from(self.long.insert(address)).expect("connections are counted in 32 bits");
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        PeerKey([(place >> 16) as u16, place as u16, 0])
    }
}

fn place(key: PeerKey) -> usize {
    (usize::from(key.0[0]) << 16) | usize::from(key.0[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_comes_back() {
        let mut peers = Peers::default();
        for text in ["127.0.0.1:1", "255.1.2.254:65535", "[::1]:4000", "[fe80::1%3]:9", "10.0.0.1:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let key = peers.keep(address);
            let back = peers.address(key);
            assert_eq!((back.ip().to_canonical(), back.port()), (address.ip(), address.port()));
            peers.forget(key);
        }
        assert!(peers.long.is_empty());
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_the_ipv4_address() {
        let mut peers = Peers::default();
        let key = peers.keep("[::ffff:10.1.2.3]:80".parse().unwrap());
        assert_eq!(peers.address(key).to_string(), "10.1.2.3:80");
    }
}
