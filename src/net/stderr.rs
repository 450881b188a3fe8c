//! Standard error: each line is written whole or not at all, and writing never waits.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::net::output::Output;

/// Standard error of the process, for everything that writes to it.
pub(crate) fn lock() -> MutexGuard<'static, Stderr> {
    static STDERR: LazyLock<Mutex<Stderr>> = LazyLock::new(|| Mutex::new(Stderr::new(Output::stderr().ok())));
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens standard error. A process that is confined later could not.
pub(crate) fn open() {
    drop(lock());
}

/// Standard error, in whole lines.
#[derive(Debug)]
pub(crate) struct Stderr {
    output: Option<Output>,
    /// The memory of the line that is composed.
    line: Vec<u8>,
    /// The end of a line of which the beginning is written.
    unwritten: Vec<u8>,
    dropped: u64,
    /// All that were dropped before these.
    #[cfg(feature = "cli")]
    dropped_before: u64,
}

/// A line that must not be dropped waits for a reader this many times [`WAIT`].
const WAITS_MAX: usize = 20;
const WAIT: Duration = Duration::from_millis(50);

/// A line of the log is commonly shorter, and needs no other memory.
const LINE_BYTES: usize = 1024;

impl Stderr {
    fn new(output: Option<Output>) -> Self {
        Self {
            output,
            line: Vec::with_capacity(LINE_BYTES),
            unwritten: Vec::new(),
            dropped: 0,
            #[cfg(feature = "cli")]
            dropped_before: 0,
        }
    }

    /// Writes the line that `compose` appends, if there is room for its beginning; its end is then written before
    /// the next line. Otherwise the line is dropped and counted. `compose` is passed the number of lines that were
    /// dropped before this one.
    pub(crate) fn write_with(&mut self, compose: impl FnOnce(u64, &mut Vec<u8>)) {
        let is_ready = self.is_ready();
        let mut line = std::mem::take(&mut self.line);
        if is_ready {
            compose(self.dropped, &mut line);
        }
        let is_written = is_ready && self.try_write(&line);
        line.clear();
        self.line = line;
        if is_written {
            #[cfg(feature = "cli")]
            {
                self.dropped_before += self.dropped;
            }
            self.dropped = 0;
        } else {
            self.dropped += 1;
        }
    }

    /// The number of lines that were dropped since the start.
    #[cfg(feature = "cli")]
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped_before + self.dropped
    }

    /// Writes `line` if there is room for its beginning, as `write_with` does. Whether it is dropped is not counted.
    #[cfg(feature = "cli")]
    pub(crate) fn write(&mut self, line: &str) {
        self.try_write(line.as_bytes());
    }

    /// Writes an error message as soon as there is room. That takes a second at most.
    pub(crate) fn write_error(&mut self, line: &str) {
        let mut is_begun = self.try_write(line.as_bytes());
        for _ in 0..WAITS_MAX {
            if is_begun && self.is_ready() {
                return;
            }
            let Some(output) = &mut self.output else { return };
            output.is_writable(WAIT);
            is_begun = is_begun || self.try_write(line.as_bytes());
        }
    }

    fn try_write(&mut self, line: &[u8]) -> bool {
        if !self.is_ready() {
            return false;
        }
        let Some(output) = &mut self.output else { return false };
        match output.write(line) {
            Ok(0) | Err(_) => false,
            Ok(bytes) => {
                self.unwritten.extend_from_slice(&line[bytes..]);
                self.is_ready();
                true
            }
        }
    }

    /// Writes the end of the last line. Returns whether that is complete.
    fn is_ready(&mut self) -> bool {
        let Some(output) = &mut self.output else { return false };
        while !self.unwritten.is_empty() {
            match output.write(&self.unwritten) {
                Ok(bytes @ 1..) => drop(self.unwritten.drain(..bytes)),
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_dropped_whole_and_counted() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let mut stderr = Stderr::new(Some(Output::of(writer.as_fd(), "").unwrap()));
        let line = |number: u64, dropped: u64| format!("{number} {dropped} {}\n", "x".repeat(5000));
        let mut numbers = 0..;
        while stderr.dropped < 3 {
            let number = numbers.next().unwrap();
            stderr.write_with(|dropped, to| to.extend_from_slice(line(number, dropped).as_bytes()));
        }
        let mut text = vec![0; 1 << 20];
        let bytes = reader.read(&mut text).unwrap();
        text.truncate(bytes);
        let number = numbers.next().unwrap();
        stderr.write_with(|dropped, to| to.extend_from_slice(line(number, dropped).as_bytes()));
        #[cfg(feature = "cli")]
        assert_eq!((stderr.dropped, stderr.dropped_total()), (0, 3));
        drop((stderr, writer));
        reader.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (last, before) = lines.split_last().unwrap();
        for (number, written) in before.iter().enumerate() {
            assert_eq!(format!("{written}\n"), line(number as u64, 0));
        }
        assert_eq!(format!("{last}\n"), line(number, 3));
        assert_eq!(number, before.len() as u64 + 3);
    }

    #[test]
    fn an_error_message_waits_for_a_reader_but_not_for_ever() {
        let mut reader = Command::new("sleep").arg("600").stdin(Stdio::piped()).spawn().unwrap();
        let pipe = reader.stdin.take().unwrap();
        let mut stderr = Stderr::new(Some(Output::of(pipe.as_fd(), "/does/not/exist").unwrap()));
        while stderr.dropped == 0 {
            stderr.write_with(|_, line| line.extend_from_slice(&[b'x'; 4096]));
        }
        stderr.write_error("an error\n");
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
