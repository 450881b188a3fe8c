//! Runs `load`, and writes its output.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::lines::print_error;
use crate::load;
use crate::load::LoadError;
use crate::load::Observer;
use crate::load::Times;
use crate::load::options::LoadOptions;
use crate::load::output::ending;
use crate::load::output::live_line::LiveLine;
use crate::load::output::page;
use crate::load::output::table;
use crate::load::stats::ending::Failed;
use crate::load::stats::histogram_log::{self, IntervalLog};
use crate::load::stats::merged_summary::{MergeOptions, MergedSummary};
use crate::load::stats::result::LoadResult;
use crate::load::stats::summary::{Second, Summary};
use crate::load::stats::threshold::{Judgment, Threshold};
use crate::report::output_file::{Json, OutputFile, WriteError, check_distinct};
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;
use crate::report::terminal;

/// Exit status if a threshold is exceeded.
const THRESHOLD_STATUS: u8 = 3;

/// Exit status if the run failed because of the server.
const SERVER_STATUS: u8 = 4;

/// Files to write the result to, and conditions under which the run fails.
pub(super) struct Output<'a> {
    pub(super) json: Option<&'a Path>,
    pub(super) report: Option<&'a Path>,
    pub(super) histogram: Option<&'a Path>,
    pub(super) fail_if: &'a [Threshold],
}

impl Output<'_> {
    pub(super) fn run(&self, options: &LoadOptions) -> ExitCode {
        self.try_run(options).unwrap_or_else(Failure::report)
    }

    fn try_run(&self, options: &LoadOptions) -> Result<ExitCode, Failure> {
        // Options are checked before files are created, and files are created before the run.
        load::check(options)?;
        self.check_files(&[])?;
        let json = Json::open(self.json)?;
        let page = self.report.map(OutputFile::open).transpose()?;
        let info = RunInfo::now();
        let mut progress = Progress::new(options, self.histogram, &info)?;
        let outcome = load::run(options, &mut progress)?;
        let unwritten = progress.finish();
        let judgments = self.judge(|threshold| threshold.judge(&outcome.summary));
        // The result is printed even if a file cannot be written, and the other way round.
        let drawn = page.map_or(Ok(()), |page| page.write(&page::page(&outcome, &judgments, &info)));
        let result = LoadResult::of(&outcome, &judgments);
        let record = Record::new(Command::Load, &info, options, result);
        json.write(&record, || table::summary(&outcome.summary, width(), has_colors()))?;
        drawn?;
        unwritten?;
        Ok(status(&outcome.summary, &judgments))
    }

    /// Checks that no output overwrites another, or one of `inputs`.
    fn check_files(&self, inputs: &[PathBuf]) -> Result<(), Failure> {
        let json = Json::file(self.json);
        let outputs = [("--json", json), ("--report", self.report), ("--histogram", self.histogram)];
        check_distinct(&outputs, inputs).map_err(|line| Failure { line: Some(line), status: 2 })
    }

    fn judge(&self, judge: impl Fn(&Threshold) -> Judgment) -> Vec<Judgment> {
        self.fail_if.iter().map(judge).collect()
    }

    /// Merges the logs at `paths`, and writes the result.
    pub(super) fn merge(&self, paths: &[PathBuf]) -> ExitCode {
        self.try_merge(paths).unwrap_or_else(Failure::report)
    }

    fn try_merge(&self, paths: &[PathBuf]) -> Result<ExitCode, Failure> {
        for threshold in self.fail_if {
            let refused = |why| Failure { line: Some(format!("--fail-if {threshold}: {why}")), status: 2 };
            threshold.check_logged().map_err(refused)?;
        }
        histogram_log::check_distinct(paths).map_err(|line| Failure { line: Some(line), status: 2 })?;
        self.check_files(paths)?;
        let info = RunInfo::now();
        let merged = histogram_log::merge(paths).map_err(|line| Failure { line: Some(line), status: 1 })?;
        // Logs are read before files are created, so that an error leaves no files.
        let json = Json::open(self.json)?;
        let page = self.report.map(OutputFile::open).transpose()?;
        merged.ignored.iter().for_each(|line| print_error(line));
        // The result is printed even if a file cannot be written, and the other way round.
        let judgments = self.judge(|threshold| threshold.judge_merged(&merged));
        let record = Record::new(
            Command::Load,
            &info,
            MergeOptions::of(paths),
            MergedSummary::of(&merged, &judgments),
        );
        let drawn = page.map_or(Ok(()), |page| page.write(&page::merged(&merged, &judgments, &info)));
        let shown = json.write(&record, || table::merged(&merged, width(), has_colors()));
        if let Some(path) = self.histogram {
            let written = File::create(path).and_then(|file| merged.write(file));
            written.map_err(|error| WriteError::at(path, error))?;
        }
        shown?;
        drawn?;
        Ok(judged(&judgments))
    }
}

/// The exit status for the result of a run.
fn status(summary: &Summary, judgments: &[Judgment]) -> ExitCode {
    let why = ending::failure_with_error(summary).unwrap_or_default();
    match summary.failed {
        None => judged(judgments),
        Some(Failed::NoConnection) => {
            print_error(&format_args!("{}: {why}", summary.endpoint));
            ExitCode::FAILURE
        }
        Some(
            Failed::NothingAcknowledged | Failed::ServerGone | Failed::WrongReplies | Failed::StoppedReplying,
        ) => {
            print_error(&format_args!("{}: failed: {why}", summary.endpoint));
            // Thresholds that are not met are named as well.
            judged(judgments);
            ExitCode::from(SERVER_STATUS)
        }
    }
}

/// Prints the thresholds that are not met. Returns the exit status.
fn judged(judgments: &[Judgment]) -> ExitCode {
    for Judgment { expression, why_not, .. } in judgments {
        if let Some(why) = why_not {
            print_error(&format_args!("--fail-if {expression}: {why}"));
        }
    }
    let are_met = judgments.iter().all(|judgment| judgment.met);
    if are_met { ExitCode::SUCCESS } else { ExitCode::from(THRESHOLD_STATUS) }
}

/// Draws the progress line and writes the log during a run.
struct Progress {
    line: LiveLine,
    log: Option<(PathBuf, IntervalLog<File>)>,
    is_open_loop: bool,
    is_hold: bool,
    is_measuring: bool,
    unwritten: Option<WriteError>,
}

impl Progress {
    fn new(options: &LoadOptions, histogram: Option<&Path>, info: &RunInfo) -> Result<Self, WriteError> {
        let asked = options.connections.into();
        let create = |path: &Path| {
            let log = File::create(path).and_then(|file| IntervalLog::new(file, info.started_at.0));
            log.map(|log| (path.to_owned(), log)).map_err(|error| WriteError::at(path, error))
        };
        Ok(Self {
            line: LiveLine::new(io::stderr().is_terminal(), asked, options.warmup + options.duration),
            log: histogram.map(create).transpose()?,
            is_open_loop: options.is_open_loop(),
            is_hold: options.target.is_hold(),
            is_measuring: false,
            unwritten: None,
        })
    }

    /// Clears the line. Returns the first error of writing the log.
    fn finish(self) -> Result<(), WriteError> {
        drop(self.line);
        self.unwritten.map_or(Ok(()), Err)
    }
}

impl Observer for Progress {
    fn opening(&mut self, opened: u64, elapsed_seconds: f64) {
        self.line.opening(opened, elapsed_seconds);
    }

    fn driving(&mut self) {
        self.line.driving();
    }

    fn measuring(&mut self) {
        self.is_measuring = true;
    }

    fn second(&mut self, second: &Second, times: &Times) {
        self.line.second(second);
        let has_messages = self.is_measuring && !self.is_hold;
        let is_logged = has_messages || self.is_hold || !times.connect.is_empty();
        let is_logged = is_logged && self.unwritten.is_none();
        let Some((path, log)) = self.log.as_mut().filter(|_| is_logged) else { return };
        let end = Duration::from_secs_f64(second.at_seconds);
        let length = Duration::from_secs_f64(second.length_seconds);
        let start = end.saturating_sub(length);
        let appended = if has_messages {
            log.append(start, length, times, self.is_open_loop)
        } else {
            log.append_connect(start, length, times)
        };
        if let Err(error) = appended {
            self.unwritten = Some(WriteError::at(path, error));
        }
    }
}

/// Why a run failed.
struct Failure {
    /// `None` if the reader of the output has closed the pipe, which is no error to print.
    line: Option<String>,
    status: u8,
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let status = if matches!(error, LoadError::Usage(_)) { 2 } else { 1 };
        Self { line: Some(error.to_string()), status }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self { line: (!error.is_reader_gone()).then(|| error.to_string()), status: 1 }
    }
}

impl Failure {
    /// Prints the error and returns the exit status.
    fn report(self) -> ExitCode {
        if let Some(line) = self.line {
            print_error(&line);
        }
        ExitCode::from(self.status)
    }
}

/// The width of the terminal that standard output is.
fn width() -> Option<u16> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

fn has_colors() -> bool {
    terminal::supports_color(&io::stdout())
}
