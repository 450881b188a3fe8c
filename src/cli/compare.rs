//! The arguments of `compare`, and the destinations of its result.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{UNITS, at_least_one, whole};
use crate::compare::analysis::baseline::{Changes, FailIf, Stored};
use crate::compare::error::CompareError;
use crate::compare::options::{CompareOptions, Count, Workload};
use crate::compare::result::Comparison;
use crate::compare::server::With;
use crate::compare::{self, Progress};
use crate::net::stderr;
use crate::report::output_file::{Json, OutputFile, WriteError, check_distinct};
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;
use crate::report::terminal::progress_target;
use crate::units::parse_duration;

#[derive(Debug, Args)]
#[command(after_help = format!("{UNITS}\n\n{HELP}"))]
pub(super) struct CompareArguments {
    /// Numbers of connections; max is the most that this machine can serve and drive
    /// [default: 1,10,100,1000,10000,max; with --quick 1,10,100,1000]
    #[arg(short, long, value_name = "N[,…]", value_delimiter = ',', env = "LOOPLINE_COMPARE_CONNECTIONS")]
    connections: Vec<Count>,

    /// Workloads: all-active, few-active (one connection in a hundred), churn (a connection for each message),
    /// large-bodies (64KiB), pipelined (16 messages in flight) [default: all]
    #[arg(long, value_name = "NAME[,…]", value_delimiter = ',', env = "LOOPLINE_COMPARE_WORKLOAD")]
    workload: Vec<Workload>,

    /// Measured time of each run [default: 500ms; with --quick 150ms]
    #[arg(short, long, value_name = "DUR", env = "LOOPLINE_COMPARE_DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Time before that in which messages are sent but not measured [default: 150ms; with --quick 50ms]
    #[arg(long, value_name = "DUR", env = "LOOPLINE_COMPARE_WARMUP", value_parser = parse_duration)]
    warmup: Option<Duration>,

    /// Runs of each server for each workload and number of connections [default: 3, and more
    /// pairs of what is not decided; with --quick 2]
    #[arg(long, value_name = "N", env = "LOOPLINE_COMPARE_REPEATS")]
    #[arg(value_parser = whole::<u32>(1..=1000))]
    repeats: Option<u32>,

    /// Messages per second in the open loop, which measures latency [default: half the rate of the slowest server in
    /// the closed loop]
    #[arg(short, long, value_name = "N", env = "LOOPLINE_COMPARE_RATE")]
    #[arg(value_parser = whole::<u64>(1..=100_000_000))]
    rate: Option<u64>,

    /// Compare a further server that speaks message: a shell starts COMMAND, in which {port} is the port on 127.0.0.1 (may
    /// be given several times)
    #[arg(long, value_name = "NAME=COMMAND", env = "LOOPLINE_COMPARE_WITH")]
    with: Vec<With>,

    /// Number of processors for the server [default: all but one, which the generator uses]
    #[arg(long, value_name = "N", env = "LOOPLINE_COMPARE_SERVER_CORES", value_parser = at_least_one)]
    server_cores: Option<usize>,

    /// Run a shorter comparison, in about a minute
    #[arg(long, env = "LOOPLINE_COMPARE_QUICK")]
    quick: bool,

    /// Compare the result with an earlier one (of --json), and print what has changed beyond the spread of the runs
    #[arg(long, value_name = "OLD.json", env = "LOOPLINE_COMPARE_BASELINE")]
    baseline: Option<PathBuf>,

    /// Exit with status 3 if a server needs more CPU time a message than in the baseline: 'slower>5%' if the whole
    /// interval of the ratio is above 1.05 in a scenario (all intervals hold together in 95 % of comparisons)
    #[arg(long, value_name = "COND", env = "LOOPLINE_COMPARE_FAIL_IF", requires = "baseline")]
    fail_if: Option<FailIf>,

    /// Write the result as a self-contained HTML page
    #[arg(long, value_name = "FILE.html", env = "LOOPLINE_COMPARE_REPORT")]
    report: Option<PathBuf>,

    /// Write each plot as an SVG file into this directory, which is created if necessary
    #[arg(long, value_name = "DIR", env = "LOOPLINE_COMPARE_PICTURES")]
    pictures: Option<PathBuf>,

    /// Write the result as JSON to a file, or with '-' to standard output instead of the text
    #[arg(long, value_name = "FILE|-", env = "LOOPLINE_COMPARE_JSON", allow_hyphen_values = true)]
    json: Option<PathBuf>,
}

const HELP: &str = "\
Exit status: 0 the comparison is done, or Ctrl-C ended it and the completed runs are reported; 1 it failed; \
2 usage error; 3 the condition of --fail-if holds.";

/// Runs the comparison. An error is one line and an exit status.
pub(super) fn run(arguments: CompareArguments) -> Result<u8, (String, u8)> {
    let program = std::env::current_exe()
        .map_err(|error| (format!("cannot find the path of this program: {error}"), 1))?;
    let failed = |error: WriteError| (error.to_string(), 1);
    // An output that cannot be written fails now, not after the comparison.
    let folder = arguments.pictures.clone();
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).map_err(|error| failed(WriteError::at(folder, error)))?;
    }
    // The folder exists now, so its files are known whatever the path to them.
    check_outputs(&arguments).map_err(|line| (line, 2))?;
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose().map_err(|line| (line, 1))?;
    let (json, report) = (arguments.json.clone(), arguments.report.clone());
    let options = options(arguments, program).map_err(|line| (line, 2))?;
    let json = Json::open(json.as_deref()).map_err(failed)?;
    let page = report.as_deref().map(OutputFile::open).transpose().map_err(failed)?;
    let (info, bar) = (RunInfo::now(), progress_bar());
    let result = compare::run(&options, |progress| show(&bar, &progress));
    bar.finish_and_clear();
    let mut comparison = result.map_err(|error| {
        let status = if matches!(error, CompareError::Usage(_)) { 2 } else { 1 };
        (error.to_string(), status)
    })?;
    if let Some(baseline) = &baseline {
        comparison.changes = Some(changes(baseline, &info, &options, &comparison).map_err(|line| (line, 1))?);
    }
    let page = page.map_or(Ok(()), |page| page.write(&compare::page(&comparison, &info)));
    let pictures = folder.map_or(Ok(()), |folder| write_pictures(&folder, &comparison));
    let record = Record::new(Command::Compare, &info, &options, &comparison);
    match json.write(&record, || compare::table(&comparison)).and(page).and(pictures) {
        // The reader of the pipe has gone.
        Err(error) if error.is_reader_gone() => Ok(1),
        Err(error) => Err(failed(error)),
        Ok(()) => failure(&comparison).map_or(Ok(0), Err),
    }
}

/// An error is one line.
fn read_baseline(path: &Path) -> Result<Stored, String> {
    let failed = |why: String| format!("--baseline {}: {why}", path.display());
    let text = fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    Stored::parse(&text).map_err(failed)
}

/// What has changed from `baseline` to `comparison`.
fn changes(
    baseline: &Stored,
    info: &RunInfo,
    options: &CompareOptions,
    comparison: &Comparison,
) -> Result<Changes, String> {
    let record = serde_json::to_value(Record::new(Command::Compare, info, options, comparison));
    let now = Stored::of(record.map_err(|error| error.to_string())?)?;
    Ok(Changes::between(baseline, &now, options.fail_if))
}

/// Why a result that has been written is a failure, and the exit status.
fn failure(comparison: &Comparison) -> Option<(String, u8)> {
    if let Some(line) = comparison.failure() {
        return Some((line, 1));
    }
    let changes = comparison.changes.as_ref()?;
    let holds = changes.failure().map(|line| (line, 3));
    holds.or_else(|| changes.not_judged(comparison.interrupted).map(|line| (line.into(), 1)))
}

/// Checks that no file is written twice. A plot may have any name that ends in `.svg`.
fn check_outputs(arguments: &CompareArguments) -> Result<(), String> {
    let outputs =
        [("--json", Json::file(arguments.json.as_deref())), ("--report", arguments.report.as_deref())];
    check_distinct(&outputs, arguments.baseline.as_slice())?;
    let Some(folder) = &arguments.pictures else { return Ok(()) };
    for (option, path) in outputs.into_iter().filter_map(|(option, path)| Some((option, path?))) {
        let name = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "svg"));
        let picture = name.map(|name| folder.join(name));
        let files = [("--pictures", picture.as_deref()), (option, Some(path))];
        check_distinct(&files, &[])?;
    }
    Ok(())
}

fn write_pictures(folder: &Path, comparison: &Comparison) -> Result<(), WriteError> {
    for (name, picture) in compare::pictures(comparison) {
        let path = folder.join(name);
        fs::write(&path, picture).map_err(|error| WriteError::at(&path, error))?;
    }
    Ok(())
}

fn options(arguments: CompareArguments, program: PathBuf) -> Result<CompareOptions, String> {
    let of = if arguments.quick { CompareOptions::quick } else { CompareOptions::full };
    let defaults = of(program);
    let mut workloads = arguments.workload;
    workloads.sort_unstable();
    workloads.dedup();
    // With explicit options, all of it is measured, unless --quick promises a time.
    let is_default = arguments.connections.is_empty()
        && arguments.duration.is_none()
        && arguments.warmup.is_none()
        && arguments.repeats.is_none();
    Ok(CompareOptions {
        baseline: arguments.baseline,
        fail_if: arguments.fail_if,
        with: With::list(arguments.with)?,
        budget: defaults.budget.filter(|_| is_default || arguments.quick),
        more_pairs_until: defaults.more_pairs_until.filter(|_| arguments.repeats.is_none()),
        connections: or_default(arguments.connections, defaults.connections),
        workloads: or_default(workloads, defaults.workloads),
        duration: arguments.duration.unwrap_or(defaults.duration),
        warmup: arguments.warmup.unwrap_or(defaults.warmup),
        repeats: arguments.repeats.unwrap_or(defaults.repeats),
        open_repeats: arguments.repeats.unwrap_or(defaults.open_repeats),
        rate: arguments.rate,
        server_cores: arguments.server_cores,
        ..defaults
    })
}

fn or_default<T>(given: Vec<T>, default: Vec<T>) -> Vec<T> {
    if given.is_empty() { default } else { given }
}

/// The live line, on a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}");
    ProgressBar::with_draw_target(None, progress_target()).with_style(style.expect("the template is valid"))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    match progress {
        Progress::Run { step, done, planned, left } => {
            bar.set_length(*planned as u64);
            bar.set_position(*done as u64);
            let seconds = left.as_secs();
            bar.set_message(format!("{step}, {}:{:02} left", seconds / 60, seconds % 60));
            bar.tick();
        }
        Progress::Stopping => {
            let line = "interrupted: the result of the completed runs follows";
            // Without a reader, nothing is lost but this line.
            bar.suspend(|| stderr::lock().write(&format!("{line}\n")));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: CompareArguments,
    }

    #[test]
    fn a_result_that_a_picture_would_overwrite_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).into_os_string();
        let check = |name: &str| {
            let line = ["compare".into(), "--pictures".into(), at(""), "--report".into(), at(name)];
            check_outputs(&Line::parse_from(line).arguments)
        };
        assert!(check("memory.svg").unwrap_err().ends_with("the same file as that of --pictures"));
        assert_eq!(check("memory.html"), Ok(()));
    }
}
