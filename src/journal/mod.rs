//! The record of messages: one line each, written once a turn.
//!
//! Services append lines while a turn gathers; [`Journal::commit`] writes them all; only then do the
//! answers of the turn leave. So an acknowledgement of a message that is not recorded can not happen,
//! whatever the order of events. What a line looks like, the services say; where lines go, a [`Sink`].

pub mod escape;
pub(crate) mod sink;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::Path;

/// Where lines are written.
pub trait Sink: Send {
    /// Writes some of `bytes` and says how many. [`io::ErrorKind::WouldBlock`] means that nothing can be
    /// taken at the moment, and that an event for [`Token::JOURNAL`](crate::net::Token::JOURNAL) will
    /// follow when it can.
    ///
    /// # Errors
    /// Any other error is final: lines can no longer be recorded.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when all that was written will survive the loss of power.
    ///
    /// # Errors
    /// Final, as for `write`: whether a second try tells the truth, no system promises.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // A pipe or a terminal has nothing that could be lost.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

/// When a message is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ack {
    /// At once, recorded or not.
    Received,
    /// After the write that records it.
    #[default]
    Written,
    /// After the write has reached the disk.
    Synced,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Every line is recorded as the acknowledgements demand: all answers may leave.
    All,
    /// Some lines are not: answers to messages wait.
    Waiting,
}

/// The lines of a turn on their way to the record.
pub struct Journal {
    sink: Option<Box<dyn Sink>>,
    ack: Ack,
    lines: Vec<u8>,
    /// Of `lines`, how many bytes are written.
    written: usize,
}

impl Journal {
    /// Records to `sink`.
    #[must_use]
    pub fn to(sink: Box<dyn Sink>, ack: Ack) -> Self {
        Self { sink: Some(sink), ack, lines: Vec::new(), written: 0 }
    }

    /// Records nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { sink: None, ack: Ack::Received, lines: Vec::new(), written: 0 }
    }

    /// Where lines are appended; `None` when nothing is recorded.
    pub fn lines(&mut self) -> Option<&mut Vec<u8>> {
        self.sink.is_some().then_some(&mut self.lines)
    }

    /// Bytes that are not written yet.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.lines.len() - self.written
    }

    /// Writes what there is to write. Without any, it costs a comparison.
    ///
    /// # Errors
    /// Messages can no longer be recorded; the error says why. It is final.
    pub fn commit(&mut self) -> io::Result<Committed> {
        let Some(sink) = &mut self.sink else { return Ok(Committed::All) };
        if self.lines.is_empty() {
            return Ok(Committed::All);
        }
        while self.written < self.lines.len() {
            match sink.write(&self.lines[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What is written is let go of now and then, or a sink that is never quite empty
                    // would make the buffer grow for ever.
                    if self.written >= self.lines.len() / 2 {
                        self.lines.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(if self.ack == Ack::Received { Committed::All } else { Committed::Waiting });
                }
                Err(error) => return Err(error),
            }
        }
        if self.ack == Ack::Synced {
            sink.sync()?;
        }
        self.lines.clear();
        self.lines.shrink_to(LINES_BYTES_KEPT);
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

/// What is left unwritten when a server ends was never acknowledged, but somebody should know.
pub(crate) fn unwritten_at_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing took them until the end of the drain")
}

/// Opens the file at `path` to append to, and makes it if it is not there. A last line that was cut off
/// when an earlier process died is removed: it was never acknowledged.
///
/// # Errors
/// The file can not be opened, read or cut, or it ends in something that is no beginning of a line of record:
/// then it is something else's file, and stays as it is.
pub fn open_file(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.is_file() {
        cut_torn_line(&mut file)?;
    }
    Ok(file)
}

fn cut_torn_line(file: &mut File) -> io::Result<()> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut end = bytes;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let here = &mut block[..usize::try_from(end - start).expect("at most a block")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(here)?;
        if let Some(place) = here.iter().rposition(|byte| *byte == b'\n') {
            end = start + place as u64 + 1;
            break;
        }
        end = start;
    }
    if end == bytes {
        return Ok(());
    }
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(end))?;
    (&*file).take(PEER_BYTES_MAX).read_to_end(&mut beginning)?;
    if !begins_a_line(&String::from_utf8_lossy(&beginning)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its last line is not ended, and is not ours",
        ));
    }
    log::warn!("the last line of the record was torn: its {} bytes are removed", bytes - end);
    file.set_len(end)
}

/// Whether `beginning` can be that of a line of record, `[peer-address:port] `.
fn begins_a_line(beginning: &str) -> bool {
    let Some(text) = beginning.strip_prefix('[') else { return false };
    if let Some((peer, _)) = text.split_once("] ") {
        return peer.parse::<SocketAddr>().is_ok();
    }
    match text.strip_suffix(']') {
        Some(peer) if !peer.starts_with('[') => peer.parse::<SocketAddr>().is_ok(),
        _ => text.chars().all(|it| it.is_ascii_hexdigit() || ".:%[]".contains(it)),
    }
}

/// Bytes that the longest address of a peer takes, brackets and all, with some to spare.
const PEER_BYTES_MAX: u64 = 80;

/// Of the buffer of lines, what is kept from turn to turn.
const LINES_BYTES_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    type Taken = Arc<Mutex<Vec<u8>>>;
    type Synced = Arc<Mutex<usize>>;

    /// Takes what the script says, call by call, then everything.
    #[derive(Default)]
    struct Scripted {
        script: VecDeque<io::Result<usize>>,
        taken: Taken,
        synced: Synced,
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
    }

    fn journal(ack: Ack, script: Vec<io::Result<usize>>) -> (Journal, Taken, Synced) {
        let sink = Scripted { script: script.into(), ..Scripted::default() };
        let (taken, synced) = (sink.taken.clone(), sink.synced.clone());
        let mut journal = Journal::to(Box::new(sink), ack);
        journal.lines().unwrap().extend_from_slice(b"line one\nline two\n");
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

    #[test]
    fn a_torn_last_line_is_cut_and_whole_lines_stay() {
        let directory = tempfile::tempdir().unwrap();
        let long = format!("{}\n", "x".repeat(9000));
        for (before, after) in [
            (String::new(), String::new()),
            ("one\ntwo\n".into(), "one\ntwo\n".into()),
            ("one\n[127.0.".into(), "one\n".into()),
            ("[".into(), String::new()),
            ("[127.0.0.1:80]".into(), String::new()),
            ("[[::1]:80] to".into(), String::new()),
            (format!("{long}[10.0.0.1:80] {}", "ä".repeat(9000)), long.clone()),
            (format!("{long}[10.0.0.1:8] {}", "ä".repeat(9000)), long.clone()),
        ] {
            let path = directory.path().join("journal");
            std::fs::write(&path, &before).unwrap();
            Sink::write(&mut open_file(&path).unwrap(), b"new\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}new\n"));
        }
    }

    #[test]
    fn a_file_that_is_no_record_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for text in
            ["notes without a line break", "one\ntwo", "[1, 2, 3]", "# notes\n[section]", "[1]", "[a] b"]
        {
            let path = directory.path().join("notes");
            std::fs::write(&path, text).unwrap();
            assert_eq!(open_file(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
