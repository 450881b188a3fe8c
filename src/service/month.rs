//! `month`: an introduction to every new peer, then the names of the months that it asks for.

use std::str;

use super::{DatagramService, Kind, Make, Output, Session};

/// The answer to a peer's first datagram.
pub const INTRODUCTION: &str =
    "\nHey there I am going to provide you the month, if you Provide me an integer from 1-12\n";

/// The names, January first.
pub const MONTHS: [&str; 12] = [
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
pub const GOODBYE: &str = "Goodbye";

/// What the answer to anything else begins with.
pub const ERROR_PREFIX: &str = "Error: ";

/// Bytes of the longest request.
pub const REQUEST_BYTES_MAX: usize = 1024;

pub(super) const KIND: Kind =
    Kind { name: "month", default_port: 8091, make: Make::Datagram(|_| Box::new(Month)) };

/// The service `month`.
#[derive(Debug)]
pub struct Month;

impl DatagramService for Month {
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

    fn is_own_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(ERROR_PREFIX.as_bytes())
            || datagram == INTRODUCTION.as_bytes()
            || datagram == GOODBYE.as_bytes()
            || MONTHS.iter().any(|month| datagram == month.as_bytes())
    }

    fn datagram_bytes_max(&self) -> usize {
        REQUEST_BYTES_MAX
    }
}

/// The integer that `datagram` holds: ASCII digits, with ASCII white space around them. Leading zeros
/// are digits too.
fn number(datagram: &[u8]) -> Option<usize> {
    let digits = datagram.trim_ascii();
    if digits.iter().all(u8::is_ascii_digit) { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::asked::{Said, ask};
    use super::*;

    fn receive(session: Session, datagram: &[u8]) -> Said<Session> {
        ask(|out| Month.received(session, datagram, out))
    }

    #[test]
    fn the_first_datagram_opens_a_session_whatever_it_holds() {
        for first in [&b"hello"[..], b"", b"7", b"0", b"\xff"] {
            let said = receive(Session::None, first);
            assert_eq!((said.returned, said.answer.as_str()), (Session::Open, INTRODUCTION));
        }
    }

    #[test]
    fn each_number_has_its_month() {
        for (place, month) in MONTHS.iter().enumerate() {
            for text in [format!("{}", place + 1), format!(" {}\r\n", place + 1)] {
                let said = receive(Session::Open, text.as_bytes());
                assert_eq!((said.returned, said.answer.as_str()), (Session::Open, *month));
            }
        }
    }

    #[test]
    fn zero_ends_the_session() {
        let said = receive(Session::Open, b"0\n");
        assert_eq!((said.returned, said.answer.as_str()), (Session::None, GOODBYE));
    }

    #[test]
    fn anything_else_is_an_error_and_the_session_goes_on() {
        for bad in
            [&b""[..], b"13", b"-1", b"+1", b"1.5", b"seven", b"1 2", b"99999999999999999999", b"\xd9\xa3"]
        {
            let said = receive(Session::Open, bad);
            assert_eq!(said.returned, Session::Open);
            assert_eq!(said.answer, "Error: expected an integer from 1 to 12, or 0 to end\n");
        }
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
    fn every_answer_is_known_as_its_own() {
        let asked: [&[u8]; 5] = [b"0", b"3", b"x", b"", &[b'1'; 1025]];
        for (session, datagram) in
            asked.iter().map(|datagram| (Session::Open, *datagram)).chain([(Session::None, &b"hi"[..])])
        {
            assert!(Month.is_own_answer(receive(session, datagram).answer.as_bytes()));
        }
        assert!(!Month.is_own_answer(b"hello"));
        assert!(!Month.is_own_answer(b""));
    }
}
