//! The journal of messages: one line each, written once per turn.
//!
//! Services append lines during a turn; [`Journal::commit`] writes them all; only then do the answers of the turn
//! leave. So a message that is not written cannot be acknowledged, whatever the order of events. The format of a
//! line is defined by [`Lines`], where lines go by a [`Sink`].

mod ack;
mod entry;
pub mod escape;
mod file;
mod file_access;
#[cfg(feature = "cli")]
mod json_line;
mod lines;
mod lock;
mod pipe;
mod regular_file;
mod sender;
mod sink;
pub(crate) mod target;
#[cfg(feature = "cli")]
mod time_stamp;
mod torn_line;

use std::io;

use crate::conn::deadlines::Tick;

pub use ack::Ack;
pub use entry::{BadEntry, Entry};
pub use file::{open_file, prepare};
pub use file_access::JournalFile;
#[cfg(all(test, feature = "cli"))]
pub(crate) use json_line::JournalMessage;
pub(crate) use lines::HAS_JOURNAL;
pub use lines::{Format, Lines};
pub use sink::Sink;

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Every line is as safe as the acknowledgements promise: all answers may leave.
    All,
    /// Some lines are not: answers to messages wait.
    Waiting,
}

/// The journal, and the lines of a turn that are not written yet.
pub struct Journal {
    sink: Option<Box<dyn Sink>>,
    ack: Ack,
    lines: Lines,
    /// Of `lines`, how many bytes are written.
    written: usize,
    should_reopen: bool,
    /// The capacity that the buffer of lines keeps in any case, in bytes.
    kept_bytes: usize,
    /// When it was last checked whether the file is in place, and whether it was.
    checked_at: Tick,
    was_in_place: bool,
}

impl Journal {
    /// A journal that is written to `sink`. In a build without a journal (the feature `journal`), nothing is written.
    #[must_use]
    pub fn to(sink: Box<dyn Sink>, ack: Ack) -> Self {
        Self { sink: Some(sink), ack, ..Self::none() }
    }

    /// The same journal, with lines in `format`.
    #[must_use]
    pub fn in_format(self, format: Format) -> Self {
        Self { lines: Lines::new(format), ..self }
    }

    /// No journal: nothing is written.
    #[must_use]
    pub fn none() -> Self {
        Self {
            sink: None,
            ack: Ack::Received,
            lines: Lines::default(),
            written: 0,
            should_reopen: false,
            kept_bytes: CAPACITY_KEPT_BYTES,
            checked_at: Tick::default(),
            was_in_place: true,
        }
    }

    /// Allocates memory for `bytes` of lines, and keeps it.
    pub(crate) fn allocate(&mut self, bytes: usize) {
        self.kept_bytes = bytes;
        self.lines.bytes_mut().reserve_exact(self.kept_bytes);
    }

    /// The lines that others are added to; `None` without a journal.
    pub fn lines(&mut self) -> Option<&mut Lines> {
        (HAS_JOURNAL && self.sink.is_some()).then_some(&mut self.lines)
    }

    /// The lines of the turn that begins have this time, if lines have one; `unix_ms` reads the clock.
    pub fn set_time(&mut self, unix_ms: impl FnOnce() -> i64) {
        if self.lines.have_time() {
            self.lines.set_time(unix_ms());
        }
    }

    /// Bytes that are not written yet.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        if HAS_JOURNAL { self.lines.as_bytes().len() - self.written } else { 0 }
    }

    /// The memory of the lines that are not written yet, in bytes.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.lines.capacity()
    }

    /// Makes the next commit open the path of the journal again, after a rename for example. No line is divided between
    /// the two files.
    pub fn reopen(&mut self) {
        self.should_reopen = true;
    }

    /// Logs, at most once a second, that the file was renamed, deleted or replaced since the last call.
    pub fn check_place(&mut self, now: Tick) {
        if self.has_left_its_place(now) {
            log::warn!(
                "the journal file was renamed, deleted or replaced: messages go to the file that is open until SIGHUP"
            );
        }
    }

    fn has_left_its_place(&mut self, now: Tick) -> bool {
        let Some(sink) = &self.sink else { return false };
        if now.ms_since(self.checked_at) < CHECK_INTERVAL_MS {
            return false;
        }
        self.checked_at = now;
        let is_in_place = sink.is_in_place();
        let was_in_place = std::mem::replace(&mut self.was_in_place, is_in_place);
        was_in_place && !is_in_place
    }

    /// Writes the lines of the buffer. Without any, it costs two comparisons.
    ///
    /// # Errors
    /// The lines cannot be written or synced. It is final: the journal must not be used again.
    pub fn commit(&mut self) -> io::Result<Committed> {
        self.commit_observed(&mut || {})
    }

    /// Does the same, and calls `on_sync` between writing and syncing, if the lines are synced.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub(crate) fn commit_observed(&mut self, on_sync: &mut impl FnMut()) -> io::Result<Committed> {
        if !HAS_JOURNAL || self.lines.as_bytes().is_empty() && !self.should_reopen {
            return Ok(Committed::All);
        }
        let committed = self.reopen_between_lines().and_then(|()| self.write_lines(on_sync));
        if let (Err(_), Some(sink)) = (&committed, &mut self.sink) {
            sink.remove_torn_line(torn_bytes(&self.lines.as_bytes()[..self.written]));
        }
        committed
    }

    fn reopen_between_lines(&mut self) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        if !self.should_reopen || torn_bytes(&self.lines.as_bytes()[..self.written]) > 0 {
            return Ok(());
        }
        // Lines that are written may be dropped from the buffer by now, and not be synced.
        if self.ack == Ack::Synced {
            sink.sync()?;
        }
        self.should_reopen = false;
        sink.reopen()
    }

    fn write_lines(&mut self, on_sync: &mut impl FnMut()) -> io::Result<Committed> {
        let Some(sink) = &mut self.sink else { return Ok(Committed::All) };
        let lines = self.lines.bytes_mut();
        while self.written < lines.len() {
            match sink.write(&lines[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Written lines are dropped now and then, or the buffer would grow without end in front
                    // of a sink that always takes less than there is.
                    // The beginning of a line stays: how much of it is written must be known.
                    if self.written >= lines.len() / 2 {
                        let torn_bytes = torn_bytes(&lines[..self.written]);
                        lines.drain(..self.written - torn_bytes);
                        self.written = torn_bytes;
                    }
                    return Ok(if self.ack == Ack::Received { Committed::All } else { Committed::Waiting });
                }
                Err(error) => return Err(error),
            }
        }
        if self.ack == Ack::Synced && !lines.is_empty() {
            on_sync();
            sink.sync()?;
        }
        // The next turn commonly has as many lines, whose memory would be obtained anew.
        let kept_bytes = lines.len().saturating_mul(2).min(CAPACITY_KEPT_BYTES_MAX).max(self.kept_bytes);
        lines.clear();
        lines.shrink_to(kept_bytes);
        self.written = 0;
        Ok(Committed::All)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("ack", &self.ack)
            .field("unwritten_bytes", &self.unwritten_bytes())
            .finish_non_exhaustive()
    }
}

/// The error for lines that are unwritten when the server ends. Their messages were not acknowledged.
pub(crate) fn unwritten_at_end() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it was not writable before the drain timeout")
}

/// The bytes after the last line break of what was written.
fn torn_bytes(written: &[u8]) -> usize {
    written.iter().rev().take_while(|byte| **byte != b'\n').count()
}

/// Between two checks whether the file is in place, in milliseconds.
const CHECK_INTERVAL_MS: u32 = 1000;

/// The capacity that the buffer of lines keeps from turn to turn, in bytes, also after a turn with few lines.
const CAPACITY_KEPT_BYTES: usize = 64 * 1024;

/// The capacity that it keeps at most.
const CAPACITY_KEPT_BYTES_MAX: usize = 512 * 1024;

#[cfg(test)]
mod tests;
