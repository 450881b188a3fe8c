//! The generator's connections, and what is in flight on them.
//!
//! A message in flight is known by when it was due and when it was sent. Replies arrive in the order of the
//! messages, so a queue of these times is enough, and messages that were sent together share one entry. The
//! first entry is in the connection. Only messages that are sent while others are in flight need a queue,
//! which is reused once it is empty.

use std::collections::VecDeque;

use slab::Slab;

use super::batch::Batch;
use super::conn::{Conn, ConnEvent, State};
use crate::conn::token::ConnToken;

/// What a connection has only for a time.
#[derive(Debug)]
enum Extra {
    /// It was requested then, and is not established.
    Connecting { since_ns: u64 },
    /// It was requested at `since_ns`, was established after `connect_ns`, and is not open.
    Introducing { since_ns: u64, connect_ns: u64, awaited: Awaited },
    /// Messages that were sent after the oldest batch, and not answered.
    Later(VecDeque<Batch>),
}

/// What the server has to send before a connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// What it sends first.
    Greeting,
    /// The reply to the hello.
    Reply,
    /// Nothing more.
    Nothing,
}

impl<S> Conn<S> {
    /// Whether all messages in flight, if there are any, were sent together.
    #[inline]
    pub(crate) fn has_one_batch(&self) -> bool {
        self.extra == NONE
    }
}

/// All connections of a run, by slot.
#[derive(Debug)]
pub(crate) struct ConnTable<S> {
    slots: Vec<Conn<S>>,
    extras: Slab<Extra>,
    /// Empty queues, for reuse.
    spare: Vec<VecDeque<Batch>>,
}

impl<S> ConnTable<S> {
    /// Capacity for `count` connections, none of them open.
    pub(crate) fn new(count: usize) -> Self {
        let mut slots = Vec::new();
        slots.reserve_exact(count);
        Self { slots, extras: Slab::new(), spare: Vec::new() }
    }

    /// Adds a slot, without a connection. Its memory is used from now on.
    pub(crate) fn add(&mut self) -> u32 {
        let key = narrow(self.slots.len());
        self.slots.push(Conn {
            stream: None,
            generation: 0,
            state: State::Closed,
            oldest: Batch { sent_ns: 0, lag_us: 0, count: 0 },
            extra: NONE,
            reply_bytes: 0,
            unsent: 0,
            written: 0,
        });
        key
    }

    pub(crate) fn get(&self, key: u32) -> &Conn<S> {
        &self.slots[key as usize]
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> &mut Conn<S> {
        &mut self.slots[key as usize]
    }

    pub(crate) fn len(&self) -> u32 {
        narrow(self.slots.len())
    }

    /// The current connection of a slot, as distinct from earlier ones.
    pub(crate) fn id(&self, key: u32) -> ConnToken {
        ConnToken { key, generation: self.get(key).generation.into() }
    }

    /// The slot of `id`, if that is still the slot's connection.
    pub(crate) fn find(&self, id: ConnToken) -> Option<u32> {
        let conn = self.slots.get(id.key as usize)?;
        (u16::from(conn.generation) == id.generation && conn.state != State::Closed).then_some(id.key)
    }

    /// Changes the state of a connection.
    pub(crate) fn apply(&mut self, key: u32, event: ConnEvent) {
        let conn = self.get_mut(key);
        conn.state = conn.state.after(event);
    }

    /// Adds `batch` to the messages in flight, as the last.
    pub(crate) fn push(&mut self, key: u32, batch: Batch) {
        let conn = &mut self.slots[key as usize];
        if conn.oldest.count == 0 {
            conn.oldest = batch;
        } else {
            self.queue(key, batch);
        }
    }

    /// Removes up to `count` of the oldest messages in flight, all of one batch; `None` if there are none.
    pub(crate) fn pop(&mut self, key: u32, count: u32) -> Option<Batch> {
        let conn = &mut self.slots[key as usize];
        let oldest = conn.oldest;
        if oldest.count == 0 {
            return None;
        }
        let count = count.min(oldest.count);
        conn.oldest.count -= count;
        if conn.oldest.count == 0 && conn.extra != NONE {
            self.promote_next(key);
        }
        Some(Batch { count, ..oldest })
    }

    /// Adds `batch` behind the oldest. Outside [`push`](Self::push), since mostly one batch is in flight.
    #[cold]
    fn queue(&mut self, key: u32, batch: Batch) {
        let conn = &mut self.slots[key as usize];
        debug_assert!(
            !matches!(conn.state, State::Connecting | State::Introducing),
            "one message waits for its connection"
        );
        if let Some(Extra::Later(queue)) = self.extras.get_mut(conn.extra as usize) {
            queue.push_back(batch);
        } else {
            let mut queue = self.spare.pop().unwrap_or_default();
            queue.push_back(batch);
            conn.extra = narrow(self.extras.insert(Extra::Later(queue)));
        }
    }

    /// The oldest batch is answered: makes the next one the oldest.
    #[cold]
    fn promote_next(&mut self, key: u32) {
        let conn = &mut self.slots[key as usize];
        let Some(Extra::Later(queue)) = self.extras.get_mut(conn.extra as usize) else { return };
        if let Some(batch) = queue.pop_front() {
            conn.oldest = batch;
        }
        if queue.is_empty() {
            self.spare.push(std::mem::take(queue));
            self.extras.remove(conn.extra as usize);
            conn.extra = NONE;
        }
    }

    /// A connection is requested, and opens at once or [later](Self::open_later). Events of the slot's previous
    /// connection no longer apply.
    pub(crate) fn request(&mut self, key: u32) {
        self.apply(key, ConnEvent::Requested);
        let conn = self.get_mut(key);
        conn.generation = conn.generation.wrapping_add(1);
    }

    /// A connection that was requested at `since_ns` is not open yet.
    pub(crate) fn open_later(&mut self, key: u32, since_ns: u64) {
        self.get_mut(key).extra = narrow(self.extras.insert(Extra::Connecting { since_ns }));
    }

    /// When a connection that is not open was requested.
    pub(crate) fn opening_since(&self, key: u32) -> Option<u64> {
        match self.extras.get(self.get(key).extra as usize) {
            Some(Extra::Connecting { since_ns } | Extra::Introducing { since_ns, .. }) => Some(*since_ns),
            Some(Extra::Later(_)) | None => None,
        }
    }

    /// A connection is established at `now_ns`, and not open before `awaited` has come.
    pub(crate) fn introduce(&mut self, key: u32, now_ns: u64, awaited: Awaited) {
        self.apply(key, ConnEvent::Connected);
        let extra = self.get(key).extra;
        if let Some(it @ &mut Extra::Connecting { since_ns }) = self.extras.get_mut(extra as usize) {
            *it = Extra::Introducing { since_ns, connect_ns: now_ns.saturating_sub(since_ns), awaited };
        }
    }

    /// What a connection that is introduced waits for.
    pub(crate) fn awaited(&self, key: u32) -> Awaited {
        match self.extras.get(self.get(key).extra as usize) {
            Some(Extra::Introducing { awaited, .. }) => *awaited,
            Some(Extra::Connecting { .. } | Extra::Later(_)) | None => Awaited::Nothing,
        }
    }

    pub(crate) fn set_awaited(&mut self, key: u32, next: Awaited) {
        let extra = self.get(key).extra;
        if let Some(Extra::Introducing { awaited, .. }) = self.extras.get_mut(extra as usize) {
            *awaited = next;
        }
    }

    /// A connection is open at `now_ns`. Returns how long it took to be established.
    pub(crate) fn establish(&mut self, key: u32, now_ns: u64) -> u64 {
        self.apply(key, ConnEvent::Established);
        match self.stop_opening(key) {
            Some(Extra::Connecting { since_ns }) => now_ns.saturating_sub(since_ns),
            Some(Extra::Introducing { connect_ns, .. }) => connect_ns,
            Some(Extra::Later(_)) | None => 0,
        }
    }

    fn stop_opening(&mut self, key: u32) -> Option<Extra> {
        self.opening_since(key)?;
        let extra = std::mem::replace(&mut self.get_mut(key).extra, NONE);
        self.extras.try_remove(extra as usize)
    }

    /// The connection has ended. Returns its stream and the number of messages that were in flight.
    pub(crate) fn end(&mut self, key: u32) -> (Option<S>, u64) {
        self.stop_opening(key);
        let mut in_flight = 0;
        while let Some(batch) = self.pop(key, u32::MAX) {
            in_flight += u64::from(batch.count);
        }
        self.apply(key, ConnEvent::Ended);
        let conn = &mut self.slots[key as usize];
        (conn.reply_bytes, conn.unsent, conn.written) = (0, 0, 0);
        (conn.stream.take(), in_flight)
    }

    /// The streams of the slots.
    pub(crate) fn into_streams(self) -> Vec<Option<S>> {
        self.slots.into_iter().map(|conn| conn.stream).collect()
    }

    /// The number of connections in each state `is` holds of.
    pub(crate) fn count(&self, is: impl Fn(State) -> bool) -> u64 {
        self.slots.iter().filter(|conn| is(conn.state)).count() as u64
    }

    /// Messages in flight on a connection.
    pub(crate) fn in_flight_on(&self, key: u32) -> u32 {
        let conn = self.get(key);
        let later = match self.extras.get(conn.extra as usize) {
            Some(Extra::Later(queue)) => queue.iter().map(|batch| batch.count).sum(),
            Some(Extra::Connecting { .. } | Extra::Introducing { .. }) | None => 0,
        };
        conn.oldest.count + later
    }

    /// Messages in flight on all connections.
    pub(crate) fn in_flight(&self) -> u64 {
        let later = self.extras.iter().filter_map(|(_, extra)| match extra {
            Extra::Later(queue) => Some(queue),
            Extra::Connecting { .. } | Extra::Introducing { .. } => None,
        });
        let batches = self.slots.iter().map(|conn| &conn.oldest).chain(later.flatten());
        batches.map(|batch| u64::from(batch.count)).sum()
    }

    /// Asserts, in debug builds, what holds of each connection between two turns.
    pub(crate) fn check(&self) {
        let mut extras = 0;
        for conn in &self.slots {
            let extra = self.extras.get(conn.extra as usize);
            extras += usize::from(extra.is_some());
            debug_assert_eq!(conn.extra == NONE, extra.is_none());
            let is_connecting = matches!(extra, Some(Extra::Connecting { .. }));
            debug_assert_eq!(conn.state == State::Connecting, is_connecting);
            let is_introducing = matches!(extra, Some(Extra::Introducing { .. }));
            debug_assert_eq!(conn.state == State::Introducing, is_introducing);
            if let Some(Extra::Later(queue)) = extra {
                debug_assert!(!queue.is_empty() && conn.oldest.count > 0);
            }
            debug_assert_eq!(conn.state == State::Closed, conn.stream.is_none());
            if conn.state == State::Closed {
                let in_use = (conn.oldest.count, conn.reply_bytes, conn.unsent, conn.written);
                debug_assert_eq!(in_use, (0, 0, 0, 0));
            }
        }
        debug_assert_eq!(extras, self.extras.len(), "each belongs to one connection");
    }
}

pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("connections and the bytes of a buffer are counted in 32 bits")
}

/// Index of no [`Extra`].
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64, count: u32) -> Batch {
        Batch::on_time(sent_ns, count)
    }

    fn one() -> (ConnTable<()>, u32) {
        let mut conns = ConnTable::new(1);
        let key = conns.add();
        (conns, key)
    }

    #[test]
    fn messages_are_answered_in_the_order_in_which_they_were_sent() {
        let (mut conns, key) = one();
        for (sent_ns, count) in [(1, 2), (2, 1), (3, 3)] {
            conns.push(key, batch(sent_ns, count));
        }
        assert_eq!(conns.pop(key, 1), Some(batch(1, 1)));
        assert_eq!(conns.pop(key, 5), Some(batch(1, 1)));
        assert_eq!(conns.pop(key, 4), Some(batch(2, 1)));
        assert_eq!(conns.pop(key, 2), Some(batch(3, 2)));
        assert_eq!(conns.pop(key, 2), Some(batch(3, 1)));
        assert_eq!(conns.pop(key, 1), None);
    }

    #[test]
    fn answered_messages_leave_one_spare_queue() {
        let (mut conns, key) = one();
        for _ in 0..3 {
            conns.push(key, batch(1, 1));
            conns.push(key, batch(2, 1));
            while conns.pop(key, 1).is_some() {}
            assert_eq!((conns.extras.len(), conns.spare.len()), (0, 1));
        }
    }

    #[test]
    fn the_id_of_an_ended_connection_is_not_found_again() {
        let (mut conns, key) = one();
        conns.request(key);
        conns.open_later(key, 7);
        let first = conns.id(key);
        assert_eq!((conns.find(first), conns.establish(key, 9)), (Some(key), 2));
        conns.push(key, batch(1, 2));
        conns.push(key, batch(2, 1));
        assert_eq!(conns.end(key), (None, 3));
        assert_eq!(conns.find(first), None);
        conns.request(key);
        conns.open_later(key, 8);
        assert_eq!(conns.find(first), None);
        assert_eq!((conns.find(conns.id(key)), conns.opening_since(key)), (Some(key), Some(8)));
        assert_eq!((conns.end(key), conns.extras.len()), ((None, 0), 0));
    }
}
