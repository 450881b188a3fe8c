//! One connection on its own thread: read, let the service answer, record, write.

#![expect(clippy::disallowed_methods, reason = "blocking threads tell the time for themselves")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::shared::{Admitted, Connection, Shared};
use crate::conn::{CloseReason, feed};
use crate::service::{Action, Output, Progress, StreamService};

/// Bytes read at once, to begin with: most of what an idle connection holds, stack apart.
const READ_BYTES: usize = 1024;

/// Bytes read at once from a peer that has filled smaller buffers.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Serves a connection to its end and says what that was.
pub(super) fn serve(admitted: &Admitted, service: &dyn StreamService) -> CloseReason {
    let Admitted { connection, shared, is_full, .. } = admitted;
    let mut stream = Blocking { connection, shared, answer: Vec::new(), lines: Vec::new(), timeout: None };
    match stream.serve(service, *is_full) {
        Ok(reason) | Err(reason) => reason,
    }
}

struct Blocking<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    answer: Vec<u8>,
    lines: Vec<u8>,
    /// The read timeout that the socket has, so that it is set only when it changes.
    timeout: Option<Duration>,
}

impl Blocking<'_> {
    fn serve(&mut self, service: &dyn StreamService, is_full: bool) -> Result<CloseReason, CloseReason> {
        let first = if is_full {
            let most = self.shared.limits.connections_max;
            Action::Refuse(format!("the server is full, it serves {most} connections"))
        } else {
            service.opened(unix_seconds(), &mut self.output())
        };
        if let Some(reason) =
            self.answer(service, &first, if is_full { CloseReason::Full } else { CloseReason::BadInput })?
        {
            self.linger();
            return Ok(reason);
        }

        let mut buffer = vec![0; READ_BYTES];
        let mut unread = Vec::new();
        let mut frame_deadline = None;
        loop {
            let deadline = frame_deadline.or_else(|| deadline_in(self.shared.limits.idle_timeout));
            let bytes = match self.read(&mut buffer, deadline) {
                Ok(bytes) => bytes,
                Err(error) if is_timeout(&error) && unread.is_empty() => {
                    return Err(CloseReason::IdleTimeout);
                }
                Err(error) if is_timeout(&error) => return Err(CloseReason::FrameTimeout),
                Err(error) => return Err(CloseReason::of(&error)),
            };
            if bytes == 0 {
                return self.end(service, &unread);
            }
            self.connection.begin();
            let was_between_frames = unread.is_empty();
            let Progress { consumed, action } = {
                let mut out = self.output();
                feed(&mut unread, &buffer[..bytes], |unread| service.received(unread, false, &mut out))
            };
            if let Some(reason) = self.answer(service, &action, CloseReason::BadInput)? {
                self.linger();
                return Ok(reason);
            }
            if unread.is_empty() {
                frame_deadline = None;
                self.connection.finish();
                // What has come behind the frame has begun too.
                if self.shared.is_draining() && !self.connection.has_bytes_waiting() {
                    self.linger();
                    return Ok(CloseReason::Stopped);
                }
            } else if was_between_frames || consumed > 0 {
                frame_deadline = deadline_in(self.shared.limits.frame_timeout);
            }
            if bytes == buffer.len() && bytes < READ_BYTES_MAX {
                buffer = vec![0; bytes * 4];
            }
        }
    }

    /// The peer has ended its side: it still gets what is owed to it.
    fn end(&mut self, service: &dyn StreamService, unread: &[u8]) -> Result<CloseReason, CloseReason> {
        if !unread.is_empty() {
            return Ok(CloseReason::Truncated);
        }
        if self.shared.is_draining() {
            return Ok(CloseReason::Stopped);
        }
        let Progress { action, .. } = service.received(&[], true, &mut self.output());
        Ok(self.answer(service, &action, CloseReason::BadInput)?.unwrap_or(CloseReason::Served))
    }

    /// Records and sends what the service said; the reason to close, if the stream is to end.
    fn answer(
        &mut self,
        service: &dyn StreamService,
        action: &Action,
        if_refused: CloseReason,
    ) -> Result<Option<CloseReason>, CloseReason> {
        let end = match action {
            Action::Continue => None,
            Action::End => Some(CloseReason::Served),
            Action::Refuse(reason) => {
                service.refused(reason, &mut self.output());
                let peer = self.connection.peer;
                self.shared.warn(if_refused, format_args!("{peer} refused: {reason}"));
                Some(if_refused)
            }
        };
        if !self.shared.record(&mut self.lines) {
            return Err(CloseReason::Stopped);
        }
        self.write()?;
        Ok(end)
    }

    fn output(&mut self) -> Output<'_> {
        let lines = self.shared.records.then_some(&mut self.lines);
        Output::new(self.connection.peer, &mut self.answer, lines)
    }

    /// Reads, until `deadline` at the latest.
    ///
    /// The socket's own timeout is only set when it is none or clearly too long, and found too short when
    /// it ends a read early: for peers that send their frames in time, setting it costs no system call.
    fn read(&mut self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return self.read_what_is_there(buffer);
                }
                if self.timeout.is_none_or(|timeout| timeout > left + left / 8) {
                    self.set_timeout(Some(left))?;
                }
            }
            match self.stream().read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => self.set_timeout(None)?,
                outcome => return outcome,
            }
        }
    }

    /// Bytes that have come and were not read yet are not the peer's delay: this process may have been
    /// stopped meanwhile.
    fn read_what_is_there(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().set_nonblocking(true)?;
        let outcome = self.stream().read(buffer);
        self.stream().set_nonblocking(false)?;
        outcome
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        self.stream().set_read_timeout(timeout)
    }

    /// Writes the answer; the socket's timeout runs again whenever the peer has taken some.
    fn write(&mut self) -> Result<(), CloseReason> {
        let mut sent = 0;
        while sent < self.answer.len() {
            match self.stream().write(&self.answer[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(CloseReason::WriteTimeout),
                Err(error) => return Err(CloseReason::of(&error)),
            }
        }
        self.answer.clear();
        self.answer.shrink_to(READ_BYTES);
        Ok(())
    }

    /// Ends our side, then reads and throws away what still comes: closing with bytes unread would reset
    /// the connection, and the last answer with it.
    fn linger(&mut self) {
        if self.stream().shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = Instant::now() + self.shared.limits.linger_timeout;
        let mut buffer = [0; READ_BYTES];
        let mut lingered_bytes = 0;
        while lingered_bytes <= self.shared.limits.linger_bytes_max {
            match self.read(&mut buffer, Some(deadline)) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => lingered_bytes += bytes,
            }
        }
    }

    fn stream(&self) -> &TcpStream {
        &self.connection.stream
    }
}

fn deadline_in(timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| Instant::now() + timeout)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn unix_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
