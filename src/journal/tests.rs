//! Tests of the journal.

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
