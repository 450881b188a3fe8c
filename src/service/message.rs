//! `message`: frames in, each recorded and acknowledged with a frame.

use super::{Action, Kind, Make, Output, Progress, StreamService};
use crate::frame;

/// The body of every acknowledgement.
pub const ACKNOWLEDGEMENT: &str = "Message received successfully....";

/// The message after which the server ends the stream. It is recorded and acknowledged as any other.
pub const DISCONNECT: &str = "Disconnect !";

/// What the body of a refusal begins with.
pub const REFUSAL_PREFIX: &str = "Error: ";

pub(super) const KIND: Kind = Kind {
    name: "message",
    default_port: 9999,
    make: Make::Stream(|settings| Box::new(Message::new(settings.message_bytes_max))),
};

/// The service `message`.
#[derive(Debug)]
pub struct Message {
    message_bytes_max: usize,
    /// One behind the other, as many as are sent at once.
    acknowledgements: Vec<u8>,
}

impl Message {
    /// Takes messages of up to `message_bytes_max` bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        let mut acknowledgement = Vec::new();
        frame::append(ACKNOWLEDGEMENT, &mut acknowledgement);
        Self { message_bytes_max, acknowledgements: acknowledgement.repeat(SENT_AT_ONCE) }
    }

    fn acknowledge(&self, mut messages: usize, out: &mut Output<'_>) {
        let one_bytes = self.acknowledgements.len() / SENT_AT_ONCE;
        while messages > 0 {
            let now = messages.min(SENT_AT_ONCE);
            out.send(&self.acknowledgements[..now * one_bytes]);
            messages -= now;
        }
    }
}

/// Acknowledgements that are copied into the answer at once, where as many messages came at once.
const SENT_AT_ONCE: usize = 16;

impl StreamService for Message {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        let (mut consumed, mut messages) = (0, 0);
        let action = loop {
            if consumed == unread.len() {
                break Action::Continue;
            }
            match frame::parse(&unread[consumed..], self.message_bytes_max) {
                Ok(Some(frame)) => {
                    consumed += frame.wire_bytes();
                    messages += 1;
                    out.record(frame.body);
                    if frame.body == DISCONNECT.as_bytes() {
                        break Action::End;
                    }
                }
                Ok(None) => break Action::Continue,
                // Where the next frame would begin is unknown from here on: nothing is guessed.
                Err(bad_frame) => break Action::Refuse(bad_frame.to_string()),
            }
        };
        self.acknowledge(messages, out);
        Progress { consumed, action }
    }

    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        frame::append(&format!("{REFUSAL_PREFIX}{reason}"), out.answer());
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::{Said, ask};
    use super::*;

    fn wire(bodies: &[&str]) -> Vec<u8> {
        let mut wire = Vec::new();
        for body in bodies {
            frame::append(body, &mut wire);
        }
        wire
    }

    fn receive(unread: &[u8]) -> Said<Progress> {
        ask(|out| Message::new(100).received(unread, false, out))
    }

    #[test]
    fn each_message_is_recorded_and_acknowledged_in_order() {
        let wire = wire(&["one", "", "two"]);
        let said = receive(&wire);
        assert_eq!(said.returned, Progress { consumed: wire.len(), action: Action::Continue });
        assert_eq!(said.records, "[127.0.0.1:4000] one\n[127.0.0.1:4000] \n[127.0.0.1:4000] two\n");
        let one = format!("{:<64}{ACKNOWLEDGEMENT}", 33);
        assert_eq!(said.answer, one.repeat(3));
    }

    #[test]
    fn a_frame_that_is_not_whole_stays_unconsumed() {
        let whole = wire(&["one", "two"]);
        for cut in 0..64 + 3 {
            let said = receive(&whole[..64 + 3 + cut]);
            assert_eq!(said.returned, Progress { consumed: 64 + 3, action: Action::Continue }, "{cut}");
        }
    }

    #[test]
    fn disconnect_is_acknowledged_and_ends_the_stream() {
        let said = receive(&wire(&[DISCONNECT, "never read"]));
        assert_eq!(said.returned, Progress { consumed: 64 + 12, action: Action::End });
        assert_eq!(said.records, "[127.0.0.1:4000] Disconnect !\n");
    }

    #[test]
    fn messages_before_a_bad_one_are_acknowledged() {
        let mut input = wire(&["one"]);
        input.extend_from_slice(b"12x");
        let said = receive(&input);
        let reason = "header byte 2 is 'x', expected a digit or a space";
        assert_eq!(said.returned, Progress { consumed: 67, action: Action::Refuse(reason.into()) });
        assert_eq!(said.records, "[127.0.0.1:4000] one\n");
        assert_eq!(said.answer.len(), 64 + ACKNOWLEDGEMENT.len());
    }

    #[test]
    fn a_refusal_is_a_frame() {
        let said = ask(|out| Message::new(100).refused("too many", out));
        assert_eq!(said.answer, format!("{:<64}Error: too many", 15));
    }
}
