//! Writing to standard error so that it never waits.
//!
//! A pipe or a terminal without a reader would stop the whole server. Setting it non-blocking would do so for every
//! process that shares it, such as the user's shell. So a pipe or a terminal is opened a second time. Where that is
//! denied (it belongs to another user, or there is no `/proc`), each write is of no more than fits for certain.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

/// A stream of the process, for writing.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    method: Method,
}

#[derive(Debug, Clone, Copy)]
enum Method {
    /// A write returns at once: a file, or a stream that was opened a second time.
    Write,
    /// Sent with a flag.
    Send,
    /// Written in portions of at most this many bytes, each after the kernel was asked.
    Portions(usize),
}

/// A pipe that is ready takes this many bytes at once (`PIPE_BUF`).
const PIPE_PORTION: usize = 4096;

/// A terminal that is ready takes this many bytes at once, even if each becomes eight (tabs as spaces). The room of
/// a pseudoterminal is a multiple of 256 bytes.
const TERMINAL_PORTION: usize = 32;

impl Output {
    /// Standard error.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn stderr() -> io::Result<Self> {
        Self::of(io::stderr().as_fd(), "/proc/self/fd/2")
    }

    /// Opens `path`, which is `stream`, a second time if necessary.
    pub(super) fn of(stream: BorrowedFd<'_>, path: &str) -> io::Result<Self> {
        let file = File::from(stream.try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self { file, method: Method::Send });
        }
        if !can_wait(kind) {
            // A regular file is not opened again: writing would begin at its start.
            return Ok(Self { file, method: Method::Write });
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        if let Ok(file) = OpenOptions::new().write(true).custom_flags(flags).open(path) {
            return Ok(Self { file, method: Method::Write });
        }
        let portion = if file.is_terminal() { TERMINAL_PORTION } else { PIPE_PORTION };
        let method = Method::Portions(portion);
        Ok(Self { file, method })
    }

    /// Writes some of `bytes` and returns how many.
    ///
    /// # Errors
    /// `WouldBlock` while there is no room; any other error of the stream.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.method {
            Method::Write => self.file.write(bytes),
            Method::Send => {
                SockRef::from(&self.file).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            }
            Method::Portions(_) if !self.is_writable(Duration::ZERO) => Err(io::ErrorKind::WouldBlock.into()),
            Method::Portions(bytes_max) => self.file.write(portion(bytes, bytes_max)),
        }
    }

    /// Whether a write makes progress or fails, now or before `timeout` is over.
    pub(crate) fn is_writable(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

fn can_wait(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_char_device()
}

/// The beginning of `bytes` that is written at once. On a terminal, a line feed goes alone: it becomes two
/// characters, and the kernel waits for the room of both after it has written what is before them.
fn portion(bytes: &[u8], bytes_max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(bytes_max)];
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(line_end) if bytes_max == TERMINAL_PORTION => &bytes[..line_end.max(1)],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_line_feed_is_written_to_a_terminal_alone() {
        let mut rest: &[u8] = b"a line of more than thirty-two bytes\n\nend";
        let mut portions = Vec::new();
        while !rest.is_empty() {
            let next = portion(rest, TERMINAL_PORTION);
            portions.push(String::from_utf8_lossy(next).into_owned());
            rest = &rest[next.len()..];
        }
        assert_eq!(portions, ["a line of more than thirty-two b", "ytes", "\n", "\n", "end"]);
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_takes_what_fits_and_then_reports_that_it_is_full() {
        let mut reader = Command::new("sleep").arg("600").stdin(Stdio::piped()).spawn().unwrap();
        let pipe = reader.stdin.take().unwrap();
        let mut output = Output::of(pipe.as_fd(), "/does/not/exist").unwrap();
        let mut written = 0;
        let error = loop {
            match output.write(&[b'x'; 10_000]) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(written, 65_536);
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert_eq!(output.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
