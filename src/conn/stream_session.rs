//! The rules of a stream connection, the same for the event loop and for a thread per connection.
//!
//! A session knows bytes and a service. It has no socket, no clock and no table, and does not know which model
//! drives it: the driver reads, passes the bytes in, commits the journal, sends the answer, and does what the
//! returned [`Step`] or [`Effect`] requires.

#[cfg(feature = "handlers")]
mod handled;

use std::io;

use crate::conn::CloseReason;
use crate::conn::admission::Refusal;
#[cfg(feature = "cli")]
use crate::conn::proxy_header::{self, ProxyHeader};
use crate::conn::state::{ConnEvent, State};
use crate::conn::unread::Unread;
use crate::service::{Action, Known, Output, Progress, Reason, StreamService, with_text};

/// The state of one stream connection. It is two bytes, so that it fits into the entry of an idle connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamSession {
    state: State,
    /// Why the connection will be closed, once `state` is behind `Open`.
    reason: CloseReason,
}

/// The outcome of a step, besides the answer.
#[derive(Debug)]
#[must_use]
pub(crate) struct Step {
    /// Lines appended to the journal. The answer must not leave before they are committed.
    pub(crate) journal_lines: u64,
    /// How the frame deadline changes.
    pub(crate) frame: FrameDeadline,
    /// Why the input was refused, if it was.
    pub(crate) refusal: Option<Reason>,
}

/// The outcome of the bytes of a header.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) enum HeaderStep {
    /// More bytes are needed.
    Incomplete,
    /// Bytes of the peer may follow it.
    Complete(ProxyHeader),
    /// It is refused.
    Refused(Step),
}

/// What the driver must do after a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Effect {
    /// Nothing.
    Nothing,
    /// End our side. What still comes is discarded, but for connections of handlers that go on to receive.
    HalfClose,
    /// Close the connection.
    Close,
}

/// How the deadline of a frame changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameDeadline {
    /// Not at all.
    Keep,
    /// It starts now, with the first byte of a frame.
    Start,
    /// It ends: the frame is complete, or never will be.
    Stop,
}

impl StreamSession {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Self {
        Self { state: State::Open, reason: CloseReason::Served }
    }

    /// A connection that a proxy has just opened: it begins with a header, which names the peer.
    #[cfg(feature = "cli")]
    pub(crate) fn behind_proxy() -> Self {
        Self { state: State::Awaiting, reason: CloseReason::Served }
    }

    pub(crate) fn is_open(self) -> bool {
        self.state == State::Open
    }

    /// Whether the header of the proxy is not complete yet. The minimal build parses none.
    pub(crate) fn is_awaiting(self) -> bool {
        cfg!(feature = "cli") && self.state == State::Awaiting
    }

    /// Whether bytes of the peer are wanted: the header of its proxy, or requests.
    pub(crate) fn is_receiving(self) -> bool {
        matches!(self.state, State::Awaiting | State::Open | State::ReceiveOnly)
    }

    /// Whether the peer has ended its side, and the service may send more.
    pub(crate) fn is_half_open(self) -> bool {
        self.state == State::HalfOpen
    }

    /// Whether it counts as a connection of its source.
    pub(crate) fn is_admitted(self) -> bool {
        !self.is_awaiting() && !self.reason.precedes_admission()
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

    /// Serves a new connection, accepted at `unix_seconds`.
    pub(crate) fn open(
        &mut self,
        service: &dyn StreamService,
        unix_seconds: i64,
        out: &mut Output<'_>,
    ) -> Step {
        let action = service.opened(unix_seconds, out);
        self.step(service, action, FrameDeadline::Keep, out)
    }

    /// Refuses a new connection.
    pub(crate) fn refuse(
        &mut self,
        service: &dyn StreamService,
        refusal: Refusal,
        out: &mut Output<'_>,
    ) -> Step {
        with_text(&refusal, &mut |reason| service.refused(reason, out));
        let _ = self.transition(ConnEvent::ServiceEnded);
        self.reason = refusal.close_reason();
        Step { journal_lines: out.journal_lines(), frame: FrameDeadline::Keep, refusal: None }
    }

    /// Examines the header at the beginning of `received`, which is all that has arrived.
    #[cfg(feature = "cli")]
    pub(crate) fn receive_header(
        &mut self,
        service: &dyn StreamService,
        received: &[u8],
        bytes_max: usize,
        out: &mut Output<'_>,
    ) -> HeaderStep {
        match proxy_header::parse(received, bytes_max) {
            Ok(None) => HeaderStep::Incomplete,
            Ok(Some(header)) => HeaderStep::Complete(header),
            Err(reason) => {
                service.refused(&reason, out);
                let _ = self.transition(ConnEvent::ServiceEnded);
                HeaderStep::Refused(self.without_header(CloseReason::BadProxyHeader, Some(reason.into())))
            }
        }
    }

    /// Goes on after the header, with the peer that it names: serves the connection from `unix_seconds` on, or refuses
    /// it.
    #[cfg(feature = "cli")]
    pub(crate) fn identified(
        &mut self,
        service: &dyn StreamService,
        refusal: Option<Refusal>,
        unix_seconds: i64,
        out: &mut Output<'_>,
    ) -> Step {
        if let Some(refusal) = refusal {
            return self.refuse(service, refusal, out);
        }
        let _ = self.transition(ConnEvent::Identified);
        self.open(service, unix_seconds, out)
    }

    fn without_header(&mut self, reason: CloseReason, refusal: Option<Reason>) -> Step {
        self.reason = reason;
        Step { journal_lines: 0, frame: FrameDeadline::Keep, refusal }
    }

    /// Why a connection is closed that `error` has ended.
    pub(crate) fn reason_of(self, error: &io::Error) -> CloseReason {
        let reason = CloseReason::of(error);
        // So end connections of proxies that only check whether the server accepts.
        if self.is_awaiting() && reason == CloseReason::Reset { CloseReason::NoProxyHeader } else { reason }
    }

    /// Passes received bytes to the service, if none are unread from before. Returns those that it does not consume;
    /// they are to be stored.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn receive_first<'a>(
        &mut self,
        service: &dyn StreamService,
        fresh: &'a [u8],
        out: &mut Output<'_>,
    ) -> (Step, &'a [u8]) {
        let (action, left) = match receive_whole(service, fresh, out) {
            Ok(left) => (Action::Continue, left),
            Err(action) => (action, &[][..]),
        };
        let frame = if left.is_empty() { FrameDeadline::Keep } else { FrameDeadline::Start };
        (self.step(service, action, frame, out), left)
    }

    /// Passes the bytes of `unread` to the service, of which the last `fresh` have just been received. What it does not
    /// consume is left there.
    pub(crate) fn receive(
        &mut self,
        service: &dyn StreamService,
        unread: &mut Unread,
        fresh: usize,
        out: &mut Output<'_>,
    ) -> Step {
        let was_in_frame = unread.len() > fresh;
        let mut known = unread.known;
        let Progress { consumed, action } = service.received_more(unread, &mut known, out);
        let frame = consume(unread, was_in_frame, consumed, &action);
        unread.known = if unread.is_empty() { Known::default() } else { known };
        self.step(service, action, frame, out)
    }

    /// Handles the end of the peer's side. `is_in_frame`: the beginning of a frame, or of a header, is unread, and is
    /// lost.
    pub(crate) fn peer_ended(
        &mut self,
        service: &dyn StreamService,
        is_in_frame: bool,
        out: &mut Output<'_>,
    ) -> Step {
        let was_awaiting = self.is_awaiting();
        let _ = self.transition(ConnEvent::PeerEnded);
        if was_awaiting {
            let cut_off = is_in_frame.then(|| "its PROXY header is cut off".into());
            let reason = if is_in_frame { CloseReason::BadProxyHeader } else { CloseReason::NoProxyHeader };
            return self.without_header(reason, cut_off);
        }
        if is_in_frame {
            self.reason = CloseReason::Truncated;
            return Step { journal_lines: 0, frame: FrameDeadline::Stop, refusal: None };
        }
        let Progress { action, .. } = service.received(&[], true, out);
        self.step(service, action, FrameDeadline::Keep, out)
    }

    /// Goes on after everything was sent.
    #[inline]
    pub(crate) fn flushed(&mut self) -> Effect {
        #[cfg(feature = "handlers")]
        if self.state == State::ReceiveOnly {
            return Effect::HalfClose;
        }
        self.transition(ConnEvent::Flushed)
    }

    /// Ends a connection that is between two frames, because the server stops.
    pub(crate) fn stop(&mut self) -> Effect {
        self.reason = CloseReason::Stopped;
        if self.is_awaiting() {
            // Nothing was sent that closing could destroy.
            return Effect::Close;
        }
        let _ = self.transition(ConnEvent::ServiceEnded);
        self.flushed()
    }

    /// The only place where the state changes.
    #[inline]
    fn transition(&mut self, event: ConnEvent) -> Effect {
        let next = self.state.after(event);
        let before = std::mem::replace(&mut self.state, next);
        match next {
            _ if next == before => Effect::Nothing,
            State::Lingering => Effect::HalfClose,
            State::Closed => Effect::Close,
            #[cfg(any(test, feature = "handlers"))]
            State::Connecting => Effect::Nothing,
            State::Awaiting
            | State::Open
            | State::ReceiveOnly
            | State::HalfOpen
            | State::Ending
            | State::Finishing => Effect::Nothing,
        }
    }

    /// Applies the action of the service.
    fn step(
        &mut self,
        service: &dyn StreamService,
        action: Action,
        frame: FrameDeadline,
        out: &mut Output<'_>,
    ) -> Step {
        if matches!(action, Action::Continue) {
            return Step { journal_lines: out.journal_lines(), frame, refusal: None };
        }
        self.end(service, action, frame, out)
    }

    /// Handles the last answer of the service, or its refusal of the input.
    #[cold]
    pub(crate) fn end(
        &mut self,
        service: &dyn StreamService,
        action: Action,
        frame: FrameDeadline,
        out: &mut Output<'_>,
    ) -> Step {
        let _ = self.transition(ConnEvent::ServiceEnded);
        let mut refusal = None;
        if let Action::Refuse(reason) = action {
            with_text(&reason, &mut |reason| service.refused(reason, out));
            self.reason = CloseReason::BadInput;
            refusal = Some(reason);
        }
        Step { journal_lines: out.journal_lines(), frame, refusal }
    }
}

/// Passes received bytes to the service, if none are unread from before. Returns those that it does not consume, or what
/// it does instead of going on: then the session [ends](StreamSession::end).
#[expect(
    clippy::inline_always,
    reason = "it runs for every message, which costs a tenth more without inlining"
)]
#[inline(always)]
pub(crate) fn receive_whole<'a>(
    service: &dyn StreamService,
    fresh: &'a [u8],
    out: &mut Output<'_>,
) -> Result<&'a [u8], Action> {
    let progress = service.received(fresh, false, out);
    if matches!(progress.action, Action::Continue) {
        Ok(&fresh[progress.consumed..])
    } else {
        Err(progress.action)
    }
}

/// Removes what a service has consumed from what was unread, or all if it does not go on. Returns how the deadline of
/// a frame changes.
pub(crate) fn consume(
    unread: &mut Unread,
    was_in_frame: bool,
    consumed: usize,
    action: &Action,
) -> FrameDeadline {
    unread.consume(if matches!(action, Action::Continue) { consumed } else { unread.len() });
    match (was_in_frame, unread.is_empty()) {
        (true, true) => FrameDeadline::Stop,
        (false, true) => FrameDeadline::Keep,
        // The frame that had begun is complete, and another has begun.
        (true, false) if consumed == 0 => FrameDeadline::Keep,
        (_, false) => FrameDeadline::Start,
    }
}

#[cfg(test)]
mod tests;
