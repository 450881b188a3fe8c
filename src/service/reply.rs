//! `reply`: the server records one request, answers it, and ends the stream.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::ops::RangeInclusive;

use super::client_side::{ExpectedReply, Reply as ParsedReply, StreamClient};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{Action, Progress, StreamService};

/// The answer to every request.
pub const REPLY: &str = "Thanks for connecting";

/// Maximum size of a request in bytes; what a peer sends beyond it is not recorded.
const REQUEST_BYTES_MAX: usize = 1024;

const NAME: &str = "reply";

pub(crate) const DEFINITION: Definition =
    Definition::stream(NAME, 8080, "one request, one reply", |_| Box::new(Reply), &Reply);

/// Both sides of the service `reply`.
#[derive(Debug)]
pub struct Reply;

impl StreamService for Reply {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        // A peer that ends its side without a request is answered, but there is nothing to record.
        if !unread.is_empty() {
            out.record(NAME, unread.get(..REQUEST_BYTES_MAX).unwrap_or(unread));
        }
        out.send(REPLY.as_bytes());
        Progress { consumed: unread.len(), action: Action::End }
    }

    fn uses_journal(&self) -> bool {
        true
    }
}

impl StreamClient for Reply {
    fn text_bytes(&self) -> Option<RangeInclusive<usize>> {
        Some(1..=REQUEST_BYTES_MAX)
    }

    fn append_request(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
    }

    fn expected_reply(&self, _text: &str) -> ExpectedReply {
        ExpectedReply::Exact(REPLY.into())
    }

    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<ParsedReply<'a>>, String> {
        Ok((unread == REPLY.as_bytes()).then_some(ParsedReply::whole(unread)))
    }

    fn server_ends_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::super::fixtures::run;
    use super::*;

    const ALL_CONSUMED: fn(&[u8]) -> Progress =
        |unread| Progress { consumed: unread.len(), action: Action::End };

    #[test]
    fn the_first_bytes_are_the_request() {
        let outcome = run(|out| Reply.received(b"GET \xff\n", false, out));
        assert_eq!(outcome.returned, ALL_CONSUMED(b"GET \xff\n"));
        assert_eq!(
            (outcome.answer.as_str(), outcome.journal.as_str()),
            (REPLY, "[127.0.0.1:4000] GET \\xff\\n\n")
        );
    }

    #[test]
    fn a_request_is_recorded_up_to_its_limit() {
        let long = [b'a'; REQUEST_BYTES_MAX + 1];
        let outcome = run(|out| Reply.received(&long, false, out));
        assert_eq!(outcome.returned, ALL_CONSUMED(&long));
        assert_eq!(outcome.journal.len(), "[127.0.0.1:4000] \n".len() + REQUEST_BYTES_MAX);
    }

    #[test]
    fn a_peer_that_ends_without_a_request_is_answered() {
        let outcome = run(|out| Reply.received(b"", true, out));
        assert_eq!(outcome.returned, ALL_CONSUMED(b""));
        assert_eq!((outcome.answer.as_str(), outcome.journal.as_str()), (REPLY, ""));
    }
}
