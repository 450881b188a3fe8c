//! The memory plan: everything is allocated at the start, and nothing afterwards.
//!
//! Limits become such that no list and no buffer grows beyond what is allocated. What a plan has no space for is
//! refused, or its connection is closed.

use crate::event_loop::EventLoop;
use crate::limits::Limits;
use crate::net::{HAS_UDP, Net};

impl Limits {
    /// Fits the other limits to the memory plan, if there is one.
    pub(super) fn fit_to_plan(&mut self) {
        let Some(buffer_bytes) = &mut self.planned_buffer_bytes else { return };
        *buffer_bytes = (*buffer_bytes).max(BUFFER_BYTES_MIN);
        // So the answers to a read, and what is unsent before it, fit into a buffer.
        let part_bytes = *buffer_bytes / 4;
        for bytes_max in [&mut self.read_bytes_max, &mut self.long_read_bytes_max, &mut self.unsent_bytes_max]
        {
            *bytes_max = (*bytes_max).min(part_bytes);
        }
        let connections = self.connections_max + self.refusals_max;
        // Each turn visits all that were queued before it, so that the queue has a connection once.
        self.visits_per_turn_max = 2 * connections;
        self.bulk_bytes_per_turn_max = usize::MAX;
        self.accepts_per_turn_max = self.accepts_per_turn_max.min(ACCEPTS_PER_TURN_MAX);
        self.datagrams_per_turn_max = self.datagrams_per_turn_max.min(DATAGRAMS_PER_TURN_MAX);
    }

    /// The most that the answers to one read take.
    fn answer_bytes_max(&self) -> usize {
        2 * self.read_bytes_max + ANSWER_BYTES
    }

    /// The most that lines of the journal take: those that are not written, and those of one read.
    fn line_bytes_max(&self) -> usize {
        self.journal_bytes_max + 8 * self.read_bytes_max + ANSWER_BYTES
    }
}

impl<N: Net> EventLoop<N> {
    /// Allocates all that the memory plan needs, if there is one, but for endpoints.
    pub(super) fn allocate(&mut self) {
        let Some(buffer_bytes) = self.limits.planned_buffer_bytes else { return };
        let limits = &self.limits;
        let connections = limits.connections_max + limits.refusals_max;
        let answer_bytes = limits.answer_bytes_per_commit_max + limits.answer_bytes_max();
        let shared_bytes = limits.read_bytes_max + answer_bytes + limits.line_bytes_max();
        let pool_bytes = limits.memory_bytes_max.saturating_sub(shared_bytes);
        let buffers = (pool_bytes / buffer_bytes).min(2 * connections).max(BUFFERS_MIN);
        self.table.allocate(connections);
        self.table.spare_maps.allocate(buffers, buffer_bytes);
        self.admissions.allocate();
        self.run_queue.allocate(connections);
        let starved = self.starved.allocate();
        for list in starved.into_iter().chain([&mut self.held, &mut self.ended_idle]) {
            list.reserve_exact(connections);
        }
        self.outbox.allocate(answer_bytes, limits.visits_per_commit_max + 1, 0);
        if HAS_UDP {
            self.received.reserve_exact(limits.datagrams_per_turn_max);
        }
        self.other_events.reserve_exact(limits.events_per_poll_max);
        self.net.allocate(limits.events_per_poll_max);
    }

    /// Allocates what an endpoint needs that accepts connections.
    pub(super) fn allocate_listener(&mut self) {
        if self.limits.planned_buffer_bytes.is_some() {
            let accepts = self.limits.accepts_per_turn_max;
            self.outbox.allocate(accepts * ANSWER_BYTES, accepts, 0);
        }
    }

    /// Allocates what an endpoint needs that was added last, and receives datagrams.
    pub(super) fn allocate_socket(&mut self) {
        if self.limits.planned_buffer_bytes.is_some() {
            let datagrams = self.limits.datagrams_per_turn_max;
            self.outbox.allocate(datagrams * ANSWER_BYTES, 0, datagrams);
            self.sockets.iter_mut().for_each(|socket| socket.rules.sessions.allocate());
        }
    }

    /// Allocates what the journal needs.
    pub(super) fn allocate_lines(&mut self) {
        if self.limits.planned_buffer_bytes.is_some() {
            self.journal.allocate(self.limits.line_bytes_max());
        }
    }
}

/// The smallest buffers. In a quarter of them, some of the usual short messages are read at once.
const BUFFER_BYTES_MIN: usize = 2048;

/// The least number of buffers: one to read into and one to send from, for a few connections.
const BUFFERS_MIN: usize = 8;

/// Connections accepted per turn at an endpoint: their first answers are in memory together.
const ACCEPTS_PER_TURN_MAX: usize = 32;

/// Datagrams received per turn at an endpoint.
const DATAGRAMS_PER_TURN_MAX: usize = 32;

/// The most that the first answer to a connection, the answer to a datagram, or a refusal takes.
const ANSWER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::kernel::KernelNet;
    use crate::net::sockets::SocketOptions;

    #[test]
    fn a_plan_may_be_for_one_connection_and_for_no_memory() {
        for (connections_max, memory_bytes_max) in [(0, 0), (1, 0), (1, 1 << 20), (3, 1 << 30)] {
            let limits =
                Limits { refusals_max: 1, ..Limits::planned(connections_max, 100, memory_bytes_max) };
            let net = KernelNet::new(SocketOptions::default()).unwrap();
            let server = EventLoop::new(net, limits);
            assert_eq!(server.table.spare_maps.planned_bytes(), Some(BUFFER_BYTES_MIN));
        }
    }
}
