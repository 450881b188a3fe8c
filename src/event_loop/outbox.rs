//! The answers of a turn, between gather and scatter: one buffer for all of them, and whose is which.

use std::ops::Range;

use crate::conn::token::ConnId;
use crate::limits::Limits;
use crate::net::Datagram;

/// What waits for the commit.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Services append to it.
    pub(super) bytes: Vec<u8>,
    pub(super) answers: Vec<Answer>,
    /// Answers to datagrams, and what the ones behind each other have in common.
    pub(super) datagrams: Vec<Datagram>,
    pub(super) runs: Vec<DatagramRun>,
}

/// What a connection is owed. An empty range is a reason to look at it all the same: bytes from an earlier
/// turn can leave, or it is to be ended.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) to: ConnId,
    pub(super) bytes: Range<usize>,
    /// It acknowledges something that must be on record first.
    pub(super) recorded: bool,
}

/// Answers that leave by one socket, and depend on the record alike.
#[derive(Debug, Clone)]
pub(super) struct DatagramRun {
    pub(super) socket: usize,
    pub(super) recorded: bool,
    /// Where in the list of them it ends; it begins where the one before it does.
    pub(super) end: usize,
}

impl Outbox {
    /// Whether it is time to commit before more is gathered.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.answers.len() >= limits.visits_per_commit_max
            || self.bytes.len() >= limits.answer_bytes_per_commit_max
    }

    pub(super) fn push_datagram(&mut self, socket: usize, recorded: bool, answer: Datagram) {
        self.datagrams.push(answer);
        let end = self.datagrams.len();
        match self.runs.last_mut() {
            Some(last) if last.socket == socket && last.recorded == recorded => last.end = end,
            _ => self.runs.push(DatagramRun { socket, recorded, end }),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BYTES_KEPT);
        self.answers.clear();
        self.datagrams.clear();
        self.runs.clear();
    }
}

/// Of the buffer, what is kept from turn to turn.
const BYTES_KEPT: usize = 512 * 1024;
