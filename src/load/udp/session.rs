//! The session of one socket: what answers and timeouts mean to it. It knows no socket.

use super::requests::{Matched, Requests};
use crate::service::Answer;

/// A session, or the attempt to open one.
#[derive(Debug)]
pub(super) struct Session {
    state: State,
    pub(super) requests: Requests,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `hellos` datagrams were sent to open it, the first at `begun_ns`.
    Opening { hellos: u8, begun_ns: u64 },
    /// It is open; `hellos` more answers to the datagrams that opened it may come.
    Open { hellos: u8 },
    /// It could not be opened.
    Closed,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The session is open, which was begun at `begun_ns`.
    Opened { begun_ns: u64 },
    /// It answers a request, or is a duplicate.
    Answer(Matched),
    /// No correct server sends it.
    Unexpected,
}

impl Session {
    /// The first hello is sent at `now_ns`; the service has `requests` requests.
    pub(super) fn new(now_ns: u64, requests: u8) -> Self {
        let state = State::Opening { hellos: 1, begun_ns: now_ns };
        Self { state, requests: Requests::new(requests) }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    pub(super) fn on_answer(&mut self, answer: Answer) -> Received {
        match (self.state, answer) {
            (_, Answer::Unknown) => Received::Unexpected,
            // The server may still have a session of an earlier socket at this port: any answer will do.
            (State::Opening { hellos, begun_ns }, _) => {
                self.state = State::Open { hellos: hellos - 1 };
                Received::Opened { begun_ns }
            }
            (_, Answer::Opened) => Received::Answer(Matched::Duplicate),
            // In a session, a second hello is a request that the service does not understand.
            (State::Open { hellos: hellos @ 1.. }, Answer::Error) => {
                self.state = State::Open { hellos: hellos - 1 };
                Received::Answer(Matched::Duplicate)
            }
            (State::Open { .. } | State::Closed, Answer::Error) => Received::Unexpected,
            (State::Open { .. } | State::Closed, Answer::To(index)) => {
                let index = u8::try_from(index).expect("a service has at most 255 requests");
                Received::Answer(self.requests.answer(index))
            }
        }
    }

    /// A hello was not answered in time. Returns whether to send another, unless the session is not opening.
    pub(super) fn retries_hello(&mut self) -> Option<bool> {
        let State::Opening { hellos, .. } = &mut self.state else { return None };
        let retries = *hellos < HELLOS_MAX;
        *hellos += u8::from(retries);
        Some(retries)
    }
}

/// Maximum number of datagrams sent to open a session.
pub(super) const HELLOS_MAX: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_hello_in_a_session_is_answered_with_an_error_once() {
        let mut session = Session::new(7, 12);
        assert_eq!(session.retries_hello(), Some(true));
        assert_eq!(session.on_answer(Answer::Opened), Received::Opened { begun_ns: 7 });
        assert_eq!(session.on_answer(Answer::Error), Received::Answer(Matched::Duplicate));
        assert_eq!(session.on_answer(Answer::Error), Received::Unexpected);
        assert_eq!(session.retries_hello(), None);
    }

    #[test]
    fn a_session_is_given_up_after_three_hellos() {
        let mut session = Session::new(7, 12);
        assert_eq!([(); 3].map(|()| session.retries_hello()), [Some(true), Some(true), Some(false)]);
        assert!(session.is_opening() && HELLOS_MAX == 3);
    }

    #[test]
    fn any_answer_of_the_service_opens_a_session_and_no_other() {
        for (answer, opens) in
            [(Answer::Opened, true), (Answer::To(3), true), (Answer::Error, true), (Answer::Unknown, false)]
        {
            let mut session = Session::new(7, 12);
            session.on_answer(answer);
            assert_eq!((session.is_open(), session.is_opening()), (opens, !opens), "{answer:?}");
        }
    }
}
