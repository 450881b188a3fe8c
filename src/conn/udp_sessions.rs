//! Sessions of datagram peers: a bounded table, and the order in which its entries are evicted.
//!
//! The source address of a datagram can be forged. So when the table is full, a new session evicts the oldest
//! one that has seen one datagram only; sessions that have seen more are evicted only when there are no
//! others, the longest silent first. The keys of the table are hashed with a random secret, so that peers
//! cannot be chosen to collide.

use std::collections::HashMap;
use std::net::SocketAddr;

use slab::Slab;

use crate::conn::deadlines::{DeadlineQueue, Link, Tick};
use crate::limits::Limits;
use crate::service::Session;

/// The peers of one endpoint that have a session.
#[derive(Debug)]
pub(crate) struct UdpSessions {
    entries_max: usize,
    by_peer: HashMap<SocketAddr, u32>,
    entries: Slab<Entry>,
    /// Those that have seen one datagram.
    fresh: DeadlineQueue<Entry>,
    /// Those that have seen more.
    confirmed: DeadlineQueue<Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: SocketAddr,
    confirmed: bool,
    link: Link,
}

impl UdpSessions {
    pub(crate) fn new(limits: &Limits) -> Self {
        let timeout = Some(limits.session_timeout);
        Self {
            entries_max: limits.sessions_max,
            by_peer: HashMap::new(),
            entries: Slab::new(),
            fresh: DeadlineQueue::absolute(timeout, |entry: &mut Entry| &mut entry.link),
            confirmed: DeadlineQueue::renewed(timeout, |entry: &mut Entry| &mut entry.link),
        }
    }

    /// Whether `peer` has a session. An IPv4 peer and its IPv4-mapped IPv6 address are the same peer.
    pub(crate) fn of(&self, peer: SocketAddr) -> Session {
        if self.by_peer.contains_key(&canonical(peer)) { Session::Open } else { Session::None }
    }

    /// Opens, renews or closes the session of `peer`.
    pub(crate) fn set(&mut self, peer: SocketAddr, session: Session, now: Tick) {
        let peer = canonical(peer);
        match (self.by_peer.get(&peer).copied(), session) {
            (None, Session::None) => {}
            (None, Session::Open) => self.open(peer, now),
            (Some(key), Session::None) => self.close(key),
            (Some(key), Session::Open) => {
                if !self.entries[key as usize].confirmed {
                    self.fresh.cancel(&mut self.entries, key);
                    self.entries[key as usize].confirmed = true;
                }
                self.confirmed.renew(&mut self.entries, key, now);
            }
        }
    }

    /// Closes sessions that have been idle for too long.
    pub(crate) fn expire(&mut self, now: Tick) {
        while let Some(key) =
            self.fresh.due(&mut self.entries, now).or_else(|| self.confirmed.due(&mut self.entries, now))
        {
            self.close(key);
        }
    }

    /// Milliseconds until the next session expires.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> Option<u32> {
        let fresh = self.fresh.wait_ms(&mut self.entries, now);
        let confirmed = self.confirmed.wait_ms(&mut self.entries, now);
        fresh.into_iter().chain(confirmed).min()
    }

    /// Panics unless each session is in one of the queues, and both are sorted.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&mut self) {
        let queued = self.fresh.check(&mut self.entries) + self.confirmed.check(&mut self.entries);
        assert_eq!((queued, self.by_peer.len()), (self.entries.len(), self.entries.len()), "sessions");
    }

    fn open(&mut self, peer: SocketAddr, now: Tick) {
        if self.entries.len() >= self.entries_max {
            match self.fresh.first().or(self.confirmed.first()) {
                Some(oldest) => self.close(oldest),
                None => return,
            }
        }
        let key = self.entries.insert(Entry { peer, confirmed: false, link: Link::UNLINKED });
        let key = u32::try_from(key).expect("sessions are counted in 32 bits");
        self.by_peer.insert(peer, key);
        self.fresh.arm(&mut self.entries, key, now);
    }

    fn close(&mut self, key: u32) {
        let queue = if self.entries[key as usize].confirmed { &mut self.confirmed } else { &mut self.fresh };
        queue.cancel(&mut self.entries, key);
        let entry = self.entries.remove(key as usize);
        self.by_peer.remove(&entry.peer);
    }
}

fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sessions(sessions_max: usize) -> UdpSessions {
        let session_timeout = Duration::from_millis(100);
        UdpSessions::new(&Limits { sessions_max, session_timeout, ..Limits::default() })
    }

    fn peer(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 4000))
    }

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    #[test]
    fn a_session_lasts_until_it_is_ended_or_idle() {
        let mut sessions = sessions(9);
        sessions.set(peer(1), Session::Open, at(0));
        sessions.set(peer(2), Session::Open, at(0));
        sessions.set(peer(3), Session::Open, at(0));
        sessions.set(peer(2), Session::None, at(1));
        sessions.set(peer(3), Session::Open, at(50));
        sessions.expire(at(100));
        assert_eq!([1, 2, 3].map(|n| sessions.of(peer(n))), [Session::None, Session::None, Session::Open]);
        assert_eq!(sessions.wait_ms(at(100)), Some(56));
        sessions.expire(at(156));
        assert_eq!((sessions.entries.len(), sessions.wait_ms(at(156))), (0, None));
    }

    #[test]
    fn a_full_table_gives_up_peers_that_never_asked_again_and_keeps_the_others() {
        let mut sessions = sessions(2);
        sessions.set(peer(1), Session::Open, at(0));
        sessions.set(peer(1), Session::Open, at(1));
        for number in 2..200 {
            sessions.set(peer(number), Session::Open, at(2));
        }
        assert_eq!(
            (sessions.entries.len(), sessions.of(peer(1)), sessions.of(peer(199))),
            (2, Session::Open, Session::Open)
        );
    }

    #[test]
    fn a_table_full_of_peers_that_have_asked_again_gives_up_the_longest_silent() {
        let mut sessions = sessions(2);
        for number in [1, 2, 1, 2] {
            sessions.set(peer(number), Session::Open, at(0));
        }
        sessions.set(peer(1), Session::Open, at(50));
        sessions.set(peer(3), Session::Open, at(51));
        assert_eq!([1, 2, 3].map(|n| sessions.of(peer(n))), [Session::Open, Session::None, Session::Open]);
    }

    #[test]
    fn an_ipv4_peer_is_the_same_in_ipv6_form() {
        let mut sessions = sessions(9);
        sessions.set("[::ffff:10.0.0.1]:4000".parse().unwrap(), Session::Open, at(0));
        assert_eq!(sessions.of(peer(1)), Session::Open);
    }
}
