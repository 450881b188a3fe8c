//! The answers of a turn, between gather and scatter: one buffer for all of them, and whose is which.

use std::net::SocketAddr;
use std::ops::Range;

use crate::limits::Limits;
use crate::token::ConnId;

/// What waits for the commit.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Services append to it.
    pub(super) bytes: Vec<u8>,
    pub(super) answers: Vec<Answer>,
    pub(super) datagrams: Vec<DatagramAnswer>,
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

/// What a peer of a datagram endpoint is owed.
#[derive(Debug, Clone)]
pub(super) struct DatagramAnswer {
    pub(super) socket: usize,
    pub(super) to: SocketAddr,
    pub(super) bytes: Range<usize>,
    pub(super) recorded: bool,
}

impl Outbox {
    /// Whether it is time to commit before more is gathered.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.answers.len() >= limits.visits_per_commit_max
            || self.bytes.len() >= limits.answer_bytes_per_commit_max
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BYTES_KEPT);
        self.answers.clear();
        self.datagrams.clear();
    }
}

/// Of the buffer, what is kept from turn to turn.
const BYTES_KEPT: usize = 512 * 1024;
