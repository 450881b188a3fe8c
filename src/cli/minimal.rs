//! The command line of the minimal build, which has `serve` alone, parsed by `lexopt`.
//!
//! Options, values and environment variables are those of the full build.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::cli::lines::print_error;
use crate::cli::{
    ACKS, BACKLOGS, FORMATS, MODELS, SANDBOXES, at_least_one, plain_logger, warn_of_former_variable, whole,
};
use crate::journal::target::JournalTarget;
use crate::server;
use crate::server::options::{ServeOptions, parse_message_limit, parse_reply_limit, parse_thread_stack};
use crate::service;
use crate::service::endpoint::Endpoint;
use crate::units::{Timeout, parse_delay, parse_duration, parse_size};

const HELP: &str = "\
Usage: loopline serve [OPTIONS] [ENDPOINT]...

An endpoint is SERVICE[=[HOST:]PORT]. Without endpoints, all services are served on their default ports, on
loopback.

      --model loop              use one event loop; this build has no other model
      --journal -|FILE|none     journal to standard output, to a file, or not at all [default: -]
      --journal-format text     write lines of text; this build has no other format
      --ack WHEN                acknowledge when received, written or synced [default: written]
      --max-connections N       maximum number of open connections
      --max-per-source N        maximum number of open connections of an IPv4 address or IPv6 /64
      --max-message SIZE        maximum size of a message [default: 1MiB]
      --max-memory SIZE         maximum memory for bytes that wait [default: a quarter of the available memory]
      --preallocate             allocate all memory at the start; requires --max-connections
      --frame-timeout DUR       maximum time to receive a whole frame [default: 30s]
      --idle-timeout DUR        maximum time between frames [default: off]
      --write-timeout DUR       maximum time a peer accepts no reply bytes [default: 30s]
      --drain-timeout DUR       maximum time to finish frames when stopping [default: 10s]
      --drain-delay DUR         keep serving for this time before that [default: 0s]
      --metrics [HOST:]PORT     this build has no metrics
      --thread-stack SIZE       accepted for compatibility with the full build [default: 64KiB]
      --backlog N               maximum number of connections waiting to be accepted [default: 4096]
      --reuse-port              allow several processes to listen on the same ports
      --proxy-protocol          this build has no PROXY protocol
      --max-sessions N          maximum number of sessions of each UDP endpoint [default: 65536]
      --session-timeout DUR     forget a UDP peer after this idle time [default: 5m]
      --udp-replies N|off       replies per second to the UDP peers of one network [default: 200, on loopback off]
      --sandbox auto|off        this build has no sandbox
      --user USER[:GROUP]       this build cannot change its user
      --log LEVEL               off, error, warn, info, debug or trace [default: info]
  -h, --help
  -V, --version
DUR is 250ms, 30s, 5m or a number of seconds; timeouts can be off. SIZE is 512, 64KiB or 1MiB.
Each option has an environment variable, for example LOOPLINE_SERVE_MAX_CONNECTIONS; that of --log is LOOPLINE_LOG.
Exit status: 1 it could not start, or failed; 2 usage error; 74 the journal can no longer be written.
";

/// The options with a value or an environment variable: each begins a line of the help.
fn option_names() -> impl Iterator<Item = &'static str> {
    HELP.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split(' ').next())
}

/// Runs the program with the arguments of the process. A usage error exits with status 2.
#[must_use]
pub fn run() -> ExitCode {
    let environment = option_names().filter_map(|option| Some((option, std::env::var_os(variable(option))?)));
    match parse(environment, lexopt::Parser::from_env()) {
        Ok(Command::Serve(options, level)) => {
            plain_logger::init(level);
            option_names().for_each(|option| warn_of_former_variable(&variable(option)));
            match server::serve(&options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, error.exit_status()),
            }
        }
        Ok(Command::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format_args!("{error}\n\nFor more information, try '--help'."), 2),
    }
}

/// The environment variable of an option.
pub(super) fn variable(option: &str) -> String {
    let command = if option == "log" { "" } else { "SERVE_" };
    format!("LOOPLINE_{command}{}", option.to_ascii_uppercase().replace('-', "_"))
}

#[derive(Debug)]
pub(super) enum Command {
    /// Serve with these options, and log lines of this level and above.
    Serve(Box<ServeOptions>, log::LevelFilter),
    /// Print this text: the help or the version.
    Print(String),
}

/// Parses the arguments. They take precedence over `environment`, which is a list of options and values.
///
/// # Errors
/// The message that the user sees, in one line.
pub(super) fn parse<'a>(
    environment: impl Iterator<Item = (&'a str, OsString)>,
    mut parser: lexopt::Parser,
) -> Result<Command, lexopt::Error> {
    use lexopt::{Arg, ValueExt};
    let mut options = ServeOptions::default();
    let mut level = log::LevelFilter::Info;
    for (option, value) in environment {
        let (variable, value) = (variable(option), value.string()?);
        set_option(&mut options, &mut level, option, &value)
            .map_err(|error| invalid(&value, &variable, &error))?;
    }
    let mut endpoints = Vec::new();
    let mut command = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                return Ok(Command::Print(format!("{HELP}Services: {}.\n", service::names())));
            }
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Command::Print(concat!("loopline ", env!("CARGO_PKG_VERSION"), "\n").into()));
            }
            Arg::Long("reuse-port") => options.sockets.reuse_port = true,
            Arg::Long("proxy-protocol") => options.proxy_protocol = true,
            Arg::Long("preallocate") => options.preallocate = true,
            Arg::Long(name) => {
                let Some(option) = option_names().find(|option| *option == name) else {
                    return Err(argument.unexpected());
                };
                let value = parser.value()?.string()?;
                set_option(&mut options, &mut level, option, &value)
                    .map_err(|error| invalid(&value, &format!("--{option}"), &error))?;
            }
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Value(value) => {
                let value = value.string()?;
                let endpoint = value.parse::<Endpoint>();
                endpoints.push(endpoint.map_err(|error| invalid(&value, "ENDPOINT", &error))?);
            }
            Arg::Short(_) => return Err(argument.unexpected()),
        }
    }
    match command.as_deref() {
        Some("serve") => {}
        Some(other) => {
            return Err(format!("unrecognized subcommand '{other}', this build has serve only").into());
        }
        None => return Err("a subcommand is required: serve".into()),
    }
    options.endpoints = endpoints;
    options.check()?;
    Ok(Command::Serve(Box::new(options), level))
}

fn set_option(
    options: &mut ServeOptions,
    level: &mut log::LevelFilter,
    option: &str,
    value: &str,
) -> Result<(), String> {
    let limits = &mut options.limits;
    match option {
        "model" => options.model = one_of(value, &MODELS)?,
        "journal" => options.journal = JournalTarget::from(value),
        "journal-format" => options.journal_format = one_of(value, &FORMATS)?,
        "ack" => options.ack = one_of(value, &ACKS)?,
        "max-connections" => options.connections_max = Some(at_least_one(value)?),
        "max-per-source" => limits.connections_per_source_max = Some(at_least_one(value)?),
        "max-message" => options.message_bytes_max = parse_message_limit(value)?,
        "max-memory" => options.memory_bytes_max = Some(parse_size(value)?),
        "preallocate" => options.preallocate = one_of(value, &BOOLEANS)?,
        "frame-timeout" => limits.frame_timeout = value.parse::<Timeout>()?.0,
        "idle-timeout" => limits.idle_timeout = value.parse::<Timeout>()?.0,
        "write-timeout" => limits.write_timeout = value.parse::<Timeout>()?.0,
        "drain-timeout" => limits.drain_timeout = parse_duration(value)?,
        "drain-delay" => limits.drain_delay = parse_delay(value)?,
        "metrics" => options.metrics = Some(value.parse()?),
        "thread-stack" => options.thread_stack_bytes = parse_thread_stack(value)?,
        "backlog" => {
            options.sockets.backlog = whole(BACKLOGS)(value)?;
        }
        "reuse-port" => options.sockets.reuse_port = one_of(value, &BOOLEANS)?,
        "proxy-protocol" => options.proxy_protocol = one_of(value, &BOOLEANS)?,
        "max-sessions" => limits.sessions_max = at_least_one(value)?,
        "udp-replies" => limits.udp_replies = parse_reply_limit(value)?,
        "session-timeout" => limits.session_timeout = parse_duration(value)?,
        "sandbox" => options.sandbox = one_of(value, &SANDBOXES)?,
        "user" => options.user = Some(value.into()),
        _ => {
            *level = value.parse().map_err(|_| "expected off, error, warn, info, debug or trace")?;
        }
    }
    Ok(())
}

fn invalid(value: &str, argument: &str, error: &str) -> String {
    format!("invalid value '{value}' for '{argument}': {error}")
}

const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

fn one_of<T: Copy>(value: &str, values: &[(&str, T)]) -> Result<T, String> {
    let found = values.iter().find(|(name, _)| *name == value);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn fail(error: &dyn std::fmt::Display, status: u8) -> ExitCode {
    print_error(error);
    ExitCode::from(status)
}
