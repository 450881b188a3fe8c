//! The server as a process: what only the kernel knows, such as signals, pipes, resets and silent peers.
//! The replies of both models to the same bytes are compared in `models.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::incompatible_msrv,
    reason = "the tests wait for a real process; they may need a newer compiler"
)]

#[path = "../common/mod.rs"]
mod common;

mod accepting;
#[path = "../common/schema.rs"]
mod schema;

mod clock;
mod confinement;
mod crowds;
mod journal;
mod journal_failures;
mod journal_file;
mod journal_format;
mod journal_of_another_user;
mod limits;
mod log;
mod memory;
mod receiving;
mod services;
mod stopping;
mod storms;
mod timeouts;
mod vanished;

use std::fs;
use std::net::TcpListener;

use common::{Peer, Server, frame};

pub(crate) fn assert_is_a_time(text: &str) {
    let shape = text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character });
    let shape: String = shape.collect();
    assert_eq!(text.len(), 26, "{text:?}");
    assert!(shape.ends_with(" 00:00:00 0000\r\n"), "{text:?}");
}

/// 3, or 2 if the machine has no IPv6: the local addresses to listen on.
pub(crate) fn hosts() -> usize {
    if TcpListener::bind("[::1]:0").is_ok() { 3 } else { 2 }
}

pub(crate) fn begin_a_frame(server: &Server) -> Peer {
    let mut peer = server.connect("message");
    peer.exchange("before");
    peer.send(&frame("during")[..66]);
    peer
}

pub(crate) fn open_descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}
