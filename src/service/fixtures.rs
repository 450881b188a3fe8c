//! One call of a service, for the tests of the services.

use std::net::SocketAddr;

use super::output::Output;
use crate::journal::Lines;

/// What a call did.
pub(super) struct Outcome<T> {
    pub(super) returned: T,
    pub(super) answer: String,
    pub(super) journal: String,
}

/// Calls a service for the peer 127.0.0.1:4000.
pub(super) fn run<T>(call: impl FnOnce(&mut Output<'_>) -> T) -> Outcome<T> {
    let (mut answer, mut journal) = (Vec::new(), Lines::default());
    let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
    let returned = call(&mut Output::new(peer, &mut answer, Some(&mut journal)));
    let text = |bytes| String::from_utf8(bytes).expect("services send UTF-8");
    Outcome { returned, answer: text(answer), journal: text(journal.as_bytes().to_vec()) }
}
