//! Sessions of datagram peers: a bounded table, and the order in which its entries are evicted.
//!
//! The source address of a datagram can be forged, and nothing in these protocols proves that a peer receives its
//! replies. So no new session may cost an old one its place that is in use:
//!
//! | standing | reached by | evicted by a new peer |
//! |---|---|---|
//! | new | the first datagram | first, the longest silent before the others |
//! | active | a valid request | only if no session is new |
//! | established | the same, while fewer than half of the table are, and few of its network | never |
//!
//! A flood of forged peers can thus fill one half of the table and contend for the other, but ends no session
//! that was established before it. The keys of the tables are hashed with a random secret, so that peers cannot be
//! chosen to collide.

use std::collections::HashMap;
use std::net::SocketAddr;

use slab::Slab;

use crate::conn::deadlines::{DeadlineQueue, Link, Tick};
use crate::conn::established::Established;
use crate::conn::hash_key::{HashKey, unmoved_capacity};
use crate::limits::Limits;

/// The peers of one endpoint that have a session. An IPv4 peer is never in its IPv4-mapped IPv6 form.
#[derive(Debug)]
pub(crate) struct UdpSessions {
    entries_max: usize,
    by_peer: HashMap<SocketAddr, u32, HashKey>,
    entries: Slab<Entry>,
    /// By [`Standing`].
    queues: [DeadlineQueue<Entry>; 3],
    established: Established,
}

#[derive(Debug)]
struct Entry {
    peer: SocketAddr,
    standing: Standing,
    /// Errors since the last valid request.
    errors: u8,
    last_error: Tick,
    link: Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    Active,
    Established,
}

impl UdpSessions {
    pub(crate) fn new(limits: &Limits, hash_key: HashKey) -> Self {
        let timeout = Some(limits.session_timeout);
        Self {
            entries_max: limits.sessions_max,
            by_peer: HashMap::with_hasher(hash_key),
            entries: Slab::new(),
            queues: [(); 3].map(|()| DeadlineQueue::renewed(timeout, |entry: &mut Entry| &mut entry.link)),
            // Half of the table, so that a new peer always finds a place.
            established: Established::new(limits.sessions_max / 2, hash_key),
        }
    }

    /// Allocates the tables for all sessions.
    pub(crate) fn allocate(&mut self) {
        self.by_peer.reserve(unmoved_capacity(self.entries_max));
        self.entries.reserve_exact(self.entries_max);
    }

    /// The number of sessions.
    #[cfg(feature = "cli")]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The session of `peer`.
    pub(crate) fn find(&self, peer: SocketAddr) -> Option<u32> {
        self.by_peer.get(&peer).copied()
    }

    /// Opens a session of `peer`, which has none. A full table evicts another.
    pub(crate) fn open(&mut self, peer: SocketAddr, now: Tick) {
        if self.entries.len() >= self.entries_max {
            match self.queue(Standing::New).first().or(self.queue(Standing::Active).first()) {
                Some(oldest) => self.close(oldest),
                None => return,
            }
        }
        let entry = Entry {
            peer,
            standing: Standing::New,
            errors: 0,
            last_error: Tick::default(),
            link: Link::UNLINKED,
        };
        let key = u32::try_from(self.entries.insert(entry)).expect("sessions are counted in 32 bits");
        self.by_peer.insert(peer, key);
        self.queues[Standing::New as usize].arm(&mut self.entries, key, now);
    }

    /// Records a valid request of the session at `key`.
    pub(crate) fn on_request(&mut self, key: u32, now: Tick) {
        let entry = &mut self.entries[key as usize];
        entry.errors = 0;
        if entry.standing != Standing::Established {
            self.raise(key);
        }
        self.renew(key, now);
    }

    /// Records a request of the session at `key` that is answered with an error. Returns false if it must not be
    /// answered: the peer may be a service that answers our errors.
    ///
    /// A peer that has sent a valid request is sent [`ERRORS_AT_ONCE`] errors without a pause, another only one.
    /// After that a second must pass between two, and after [`ERRORS_IN_A_ROW_MAX`] there are no more until its
    /// next valid request.
    pub(crate) fn on_error(&mut self, key: u32, now: Tick) -> bool {
        let entry = &mut self.entries[key as usize];
        let at_once = if entry.standing == Standing::New { 1 } else { ERRORS_AT_ONCE };
        let is_late = now.ms_since(entry.last_error) >= ERROR_INTERVAL_MS;
        if entry.errors >= ERRORS_IN_A_ROW_MAX || entry.errors >= at_once && !is_late {
            return false;
        }
        entry.errors += 1;
        entry.last_error = now;
        self.renew(key, now);
        true
    }

    pub(crate) fn close(&mut self, key: u32) {
        let entry = &self.entries[key as usize];
        let (peer, standing) = (entry.peer, entry.standing);
        if standing == Standing::Established {
            self.established.remove(peer.ip());
        }
        self.queues[standing as usize].cancel(&mut self.entries, key);
        self.entries.remove(key as usize);
        self.by_peer.remove(&peer);
    }

    /// Closes sessions that have been idle for too long.
    pub(crate) fn expire(&mut self, now: Tick) {
        for queue in 0..self.queues.len() {
            while let Some(key) = self.queues[queue].due(&mut self.entries, now) {
                self.close(key);
            }
        }
    }

    /// Milliseconds until the next session expires.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> Option<u32> {
        self.queues.iter().filter_map(|queue| queue.wait_ms(&mut self.entries, now)).min()
    }

    /// Panics unless each session is in one of the queues, they are sorted, and the counts are right.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&mut self) {
        let queued = [0, 1, 2].map(|queue| self.queues[queue].check(&mut self.entries));
        let all = self.entries.len();
        assert_eq!((queued.iter().sum::<usize>(), self.by_peer.len()), (all, all), "sessions");
        self.established.check(queued[Standing::Established as usize]);
        assert!(all <= self.entries_max, "sessions are bounded");
    }

    fn queue(&self, standing: Standing) -> &DeadlineQueue<Entry> {
        &self.queues[standing as usize]
    }

    fn renew(&mut self, key: u32, now: Tick) {
        let standing = self.entries[key as usize].standing;
        self.queues[standing as usize].renew(&mut self.entries, key, now);
    }

    /// Gives a session that is not established the best standing there is room for. It is in no queue then, if
    /// the standing is another.
    fn raise(&mut self, key: u32) {
        let (peer, before) = (self.entries[key as usize].peer, self.entries[key as usize].standing);
        let standing = if self.established.add(peer.ip()) { Standing::Established } else { Standing::Active };
        if standing != before {
            self.queues[before as usize].cancel(&mut self.entries, key);
            self.entries[key as usize].standing = standing;
        }
    }
}

/// Errors in a row that are answered without a pause, once the peer has sent a valid request.
const ERRORS_AT_ONCE: u8 = 8;

/// Errors in a row that are answered at all.
const ERRORS_IN_A_ROW_MAX: u8 = 16;

/// From one of the other errors to the next, in milliseconds.
const ERROR_INTERVAL_MS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sessions(sessions_max: usize) -> UdpSessions {
        let session_timeout = Duration::from_millis(100);
        let limits = Limits { sessions_max, session_timeout, ..Limits::default() };
        UdpSessions::new(&limits, HashKey([1, 2]))
    }

    fn peer(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 4000))
    }

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    fn established(sessions: &UdpSessions, peers: &[SocketAddr]) -> usize {
        peers.iter().filter(|peer| sessions.find(**peer).is_some()).count()
    }

    /// A datagram of `peer`, which is a valid request if it has a session.
    fn ask(sessions: &mut UdpSessions, peer: SocketAddr, now: Tick) {
        match sessions.find(peer) {
            None => sessions.open(peer, now),
            Some(key) => sessions.on_request(key, now),
        }
    }

    #[test]
    fn a_session_lasts_until_it_is_ended_or_idle() {
        let mut sessions = sessions(9);
        for number in [1, 2, 3] {
            ask(&mut sessions, peer(number), at(0));
        }
        sessions.close(sessions.find(peer(2)).unwrap());
        ask(&mut sessions, peer(3), at(50));
        sessions.expire(at(106));
        assert_eq!([1, 2, 3].map(|n| sessions.find(peer(n)).is_some()), [false, false, true]);
        assert_eq!(sessions.wait_ms(at(106)), Some(50));
        sessions.expire(at(156));
        assert_eq!((sessions.entries.len(), sessions.wait_ms(at(156))), (0, None));
        sessions.check();
    }

    #[test]
    fn a_full_table_gives_up_new_peers_first_then_the_longest_silent_and_never_an_established_one() {
        let mut sessions = sessions(4);
        // The second request of a peer establishes two of them, which are all that may be; 3 is only active.
        for number in [1, 1, 3, 3] {
            ask(&mut sessions, SocketAddr::from(([10, 0, number, 1], 1)), at(0));
        }
        ask(&mut sessions, peer(5), at(1));
        ask(&mut sessions, peer(5), at(1));
        for number in 6..200 {
            ask(&mut sessions, peer(number), at(2));
        }
        let survivors = [(1, 1), (3, 1), (0, 5), (0, 199)]
            .map(|(c, d)| SocketAddr::from(([10, 0, c, d], if c == 0 { 4000 } else { 1 })));
        assert_eq!(survivors.map(|peer| sessions.find(peer).is_some()), [true; 4]);
        // A fourth peer that asks again leaves no new one: then the active one that is longest silent goes.
        ask(&mut sessions, peer(199), at(3));
        ask(&mut sessions, peer(200), at(4));
        ask(&mut sessions, peer(200), at(4));
        assert_eq!(survivors.map(|peer| sessions.find(peer).is_some()), [true, true, false, true]);
        sessions.check();
    }

    #[test]
    fn a_million_forged_sources_end_no_session_that_is_in_use_and_cost_a_bounded_table() {
        let mut sessions = UdpSessions::new(&Limits::default(), HashKey([1, 2]));
        let real: Vec<_> = (0..500).map(|n| SocketAddr::from(([192, 0, 2, 1], 10_000 + n))).collect();
        for _ in 0..2 {
            real.iter().for_each(|peer| ask(&mut sessions, *peer, at(0)));
        }
        let (entries_max, mut now) = (Limits::default().sessions_max, 0);
        for number in 0..1_000_000_u32 {
            // From everywhere, and again and again from the same, with as many requests as real peers send.
            let address = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
            let forged = SocketAddr::from((address, 4000));
            for _ in 0..=number % 3 {
                ask(&mut sessions, forged, at(now));
            }
            now = u64::from(number / 10_000);
        }
        assert_eq!(established(&sessions, &real), real.len());
        assert_eq!(sessions.entries.len(), entries_max);
        assert!(
            sessions.entries.capacity() <= 2 * entries_max && sessions.by_peer.capacity() <= 4 * entries_max
        );
        sessions.check();
    }

    #[test]
    fn one_network_cannot_take_all_places_of_established_sessions() {
        let mut sessions = sessions(64);
        let greedy: Vec<_> = (0..60).map(|n| SocketAddr::from(([10, 0, 0, n], 1))).collect();
        for _ in 0..3 {
            greedy.iter().for_each(|peer| ask(&mut sessions, *peer, at(0)));
        }
        assert_eq!(sessions.queues[Standing::Established as usize].check(&mut sessions.entries), 4);
        let later = SocketAddr::from(([10, 0, 1, 1], 1));
        [(); 2].iter().for_each(|()| ask(&mut sessions, later, at(1)));
        (0..200).for_each(|n| ask(&mut sessions, SocketAddr::from(([10, 0, 0, n], 2)), at(2)));
        assert_eq!(established(&sessions, &[later]), 1);
        sessions.check();
    }

    #[test]
    fn errors_in_a_row_are_few_and_come_with_pauses_until_a_valid_request() {
        let mut sessions = sessions(9);
        ask(&mut sessions, peer(1), at(0));
        let key = sessions.find(peer(1)).unwrap();
        let errors = |sessions: &mut UdpSessions, count: usize, ms| {
            (0..count).filter(|_| sessions.on_error(key, at(ms))).count()
        };
        assert_eq!(errors(&mut sessions, 9, 1), 1);
        assert_eq!(errors(&mut sessions, 9, 1000), 0);
        assert_eq!(errors(&mut sessions, 9, 1001), 1);
        sessions.on_request(key, at(1001));
        assert_eq!(errors(&mut sessions, 99, 1002), usize::from(ERRORS_AT_ONCE));
        let later: usize = (2..99).map(|second| errors(&mut sessions, 1, 1002 + 1000 * second)).sum();
        assert_eq!(later, usize::from(ERRORS_IN_A_ROW_MAX - ERRORS_AT_ONCE));
        sessions.on_request(key, at(200_000));
        assert_eq!(errors(&mut sessions, 1, 200_000), 1);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "established")]
    fn a_wrong_count_of_established_sessions_is_found() {
        let mut sessions = sessions(9);
        ask(&mut sessions, peer(1), at(0));
        assert!(sessions.established.add(peer(2).ip()));
        sessions.check();
    }
}
