//! How many sessions of datagram peers are established, in all and of each network.
//!
//! A network is counted by a randomly keyed hash in a table of fixed size, so that forged source addresses cost no
//! memory. Networks that share a counter can establish fewer sessions together, and never more.

use std::hash::BuildHasher;
use std::net::IpAddr;

use crate::conn::hash_key::HashKey;
use crate::conn::source_network::SourceNetwork;

/// Counts the established sessions of one endpoint.
#[derive(Debug)]
pub(crate) struct Established {
    max: usize,
    all: usize,
    /// By a hash of the network.
    of_networks: Box<[u32]>,
    hash_key: HashKey,
}

impl Established {
    /// Allows `max` sessions, and each network a part of them.
    pub(crate) fn new(max: usize, hash_key: HashKey) -> Self {
        Self { max, all: 0, of_networks: vec![0; NETWORK_COUNTERS].into(), hash_key }
    }

    /// Counts a session of a peer at `address`. Returns false, and counts nothing, if there is no room.
    pub(crate) fn add(&mut self, address: IpAddr) -> bool {
        let of_network_max = (self.max / NETWORK_SHARE).max(1);
        let has_room = self.all < self.max && (*self.of_network(address) as usize) < of_network_max;
        if has_room {
            self.all += 1;
            *self.of_network(address) += 1;
        }
        has_room
    }

    /// A session of a peer at `address`, which was counted, is closed.
    pub(crate) fn remove(&mut self, address: IpAddr) {
        self.all -= 1;
        *self.of_network(address) -= 1;
    }

    /// Panics unless `sessions` are counted.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, sessions: usize) {
        let of_networks: u32 = self.of_networks.iter().sum();
        assert_eq!((self.all, of_networks as usize), (sessions, sessions), "established");
        assert!(sessions <= self.max, "established sessions are bounded");
    }

    fn of_network(&mut self, address: IpAddr) -> &mut u32 {
        let hash = self.hash_key.hash_one(SourceNetwork::of(address));
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are as random as the others")]
        &mut self.of_networks[hash as usize % NETWORK_COUNTERS]
    }
}

/// The part of the established sessions that one network may have: an eighth.
const NETWORK_SHARE: usize = 8;

/// Networks that share a counter can establish fewer sessions; with this many, that is rare.
const NETWORK_COUNTERS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(network: u8, number: u8) -> IpAddr {
        IpAddr::from([10, 0, network, number])
    }

    #[test]
    fn a_network_has_an_eighth_of_all_places_and_all_have_no_more_than_there_are() {
        let mut established = Established::new(32, HashKey([1, 2]));
        assert_eq!((0..9).filter(|number| established.add(host(1, *number))).count(), 4);
        assert!(established.add(host(2, 1)), "another network has its own");
        established.remove(host(1, 0));
        assert!(established.add(host(1, 9)) && !established.add(host(1, 10)));
        let others = (3..99).filter(|network| established.add(host(*network, 1))).count();
        assert_eq!(others, 32 - 5);
        established.check(32);
    }

    #[test]
    fn a_network_may_always_have_one() {
        let mut established = Established::new(2, HashKey([1, 2]));
        assert!(established.add(host(1, 1)) && !established.add(host(1, 2)));
        assert!(established.add(host(2, 1)) && !established.add(host(3, 1)));
    }
}
