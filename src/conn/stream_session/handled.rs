//! What only connections of handlers do: they can be opened by this server, and end one side at a time.

use super::{FrameDeadline, Step, StreamSession};
use crate::conn::CloseReason;
use crate::conn::state::{ConnEvent, State};
use crate::service::Action;

impl StreamSession {
    /// A connection that a handler has asked for.
    pub(crate) fn connecting() -> Self {
        Self { state: State::Connecting, reason: CloseReason::Served }
    }

    /// Whether the service may send: it has not given its last answer.
    pub(crate) fn takes_answers(self) -> bool {
        matches!(self.state, State::Connecting | State::Open | State::HalfOpen)
    }

    /// Whether the other server has not accepted it yet.
    pub(crate) fn is_connecting(self) -> bool {
        self.state == State::Connecting
    }

    /// Whether bytes go to the service or to the peer, or both.
    pub(crate) fn is_used(self) -> bool {
        matches!(self.state, State::Open | State::ReceiveOnly | State::HalfOpen)
    }

    /// Whether bytes of the peer go to the service.
    pub(crate) fn is_received(self) -> bool {
        matches!(self.state, State::Open | State::ReceiveOnly)
    }

    /// Goes on after the header, with the handler of the connection.
    #[cfg(feature = "cli")]
    pub(crate) fn identified_for_handler(&mut self) {
        let _ = self.transition(ConnEvent::Identified);
    }

    /// The other server has accepted.
    pub(crate) fn connected(&mut self) {
        let _ = self.transition(ConnEvent::Connected);
    }

    /// Goes on after a handler was called, which has answered, and has itself refused what it refuses.
    pub(crate) fn handled(&mut self, action: Action, frame: FrameDeadline, journal_lines: u64) -> Step {
        let refusal = match action {
            Action::Continue => return Step { journal_lines, frame, refusal: None },
            Action::End => None,
            Action::Refuse(reason) => Some(reason),
        };
        let _ = self.transition(ConnEvent::ServiceEnded);
        if refusal.is_some() {
            self.reason = CloseReason::BadInput;
        }
        Step { journal_lines, frame, refusal }
    }

    /// The handler sends nothing more.
    pub(crate) fn write_ended(&mut self) {
        let _ = self.transition(ConnEvent::WriteEnded);
    }

    /// Handles the end of the peer's side of a connection of a handler, which may send more unless a frame is cut off.
    pub(crate) fn read_ended(&mut self, is_in_frame: bool) -> Step {
        if is_in_frame {
            let _ = self.transition(ConnEvent::PeerEnded);
            self.reason = CloseReason::Truncated;
            return Step { journal_lines: 0, frame: FrameDeadline::Stop, refusal: None };
        }
        let _ = self.transition(ConnEvent::ReadEnded);
        Step { journal_lines: 0, frame: FrameDeadline::Keep, refusal: None }
    }
}
