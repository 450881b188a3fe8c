//! The table of connections: a slab of them, a slab of the bytes that are on the way, and the queues of
//! their deadlines.
//!
//! It keeps these together so that a connection that is removed is gone from all of them. It knows neither
//! the network nor the services.

use std::net::SocketAddr;

use slab::Slab;

use crate::conn::deadlines::{DeadlineQueue, Link, Tick};
use crate::conn::peer_addr::Peers;
use crate::conn::token::{ConnId, GENERATION_MASK};
use crate::conn::{CloseReason, Conn, Flags, NO_PENDING, Pending, State};
use crate::limits::Limits;

/// The connections of the server.
#[derive(Debug)]
pub(crate) struct ConnTable<S> {
    pub(crate) conns: Slab<Conn<S>>,
    pub(crate) pendings: Slab<Pending>,
    pub(crate) peers: Peers,
    pub(crate) idle: DeadlineQueue<Conn<S>>,
    pub(crate) lingering: DeadlineQueue<Conn<S>>,
    pub(crate) frames: DeadlineQueue<Pending>,
    pub(crate) writes: DeadlineQueue<Pending>,
    generation: u16,
}

impl<S> ConnTable<S> {
    pub(crate) fn new(limits: &Limits) -> Self {
        // Address space for all of them at once, so that the table never moves; memory comes with the
        // connections. Without a sensible limit it grows as it must.
        let capacity = (limits.connections_max.saturating_add(limits.refusals_max)).min(CAPACITY_AT_START);
        Self {
            conns: Slab::with_capacity(capacity),
            pendings: Slab::new(),
            peers: Peers::default(),
            idle: DeadlineQueue::renewed(limits.idle_timeout, |conn: &mut Conn<S>| &mut conn.link),
            lingering: DeadlineQueue::absolute(Some(limits.linger_timeout), |conn: &mut Conn<S>| {
                &mut conn.link
            }),
            frames: DeadlineQueue::absolute(limits.frame_timeout, |pending| &mut pending.frame_link),
            writes: DeadlineQueue::renewed(limits.write_timeout, |pending| &mut pending.write_link),
            generation: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.conns.len()
    }

    /// A connection in state `Open`, in no queue.
    pub(crate) fn insert(&mut self, stream: S, peer: SocketAddr, endpoint: u8) -> ConnId {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MASK;
        let key = self.conns.insert(Conn {
            stream,
            peer: self.peers.keep(peer),
            generation: self.generation,
            endpoint,
            state: State::Open,
            flags: Flags::fresh(),
            reason: CloseReason::Served,
            pending: NO_PENDING,
            link: Link::LOOSE,
        });
        ConnId {
            key: u32::try_from(key).expect("connections are counted in 32 bits"),
            generation: self.generation,
        }
    }

    /// Removes the connection from the table and from every queue, and returns its stream.
    pub(crate) fn remove(&mut self, key: u32) -> S {
        self.drop_pending(key);
        self.unlink(key);
        let conn = self.conns.remove(key as usize);
        self.peers.forget(conn.peer);
        conn.stream
    }

    /// The slot of `id`, if it is still that connection's. An event that was on its way when a connection
    /// was closed finds its slot empty or with another tenant, and must reach neither.
    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        let conn = self.conns.get(id.key as usize)?;
        (conn.generation == id.generation).then_some(id.key)
    }

    pub(crate) fn id(&self, key: u32) -> ConnId {
        ConnId { key, generation: self.conn(key).generation }
    }

    pub(crate) fn conn(&self, key: u32) -> &Conn<S> {
        &self.conns[key as usize]
    }

    pub(crate) fn conn_mut(&mut self, key: u32) -> &mut Conn<S> {
        &mut self.conns[key as usize]
    }

    pub(crate) fn peer(&self, key: u32) -> SocketAddr {
        self.peers.address(self.conn(key).peer)
    }

    pub(crate) fn pending(&self, key: u32) -> Option<&Pending> {
        match self.conn(key).pending {
            NO_PENDING => None,
            pending => Some(&self.pendings[pending as usize]),
        }
    }

    /// The bytes on the way of the connection, to be added to; [`tidy`](Self::tidy) follows.
    pub(crate) fn pending_mut(&mut self, key: u32) -> &mut Pending {
        let conn = &mut self.conns[key as usize];
        if conn.pending == NO_PENDING {
            let place = self.pendings.insert(Pending::of(key));
            conn.pending = u32::try_from(place).expect("connections are counted in 32 bits");
        }
        &mut self.pendings[conn.pending as usize]
    }

    pub(crate) fn unsent_bytes(&self, key: u32) -> usize {
        self.unsent_bytes_of(self.conn(key))
    }

    /// The same, of a connection that is at hand.
    pub(crate) fn unsent_bytes_of(&self, conn: &Conn<S>) -> usize {
        match conn.pending {
            NO_PENDING => 0,
            pending => self.pendings[pending as usize].unsent().len(),
        }
    }

    /// Whether nothing is on the way in either direction.
    pub(crate) fn is_quiet(&self, key: u32) -> bool {
        self.pending(key).is_none()
    }

    /// Lets go of what is held for the connection once it is nothing.
    pub(crate) fn tidy(&mut self, key: u32) {
        if self.pending(key).is_some_and(Pending::is_over) {
            self.drop_pending(key);
        }
    }

    pub(crate) fn drop_pending(&mut self, key: u32) {
        let pending = std::mem::replace(&mut self.conn_mut(key).pending, NO_PENDING);
        if pending != NO_PENDING {
            self.frames.cancel(&mut self.pendings, pending);
            self.writes.cancel(&mut self.pendings, pending);
            self.pendings.remove(pending as usize);
        }
    }

    /// The connection was active between frames.
    pub(crate) fn renew_idle(&mut self, key: u32, now: Tick) {
        self.idle.renew(&mut self.conns, key, now);
    }

    /// The connection is over, but for what its peer may still send.
    pub(crate) fn linger(&mut self, key: u32, now: Tick) {
        self.idle.cancel(&mut self.conns, key);
        self.lingering.arm(&mut self.conns, key, now);
    }

    /// The beginning of a frame that the connection has had so far; it is the caller's now.
    pub(crate) fn take_unread(&mut self, key: u32) -> Vec<u8> {
        match self.conn(key).pending {
            NO_PENDING => Vec::new(),
            pending => std::mem::take(self.pendings[pending as usize].unread()),
        }
    }

    /// Gives it back, with what came in between. Nothing is kept of nothing.
    pub(crate) fn keep_unread(&mut self, key: u32, unread: Vec<u8>) {
        if !unread.is_empty() {
            *self.pending_mut(key).unread() = unread;
        }
    }

    /// Holds `answer` until it can leave.
    pub(crate) fn hold_unsent(&mut self, key: u32, answer: &[u8]) {
        if !answer.is_empty() {
            self.pending_mut(key).hold(answer);
        }
    }

    /// The first byte of a frame has come.
    pub(crate) fn begin_frame(&mut self, key: u32, now: Tick) {
        let pending = self.conn(key).pending;
        if pending != NO_PENDING {
            self.frames.arm(&mut self.pendings, pending, now);
        }
    }

    /// The frame that had begun is whole, or will never be.
    pub(crate) fn end_frame(&mut self, key: u32) {
        let pending = self.conn(key).pending;
        if pending != NO_PENDING {
            self.frames.cancel(&mut self.pendings, pending);
        }
    }

    /// A write left something unsent. The peer's time begins with the first such write, and again
    /// whenever it has `taken` some; an attempt that it took nothing of changes nothing.
    pub(crate) fn time_write(&mut self, key: u32, taken: bool, now: Tick) {
        let pending = self.conn(key).pending;
        if pending != NO_PENDING && (taken || self.pendings[pending as usize].write_link.is_loose()) {
            self.writes.renew(&mut self.pendings, pending, now);
        }
    }

    /// Nothing is owed to the peer any more.
    pub(crate) fn write_done(&mut self, key: u32) {
        let pending = self.conn(key).pending;
        if pending != NO_PENDING {
            self.writes.cancel(&mut self.pendings, pending);
        }
    }

    /// Milliseconds until the first deadline of any kind.
    pub(crate) fn wait_ms(&mut self, now: Tick) -> Option<u32> {
        [
            self.idle.wait_ms(&mut self.conns, now),
            self.lingering.wait_ms(&mut self.conns, now),
            self.frames.wait_ms(&mut self.pendings, now),
            self.writes.wait_ms(&mut self.pendings, now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn unlink(&mut self, key: u32) {
        match self.conn(key).state {
            State::Lingering => self.lingering.cancel(&mut self.conns, key),
            State::Open | State::Ending | State::Finishing | State::Closed => {
                self.idle.cancel(&mut self.conns, key);
            }
        }
    }
}

/// 32 MiB of address space.
const CAPACITY_AT_START: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn table() -> ConnTable<u32> {
        ConnTable::new(&Limits { idle_timeout: Some(Duration::from_secs(1)), ..Limits::default() })
    }

    fn insert(table: &mut ConnTable<u32>, stream: u32) -> ConnId {
        table.insert(stream, SocketAddr::from(([127, 0, 0, 1], 4000)), 0)
    }

    #[test]
    fn an_event_of_a_closed_connection_does_not_reach_the_next_tenant_of_its_slot() {
        let mut table = table();
        let old = insert(&mut table, 1);
        table.remove(old.key);
        assert_eq!(table.find(old), None);
        let new = insert(&mut table, 2);
        assert_eq!(new.key, old.key, "the slot is used again");
        assert_eq!(table.find(old), None);
        assert_eq!(table.find(new), Some(new.key));
    }

    #[test]
    fn a_generation_comes_round_without_harm() {
        let mut table = table();
        let mut ids = Vec::new();
        for _ in 0..=u32::from(GENERATION_MASK) {
            let id = insert(&mut table, 1);
            table.remove(id.key);
            ids.push(id);
        }
        let id = insert(&mut table, 1);
        let same = ids.iter().filter(|old| **old == id).count();
        assert_eq!(same, 1, "only that of {} connections ago", ids.len());
    }

    #[test]
    fn a_removed_connection_is_in_no_queue_and_holds_nothing() {
        let mut table = table();
        let later = Tick::after(Duration::from_secs(1000));
        let ids: Vec<ConnId> = (0..4).map(|stream| insert(&mut table, stream)).collect();
        for id in &ids {
            table.renew_idle(id.key, Tick::default());
            table.keep_unread(id.key, vec![1]);
            table.begin_frame(id.key, Tick::default());
            table.hold_unsent(id.key, b"answer");
            table.time_write(id.key, false, Tick::default());
        }
        table.linger(ids[1].key, Tick::default());
        table.conn_mut(ids[1].key).state = State::Lingering;
        assert_eq!(table.wait_ms(later), Some(0));
        for id in ids {
            table.remove(id.key);
        }
        assert_eq!((table.len(), table.pendings.len(), table.wait_ms(later)), (0, 0, None));
    }

    #[test]
    fn bytes_on_the_way_are_held_only_while_there_are_any() {
        let mut table = table();
        let key = insert(&mut table, 1).key;
        table.keep_unread(key, Vec::new());
        table.hold_unsent(key, b"");
        assert!(table.is_quiet(key));
        table.hold_unsent(key, b"answer");
        assert_eq!((table.unsent_bytes(key), table.is_quiet(key)), (6, false));
        table.pending_mut(key).advance(6);
        table.tidy(key);
        assert!(table.is_quiet(key));
        assert_eq!(table.pendings.len(), 0);
    }

    #[test]
    fn only_progress_renews_the_time_of_a_peer_that_takes_nothing() {
        let mut table = table();
        let at = |seconds| Tick::after(Duration::from_secs(seconds));
        let key = insert(&mut table, 1).key;
        table.hold_unsent(key, b"answer");
        table.time_write(key, false, at(0));
        table.time_write(key, false, at(20));
        let wait_ms = table.wait_ms(at(20)).unwrap();
        assert!((10_000..13_000).contains(&wait_ms), "{wait_ms}");
        table.time_write(key, true, at(20));
        assert!(table.wait_ms(at(20)).unwrap() >= 30_000);
    }
}
