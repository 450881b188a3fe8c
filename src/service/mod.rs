//! Services: functions from bytes to bytes.
//!
//! A service never sees a socket, a clock or another connection, and keeps no state of a connection: bytes
//! that it does not consume are passed to it again, with more after them. So the same service runs under
//! the event loop, under a thread per connection, on a simulated network, and in a unit test without any.
//!
//! The file of a service has both sides of its protocol: the server side ([`StreamService`] or
//! [`DatagramService`]), and the [client side](client_side) that `client` and `load` drive. To add a
//! service to the program, add its file, the line `mod` in this file, and its definition to [`ALL`]; parsers,
//! help, `serve`, `client`, `load` and the tests of every service take it from there:
//!
//! ```
//! use loopline::service::{
//!     Action, Definition, ExpectedReply, Output, Progress, Reply, StreamClient, StreamService,
//! };
//!
//! /// Sends each line back.
//! struct Echo;
//!
//! pub static ECHO: Definition = Definition::stream("echo", 7, "sends lines back", |_settings| Box::new(Echo), &Echo);
//!
//! impl StreamService for Echo {
//!     fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
//!         let consumed = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
//!         out.send(&unread[..consumed]);
//!         Progress { consumed, action: Action::Continue }
//!     }
//! }
//!
//! impl StreamClient for Echo {
//!     fn text_bytes(&self) -> Option<std::ops::RangeInclusive<usize>> {
//!         Some(0..=1000)
//!     }
//!
//!     fn append_request(&self, text: &str, out: &mut Vec<u8>) {
//!         out.extend_from_slice(text.as_bytes());
//!         out.push(b'\n');
//!     }
//!
//!     fn expected_reply(&self, text: &str) -> ExpectedReply {
//!         ExpectedReply::Exact(format!("{text}\n").into())
//!     }
//!
//!     fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
//!         let Some(end) = unread.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
//!         Ok(Some(Reply { wire_bytes: end + 1, body: &unread[..end], is_refusal: false }))
//!     }
//!
//!     fn server_ends_stream(&self) -> bool {
//!         false
//!     }
//! }
//! ```

pub mod client_side;
pub mod daytime;
mod definition;
#[cfg(all(test, feature = "cli"))]
pub(crate) mod echo;
pub mod endpoint;
#[cfg(test)]
mod fixtures;
pub mod greeting;
pub mod message;
pub mod month;
mod output;
pub mod reply;
mod server_side;
#[cfg(all(test, feature = "cli"))]
mod tests;

pub use client_side::{
    Answer, ClientSide, DatagramClient, ExpectedAnswer, ExpectedReply, Reply, StreamClient,
};
pub use definition::{Definition, Make, Settings};
pub use output::Output;
pub use server_side::{Action, DatagramService, Progress, Session, StreamService};

/// The services of the program, in the order in which they are listed to users.
pub static ALL: &[Definition] =
    &[message::DEFINITION, greeting::DEFINITION, daytime::DEFINITION, reply::DEFINITION, month::DEFINITION];

/// The service of the program with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

/// The names of all services, as in `message, greeting`.
pub(crate) fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
    names.join(", ")
}
