//! The arguments of `serve`.

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};

use crate::cli::{ACKS, BACKLOGS, FORMATS, MODELS, SANDBOXES, ServiceNames, UNITS, at_least_one, whole};
use crate::journal::target::JournalTarget;
use crate::journal::{Ack, Format};
use crate::limits::{Limits, ReplyLimit};
use crate::net::sockets::SocketOptions;
use crate::server::options::{
    Model, Sandbox, ServeOptions, parse_message_limit, parse_reply_limit, parse_thread_stack,
};
use crate::service::ALL;
use crate::service::endpoint::{Endpoint, HostPort};
use crate::units::{Timeout, parse_delay, parse_duration, parse_size};

#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{UNITS}{SERVE_STATUS}", endpoint_help()))]
pub(super) struct ServeArguments {
    /// Endpoints to serve, besides inherited sockets [default: without inherited sockets, all
    /// services on their default ports, on loopback]
    #[arg(value_name = "ENDPOINT", value_parser = ServiceNames(Endpoint::from_str), hide_possible_values = true)]
    endpoints: Vec<Endpoint>,

    /// Use one event loop for all connections, or a thread per connection
    #[arg(long, default_value = "loop", env = "LOOPLINE_SERVE_MODEL", value_parser = one_of(MODELS))]
    model: Model,

    /// Journal messages to standard output ('-'), to a file (appended to), or not at all ('none')
    #[arg(long, value_name = "-|FILE|none", default_value = "-", env = "LOOPLINE_SERVE_JOURNAL")]
    #[arg(allow_hyphen_values = true, value_hint = ValueHint::FilePath)]
    journal: String,

    /// Journal a message as '[PEER] TEXT', or as a JSON object with time, peer, service and text
    #[arg(long, default_value = "text", env = "LOOPLINE_SERVE_JOURNAL_FORMAT", value_parser = one_of(FORMATS))]
    journal_format: Format,

    /// Acknowledge a message on receipt, after it is written to the journal, or after it is synced
    /// to disk
    #[arg(long, default_value = "written", env = "LOOPLINE_SERVE_ACK", value_parser = one_of(ACKS))]
    ack: Ack,

    /// Maximum number of open connections [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", env = "LOOPLINE_SERVE_MAX_CONNECTIONS", value_parser = at_least_one)]
    max_connections: Option<usize>,

    /// Maximum number of open connections of a source: an IPv4 address, or the /64 of an IPv6 address [default:
    /// no limit]
    #[arg(long, value_name = "N", env = "LOOPLINE_SERVE_MAX_PER_SOURCE", value_parser = at_least_one)]
    max_per_source: Option<usize>,

    /// Maximum size of a message, at least 12 bytes
    #[arg(long, value_name = "SIZE", default_value = "1MiB", env = "LOOPLINE_SERVE_MAX_MESSAGE")]
    #[arg(value_parser = parse_message_limit)]
    max_message: usize,

    /// Maximum memory for bytes that wait, of all connections together, and for the journal's buffer
    /// [default: a quarter of what the control group and the machine have left]
    #[arg(long, value_name = "SIZE", env = "LOOPLINE_SERVE_MAX_MEMORY", value_parser = parse_size)]
    max_memory: Option<usize>,

    /// Allocate all memory at the start: what does not fit into it is refused, or its connection closed.
    /// Requires --max-connections
    #[arg(long, env = "LOOPLINE_SERVE_PREALLOCATE")]
    preallocate: bool,

    /// Maximum time to receive a whole frame, or off
    #[arg(long, value_name = "DUR", default_value = "30s", env = "LOOPLINE_SERVE_FRAME_TIMEOUT")]
    frame_timeout: Timeout,

    /// Close a connection on which no frame begins for this time, or off
    #[arg(long, value_name = "DUR", default_value = "off", env = "LOOPLINE_SERVE_IDLE_TIMEOUT")]
    idle_timeout: Timeout,

    /// Close a connection whose peer accepts no reply bytes for this time, or off
    #[arg(long, value_name = "DUR", default_value = "30s", env = "LOOPLINE_SERVE_WRITE_TIMEOUT")]
    write_timeout: Timeout,

    /// How long to wait at SIGTERM or SIGINT for frames that have begun; a second signal stops at
    /// once
    #[arg(long, value_name = "DUR", default_value = "10s", env = "LOOPLINE_SERVE_DRAIN_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    drain_timeout: Duration,

    /// Keep serving for this time at SIGTERM or SIGINT, before connections are drained: the health check of
    /// --metrics fails from the signal on
    #[arg(long, value_name = "DUR", default_value = "0s", env = "LOOPLINE_SERVE_DRAIN_DELAY")]
    #[arg(value_parser = parse_delay)]
    drain_delay: Duration,

    /// Serve metrics, a health check and a live page over HTTP; the host defaults to 127.0.0.1
    #[arg(long, value_name = "[HOST:]PORT", env = "LOOPLINE_SERVE_METRICS")]
    metrics: Option<HostPort>,

    /// Stack size of each thread with --model threads, 64KiB to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", env = "LOOPLINE_SERVE_THREAD_STACK")]
    #[arg(value_parser = parse_thread_stack)]
    thread_stack: usize,

    /// Maximum number of connections waiting to be accepted
    #[arg(long, value_name = "N", default_value = "4096", env = "LOOPLINE_SERVE_BACKLOG")]
    #[arg(value_parser = whole::<u16>(BACKLOGS))]
    backlog: u16,

    /// Allow several processes to listen on the same ports
    #[arg(long, env = "LOOPLINE_SERVE_REUSE_PORT")]
    reuse_port: bool,

    /// Expect a header of the PROXY protocol, version 1 or 2, at the beginning of each TCP connection
    #[arg(long, env = "LOOPLINE_SERVE_PROXY_PROTOCOL")]
    proxy_protocol: bool,

    /// Maximum number of sessions of each UDP endpoint
    #[arg(long, value_name = "N", default_value = "65536", env = "LOOPLINE_SERVE_MAX_SESSIONS")]
    #[arg(value_parser = at_least_one)]
    max_sessions: usize,

    /// Forget a UDP peer after this idle time
    #[arg(long, value_name = "DUR", default_value = "5m", env = "LOOPLINE_SERVE_SESSION_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    session_timeout: Duration,

    /// Replies per second to the UDP peers of one network (/24 or /64), or off [default: 200 on
    /// endpoints that are not bound to loopback]
    #[arg(long, value_name = "N|off", env = "LOOPLINE_SERVE_UDP_REPLIES", value_parser = parse_reply_limit)]
    udp_replies: Option<ReplyLimit>,

    /// Confine the process, once it has started, to the files and system calls that it needs: as far as
    /// the kernel can (auto), or else not start (on)
    #[arg(long, default_value = "auto", env = "LOOPLINE_SERVE_SANDBOX", value_parser = one_of(SANDBOXES))]
    sandbox: Sandbox,

    /// Run as this user, with a name or a number, once the ports are bound and the journal is open
    #[arg(long, value_name = "USER[:GROUP]", env = "LOOPLINE_SERVE_USER")]
    user: Option<String>,
}

impl From<ServeArguments> for ServeOptions {
    fn from(arguments: ServeArguments) -> Self {
        let defaults = Self::default();
        Self {
            endpoints: arguments.endpoints,
            proxy_protocol: arguments.proxy_protocol,
            model: arguments.model,
            journal: JournalTarget::from(arguments.journal.as_str()),
            journal_format: arguments.journal_format,
            ack: arguments.ack,
            connections_max: arguments.max_connections,
            message_bytes_max: arguments.max_message,
            memory_bytes_max: arguments.max_memory,
            preallocate: arguments.preallocate,
            thread_stack_bytes: arguments.thread_stack,
            limits: Limits {
                connections_per_source_max: arguments.max_per_source,
                frame_timeout: arguments.frame_timeout.0,
                idle_timeout: arguments.idle_timeout.0,
                write_timeout: arguments.write_timeout.0,
                drain_delay: arguments.drain_delay,
                drain_timeout: arguments.drain_timeout,
                sessions_max: arguments.max_sessions,
                session_timeout: arguments.session_timeout,
                udp_replies: arguments.udp_replies.unwrap_or(defaults.limits.udp_replies),
                ..defaults.limits
            },
            sockets: SocketOptions {
                backlog: arguments.backlog,
                reuse_port: arguments.reuse_port,
                ..SocketOptions::default()
            },
            metrics: arguments.metrics,
            sandbox: arguments.sandbox,
            user: arguments.user,
        }
    }
}

/// Describes endpoints, and lists the services.
pub(super) fn endpoint_help() -> String {
    let mut help = String::from(
        "An endpoint is SERVICE[=[HOST:]PORT], for example message, message=9999, message=0.0.0.0:9999, \
         month=[::1]:8091. HOST defaults to 127.0.0.1; port 0 selects a free port. serve has SERVICE+proxy for \
         connections that begin with a header of the PROXY protocol. Services and default ports:",
    );
    for service in ALL {
        let (name, transport, port) = (service.name, service.transport(), service.default_port);
        let _ = write!(help, "\n  {name:<8}  {transport} {port:5}  {}", service.summary());
    }
    help
}

const SERVE_STATUS: &str = "\n
Exit status: 0 a signal stopped it; 1 it could not start, or failed; 2 usage error; 74 the journal can no \
longer be written.";

/// Parses the name of one of `values`.
fn one_of<T, const N: usize>(values: [(&'static str, T); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |given| {
        let named = values.iter().find(|(name, _)| *name == given);
        named.expect("clap accepts only these names").1
    })
}
