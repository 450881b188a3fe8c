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
    /// When it was last checked whether the file is in place, and whether it was.
    checked_at: Tick,
    was_in_place: bool,
}

impl Journal {
    /// A journal that is written to `sink`.
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
            checked_at: Tick::default(),
            was_in_place: true,
        }
    }

    /// The lines that others are added to; `None` without a journal.
    pub fn lines(&mut self) -> Option<&mut Lines> {
        self.sink.is_some().then_some(&mut self.lines)
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
        self.lines.as_bytes().len() - self.written
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
        if self.lines.as_bytes().is_empty() && !self.should_reopen {
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
        let kept_bytes = lines.len().saturating_mul(2).clamp(CAPACITY_KEPT_BYTES, CAPACITY_KEPT_BYTES_MAX);
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
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    type Taken = Arc<Mutex<Vec<u8>>>;
    type Synced = Arc<Mutex<usize>>;

    /// Takes what the script says, call by call, then everything.
    #[derive(Default)]
    struct Scripted {
        script: VecDeque<io::Result<usize>>,
        taken: Taken,
        synced: Synced,
        is_moved: Arc<AtomicBool>,
    }

    impl Sink for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.script.pop_front().unwrap_or(Ok(bytes.len()))?;
            self.taken.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn sync(&mut self) -> io::Result<()> {
            *self.synced.lock().unwrap() += 1;
            Ok(())
        }

        fn is_in_place(&self) -> bool {
            !self.is_moved.load(Ordering::Relaxed)
        }
    }

    fn journal(ack: Ack, script: Vec<io::Result<usize>>) -> (Journal, Taken, Synced) {
        let sink = Scripted { script: script.into(), ..Scripted::default() };
        let (taken, synced) = (sink.taken.clone(), sink.synced.clone());
        let mut journal = Journal::to(Box::new(sink), ack);
        journal.lines().unwrap().bytes_mut().extend_from_slice(b"line one\nline two\n");
        (journal, taken, synced)
    }

    #[test]
    fn short_writes_and_interruptions_lose_nothing() {
        let (mut journal, taken, _) =
            journal(Ack::Written, vec![Ok(3), Err(io::ErrorKind::Interrupted.into()), Ok(1)]);
        assert_eq!(journal.commit().unwrap(), Committed::All);
        assert_eq!(taken.lock().unwrap().as_slice(), b"line one\nline two\n");
        assert_eq!(journal.unwritten_bytes(), 0);
    }

    #[test]
    fn answers_wait_while_the_sink_takes_nothing() {
        for (ack, committed) in [(Ack::Written, Committed::Waiting), (Ack::Received, Committed::All)] {
            let (mut journal, taken, _) = journal(ack, vec![Ok(10), Err(io::ErrorKind::WouldBlock.into())]);
            assert_eq!(journal.commit().unwrap(), committed);
            assert_eq!(journal.unwritten_bytes(), 8);
            assert_eq!(journal.commit().unwrap(), Committed::All);
            assert_eq!(taken.lock().unwrap().as_slice(), b"line one\nline two\n");
        }
    }

    #[test]
    fn a_line_that_a_sink_takes_in_two_parts_is_not_divided_by_opening_the_file_again() {
        // The first line and a part of the second are written, which is more than half.
        let (mut journal, taken, synced) =
            journal(Ack::Synced, vec![Ok(12), Err(io::ErrorKind::WouldBlock.into())]);
        assert_eq!(journal.commit().unwrap(), Committed::Waiting);
        journal.reopen();
        assert_eq!(journal.commit().unwrap(), Committed::All);
        assert!(journal.should_reopen, "not before the line is whole");
        journal.commit().unwrap();
        assert!(!journal.should_reopen);
        assert_eq!(taken.lock().unwrap().as_slice(), b"line one\nline two\n");
        assert_eq!(*synced.lock().unwrap(), 2, "with the lines, and before the file is left");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_clock_is_read_for_lines_that_have_a_time_and_for_no_others() {
        let mut journal = Journal::to(Box::new(Scripted::default()), Ack::Written);
        journal.set_time(|| panic!("a line of text has no time"));
        let mut journal = journal.in_format(Format::Json);
        journal.set_time(|| 1_795_327_470_123);
        let lines = journal.lines().unwrap();
        lines.add(([192, 0, 2, 1], 4000).into(), "message", b"");
        assert!(lines.as_bytes().starts_with(b"{\"time\":\"2026-11-22T06:04:30.123Z\""));
    }

    #[test]
    fn the_buffer_of_lines_is_let_go_of_after_a_long_turn() {
        let (mut journal, _, _) = journal(Ack::Written, vec![]);
        journal.lines().unwrap().bytes_mut().resize(1 << 20, b'\n');
        assert!(journal.buffer_bytes() >= 1 << 20);
        journal.commit().unwrap();
        assert_eq!(journal.buffer_bytes(), 512 * 1024);
        journal.lines().unwrap().bytes_mut().push(b'\n');
        journal.commit().unwrap();
        assert_eq!(journal.buffer_bytes(), 64 * 1024);
    }

    #[test]
    fn the_buffer_of_lines_is_kept_for_a_turn_of_the_same_size() {
        let (mut journal, _, _) = journal(Ack::Written, vec![]);
        let mut capacity_after = |bytes| {
            journal.lines().unwrap().bytes_mut().resize(bytes, b'\n');
            let capacity = journal.buffer_bytes();
            journal.commit().unwrap();
            (capacity, journal.buffer_bytes())
        };
        for bytes in [70_000, 130_000, 200_000, 250_000] {
            let (during, after) = capacity_after(bytes);
            assert!(during >= bytes && during == after, "{bytes}: {during}, {after}");
        }
    }

    #[test]
    fn written_lines_leave_the_buffer_once_they_are_half_of_it() {
        for (written, left) in [(9, 36), (17, 36), (18, 18), (26, 18), (27, 9)] {
            let (mut journal, _, _) =
                journal(Ack::Written, vec![Ok(written), Err(io::ErrorKind::WouldBlock.into())]);
            journal.lines().unwrap().bytes_mut().extend_from_slice(b"line 333\nline 444\n");
            assert_eq!(journal.commit().unwrap(), Committed::Waiting);
            assert_eq!((journal.unwritten_bytes(), journal.lines.as_bytes().len()), (36 - written, left));
        }
    }

    #[test]
    fn a_file_that_leaves_its_place_is_noticed_within_a_second_and_once() {
        let sink = Scripted::default();
        let is_moved = sink.is_moved.clone();
        let mut journal = Journal::to(Box::new(sink), Ack::Written);
        let mut has_left = |ms, moved| {
            is_moved.store(moved, Ordering::Relaxed);
            journal.has_left_its_place(Tick::after(Duration::from_millis(ms)))
        };
        let expected = [
            (999, true, false),
            (1000, true, true),
            (2000, true, false),
            (3000, false, false),
            (3999, true, false),
            (4000, true, true),
            (5000, false, false),
        ];
        for (ms, moved, has_just_left) in expected {
            assert_eq!(has_left(ms, moved), has_just_left, "{ms}");
        }
        let later = |ms| Tick::after(Duration::from_millis(ms));
        is_moved.store(true, Ordering::Relaxed);
        journal.check_place(later(6000));
        assert!(!journal.has_left_its_place(later(7000)), "it was logged before");
    }

    #[test]
    fn an_error_of_the_sink_is_the_end() {
        let (mut journal, _, _) = journal(Ack::Written, vec![Ok(4), Err(io::ErrorKind::StorageFull.into())]);
        assert_eq!(journal.commit().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let (mut journal, _, _) = self::journal(Ack::Written, vec![Ok(0)]);
        assert_eq!(journal.commit().unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn the_disk_is_asked_once_a_turn_and_only_if_it_must() {
        for (ack, syncs) in [(Ack::Written, 0), (Ack::Synced, 1)] {
            let (mut journal, _, synced) = journal(ack, vec![Ok(5)]);
            journal.commit().unwrap();
            journal.commit().unwrap();
            assert_eq!(*synced.lock().unwrap(), syncs);
        }
    }
}
