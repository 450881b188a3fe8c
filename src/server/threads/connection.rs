//! Drives the session of one connection on its own thread: read, let the service answer, commit, write.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::clock::{unix_ms, unix_seconds};
use super::meter::Counts;
use super::shared::{Connection, Shared};
use crate::conn::CloseReason;
use crate::conn::admission::Refusal;
use crate::conn::log_throttle::LogKind;
use crate::conn::stored_bytes::StoredBytes;
use crate::conn::stream_session::{Effect, FrameDeadline, HeaderStep, Step, StreamSession};
use crate::journal::Lines;
use crate::limits::Limits;
use crate::service::{Output, StreamService};

/// The first size of the read buffer, in bytes: most of what an idle connection costs, apart from its stack.
const READ_BYTES: usize = 1024;

/// The size of the read buffer for a peer that has filled smaller ones.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Between two reads of a frame whose read side is shut.
const ENDED_PAUSE: Duration = Duration::from_millis(5);

/// The longest such pause, and between two looks whether the peer has ended too.
const ENDED_PAUSE_MAX: Duration = Duration::from_millis(40);

/// Bytes of buffers that do not count: no more than a peer with short messages needs.
const HELD_FREE_BYTES: usize = 8 * READ_BYTES;

/// Serves a connection to its end and returns why it ended.
pub(super) fn serve(admission: &Admission, service: &dyn StreamService) -> CloseReason {
    let Admission { connection, shared, .. } = admission;
    let mut driver = Driver {
        admission,
        connection,
        shared,
        is_admin: admission.is_admin,
        session: if admission.behind_proxy { StreamSession::behind_proxy() } else { StreamSession::new() },
        frame_deadline: None,
        answer: Vec::new(),
        lines: shared.new_lines(),
        read_timeout: None,
        held_bytes: 0,
        has_received: false,
    };
    let outcome = driver.serve(service);
    if connection.is_evicted() {
        return CloseReason::OutOfMemory;
    }
    match outcome {
        Ok(()) => driver.session.reason(),
        Err(reason) => reason,
    }
}

struct Driver<'a> {
    admission: &'a Admission,
    connection: &'a Connection,
    shared: &'a Shared,
    /// It is of the admin endpoint, which has a timeout of its own and is not counted.
    is_admin: bool,
    session: StreamSession,
    /// The deadline of the frame that has begun; `None` between frames, and without a frame timeout.
    frame_deadline: Option<Instant>,
    answer: Vec<u8>,
    lines: Lines,
    /// The read timeout that the socket has, so that it is set only when it changes.
    read_timeout: Option<Duration>,
    /// The bytes that count for the memory budget.
    held_bytes: usize,
    /// It has received bytes, apart from a PROXY header and what came with it.
    has_received: bool,
}

impl Driver<'_> {
    fn serve(&mut self, service: &dyn StreamService) -> Result<(), CloseReason> {
        let mut unread = StoredBytes::new();
        let step = match self.admission.refusal.get() {
            Some(refusal) => self.refuse(service, refusal),
            None if self.session.is_awaiting() => self.receive_header(service, &mut unread)?,
            None => {
                let mut out = output(self.admission, &mut self.answer, &mut self.lines);
                self.session.open(service, unix_seconds(), &mut out)
            }
        };
        self.finish_step(step, &unread, 0)?;

        let read_bytes = if self.is_admin { self.shared.limits.admin_read_bytes_max } else { READ_BYTES };
        let mut buffer = vec![0; read_bytes];
        while self.session.is_open() {
            let bytes = self.read_next(&mut buffer, !unread.is_empty())?;
            if bytes == 0 && self.connection.is_ended() {
                if unread.is_empty() {
                    self.stop();
                    break;
                }
                // Draining has shut the read side after a frame had begun and before that was known. The kernel still
                // takes the rest of it, but a read no longer waits.
                thread::sleep(ENDED_PAUSE);
                continue;
            }
            let mut out = output(self.admission, &mut self.answer, &mut self.lines);
            let step = if bytes == 0 {
                self.session.peer_ended(service, !unread.is_empty(), &mut out)
            } else {
                self.has_received = true;
                self.connection.mark_busy();
                self.session.receive(service, &mut unread, &buffer[..bytes], &mut out)
            };
            self.finish_step(step, &unread, buffer.len())?;
            if bytes == buffer.len() && bytes < READ_BYTES_MAX && !self.is_admin {
                buffer = vec![0; bytes * 4];
            }
        }
        Ok(())
    }

    fn refuse(&mut self, service: &dyn StreamService, refusal: Refusal) -> Step {
        let mut out = output(self.admission, &mut self.answer, &mut self.lines);
        self.session.refuse(service, refusal, &mut out)
    }

    /// Reads the header of a proxy, and serves or refuses the peer that it names.
    fn receive_header(
        &mut self,
        service: &dyn StreamService,
        unread: &mut StoredBytes,
    ) -> Result<Step, CloseReason> {
        let limits = &self.shared.limits;
        let deadline = deadline_after(Some(limits.proxy_header_timeout));
        let (mut received, mut buffer) = (Vec::new(), [0; READ_BYTES]);
        let header = loop {
            let bytes = self.read(&mut buffer, deadline).map_err(|error| {
                if is_timeout(&error) {
                    CloseReason::ProxyHeaderTimeout
                } else {
                    self.session.reason_of(&error)
                }
            })?;
            if bytes == 0 && self.connection.is_ended() {
                return Err(CloseReason::Stopped);
            }
            let mut out = output(self.admission, &mut self.answer, &mut self.lines);
            if bytes == 0 {
                return Ok(self.session.peer_ended(service, !received.is_empty(), &mut out));
            }
            self.connection.mark_busy();
            received.extend_from_slice(&buffer[..bytes]);
            match self.session.receive_header(service, &received, limits.proxy_header_bytes_max, &mut out) {
                HeaderStep::Incomplete => {}
                HeaderStep::Refused(step) => return Ok(step),
                HeaderStep::Complete(header) => break header,
            }
        };
        let proxy = self.admission.peer.get();
        let peer = header.source.unwrap_or(proxy);
        log::debug!("{peer} connects through {proxy}");
        if let Err(refusal) = self.admission.identify(peer) {
            let _ = self.refuse(service, refusal);
            self.write()?;
            // Bytes that are unread when it is closed would make the kernel send a reset, which may overtake the reason.
            let _ = self.read_without_waiting(&mut buffer);
            return Err(refusal.close_reason());
        }
        let mut out = output(self.admission, &mut self.answer, &mut self.lines);
        let step = self.session.identified(service, self.admission.refusal.get(), unix_seconds(), &mut out);
        let fresh = &received[header.bytes..];
        if fresh.is_empty() || !self.session.is_open() {
            return Ok(step);
        }
        // It counts the lines of both steps.
        Ok(self.session.receive(service, unread, fresh, &mut out))
    }

    /// Does what a step requires, and ends a connection that is idle while the server drains.
    fn finish_step(
        &mut self,
        step: Step,
        unread: &StoredBytes,
        buffer_bytes: usize,
    ) -> Result<(), CloseReason> {
        // The journal and the peer may let it wait with all of this.
        self.hold(buffer_bytes + unread.capacity() + self.answer.capacity() + self.lines.capacity());
        self.apply_step(step)?;
        self.hold(buffer_bytes + unread.capacity());
        if self.session.is_open() && unread.is_empty() {
            self.connection.mark_idle();
            let shared = self.shared;
            // The first frame may be on its way. A connection that is new when draining begins is ended later.
            let must_end = if self.has_received { shared.is_draining() } else { shared.is_finishing() };
            // Bytes behind the frame have begun another.
            if must_end && !self.connection.has_bytes_waiting() {
                self.stop();
            }
        }
        Ok(())
    }

    /// Reads until the deadline of the frame, or else of the idle connection; 0 is the end of the stream.
    fn read_next(&mut self, buffer: &mut [u8], is_in_frame: bool) -> Result<usize, CloseReason> {
        let deadline = if is_in_frame { self.frame_deadline } else { deadline_after(self.idle_timeout()) };
        self.read(buffer, deadline).map_err(|error| match is_timeout(&error) {
            true if is_in_frame => CloseReason::FrameTimeout,
            true => CloseReason::IdleTimeout,
            false => CloseReason::of(&error),
        })
    }

    fn idle_timeout(&self) -> Option<Duration> {
        let Limits { idle_timeout, admin_idle_timeout, .. } = self.shared.limits;
        if self.is_admin { Some(admin_idle_timeout) } else { idle_timeout }
    }

    fn count(&self, count: fn(&Counts) -> &AtomicU64, number: u64) {
        if !self.is_admin {
            self.shared.count(count, number);
        }
    }

    /// Accounts for the bytes that it holds. What every connection has does not count.
    fn hold(&mut self, bytes: usize) {
        let bytes = if bytes > HELD_FREE_BYTES { bytes } else { 0 };
        if bytes != self.held_bytes {
            self.held_bytes = bytes;
            self.shared.hold(self.connection, bytes);
        }
    }

    /// Ends the connection, because the server stops.
    fn stop(&mut self) {
        let effect = self.session.stop();
        self.apply(effect);
    }

    /// Does what a step requires: the messages are committed before the answer leaves.
    fn apply_step(&mut self, step: Step) -> Result<(), CloseReason> {
        self.count(|counts| &counts.messages, step.journal_lines);
        if let Some(reason) = step.refusal {
            let peer = self.admission.peer.get();
            let kind = LogKind::Closed(self.session.reason());
            self.shared.warn(kind, format_args!("{peer} refused: {reason}"));
        }
        if !self.shared.commit(&mut self.lines) {
            return Err(CloseReason::Stopped);
        }
        self.write()?;
        // The time that the journal and the peer have taken is not the delay of the next frame.
        match step.frame {
            FrameDeadline::Keep => {}
            FrameDeadline::Start => self.frame_deadline = deadline_after(self.shared.limits.frame_timeout),
            FrameDeadline::Stop => self.frame_deadline = None,
        }
        let effect = self.session.flushed();
        self.apply(effect);
        Ok(())
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::HalfClose => self.linger(),
            // The socket is closed when the thread ends.
            Effect::Nothing | Effect::Close => {}
        }
    }

    /// Reads, until `deadline` at the latest.
    ///
    /// The socket's own timeout is set only when it is none or clearly too long, and found too short when it ends
    /// a read early: for peers that send their frames in time, setting it costs no system call.
    fn read(&mut self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
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
                outcome => {
                    self.count(|counts| &counts.read_bytes, *outcome.as_ref().unwrap_or(&0) as u64);
                    return outcome;
                }
            }
        }
    }

    /// Bytes that have arrived and are not read yet are not the peer's delay: this process may have been stopped
    /// meanwhile.
    fn read_without_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().set_nonblocking(true)?;
        let outcome = self.stream().read(buffer);
        self.stream().set_nonblocking(false)?;
        outcome
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout = timeout;
        self.stream().set_read_timeout(timeout)
    }

    /// Writes the answer; the socket's timeout runs again whenever the peer has taken some.
    fn write(&mut self) -> Result<(), CloseReason> {
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

    /// Ends our side, then reads and discards what still comes.
    fn linger(&mut self) {
        if self.stream().shutdown(Shutdown::Write).is_err() {
            return;
        }
        if self.connection.is_ended() {
            return self.linger_after_end();
        }
        let deadline = Instant::now() + self.shared.limits.linger_timeout;
        let mut buffer = [0; READ_BYTES];
        let mut discarded_bytes = 0;
        while discarded_bytes <= self.shared.limits.linger_bytes_max {
            match self.read(&mut buffer, Some(deadline)) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => discarded_bytes += bytes,
            }
        }
    }

    /// The same after draining has shut the read side: a read no longer waits, nor returns the end of the peer's side.
    /// When both sides have ended, the socket has no peer any more.
    fn linger_after_end(&mut self) {
        let deadline = Instant::now() + self.shared.limits.drain_linger_timeout;
        let mut buffer = [0; READ_BYTES];
        let mut pause = ENDED_PAUSE;
        while self.stream().peer_addr().is_ok() && Instant::now() < deadline {
            while self.stream().read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
            thread::sleep(pause);
            pause = (2 * pause).min(ENDED_PAUSE_MAX);
        }
    }

    fn stream(&self) -> &TcpStream {
        &self.connection.stream
    }
}

fn output<'a>(admission: &Admission, answer: &'a mut Vec<u8>, lines: &'a mut Lines) -> Output<'a> {
    set_time(lines);
    Output::new(admission.peer.get(), answer, admission.shared.has_journal.then_some(lines))
}

fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| Instant::now() + timeout)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Lines that are added from now on have the time of the clock, if lines have one.
pub(super) fn set_time(lines: &mut Lines) {
    if lines.have_time() {
        lines.set_time(unix_ms());
    }
}
