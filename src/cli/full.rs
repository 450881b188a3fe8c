//! The arguments of the whole program, by `clap`, and what is done with them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use log::LevelFilter;

use crate::cli::logger;
use crate::cli::{compare, load};
use crate::client;
use crate::doctor;
use crate::journal::Ack;
use crate::limits::Limits;
use crate::net::sockets::SocketOptions;
use crate::server;
use crate::server::options::{JournalTo, Model, ServeOptions, parse_thread_stack};
use crate::service::endpoint::Endpoint;
use crate::units::{Timeout, parse_duration, parse_size};

/// Serve very many TCP and UDP clients from one thread, and talk to them.
#[derive(Debug, Parser)]
#[command(name = "loopline", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = ENDPOINT_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Log this and above, to standard error
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "LOOPLINE_LOG")]
    #[arg(display_order = LAST)]
    #[arg(value_parser = PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .map(|level| level.parse::<LevelFilter>().expect("it is one of the levels")))]
    log: LevelFilter,
}

/// Where `--log` stands in the help: behind what a sub-command has of its own.
const LAST: usize = 500;

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve endpoints until SIGINT or SIGTERM
    Serve(ServeArguments),
    /// Talk to an endpoint: replies go to standard output, one a line
    Client(ClientArguments),
    /// Drive a server with very many connections, and measure
    Load(Box<load::LoadArguments>),
    /// Compare the event loop with a thread per connection on this machine
    Compare(Box<compare::CompareArguments>),
    /// Tell how many connections this machine can serve and drive, and which limit binds first
    Doctor(DoctorArguments),
}

const ENDPOINT_HELP: &str = "\
An endpoint is SERVICE[=[HOST:]PORT], for example message, message=9999, message=0.0.0.0:9999, \
month=[::1]:8091. The host is 127.0.0.1 unless given; port 0 takes a free one. Services and ports:
  message   tcp  9999  framed messages, each recorded and acknowledged
  greeting  tcp 12345  one greeting to whoever connects
  daytime   tcp  9998  the local date and time
  reply     tcp  8080  one request, one reply
  month     udp  8091  month names for the numbers 1 to 12";

#[derive(Debug, Args)]
#[command(after_help = ENDPOINT_HELP)]
struct ServeArguments {
    /// What to serve where [default: all five services on their ports, on loopback]
    #[arg(value_name = "ENDPOINT")]
    endpoints: Vec<Endpoint>,

    /// One event loop for all connections, or a thread for each
    #[arg(long, value_enum, default_value = "loop", env = "LOOPLINE_MODEL")]
    model: ModelArgument,

    /// Where messages are recorded: '-' is standard output, a file is appended to, 'none' is nowhere
    #[arg(long, value_name = "-|FILE|none", default_value = "-", env = "LOOPLINE_JOURNAL")]
    #[arg(allow_hyphen_values = true)]
    journal: String,

    /// When a message is acknowledged: at once, after the write that records it, or after that has
    /// reached the disk
    #[arg(long, value_enum, default_value = "written", env = "LOOPLINE_ACK")]
    ack: AckArgument,

    /// Connections served at once [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", env = "LOOPLINE_MAX_CONNECTIONS", value_parser = at_least_one)]
    max_connections: Option<usize>,

    /// Bytes of the longest message, as in 64KiB or 1MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB", env = "LOOPLINE_MAX_MESSAGE")]
    #[arg(value_parser = parse_size)]
    max_message: usize,

    /// A frame must be whole so long after its first byte, as in 250ms, 30s, 5m or off
    #[arg(long, value_name = "DUR", default_value = "30s", env = "LOOPLINE_FRAME_TIMEOUT")]
    frame_timeout: Timeout,

    /// A peer that begins no frame for so long is dropped; off holds it for ever
    #[arg(long, value_name = "DUR", default_value = "off", env = "LOOPLINE_IDLE_TIMEOUT")]
    idle_timeout: Timeout,

    /// A peer that takes nothing of its answers for so long is dropped, or off
    #[arg(long, value_name = "DUR", default_value = "30s", env = "LOOPLINE_WRITE_TIMEOUT")]
    write_timeout: Timeout,

    /// At SIGTERM or SIGINT, for frames that have begun; a second signal stops at once
    #[arg(long, value_name = "DUR", default_value = "10s", env = "LOOPLINE_DRAIN_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    drain_timeout: Duration,

    /// With a thread for each connection, the stack of each, 64KiB or more
    #[arg(long, value_name = "SIZE", default_value = "64KiB", env = "LOOPLINE_THREAD_STACK")]
    #[arg(value_parser = parse_thread_stack)]
    thread_stack: usize,

    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value = "4096", env = "LOOPLINE_BACKLOG")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    backlog: u16,

    /// Let several processes share the ports
    #[arg(long, env = "LOOPLINE_REUSE_PORT")]
    reuse_port: bool,

    /// Sessions of each udp endpoint
    #[arg(long, value_name = "N", default_value = "65536", env = "LOOPLINE_MAX_SESSIONS")]
    #[arg(value_parser = at_least_one)]
    max_sessions: usize,

    /// After which a udp peer that sends nothing is forgotten
    #[arg(long, value_name = "DUR", default_value = "5m", env = "LOOPLINE_SESSION_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    session_timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModelArgument {
    Loop,
    Threads,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AckArgument {
    Received,
    Written,
    Synced,
}

#[derive(Debug, Args)]
#[command(after_help = ENDPOINT_HELP)]
struct ClientArguments {
    /// Whom to talk to
    #[arg(value_name = "ENDPOINT")]
    endpoint: Endpoint,

    /// What to say, one message each; greeting and daytime take none [default: lines of standard input]
    #[arg(value_name = "TEXT", allow_negative_numbers = true)]
    texts: Vec<String>,

    /// For connecting, and for each reply
    #[arg(long, value_name = "DUR", default_value = "10s", env = "LOOPLINE_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    timeout: Duration,

    /// How often a datagram without an answer is sent again
    #[arg(long, value_name = "N", default_value = "3", env = "LOOPLINE_RETRIES")]
    retries: u32,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
struct DoctorArguments {
    /// Tell whether so many fit, and the commands that make them fit
    #[arg(short, long, value_name = "N", env = "LOOPLINE_CONNECTIONS", value_parser = at_least_one)]
    connections: Option<usize>,

    /// Write the result as JSON: to a file, or '-' for standard output instead of the text
    #[arg(long, value_name = "FILE|-", env = "LOOPLINE_JSON", allow_hyphen_values = true)]
    json: Option<PathBuf>,
}

const DOCTOR_HELP: &str = "\
Exit status: 0 the connections asked for fit, or none were; 1 they cannot all be served, or driven on \
loopback; 2 wrong usage. It changes nothing: the commands are for you to run.";

/// Runs the program with the arguments it was started with. Wrong usage ends it with status 2.
#[must_use]
pub fn run() -> ExitCode {
    let Arguments { command, log } = Arguments::parse();
    logger::start(log);
    let (error, status) = match command {
        Command::Serve(arguments) => match server::serve(arguments.into()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (error.to_string(), error.exit_status()),
        },
        Command::Client(ClientArguments { endpoint, texts, timeout, retries }) => {
            match client::run(&client::Options { endpoint, texts, timeout, retries }) {
                Ok(()) => return ExitCode::SUCCESS,
                // Whoever reads the replies has seen enough.
                Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
                Err(error) => (error.to_string(), if error.is_usage() { 2 } else { 1 }),
            }
        }
        Command::Load(arguments) => return load::run(&arguments),
        Command::Compare(arguments) => match compare::run(*arguments) {
            Ok(status) => return ExitCode::from(status),
            Err(failed) => failed,
        },
        Command::Doctor(DoctorArguments { connections, json }) => {
            match doctor::run(&doctor::Options { connections, json }) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
                Err(error) => (error.to_string(), 1),
            }
        }
    };
    logger::last_words(&error);
    ExitCode::from(status)
}

/// What `loopline serve` followed by `arguments` asks for, the environment apart.
///
/// # Errors
/// What is wrong with them, as it is told to the user.
#[cfg(test)]
pub(super) fn serve_options(arguments: &[&str]) -> Result<ServeOptions, String> {
    let arguments = ["loopline", "serve"].iter().chain(arguments);
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command: Command::Serve(arguments), .. }) => Ok(arguments.into()),
        Ok(_) => unreachable!("the command is serve"),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".into()),
    }
}

impl From<ServeArguments> for ServeOptions {
    fn from(arguments: ServeArguments) -> Self {
        let defaults = Self::default();
        Self {
            endpoints: if arguments.endpoints.is_empty() { defaults.endpoints } else { arguments.endpoints },
            model: match arguments.model {
                ModelArgument::Loop => Model::Loop,
                ModelArgument::Threads => Model::Threads,
            },
            journal: JournalTo::from(arguments.journal.as_str()),
            ack: match arguments.ack {
                AckArgument::Received => Ack::Received,
                AckArgument::Written => Ack::Written,
                AckArgument::Synced => Ack::Synced,
            },
            connections_max: arguments.max_connections,
            message_bytes_max: arguments.max_message,
            thread_stack_bytes: arguments.thread_stack,
            limits: Limits {
                frame_timeout: arguments.frame_timeout.0,
                idle_timeout: arguments.idle_timeout.0,
                write_timeout: arguments.write_timeout.0,
                drain_timeout: arguments.drain_timeout,
                sessions_max: arguments.max_sessions,
                session_timeout: arguments.session_timeout,
                ..defaults.limits
            },
            sockets: SocketOptions {
                backlog: arguments.backlog,
                reuse_port: arguments.reuse_port,
                ..SocketOptions::default()
            },
        }
    }
}
