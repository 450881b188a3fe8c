//! The local addresses that connections are opened from.
//!
//! A source address has one connection per port to a given address and port. The kernel takes longer to
//! find a free port the fewer there are, so connections are spread over enough sources to leave half the
//! ports of each free: the last connection opens as fast as the first.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

/// Local addresses, taken in turn.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Empty: the kernel chooses.
    addresses: Vec<IpAddr>,
    next: usize,
}

impl Sources {
    /// Sources for connections to `target`: those `requested`, or `wanted` addresses of 127.0.0.0/8 if the target
    /// is on loopback and more than one is wanted.
    pub(crate) fn new(requested: &[IpNet], target: SocketAddr, wanted: usize) -> Self {
        let requested =
            requested.iter().flat_map(IpNet::hosts).filter(|source| source.is_ipv4() == target.is_ipv4());
        let mut addresses: Vec<IpAddr> = requested.take(SOURCES_MAX).collect();
        if addresses.is_empty() && wanted > 1 && is_loopback_v4(target.ip()) {
            addresses = (0..wanted.min(SOURCES_MAX)).map(loopback).collect();
        }
        Self { addresses, next: 0 }
    }

    /// The number of sources that leaves half the ports of each free.
    pub(crate) fn wanted(connections: u32) -> usize {
        wanted(connections, ephemeral_ports())
    }

    /// The number of sources; one if the kernel chooses.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// The source of the next connection.
    pub(crate) fn next_address(&mut self) -> Option<IpAddr> {
        let source = self.addresses.get(self.next).copied();
        self.next = (self.next + 1) % self.count();
        source
    }
}

/// The number of ports that the kernel chooses from.
fn ephemeral_ports() -> u32 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().map_while(|end| end.parse::<u32>().ok());
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) if last >= first => last - first + 1,
        _ => PORTS_IF_UNKNOWN,
    }
}

fn wanted(connections: u32, ports: u32) -> usize {
    connections.div_ceil((ports / 2).max(1)) as usize
}

fn is_loopback_v4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_loopback())
}

/// 127.0.1.1 and following, without the addresses that end in 0 or 255.
fn loopback(number: usize) -> IpAddr {
    let third = u8::try_from(1 + number / 254).expect("SOURCES_MAX fits");
    let fourth = u8::try_from(1 + number % 254).expect("at most 254");
    Ipv4Addr::new(127, 0, third, fourth).into()
}

/// Linux's default range, 32768 to 60999.
const PORTS_IF_UNKNOWN: u32 = 28_232;

/// Maximum number of sources: with half the ports of each, enough for a hundred million connections.
const SOURCES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: u32 = 28_232;

    fn sources(asked: &str, target: &str, connections: u32) -> Sources {
        let asked: Vec<IpNet> = asked.split_whitespace().map(|range| range.parse().unwrap()).collect();
        Sources::new(&asked, target.parse().unwrap(), wanted(connections, PORTS))
    }

    fn first(sources: &mut Sources, count: usize) -> Vec<String> {
        (0..count).map(|_| sources.next_address().map_or("any".into(), |source| source.to_string())).collect()
    }

    #[test]
    fn the_kernel_chooses_the_source_of_few_connections() {
        assert_eq!(first(&mut sources("", "127.0.0.1:9999", 14_116), 2), ["any", "any"]);
        assert_eq!(first(&mut sources("", "192.0.2.1:9999", 1_000_000), 1), ["any"]);
        assert_eq!(first(&mut sources("", "[::1]:9999", 1_000_000), 1), ["any"]);
    }

    #[test]
    fn on_loopback_every_source_keeps_half_its_ports_free() {
        let mut spread = sources("", "127.0.0.1:9999", 1_000_000);
        assert_eq!(spread.count(), 71);
        let taken = first(&mut spread, 72);
        assert_eq!((&*taken[0], &*taken[70]), ("127.0.1.1", "127.0.1.71"));
        assert_eq!(taken[71], taken[0]);
        let most = first(&mut sources("", "127.0.0.1:9999", 40_000_000), 255);
        assert_eq!(most[254], "127.0.2.1");
    }

    #[test]
    fn requested_sources_of_the_targets_family_are_taken_in_turn() {
        let mut asked = sources("10.0.0.0/29 10.1.0.7/32 2001:db8::/126", "192.0.2.1:80", 10);
        assert_eq!(asked.count(), 7);
        let taken = first(&mut asked, 7);
        assert_eq!((&*taken[0], &*taken[6]), ("10.0.0.1", "10.1.0.7"));
        assert_eq!(sources("2001:db8::/126", "[2001:db8:1::1]:80", 10).count(), 4);
    }
}
