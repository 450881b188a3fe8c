//! The requests of a run and the replies they must get, repeated in memory, so that a write takes many
//! requests and the bytes of a read are checked by one comparison. It knows no connection.

use std::fmt;

use super::conn_table::narrow;
use crate::frame::HEADER_BYTES;
use crate::service::client_side::describe_byte;
use crate::service::{ExpectedReply, Reply, StreamClient};

/// The requests of a run, which are all equal, and the replies. By default there are no requests, and any bytes
/// may come.
#[derive(Default)]
pub(crate) struct MessageBuffers {
    /// The request, repeated.
    requests: Vec<u8>,
    request_bytes: usize,
    /// `None` accepts any bytes.
    replies: Option<Replies>,
}

struct Replies {
    client: &'static dyn StreamClient,
    expected: ExpectedReply,
    reply_bytes: usize,
    /// The reply, repeated; empty if its bytes are not known exactly.
    repeated: Vec<u8>,
    server_ends_stream: bool,
}

/// Replies in the bytes of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whole replies; a reply that ends with the stream is not counted here.
    pub(crate) replies: u32,
    /// Bytes of one more.
    pub(crate) partial_bytes: u32,
}

/// The first byte that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongByte {
    /// Where in the bytes its reply begins; `None` if that was before them.
    pub(crate) reply_begins_at: Option<usize>,
    /// Its position in the reply, from 0.
    position: usize,
    byte: u8,
    expected: String,
}

impl MessageBuffers {
    /// Requests with a text of `text_bytes` bytes.
    pub(crate) fn new(client: &'static dyn StreamClient, text_bytes: usize) -> Self {
        let mut text = String::with_capacity(text_bytes + HEADER_BYTES);
        text.extend((b'a'..=b'z').cycle().take(text_bytes).map(char::from));
        let expected = client.expected_reply(&text);
        let request = client.request(text);
        let request_bytes = request.len();
        let times = if request.is_empty() { 0 } else { (WRITE_BYTES / request.len()).max(1) };
        let reply_bytes = expected.wire_bytes();
        let repeated = match &expected {
            // One more than fits into the read buffer, so that the replies in any read are contiguous here.
            ExpectedReply::Exact(reply) => reply.repeat(READ_BYTES_MAX.div_ceil(reply_bytes) + 1),
            ExpectedReply::Pattern(_) => Vec::new(),
        };
        let server_ends_stream = client.server_ends_stream();
        let replies = Replies { client, expected, reply_bytes, repeated, server_ends_stream };
        // A long request is not copied.
        let requests = if times <= 1 { request } else { request.repeat(times) };
        Self { requests, request_bytes, replies: Some(replies) }
    }

    /// The rest of `unsent` requests of which `written` bytes of the first are written, up to the size of
    /// one write.
    pub(crate) fn to_write(&self, unsent: u32, written: u32) -> &[u8] {
        let whole_bytes = (unsent as usize).saturating_mul(self.request_bytes);
        &self.requests[written as usize..self.requests.len().min(whole_bytes)]
    }

    /// `unsent` and `written` after `taken` more bytes are written.
    pub(crate) fn left(&self, unsent: u32, written: u32, taken: usize) -> (u32, u32) {
        let written = written as usize + taken;
        // Mostly all of it was taken, and a division takes longer than this comparison.
        if written == unsent as usize * self.request_bytes {
            return (0, 0);
        }
        (unsent - narrow(written / self.request_bytes), narrow(written % self.request_bytes))
    }

    /// Whether any bytes may come.
    pub(crate) fn accept_anything(&self) -> bool {
        self.replies.is_none()
    }

    /// Checks `bytes`, which follow the first `partial_bytes` bytes of a reply.
    pub(crate) fn check(&self, partial_bytes: u32, bytes: &[u8]) -> Result<Found, WrongByte> {
        let Some(replies) = &self.replies else { return Ok(Found { replies: 0, partial_bytes: 0 }) };
        let start = partial_bytes as usize;
        let received = start + bytes.len();
        let is_right = if replies.repeated.is_empty() {
            replies.first_wrong(start, bytes).is_none()
        } else {
            replies.repeated[start..received] == *bytes
        };
        if !is_right || (replies.server_ends_stream && received > replies.reply_bytes) {
            return Err(replies.wrong_byte(start, bytes));
        }
        // Mostly one whole reply has come, and a division takes longer than these comparisons.
        let (whole, partial) = match received {
            _ if replies.server_ends_stream => (0, received),
            _ if received == replies.reply_bytes => (1, 0),
            _ => (received / replies.reply_bytes, received % replies.reply_bytes),
        };
        Ok(Found { replies: narrow(whole), partial_bytes: narrow(partial) })
    }

    /// Whether the end of the stream after `partial_bytes` bytes of a reply completes it.
    pub(crate) fn is_whole(&self, partial_bytes: u32) -> bool {
        let is_whole =
            |replies: &Replies| replies.server_ends_stream && partial_bytes as usize == replies.reply_bytes;
        self.replies.as_ref().is_some_and(is_whole)
    }

    /// The reason of the refusal that `bytes` begin with, if they do.
    pub(crate) fn refusal<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match self.replies.as_ref()?.client.parse_reply(bytes) {
            Ok(Some(Reply { body, is_refusal: true, .. })) => Some(body),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Replies {
    /// The position within its reply of the byte at `offset` from the beginning of the first reply.
    fn position(&self, offset: usize) -> usize {
        if self.server_ends_stream { offset } else { offset % self.reply_bytes }
    }

    /// The first byte that is not as expected, as an index of `bytes`.
    fn first_wrong(&self, start: usize, bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|index| !self.expected.allows(self.position(start + index), bytes[*index]))
    }

    #[cold]
    fn wrong_byte(&self, start: usize, bytes: &[u8]) -> WrongByte {
        let index = self.first_wrong(start, bytes).expect("one byte is wrong");
        let position = self.position(start + index);
        WrongByte {
            reply_begins_at: (start + index - position).checked_sub(start),
            position,
            byte: bytes[index],
            expected: self.expected.describe(position),
        }
    }
}

impl fmt::Display for WrongByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, expected, .. } = self;
        write!(f, "byte {position} of the reply is {}, expected {expected}", describe_byte(self.byte))
    }
}

/// Size of the read buffer.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;

/// Maximum size of one write, unless a single request is longer.
const WRITE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::service::message::ACKNOWLEDGEMENT;
    use crate::service::{self, ClientSide};

    fn buffers(service: &str, text_bytes: usize) -> MessageBuffers {
        match service::named(service).unwrap().client_side() {
            ClientSide::Stream(client) => MessageBuffers::new(client, text_bytes),
            ClientSide::Datagram(_) => panic!("{service} has no stream"),
        }
    }

    fn acknowledgements(count: usize) -> Vec<u8> {
        let mut one = Vec::new();
        frame::append(ACKNOWLEDGEMENT, &mut one);
        one.repeat(count)
    }

    #[test]
    fn replies_split_at_any_byte_are_counted_once() {
        let buffers = buffers("message", 26);
        let bytes = acknowledgements(3);
        for cut in 0..bytes.len() {
            let first = buffers.check(0, &bytes[..cut]).unwrap();
            let second = buffers.check(first.partial_bytes, &bytes[cut..]).unwrap();
            assert_eq!((first.replies + second.replies, second.partial_bytes), (3, 0), "{cut}");
        }
        let full = acknowledgements(1000);
        let found = buffers.check(96, &full[96..96 + READ_BYTES_MAX]).unwrap();
        assert_eq!(found.replies as usize * 97 + found.partial_bytes as usize, 96 + READ_BYTES_MAX);
    }

    #[test]
    fn an_error_shows_the_first_wrong_byte() {
        let buffers = buffers("message", 26);
        let mut bytes = acknowledgements(2);
        bytes[97 + 70] = b'?';
        let wrong = buffers.check(0, &bytes).unwrap_err();
        assert_eq!(wrong.to_string(), "byte 70 of the reply is '?', expected 'e'");
        assert_eq!(wrong.reply_begins_at, Some(97));
        let wrong = buffers.check(65, &bytes[66..]).unwrap_err();
        assert_eq!(wrong.to_string(), "byte 65 of the reply is 's', expected 'e'");
        assert_eq!(wrong.reply_begins_at, None);
    }

    #[test]
    fn bytes_after_the_last_reply_of_a_stream_are_wrong() {
        let buffers = buffers("reply", 26);
        assert_eq!(buffers.check(0, b"Thanks for connecting").unwrap().partial_bytes, 21);
        let wrong = buffers.check(19, b"ngThanks").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 21 of the reply is 'T', expected the end of the stream");
        assert_eq!(wrong.reply_begins_at, None);
    }

    #[test]
    fn a_request_can_be_written_from_any_byte() {
        let buffers_of_26 = buffers("message", 26);
        let frame = |written| buffers_of_26.to_write(1, written).to_vec();
        assert_eq!(frame(0).len(), 90);
        assert_eq!(frame(0)[64..], *b"abcdefghijklmnopqrstuvwxyz");
        assert_eq!(frame(89), b"z");
        assert_eq!(buffers_of_26.to_write(3, 10).len(), 260);
        // As many whole frames as one write takes.
        assert_eq!(buffers_of_26.to_write(u32::MAX, 0).len(), WRITE_BYTES / 90 * 90);
        assert_eq!(buffers("message", 1 << 20).to_write(2, 64).len(), 1 << 20);
    }

    #[test]
    fn a_long_request_is_in_memory_once() {
        let text = String::from_utf8(vec![b'a'; 1 << 20]).unwrap();
        let mut capacious = String::with_capacity((1 << 20) + HEADER_BYTES);
        capacious.push_str(&text);
        let address = capacious.as_ptr();
        let ClientSide::Stream(client) = service::named("message").unwrap().client_side() else { panic!() };
        let request = client.request(capacious);
        assert_eq!(request.as_ptr(), address, "the text is not copied");
        let mut appended = Vec::new();
        client.append_request(&text, &mut appended);
        assert!(request == appended);
        assert_eq!(buffers("message", 1 << 20).requests.capacity(), (1 << 20) + HEADER_BYTES);
    }

    #[test]
    fn a_date_is_checked_by_its_pattern() {
        let buffers = buffers("daytime", 0);
        let found = buffers.check(0, b"Fri May  7 20:36:52 2021\r\n").unwrap();
        assert_eq!(found, Found { replies: 0, partial_bytes: 26 });
        assert!(buffers.is_whole(26) && !buffers.is_whole(25));
        let wrong = buffers.check(4, b"12").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 4 of the reply is '1', expected a letter");
        let wrong = buffers.check(0, b"Fri May 17 20:36:52 2021\r\nFri").unwrap_err();
        assert_eq!(wrong.to_string(), "byte 26 of the reply is 'F', expected the end of the stream");
    }
}
