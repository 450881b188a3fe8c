//! The arguments of `load`.

mod exchange;
mod output;
mod progress;
mod search;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum};
use ipnet::IpNet;

use self::exchange::{BYTES, ExchangeArguments};
use self::output::Output;
use self::search::SearchArguments;
use crate::cli::lines::print_error;
use crate::cli::{ServiceNames, UNITS, USAGE_STATUS, whole};
use crate::load::options::{LoadOptions, parse_silences, parse_sources};
use crate::load::profile::{Amount, parse_amount};
use crate::load::schedule::Arrivals;
use crate::load::search::options::SearchOptions;
use crate::load::start_at::StartAt;
use crate::load::stats::threshold::{Threshold, metrics_help};
use crate::load::target::Target;
use crate::report::utc_time::UtcTime;
use crate::units::{parse_duration, parse_size};

#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub(super) struct LoadArguments {
    /// Service to connect to; tcp=[HOST:]PORT and udp=[HOST:]PORT send requests of your own to any server;
    /// hold=[HOST:]PORT only opens and holds connections to any TCP server
    #[arg(value_name = "ENDPOINT|tcp=…|udp=…|hold=…", required_unless_present = "merge")]
    #[arg(value_parser = ServiceNames(Target::from_str), hide_possible_values = true)]
    target: Option<Target>,

    /// Number of connections
    #[arg(short, long, value_name = "N", default_value = "50", env = "LOOPLINE_LOAD_CONNECTIONS")]
    #[arg(value_parser = whole::<u32>(1..=100_000_000))]
    connections: u32,

    /// How long to send messages, or to hold connections, once all are open
    /// [default: 10s; with stages of --rate or --active, their sum]
    #[arg(short, long, value_name = "DUR", env = "LOOPLINE_LOAD_DURATION")]
    #[arg(value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Messages per second over all connections, sent on schedule even if the server is slow (open loop)
    /// [default: each connection sends when it has received the reply (closed loop)]
    #[arg(short, long, value_name = STAGED, env = "LOOPLINE_LOAD_RATE")]
    #[arg(value_parser = amount(1))]
    rate: Option<Amount>,

    /// Open loop: intervals between messages, equal or as from many independent senders
    #[arg(long, value_enum, default_value = "uniform", env = "LOOPLINE_LOAD_ARRIVALS")]
    arrivals: ArrivalsArgument,

    /// Open loop: poll without waiting shortly before each message is due. Messages are sent on time, at the cost of
    /// CPU time [auto: on if more than one processor is available]
    #[arg(long, value_enum, default_value = "auto", env = "LOOPLINE_LOAD_SPIN")]
    spin: SpinArgument,

    /// Number of connections that send; the others stay open and idle [default: all]
    #[arg(long, value_name = STAGED, env = "LOOPLINE_LOAD_ACTIVE")]
    #[arg(value_parser = amount(0))]
    active: Option<Amount>,

    /// How often each connection that is not active sends a message, spread evenly over the connections
    /// [default: never]
    #[arg(long, value_name = "DUR", env = "LOOPLINE_LOAD_HEARTBEAT", value_parser = parse_duration)]
    heartbeat: Option<Duration>,

    /// Find idle timeouts on the way: connections in equal groups send a message, are silent for one of these times,
    /// send another one and await its reply; takes the longest time and at most twice --timeout
    #[arg(long, value_name = "DUR[,…]", env = "LOOPLINE_LOAD_IDLE_PROBE", value_parser = parse_silences)]
    idle_probe: Option<Silences>,

    /// Closed loop: messages in flight on a connection
    #[arg(long, value_name = "N", default_value = "1", env = "LOOPLINE_LOAD_PIPELINE")]
    #[arg(value_parser = whole::<u32>(1..=65_536))]
    pipeline: u32,

    /// Size of a message's body
    #[arg(long, value_name = "SIZE", default_value = "26", env = "LOOPLINE_LOAD_SIZE")]
    #[arg(value_parser = parse_size)]
    size: usize,

    /// Open a new connection for each message; always on for services that end the stream
    #[arg(long, env = "LOOPLINE_LOAD_ONE_SHOT")]
    one_shot: bool,

    /// Connections to open per second [default: as fast as they are accepted]
    #[arg(long, value_name = STAGED, env = "LOOPLINE_LOAD_OPEN_RATE")]
    #[arg(value_parser = amount(1))]
    open_rate: Option<Amount>,

    /// Local addresses and ranges to connect from [default: chosen by the system; on loopback, connections
    /// that exceed its ports are spread over 127.0.0.0/8]
    #[arg(long, value_name = "ADDR|CIDR[,…]", env = "LOOPLINE_LOAD_SOURCE")]
    #[arg(value_parser = parse_sources)]
    source: Option<Sources>,

    #[command(flatten)]
    search: SearchArguments,

    #[command(flatten)]
    exchange: ExchangeArguments,

    /// Start at TIME by the clock of this host, so that generators on several machines start together: a date and
    /// time with Z or an offset, as in 2026-11-22T18:00:00Z, or +DUR, which is that long after the program is started.
    /// A time that is over is an error [default: at once]
    #[arg(long, value_name = "TIME|+DUR", env = "LOOPLINE_LOAD_START_AT")]
    start_at: Option<StartAt>,

    /// How long to send messages before measuring [default: none]
    #[arg(long, value_name = "DUR", env = "LOOPLINE_LOAD_WARMUP")]
    #[arg(value_parser = parse_duration)]
    warmup: Option<Duration>,

    /// Maximum time to open a connection [default: 10s], or to wait for the answer to a datagram [default: 1s]; with
    /// --idle-probe, also to wait for a reply
    #[arg(long, value_name = "DUR", env = "LOOPLINE_LOAD_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// How long to wait for outstanding replies at the end
    #[arg(long, value_name = "DUR", default_value = "2s", env = "LOOPLINE_LOAD_DRAIN_TIMEOUT")]
    #[arg(value_parser = parse_duration)]
    drain_timeout: Duration,

    /// Write the result as an HTML page with plots
    #[arg(long, value_name = "FILE.html", env = "LOOPLINE_LOAD_REPORT", help_heading = RESULT)]
    report: Option<PathBuf>,

    /// Write the result as JSON to a file, or with '-' to standard output instead of the table
    #[arg(long, value_name = "FILE|-", env = "LOOPLINE_LOAD_JSON", allow_hyphen_values = true)]
    #[arg(help_heading = RESULT)]
    json: Option<PathBuf>,

    /// Write the latencies of each second as an HdrHistogram interval log (V2)
    #[arg(long, value_name = "FILE.hlog", env = "LOOPLINE_LOAD_HISTOGRAM", help_heading = RESULT)]
    histogram: Option<PathBuf>,

    /// Exit with status 3 if EXPR holds of the result, as in 'p99>5ms', 'errors>0' or 'rate<100000'; can be
    /// repeated; the metrics are listed below
    #[arg(long, value_name = "EXPR", env = "LOOPLINE_LOAD_FAIL_IF", value_delimiter = ',', help_heading = RESULT)]
    fail_if: Vec<Threshold>,

    /// Instead of a run, merge the results of several generators, as --json and --histogram write them, and print the
    /// sum; --json, --report, --histogram and --fail-if apply to it. A file that is missing, incomplete or of a
    /// killed run is named, and the exit status is 1. A log has times and no counts
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = RESULT)]
    #[arg(conflicts_with = "target")]
    merge: Vec<PathBuf>,
}

type Sources = Vec<IpNet>;
type Silences = Vec<Duration>;

const RESULT: &str = "Result";

/// The name of the value of an option that takes stages.
const STAGED: &str = "N|STAGES";

/// A parser of numbers from `min`, or stages.
fn amount(min: u64) -> impl Fn(&str) -> Result<Amount, String> + Clone {
    move |text| parse_amount(text, &(min..=100_000_000))
}

fn after_help() -> String {
    format!(
        "{EXAMPLES}\n\n{UNITS}\n\n{STAGES}\n\n{BYTES}\n\nMetrics of --fail-if and --until (times as in 800us, 1.5ms or 2s):\n{}\n{STATUS}\n\n{SEARCH_STATUS}",
        metrics_help()
    )
}

const EXAMPLES: &str = "\
Examples:
  loopline load message                         closed loop: send when the reply is received
  loopline load message -c 10000 --rate 20000   open loop: send on schedule
  loopline load hold=192.0.2.1:443 -c 10000     only open and hold connections
  loopline load tcp=6379 --send 'PING\\r\\n' --expect '+PONG\\r\\n'
                                                requests and replies of any protocol
  loopline load message --idle-probe 10s,1m     after which silence are connections dead?
  loopline load message --find rate --until 'p99>5ms'
                                                the largest rate at which p99 is 5 ms or less
  loopline load hold=443 --find connections     the largest number of connections that stay open
  loopline load --merge a.json b.json c.hlog    the result of several generators";

const STAGES: &str = "\
STAGES are numbers with durations, or linear ramps from one number to another, as in 1000@30s,1000..5000@1m,0@10s; \
0 is a pause. --duration is the sum of those of --rate or --active. --fail-if applies to the whole run.";

const STATUS: &str = "\
Exit status: 0 done; 1 no connection could be opened, a result to merge is missing, incomplete, of a killed run or of another kind, a \
signal came before --start-at, or a result could not be written; 2 usage error, or a result given twice; 3 a \
--fail-if holds, or its metric is unknown; 4 the server failed: it acknowledged nothing, sent wrong replies or \
closed connections until none was left, or stopped replying. If a --fail-if holds as well, the status is 4. Neither \
a signal nor a generator that is not ok changes the exit status.";

const SEARCH_STATUS: &str = "\
The exit status of a search (--find) is 0 with an answer, also if the generator or this host was the limit or a signal \
ended it. Without an answer it is 3 if even the smallest number failed, 4 if it failed because the server did, and 1 \
otherwise. If the server does not accept connections any more, it is 4, and 1 if it never did.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArrivalsArgument {
    Uniform,
    Poisson,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SpinArgument {
    Auto,
    On,
    Off,
}

/// Runs `load` with `arguments`, which are also `matches`.
pub(super) fn run(arguments: &LoadArguments, matches: &ArgMatches) -> ExitCode {
    let output = Output {
        json: arguments.json.as_deref(),
        report: arguments.report.as_deref(),
        histogram: arguments.histogram.as_deref(),
        fail_if: &arguments.fail_if,
    };
    match arguments.target.clone() {
        Some(target) => match plan(arguments, target) {
            Ok(Plan::Run(options)) => output.run(&options),
            Ok(Plan::Search(options)) => search::run(&options, output.json, output.report),
            Err(line) => {
                print_error(&line);
                ExitCode::from(USAGE_STATUS)
            }
        },
        None => match option_of_a_run(matches) {
            Some(option) => {
                print_error(&format_args!("--{option} does not apply to --merge"));
                ExitCode::from(USAGE_STATUS)
            }
            None => output.merge(&arguments.merge),
        },
    }
}

/// What is done with a target.
enum Plan {
    Run(Box<LoadOptions>),
    Search(Box<SearchOptions>),
}

/// # Errors
/// One line about options that do not fit.
fn plan(arguments: &LoadArguments, target: Target) -> Result<Plan, String> {
    let of_runs = [
        ("--duration", arguments.duration.is_some()),
        ("--fail-if", !arguments.fail_if.is_empty()),
        ("--histogram", arguments.histogram.is_some()),
        ("--start-at", arguments.start_at.is_some()),
        ("--idle-probe", arguments.idle_probe.is_some()),
    ];
    let options = options(arguments, target)?;
    let search = arguments.search.options(&options, &of_runs)?;
    Ok(search.map_or(Plan::Run(options.into()), |search| Plan::Search(search.into())))
}

/// An option of the command line that only a run has. Those of the environment are for the runs.
fn option_of_a_run(matches: &ArgMatches) -> Option<String> {
    let command = LoadArguments::augment_args(Command::new("load"));
    let mut options = command.get_arguments().filter(|option| option.get_help_heading() != Some(RESULT));
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    options.find(|option| is_given(option.get_id().as_str()))?.get_long().map(str::to_owned)
}

/// The options of a run.
///
/// # Errors
/// One line about a duration that is not that of the stages, or about a start that is over.
fn options(arguments: &LoadArguments, target: Target) -> Result<LoadOptions, String> {
    let constant = |amount: &Option<Amount>| amount.as_ref().and_then(Amount::constant);
    let stages = |amount: &Option<Amount>| amount.as_ref().map_or(&[][..], Amount::stages).to_vec();
    let defaults = LoadOptions::of(target);
    let mut options = LoadOptions {
        connections: arguments.connections,
        active: constant(&arguments.active).map(|active| u32::try_from(active).unwrap_or(u32::MAX)),
        active_stages: stages(&arguments.active),
        heartbeat: arguments.heartbeat,
        start_at: arguments.start_at.map(|start| start.time(UtcTime::now())).transpose()?,
        idle_probe: arguments.idle_probe.clone().unwrap_or_default(),
        duration: arguments.duration.unwrap_or(defaults.duration),
        warmup: arguments.warmup.unwrap_or_default(),
        rate: constant(&arguments.rate),
        rate_stages: stages(&arguments.rate),
        arrivals: match arguments.arrivals {
            ArrivalsArgument::Uniform => Arrivals::Uniform,
            ArrivalsArgument::Poisson => Arrivals::Poisson,
        },
        spin: match arguments.spin {
            SpinArgument::Auto => defaults.spin,
            SpinArgument::On => true,
            SpinArgument::Off => false,
        },
        pipeline: arguments.pipeline,
        body_bytes: arguments.size,
        open_rate: constant(&arguments.open_rate),
        open_rate_stages: stages(&arguments.open_rate),
        sources: arguments.source.clone().unwrap_or_default(),
        one_shot: arguments.one_shot || defaults.one_shot,
        exchange: arguments.exchange.clone().into(),
        timeout: arguments.timeout.unwrap_or(defaults.timeout),
        drain_timeout: arguments.drain_timeout,
        ..defaults
    };
    options.take_duration_of_stages(arguments.duration)?;
    options.take_duration_of_probe(arguments.duration)?;
    Ok(options)
}
