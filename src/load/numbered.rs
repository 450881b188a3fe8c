//! Requests in which numbers stand, and replies that are not the same bytes each time: what cannot be kept
//! [repeated in memory](super::message_buffers). It knows no connection, only the numbers of each.

use super::byte_text::{ByteText, Numbers};
use super::conn_table::narrow;
use super::expected::{Expected, Found, Progress, WrongReply};

/// Requests that are rendered when they are written.
#[derive(Debug)]
pub(crate) struct NumberedRequests {
    text: ByteText,
    /// Requests written on each connection.
    written: Box<[u32]>,
    /// The requests of the next write.
    rendered: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// Replies that are checked one after the other.
#[derive(Debug)]
pub(super) struct StatedReplies {
    expected: Expected,
    /// Replies received on each connection; empty if that number stands in no reply.
    received: Box<[u32]>,
    rendered: Vec<u8>,
}

impl NumberedRequests {
    pub(super) fn new(text: ByteText, connections: usize) -> Self {
        Self { text, written: vec![0; connections].into(), rendered: Vec::new(), ends: Vec::new() }
    }

    /// The connection is a new one.
    pub(super) fn begin(&mut self, key: u32) {
        self.written[key as usize] = 0;
    }

    /// The rest of `unsent` requests of which `written` bytes of the first are written, up to the size of one write.
    pub(super) fn render(&mut self, key: u32, unsent: u32, written: u32) -> &[u8] {
        self.rendered.clear();
        self.ends.clear();
        let mut seq = self.written[key as usize];
        for _ in 0..unsent {
            seq = seq.wrapping_add(1);
            self.text.render(Numbers { conn: key + 1, seq }, &mut self.rendered);
            self.ends.push(self.rendered.len());
            if self.rendered.len() >= WRITE_BYTES {
                break;
            }
        }
        &self.rendered[written as usize..]
    }

    /// `unsent` and `written` after `taken` more bytes are written of those that were rendered last.
    pub(super) fn left(&mut self, key: u32, unsent: u32, written: u32, taken: usize) -> (u32, u32) {
        let written = written as usize + taken;
        let whole = self.ends.partition_point(|end| *end <= written);
        let begin = if whole == 0 { 0 } else { self.ends[whole - 1] };
        let count = &mut self.written[key as usize];
        *count = count.wrapping_add(narrow(whole));
        (unsent - narrow(whole), narrow(written - begin))
    }
}

impl StatedReplies {
    pub(super) fn new(expected: Expected, connections: usize) -> Self {
        let counted = if expected.has_seq() { connections } else { 0 };
        Self { expected, received: vec![0; counted].into(), rendered: Vec::new() }
    }

    /// The connection is a new one.
    pub(super) fn begin(&mut self, key: u32) {
        if let Some(received) = self.received.get_mut(key as usize) {
            *received = 0;
        }
    }

    /// Checks `bytes`, which follow those that have led to `progress`.
    pub(super) fn check(&mut self, key: u32, mut progress: u32, bytes: &[u8]) -> Result<Found, WrongReply> {
        let (mut replies, mut begin) = (0, 0);
        while begin < bytes.len() {
            let seq = self.received.get(key as usize).map_or(0, |received| received.wrapping_add(1));
            let numbers = Numbers { conn: key + 1, seq };
            match self.expected.advance(progress, &bytes[begin..], numbers, &mut self.rendered) {
                Ok(Progress::Whole { taken }) => {
                    (replies, begin, progress) = (replies + 1, begin + taken, 0);
                    if let Some(received) = self.received.get_mut(key as usize) {
                        *received = seq;
                    }
                }
                Ok(Progress::Partial(after)) => return Ok(Found { replies, partial_bytes: after }),
                Err(wrong) => {
                    let is_first = begin == 0 && progress > 0;
                    return Err(WrongReply {
                        reply_begins_at: (!is_first).then_some(begin),
                        what: self.expected.describe(wrong, "the reply"),
                    });
                }
            }
        }
        Ok(Found { replies, partial_bytes: 0 })
    }

    /// The number of bytes of a reply that have come.
    pub(super) fn bytes_of(&self, progress: u32) -> u32 {
        self.expected.bytes_of(progress)
    }
}

/// Maximum size of one write, unless a single request is longer.
pub(super) const WRITE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(text: &str) -> NumberedRequests {
        NumberedRequests::new(text.parse().unwrap(), 2)
    }

    fn replies(text: &str) -> StatedReplies {
        StatedReplies::new(text.parse().unwrap(), 2)
    }

    #[test]
    fn requests_written_in_parts_keep_their_numbers() {
        let whole = b"8 of 2\n9 of 2\n10 of 2\n11 of 2\n";
        for cut in 0..whole.len() {
            let mut requests = requests("{seq} of {conn}\n");
            assert_eq!(requests.render(1, 7, 0).len(), 7 * 7);
            assert_eq!(requests.left(1, 7, 0, 49), (0, 0));
            assert_eq!(requests.render(1, 4, 0), whole);
            let (unsent, written) = requests.left(1, 4, 0, cut);
            assert_eq!(requests.render(1, unsent, written), &whole[cut..], "cut at {cut}");
            assert_eq!(requests.left(1, unsent, written, whole.len() - cut), (0, 0));
            assert_eq!(requests.render(0, 1, 0), b"1 of 1\n");
            assert_eq!(requests.render(1, 0, 0), b"");
        }
    }

    #[test]
    fn a_write_takes_a_bounded_number_of_requests() {
        let mut requests = requests("{seq:u32}");
        assert_eq!(requests.render(0, 65_536, 0).len(), WRITE_BYTES);
        assert_eq!(requests.left(0, 65_536, 0, WRITE_BYTES), (65_536 - 16_384, 0));
        assert_eq!(requests.render(0, 1, 2), [0x40, 1]);
    }

    #[test]
    fn a_new_connection_begins_with_the_first_request_and_its_reply() {
        let (mut requests, mut replies) = (requests("{seq}"), replies("{seq}"));
        requests.render(0, 5, 0);
        requests.left(0, 5, 0, 5);
        assert_eq!(replies.check(0, 0, b"12345").unwrap().replies, 5);
        requests.begin(0);
        replies.begin(0);
        assert_eq!(requests.render(0, 1, 0), b"1");
        assert_eq!(replies.check(0, 0, b"1").unwrap().replies, 1);
    }

    #[test]
    fn replies_cut_at_any_byte_are_counted_once() {
        let bytes = b"r9 2r10 2r11 2r1";
        for cut in 0..bytes.len() {
            let mut replies = replies("r{seq} {conn}");
            replies.received[1] = 8;
            let first = replies.check(1, 0, &bytes[..cut]).unwrap();
            let second = replies.check(1, first.partial_bytes, &bytes[cut..]).unwrap();
            assert_eq!((first.replies + second.replies, second.partial_bytes), (3, 2), "cut at {cut}");
        }
    }

    #[test]
    fn an_error_names_the_first_wrong_byte_and_where_its_reply_begins() {
        let mut replies = replies("{seq}\\n");
        let wrong = replies.check(0, 0, b"1\n2\n4\n").unwrap_err();
        assert_eq!(
            (wrong.what.as_str(), wrong.reply_begins_at),
            ("byte 0 of the reply is '4', expected '3'", Some(4))
        );
        let wrong = replies.check(0, 1, b"\r").unwrap_err();
        assert_eq!(
            (wrong.what.as_str(), wrong.reply_begins_at),
            ("byte 1 of the reply is 0x0d, expected 0x0a", None)
        );
    }
}
