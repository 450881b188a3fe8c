//! `greeting`: one greeting to whoever connects, then the end of the stream.

use super::{Action, Kind, Make, Output, Progress, StreamService};

/// What is sent.
pub const GREETING: &str = "Thank you for connecting !";

pub(super) const KIND: Kind =
    Kind { name: "greeting", default_port: 12345, make: Make::Stream(|_| Box::new(Greeting)) };

/// The service `greeting`.
#[derive(Debug)]
pub struct Greeting;

impl StreamService for Greeting {
    fn opened(&self, _unix_seconds: i64, out: &mut Output<'_>) -> Action {
        out.send(GREETING.as_bytes());
        Action::End
    }

    fn received(&self, unread: &[u8], _ended: bool, _out: &mut Output<'_>) -> Progress {
        Progress { consumed: unread.len(), action: Action::End }
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::ask;
    use super::*;

    #[test]
    fn the_greeting_is_sent_at_once_and_ends_the_stream() {
        let said = ask(|out| Greeting.opened(0, out));
        assert_eq!((said.returned, said.answer.as_str()), (Action::End, GREETING));
        assert_eq!(said.records, "");
    }
}
