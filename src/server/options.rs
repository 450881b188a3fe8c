//! The options of `serve`, independent of the parser.

use crate::conn::memory::budget_bytes_min;
use crate::conn::reply_rate::REPLIES_PER_SECOND_MAX;
use crate::journal::target::JournalTarget;
use crate::journal::{Ack, Format, HAS_JOURNAL};
use crate::limits::{Limits, ReplyLimit};
use crate::net::sockets::SocketOptions;
use crate::service::endpoint::{Endpoint, HostPort};
use crate::service::message::DISCONNECT;
use crate::units::parse_size;

/// The default limit of a message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The default stack of a thread that serves one connection, in bytes. The deepest path (a message, escaped into
/// the journal) needs about a third of it; buffers are on the heap.
pub(crate) const THREAD_STACK_BYTES: usize = 64 * 1024;

/// The largest stack, far above what a thread uses and far below what makes starting one fail.
const THREAD_STACK_BYTES_MAX: usize = 1 << 30;

/// The options of `serve`.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    /// The endpoints to serve. Without any, those of inherited sockets, and without these, all services on loopback.
    pub endpoints: Vec<Endpoint>,
    /// Connections to all endpoints on TCP begin with a PROXY header, not only those to endpoints that say so.
    pub proxy_protocol: bool,
    /// The model.
    pub model: Model,
    /// Where messages are recorded.
    pub journal: JournalTarget,
    /// The format of their lines.
    pub journal_format: Format,
    /// When they are acknowledged.
    pub ack: Ack,
    /// Connections served at once; `None`: as many as there are descriptors for.
    pub connections_max: Option<usize>,
    /// Bytes of the longest message.
    pub message_bytes_max: usize,
    /// The memory budget in bytes; `None`: a quarter of what the machine allows.
    pub memory_bytes_max: Option<usize>,
    /// Memory is allocated at the start.
    pub preallocate: bool,
    /// The stack of each thread of [`Model::Threads`], in bytes; not below [`THREAD_STACK_BYTES`].
    pub thread_stack_bytes: usize,
    /// All other limits. Its `connections_max` and `memory_bytes_max` are set from the above.
    pub limits: Limits,
    /// How listening sockets are made.
    pub sockets: SocketOptions,
    /// Where the admin endpoint is served.
    pub metrics: Option<HostPort>,
    /// Whether the process is confined once it has started.
    pub sandbox: Sandbox,
    /// `USER[:GROUP]`, as which the process runs once its ports are bound.
    pub user: Option<String>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            proxy_protocol: false,
            model: Model::Loop,
            journal: if HAS_JOURNAL { JournalTarget::Stdout } else { JournalTarget::None },
            journal_format: Format::default(),
            ack: Ack::default(),
            connections_max: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            memory_bytes_max: None,
            preallocate: false,
            thread_stack_bytes: THREAD_STACK_BYTES,
            limits: Limits::default(),
            sockets: SocketOptions::default(),
            metrics: None,
            sandbox: Sandbox::Auto,
            user: None,
        }
    }
}

impl ServeOptions {
    /// Checks that the options can be combined.
    ///
    /// # Errors
    /// One line that names those that cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.ack == Ack::Synced && self.journal == JournalTarget::None {
            return Err("--ack synced requires a journal: with --journal none, nothing is written".into());
        }
        if self.preallocate && self.connections_max.is_none() {
            return Err("--preallocate requires --max-connections: memory for so many is allocated".into());
        }
        #[cfg(feature = "cli")]
        if self.preallocate && self.model == Model::Threads {
            return Err("--preallocate cannot be combined with --model threads".into());
        }
        #[cfg(feature = "cli")]
        if let Some(at) = self.metrics.as_ref().filter(|_| self.preallocate) {
            return Err(format!("--preallocate cannot be combined with --metrics {at}"));
        }
        let memory_bytes_min = budget_bytes_min(self.message_bytes_max);
        if self.memory_bytes_max.is_some_and(|bytes| bytes < memory_bytes_min) {
            let (max_message, min) = (self.message_bytes_max, memory_bytes_min);
            return Err(format!(
                "--max-memory must be at least {min} bytes for messages of {max_message} bytes"
            ));
        }
        Ok(())
    }
}

/// How connections are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
pub(crate) enum Model {
    /// One event loop for all connections.
    Loop,
    /// A thread for each connection.
    Threads,
}

/// Whether the process is confined to the files and system calls that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// As far as the kernel can.
    Auto,
    /// Or else it does not start.
    On,
    Off,
}

/// Parses the limit of a message, at least the message with which clients end.
///
/// # Errors
/// It is not a size, or too small.
pub(crate) fn parse_message_limit(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    let bytes_min = DISCONNECT.len();
    if bytes < bytes_min {
        return Err(format!(
            "expected at least {bytes_min} bytes, since clients end with the message '{DISCONNECT}'"
        ));
    }
    Ok(bytes)
}

/// Parses the size of a stack, `64KiB` to `1GiB`.
///
/// # Errors
/// It is not a size, too small for a thread that serves a connection, or more than any of them can use.
pub(crate) fn parse_thread_stack(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    if (THREAD_STACK_BYTES..=THREAD_STACK_BYTES_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("expected at least 64KiB, and at most 1GiB".into())
    }
}

/// Parses the replies a second to one network, or `off`.
///
/// # Errors
/// It is neither `off` nor a number from 1 to a million.
pub(crate) fn parse_reply_limit(text: &str) -> Result<ReplyLimit, String> {
    match text.parse() {
        _ if text == "off" => Ok(ReplyLimit::Off),
        Ok(per_second @ 1..=REPLIES_PER_SECOND_MAX) => Ok(ReplyLimit::Everywhere(per_second)),
        _ => Err(format!("expected a number from 1 to {REPLIES_PER_SECOND_MAX}, or off")),
    }
}
