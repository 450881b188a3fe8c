//! What is said to each service, and what it must answer. Bytes only: it knows no connection.

use std::fmt;

use crate::frame;
use crate::service::{Kind, greeting, message, reply};

/// What is exchanged for one message.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The request, over and over.
    requests: Vec<u8>,
    request_bytes: usize,
    expected: Expected,
    /// The server ends the stream behind its reply.
    pub(crate) server_ends: bool,
}

/// What a reply must be.
#[derive(Debug)]
enum Expected {
    /// These bytes, over and over: `bytes` of them are one reply.
    Exactly { replies: Vec<u8>, bytes: usize },
    /// The time as `ctime` writes it; what it is nobody knows before.
    Daytime,
    /// Nothing is asked for, so anything may come.
    Anything,
}

/// Replies that were found in some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whole replies; none where only the end of the stream completes one.
    pub(crate) replies: u32,
    /// Bytes of one more.
    pub(crate) partial_bytes: u32,
}

/// The first byte that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where in the bytes the reply begins that it stands in; `None` if that was before them.
    pub(crate) reply_begins_at: Option<usize>,
    /// Its place in the reply, from 0.
    position: usize,
    byte: u8,
    expected: String,
}

impl Exchange {
    /// The exchange of a stream service with requests of `body_bytes` bytes, as far as it has any.
    pub(crate) fn of(service: &Kind, body_bytes: usize) -> Self {
        let body = body(body_bytes);
        let mut request = Vec::new();
        let (expected, server_ends) = match service.name {
            "greeting" => (greeting::GREETING.as_bytes().to_vec(), true),
            "reply" => {
                request.extend_from_slice(body.as_bytes());
                (reply::REPLY.as_bytes().to_vec(), true)
            }
            "daytime" => return Self::new(&request, Expected::Daytime, true),
            _ => {
                frame::append(&body, &mut request);
                let mut acknowledgement = Vec::new();
                frame::append(message::ACKNOWLEDGEMENT, &mut acknowledgement);
                (acknowledgement, false)
            }
        };
        let bytes = expected.len();
        // One more than fits into the buffer, so that the bytes of any read stand in one piece of it.
        let replies = expected.repeat(READ_BYTES_MAX.div_ceil(bytes) + 1);
        Self::new(&request, Expected::Exactly { replies, bytes }, server_ends)
    }

    /// Nothing is said.
    pub(crate) fn silence() -> Self {
        Self::new(&[], Expected::Anything, false)
    }

    fn new(request: &[u8], expected: Expected, server_ends: bool) -> Self {
        let times = if request.is_empty() { 0 } else { (WRITE_BYTES / request.len()).max(1) };
        let requests = request.repeat(times);
        Self { requests, request_bytes: request.len(), expected, server_ends }
    }

    /// What is left to write of `unsent` requests when `written` bytes of the first are, or as much of it
    /// as one write should take.
    pub(crate) fn to_write(&self, unsent: u32, written: u32) -> &[u8] {
        let whole_bytes = (unsent as usize).saturating_mul(self.request_bytes);
        &self.requests[written as usize..self.requests.len().min(whole_bytes)]
    }

    /// What is left of `unsent` requests, of the first of which `written` bytes are written, when `taken`
    /// bytes more are: requests, and bytes of the first.
    pub(crate) fn left(&self, unsent: u32, written: u32, taken: usize) -> (u32, u32) {
        let written = written as usize + taken;
        // Mostly all of it was taken, and a division takes longer than this comparison.
        if written == unsent as usize * self.request_bytes {
            return (0, 0);
        }
        (unsent - narrow(written / self.request_bytes), narrow(written % self.request_bytes))
    }

    /// Judges `bytes`, which follow the first `partial_bytes` bytes of a reply.
    pub(crate) fn check(&self, partial_bytes: u32, bytes: &[u8]) -> Result<Found, Wrong> {
        let start = partial_bytes as usize;
        let reply_bytes = match &self.expected {
            Expected::Anything => return Ok(Found { replies: 0, partial_bytes: 0 }),
            Expected::Exactly { replies, bytes: reply_bytes } => {
                if replies[start..start + bytes.len()] != *bytes {
                    return Err(self.first_wrong(start, bytes));
                }
                *reply_bytes
            }
            Expected::Daytime => {
                if bytes.iter().enumerate().any(|(place, byte)| !is_daytime(start + place, *byte)) {
                    return Err(self.first_wrong(start, bytes));
                }
                DAYTIME.len()
            }
        };
        let received = start + bytes.len();
        if self.server_ends && received > reply_bytes {
            return Err(self.wrong(reply_bytes, start, bytes[reply_bytes - start]));
        }
        // Mostly one whole reply has come, and a division takes longer than these comparisons.
        let (whole, partial) = match received {
            _ if self.server_ends => (0, received),
            _ if received == reply_bytes => (1, 0),
            _ => (received / reply_bytes, received % reply_bytes),
        };
        Ok(Found { replies: narrow(whole), partial_bytes: narrow(partial) })
    }

    /// Whether so many bytes are a reply that the end of the stream completes.
    pub(crate) fn is_whole(&self, partial_bytes: u32) -> bool {
        let reply_bytes = match &self.expected {
            Expected::Exactly { bytes, .. } => *bytes,
            Expected::Daytime => DAYTIME.len(),
            Expected::Anything => return false,
        };
        self.server_ends && partial_bytes as usize == reply_bytes
    }

    #[cold]
    fn first_wrong(&self, start: usize, bytes: &[u8]) -> Wrong {
        let is_right = |place: usize, byte: u8| match &self.expected {
            Expected::Exactly { replies, .. } => replies[place] == byte,
            Expected::Daytime | Expected::Anything => is_daytime(place, byte),
        };
        let wrong = bytes.iter().enumerate().find(|(place, byte)| !is_right(start + place, **byte));
        let (place, byte) = wrong.expect("one byte is wrong");
        self.wrong(start + place, start, *byte)
    }

    /// The byte at `place` is wrong, counted from the beginning of the reply that the bytes continue after
    /// `start` bytes.
    fn wrong(&self, place: usize, start: usize, byte: u8) -> Wrong {
        let end = || String::from("the end of the stream");
        let (position, expected) = match &self.expected {
            Expected::Exactly { bytes, .. } if self.server_ends && place >= *bytes => (place, end()),
            Expected::Exactly { replies, bytes } => (place % bytes, shown(replies[place])),
            Expected::Daytime | Expected::Anything => {
                let expected = match DAYTIME.get(place) {
                    None => end(),
                    Some(b'A') => String::from("a letter"),
                    Some(b'0' | b'_') => String::from("a digit"),
                    Some(other) => shown(*other),
                };
                (place, expected)
            }
        };
        Wrong { reply_begins_at: (place - position).checked_sub(start), position, byte, expected }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the reply is {}, expected {}", self.position, shown(self.byte), self.expected)
    }
}

fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' {
        format!("'{}'", char::from(byte))
    } else {
        format!("0x{byte:02x}")
    }
}

/// The form of a date: `A` stands for a letter, `0` for a digit, `_` for a digit or a space.
const DAYTIME: &[u8; 26] = b"AAA AAA _0 00:00:00 0000\r\n";

fn is_daytime(position: usize, byte: u8) -> bool {
    match DAYTIME.get(position) {
        None => false,
        Some(b'A') => byte.is_ascii_alphabetic(),
        Some(b'0') => byte.is_ascii_digit(),
        Some(b'_') => byte.is_ascii_digit() || byte == b' ',
        Some(other) => byte == *other,
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a buffer is counted in 32 bits")
}

/// Letters, so many bytes of them.
fn body(bytes: usize) -> String {
    (b'a'..=b'z').cycle().take(bytes).map(char::from).collect()
}

/// Bytes read at once.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;

/// Bytes that one write takes at most, if not one request is longer.
const WRITE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Kind;

    fn exchange(service: &str, body_bytes: usize) -> Exchange {
        Exchange::of(Kind::named(service).unwrap(), body_bytes)
    }

    fn acknowledgements(count: usize) -> Vec<u8> {
        let mut one = Vec::new();
        frame::append(message::ACKNOWLEDGEMENT, &mut one);
        one.repeat(count)
    }

    #[test]
    fn replies_are_found_however_they_are_cut() {
        let exchange = exchange("message", 26);
        let bytes = acknowledgements(3);
        for cut in 0..bytes.len() {
            let first = exchange.check(0, &bytes[..cut]).unwrap();
            let second = exchange.check(first.partial_bytes, &bytes[cut..]).unwrap();
            assert_eq!((first.replies + second.replies, second.partial_bytes), (3, 0), "{cut}");
        }
        let full = acknowledgements(1000);
        let found = exchange.check(96, &full[96..96 + READ_BYTES_MAX]).unwrap();
        assert_eq!(found.replies as usize * 97 + found.partial_bytes as usize, 96 + READ_BYTES_MAX);
    }

    #[test]
    fn the_first_wrong_byte_is_named() {
        let exchange = exchange("message", 26);
        let mut bytes = acknowledgements(2);
        bytes[97 + 70] = b'?';
        let wrong = exchange.check(0, &bytes).unwrap_err();
        assert_eq!(wrong.to_string(), "byte 70 of the reply is '?', expected 'e'");
        let wrong = exchange.check(65, &bytes[66..]).unwrap_err();
        assert_eq!(wrong.to_string(), "byte 65 of the reply is 's', expected 'e'");
    }

    #[test]
    fn behind_the_last_reply_only_the_end_is_right() {
        let exchange = exchange("reply", 26);
        assert_eq!(exchange.check(0, b"Thanks for connecting").unwrap().partial_bytes, 21);
        let wrong = exchange.check(19, b"ngThanks").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 21 of the reply is 'T', expected the end of the stream");
        assert_eq!(wrong.reply_begins_at, None);
    }

    #[test]
    fn requests_are_written_from_any_byte_on() {
        let exchange = exchange("message", 26);
        let frame = |written| exchange.to_write(1, written).to_vec();
        assert_eq!(frame(0).len(), 90);
        assert_eq!(frame(0)[64..], *b"abcdefghijklmnopqrstuvwxyz");
        assert_eq!(frame(89), b"z");
        assert_eq!(exchange.to_write(3, 10).len(), 260);
        // As many whole frames as one write takes.
        assert_eq!(exchange.to_write(u32::MAX, 0).len(), WRITE_BYTES / 90 * 90);
        let long = Exchange::of(Kind::named("message").unwrap(), 1 << 20);
        assert_eq!(long.to_write(2, 64).len(), 1 << 20);
    }

    #[test]
    fn a_date_is_judged_by_its_form() {
        let exchange = exchange("daytime", 0);
        let found = exchange.check(0, b"Fri May  7 20:36:52 2021\r\n").unwrap();
        assert_eq!(found, Found { replies: 0, partial_bytes: 26 });
        assert!(exchange.is_whole(26) && !exchange.is_whole(25));
        let wrong = exchange.check(4, b"12").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 4 of the reply is '1', expected a letter");
        let wrong = exchange.check(0, b"Fri May 17 20:36:52 2021\r\nFri").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 26 of the reply is 'F', expected the end of the stream");
    }
}
