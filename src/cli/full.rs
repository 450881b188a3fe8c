//! The command line of the full build, parsed by `clap`.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::cli::{
    ACKS, BACKLOGS, MODELS, UNITS, at_least_one, compare, environment, load, logger, warn_of_former_variable,
    whole,
};
use crate::client;
use crate::doctor;
use crate::journal::Ack;
use crate::journal::sink::JournalTarget;
use crate::limits::Limits;
use crate::net::sockets::SocketOptions;
use crate::server;
use crate::server::options::{Model, ServeOptions, parse_message_limit, parse_thread_stack};
use crate::service::ALL;
use crate::service::endpoint::Endpoint;
use crate::units::{Timeout, parse_duration};

/// A single-threaded TCP and UDP server, with a client, a load generator and diagnostics
#[derive(Debug, Parser)]
#[command(name = "loopline", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = endpoint_help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Log messages of this level and above to standard error
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "LOOPLINE_LOG")]
    #[arg(display_order = LAST_DISPLAY_ORDER)]
    #[arg(value_parser = PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .map(|level| level.parse::<LevelFilter>().expect("clap accepts only levels")))]
    log: LevelFilter,
}

/// Lists `--log` after the options of the sub-command.
const LAST_DISPLAY_ORDER: usize = 500;

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve endpoints until SIGINT or SIGTERM
    Serve(ServeArguments),
    /// Send messages to an endpoint and print the replies, one per line
    Client(ClientArguments),
    /// Generate load on a server and measure how it responds
    Load(Box<load::LoadArguments>),
    /// Compare the event loop with a thread per connection on this machine
    Compare(Box<compare::CompareArguments>),
    /// Report how many connections this machine can serve and drive, and which limit binds first
    Doctor(DoctorArguments),
}

fn endpoint_help() -> String {
    let mut help = String::from(
        "An endpoint is SERVICE[=[HOST:]PORT], for example message, message=9999, message=0.0.0.0:9999, \
         month=[::1]:8091. HOST defaults to 127.0.0.1; port 0 selects a free port. Services and default ports:",
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

const CLIENT_STATUS: &str = "\n
A TEXT that is the farewell of its service ('Disconnect !' for message, the number 0 for month) ends the \
conversation. Later texts are not sent; they are reported, and the exit status is 1.\n
Exit status: 0 every text was sent and every reply received; 1 it failed; 2 usage error.";

#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{UNITS}{SERVE_STATUS}", endpoint_help()))]
struct ServeArguments {
    /// Endpoints to serve [default: all services on their default ports, on loopback]
    #[arg(value_name = "ENDPOINT")]
    endpoints: Vec<Endpoint>,

    /// Use one event loop for all connections, or a thread per connection
    #[arg(long, default_value = "loop", env = "LOOPLINE_SERVE_MODEL", value_parser = one_of(MODELS))]
    model: Model,

    /// Journal messages to standard output ('-'), to a file (appended to), or not at all ('none')
    #[arg(long, value_name = "-|FILE|none", default_value = "-", env = "LOOPLINE_SERVE_JOURNAL")]
    #[arg(allow_hyphen_values = true)]
    journal: String,

    /// Acknowledge a message on receipt, after it is written to the journal, or after it is synced
    /// to disk
    #[arg(long, default_value = "written", env = "LOOPLINE_SERVE_ACK", value_parser = one_of(ACKS))]
    ack: Ack,

    /// Maximum number of open connections [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", env = "LOOPLINE_SERVE_MAX_CONNECTIONS", value_parser = at_least_one)]
    max_connections: Option<usize>,

    /// Maximum size of a message, at least 12 bytes
    #[arg(long, value_name = "SIZE", default_value = "1MiB", env = "LOOPLINE_SERVE_MAX_MESSAGE")]
    #[arg(value_parser = parse_message_limit)]
    max_message: usize,

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

    /// Stack size of each thread with --model threads, at least 64KiB
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

    /// Maximum number of sessions of each UDP endpoint
    #[arg(long, value_name = "N", default_value = "65536", env = "LOOPLINE_SERVE_MAX_SESSIONS")]
    #[arg(value_parser = at_least_one)]
    max_sessions: usize,

    /// Forget a UDP peer after this idle time
    #[arg(long, value_name = "DUR", default_value = "5m", env = "LOOPLINE_SERVE_SESSION_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    session_timeout: Duration,
}

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

#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{UNITS}{CLIENT_STATUS}", endpoint_help()))]
struct ClientArguments {
    /// Endpoint to connect to
    #[arg(value_name = "ENDPOINT")]
    endpoint: Endpoint,

    /// Messages to send; greeting and daytime take none [default: lines of standard input]
    #[arg(value_name = "TEXT", allow_negative_numbers = true)]
    texts: Vec<String>,

    /// Maximum time to connect, and to wait for each reply
    #[arg(long, value_name = "DUR", default_value = "10s", env = "LOOPLINE_CLIENT_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    timeout: Duration,

    /// Maximum number of times a UDP request without a reply is resent
    #[arg(long, value_name = "N", default_value = "3", env = "LOOPLINE_CLIENT_RETRIES")]
    #[arg(value_parser = whole::<u32>(0..=u32::MAX.into()))]
    retries: u32,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
struct DoctorArguments {
    /// Check whether N connections fit, and print the commands that raise the limits
    #[arg(short, long, value_name = "N", env = "LOOPLINE_DOCTOR_CONNECTIONS", value_parser = at_least_one)]
    connections: Option<usize>,

    /// Write the result as JSON to a file, or to standard output ('-') instead of the text
    #[arg(long, value_name = "FILE|-", env = "LOOPLINE_DOCTOR_JSON", allow_hyphen_values = true)]
    json: Option<PathBuf>,
}

const DOCTOR_HELP: &str = "\
Exit status: 0 the connections fit, or --connections was not given; 1 they cannot all be served, or \
driven on loopback; 2 usage error. The commands are printed, not run.";

/// Runs the program with the arguments of the process. A usage error exits with status 2.
#[must_use]
pub fn run() -> ExitCode {
    let program = program();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = environment::parse(&program, &arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches).map(|arguments| (matches, arguments)));
    let (matches, Arguments { command, log }) = parsed.unwrap_or_else(|error| error.exit());
    logger::init(log);
    let Some((subcommand, matches)) = chosen(&program, &matches) else {
        unreachable!("clap requires a subcommand");
    };
    environment::variables(subcommand).for_each(warn_of_former_variable);
    let status = run_command(command);
    if status == ExitCode::from(USAGE_STATUS) {
        let used = environment::used_variables(subcommand, matches);
        if !used.is_empty() {
            logger::print_error(&format!("options set by the environment: {}", used.join(", ")));
        }
    }
    status
}

/// The chosen subcommand of `program`, and its arguments.
fn chosen<'a>(
    program: &'a clap::Command,
    matches: &'a ArgMatches,
) -> Option<(&'a clap::Command, &'a ArgMatches)> {
    let (name, matches) = matches.subcommand()?;
    Some((program.find_subcommand(name)?, matches))
}

/// Exit status of a usage error.
const USAGE_STATUS: u8 = 2;

fn run_command(command: Command) -> ExitCode {
    let (error, status) = match command {
        Command::Serve(arguments) => {
            let options = ServeOptions::from(arguments);
            match options.check().map(|()| server::serve(&options)) {
                Ok(Ok(())) => return ExitCode::SUCCESS,
                Ok(Err(error)) => (error.to_string(), error.exit_status()),
                Err(error) => (error, USAGE_STATUS),
            }
        }
        Command::Client(ClientArguments { endpoint, texts, timeout, retries }) => {
            match client::run(&client::Options { endpoint, texts, timeout, retries }) {
                Ok(()) => return ExitCode::SUCCESS,
                // The reader has closed standard output: an error message would be noise.
                Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
                Err(error) => (error.to_string(), if error.is_usage() { USAGE_STATUS } else { 1 }),
            }
        }
        Command::Load(arguments) => return load::run(&arguments),
        Command::Compare(arguments) => match compare::run(*arguments) {
            Ok(status) => return ExitCode::from(status),
            Err(failed) => failed,
        },
        Command::Doctor(DoctorArguments { connections, json }) => {
            match doctor::run(connections, json.as_deref()) {
                Ok(None) => return ExitCode::SUCCESS,
                Ok(Some(misfit)) => (misfit, 1),
                Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
                Err(error) => (error.to_string(), 1),
            }
        }
    };
    logger::print_error(&error);
    ExitCode::from(status)
}

/// The program as `clap` sees it.
pub(super) fn program() -> clap::Command {
    Arguments::command().mut_subcommands(|command| command.mut_args(with_negative_values))
}

/// Makes `-1` an invalid value of an option that takes a number, not an unknown option.
fn with_negative_values(option: Arg) -> Arg {
    let kinds = option.get_value_names().unwrap_or_default();
    let takes_number =
        kinds.first().is_some_and(|kind| ["N", "N[,…]", "DUR", "SIZE"].contains(&kind.as_str()));
    if takes_number { option.allow_hyphen_values(true) } else { option }
}

/// Parses `loopline serve` followed by `arguments`.
///
/// # Errors
/// The message that the user would see.
#[cfg(test)]
pub(super) fn serve_options(arguments: &[&str]) -> Result<ServeOptions, String> {
    let arguments = ["loopline", "serve"].iter().chain(arguments);
    let matches = program().try_get_matches_from(arguments).map_err(|error| error.to_string())?;
    let Ok(Arguments { command: Command::Serve(arguments), .. }) = Arguments::from_arg_matches(&matches)
    else {
        unreachable!("the command is serve")
    };
    let options = ServeOptions::from(arguments);
    options.check().map(|()| options)
}

impl From<ServeArguments> for ServeOptions {
    fn from(arguments: ServeArguments) -> Self {
        let defaults = Self::default();
        Self {
            endpoints: if arguments.endpoints.is_empty() { defaults.endpoints } else { arguments.endpoints },
            model: arguments.model,
            journal: JournalTarget::from(arguments.journal.as_str()),
            ack: arguments.ack,
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
