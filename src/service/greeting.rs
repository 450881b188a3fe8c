//! `greeting`: the server sends one greeting on connect, then ends the stream.

use super::client_side::{ExpectedReply, Reply, StreamClient};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{Action, Progress, StreamService};

/// The greeting.
pub const GREETING: &str = "Thank you for connecting !";

pub(crate) const DEFINITION: Definition = Definition::stream(
    "greeting",
    12345,
    "a greeting for each connection",
    |_| Box::new(Greeting),
    &Greeting,
);

/// Both sides of the service `greeting`.
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

impl StreamClient for Greeting {
    fn expected_reply(&self, _text: &str) -> ExpectedReply {
        ExpectedReply::Exact(GREETING.into())
    }

    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
        Ok((unread == GREETING.as_bytes()).then_some(Reply::whole(unread)))
    }

    fn server_ends_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::run;
    use super::*;

    #[test]
    fn the_greeting_is_sent_on_connect_and_ends_the_stream() {
        let outcome = run(|out| Greeting.opened(0, out));
        assert_eq!((outcome.returned, outcome.answer.as_str()), (Action::End, GREETING));
        assert_eq!(outcome.journal, "");
    }
}
