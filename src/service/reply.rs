//! `reply`: one request, recorded and answered once, then the end of the stream.

use super::{Action, Kind, Make, Output, Progress, StreamService};

/// What every request is answered with.
pub const REPLY: &str = "Thanks for connecting";

/// Of the first bytes that come, how many are taken as the request.
pub const REQUEST_BYTES_MAX: usize = 1024;

pub(super) const KIND: Kind =
    Kind { name: "reply", default_port: 8080, make: Make::Stream(|_| Box::new(Reply)) };

/// The service `reply`.
#[derive(Debug)]
pub struct Reply;

impl StreamService for Reply {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        // A peer that ends without a request is answered too, but there is nothing to record.
        if !unread.is_empty() {
            out.record(&unread[..unread.len().min(REQUEST_BYTES_MAX)]);
        }
        out.send(REPLY.as_bytes());
        Progress { consumed: unread.len(), action: Action::End }
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::ask;
    use super::*;

    const ALL_CONSUMED: fn(&[u8]) -> Progress =
        |unread| Progress { consumed: unread.len(), action: Action::End };

    #[test]
    fn the_first_bytes_are_the_request() {
        let said = ask(|out| Reply.received(b"GET \xff\n", false, out));
        assert_eq!(said.returned, ALL_CONSUMED(b"GET \xff\n"));
        assert_eq!((said.answer.as_str(), said.records.as_str()), (REPLY, "[127.0.0.1:4000] GET \\xff\\n\n"));
    }

    #[test]
    fn a_request_is_recorded_up_to_its_limit() {
        let long = [b'a'; REQUEST_BYTES_MAX + 1];
        let said = ask(|out| Reply.received(&long, false, out));
        assert_eq!(said.returned, ALL_CONSUMED(&long));
        assert_eq!(said.records.len(), "[127.0.0.1:4000] \n".len() + REQUEST_BYTES_MAX);
    }

    #[test]
    fn a_peer_that_ends_without_a_request_is_answered() {
        let said = ask(|out| Reply.received(b"", true, out));
        assert_eq!(said.returned, ALL_CONSUMED(b""));
        assert_eq!((said.answer.as_str(), said.records.as_str()), (REPLY, ""));
    }
}
