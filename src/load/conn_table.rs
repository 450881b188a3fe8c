//! The generator's connections: 40 bytes each, and what is in flight on them.
//!
//! A message in flight is known by when it was due and when it was sent. Replies come in the order of the
//! messages, so a queue of these times is all there is to keep, and messages that were sent together share
//! one entry. The first entry lives in the connection; only what is sent while another is in flight needs
//! more, and gives it back when it is answered.

use std::collections::VecDeque;

use slab::Slab;

use crate::conn::token::ConnId;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    Closed,
    /// It was asked for and is not there yet.
    Connecting,
    /// It takes messages.
    Open,
    /// It takes no more bytes until the kernel says so.
    Blocked,
    /// It takes no more bytes at all; what has come before is still to be read.
    Broken,
}

/// A connection of the generator.
#[derive(Debug)]
pub(crate) struct Conn<S> {
    pub(crate) stream: Option<S>,
    generation: u8,
    pub(crate) state: State,
    /// The oldest messages in flight.
    oldest: Batch,
    /// Place of all later ones, or [`NONE`].
    later: u32,
    /// Bytes that have come of the reply that is on its way.
    pub(crate) reply_bytes: u32,
    /// Messages in flight that are not wholly handed to the kernel.
    pub(crate) unsent: u32,
    /// Bytes of the first of them that are.
    pub(crate) written: u32,
}

/// Messages that were sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// When they were sent.
    pub(crate) sent_ns: u64,
    /// How long before that they were due, in microseconds: rounded up, so that no response looks faster
    /// than it was.
    pub(crate) lag_us: u32,
    /// How many.
    pub(crate) count: u32,
}

impl Batch {
    /// Messages that were due at `due_ns` and are sent at `now_ns`.
    pub(crate) fn due(due_ns: u64, now_ns: u64, count: u32) -> Self {
        let lag_us = now_ns.saturating_sub(due_ns).div_ceil(1000);
        Self { sent_ns: now_ns, lag_us: u32::try_from(lag_us).unwrap_or(u32::MAX), count }
    }
}

/// All connections of a run, by number.
#[derive(Debug)]
pub(crate) struct ConnTable<S> {
    slots: Vec<Conn<S>>,
    later: Slab<VecDeque<Batch>>,
    /// Queues that were used and are empty, to be used again.
    spare: Vec<VecDeque<Batch>>,
}

impl<S> ConnTable<S> {
    /// Room for `count` connections, none of them open.
    pub(crate) fn new(count: usize) -> Self {
        let mut slots = Vec::new();
        slots.reserve_exact(count);
        Self { slots, later: Slab::new(), spare: Vec::new() }
    }

    /// One more connection. It is in memory from now on.
    pub(crate) fn add(&mut self) -> u32 {
        let key = u32::try_from(self.slots.len()).expect("connections are counted in 32 bits");
        self.slots.push(Conn {
            stream: None,
            generation: 0,
            state: State::Closed,
            oldest: Batch { sent_ns: 0, lag_us: 0, count: 0 },
            later: NONE,
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
        u32::try_from(self.slots.len()).expect("connections are counted in 32 bits")
    }

    /// The connection and not the one that had its place before.
    pub(crate) fn id(&self, key: u32) -> ConnId {
        ConnId { key, generation: self.get(key).generation.into() }
    }

    /// The place of `id`, if it is still that connection's.
    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        let conn = self.slots.get(id.key as usize)?;
        (u16::from(conn.generation) == id.generation && conn.state != State::Closed).then_some(id.key)
    }

    /// `batch` is sent behind all that is in flight.
    pub(crate) fn push(&mut self, key: u32, batch: Batch) {
        let conn = &mut self.slots[key as usize];
        if conn.oldest.count == 0 {
            conn.oldest = batch;
        } else {
            self.queue(key, batch);
        }
    }

    /// Takes up to `count` of the oldest messages in flight, all of one batch; `None` if there are none.
    pub(crate) fn pop(&mut self, key: u32, count: u32) -> Option<Batch> {
        let conn = &mut self.slots[key as usize];
        let oldest = conn.oldest;
        if oldest.count == 0 {
            return None;
        }
        let count = count.min(oldest.count);
        conn.oldest.count -= count;
        if conn.oldest.count == 0 && conn.later != NONE {
            self.move_up(key);
        }
        Some(Batch { count, ..oldest })
    }

    /// `batch` is sent behind the oldest. Away from [`push`](Self::push), since mostly one is in flight.
    #[cold]
    fn queue(&mut self, key: u32, batch: Batch) {
        let conn = &mut self.slots[key as usize];
        if conn.later == NONE {
            let queue = self.spare.pop().unwrap_or_default();
            conn.later = u32::try_from(self.later.insert(queue)).expect("connections are counted in 32 bits");
        }
        self.later[conn.later as usize].push_back(batch);
    }

    /// The oldest is answered, and the one behind it is the oldest now.
    #[cold]
    fn move_up(&mut self, key: u32) {
        let conn = &mut self.slots[key as usize];
        let queue = &mut self.later[conn.later as usize];
        if let Some(batch) = queue.pop_front() {
            conn.oldest = batch;
        }
        if queue.is_empty() {
            let place = std::mem::replace(&mut conn.later, NONE);
            self.spare.push(self.later.remove(place as usize));
        }
    }

    /// A connection is asked for at `now_ns`. Events of the one that had the place before do not reach it.
    pub(crate) fn begin(&mut self, key: u32, now_ns: u64) {
        let conn = &mut self.slots[key as usize];
        conn.generation = conn.generation.wrapping_add(1);
        conn.state = State::Connecting;
        if conn.oldest.count == 0 {
            conn.oldest.sent_ns = now_ns;
        }
    }

    /// When a connection that has just come was asked for.
    pub(crate) fn begun_ns(&self, key: u32) -> u64 {
        self.get(key).oldest.sent_ns
    }

    /// The next connection at this place is asked for with the one message of `batch`, to be sent on it.
    pub(crate) fn reserve(&mut self, key: u32, batch: Batch) {
        self.push(key, batch);
        self.get_mut(key).unsent = batch.count;
    }

    /// The connection is over. Returns its stream, and how many messages were in flight.
    pub(crate) fn end(&mut self, key: u32) -> (Option<S>, u64) {
        let mut in_flight = 0;
        while let Some(batch) = self.pop(key, u32::MAX) {
            in_flight += u64::from(batch.count);
        }
        let conn = &mut self.slots[key as usize];
        (conn.reply_bytes, conn.unsent, conn.written) = (0, 0, 0);
        conn.state = State::Closed;
        (conn.stream.take(), in_flight)
    }

    /// The number of connections whose state `is` what is asked.
    pub(crate) fn count(&self, is: impl Fn(State) -> bool) -> u64 {
        self.slots.iter().filter(|conn| is(conn.state)).count() as u64
    }

    /// Messages in flight on all connections.
    pub(crate) fn in_flight(&self) -> u64 {
        let oldest = self.slots.iter().map(|conn| &conn.oldest);
        let later = self.later.iter().flat_map(|(_, queue)| queue);
        oldest.chain(later).map(|batch| u64::from(batch.count)).sum()
    }

    /// Asserts, in debug builds, what holds of each connection between two turns.
    pub(crate) fn check(&self) {
        let mut queues = 0;
        for conn in &self.slots {
            let queue = self.later.get(conn.later as usize);
            queues += usize::from(queue.is_some());
            debug_assert_eq!(conn.state == State::Closed, conn.stream.is_none());
            debug_assert_eq!(conn.later == NONE, queue.is_none());
            debug_assert!(queue.is_none_or(|queue| !queue.is_empty() && conn.oldest.count > 0));
            if conn.state == State::Closed {
                debug_assert_eq!(
                    (conn.oldest.count, conn.reply_bytes, conn.unsent, conn.written),
                    (0, 0, 0, 0)
                );
            }
        }
        debug_assert_eq!(queues, self.later.len(), "a queue belongs to one connection");
    }
}

/// No place.
const NONE: u32 = u32::MAX;

/// What a connection may cost: it is what a million of them costs.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Conn<std::net::TcpStream>>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64, count: u32) -> Batch {
        Batch { sent_ns, lag_us: 0, count }
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
    fn what_is_answered_leaves_nothing_behind_but_one_spare_queue() {
        let (mut conns, key) = one();
        for _ in 0..3 {
            conns.push(key, batch(1, 1));
            conns.push(key, batch(2, 1));
            while conns.pop(key, 1).is_some() {}
            assert_eq!((conns.later.len(), conns.spare.len()), (0, 1));
        }
    }

    #[test]
    fn an_ended_connection_is_found_no_more_and_neither_is_the_one_after_by_its_name() {
        let (mut conns, key) = one();
        conns.begin(key, 0);
        let first = conns.id(key);
        assert_eq!(conns.find(first), Some(key));
        conns.push(key, batch(1, 2));
        conns.push(key, batch(2, 1));
        assert_eq!(conns.end(key), (None, 3));
        assert_eq!(conns.find(first), None);
        conns.begin(key, 0);
        assert_eq!(conns.find(first), None);
        assert_eq!(conns.find(conns.id(key)), Some(key));
    }
}
