//! The answers of a turn, from the read to the send: one buffer for all of them, and the range of each.

#[cfg(feature = "handlers")]
use std::collections::VecDeque;
use std::ops::Range;

use crate::conn::token::ConnToken;
#[cfg(feature = "handlers")]
use crate::event_loop::handlers::groups::Places;
use crate::limits::Limits;
use crate::net::Datagram;

/// The answers that wait for the commit.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Services append to it.
    pub(super) bytes: Vec<u8>,
    pub(super) answers: Vec<Answer>,
    /// What handlers send to others. Each has an answer to [`ConnToken::NOBODY`] at its place among the answers.
    #[cfg(feature = "handlers")]
    pub(super) deliveries: VecDeque<Delivery>,
    /// Answers to datagrams, and the runs of them that are sent together.
    pub(super) datagrams: Vec<Datagram>,
    pub(super) runs: Vec<DatagramRun>,
    /// The capacity that is kept in any case, in bytes.
    kept_bytes: usize,
}

/// The answer to a connection. Its range is empty if only bytes of an earlier turn are to be sent, or if the
/// connection is to be ended.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) to: ConnToken,
    pub(super) bytes: Range<usize>,
    /// It acknowledges a message that must be in the journal first.
    pub(super) needs_commit: bool,
}

/// What a handler sends to others than the connection that it is called for.
#[cfg(feature = "handlers")]
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) to: Recipients,
    pub(super) bytes: Range<usize>,
    pub(super) needs_commit: bool,
}

/// Who receives it.
#[cfg(feature = "handlers")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipients {
    Conn(ConnToken),
    /// The connection is sent nothing more, and ends.
    Ending(ConnToken),
    /// The same, and the peer may go on to send.
    SendingEnds(ConnToken),
    /// The connection is reset.
    Aborted(ConnToken),
    /// The members of a group.
    Group(Places),
}

/// Consecutive answers of one socket that all wait for the commit, or none.
#[derive(Debug, Clone)]
pub(super) struct DatagramRun {
    pub(super) socket: usize,
    pub(super) needs_commit: bool,
    /// Its end in the list of answers; it begins where the run before it ends.
    pub(super) end: usize,
}

impl Outbox {
    /// Allocates memory for `bytes` of `answers`, and for as many `datagrams`, in addition to what was allocated before.
    pub(super) fn allocate(&mut self, bytes: usize, answers: usize, datagrams: usize) {
        self.kept_bytes += bytes;
        self.bytes.reserve_exact(self.kept_bytes);
        self.answers.reserve_exact(self.answers.capacity() + answers);
        self.datagrams.reserve_exact(self.datagrams.capacity() + datagrams);
        self.runs.reserve_exact(self.runs.capacity() + datagrams);
    }

    /// Whether it is time to commit before more is read.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.answers.len() >= limits.visits_per_commit_max
            || self.bytes.len() >= limits.answer_bytes_per_commit_max
    }

    /// Queues the bytes from `start` on as an answer, if there are any.
    #[cfg(feature = "handlers")]
    pub(super) fn push_answer(&mut self, to: ConnToken, start: usize, needs_commit: bool) {
        let bytes = start..self.bytes.len();
        if !bytes.is_empty() {
            self.answers.push(Answer { to, bytes, needs_commit });
        }
    }

    /// Queues `bytes` for `to`. What is published to a group in a row is sent at once.
    #[cfg(feature = "handlers")]
    pub(super) fn deliver(&mut self, to: Recipients, bytes: &[u8], needs_commit: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        let is_last = self.answers.last().is_some_and(|answer| answer.to == ConnToken::NOBODY);
        if let Some(last) = self.deliveries.back_mut().filter(|_| is_last) {
            if last.to == to && last.needs_commit == needs_commit && last.bytes.end == start {
                last.bytes.end = end;
                return;
            }
        }
        self.deliveries.push_back(Delivery { to, bytes: start..end, needs_commit });
        self.answers.push(Answer { to: ConnToken::NOBODY, bytes: start..end, needs_commit });
    }

    pub(super) fn push_datagram(&mut self, socket: usize, needs_commit: bool, answer: Datagram) {
        self.datagrams.push(answer);
        let end = self.datagrams.len();
        match self.runs.last_mut() {
            Some(last) if last.socket == socket && last.needs_commit == needs_commit => last.end = end,
            _ => self.runs.push(DatagramRun { socket, needs_commit, end }),
        }
    }

    /// The memory of the answers, in bytes. Of what a memory plan has allocated, that counts which is in use.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.bytes.capacity().saturating_sub(self.kept_bytes).max(self.bytes.len())
    }

    #[cfg(debug_assertions)]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.answers.is_empty() && self.datagrams.is_empty() && self.runs.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(CAPACITY_KEPT_BYTES.max(self.kept_bytes));
        self.answers.clear();
        #[cfg(feature = "handlers")]
        self.deliveries.clear();
        self.datagrams.clear();
        self.runs.clear();
    }
}

/// The capacity that the buffer keeps from turn to turn, in bytes.
const CAPACITY_KEPT_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn a_run_is_of_one_socket_and_waits_for_the_commit_or_does_not() {
        let mut outbox = Outbox::default();
        assert!(outbox.is_empty());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        for (socket, needs_commit) in [(0, false), (0, false), (0, true), (1, true), (1, true), (1, false)] {
            outbox.push_datagram(socket, needs_commit, Datagram { bytes: 0..0, peer, local: None });
        }
        let runs: Vec<_> = outbox.runs.iter().map(|run| (run.socket, run.needs_commit, run.end)).collect();
        assert_eq!(runs, [(0, false, 2), (0, true, 3), (1, true, 5), (1, false, 6)]);
    }

    #[test]
    fn an_outbox_is_empty_without_bytes_answers_and_datagrams() {
        let mut outbox = Outbox::default();
        outbox.bytes.push(0);
        assert!(!outbox.is_empty());
        assert!(outbox.buffer_bytes() > 1);
        outbox.clear();
        let to = ConnToken { key: 0, generation: 0 };
        outbox.answers.push(Answer { to, bytes: 0..0, needs_commit: false });
        assert!(!outbox.is_empty());
        outbox.clear();
        assert!(outbox.is_empty());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        outbox.push_datagram(0, false, Datagram { bytes: 0..0, peer, local: None });
        assert!(!outbox.is_empty());
    }

    #[test]
    fn the_buffer_of_answers_is_let_go_of_after_a_long_turn() {
        let mut outbox = Outbox::default();
        outbox.bytes.resize(4 * CAPACITY_KEPT_BYTES, 0);
        outbox.clear();
        assert!(outbox.buffer_bytes() <= CAPACITY_KEPT_BYTES);
        // That of a usual turn is not.
        outbox.bytes.resize(256 * 1024, 0);
        outbox.clear();
        assert!(outbox.buffer_bytes() >= 256 * 1024);
    }
}
