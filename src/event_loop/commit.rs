//! Committing: write the messages of the turn to the journal, then let the answers leave.

use std::io;

use crate::conn::Flags;
use crate::event_loop::drain::Phase;
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::Committed;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Writes the journal, then sends the answers. The order of these two is the promise that an acknowledged
    /// message is in the journal; nothing else sends answers.
    pub(super) fn commit_and_send(&mut self) -> Result<(), LoopError> {
        let has_lines = self.journal.unwritten_bytes() > 0;
        let committed = match self.commit() {
            Ok(committed) => committed,
            Err(error) => {
                self.phase = Phase::Stopped;
                return Err(LoopError::Journal(error));
            }
        };
        if has_lines {
            self.journal.check_place(self.now);
        }
        // Where acknowledgements do not wait for it, the journal can be far behind all the same.
        if committed == Committed::All && !self.journal_is_behind() && !self.held.is_empty() {
            self.release_held();
        }
        self.send_answers(committed);
        self.send_datagrams(committed);
        self.outbox.clear();
        #[cfg(feature = "handlers")]
        self.settle_groups();
        Ok(())
    }

    #[cfg(feature = "cli")]
    fn commit(&mut self) -> io::Result<Committed> {
        match &mut self.meter {
            Some(meter) => meter.commit(&mut self.net, &mut self.journal),
            None => self.journal.commit(),
        }
    }

    #[cfg(not(feature = "cli"))]
    fn commit(&mut self) -> io::Result<Committed> {
        self.journal.commit()
    }

    /// The journal has caught up: connections that waited for it continue.
    fn release_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        for id in held.drain(..) {
            if let Some(key) = self.table.find(id) {
                self.table.conn_mut(key).flags.remove(Flags::HELD);
                self.enqueue(key);
            }
        }
        if self.limits.planned_buffer_bytes.is_some() {
            self.held = held;
        }
    }
}
