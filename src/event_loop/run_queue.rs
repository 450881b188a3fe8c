//! The connections to visit, and their order: those that move bulk come last, and for a limited number of bytes.
//!
//! A peer that sends a short message does not wait for the bulk of others, however many they are, and they are
//! visited in every turn. A connection begins as a light one; a read that fills the short buffer of light ones,
//! or a peer that reads slowly, shows bulk, and a short read after that shows that it is over.

use std::collections::VecDeque;

use crate::conn::Flags;
use crate::conn::token::ConnId;
use crate::event_loop::{EventLoop, LoopError};
use crate::net::Net;

/// The connections to visit, each once.
#[derive(Debug, Default)]
pub(super) struct RunQueue {
    light: Vec<ConnId>,
    bulk: VecDeque<ConnId>,
}

impl RunQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.bulk.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, id: ConnId, is_bulk: bool) {
        if is_bulk { self.push_bulk(id) } else { self.light.push(id) }
    }

    #[inline(never)]
    fn push_bulk(&mut self, id: ConnId) {
        self.bulk.push_back(id);
    }

    #[cfg(debug_assertions)]
    pub(super) fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.light.iter().chain(&self.bulk).copied()
    }
}

/// What a turn has done with the connections that move bulk.
struct BulkOfTurn {
    visits_left: usize,
    moved_bytes: usize,
    /// The connection that is visited, and the bytes that the server had read before.
    visited: Option<(ConnId, u64)>,
}

impl<N: Net> EventLoop<N> {
    /// Visits connections in the run queue. Those that are queued meanwhile are visited in the next turn.
    pub(super) fn visit_ready(&mut self) -> Result<(), LoopError> {
        let visits_max = self.limits.visits_per_turn_max;
        let visits = self.run_queue.light.len().min(visits_max);
        let visits_left = self.run_queue.bulk.len().min(visits_max);
        let mut bulk = BulkOfTurn { visits_left, moved_bytes: 0, visited: None };
        // One loop for both, so that the visit is compiled into it.
        for index in 0.. {
            let (id, bytes_max) = if index < visits {
                (self.run_queue.light[index], self.limits.light_read_bytes_max)
            } else {
                let Some(id) = self.next_bulk(&mut bulk)? else { break };
                (id, self.limits.read_bytes_max)
            };
            if let Some(key) = self.table.find(id) {
                self.visit(key, bytes_max);
            }
            let journal_is_due = self.journal_is_behind() && self.held.is_empty();
            if journal_is_due || self.outbox.is_full(&self.limits) {
                self.commit_and_send()?;
            }
        }
        self.run_queue.light.drain(..visits);
        Ok(())
    }

    /// The next connection that moves bulk, after what the last has moved is counted.
    #[inline(never)]
    fn next_bulk(&mut self, bulk: &mut BulkOfTurn) -> Result<Option<ConnId>, LoopError> {
        if let Some((id, read_before)) = bulk.visited.take() {
            let read_bytes = usize::try_from(self.counters.read_bytes - read_before).unwrap_or(usize::MAX);
            bulk.moved_bytes += read_bytes;
            if let Some(key) = self.table.find(id).filter(|_| read_bytes < self.limits.light_read_bytes_max) {
                self.table.conn_mut(key).flags.remove(Flags::BULK);
            }
        } else if bulk.visits_left > 0 && !self.outbox.answers.is_empty() {
            // The answers to short messages do not wait for the bulk.
            self.commit_and_send()?;
        }
        if bulk.visits_left == 0 || bulk.moved_bytes >= self.limits.bulk_bytes_per_turn_max {
            return Ok(None);
        }
        bulk.visits_left -= 1;
        let Some(id) = self.run_queue.bulk.pop_front() else { return Ok(None) };
        if let Some(key) = self.table.find(id).filter(|key| self.can_write(self.table.conn(*key))) {
            bulk.moved_bytes += self.table.unsent(key).len();
        }
        bulk.visited = Some((id, self.counters.read_bytes));
        Ok(Some(id))
    }
}
