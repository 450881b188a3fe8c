//! `echo`: the server sends each line back. It is not in the list of services: tests use it to show what a
//! further service needs.

use std::ops::RangeInclusive;

use super::client_side::{ExpectedReply, Reply, StreamClient};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{Action, Progress, StreamService};

/// The line after which the server ends the stream.
pub(crate) const FAREWELL: &str = "bye";

const REFUSAL_PREFIX: &[u8] = b"refused: ";

const LINE_BYTES_MAX: usize = 100;

pub(crate) static DEFINITION: Definition =
    Definition::stream("echo", 7, "each line back", |_| Box::new(Echo), &Echo);

/// Both sides of the service `echo`.
struct Echo;

impl StreamService for Echo {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        let mut consumed = 0;
        for line in unread.split_inclusive(|byte| *byte == b'\n') {
            if line.len() > LINE_BYTES_MAX {
                return Progress { consumed, action: Action::Refuse("the line is too long".into()) };
            }
            let Some(text) = line.strip_suffix(b"\n") else { break };
            consumed += line.len();
            out.record("echo", text);
            out.send(line);
            if text == FAREWELL.as_bytes() {
                return Progress { consumed, action: Action::End };
            }
        }
        Progress { consumed, action: Action::Continue }
    }

    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        out.send(REFUSAL_PREFIX);
        out.send(reason.as_bytes());
        out.send(b"\n");
    }

    fn uses_journal(&self) -> bool {
        true
    }
}

impl StreamClient for Echo {
    fn text_bytes(&self) -> Option<RangeInclusive<usize>> {
        Some(0..=LINE_BYTES_MAX - 1)
    }

    fn append_request(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }

    fn expected_reply(&self, text: &str) -> ExpectedReply {
        ExpectedReply::Exact(format!("{text}\n").into())
    }

    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
        let Some(end) = unread.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let reason = unread[..end].strip_prefix(REFUSAL_PREFIX);
        let body = reason.unwrap_or(&unread[..end]);
        Ok(Some(Reply { wire_bytes: end + 1, body, is_refusal: reason.is_some() }))
    }

    fn server_ends_stream(&self) -> bool {
        false
    }

    fn farewell(&self) -> Option<&'static str> {
        Some(FAREWELL)
    }
}
