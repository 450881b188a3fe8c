//! The bounds of `Limits` that can be seen from outside, checked with each call of the server.

use loopline::frame::HEADER_BYTES;
use loopline::limits::Limits;

use super::peer::{ACKNOWLEDGEMENT_BYTES, MESSAGE_BYTES_MAX, Peer};
use super::status::{REQUEST, STATUS};
use super::wire::Wire;

pub struct Bounds {
    limits: Limits,
    /// Bytes of answers that the server has made since it last wrote to the journal, and at which of its writes.
    answers_bytes: usize,
    journal_writes: u64,
}

impl Bounds {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), answers_bytes: 0, journal_writes: 0 }
    }

    /// The server has read `taken` bytes of `wire`. `journal_writes` counts its writes to the journal.
    pub fn on_read(&mut self, peer: &Peer, wire: &Wire, taken: usize, journal_writes: u64) {
        let Limits { linger_bytes_max, unsent_bytes_max, answer_bytes_per_commit_max, .. } = self.limits;
        if let Some((_, read_before)) = wire.server_ended {
            let discarded = wire.read_bytes - read_before;
            assert!(
                discarded <= linger_bytes_max + self.limits.read_bytes_max,
                "{discarded} bytes discarded"
            );
            return;
        }
        // Frames behind the header of a client that is refused are not answered.
        if wire.header_bytes > 0 && self.limits.connections_per_source_max.is_some() {
            return;
        }
        let answers = peer.answers_bytes(wire.read_bytes);
        let unsent = answers.saturating_sub(wire.sent.len());
        let of_a_visit =
            if wire.is_admin() { self.admin_answers_of_a_visit() } else { self.answers_of_a_visit() };
        assert!(unsent <= unsent_bytes_max + of_a_visit, "{unsent} bytes unsent for one peer");
        // What an admin one is sent leaves with its visit.
        if wire.is_admin() {
            return;
        }

        if std::mem::replace(&mut self.journal_writes, journal_writes) != journal_writes {
            self.answers_bytes = 0;
        }
        self.answers_bytes += answers - peer.answers_bytes(wire.read_bytes - taken);
        assert!(
            self.answers_bytes <= answer_bytes_per_commit_max + self.answers_of_a_visit(),
            "{} bytes of answers before a commit",
            self.answers_bytes
        );
    }

    /// The server passes `bytes` of unwritten lines of connections to the journal.
    pub fn on_journal_write(limits: &Limits, bytes: usize) {
        // Two services write to it, at two endpoints each, and each of these is found out to do so by its first visit.
        let lines_of_a_visit = limits.read_bytes_max + HEADER_BYTES + MESSAGE_BYTES_MAX + 100;
        assert!(bytes <= limits.journal_bytes_max + 5 * lines_of_a_visit, "{bytes} bytes of lines unwritten");
    }

    fn admin_answers_of_a_visit(&self) -> usize {
        (self.limits.admin_read_bytes_max / REQUEST.len() + 1) * STATUS.len()
    }

    /// A visit completes at most a frame that had begun, and those that fit into the read.
    fn answers_of_a_visit(&self) -> usize {
        (self.limits.read_bytes_max / HEADER_BYTES + 1) * ACKNOWLEDGEMENT_BYTES
    }
}
