//! How many replies a second a network, and a single peer in it, may be sent: token buckets in a table of fixed
//! size, as in the response rate limiting of DNS servers.
//!
//! Source addresses can be forged, so nothing is stored per address: an address selects two buckets of the table
//! by a randomly keyed hash, and is over its rate when both are empty. No bucket is ever evicted, so a flood
//! cannot refill one. Addresses that share a bucket take from it together; that both buckets of an address are
//! emptied by others takes more replies than the whole table allows. Time is an argument.

use std::hash::BuildHasher;
use std::net::IpAddr;

use crate::conn::deadlines::Tick;
use crate::conn::hash_key::HashKey;
use crate::conn::source_network::SourceNetwork;

/// The buckets of one endpoint.
#[derive(Debug)]
pub(crate) struct ReplyRate {
    per_second: u32,
    buckets: Box<[Bucket]>,
    hash_key: HashKey,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Thousandths of a reply that were taken and are not refilled yet.
    taken: u32,
    /// When it was refilled last.
    at: Tick,
}

impl ReplyRate {
    /// Allows a network `per_second` replies, and as many at once; a single address half of that.
    pub(crate) fn new(per_second: u32, hash_key: HashKey) -> Self {
        let per_second = per_second.min(REPLIES_PER_SECOND_MAX);
        Self { per_second, buckets: vec![Bucket::default(); BUCKETS].into(), hash_key }
    }

    /// Replies a second of a network.
    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Takes one reply to `address` at `now`. Returns false, and takes nothing, if its network or the address is
    /// over its rate.
    pub(crate) fn take(&mut self, address: IpAddr, now: Tick) -> bool {
        let capacity = self.per_second * ONE_REPLY;
        let network = self.pair(SourceNetwork::of(address));
        let host = self.pair(address);
        // A host that takes two thousandths for each of its network reaches its limit at half the rate.
        let host_cost = (2 * ONE_REPLY).min(capacity);
        if !self.has_room(network, ONE_REPLY, now) || !self.has_room(host, host_cost, now) {
            return false;
        }
        self.add(network, ONE_REPLY, capacity);
        self.add(host, host_cost, capacity);
        true
    }

    /// The two buckets of `key`.
    fn pair(&self, key: impl std::hash::Hash) -> [usize; 2] {
        let hash = self.hash_key.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are as random as the others")]
        [hash, hash >> 32].map(|bits| bits as usize % BUCKETS)
    }

    /// Refills both buckets, and returns whether one of them has room for `cost`.
    fn has_room(&mut self, pair: [usize; 2], cost: u32, now: Tick) -> bool {
        let per_second = self.per_second;
        pair.map(|index| self.buckets[index].refill(per_second, now) + cost <= per_second * ONE_REPLY)
            .contains(&true)
    }

    fn add(&mut self, pair: [usize; 2], cost: u32, capacity: u32) {
        for index in pair {
            let bucket = &mut self.buckets[index];
            bucket.taken = (bucket.taken + cost).min(capacity);
        }
    }
}

impl Bucket {
    /// Returns what is still taken at `now`.
    fn refill(&mut self, per_second: u32, now: Tick) -> u32 {
        // A thousandth of a second brings as many thousandths of a reply as a second brings replies.
        let refilled = now.ms_since(self.at).min(1000) * per_second;
        (self.taken, self.at) = (self.taken.saturating_sub(refilled), now);
        self.taken
    }
}

/// In thousandths.
const ONE_REPLY: u32 = 1000;

/// Maximum rate; its thousandths fit into 32 bits.
pub(crate) const REPLIES_PER_SECOND_MAX: u32 = 1_000_000;

/// Buckets of a table, 128 KiB.
const BUCKETS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    /// Replies that `count` requests of `address` are granted at `ms`.
    fn granted(rate: &mut ReplyRate, address: &str, count: usize, ms: u64) -> usize {
        let address = address.parse().unwrap();
        (0..count).filter(|_| rate.take(address, at(ms))).count()
    }

    #[test]
    fn a_network_is_sent_its_rate_and_a_peer_half_of_it() {
        let mut rate = ReplyRate::new(10, HashKey([1, 2]));
        assert_eq!(granted(&mut rate, "192.0.2.1", 100, 0), 5);
        assert_eq!(granted(&mut rate, "192.0.2.2", 4, 0), 4);
        assert_eq!(granted(&mut rate, "192.0.2.3", 100, 0), 1, "the network has had ten");
        assert_eq!(granted(&mut rate, "192.0.3.1", 100, 0), 5, "another network has its own");
        assert_eq!(granted(&mut rate, "192.0.2.4", 100, 99), 0);
        assert_eq!(granted(&mut rate, "192.0.2.4", 100, 100), 1);
        assert_eq!(granted(&mut rate, "192.0.2.4", 100, 1100), 5);
        // A long silence saves nothing up.
        assert_eq!(granted(&mut rate, "192.0.2.4", 100, 1_000_000), 5);
    }

    #[test]
    fn a_network_of_ipv6_has_64_bits() {
        let mut rate = ReplyRate::new(4, HashKey([1, 2]));
        let hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"];
        let granted: usize = hosts.iter().map(|host| granted(&mut rate, host, 9, 0)).sum();
        assert_eq!(granted, 4);
    }

    #[test]
    fn the_lowest_and_the_highest_rate_are_kept() {
        let mut rate = ReplyRate::new(1, HashKey([1, 2]));
        assert_eq!(
            [0, 500, 999, 1000, 1001].map(|ms| granted(&mut rate, "192.0.2.1", 2, ms)),
            [1, 0, 0, 1, 0]
        );
        let mut rate = ReplyRate::new(u32::MAX, HashKey([1, 2]));
        assert_eq!(granted(&mut rate, "192.0.2.1", 500_001, 0), 500_000);
    }

    #[test]
    fn a_million_forged_sources_neither_refill_a_bucket_nor_empty_those_of_others() {
        let mut rate = ReplyRate::new(200, HashKey([1, 2]));
        assert_eq!(granted(&mut rate, "192.0.2.1", 1000, 0), 100);
        assert_eq!(granted(&mut rate, "192.0.2.2", 1000, 0), 100);
        // Ten seconds, in which 100,000 networks send each second.
        for number in 0..1_000_000_u32 {
            let forged = Ipv4Addr::from_bits(0x0b00_0000 + (number << 8));
            rate.take(forged.into(), at(u64::from(number / 100)));
            if number == 1000 {
                assert!(granted(&mut rate, "192.0.2.1", 1000, 10) <= 2, "the flood has refilled its buckets");
            }
        }
        assert_eq!(rate.buckets.len(), 16_384);
        let served = (0..100).filter(|host| rate.take(Ipv4Addr::new(198, 51, *host, 1).into(), at(10_000)));
        assert_eq!(served.count(), 100, "networks that send little are served");
    }

    #[test]
    fn an_address_shares_one_bucket_with_another_but_hardly_ever_both() {
        let rate = ReplyRate::new(200, HashKey([1, 2]));
        let pairs = (0..1000_u32).map(|number| rate.pair(number)).collect::<Vec<_>>();
        for half in 0..2 {
            let distinct: std::collections::BTreeSet<usize> = pairs.iter().map(|pair| pair[half]).collect();
            assert!(distinct.len() > 900, "{}", distinct.len());
        }
    }
}
