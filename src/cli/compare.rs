//! The arguments of `compare`, and what is done with its result.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::at_least_one;
use crate::compare::error::CompareError;
use crate::compare::options::{CompareOptions, Count, Workload};
use crate::compare::result::Comparison;
use crate::compare::{self, Progress};
use crate::report::output_file::{Json, ResultFile, Unwritten};
use crate::units::parse_duration;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct CompareArguments {
    /// Numbers of connections; max is as many as this machine can serve and drive
    /// [default: 1,10,100,1000,10000,max; with --quick 1,10,100,1000]
    #[arg(short, long, value_name = "N[,…]", value_delimiter = ',', env = "LOOPLINE_CONNECTIONS")]
    connections: Vec<Count>,

    /// What connections do: all-active, few-active (one in a hundred), churn (connect, one message, close),
    /// large-bodies (64KiB), pipelined (16 in flight) [default: all of these]
    #[arg(long, value_name = "NAME[,…]", value_delimiter = ',', env = "LOOPLINE_WORKLOAD")]
    workload: Vec<Workload>,

    /// How long messages are measured in each run [default: 500ms; with --quick 150ms]
    #[arg(short, long, value_name = "DUR", env = "LOOPLINE_DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// How long messages are sent before that [default: 150ms; with --quick 50ms]
    #[arg(long, value_name = "DUR", env = "LOOPLINE_WARMUP", value_parser = parse_duration)]
    warmup: Option<Duration>,

    /// Runs of each model with each workload and number of connections [default: 5; with --quick 2]
    #[arg(long, value_name = "N", env = "LOOPLINE_REPEATS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: Option<u32>,

    /// Messages a second in the open loop, where latency is measured [default: half of what the slower model
    /// does in the closed loop]
    #[arg(short, long, value_name = "N", env = "LOOPLINE_RATE")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,

    /// Processors that the server may use [default: all but the one of the generator]
    #[arg(long, value_name = "N", env = "LOOPLINE_SERVER_CORES", value_parser = at_least_one)]
    server_cores: Option<usize>,

    /// Compare less, in under a minute
    #[arg(long, env = "LOOPLINE_QUICK")]
    quick: bool,

    /// Write the result as a page, in one file that needs nothing else
    #[arg(long, value_name = "FILE.html", env = "LOOPLINE_REPORT")]
    report: Option<PathBuf>,

    /// Write each plot as a picture (SVG) into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR", env = "LOOPLINE_PICTURES")]
    pictures: Option<PathBuf>,

    /// Write the result as JSON: to a file, or '-' for standard output instead of the text
    #[arg(long, value_name = "FILE|-", env = "LOOPLINE_JSON", allow_hyphen_values = true)]
    json: Option<PathBuf>,
}

const HELP: &str = "\
Exit status: 0 the comparison is done, or was ended by Ctrl-C and what was done is reported; 1 it failed; \
2 wrong usage.";

/// Runs it. An error is one line and a status.
pub(super) fn run(arguments: CompareArguments) -> Result<u8, (String, u8)> {
    let program =
        std::env::current_exe().map_err(|error| (format!("this program is not found: {error}"), 1))?;
    // To be told in ten minutes that a folder is missing helps nobody.
    let places = Places::open(&arguments).map_err(|unwritten| failed(&unwritten))?;
    let mut line = Line::new();
    let result = compare::run(&options(arguments, program), &mut line);
    line.end();
    let comparison = result.map_err(|error| {
        let status = if matches!(error, CompareError::Usage(_)) { 2 } else { 1 };
        (error.to_string(), status)
    })?;
    match places.write(&comparison) {
        // Whoever reads it has seen enough.
        Err(unwritten) if unwritten.is_reader_gone() => Ok(1),
        written => written.map(|()| 0).map_err(|unwritten| failed(&unwritten)),
    }
}

fn failed(unwritten: &Unwritten) -> (String, u8) {
    (unwritten.to_string(), 1)
}

/// Where the result goes.
struct Places {
    json: Json,
    report: Option<ResultFile>,
    pictures: Option<PathBuf>,
}

impl Places {
    fn open(arguments: &CompareArguments) -> Result<Self, Unwritten> {
        if let Some(folder) = &arguments.pictures {
            fs::create_dir_all(folder).map_err(|error| Unwritten::at(folder, error))?;
        }
        Ok(Self {
            json: Json::open(arguments.json.as_deref())?,
            report: arguments.report.as_deref().map(ResultFile::open).transpose()?,
            pictures: arguments.pictures.clone(),
        })
    }

    fn write(self, comparison: &Comparison) -> Result<(), Unwritten> {
        let drawn = self.report.map_or(Ok(()), |page| page.write(&compare::page(comparison)));
        let pictured = self.pictures.map_or(Ok(()), |folder| draw(&folder, comparison));
        self.json.tell(comparison, || compare::table(comparison)).and(drawn).and(pictured)
    }
}

fn draw(folder: &Path, comparison: &Comparison) -> Result<(), Unwritten> {
    for (name, picture) in compare::pictures(comparison) {
        let path = folder.join(name);
        fs::write(&path, picture).map_err(|error| Unwritten::at(&path, error))?;
    }
    Ok(())
}

fn options(arguments: CompareArguments, program: PathBuf) -> CompareOptions {
    let of = if arguments.quick { CompareOptions::quick } else { CompareOptions::full };
    let defaults = of(program);
    let or = |given: Vec<Count>, default| if given.is_empty() { default } else { given };
    let mut workloads = arguments.workload;
    workloads.sort_unstable();
    workloads.dedup();
    // Who says what to do wants all of it.
    let is_default = arguments.connections.is_empty()
        && arguments.duration.is_none()
        && arguments.warmup.is_none()
        && arguments.repeats.is_none();
    CompareOptions {
        budget: defaults.budget.filter(|_| is_default),
        connections: or(arguments.connections, defaults.connections),
        workloads: if workloads.is_empty() { defaults.workloads } else { workloads },
        duration: arguments.duration.unwrap_or(defaults.duration),
        warmup: arguments.warmup.unwrap_or(defaults.warmup),
        repeats: arguments.repeats.unwrap_or(defaults.repeats),
        rate: arguments.rate,
        server_cores: arguments.server_cores,
        program: defaults.program,
    }
}

/// The live line, on a terminal.
struct Line(ProgressBar);

impl Line {
    fn new() -> Self {
        let is_seen = io::stderr().is_terminal();
        let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}");
        Self(ProgressBar::with_draw_target(None, target).with_style(style.expect("it is a template")))
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Line {
    fn step(&mut self, what: &str, done: usize, planned: usize, left: Duration) {
        self.0.set_length(planned as u64);
        self.0.set_position(done as u64);
        let seconds = left.as_secs();
        self.0.set_message(format!("{what}, {}:{:02} left", seconds / 60, seconds % 60));
        self.0.tick();
    }
}
