//! Services: functions from bytes to bytes.
//!
//! A service never sees a socket, a clock or another connection, and keeps no state of a connection: bytes
//! that it does not consume are passed to it again, with more after them. So the same service runs under
//! the event loop, under a thread per connection, on a simulated network, and in a unit test without any.
//!
//! A service of your own implements [`StreamService`] or [`DatagramService`] and is passed to
//! [`EventLoop::listen`](crate::event_loop::EventLoop::listen) or
//! [`bind`](crate::event_loop::EventLoop::bind). It is tested without a socket:
//!
//! ```
//! use loopline::service::{Action, Output, Progress, StreamService};
//!
//! /// Sends each line back.
//! struct Echo;
//!
//! impl StreamService for Echo {
//!     fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
//!         let consumed = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
//!         out.send(&unread[..consumed]);
//!         Progress { consumed, action: Action::Continue }
//!     }
//! }
//!
//! let mut reply = Vec::new();
//! let mut out = Output::new("192.0.2.1:4000".parse().unwrap(), &mut reply, None);
//! let progress = Echo.received(b"one\ntwo\nth", false, &mut out);
//! assert_eq!((progress.consumed, reply.as_slice()), (8, &b"one\ntwo\n"[..]));
//! ```

// A service of the program has both sides of its protocol in its file: the server side, and the client side
// (`client_side`) that `client` and `load` drive. `echo.rs`, which the tests use, is a short example. A service
// is added by its file, its line `mod` here, and its definition in `ALL`; arguments, help and sub-commands take
// it from there.

#![cfg_attr(
    feature = "only",
    allow(dead_code, reason = "the definitions of services that are not in the program")
)]

#[doc(hidden)]
pub mod client_side;
pub mod daytime;
mod definition;
#[cfg(all(test, feature = "cli"))]
pub(crate) mod echo;
#[doc(hidden)]
pub mod endpoint;
#[cfg(test)]
mod fixtures;
pub mod greeting;
pub mod message;
pub mod month;
mod output;
mod reason;
pub mod reply;
mod server_side;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use client_side::{
    Answer, ClientSide, DatagramClient, ExpectedAnswer, ExpectedReply, Reply, StreamClient,
};
#[doc(hidden)]
pub use definition::{Definition, Make, Settings};
pub use output::Output;
pub use reason::Reason;
pub(crate) use reason::with_text;
pub use server_side::{Action, DatagramService, Known, Progress, Session, StreamService};

/// The services of the program, in the order in which they are listed to users. The other modules stay in the library;
/// nothing of them is in a program that does not use them.
#[doc(hidden)]
pub static ALL: &[Definition] = &[
    #[cfg(any(feature = "message", not(feature = "only")))]
    message::DEFINITION,
    #[cfg(any(feature = "greeting", not(feature = "only")))]
    greeting::DEFINITION,
    #[cfg(any(feature = "daytime", not(feature = "only")))]
    daytime::DEFINITION,
    #[cfg(any(feature = "reply", not(feature = "only")))]
    reply::DEFINITION,
    #[cfg(any(feature = "month", not(feature = "only")))]
    month::DEFINITION,
];

/// The service of the program with this name.
#[doc(hidden)]
#[must_use]
pub fn named(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

/// The names of all services, as in `message, greeting`.
pub(crate) fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
    names.join(", ")
}
