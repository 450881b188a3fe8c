//! How a run of `load` is told: while it goes, and when it is over.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::cli::logger::print_error;
use crate::load;
use crate::load::LoadError;
use crate::load::Observer;
use crate::load::Times;
use crate::load::options::LoadOptions;
use crate::load::output::live_line::Live;
use crate::load::output::page;
use crate::load::output::table;
use crate::load::stats::histogram_log::{self, Interval, IntervalLog};
use crate::load::stats::summary::{Outcome, Second, Summary};
use crate::load::stats::threshold::Threshold;
use crate::report::output_file::{Json, OutputFile, WriteError, print};
use crate::report::terminal;

/// A threshold was not met.
const THRESHOLD: u8 = 3;

/// Where the result is wanted, besides on standard output, and what it must hold.
pub(super) struct Told<'a> {
    pub(super) json: Option<&'a Path>,
    pub(super) report: Option<&'a Path>,
    pub(super) histogram: Option<&'a Path>,
    pub(super) fail_if: &'a [Threshold],
}

impl Told<'_> {
    /// Runs, and tells.
    pub(super) fn of(&self, options: &LoadOptions) -> ExitCode {
        self.run(options).unwrap_or_else(Failure::tell)
    }

    fn run(&self, options: &LoadOptions) -> Result<ExitCode, Failure> {
        // No file is touched for a run that can not be.
        load::check(options)?;
        // What can not be written is better known before the run than after it.
        let json = Json::open(self.json)?;
        let page = self.report.map(OutputFile::open).transpose()?;
        let mut watch = Watch::new(options, self.histogram)?;
        let outcome = load::run(options, &mut watch)?;
        let unwritten = watch.finish();
        let drawn = page.map_or(Ok(()), |page| page.write(&page::page(&outcome)));
        // Whatever became of the files, the result is printed; whatever becomes of that, the files are there.
        json.write(&outcome.summary, || table::summary(&outcome.summary, width(), has_colors()))?;
        drawn?;
        unwritten?;
        Ok(self.judge(options, &outcome))
    }

    /// The status that the result deserves.
    fn judge(&self, options: &LoadOptions, outcome: &Outcome) -> ExitCode {
        let summary = &outcome.summary;
        if let Some(line) = nothing_opened(options, summary).filter(|_| !outcome.is_interrupted) {
            print_error(&line);
            return ExitCode::FAILURE;
        }
        let broken: Vec<String> = self
            .fail_if
            .iter()
            .filter_map(|threshold| Some(format!("--fail-if {threshold}: {}", threshold.judge(summary)?)))
            .collect();
        broken.iter().for_each(|line| print_error(line));
        if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(THRESHOLD) }
    }
}

/// What there is to say when not one connection was there.
fn nothing_opened(options: &LoadOptions, summary: &Summary) -> Option<String> {
    if summary.connections.opened > 0 {
        return None;
    }
    let first = summary.failures.first().map_or("none was asked for", |failure| &failure.first);
    Some(format!("{}: no connection could be opened: {first}", options.target))
}

/// Merges the logs at `paths` and prints what they add up to; writes it to `to`, if that is given.
pub(super) fn merge(paths: &[PathBuf], to: Option<&Path>) -> ExitCode {
    match print_merged(paths, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn print_merged(paths: &[PathBuf], to: Option<&Path>) -> Result<(), Failure> {
    let merged = histogram_log::merge(paths).map_err(|error| Failure::Line(error.to_string()))?;
    merged.warnings.iter().for_each(|warning| print_error(warning));
    print(&table::merged(&merged, width(), has_colors()))?;
    let Some(path) = to else { return Ok(()) };
    let written = File::create(path).and_then(|file| merged.write(file));
    written.map_err(|error| WriteError::at(path, error))?;
    Ok(())
}

/// Sees a run go by: draws the live line, and writes the log.
struct Watch {
    live: Live,
    log: Option<(PathBuf, IntervalLog<File>)>,
    is_open_loop: bool,
    is_measuring: bool,
    unwritten: Option<WriteError>,
}

impl Watch {
    fn new(options: &LoadOptions, histogram: Option<&Path>) -> Result<Self, WriteError> {
        let live = Live::new(
            io::stderr().is_terminal(),
            options.connections.into(),
            options.warmup + options.duration,
        );
        let log = histogram.map(|path| {
            let log = IntervalLog::create(path, now()).map(|log| (path.to_owned(), log));
            log.map_err(|error| WriteError::at(path, error))
        });
        Ok(Self {
            live,
            log: log.transpose()?,
            is_open_loop: options.rate.is_some(),
            is_measuring: false,
            unwritten: None,
        })
    }

    /// The end. What could not be written on the way is told now.
    fn finish(self) -> Result<(), WriteError> {
        self.live.finish();
        self.unwritten.map_or(Ok(()), Err)
    }
}

impl Observer for Watch {
    fn opening(&mut self, opened: u64, _: u64, elapsed_seconds: f64) {
        self.live.opening(opened, elapsed_seconds);
    }

    fn driving(&mut self) {
        self.live.driving();
    }

    fn measuring(&mut self) {
        self.is_measuring = true;
    }

    fn second(&mut self, second: &Second, times: &Times) {
        self.live.second(second);
        let is_logged = self.is_measuring && self.unwritten.is_none();
        let Some((path, log)) = self.log.as_mut().filter(|_| is_logged) else { return };
        let end = Duration::from_secs_f64(second.at_seconds);
        let length = Duration::from_secs_f64(second.length_seconds);
        let interval = Interval {
            start: end.saturating_sub(length),
            length,
            response: &times.response,
            service: &times.service,
            lag: self.is_open_loop.then_some(&times.lag),
        };
        if let Err(error) = log.append(&interval) {
            self.unwritten = Some(WriteError::at(path, error));
        }
    }
}

/// Why a result is not told.
enum Failure {
    /// It can not be written.
    WriteError(WriteError),
    /// Something else, in one line.
    Line(String),
    /// The options can not be had together.
    Usage(String),
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Usage(line) => Self::Usage(line),
            LoadError::Unresolved(..) | LoadError::Network(_) => Self::Line(error.to_string()),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(unwritten: WriteError) -> Self {
        Self::WriteError(unwritten)
    }
}

impl Failure {
    /// Says it, and gives the status to exit with.
    fn tell(self) -> ExitCode {
        let (line, status) = match self {
            // Whoever reads it has seen enough.
            Self::WriteError(unwritten) if unwritten.is_reader_gone() => return ExitCode::FAILURE,
            Self::WriteError(unwritten) => (unwritten.to_string(), 1),
            Self::Line(line) => (line, 1),
            Self::Usage(line) => (line, 2),
        };
        print_error(&line);
        ExitCode::from(status)
    }
}

/// The width of the terminal that standard output is.
fn width() -> Option<u16> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

fn has_colors() -> bool {
    terminal::supports_color(&io::stdout())
}

#[expect(clippy::disallowed_methods, reason = "a log says when it was begun")]
fn now() -> SystemTime {
    SystemTime::now()
}
