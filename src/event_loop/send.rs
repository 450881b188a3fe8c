//! Sending answers, one write per connection; what the kernel does not take waits in the connection's buffer.

use std::io;

use crate::conn::table::ConnTable;
#[cfg(feature = "handlers")]
use crate::conn::token::ConnToken;
use crate::conn::{CloseReason, Flags};
use crate::event_loop::EventLoop;
use crate::event_loop::drain::Phase;
use crate::event_loop::outbox::Answer;
use crate::journal::Committed;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Sends the answers of the turn, but those that wait for the journal.
    pub(super) fn send_answers(&mut self, committed: Committed) {
        let mut answers = std::mem::take(&mut self.outbox.answers);
        for answer in &answers {
            self.send_answer(answer, committed);
        }
        answers.clear();
        self.outbox.answers = answers;
    }

    #[expect(clippy::inline_always, reason = "it runs for every message")]
    #[inline(always)]
    fn send_answer(&mut self, answer: &Answer, committed: Committed) {
        let Some(key) = self.table.find(answer.to) else { return self.send_to_others(answer, committed) };
        let waits = answer.needs_commit && committed == Committed::Waiting;
        let fresh = &self.outbox.bytes[answer.bytes.clone()];
        let conn = self.table.conn(key);
        let is_first = conn.takes_writes() && self.table.unsent_bytes_of(conn) == 0;
        if waits || !is_first || fresh.is_empty() {
            return self.send_later(key, answer, waits);
        }
        match self.net.write(&conn.stream, fresh) {
            // Commonly everything is sent, and there is nothing else to do.
            Ok(taken) if taken == fresh.len() && self.phase == Phase::Serving && conn.is_idle() => {
                self.counters.sent_bytes += taken as u64;
            }
            outcome => {
                let outcome = block_as_zero(outcome);
                // Only what the kernel does not take is copied.
                if self.table.push_unsent(key, &fresh[*outcome.as_ref().unwrap_or(&0)..]) {
                    self.after_write(key, outcome);
                } else {
                    self.close_for_memory(key);
                }
            }
        }
    }

    /// Sends what handlers have sent to others, if the answer stands for that; otherwise, its connection is closed.
    #[cold]
    #[cfg_attr(not(feature = "handlers"), expect(clippy::unused_self, reason = "there are no handlers"))]
    fn send_to_others(&mut self, answer: &Answer, committed: Committed) {
        #[cfg(feature = "handlers")]
        if answer.to == ConnToken::NOBODY {
            self.deliver_next(committed);
        }
        #[cfg(not(feature = "handlers"))]
        let _ = (answer, committed);
    }

    /// The same as `send_answer`, for one receiver of what a handler has sent to others.
    #[cfg(feature = "handlers")]
    #[inline(never)]
    pub(super) fn send_delivery(&mut self, answer: &Answer, committed: Committed) {
        self.send_answer(answer, committed);
    }

    /// Puts an answer behind what is unsent, and writes that if it may be.
    #[inline(never)]
    fn send_later(&mut self, key: u32, answer: &Answer, waits: bool) {
        if waits {
            self.hold(key);
        }
        if !self.table.push_unsent(key, &self.outbox.bytes[answer.bytes.clone()]) {
            return self.close_for_memory(key);
        }
        let conn = self.table.conn(key);
        if conn.flags.contains(Flags::HELD) {
            return self.shed_over_high_mark(None);
        }
        let is_sent = !conn.takes_writes() || self.table.unsent_bytes_of(conn) == 0;
        let outcome = if is_sent { Ok(0) } else { write_unsent(&mut self.net, &mut self.table, key) };
        self.after_write(key, outcome);
    }

    /// Does what a write requires that has taken the bytes of `outcome`, or failed.
    #[inline(never)]
    fn after_write(&mut self, key: u32, outcome: io::Result<usize>) {
        self.counters.sent_bytes += *outcome.as_ref().unwrap_or(&0) as u64;
        match outcome {
            Ok(taken) if !self.table.unsent(key).is_empty() => {
                // Short: the kernel's buffer is full, and an event will report when it is not.
                let conn = self.table.conn_mut(key);
                conn.flags.remove(Flags::WRITABLE);
                conn.flags.insert(Flags::BULK);
                self.renew_write(key, taken > 0);
                // While little is unsent, reading continues.
                #[cfg(feature = "handlers")]
                self.note_unsent(key, true);
                self.reschedule(key, false);
                self.shed_over_high_mark(None);
            }
            Ok(_) => {
                self.table.stop_write(key);
                #[cfg(feature = "handlers")]
                self.note_unsent(key, false);
                // A stream that was to end after its last answer ends here.
                let effect = self.table.flushed(key, self.now);
                if self.apply(key, effect) {
                    self.reschedule(key, true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.enqueue(key),
            Err(error) => self.close(key, CloseReason::of(&error)),
        }
    }

    /// Starts or renews the write deadline. A server that has not accepted yet has another one.
    fn renew_write(&mut self, key: u32, has_taken: bool) {
        #[cfg(feature = "handlers")]
        if self.table.conn(key).session().is_connecting() {
            return;
        }
        self.table.renew_write(key, has_taken, self.now);
    }

    /// At the end of a visit: the connection continues in the next turn, waits for an event, or, when the
    /// server is stopping, has had its last frame.
    pub(super) fn reschedule(&mut self, key: u32, was_answered: bool) {
        self.table.release_if_empty(key);
        if self.can_continue(key) {
            self.enqueue(key);
        } else if self.waits_for_memory(self.table.conn(key)) {
            self.starve(key);
        } else if self.phase != Phase::Serving && self.ends_if_idle(key, was_answered) {
            let effect = self.table.stop(key, self.now);
            self.apply(key, effect);
        }
    }
}

/// Writes what earlier turns left.
fn write_unsent<N: Net>(net: &mut N, table: &mut ConnTable<N::Stream>, key: u32) -> io::Result<usize> {
    let taken = block_as_zero(net.write(&table.conn(key).stream, table.unsent(key)))?;
    table.advance_unsent(key, taken);
    Ok(taken)
}

fn block_as_zero(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}
