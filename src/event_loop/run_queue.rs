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

    pub(super) fn push(&mut self, id: ConnId, is_bulk: bool) {
        if is_bulk { self.bulk.push_back(id) } else { self.light.push(id) }
    }

    #[cfg(debug_assertions)]
    pub(super) fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.light.iter().chain(&self.bulk).copied()
    }
}

impl<N: Net> EventLoop<N> {
    /// Visits connections in the run queue. Those that are queued meanwhile are visited in the next turn.
    pub(super) fn visit_ready(&mut self) -> Result<(), LoopError> {
        let bulk_visits = self.run_queue.bulk.len().min(self.limits.visits_per_turn_max);
        let visits = self.run_queue.light.len().min(self.limits.visits_per_turn_max);
        for index in 0..visits {
            if let Some(key) = self.table.find(self.run_queue.light[index]) {
                self.visit(key, self.limits.light_read_bytes_max);
            }
            self.commit_if_due()?;
        }
        self.run_queue.light.drain(..visits);
        if bulk_visits == 0 {
            return Ok(());
        }
        if visits > 0 {
            // The answers to short messages do not wait for the bulk.
            self.commit_and_send()?;
        }
        self.visit_bulk(bulk_visits)
    }

    /// The queue may hold thousands, of which a turn visits a few.
    fn visit_bulk(&mut self, visits: usize) -> Result<(), LoopError> {
        let mut moved_bytes = 0;
        for _ in 0..visits {
            if moved_bytes >= self.limits.bulk_bytes_per_turn_max {
                break;
            }
            let Some(id) = self.run_queue.bulk.pop_front() else { break };
            let Some(key) = self.table.find(id) else { continue };
            if self.can_write(self.table.conn(key)) {
                moved_bytes += self.table.unsent(key).len();
            }
            let read_before = self.counters.read_bytes;
            self.visit(key, self.limits.read_bytes_max);
            let read_bytes = usize::try_from(self.counters.read_bytes - read_before).unwrap_or(usize::MAX);
            moved_bytes += read_bytes;
            if let Some(key) = self.table.find(id).filter(|_| read_bytes < self.limits.light_read_bytes_max) {
                self.table.conn_mut(key).flags.remove(Flags::BULK);
            }
            self.commit_if_due()?;
        }
        Ok(())
    }

    /// Commits and sends if more bytes or connections should not wait for it.
    #[inline]
    fn commit_if_due(&mut self) -> Result<(), LoopError> {
        let journal_is_due = self.journal_is_behind() && self.held.is_empty();
        if journal_is_due || self.outbox.is_full(&self.limits) { self.commit_and_send() } else { Ok(()) }
    }
}
