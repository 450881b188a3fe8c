//! The connections to visit, and their order: those that move bulk come last, and for a limited number of bytes.
//! Admin connections come between: messages do not wait for them, and they do not wait for bulk.
//!
//! A peer that sends a short message does not wait for the bulk of others, however many they are, and they are
//! visited in every turn. A connection begins as a light one; a read that fills the short buffer of light ones,
//! or a peer that reads slowly, shows bulk, and a short read after that shows that it is over.

use std::collections::VecDeque;

use crate::conn::counters::Counters;
use crate::conn::token::ConnToken;
use crate::conn::{Conn, Flags};
use crate::event_loop::{EventLoop, LoopError};
use crate::limits::Limits;
use crate::net::Net;

/// Whether this build has an admin endpoint; without one, nothing of it is compiled.
const HAS_ADMIN: bool = cfg!(feature = "cli");

/// The connections to visit, each once.
#[derive(Debug, Default)]
pub(super) struct RunQueue {
    light: Vec<ConnToken>,
    admin: VecDeque<ConnToken>,
    bulk: VecDeque<ConnToken>,
}

impl RunQueue {
    /// Allocates all that `connections` need. A queue may have those that are closed meanwhile, too.
    pub(super) fn allocate(&mut self, connections: usize) {
        self.light = Vec::with_capacity(2 * connections);
        self.bulk = VecDeque::with_capacity(2 * connections);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.bulk.is_empty() && self.admin.is_empty()
    }

    /// Queues a visit of the connection, once.
    #[inline]
    pub(super) fn push<S>(&mut self, id: ConnToken, conn: &mut Conn<S>) {
        if conn.flags.contains(Flags::QUEUED) {
            return;
        }
        conn.flags.insert(Flags::QUEUED);
        if conn.flags.contains(Flags::BULK | Flags::ADMIN) {
            self.push_later(id, conn.flags);
        } else {
            self.light.push(id);
        }
    }

    #[inline(never)]
    fn push_later(&mut self, id: ConnToken, flags: Flags) {
        let queue = if HAS_ADMIN && flags.contains(Flags::ADMIN) { &mut self.admin } else { &mut self.bulk };
        queue.push_back(id);
    }

    #[cfg(debug_assertions)]
    pub(super) fn iter(&self) -> impl Iterator<Item = ConnToken> {
        self.light.iter().chain(&self.admin).chain(&self.bulk).copied()
    }
}

/// What a turn has done with the connections that are visited after the light ones.
struct LaterVisits {
    admin_left: usize,
    bulk_left: usize,
    /// Bytes moved by those that move bulk.
    moved_bytes: usize,
    visited: Option<Visited>,
}

/// The connection that is visited, and what the server had read and sent before.
struct Visited {
    id: ConnToken,
    is_admin: bool,
    /// It held bytes, so a short read may be the end of a long frame.
    had_bytes: bool,
    read_bytes: u64,
    sent_bytes: u64,
}

impl<N: Net> EventLoop<N> {
    /// Visits connections in the run queue. Those that are queued meanwhile are visited in the next turn.
    pub(super) fn visit_ready(&mut self) -> Result<(), LoopError> {
        let visits_max = self.limits.visits_per_turn_max;
        let visits = self.run_queue.light.len().min(visits_max);
        let mut later = LaterVisits {
            admin_left: self.run_queue.admin.len().min(ADMIN_VISITS_PER_TURN_MAX),
            bulk_left: self.run_queue.bulk.len().min(visits_max),
            moved_bytes: 0,
            visited: None,
        };
        // One loop for all, so that the visit is compiled into it.
        for index in 0.. {
            let (id, bytes_max) = if index < visits {
                (self.run_queue.light[index], self.limits.light_read_bytes_max)
            } else {
                let Some(next) = self.next_later(&mut later)? else { break };
                next
            };
            if self.table.find(id).is_some() {
                self.visit(id, bytes_max);
            }
            let journal_is_due = self.journal_is_behind() && self.held.is_empty();
            if journal_is_due || self.outbox.is_full(&self.limits) {
                self.commit_and_send()?;
            }
        }
        self.run_queue.light.drain(..visits);
        Ok(())
    }

    /// The next connection after the light ones, and how many bytes of it are read at most.
    #[inline(never)]
    fn next_later(&mut self, later: &mut LaterVisits) -> Result<Option<(ConnToken, usize)>, LoopError> {
        let is_first = later.visited.is_none();
        if let Some(visited) = later.visited.take() {
            self.after_later(later, &visited)?;
        }
        if is_first && later.admin_left + later.bulk_left > 0 && !self.outbox.answers.is_empty() {
            // The answers to short messages do not wait for the others.
            self.commit_and_send()?;
        }
        let admin = if HAS_ADMIN && later.admin_left > 0 { self.next_admin() } else { None };
        let (id, is_admin) = if admin.is_some() {
            later.admin_left -= 1;
            (admin, true)
        } else if later.bulk_left > 0 && later.moved_bytes < self.limits.bulk_bytes_per_turn_max {
            later.bulk_left -= 1;
            (self.run_queue.bulk.pop_front(), false)
        } else {
            return Ok(None);
        };
        let Some(id) = id else { return Ok(None) };
        let key = self.table.find(id).filter(|_| !is_admin);
        let had_bytes = key.is_some_and(|key| self.table.conn(key).has_buffers());
        if let Some(key) = key.filter(|key| self.can_write(self.table.conn(*key))) {
            later.moved_bytes += self.table.unsent(key).len();
        }
        let Counters { read_bytes, sent_bytes, .. } = self.counters;
        later.visited = Some(Visited { id, is_admin, had_bytes, read_bytes, sent_bytes });
        let Limits { admin_read_bytes_max, read_bytes_max, .. } = self.limits;
        let bytes_max = if is_admin { admin_read_bytes_max } else { read_bytes_max };
        Ok(Some((id, bytes_max)))
    }

    /// The next admin connection. Those that were closed meanwhile take no turn.
    fn next_admin(&mut self) -> Option<ConnToken> {
        let Self { run_queue, table, .. } = self;
        std::iter::from_fn(|| run_queue.admin.pop_front()).find(|id| table.find(*id).is_some())
    }

    /// Counts what the last of them has moved.
    fn after_later(&mut self, later: &mut LaterVisits, visited: &Visited) -> Result<(), LoopError> {
        let key = self.table.find(visited.id);
        if HAS_ADMIN && visited.is_admin {
            // What it is sent leaves now, alone, so that it can be left out of what is counted.
            self.commit_and_send()?;
            let has_sent = self.counters.read_bytes > visited.read_bytes;
            (self.counters.read_bytes, self.counters.sent_bytes) = (visited.read_bytes, visited.sent_bytes);
            if let Some(key) = self.table.find(visited.id).filter(|_| has_sent) {
                self.table.renew_admin(key, self.now);
            }
            return Ok(());
        }
        let read_bytes = usize::try_from(self.counters.read_bytes - visited.read_bytes).unwrap_or(usize::MAX);
        later.moved_bytes += read_bytes;
        if let Some(key) = key.filter(|_| read_bytes < self.limits.light_read_bytes_max && !visited.had_bytes)
        {
            self.table.conn_mut(key).flags.remove(Flags::BULK);
        }
        Ok(())
    }
}

/// Admin connections visited per turn. A response takes more time than a message, and messages wait for it.
const ADMIN_VISITS_PER_TURN_MAX: usize = 1;
