//! Reading until a deadline, and writing, on a blocking socket.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Driver, READ_BYTES};
use crate::conn::CloseReason;

impl Driver<'_> {
    /// Reads, until `deadline` at the latest.
    ///
    /// The socket's own timeout is set only when it is none or clearly too long, and found too short when it ends
    /// a read early: for peers that send their frames in time, setting it costs no system call.
    pub(super) fn read(&mut self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return self.read_without_waiting(buffer);
                }
                if self.read_timeout.is_none_or(|timeout| timeout > left + left / 8) {
                    self.set_read_timeout(Some(left))?;
                }
            }
            match self.stream().read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => self.set_read_timeout(None)?,
                outcome => return self.counted(outcome),
            }
        }
    }

    /// Bytes that have arrived and are not read yet are not the peer's delay: this process may have been stopped
    /// meanwhile.
    pub(super) fn read_without_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().set_nonblocking(true)?;
        let outcome = self.stream().read(buffer);
        self.stream().set_nonblocking(false)?;
        self.counted(outcome)
    }

    /// Counts the bytes that were read.
    fn counted(&self, outcome: io::Result<usize>) -> io::Result<usize> {
        self.count(|counts| &counts.read_bytes, *outcome.as_ref().unwrap_or(&0) as u64);
        outcome
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout = timeout;
        self.stream().set_read_timeout(timeout)
    }

    /// Writes the answer; the socket's timeout runs again whenever the peer has taken some.
    pub(super) fn write(&mut self) -> Result<(), CloseReason> {
        let mut sent = 0;
        while sent < self.answer.len() {
            match self.stream().write(&self.answer[sent..]) {
                Ok(bytes) => {
                    self.count(|counts| &counts.sent_bytes, bytes as u64);
                    sent += bytes;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(CloseReason::WriteTimeout),
                Err(error) => return Err(CloseReason::of(&error)),
            }
        }
        self.answer.clear();
        self.answer.shrink_to(READ_BYTES);
        Ok(())
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.connection.stream
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
