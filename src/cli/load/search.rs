//! The arguments of a search (`load --find`), its output and its exit status.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::{Failure, SERVER_STATUS, THRESHOLD_STATUS, has_colors};
use crate::cli::lines::print_error;
use crate::load::options::LoadOptions;
use crate::load::output::live_line::LiveLine;
use crate::load::output::page;
use crate::load::output::search::answer;
use crate::load::output::table;
use crate::load::search::options::{Quantity, SearchOptions};
use crate::load::search::result::{SearchEnd, SearchResult};
use crate::load::search::verdict::StepEnd;
use crate::load::search::{self, SearchObserver};
use crate::load::stats::summary::Second;
use crate::load::stats::threshold::Threshold;
use crate::load::{Observer, Times};
use crate::report::output_file::{Json, OutputFile, check_distinct};
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;
use crate::units::parse_duration;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Search")]
pub(super) struct SearchArguments {
    /// Instead of one run, search for the largest rate of an open loop, or the largest number of connections, in steps:
    /// twice as much until a step fails, then the middle, to 2 %, then both sides of the boundary three times. The start
    /// is --rate [default: 1000] or --connections. A step also fails if the server does not keep up with the rate, does
    /// not accept or keep all connections, or fails
    #[arg(long, value_enum, env = "LOOPLINE_LOAD_FIND")]
    find: Option<FindArgument>,

    /// A step fails if EXPR holds, as of --fail-if; can be repeated; required with --find rate
    #[arg(long, value_name = "EXPR", env = "LOOPLINE_LOAD_UNTIL", value_delimiter = ',')]
    until: Vec<Threshold>,

    /// How long each step sends messages, or holds connections [default: 5s]
    #[arg(long, value_name = "DUR", env = "LOOPLINE_LOAD_STEP", value_parser = parse_duration)]
    step: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FindArgument {
    Rate,
    Connections,
}

impl SearchArguments {
    /// The options of the search, if it is one, that begins with `first`. Of other options, those that were given do
    /// not fit.
    ///
    /// # Errors
    /// One line about the first option that does not fit.
    pub(super) fn options(
        &self,
        first: &LoadOptions,
        others: &[(&str, bool)],
    ) -> Result<Option<SearchOptions>, String> {
        let Some(find) = self.find else {
            let only = [("--until", !self.until.is_empty()), ("--step", self.step.is_some())];
            return match only.iter().find(|(_, is_given)| *is_given) {
                Some((option, _)) => Err(format!("{option} requires --find")),
                None => Ok(None),
            };
        };
        if let Some((option, _)) = others.iter().find(|(_, is_given)| *is_given) {
            let instead = match *option {
                "--duration" => ": each step lasts --step",
                "--fail-if" => ": the conditions are --until",
                _ => "",
            };
            return Err(format!("{option} does not apply to --find{instead}"));
        }
        let find = match find {
            FindArgument::Rate => Quantity::Rate,
            FindArgument::Connections => Quantity::Connections,
        };
        Ok(Some(SearchOptions::new(find, self.until.clone(), self.step.unwrap_or(STEP), first.clone())))
    }
}

/// Searches, and writes the result.
pub(super) fn run(options: &SearchOptions, json: Option<&Path>, report: Option<&Path>) -> ExitCode {
    try_run(options, json, report).unwrap_or_else(Failure::report)
}

fn try_run(options: &SearchOptions, json: Option<&Path>, report: Option<&Path>) -> Result<ExitCode, Failure> {
    // As for a run.
    search::check(options)?;
    let outputs = [("--json", Json::file(json)), ("--report", report)];
    check_distinct(&outputs, &[]).map_err(|line| Failure { line: Some(line), status: 2 })?;
    let json = Json::open(json)?;
    let page = report.map(OutputFile::open).transpose()?;
    let info = RunInfo::now();
    let mut progress = Progress { line: None };
    let result = search::search(options, &mut progress)?;
    drop(progress);
    let drawn = page.map_or(Ok(()), |page| page.write(&page::search(&result, options, &info)));
    json.write(&Record::new(Command::Load, &info, options, &result), || {
        table::search(&result, has_colors())
    })?;
    drawn?;
    Ok(status(&result))
}

/// The exit status for the result of a search. Without an answer, prints why.
fn status(result: &SearchResult) -> ExitCode {
    let was_there = result.steps.iter().any(|row| row.opened > 0);
    let is_gone = was_there && result.ended_early == Some(SearchEnd::ServerGone);
    let status = match (result.answer, result.above.as_ref().map(|above| above.end)) {
        _ if is_gone => SERVER_STATUS,
        (Some(_), _) => return ExitCode::SUCCESS,
        (None, Some(StepEnd::Condition | StepEnd::NotKeptUp | StepEnd::Connections | StepEnd::Unknown)) => {
            THRESHOLD_STATUS
        }
        (None, Some(StepEnd::ServerFailed)) if was_there => SERVER_STATUS,
        (None, _) => FAILURE_STATUS,
    };
    print_error(&format_args!("{}: {}", result.endpoint, answer(result)));
    ExitCode::from(status)
}

/// The progress line of each step.
struct Progress {
    line: Option<LiveLine>,
}

impl SearchObserver for Progress {
    fn step(&mut self, number: usize, value: u64, options: &LoadOptions) {
        // The line before is cleared first.
        self.line = None;
        let line = LiveLine::new(
            io::stderr().is_terminal(),
            options.connections.into(),
            options.warmup + options.duration,
        );
        self.line = Some(line.with_prefix(format!("step {number}, {value}: ")));
    }
}

impl Observer for Progress {
    fn opening(&mut self, opened: u64, elapsed_seconds: f64) {
        self.line.iter_mut().for_each(|line| line.opening(opened, elapsed_seconds));
    }

    fn driving(&mut self) {
        self.line.iter_mut().for_each(LiveLine::driving);
    }

    fn second(&mut self, second: &Second, _: &Times) {
        self.line.iter_mut().for_each(|line| line.second(second));
    }
}

/// Default of `--step`: at 1,000 messages a second, enough of them for a p99.
const STEP: Duration = Duration::from_secs(5);

/// Exit status without an answer, where neither the server nor a condition is the reason.
const FAILURE_STATUS: u8 = 1;
