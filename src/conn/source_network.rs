//! The network of a peer: the unit in which source addresses are limited, since a peer can choose among all
//! addresses of its network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first bits of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SourceNetwork {
    /// Its first address.
    address: IpAddr,
    bits: u8,
}

impl SourceNetwork {
    /// The first 24 bits of an IPv4 address, or the first 64 bits of an IPv6 address: a datagram with a forged
    /// address can harm the network of that address, or come from one.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::with_bits(address, 24)
    }

    /// An IPv4 address alone, or the first 64 bits of an IPv6 address: what the peer of a connection can choose.
    pub(crate) fn of_connection(address: IpAddr) -> Self {
        Self::with_bits(address, 32)
    }

    fn with_bits(address: IpAddr, bits_of_ipv4: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX << (32 - bits_of_ipv4);
                Self { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), bits: bits_of_ipv4 }
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX << 64;
                Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), bits: 64 }
            }
        }
    }
}

impl fmt::Display for SourceNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_24_bits_of_ipv4_and_64_of_ipv6() {
        let of = |address: &str| SourceNetwork::of(address.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:7::1"), of("2001:db8:0:7:ffff::"));
        assert_ne!(of("2001:db8:0:7::1"), of("2001:db8:0:8::1"));
        assert_eq!(of("192.0.2.77").to_string(), "192.0.2.0/24");
        assert_eq!(of("2001:db8:0:7::1").to_string(), "2001:db8:0:7::/64");
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn the_network_of_a_connection_has_32_bits_of_ipv4_and_64_of_ipv6() {
        let of = |address: &str| SourceNetwork::of_connection(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1/32");
        assert_eq!(of("2001:db8:0:7::1"), "2001:db8:0:7::/64");
    }
}
