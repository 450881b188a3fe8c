//! What must be true after each turn. Debug builds check it, and so do all tests.

use crate::conn::Flags;
use crate::conn::token::ConnToken;
use crate::event_loop::EventLoop;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Panics if the parts of the loop disagree. With many connections it checks only some turns, so that a turn
    /// takes no longer than it must.
    pub(super) fn check_invariants(&mut self) {
        self.turns_to_check = self.turns_to_check.saturating_sub(1);
        if self.turns_to_check > 0 {
            return;
        }
        self.turns_to_check = self.table.len() / CONNECTIONS_PER_CHECK;
        self.table.check();
        self.sockets.iter_mut().for_each(|socket| socket.rules.sessions.check());
        self.check_lists();
        self.check_counts();
        self.check_memory();
        #[cfg(feature = "handlers")]
        self.check_handlers();
        assert!(self.outbox.is_empty(), "an answer is left in the outbox");
        assert!(self.run_queue.is_empty() || self.poll_timeout().is_some_and(|wait| wait.is_zero()));
    }

    /// A connection is in the run queue exactly if it is flagged so; likewise in the list of those that wait for
    /// the journal.
    fn check_lists(&self) {
        self.check_list(self.run_queue.iter(), Flags::QUEUED, "run queue");
        self.check_list(self.held.iter().copied(), Flags::HELD, "held list");
        self.check_list(self.starved.ids.iter().copied(), Flags::STARVED, "starved list");
    }

    fn check_list(&self, ids: impl Iterator<Item = ConnToken>, flag: u8, name: &str) {
        let mut listed = 0;
        for key in ids.filter_map(|id| self.table.find(id)) {
            assert!(self.table.conn(key).flags.contains(flag), "connection {key} is in the {name}");
            listed += 1;
        }
        let flagged = self.table.iter().filter(|conn| conn.flags.contains(flag)).count();
        assert_eq!(listed, flagged, "connections in the {name}, and those flagged so");
    }

    /// The budget holds after each turn, and a connection that is not read for it is in the list.
    fn check_memory(&self) {
        let (used, budget) = (self.memory_used(), self.limits.memory_bytes_max);
        // Buffers that connections share do not count against any of them, and have limits of their own.
        let is_within = used <= budget || self.table.stored_bytes() == 0;
        assert!(is_within, "{used} bytes are in use, of {budget}");
        for conn in self.table.iter() {
            let is_listed = conn.flags.contains(Flags::STARVED | Flags::QUEUED);
            assert!(is_listed || !self.waits_for_memory(conn), "a connection waits for memory, unlisted");
        }
    }

    fn check_counts(&self) {
        let (mut refused, mut admitted, mut open) = (0, 0, 0);
        for conn in self.table.iter().filter(|conn| !conn.is_admin()) {
            refused += usize::from(conn.session().reason().is_refusal());
            admitted += usize::from(self.counts_for_source(conn));
            open += 1;
        }
        assert_eq!(self.refusals, refused, "refused connections");
        assert!(refused <= self.limits.refusals_max, "{refused} connections are refused at once");
        assert!(open - refused <= self.limits.connections_max, "{open} connections are served at once");
        assert!(self.admissions.counted().is_none_or(|counted| counted == admitted), "counted sources");
        #[cfg(feature = "cli")]
        assert_eq!(self.admin.len(), self.table.len() - open, "admin connections");
        let closed: u64 = self.counters.closed.iter().sum();
        assert_eq!(self.counters.opened - closed, open as u64, "opened, less closed");
    }
}

/// Connections per unchecked turn.
const CONNECTIONS_PER_CHECK: usize = 256;
