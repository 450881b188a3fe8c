//! What a user can ask of `serve`, however it was asked for.

use std::path::PathBuf;

use crate::journal::Ack;
use crate::limits::Limits;
use crate::net::sockets::SocketOptions;
use crate::service::ALL;
use crate::service::endpoint::Endpoint;
use crate::units::parse_size;

/// Bytes of the longest message, if nothing else is said.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Stack of a thread that serves one connection, if nothing else is said. The deepest path (a message, escaped
/// into the record) needs about a third of it; buffers are on the heap.
pub(crate) const THREAD_STACK_BYTES: usize = 64 * 1024;

/// The options of `serve`.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    /// What is served where; never empty.
    pub endpoints: Vec<Endpoint>,
    /// Who serves.
    pub model: Model,
    /// Where messages are recorded.
    pub journal: JournalTo,
    /// When they are acknowledged.
    pub ack: Ack,
    /// Connections served at once; `None` is as many as there are descriptors for.
    pub connections_max: Option<usize>,
    /// Bytes of the longest message.
    pub message_bytes_max: usize,
    /// Stack of each thread of the model that has many, in bytes; not below [`THREAD_STACK_BYTES`].
    pub thread_stack_bytes: usize,
    /// All other bounds. Its `connections_max` follows from the above.
    pub limits: Limits,
    /// How listening sockets are made.
    pub sockets: SocketOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            endpoints: ALL.iter().map(Endpoint::of).collect(),
            model: Model::Loop,
            journal: JournalTo::Stdout,
            ack: Ack::default(),
            connections_max: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            thread_stack_bytes: THREAD_STACK_BYTES,
            limits: Limits::default(),
            sockets: SocketOptions::default(),
        }
    }
}

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub(crate) enum Model {
    /// One thread, for all connections.
    Loop,
    /// A thread for each connection.
    Threads,
}

/// Where messages are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JournalTo {
    /// To standard output, `-`.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
    /// Nowhere, `none`.
    Nowhere,
}

/// A stack as users write it: `64KiB` or more.
///
/// # Errors
/// It is no size, or too small for a thread to serve a connection on.
pub(crate) fn parse_thread_stack(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    if bytes < THREAD_STACK_BYTES { Err("expected at least 64KiB".into()) } else { Ok(bytes) }
}

impl From<&str> for JournalTo {
    fn from(text: &str) -> Self {
        match text {
            "-" => Self::Stdout,
            "none" => Self::Nowhere,
            path => Self::File(path.into()),
        }
    }
}
