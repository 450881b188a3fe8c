//! Drives the session of one connection on its own thread: read, let the service answer, commit, write.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

mod header;
mod linger;
mod socket;

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
use crate::conn::stream_session::{FrameDeadline, Step, StreamSession};
use crate::conn::unread::Unread;
use crate::journal::Lines;
use crate::limits::Limits;
use crate::service::{Output, StreamService};

use linger::ENDED_PAUSE;
use socket::is_timeout;

/// The first size of the read buffer, in bytes: most of what an idle connection costs, apart from its stack.
const READ_BYTES: usize = 1024;

/// The size of the read buffer for a peer that has filled smaller ones.
const READ_BYTES_MAX: usize = 128 * 1024;

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
        let mut unread = Unread::new();
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
            let (is_in_frame, is_direct) = (!unread.is_empty(), unread.is_long());
            let space = if is_direct {
                let missing_bytes = unread.missing_bytes().min(self.shared.limits.long_read_bytes_max);
                let bytes_max = self.shared.memory.read_bytes_max(missing_bytes.max(READ_BYTES_MAX));
                let bytes_max = self.shared.with_spare_maps(|maps| unread.make_space(bytes_max, maps));
                unread.space(bytes_max)
            } else {
                &mut buffer
            };
            let bytes = self.read_next(space, is_in_frame)?;
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
                if is_direct {
                    unread.add(bytes);
                    self.session.receive(service, &mut unread, bytes, &mut out)
                } else if is_in_frame {
                    self.shared.with_spare_maps(|maps| unread.append(&buffer[..bytes], maps));
                    self.session.receive(service, &mut unread, bytes, &mut out)
                } else {
                    let (step, left) = self.session.receive_first(service, &buffer[..bytes], &mut out);
                    if !left.is_empty() {
                        self.shared.with_spare_maps(|maps| unread.append(left, maps));
                    }
                    step
                }
            };
            if is_direct || is_in_frame {
                self.shared.release_memory(&mut unread, step.frame != FrameDeadline::Keep);
            }
            self.finish_step(step, &unread, buffer.len())?;
            if !is_direct && bytes == buffer.len() && bytes < READ_BYTES_MAX && !self.is_admin {
                buffer = vec![0; READ_BYTES_MAX.min(bytes * 4)];
            }
        }
        Ok(())
    }

    fn refuse(&mut self, service: &dyn StreamService, refusal: Refusal) -> Step {
        let mut out = output(self.admission, &mut self.answer, &mut self.lines);
        self.session.refuse(service, refusal, &mut out)
    }

    /// Does what a step requires, and ends a connection that is idle while the server drains.
    fn finish_step(&mut self, step: Step, unread: &Unread, buffer_bytes: usize) -> Result<(), CloseReason> {
        // The journal and the peer may let it wait with all of this.
        self.hold(buffer_bytes + unread.memory_bytes() + self.answer.capacity() + self.lines.capacity());
        self.apply_step(step)?;
        self.hold(buffer_bytes + unread.memory_bytes());
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
}

fn output<'a>(admission: &Admission, answer: &'a mut Vec<u8>, lines: &'a mut Lines) -> Output<'a> {
    set_time(lines);
    Output::new(admission.peer.get(), answer, admission.shared.has_journal.then_some(lines))
}

fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| Instant::now() + timeout)
}

/// Lines that are added from now on have the time of the clock, if lines have one.
pub(super) fn set_time(lines: &mut Lines) {
    if lines.have_time() {
        lines.set_time(unix_ms());
    }
}
