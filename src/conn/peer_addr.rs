//! Addresses of peers in six bytes each.
//!
//! The journal names the sender of each message, and the kernel forgets a peer's address once the peer has
//! reset the connection. So every connection keeps it: an IPv4 address and its port fit into the entry of the
//! connection, IPv6 addresses are kept in a table.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use slab::Slab;

/// A peer's address, or its index in the table, which is marked by port 0, since no TCP connection has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerKey([u16; 3]);

impl PeerKey {
    /// The address, if it is not in the table.
    #[inline]
    pub(crate) fn short(self) -> Option<SocketAddrV4> {
        let Self([high, low, port]) = self;
        let ([a, b], [c, d]) = (high.to_ne_bytes(), low.to_ne_bytes());
        (port != 0).then(|| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
    }

    /// Whether the address is in the table.
    #[cfg(debug_assertions)]
    pub(crate) fn is_long(self) -> bool {
        self.0[2] == 0
    }
}

/// The addresses that do not fit into their key.
#[derive(Debug, Default)]
pub(crate) struct PeerAddrs {
    long: Slab<SocketAddrV6>,
}

/// A peer's address where it is stored. It is looked up when it is needed, which few steps do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredPeer<'a> {
    pub(crate) key: &'a PeerKey,
    pub(crate) addrs: &'a PeerAddrs,
}

impl StoredPeer<'_> {
    pub(crate) fn address(self) -> SocketAddr {
        self.addrs.address(*self.key)
    }
}

impl PeerAddrs {
    /// Allocates the table for `addresses`.
    pub(crate) fn allocate(&mut self, addresses: usize) {
        self.long.reserve_exact(addresses);
    }

    /// Stores `address`. An IPv4-mapped IPv6 address is stored as the IPv4 address.
    pub(crate) fn intern(&mut self, address: SocketAddr) -> PeerKey {
        match (address.ip().to_canonical(), address) {
            (IpAddr::V4(ip), _) if address.port() != 0 => {
                let [a, b, c, d] = ip.octets();
                PeerKey([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), address.port()])
            }
            (_, SocketAddr::V6(long)) => self.intern_long(long),
            (_, SocketAddr::V4(v4)) => {
                self.intern_long(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
        }
    }

    /// The address of `key`.
    #[inline]
    pub(crate) fn address(&self, key: PeerKey) -> SocketAddr {
        match key.short() {
            Some(short) => SocketAddr::V4(short),
            None => self.long_address(key),
        }
    }

    #[inline(never)]
    fn long_address(&self, key: PeerKey) -> SocketAddr {
        let long = self.long[index(key)];
        // The one kind of IPv4 address that is here has port 0, which a PROXY header may report.
        match long.ip().to_ipv4_mapped() {
            Some(short) => SocketAddr::new(short.into(), long.port()),
            None => long.into(),
        }
    }

    /// Frees what `key` refers to; it must not be used again.
    pub(crate) fn release(&mut self, key: PeerKey) {
        if key.0[2] == 0 {
            self.long.remove(index(key));
        }
    }

    /// The number of addresses in the table.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn long_len(&self) -> usize {
        self.long.len()
    }

    fn intern_long(&mut self, address: SocketAddrV6) -> PeerKey {
        let index = u32::try_from(self.long.insert(address)).expect("connections are counted in 32 bits");
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        PeerKey([(index >> 16) as u16, index as u16, 0])
    }
}

fn index(key: PeerKey) -> usize {
    (usize::from(key.0[0]) << 16) | usize::from(key.0[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_returned_as_stored() {
        let mut addrs = PeerAddrs::default();
        for text in ["127.0.0.1:1", "255.1.2.254:65535", "[::1]:4000", "[fe80::1%3]:9", "10.0.0.1:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let key = addrs.intern(address);
            let back = addrs.address(key);
            #[cfg(debug_assertions)]
            assert_eq!(key.is_long(), address.is_ipv6() || address.port() == 0);
            assert_eq!(back, address);
            addrs.release(key);
        }
        assert!(addrs.long.is_empty());
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        let mut addrs = PeerAddrs::default();
        let key = addrs.intern("[::ffff:10.1.2.3]:80".parse().unwrap());
        assert_eq!(addrs.address(key).to_string(), "10.1.2.3:80");
    }

    #[test]
    fn addresses_beyond_65536_are_kept_apart() {
        let mut addrs = PeerAddrs::default();
        let address =
            |n: u32| SocketAddr::new(std::net::Ipv6Addr::from(u128::from(n) + (1 << 64)).into(), 4000);
        let keys: Vec<PeerKey> = (0..70_000).map(|n| addrs.intern(address(n))).collect();
        assert_eq!(addrs.long_len(), 70_000);
        for n in [0, 1, 65_535, 65_536, 69_999] {
            assert_eq!(addrs.address(keys[n as usize]), address(n));
        }
    }
}
