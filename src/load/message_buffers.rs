//! The requests of a run and the replies they must get, repeated in memory, so that a write takes many
//! requests and the bytes of a read are checked by one comparison. What differs from request to request is
//! [rendered](super::numbered) instead. It knows no connection.

use super::byte_text::ByteText;
use super::conn_table::narrow;
use super::expected::{Expected, Found, WrongReply};
use super::numbered::{NumberedRequests, StatedReplies, WRITE_BYTES};
use crate::frame::HEADER_BYTES;
use crate::service::client_side::describe_byte;
use crate::service::{ExpectedReply, Reply, StreamClient};

/// The requests of a run, and the replies. By default there are no requests, and any bytes may come.
#[derive(Default)]
pub(crate) struct MessageBuffers {
    /// The request, repeated; empty if there is none, or if it is numbered.
    requests: Vec<u8>,
    request_bytes: usize,
    numbered: Option<NumberedRequests>,
    /// Replies that are all equal.
    replies: Option<Replies>,
    /// Other replies. Without either, any bytes may come.
    stated: Option<StatedReplies>,
}

struct Replies {
    /// `None`: the bytes are those of a user.
    client: Option<&'static dyn StreamClient>,
    expected: ExpectedReply,
    reply_bytes: usize,
    /// The reply, repeated; empty if its bytes are not known exactly.
    repeated: Vec<u8>,
    server_ends_stream: bool,
}

impl MessageBuffers {
    /// Requests with a text of `text_bytes` bytes.
    pub(crate) fn new(client: &'static dyn StreamClient, text_bytes: usize) -> Self {
        let mut text = String::with_capacity(text_bytes + HEADER_BYTES);
        text.extend((b'a'..=b'z').cycle().take(text_bytes).map(char::from));
        let replies = Replies::new(client.expected_reply(&text), Some(client));
        let request = client.request(text);
        let request_bytes = request.len();
        Self { requests: repeated(request), request_bytes, replies: Some(replies), ..Self::default() }
    }

    /// Requests and replies of a user, on up to `connections` connections.
    pub(crate) fn stated(request: ByteText, expected: Expected, connections: usize) -> Self {
        let mut buffers = Self::default();
        match request.fixed() {
            Some(bytes) => {
                (buffers.requests, buffers.request_bytes) = (repeated(bytes.to_vec()), bytes.len());
            }
            None => buffers.numbered = Some(NumberedRequests::new(request, connections)),
        }
        match &expected {
            Expected::Exact(text) if text.fixed().is_some() => {
                let reply = text.fixed().unwrap_or_default().to_vec();
                buffers.replies = Some(Replies::new(ExpectedReply::Exact(reply), None));
            }
            Expected::Exact(_) | Expected::Bytes(_) | Expected::Until(_) => {
                buffers.stated = Some(StatedReplies::new(expected, connections));
            }
        }
        buffers
    }

    /// The connection is a new one.
    pub(crate) fn begin(&mut self, key: u32) {
        if let Some(numbered) = &mut self.numbered {
            numbered.begin(key);
        }
        if let Some(stated) = &mut self.stated {
            stated.begin(key);
        }
    }

    /// The requests that are rendered, if they are.
    pub(crate) fn numbered(&mut self) -> Option<&mut NumberedRequests> {
        self.numbered.as_mut()
    }

    /// The rest of `unsent` requests of which `written` bytes of the first are written, up to the size of
    /// one write.
    pub(crate) fn to_write(&self, unsent: u32, written: u32) -> &[u8] {
        let whole_bytes = (unsent as usize).saturating_mul(self.request_bytes);
        let end = self.requests.len().min(whole_bytes);
        // Nothing if the requests are numbered.
        &self.requests[end.min(written as usize)..end]
    }

    /// `unsent` and `written` after `taken` more bytes are written.
    pub(crate) fn left(&self, unsent: u32, written: u32, taken: usize) -> (u32, u32) {
        let written = written as usize + taken;
        // Mostly all of it was taken, and a division takes longer than this comparison.
        if written as u64 == u64::from(unsent) * self.request_bytes as u64 {
            return (0, 0);
        }
        (unsent - narrow(written / self.request_bytes), narrow(written % self.request_bytes))
    }

    /// Whether any bytes may come.
    pub(crate) fn accept_anything(&self) -> bool {
        self.replies.is_none() && self.stated.is_none()
    }

    /// Checks `bytes` of a connection, which follow the first `partial_bytes` bytes of a reply.
    pub(crate) fn check(&mut self, key: u32, partial_bytes: u32, bytes: &[u8]) -> Result<Found, WrongReply> {
        let Some(replies) = &self.replies else { return self.check_stated(key, partial_bytes, bytes) };
        let start = partial_bytes as usize;
        let received = start + bytes.len();
        let is_right = if replies.repeated.is_empty() {
            replies.first_wrong(start, bytes).is_none()
        } else {
            replies.repeated[start..received] == *bytes
        };
        // Mostly one whole reply has come.
        if is_right && received == replies.reply_bytes && !replies.server_ends_stream {
            return Ok(Found { replies: 1, partial_bytes: 0 });
        }
        if !is_right || (replies.server_ends_stream && received > replies.reply_bytes) {
            return Err(replies.wrong_reply(start, bytes));
        }
        let (whole, partial) = if replies.server_ends_stream {
            (0, received)
        } else {
            (received / replies.reply_bytes, received % replies.reply_bytes)
        };
        Ok(Found { replies: narrow(whole), partial_bytes: narrow(partial) })
    }

    /// Whether requests and replies are all equal, and the server does not end the stream after a reply.
    pub(crate) fn are_repeated(&self) -> bool {
        let are_repeated = |replies: &Replies| !replies.repeated.is_empty() && !replies.server_ends_stream;
        !self.requests.is_empty() && self.replies.as_ref().is_some_and(are_repeated)
    }

    /// `count` more requests, if `bytes` are that many whole right replies, and if one write takes the requests. Only
    /// [repeated](Self::are_repeated) ones.
    #[inline]
    pub(crate) fn next_round(&self, count: u32, bytes: &[u8]) -> Option<&[u8]> {
        let replies = self.replies.as_ref()?;
        let count = count as usize;
        if bytes.len() != count.saturating_mul(replies.reply_bytes)
            || replies.repeated[..bytes.len()] != *bytes
        {
            return None;
        }
        self.requests.get(..count.saturating_mul(self.request_bytes))
    }

    /// Outside [`check`](Self::check), which mostly compares equal replies.
    #[inline(never)]
    fn check_stated(&mut self, key: u32, progress: u32, bytes: &[u8]) -> Result<Found, WrongReply> {
        match &mut self.stated {
            Some(stated) => stated.check(key, progress, bytes),
            None => Ok(Found { replies: 0, partial_bytes: 0 }),
        }
    }

    /// Whether the end of the stream after `partial_bytes` bytes of a reply completes it.
    pub(crate) fn is_whole(&self, partial_bytes: u32) -> bool {
        let is_whole =
            |replies: &Replies| replies.server_ends_stream && partial_bytes as usize == replies.reply_bytes;
        self.replies.as_ref().is_some_and(is_whole)
    }

    /// The number of bytes of a reply that have come, of which [`check`](Self::check) has returned `partial_bytes`.
    pub(crate) fn bytes_of(&self, partial_bytes: u32) -> u32 {
        self.stated.as_ref().map_or(partial_bytes, |stated| stated.bytes_of(partial_bytes))
    }

    /// The reason of the refusal that `bytes` begin with, if they do.
    pub(crate) fn refusal<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match self.replies.as_ref()?.client?.parse_reply(bytes) {
            Ok(Some(Reply { body, is_refusal: true, .. })) => Some(body),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Replies {
    fn new(expected: ExpectedReply, client: Option<&'static dyn StreamClient>) -> Self {
        let reply_bytes = expected.wire_bytes();
        let repeated = match &expected {
            // One more than fits into the read buffer, so that the replies in any read are contiguous here.
            ExpectedReply::Exact(reply) => reply.repeat(READ_BYTES_MAX.div_ceil(reply_bytes) + 1),
            ExpectedReply::Pattern(_) => Vec::new(),
        };
        let server_ends_stream = client.is_some_and(StreamClient::server_ends_stream);
        Self { client, expected, reply_bytes, repeated, server_ends_stream }
    }

    /// The position within its reply of the byte at `offset` from the beginning of the first reply.
    fn position(&self, offset: usize) -> usize {
        if self.server_ends_stream { offset } else { offset % self.reply_bytes }
    }

    /// The first byte that is not as expected, as an index of `bytes`.
    fn first_wrong(&self, start: usize, bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|index| !self.expected.allows(self.position(start + index), bytes[*index]))
    }

    #[cold]
    fn wrong_reply(&self, start: usize, bytes: &[u8]) -> WrongReply {
        let index = self.first_wrong(start, bytes).expect("one byte is wrong");
        let position = self.position(start + index);
        let (byte, expected) = (describe_byte(bytes[index]), self.expected.describe(position));
        WrongReply {
            reply_begins_at: (start + index - position).checked_sub(start),
            what: format!("byte {position} of the reply is {byte}, expected {expected}"),
        }
    }
}

/// As many of `request` as fit into one write. A long request is not copied.
fn repeated(request: Vec<u8>) -> Vec<u8> {
    match WRITE_BYTES.checked_div(request.len()) {
        None | Some(0 | 1) => request,
        Some(times) => request.repeat(times),
    }
}

/// Size of the read buffer.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;

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
        let mut buffers = buffers("message", 26);
        let bytes = acknowledgements(3);
        for cut in 0..bytes.len() {
            let first = buffers.check(0, 0, &bytes[..cut]).unwrap();
            let second = buffers.check(0, first.partial_bytes, &bytes[cut..]).unwrap();
            assert_eq!((first.replies + second.replies, second.partial_bytes), (3, 0), "{cut}");
        }
        let full = acknowledgements(1000);
        let found = buffers.check(0, 96, &full[96..96 + READ_BYTES_MAX]).unwrap();
        assert_eq!(found.replies as usize * 97 + found.partial_bytes as usize, 96 + READ_BYTES_MAX);
    }

    #[test]
    fn an_error_shows_the_first_wrong_byte() {
        let mut buffers = buffers("message", 26);
        let mut bytes = acknowledgements(2);
        bytes[97 + 70] = b'?';
        let wrong = buffers.check(0, 0, &bytes).unwrap_err();
        assert_eq!(wrong.what, "byte 70 of the reply is '?', expected 'e'");
        assert_eq!(wrong.reply_begins_at, Some(97));
        let wrong = buffers.check(0, 65, &bytes[66..]).unwrap_err();
        assert_eq!(wrong.what, "byte 65 of the reply is 's', expected 'e'");
        assert_eq!(wrong.reply_begins_at, None);
    }

    #[test]
    fn bytes_after_the_last_reply_of_a_stream_are_wrong() {
        let mut buffers = buffers("reply", 26);
        assert_eq!(buffers.check(0, 0, b"Thanks for connecting").unwrap().partial_bytes, 21);
        let wrong = buffers.check(0, 19, b"ngThanks").unwrap_err();
        assert_eq!(wrong.what, "byte 21 of the reply is 'T', expected the end of the stream");
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
        let mut buffers = buffers("daytime", 0);
        let found = buffers.check(0, 0, b"Fri May  7 20:36:52 2021\r\n").unwrap();
        assert_eq!(found, Found { replies: 0, partial_bytes: 26 });
        assert!(buffers.is_whole(26) && !buffers.is_whole(25));
        let wrong = buffers.check(0, 4, b"12").unwrap_err();
        assert_eq!(wrong.what, "byte 4 of the reply is '1', expected a letter");
        let wrong = buffers.check(0, 0, b"Fri May 17 20:36:52 2021\r\nFri").unwrap_err();
        assert_eq!(wrong.what, "byte 26 of the reply is 'F', expected the end of the stream");
    }
}
