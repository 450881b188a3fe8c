//! The arguments of the minimal build, which is `serve` alone: by `lexopt`, with the same options, values
//! and environment as the whole program has, and a log of forty lines.

use std::io::Write;
use std::process::ExitCode;

use crate::journal::Ack;
use crate::server;
use crate::server::options::{JournalTo, Model, ServeOptions, parse_thread_stack};
use crate::service::endpoint::Endpoint;
use crate::units::{Timeout, parse_duration, parse_size};

const HELP: &str = "\
Usage: loopline serve [OPTIONS] [ENDPOINT]...

An endpoint is SERVICE[=[HOST:]PORT]; services are message, greeting, daytime, reply and month.
Without any, all five are served on loopback.

      --model loop              the event loop is the only one in this build
      --journal -|FILE|none     where messages are recorded [default: -, standard output]
      --ack received|written|synced
      --max-connections N
      --max-message SIZE        [default: 1MiB]
      --frame-timeout DUR       [default: 30s]
      --idle-timeout DUR        [default: off]
      --write-timeout DUR       [default: 30s]
      --drain-timeout DUR       [default: 10s]
      --thread-stack SIZE       [default: 64KiB]
      --backlog N               [default: 4096]
      --reuse-port
      --max-sessions N          [default: 65536]
      --session-timeout DUR     [default: 5m]
      --log LEVEL               off, error, warn, info, debug or trace [default: info]
  -h, --help
  -V, --version
Each option can be given by environment too, as in LOOPLINE_MAX_CONNECTIONS.
";

const OPTIONS: [&str; 15] = [
    "model",
    "journal",
    "ack",
    "max-connections",
    "max-message",
    "frame-timeout",
    "idle-timeout",
    "write-timeout",
    "drain-timeout",
    "thread-stack",
    "backlog",
    "reuse-port",
    "max-sessions",
    "session-timeout",
    "log",
];

/// Runs the program with the arguments it was started with. Wrong usage ends it with status 2.
#[must_use]
pub fn run() -> ExitCode {
    let environment = OPTIONS.into_iter().filter_map(|option| {
        let name = format!("LOOPLINE_{}", option.to_ascii_uppercase().replace('-', "_"));
        Some((option, std::env::var(name).ok()?))
    });
    match parse(environment, lexopt::Parser::from_env()) {
        Ok(Asked::Serve(options, level)) => {
            start_log(level);
            match server::serve(*options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => end(&error, error.exit_status()),
            }
        }
        Ok(Asked::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => end(&format_args!("{error}\n\nFor more information, try '--help'."), 2),
    }
}

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Asked {
    /// To serve, logging lines of the level and above.
    Serve(Box<ServeOptions>, log::LevelFilter),
    /// To print this.
    Print(String),
}

/// Reads the arguments, after what the environment has set.
///
/// # Errors
/// What is wrong with them, in a line.
pub(super) fn parse<'a>(
    environment: impl Iterator<Item = (&'a str, String)>,
    mut parser: lexopt::Parser,
) -> Result<Asked, lexopt::Error> {
    use lexopt::{Arg, ValueExt};
    let mut options = ServeOptions::default();
    let mut level = log::LevelFilter::Info;
    for (option, value) in environment {
        set(&mut options, &mut level, option, &value)?;
    }
    let mut endpoints = Vec::new();
    let mut command = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Print(HELP.into())),
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Asked::Print(concat!("loopline ", env!("CARGO_PKG_VERSION"), "\n").into()));
            }
            Arg::Long("reuse-port") => options.sockets.reuse_port = true,
            Arg::Long(name) => {
                let Some(option) = OPTIONS.into_iter().find(|option| *option == name) else {
                    return Err(argument.unexpected());
                };
                let value = parser.value()?.string()?;
                set(&mut options, &mut level, option, &value)?;
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
        Some(other) => return Err(format!("unrecognized subcommand '{other}', this build has serve").into()),
        None => return Err("a subcommand is required: serve".into()),
    }
    if !endpoints.is_empty() {
        options.endpoints = endpoints;
    }
    Ok(Asked::Serve(Box::new(options), level))
}

fn set(
    options: &mut ServeOptions,
    level: &mut log::LevelFilter,
    option: &str,
    value: &str,
) -> Result<(), String> {
    let outcome = (|| -> Result<(), String> {
        let limits = &mut options.limits;
        match option {
            "model" => options.model = one_of(value, &[("loop", Model::Loop), ("threads", Model::Threads)])?,
            "journal" => options.journal = JournalTo::from(value),
            "ack" => {
                let acks = [("received", Ack::Received), ("written", Ack::Written), ("synced", Ack::Synced)];
                options.ack = one_of(value, &acks)?;
            }
            "max-connections" => options.connections_max = Some(at_least_one(value)?),
            "max-message" => options.message_bytes_max = parse_size(value)?,
            "frame-timeout" => limits.frame_timeout = value.parse::<Timeout>()?.0,
            "idle-timeout" => limits.idle_timeout = value.parse::<Timeout>()?.0,
            "write-timeout" => limits.write_timeout = value.parse::<Timeout>()?.0,
            "drain-timeout" => limits.drain_timeout = parse_duration(value)?,
            "thread-stack" => options.thread_stack_bytes = parse_thread_stack(value)?,
            "backlog" => {
                let backlog = at_least_one(value)?;
                options.sockets.backlog =
                    u16::try_from(backlog).map_err(|_| "it must be at most 65535".to_string())?;
            }
            "reuse-port" => options.sockets.reuse_port = one_of(value, &[("true", true), ("false", false)])?,
            "max-sessions" => limits.sessions_max = at_least_one(value)?,
            "session-timeout" => limits.session_timeout = parse_duration(value)?,
            _ => {
                *level = value.parse().map_err(|_| "expected off, error, warn, info, debug or trace")?;
            }
        }
        Ok(())
    })();
    outcome.map_err(|error| invalid(value, &format!("--{option}"), &error))
}

fn invalid(value: &str, what: &str, error: &str) -> String {
    format!("invalid value '{value}' for '{what}': {error}")
}

fn one_of<T: Copy>(value: &str, values: &[(&str, T)]) -> Result<T, String> {
    let found = values.iter().find(|(name, _)| *name == value);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".into()),
    }
}

fn end(error: &dyn std::fmt::Display, status: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "loopline: {error}");
    ExitCode::from(status)
}

/// Lines of the log, as they come.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // One write a line. Whether it was taken is of no interest to whoever logs.
        let line = format!("{:<5} {}\n", record.level(), record.args());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

fn start_log(level: log::LevelFilter) {
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}
