//! The command line of the full build, parsed by `clap`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::cli::lines::print_error;
use crate::cli::serve::{ServeArguments, endpoint_help};
use crate::cli::{
    ServiceNames, UNITS, USAGE_STATUS, at_least_one, compare, environment, generate, journal, load, logger,
    warn_of_former_variable, whole,
};
use crate::client;
use crate::compare::guard;
use crate::doctor;
use crate::server;
use crate::server::options::ServeOptions;
use crate::service::endpoint::Endpoint;
use crate::units::parse_duration;

/// A single-threaded TCP and UDP server, with a client, a load generator and diagnostics
#[derive(Debug, Parser)]
#[command(
    name = "loopline",
    version,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND",
    max_term_width = 100
)]
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
    /// Read a journal
    Journal(journal::JournalArguments),
    /// Write manual pages, or print completions for a shell
    #[command(hide = true)]
    Generate(generate::GenerateArguments),
    /// Kill the process group of this process when standard input ends, for compare
    #[command(name = guard::NAME, hide = true)]
    Guard,
}

const CLIENT_STATUS: &str = "\n
A TEXT that is the farewell of its service ('Disconnect !' for message, the number 0 for month) ends the \
conversation. Later texts are not sent; they are reported, and the exit status is 1.\n
With --retry, each text is sent at least once and in order. A server can have recorded a text whose acknowledgement was \
lost: it then records the text twice. A reply starts DUR anew, and an attempt takes at most --timeout to connect and as \
long for the reply. What a server refuses is not sent again.\n
Exit status: 0 every text was sent and every reply received; 1 it failed; 2 usage error.";

#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{UNITS}{CLIENT_STATUS}", endpoint_help()))]
struct ClientArguments {
    /// Endpoint to connect to
    #[arg(value_name = "ENDPOINT", value_parser = ServiceNames(Endpoint::parse_target), hide_possible_values = true)]
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

    /// After a connection is refused, lost or silent, connect again and send again what has no reply, for up to DUR
    /// from the first failure [default of DUR: 1m]
    #[arg(long, value_name = "DUR", num_args = 0..=1, require_equals = true, default_missing_value = "1m")]
    #[arg(env = "LOOPLINE_CLIENT_RETRY", value_parser = parse_duration)]
    retry: Option<Duration>,
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
    let status = run_command(command, matches);
    if status == ExitCode::from(USAGE_STATUS) {
        let used = environment::used_variables(subcommand, matches);
        if !used.is_empty() {
            print_error(&format_args!("options set by the environment: {}", used.join(", ")));
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

/// Runs `command`, whose arguments are also `matches`.
fn run_command(command: Command, matches: &ArgMatches) -> ExitCode {
    let (error, status) = match command {
        Command::Serve(arguments) => {
            let options = ServeOptions::from(arguments);
            match options.check().map(|()| server::serve(&options)) {
                Ok(Ok(())) => return ExitCode::SUCCESS,
                Ok(Err(error)) => (error.to_string(), error.exit_status()),
                Err(error) => (error, USAGE_STATUS),
            }
        }
        Command::Client(ClientArguments { endpoint, texts, timeout, retries, retry }) => {
            match client::run(&client::Options { endpoint, texts, timeout, retries, retry }) {
                Ok(()) => return ExitCode::SUCCESS,
                // The reader has closed standard output: an error message would be noise.
                Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
                Err(error) => (error.to_string(), if error.is_usage() { USAGE_STATUS } else { 1 }),
            }
        }
        Command::Load(arguments) => return load::run(&arguments, matches),
        Command::Journal(arguments) => return journal::run(&arguments),
        Command::Generate(arguments) => match generate::run(&arguments, program()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) if error.is_reader_gone() => return ExitCode::FAILURE,
            Err(error) => (error.to_string(), 1),
        },
        Command::Guard => {
            guard::run();
            return ExitCode::SUCCESS;
        }
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
    print_error(&error);
    ExitCode::from(status)
}

/// The program as `clap` sees it.
pub(super) fn program() -> clap::Command {
    Arguments::command().mut_subcommands(|command| command.mut_args(with_negative_values))
}

/// Parses arguments after the name of the program, and discards the result.
#[cfg(fuzzing)]
pub fn parse_arguments<'a>(arguments: impl Iterator<Item = &'a str>) {
    let _ = program().try_get_matches_from(std::iter::once("loopline").chain(arguments));
}

/// Makes `-1` an invalid value of an option that takes a number, not an unknown option.
fn with_negative_values(option: Arg) -> Arg {
    let kinds = option.get_value_names().unwrap_or_default();
    let numbers = ["N", "N[,…]", "N|off", "N|STAGES", "DUR", "SIZE", "[HOST:]PORT"];
    let takes_number = kinds.first().is_some_and(|kind| numbers.contains(&kind.as_str()));
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
