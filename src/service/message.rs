//! `message`: the server records each framed message and acknowledges it with a frame.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::ops::RangeInclusive;

use super::client_side::{ExpectedReply, Reply, StreamClient};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{Action, Known, Progress, StreamService};
use crate::frame;

/// The body of every acknowledgement.
pub const ACKNOWLEDGEMENT: &str = "Message received successfully....";

/// The message after which the server ends the stream. It is recorded and acknowledged as any other.
pub const DISCONNECT: &str = "Disconnect !";

/// The beginning of the body of a refusal; the reason follows.
pub(crate) const REFUSAL_PREFIX: &str = "Error: ";

const NAME: &str = "message";

pub(crate) const DEFINITION: Definition = Definition::stream(
    NAME,
    9999,
    "framed messages, each journaled and acknowledged",
    |settings| Box::new(Message::new(settings.message_bytes_max)),
    &MessageClient,
);

/// The server side of `message`.
#[derive(Debug)]
pub struct Message {
    message_bytes_max: usize,
    /// [`SENT_AT_ONCE`] acknowledgements, one after the other.
    acknowledgements: Vec<u8>,
}

impl Message {
    /// Accepts messages of up to `message_bytes_max` bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        let mut acknowledgement = Vec::new();
        frame::append(ACKNOWLEDGEMENT, &mut acknowledgement);
        Self { message_bytes_max, acknowledgements: acknowledgement.repeat(SENT_AT_ONCE) }
    }

    #[inline]
    fn acknowledge(&self, messages: usize, out: &mut Output<'_>) {
        match self.acknowledgements.first_chunk::<ACKNOWLEDGEMENT_BYTES>() {
            // A copy of a constant length is no call.
            Some(one) if messages == 1 => out.send(one),
            _ => self.acknowledge_many(messages, out),
        }
    }

    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "at most SENT_AT_ONCE at once"
    )]
    #[inline(never)]
    fn acknowledge_many(&self, mut messages: usize, out: &mut Output<'_>) {
        while messages > 0 {
            let now = messages.min(SENT_AT_ONCE);
            out.send(&self.acknowledgements[..now * ACKNOWLEDGEMENT_BYTES]);
            messages -= now;
        }
    }
}

/// The size of an acknowledgement in bytes.
const ACKNOWLEDGEMENT_BYTES: usize = frame::HEADER_BYTES + ACKNOWLEDGEMENT.len();

/// The number of acknowledgements that one copy appends to the answer.
const SENT_AT_ONCE: usize = 16;

impl StreamService for Message {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        self.receive(unread, &mut Known::default(), out)
    }

    fn received_more(&self, unread: &[u8], known: &mut Known, out: &mut Output<'_>) -> Progress {
        self.receive(unread, known, out)
    }

    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        out.send(&frame::header(REFUSAL_PREFIX.len().saturating_add(reason.len())));
        out.send(REFUSAL_PREFIX.as_bytes());
        out.send(reason.as_bytes());
    }

    fn uses_journal(&self) -> bool {
        true
    }
}

impl Message {
    /// Records and acknowledges the frames in `unread`, of the first of which `known` is known; keeps there what is
    /// known of the incomplete one at the end.
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a frame is in the unread bytes"
    )]
    #[expect(clippy::inline_always, reason = "the common caller knows nothing of the first frame")]
    #[inline(always)]
    fn receive(&self, unread: &[u8], known: &mut Known, out: &mut Output<'_>) -> Progress {
        let (mut rest, mut messages) = (unread, 0);
        let action = loop {
            if rest.is_empty() {
                break Action::Continue;
            }
            match frame::parse_more(rest, known, self.message_bytes_max) {
                Ok(Some(frame)) => {
                    *known = Known::default();
                    rest = &rest[frame.wire_bytes()..];
                    messages += 1;
                    out.record(NAME, frame.body);
                    if frame.body == DISCONNECT.as_bytes() {
                        break Action::End;
                    }
                }
                Ok(None) => break Action::Continue,
                // Where the next frame would begin is unknown.
                Err(bad_frame) => break Action::Refuse(bad_frame.into()),
            }
        };
        self.acknowledge(messages, out);
        Progress { consumed: unread.len() - rest.len(), action }
    }
}

/// The client side of `message`.
pub(crate) struct MessageClient;

impl StreamClient for MessageClient {
    fn text_bytes(&self) -> Option<RangeInclusive<usize>> {
        Some(0..=usize::MAX)
    }

    fn request(&self, text: String) -> Vec<u8> {
        let mut request = text.into_bytes();
        request.splice(..0, frame::header(request.len()));
        request
    }

    fn append_request(&self, text: &str, out: &mut Vec<u8>) {
        frame::append(text, out);
    }

    fn expected_reply(&self, _text: &str) -> ExpectedReply {
        let mut acknowledgement = Vec::new();
        frame::append(ACKNOWLEDGEMENT, &mut acknowledgement);
        ExpectedReply::Exact(acknowledgement)
    }

    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
        let parsed = frame::parse(unread, REPLY_BYTES_MAX).map_err(|bad_frame| bad_frame.to_string())?;
        Ok(parsed.map(|frame| {
            let reason = frame.body.strip_prefix(REFUSAL_PREFIX.as_bytes());
            let body = reason.unwrap_or(frame.body);
            Reply { wire_bytes: frame.wire_bytes(), body, is_refusal: reason.is_some() }
        }))
    }

    fn server_ends_stream(&self) -> bool {
        false
    }

    fn farewell(&self) -> Option<&'static str> {
        Some(DISCONNECT)
    }
}

/// Maximum size of a reply's body in bytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::super::fixtures::{Outcome, run};
    use super::*;

    fn wire(bodies: &[&str]) -> Vec<u8> {
        let mut wire = Vec::new();
        for body in bodies {
            frame::append(body, &mut wire);
        }
        wire
    }

    fn receive(unread: &[u8]) -> Outcome<Progress> {
        run(|out| Message::new(100).received(unread, false, out))
    }

    #[test]
    fn each_message_is_recorded_and_acknowledged_in_order() {
        let wire = wire(&["one", "", "two"]);
        let outcome = receive(&wire);
        assert_eq!(outcome.returned, Progress { consumed: wire.len(), action: Action::Continue });
        assert_eq!(outcome.journal, "[127.0.0.1:4000] one\n[127.0.0.1:4000] \n[127.0.0.1:4000] two\n");
        let one = format!("{:<64}{ACKNOWLEDGEMENT}", 33);
        assert_eq!(outcome.answer, one.repeat(3));
    }

    #[test]
    fn an_incomplete_frame_stays_unconsumed() {
        let whole = wire(&["one", "two"]);
        for cut in 0..64 + 3 {
            let outcome = receive(&whole[..64 + 3 + cut]);
            assert_eq!(outcome.returned, Progress { consumed: 64 + 3, action: Action::Continue }, "{cut}");
        }
    }

    #[test]
    fn disconnect_is_acknowledged_and_ends_the_stream() {
        let outcome = receive(&wire(&[DISCONNECT, "never read"]));
        assert_eq!(outcome.returned, Progress { consumed: 64 + 12, action: Action::End });
        assert_eq!(outcome.journal, "[127.0.0.1:4000] Disconnect !\n");
    }

    #[test]
    fn the_farewell_of_a_client_is_disconnect() {
        assert_eq!(MessageClient.farewell(), Some(DISCONNECT));
    }

    #[test]
    fn messages_before_a_bad_one_are_acknowledged() {
        let mut input = wire(&["one"]);
        input.extend_from_slice(b"12x");
        let outcome = receive(&input);
        let reason = "header byte 2 is 'x', expected a digit or a space";
        assert_eq!(outcome.returned, Progress { consumed: 67, action: Action::Refuse(reason.into()) });
        assert_eq!(outcome.journal, "[127.0.0.1:4000] one\n");
        assert_eq!(outcome.answer.len(), 64 + ACKNOWLEDGEMENT.len());
    }

    #[test]
    fn a_refusal_is_a_frame_that_the_client_side_knows() {
        let outcome = run(|out| Message::new(100).refused("too many", out));
        assert_eq!(outcome.answer, format!("{:<64}Error: too many", 15));
        let refusal = Reply { wire_bytes: 64 + 15, body: b"too many", is_refusal: true };
        assert_eq!(MessageClient.parse_reply(outcome.answer.as_bytes()), Ok(Some(refusal)));
    }
}
