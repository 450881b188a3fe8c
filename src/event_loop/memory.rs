//! Keeping within the memory budget: which connections are read, which wait for memory, and which are closed.

use crate::conn::deadlines::Tick;
use crate::conn::memory::YOUNG_MS;
use crate::conn::table::ConnTable;
use crate::conn::token::ConnToken;
use crate::conn::{CloseReason, Conn, Flags};
use crate::event_loop::EventLoop;
use crate::net::Net;

/// The connections that wait for memory.
#[derive(Debug, Default)]
pub(super) struct Starved {
    /// Those that began to wait last are at the end. Each has [`Flags::STARVED`].
    pub(super) ids: Vec<ConnToken>,
    /// Empty; with a memory plan, its memory is for those that go on waiting.
    spare_ids: Vec<ConnToken>,
    /// Those of them whose peers have ended their side. They are closed, some in each turn: they need memory to
    /// finish, and most of their peers have left.
    ended: Vec<ConnToken>,
    /// The connections that are closed next.
    worst: Vec<u32>,
    /// Connections closed for memory in this turn.
    closed_in_turn: usize,
    /// Connections are to be closed in the next turn.
    is_over: bool,
    /// When the worst holders were last closed for them, or when the first of them began to wait.
    relieved_at: Tick,
    /// The least room since all of them were found to hold too much. With hardly more, they still do.
    room_seen: usize,
}

impl Starved {
    /// Allocates what does not depend on the number of connections. Returns the lists that do.
    pub(super) fn allocate(&mut self) -> [&mut Vec<ConnToken>; 3] {
        self.worst = Vec::with_capacity(CLOSED_PER_TURN_MAX);
        [&mut self.ids, &mut self.spare_ids, &mut self.ended]
    }
}

impl<N: Net> EventLoop<N> {
    /// The bytes of the budget that are in use.
    pub(super) fn memory_used(&self) -> usize {
        let shared = self.journal.buffer_bytes() + self.outbox.buffer_bytes() + self.read_buffer.len();
        self.table.stored_bytes() + self.table.spare_maps.bytes() + shared
    }

    /// Bytes that connections may add before some are closed.
    pub(super) fn memory_room(&self) -> usize {
        self.memory.room(self.memory_used())
    }

    /// How many bytes a connection may add to what it holds. One that holds nothing is not limited.
    #[inline]
    pub(super) fn room_of(&self, conn: &Conn<N::Stream>) -> usize {
        if conn.has_buffers() { self.room_of_holder(conn) } else { usize::MAX }
    }

    #[inline(never)]
    fn room_of_holder(&self, conn: &Conn<N::Stream>) -> usize {
        if conn.session().is_lingering() {
            return usize::MAX;
        }
        let is_young = self.table.frame_ms(conn, self.now).is_some_and(|age_ms| age_ms < YOUNG_MS);
        let share = self.memory.share(self.memory_used(), is_young);
        share.saturating_sub(self.table.held_bytes(conn)).min(self.table.planned_room(conn))
    }

    /// Whether a visit would read if the connection held less.
    pub(super) fn waits_for_memory(&self, conn: &Conn<N::Stream>) -> bool {
        self.would_read(conn) && self.room_of(conn) == 0
    }

    /// The connection is not read until memory is free.
    pub(super) fn starve(&mut self, key: u32) {
        if self.table.spare_maps.bytes() > 0 {
            self.table.spare_maps.clear();
            if self.can_continue(key) {
                return self.enqueue(key);
            }
        }
        let conn = self.table.conn_mut(key);
        let id = conn.id(key);
        let was_starved = conn.flags.contains(Flags::STARVED);
        conn.flags.insert(Flags::STARVED);
        let has_ended = conn.flags.contains(Flags::END_SEEN);
        let is_full = self.starved.ended.len() == self.starved.ended.capacity();
        // Without a place in a list that must not grow, it is closed by the next relief.
        if has_ended && !(is_full && self.limits.planned_buffer_bytes.is_some()) {
            push_open(&mut self.starved.ended, id, &self.table);
        }
        if was_starved {
            return;
        }
        if self.starved.ids.is_empty() {
            self.starved.relieved_at = self.now;
            self.starved.room_seen = 0;
        }
        push_open(&mut self.starved.ids, id, &self.table);
    }

    /// Closes the worst holders, but not `except`, if more is in use than may be.
    pub(super) fn shed_over_high_mark(&mut self, except: Option<u32>) {
        let mut over = self.memory_used().saturating_sub(self.memory.high_mark());
        if over > 0 && self.table.spare_maps.bytes() > 0 {
            self.table.spare_maps.clear();
            over = self.memory_used().saturating_sub(self.memory.high_mark());
        }
        self.starved.is_over = false;
        if over > 0 {
            self.shed(over + self.memory.step(), except);
            self.starved.is_over = self.memory_room() == 0;
        }
    }

    /// Closes connections that hold `bytes`, or as many as may be closed in this turn. Only to keep within the
    /// whole budget, there is no limit.
    fn shed(&mut self, bytes: usize, except: Option<u32>) {
        let is_urgent = self.memory_used() > self.memory.bytes_max();
        let count_max = if is_urgent { CLOSED_PER_TURN_MAX } else { self.closes_left() };
        if count_max == 0 {
            return;
        }
        let mut worst = std::mem::take(&mut self.starved.worst);
        self.table.find_worst_holders(&mut worst, bytes, count_max, except, self.now);
        worst.drain(..).for_each(|key| self.close_for_memory(key));
        self.starved.worst = worst;
    }

    /// Closes starved connections whose peers have ended their side.
    fn close_ended(&mut self) {
        while self.closes_left() > 0 {
            let Some(id) = self.starved.ended.pop() else { break };
            let key = self.table.find(id);
            if let Some(key) = key.filter(|key| self.table.conn(*key).flags.contains(Flags::STARVED)) {
                self.close_for_memory(key);
            }
        }
    }

    #[cold]
    pub(super) fn close_for_memory(&mut self, key: u32) {
        self.starved.closed_in_turn += 1;
        self.close(key, CloseReason::OutOfMemory);
    }

    fn closes_left(&self) -> usize {
        CLOSED_PER_TURN_MAX.saturating_sub(self.starved.closed_in_turn)
    }

    /// At the end of a turn: buffers that connections share may have grown since bytes were last stored.
    #[inline]
    pub(super) fn keep_within_memory(&mut self) {
        self.table.spare_maps.expire(self.now);
        if self.table.stored_bytes() > 0 {
            self.shed_over_high_mark(None);
        }
        if !self.starved.ids.is_empty() {
            self.resume_starved();
        }
        self.starved.closed_in_turn = 0;
    }

    /// Connections that waited for memory continue as far as there is room. While some wait, the
    /// worst holders are closed from time to time, because all could wait for each other.
    fn resume_starved(&mut self) {
        self.close_ended();
        if self.relief_due_ms() == Some(0) {
            self.starved.relieved_at = self.now;
            self.starved.room_seen = 0;
            let wanted = self.memory.step() * 4;
            self.shed(wanted.saturating_sub(self.memory_room()), None);
        }
        let room = self.memory_room();
        if room >= self.starved.room_seen.saturating_add(self.memory.step()) {
            self.resume_within(room);
        } else {
            self.starved.room_seen = self.starved.room_seen.min(room);
        }
    }

    /// Queues connections that may be read again, beginning with those that wait for the shortest time: of many
    /// that compete, at least these finish. Those that hold too much go to the front.
    fn resume_within(&mut self, room: usize) {
        let mut ids = std::mem::take(&mut self.starved.ids);
        let (mut promised, mut waiting) = (0, std::mem::take(&mut self.starved.spare_ids));
        while promised <= room / 2 {
            let Some(id) = ids.pop() else { break };
            let Some(key) = self.table.find(id) else { continue };
            let conn = self.table.conn(key);
            let conn_room = self.room_of(conn);
            if conn_room == 0 || conn.flags.contains(Flags::END_SEEN) {
                waiting.push(id);
                continue;
            }
            promised += conn_room.min(self.limits.long_read_bytes_max);
            self.table.conn_mut(key).flags.remove(Flags::STARVED);
            if self.can_continue(key) {
                self.enqueue(key);
            }
        }
        if ids.is_empty() {
            self.starved.room_seen = room;
        }
        waiting.reverse();
        waiting.append(&mut ids);
        let keeps_memory = self.limits.planned_buffer_bytes.is_some();
        if waiting.is_empty() {
            self.starved.ended.clear();
            if !keeps_memory {
                self.starved.ended.shrink_to_fit();
            }
        }
        self.starved.ids = waiting;
        if keeps_memory {
            self.starved.spare_ids = ids;
        }
    }

    /// Milliseconds until connections are closed for those that wait.
    pub(super) fn relief_wait_ms(&self) -> Option<u32> {
        let can_free = self.starved.is_over && self.table.stored_bytes() > 0;
        if can_free || !self.starved.ended.is_empty() {
            return Some(0);
        }
        self.relief_due_ms()
    }

    /// Milliseconds until the worst holders are closed for the connections that wait.
    fn relief_due_ms(&self) -> Option<u32> {
        let waited_ms = self.now.ms_since(self.starved.relieved_at);
        (!self.starved.ids.is_empty()).then(|| RELIEF_MS.saturating_sub(waited_ms))
    }
}

/// Adds `id` to a list of connections. Before the list grows, those that are closed meanwhile leave it.
pub(super) fn push_open<S>(ids: &mut Vec<ConnToken>, id: ConnToken, table: &ConnTable<S>) {
    if ids.len() == ids.capacity() {
        ids.retain(|id| table.find(*id).is_some());
    }
    ids.push(id);
}

/// Connections closed for memory in a turn. One with many bytes, stored and in the kernel, takes up to a tenth of a
/// millisecond.
const CLOSED_PER_TURN_MAX: usize = 32;

/// From one relief to the next, in milliseconds.
const RELIEF_MS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::net::kernel::KernelNet;
    use crate::net::sockets::SocketOptions;

    #[test]
    fn lists_of_connections_that_wait_keep_memory_with_a_plan_only() {
        let closed = ConnToken { key: 0, generation: 0 };
        for (limits, is_kept) in [(Limits::default(), false), (Limits::planned(100, 2048, 1 << 20), true)] {
            let mut server = EventLoop::new(KernelNet::new(SocketOptions::default()).unwrap(), limits);
            for _ in 0..2 {
                server.starved.ids.resize(100, closed);
                server.starved.ended.resize(100, closed);
                server.resume_within(1);
            }
            assert!(server.starved.ids.is_empty());
            let capacities = server.starved.ids.capacity() + server.starved.spare_ids.capacity();
            assert_eq!(capacities > 0, is_kept);
            assert_eq!(server.starved.ended.capacity() > 0, is_kept);
        }
    }
}
