//! The rules of a stream connection, the same for the event loop and for a thread per connection.
//!
//! A session knows bytes and a service. It has no socket, no clock and no table, and does not know which model
//! drives it: the driver reads, passes the bytes in, commits the journal, sends the answer, and does what the
//! returned [`Step`] or [`Effect`] demands.

use crate::conn::CloseReason;
use crate::conn::state::{ConnEvent, Effect, State};
use crate::service::{Action, Output, Progress, StreamService};

/// The state of one stream connection. It is two bytes, so that it fits into the entry of an idle connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamSession {
    state: State,
    /// Why the connection will be closed, once `state` has left `Open`.
    reason: CloseReason,
}

/// What a step has done besides answering, and what it demands.
#[derive(Debug)]
#[must_use]
pub(crate) struct Step {
    /// Messages written to the journal. The answer must not leave before they are committed.
    pub(crate) recorded: u64,
    /// What becomes of the deadline of the frame.
    pub(crate) frame: FrameDeadline,
    /// Why the input was refused, if it was.
    pub(crate) refusal: Option<String>,
}

/// What becomes of the deadline of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameDeadline {
    /// It stays as it is.
    Keep,
    /// The first byte of a frame has come: it begins now.
    Start,
    /// The frame is complete, or never will be.
    Stop,
}

impl StreamSession {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Self {
        Self { state: State::Open, reason: CloseReason::Served }
    }

    pub(crate) fn state(self) -> State {
        self.state
    }

    pub(crate) fn is_open(self) -> bool {
        self.state == State::Open
    }

    /// Whether our side has ended, and what still comes is discarded.
    pub(crate) fn is_lingering(self) -> bool {
        self.state == State::Lingering
    }

    /// Whether the connection waits for its last answer to be sent.
    pub(crate) fn is_ending(self) -> bool {
        matches!(self.state, State::Ending | State::Finishing)
    }

    /// Why the connection is to be closed.
    pub(crate) fn reason(self) -> CloseReason {
        self.reason
    }

    /// A peer has connected at `unix_seconds`, and is served.
    pub(crate) fn open(
        &mut self,
        service: &dyn StreamService,
        unix_seconds: i64,
        out: &mut Output<'_>,
    ) -> Step {
        let action = service.opened(unix_seconds, out);
        self.step(service, action, FrameDeadline::Keep, out)
    }

    /// A peer has connected while `connections_max` connections are served.
    pub(crate) fn open_full(
        &mut self,
        service: &dyn StreamService,
        connections_max: usize,
        out: &mut Output<'_>,
    ) -> Step {
        service.refused(&format!("the server is full, it serves {connections_max} connections"), out);
        self.reason = CloseReason::Full;
        self.state = self.state.after(ConnEvent::ServiceEnded);
        Step { recorded: out.journal_lines(), frame: FrameDeadline::Keep, refusal: None }
    }

    /// `fresh` has come. What the service does not consume is kept in `unread`, which has what it left before.
    #[expect(
        clippy::inline_always,
        reason = "on the way of each message; a call and its copies cost a tenth of it"
    )]
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        service: &dyn StreamService,
        unread: &mut Vec<u8>,
        fresh: &[u8],
        out: &mut Output<'_>,
    ) -> Step {
        let was_in_frame = !unread.is_empty();
        let Progress { consumed, action } =
            consume(unread, fresh, |unread| service.received(unread, false, out));
        let frame = match (was_in_frame, !unread.is_empty()) {
            (false, true) => FrameDeadline::Start,
            // The frame that had begun is complete, and another has begun.
            (true, true) if consumed > 0 => FrameDeadline::Start,
            (true, false) => FrameDeadline::Stop,
            (true, true) | (false, false) => FrameDeadline::Keep,
        };
        self.step(service, action, frame, out)
    }

    /// The peer has ended its side. `is_in_frame`: the beginning of a frame is unread, and is lost.
    pub(crate) fn peer_ended(
        &mut self,
        service: &dyn StreamService,
        is_in_frame: bool,
        out: &mut Output<'_>,
    ) -> Step {
        self.state = self.state.after(ConnEvent::PeerEnded);
        if is_in_frame {
            self.reason = CloseReason::Truncated;
            return Step { recorded: 0, frame: FrameDeadline::Stop, refusal: None };
        }
        let Progress { action, .. } = service.received(&[], true, out);
        self.step(service, action, FrameDeadline::Keep, out)
    }

    /// Everything was sent.
    #[inline]
    pub(crate) fn flushed(&mut self) -> Effect {
        let next = self.state.after(ConnEvent::Flushed);
        let effect = self.state.effect_of(next);
        self.state = next;
        effect
    }

    /// The server stops, and the connection is between two frames.
    pub(crate) fn stop(&mut self) -> Effect {
        self.reason = CloseReason::Stopped;
        self.state = self.state.after(ConnEvent::ServiceEnded);
        self.flushed()
    }

    /// Why a connection is closed whose peer has sent nothing until a deadline.
    #[cfg(feature = "cli")]
    pub(crate) fn read_timeout_reason(is_in_frame: bool) -> CloseReason {
        if is_in_frame { CloseReason::FrameTimeout } else { CloseReason::IdleTimeout }
    }

    /// Does what the service wants to become of the stream.
    #[expect(
        clippy::inline_always,
        reason = "on the way of each message; a call and its copies cost a tenth of it"
    )]
    #[inline(always)]
    fn step(
        &mut self,
        service: &dyn StreamService,
        action: Action,
        frame: FrameDeadline,
        out: &mut Output<'_>,
    ) -> Step {
        if matches!(action, Action::Continue) {
            return Step { recorded: out.journal_lines(), frame, refusal: None };
        }
        let refusal = self.end(service, action, out);
        Step { recorded: out.journal_lines(), frame, refusal }
    }

    /// The service has given its last answer, or refuses the input.
    #[cold]
    fn end(&mut self, service: &dyn StreamService, action: Action, out: &mut Output<'_>) -> Option<String> {
        self.state = self.state.after(ConnEvent::ServiceEnded);
        let Action::Refuse(reason) = action else { return None };
        service.refused(&reason, out);
        self.reason = CloseReason::BadInput;
        Some(reason)
    }
}

/// Passes `fresh` to `receive`, behind what it left in `unread` before, and keeps there what it leaves now.
///
/// While frames come complete, nothing is copied: `unread` stays empty and without memory.
#[expect(
    clippy::inline_always,
    reason = "on the way of each message; a call and its copies cost a tenth of it"
)]
#[inline(always)]
fn consume(unread: &mut Vec<u8>, fresh: &[u8], receive: impl FnOnce(&[u8]) -> Progress) -> Progress {
    let progress = if unread.is_empty() {
        let progress = receive(fresh);
        if progress.consumed < fresh.len() {
            unread.extend_from_slice(&fresh[progress.consumed..]);
        }
        progress
    } else {
        unread.extend_from_slice(fresh);
        let progress = receive(unread);
        if progress.consumed > 0 {
            // Copied, not moved down: a long frame must not leave its memory to the beginning of the next.
            *unread = unread[progress.consumed..].to_vec();
        }
        progress
    };
    if !matches!(progress.action, Action::Continue) {
        *unread = Vec::new();
    }
    progress
}

#[cfg(test)]
mod tests;
