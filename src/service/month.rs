//! `month`: the server introduces itself to a new peer, then answers numbers with names of months.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::str;

use super::client_side::{Answer, DatagramClient, ExpectedAnswer};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{DatagramService, Session};

/// The answer to a peer's first datagram.
pub const INTRODUCTION: &str =
    "\nHey there I am going to provide you the month, if you Provide me an integer from 1-12\n";

/// The names, January first.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The answer to `0`, which ends the session.
const GOODBYE: &str = "Goodbye";

/// The beginning of the answer to any other request.
const ERROR_PREFIX: &str = "Error: ";

/// The datagram with which a client opens a session: a third of the introduction, so that a server beyond loopback
/// answers with all of it.
const HELLO: &[u8] = b"hello                        ";

const _: () = assert!(3 * HELLO.len() >= INTRODUCTION.len());

/// Bytes of the shortest introduction: the answer to one byte. A line end alone is a request.
const CUT_BYTES_MIN: usize = 3;

/// Maximum size of a request in bytes.
const REQUEST_BYTES_MAX: usize = 1024;

pub(crate) const DEFINITION: Definition =
    Definition::datagram("month", 8091, "month names for the numbers 1 to 12", |_| Box::new(Month), &Month);

/// Both sides of the service `month`.
#[derive(Debug)]
pub struct Month;

impl DatagramService for Month {
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "the pattern has the months"
    )]
    fn received(&self, session: Session, datagram: &[u8], out: &mut Output<'_>) -> Session {
        let too_long = datagram.len() > REQUEST_BYTES_MAX;
        match (session, number(datagram)) {
            (Session::None, _) if too_long => return Session::None,
            (Session::None, _) => out.send(INTRODUCTION.as_bytes()),
            (Session::Open, _) if too_long => {
                out.send(
                    b"Error: expected an integer from 0 to 12, the datagram is longer than 1024 bytes\n",
                );
            }
            (Session::Open, Some(0)) => {
                out.send(GOODBYE.as_bytes());
                return Session::None;
            }
            (Session::Open, Some(month @ 1..=12)) => out.send(MONTHS[month - 1].as_bytes()),
            (Session::Open, _) => out.send(b"Error: expected an integer from 1 to 12, or 0 to end\n"),
        }
        Session::Open
    }

    /// Also in capitals, as a service that echoes may return them.
    fn is_own_answer(&self, datagram: &[u8]) -> bool {
        begins_like(datagram, ERROR_PREFIX)
            || is_introduction(datagram)
            || datagram.eq_ignore_ascii_case(GOODBYE.as_bytes())
            || MONTHS.iter().any(|month| month.as_bytes().eq_ignore_ascii_case(datagram))
    }

    fn is_error(&self, answer: &[u8]) -> bool {
        answer.starts_with(ERROR_PREFIX.as_bytes())
    }

    fn datagram_bytes_max(&self) -> usize {
        REQUEST_BYTES_MAX
    }
}

impl DatagramClient for Month {
    fn hello(&self) -> &'static [u8] {
        HELLO
    }

    fn farewell(&self) -> &'static [u8] {
        b"0"
    }

    fn requests(&self) -> &'static [&'static str] {
        &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]
    }

    fn classify(&self, answer: &[u8]) -> Answer {
        if let Some(index) = MONTHS.iter().position(|month| month.as_bytes() == answer) {
            Answer::To(index)
        } else if is_introduction(answer) {
            Answer::Opened
        } else if answer.starts_with(ERROR_PREFIX.as_bytes()) {
            Answer::Error
        } else {
            Answer::Unknown
        }
    }

    fn expected_answer(&self, text: &str) -> ExpectedAnswer {
        ExpectedAnswer::of(self, text)
    }
}

/// Whether `datagram` is the introduction, whole or cut.
fn is_introduction(datagram: &[u8]) -> bool {
    datagram.len() >= CUT_BYTES_MIN && begins_like(INTRODUCTION.as_bytes(), datagram)
}

/// Whether `text` begins with `prefix`, in capitals or not.
fn begins_like(text: &[u8], prefix: impl AsRef<[u8]>) -> bool {
    let prefix = prefix.as_ref();
    text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

/// The integer that `datagram` holds: ASCII digits, leading zeros included, with ASCII white space around
/// them.
fn number(datagram: &[u8]) -> Option<usize> {
    let digits = datagram.trim_ascii();
    if digits.iter().all(u8::is_ascii_digit) { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::super::fixtures::{Outcome, run};
    use super::*;

    fn receive(session: Session, datagram: &[u8]) -> Outcome<Session> {
        run(|out| Month.received(session, datagram, out))
    }

    #[test]
    fn the_first_datagram_opens_a_session_whatever_it_holds() {
        for first in [&b"hello"[..], b"", b"7", b"0", b"\xff"] {
            let outcome = receive(Session::None, first);
            assert_eq!((outcome.returned, outcome.answer.as_str()), (Session::Open, INTRODUCTION));
        }
    }

    #[test]
    fn each_number_has_its_month() {
        for (index, month) in MONTHS.iter().enumerate() {
            for text in [format!("{}", index + 1), format!(" {}\r\n", index + 1)] {
                let outcome = receive(Session::Open, text.as_bytes());
                assert_eq!((outcome.returned, outcome.answer.as_str()), (Session::Open, *month));
            }
        }
    }

    #[test]
    fn only_zero_ends_the_session() {
        let outcome = receive(Session::Open, b"0\n");
        assert_eq!((outcome.returned, outcome.answer.as_str()), (Session::None, GOODBYE));
        assert!(Month.expected_answer(" 00 ").ends_session);
        assert!(["", "1", "10", "x", "-0"].iter().all(|text| !Month.expected_answer(text).ends_session));
    }

    #[test]
    fn any_other_request_is_an_error_and_keeps_the_session() {
        for bad in
            [&b""[..], b"13", b"-1", b"+1", b"1.5", b"seven", b"1 2", b"99999999999999999999", b"\xd9\xa3"]
        {
            let outcome = receive(Session::Open, bad);
            assert_eq!(outcome.returned, Session::Open);
            assert_eq!(outcome.answer, "Error: expected an integer from 1 to 12, or 0 to end\n");
        }
    }

    #[test]
    fn only_what_says_so_is_an_error() {
        assert!(Month.is_error(receive(Session::Open, b"x").answer.as_bytes()));
        for (session, datagram) in [(Session::Open, b"3"), (Session::Open, b"0"), (Session::None, b"3")] {
            assert!(!Month.is_error(receive(session, datagram).answer.as_bytes()));
        }
    }

    #[test]
    fn a_datagram_of_the_limit_is_a_request() {
        let mut datagram = [b' '; REQUEST_BYTES_MAX];
        datagram[500] = b'3';
        assert_eq!(receive(Session::Open, &datagram).answer, "March");
        assert_eq!(Month.datagram_bytes_max(), datagram.len());
    }

    #[test]
    fn a_datagram_over_the_limit_is_an_error_and_opens_nothing() {
        let long = [b' '; REQUEST_BYTES_MAX + 1];
        let known = receive(Session::Open, &long);
        assert_eq!(known.returned, Session::Open);
        assert!(known.answer.starts_with(ERROR_PREFIX));
        let unknown = receive(Session::None, &long);
        assert_eq!((unknown.returned, unknown.answer.as_str()), (Session::None, ""));
    }

    #[test]
    fn every_answer_is_recognized_as_its_own() {
        let requests: [&[u8]; 5] = [b"0", b"3", b"x", b"", &[b'1'; 1025]];
        for (session, datagram) in
            requests.iter().map(|datagram| (Session::Open, *datagram)).chain([(Session::None, &b"hi"[..])])
        {
            assert!(Month.is_own_answer(receive(session, datagram).answer.as_bytes()));
        }
        for request in [&b"hello"[..], HELLO, b"", b"\n", b"\r\n", b"1", b"err", b"may not"] {
            assert!(!Month.is_own_answer(request), "{request:?}");
        }
        for cut in [&INTRODUCTION[..3], &INTRODUCTION[..15], "MAY", "ERROR: WHAT", "error: what", "goodbye"] {
            assert!(Month.is_own_answer(cut.as_bytes()), "{cut}");
        }
    }
}
