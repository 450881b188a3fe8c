//! Which new connections are served, by the limits of the whole server and of each source.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use crate::conn::CloseReason;
use crate::conn::hash_key::unmoved_capacity;
use crate::conn::source_network::SourceNetwork;
use crate::limits::Limits;

/// The connections that are served, by their source. It has an entry only for a source with a connection, and none
/// at all without a limit.
#[derive(Debug)]
pub(crate) struct Admissions {
    connections_max: usize,
    per_source_max: Option<usize>,
    by_source: HashMap<SourceNetwork, u32>,
    /// The table of sources keeps room for as many.
    sources_kept: usize,
}

/// Why a new connection is refused, as its peer reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This number of connections is served.
    Full(usize),
    /// The peer's source has this number of connections.
    SourceFull(usize),
    /// The system has no thread for it.
    #[cfg(feature = "cli")]
    NoThread,
}

impl Admissions {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { connections_max, connections_per_source_max: per_source_max, .. } = *limits;
        Self { connections_max, per_source_max, by_source: HashMap::new(), sources_kept: 0 }
    }

    /// Allocates the table for as many sources as there are connections.
    pub(crate) fn allocate(&mut self) {
        if self.per_source_max.is_some() {
            self.sources_kept = unmoved_capacity(self.connections_max);
            self.by_source.reserve(self.sources_kept);
        }
    }

    /// Why a connection of `peer` is refused while `served` connections are served; `None` if it is served.
    pub(crate) fn refusal(&self, peer: SocketAddr, served: usize) -> Option<Refusal> {
        self.server_refusal(served).or_else(|| self.source_refusal(peer))
    }

    /// Why any connection is refused while `served` connections are served.
    pub(crate) fn server_refusal(&self, served: usize) -> Option<Refusal> {
        (served >= self.connections_max).then_some(Refusal::Full(self.connections_max))
    }

    /// Why a connection of the source of `peer` is refused.
    pub(crate) fn source_refusal(&self, peer: SocketAddr) -> Option<Refusal> {
        let max = self.per_source_max?;
        let served = self.by_source.get(&SourceNetwork::of_connection(peer.ip())).copied().unwrap_or(0);
        (served as usize >= max).then_some(Refusal::SourceFull(max))
    }

    /// A connection of `peer` is served.
    pub(crate) fn add(&mut self, peer: SocketAddr) {
        if self.per_source_max.is_some() {
            *self.by_source.entry(SourceNetwork::of_connection(peer.ip())).or_default() += 1;
        }
    }

    /// A connection of `peer` that was served is closed.
    pub(crate) fn remove(&mut self, peer: SocketAddr) {
        if self.per_source_max.is_none() {
            return;
        }
        let source = SourceNetwork::of_connection(peer.ip());
        let Some(served) = self.by_source.get_mut(&source) else {
            debug_assert!(false, "{peer} was not added");
            return;
        };
        *served -= 1;
        if *served == 0 {
            self.by_source.remove(&source);
            self.by_source.shrink_to((SPARE_MAX * (self.by_source.len() + 16)).max(self.sources_kept));
        }
    }

    /// The connections that are counted.
    #[cfg(debug_assertions)]
    pub(crate) fn counted(&self) -> Option<usize> {
        self.per_source_max.map(|_| self.by_source.values().map(|served| *served as usize).sum())
    }
}

impl Refusal {
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            Self::Full(_) => CloseReason::Full,
            Self::SourceFull(_) => CloseReason::SourceFull,
            #[cfg(feature = "cli")]
            Self::NoThread => CloseReason::Full,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(max) => write!(f, "the server is full, it serves {max} connections"),
            Self::SourceFull(max) => write!(f, "your address has {max} connections, which is the limit"),
            #[cfg(feature = "cli")]
            Self::NoThread => f.write_str("the server is full, it has no thread left"),
        }
    }
}

/// The table of sources keeps room for this many times as many as it has and a few more.
const SPARE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn admissions(per_source_max: usize) -> Admissions {
        Admissions::new(&Limits { connections_per_source_max: Some(per_source_max), ..Limits::default() })
    }

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 4000)
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_the_64_bit_prefix_of_an_ipv6_address() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8:1:2::3", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::3", "2001:db8:1:3::3", false),
            ("::1", "0.0.0.0", false),
        ] {
            let mut admissions = admissions(1);
            admissions.add(peer(one));
            assert_eq!(admissions.refusal(peer(other), 1).is_some(), is_same, "{one} and {other}");
        }
    }

    #[test]
    fn a_source_at_its_limit_is_refused_until_one_of_its_connections_is_closed() {
        let mut admissions = admissions(2);
        let (greedy, other) = (peer("10.0.0.1"), peer("10.0.0.2"));
        admissions.add(greedy);
        assert_eq!(admissions.refusal(greedy, 1), None);
        admissions.add(greedy);
        assert_eq!(admissions.refusal(greedy, 2), Some(Refusal::SourceFull(2)));
        assert_eq!(admissions.refusal(other, 2), None);
        admissions.remove(greedy);
        assert_eq!(admissions.refusal(greedy, 1), None);
    }

    #[test]
    fn memory_is_bounded_by_the_connections_that_are_open() {
        let mut admissions = admissions(1);
        let peers: Vec<SocketAddr> =
            (0..10_000u32).map(|bits| SocketAddr::new(Ipv4Addr::from_bits(bits).into(), 1)).collect();
        peers.iter().for_each(|peer| admissions.add(*peer));
        assert_eq!(admissions.counted(), Some(10_000));
        peers[10..].iter().for_each(|peer| admissions.remove(*peer));
        let capacity = admissions.by_source.capacity();
        assert!((8 * 26..500).contains(&capacity), "{capacity}");
        assert_eq!(admissions.counted(), Some(10));
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let mut admissions = Admissions::new(&Limits::default());
        admissions.add(peer("10.0.0.1"));
        assert!(admissions.by_source.is_empty());
        admissions.remove(peer("10.0.0.1"));
    }

    #[test]
    fn a_refused_peer_reads_which_limit_was_reached() {
        for (refusal, text, reason) in [
            (Refusal::Full(7), "the server is full, it serves 7 connections", CloseReason::Full),
            (
                Refusal::SourceFull(3),
                "your address has 3 connections, which is the limit",
                CloseReason::SourceFull,
            ),
        ] {
            assert_eq!((refusal.to_string().as_str(), refusal.close_reason()), (text, reason));
        }
    }
}
