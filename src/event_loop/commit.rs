//! Committing and scattering: record the messages of the turn, then let the answers leave.

use std::io;

use crate::conn::table::ConnTable;
use crate::conn::{CloseReason, Flags, Signal};
use crate::event_loop::ending::Phase;
use crate::event_loop::outbox::Answer;
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::Committed;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Writes the record, then sends what depends on it. The order of these two is the promise that an
    /// acknowledged message is recorded; nothing else sends answers.
    pub(super) fn commit_and_scatter(&mut self) -> Result<(), LoopError> {
        let committed = match self.journal.commit() {
            Ok(committed) => committed,
            Err(error) => {
                self.phase = Phase::Stopped;
                return Err(LoopError::Journal(error));
            }
        };
        // Where acknowledgements do not wait for it, the record can be far behind all the same.
        let has_room = self.journal.unwritten_bytes() <= self.limits.journal_bytes_max;
        if committed == Committed::All && has_room && !self.held.is_empty() {
            self.release_held();
        }
        let mut answers = std::mem::take(&mut self.outbox.answers);
        for answer in answers.drain(..) {
            self.send_answer(&answer, committed);
        }
        self.outbox.answers = answers;
        self.send_datagrams(committed);
        self.outbox.clear();
        Ok(())
    }

    /// The record has caught up: what waited for it goes on.
    fn release_held(&mut self) {
        for id in std::mem::take(&mut self.held) {
            if let Some(key) = self.table.find(id) {
                self.table.conn_mut(key).flags.remove(Flags::HELD);
                self.enqueue(key);
            }
        }
    }

    fn send_answer(&mut self, answer: &Answer, committed: Committed) {
        let Some(key) = self.table.find(answer.to) else { return };
        if answer.recorded && committed == Committed::Waiting {
            self.hold(key);
        }
        let fresh = &self.outbox.bytes[answer.bytes.clone()];
        let flags = self.table.conn(key).flags;
        if flags.contains(Flags::HELD) {
            self.table.hold_unsent(key, fresh);
            return;
        }
        let outcome = if !flags.contains(Flags::WRITABLE) {
            self.table.hold_unsent(key, fresh);
            Ok(0)
        } else if self.table.unsent_bytes(key) == 0 {
            write_fresh(&mut self.net, &mut self.table, key, fresh)
        } else {
            self.table.hold_unsent(key, fresh);
            write_unsent(&mut self.net, &mut self.table, key)
        };
        match outcome {
            // Mostly all has left, and there is nothing else to look after.
            Ok(_) if self.phase == Phase::Serving && self.table.conn(key).is_drained() => {}
            Ok(taken) if self.table.unsent_bytes(key) > 0 => {
                // Short: the kernel's buffer is full, and an event will tell when it is not.
                self.table.conn_mut(key).flags.remove(Flags::WRITABLE);
                self.table.time_write(key, taken > 0, self.now);
                // As long as little is unsent, reading goes on.
                self.settle(key, false);
            }
            Ok(_) => {
                self.table.write_done(key);
                // A stream that was to end after its last answer ends here.
                if self.signal(key, Signal::Flushed) {
                    self.settle(key, true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.enqueue(key),
            Err(error) => self.close(key, CloseReason::of(&error)),
        }
    }

    /// At the end of a visit: whether the connection goes on in the next turn, waits for an event, or, when
    /// the server is stopping, has had its last frame.
    pub(super) fn settle(&mut self, key: u32, answered: bool) {
        self.table.tidy(key);
        if self.can_go_on(key) {
            self.enqueue(key);
        } else if self.phase.ends_quiet(answered) && self.is_between_frames(key) {
            let _ = self.signal(key, Signal::ServiceEnded) && self.signal(key, Signal::Flushed);
        }
    }
}

/// Writes an answer from the buffer of the turn; only what the kernel does not take is copied.
fn write_fresh<N: Net>(
    net: &mut N,
    table: &mut ConnTable<N::Stream>,
    key: u32,
    fresh: &[u8],
) -> io::Result<usize> {
    if fresh.is_empty() {
        return Ok(0);
    }
    let outcome = block_as_zero(net.write(&table.conn(key).stream, fresh));
    let taken = *outcome.as_ref().unwrap_or(&0);
    if taken < fresh.len() {
        table.hold_unsent(key, &fresh[taken..]);
    }
    outcome
}

/// Writes what earlier turns left.
fn write_unsent<N: Net>(net: &mut N, table: &mut ConnTable<N::Stream>, key: u32) -> io::Result<usize> {
    let Some(pending) = table.pending(key) else { return Ok(0) };
    let taken = block_as_zero(net.write(&table.conn(key).stream, pending.unsent()))?;
    table.pending_mut(key).advance(taken);
    Ok(taken)
}

fn block_as_zero(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}
