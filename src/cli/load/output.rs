//! Runs `load`, and writes its output.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::progress::Progress;
use crate::cli::lines::print_error;
use crate::load;
use crate::load::LoadError;
use crate::load::merge::{self, MergeError};
use crate::load::options::LoadOptions;
use crate::load::output::ending;
use crate::load::output::page;
use crate::load::output::table;
use crate::load::stats::ending::Failed;
use crate::load::stats::histogram_log;
use crate::load::stats::merged_summary::{MergeOptions, MergedSummary};
use crate::load::stats::result::LoadResult;
use crate::load::stats::summary::Summary;
use crate::load::stats::threshold::{Judgment, Threshold};
use crate::report::output_file::{Json, OutputFile, WriteError, check_distinct};
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;
use crate::report::terminal;

/// Exit status if a threshold is exceeded.
pub(super) const THRESHOLD_STATUS: u8 = 3;

/// Exit status if the run failed because of the server.
pub(super) const SERVER_STATUS: u8 = 4;

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
        let mut progress = Progress::new(options, self.histogram)?;
        let outcome = load::run(options, &mut progress)?;
        let (run_id, clock, unwritten) = progress.finish();
        let judgments = self.judge(|threshold| threshold.judge(&outcome.summary));
        // The result is printed even if a file cannot be written, and the other way round.
        let drawn = page.map_or(Ok(()), |page| page.write(&page::page(&outcome, &judgments, &info)));
        let result = LoadResult::of(&outcome, &judgments, &run_id, clock);
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
        histogram_log::check_distinct(paths).map_err(|line| Failure { line: Some(line), status: 2 })?;
        self.check_files(paths)?;
        let info = RunInfo::now();
        let runs = merge::merge(paths)?;
        if runs.counts.is_none() {
            for threshold in self.fail_if {
                let refused =
                    |why| Failure { line: Some(format!("--fail-if {threshold}: {why}")), status: 2 };
                threshold.check_logged().map_err(refused)?;
            }
        }
        // Inputs are read before files are created, so that an error leaves no files.
        let json = Json::open(self.json)?;
        let page = self.report.map(OutputFile::open).transpose()?;
        let faults = runs.faults();
        runs.times.ignored.iter().chain(&faults).for_each(|line| print_error(line));
        // The result is printed even if a file cannot be written, and the other way round.
        let judgments = self.judge(|threshold| threshold.judge_merged(&runs));
        let record =
            Record::new(Command::Load, &info, MergeOptions::of(paths), MergedSummary::of(&runs, &judgments));
        let drawn = page.map_or(Ok(()), |page| page.write(&page::merged(&runs, &judgments, &info)));
        let shown = json.write(&record, || table::merged(&runs, width(), has_colors()));
        if let Some(path) = self.histogram {
            let written = File::create(path).and_then(|file| runs.times.write(file));
            written.map_err(|error| WriteError::at(path, error))?;
        }
        shown?;
        drawn?;
        let status = judged(&judgments);
        Ok(if faults.is_empty() { status } else { ExitCode::FAILURE })
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

/// Why a run failed.
pub(super) struct Failure {
    /// `None` if the reader of the output has closed the pipe, which is no error to print.
    pub(super) line: Option<String>,
    pub(super) status: u8,
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let status = if matches!(error, LoadError::Usage(_)) { 2 } else { 1 };
        Self { line: Some(error.to_string()), status }
    }
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Twice(line) => Self { line: Some(line), status: 2 },
            MergeError::Invalid(line) => Self { line: Some(line), status: 1 },
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self { line: (!error.is_reader_gone()).then(|| error.to_string()), status: 1 }
    }
}

impl Failure {
    /// Prints the error and returns the exit status.
    pub(super) fn report(self) -> ExitCode {
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

pub(super) fn has_colors() -> bool {
    terminal::supports_color(&io::stdout())
}
