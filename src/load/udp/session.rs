//! The session of one socket: what answers and timeouts mean to it. It knows no socket.

use super::numbered::Numbered;
use super::requests::{Matched, Requests};
use crate::load::batch::Batch;
use crate::service::Answer;

/// A session, or the attempt to open one.
#[derive(Debug)]
pub(super) struct Session {
    state: State,
    in_flight: InFlight,
    /// Requests sent.
    sent: u32,
}

/// The requests that are not answered.
#[derive(Debug)]
pub(super) enum InFlight {
    /// A request is known by its answer, which others have too.
    Rotating(Requests),
    /// A request is known by its number.
    Numbered(Numbered),
}

/// A request: its name, by which its answer and its timeout know it, and its number on the socket, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) name: u32,
    pub(super) seq: u32,
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
    /// The first hello is sent at `now_ns`.
    pub(super) fn opening(now_ns: u64, in_flight: InFlight) -> Self {
        Self { state: State::Opening { hellos: 1, begun_ns: now_ns }, in_flight, sent: 0 }
    }

    /// A session that needs no answer to be open.
    pub(super) fn open(in_flight: InFlight) -> Self {
        Self { state: State::Open { hellos: 0 }, in_flight, sent: 0 }
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

    /// The request to send next, for which `batch` waits from now on.
    pub(super) fn begin(&mut self, batch: Batch) -> Begun {
        self.sent = self.sent.wrapping_add(1);
        let name = match &mut self.in_flight {
            InFlight::Rotating(requests) => requests.begin(batch).into(),
            InFlight::Numbered(requests) => requests.begin(batch),
        };
        Begun { name, seq: self.sent }
    }

    /// The timeout of a request that was sent at `sent_ns` has passed. Returns whether it was still waiting.
    pub(super) fn expire(&mut self, name: u32, sent_ns: u64) -> bool {
        match &mut self.in_flight {
            InFlight::Rotating(requests) => requests.expire(index(name), sent_ns),
            InFlight::Numbered(requests) => requests.expire(name),
        }
    }

    /// Requests whose timeout has not passed and that are not answered.
    pub(super) fn waiting(&self) -> u32 {
        match &self.in_flight {
            InFlight::Rotating(requests) => requests.waiting(),
            InFlight::Numbered(requests) => requests.waiting(),
        }
    }

    /// The number of the oldest request that waits, or of the last.
    pub(super) fn oldest_number(&self) -> u32 {
        match &self.in_flight {
            InFlight::Rotating(_) => self.sent,
            InFlight::Numbered(requests) => requests.oldest().unwrap_or(self.sent),
        }
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
            (State::Open { .. } | State::Closed, Answer::To(name)) => {
                let name = u32::try_from(name).expect("a request has a number of 32 bits");
                let matched = match &mut self.in_flight {
                    InFlight::Rotating(requests) => Some(requests.answer(index(name))),
                    InFlight::Numbered(requests) => requests.answer(name),
                };
                matched.map_or(Received::Unexpected, Received::Answer)
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

fn index(name: u32) -> u8 {
    u8::try_from(name).expect("a service has at most 255 requests")
}

/// Maximum number of datagrams sent to open a session.
pub(super) const HELLOS_MAX: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Session {
        Session::opening(7, InFlight::Rotating(Requests::new(12)))
    }

    #[test]
    fn a_second_hello_in_a_session_is_answered_with_an_error_once() {
        let mut session = opening();
        assert_eq!(session.retries_hello(), Some(true));
        assert_eq!(session.on_answer(Answer::Opened), Received::Opened { begun_ns: 7 });
        assert_eq!(session.on_answer(Answer::Error), Received::Answer(Matched::Duplicate));
        assert_eq!(session.on_answer(Answer::Error), Received::Unexpected);
        assert_eq!(session.retries_hello(), None);
    }

    #[test]
    fn a_session_is_given_up_after_three_hellos() {
        let mut session = opening();
        assert_eq!([(); 3].map(|()| session.retries_hello()), [Some(true), Some(true), Some(false)]);
        assert!(session.is_opening() && HELLOS_MAX == 3);
    }

    #[test]
    fn any_answer_of_the_service_opens_a_session_and_no_other() {
        for (answer, opens) in
            [(Answer::Opened, true), (Answer::To(3), true), (Answer::Error, true), (Answer::Unknown, false)]
        {
            let mut session = opening();
            session.on_answer(answer);
            assert_eq!((session.is_open(), session.is_opening()), (opens, !opens), "{answer:?}");
        }
    }
}
