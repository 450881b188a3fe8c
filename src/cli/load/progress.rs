//! The progress of a run: draws the line, writes the log, and records when the run took place.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::load::Observer;
use crate::load::Times;
use crate::load::options::LoadOptions;
use crate::load::output::live_line::LiveLine;
use crate::load::stats::clock_times::{ClockTimes, run_id};
use crate::load::stats::histogram_log::IntervalLog;
use crate::load::stats::summary::Second;
use crate::report::output_file::{OutputFile, WriteError};
use crate::report::utc_time::UtcTime;

/// Receives the progress of a run.
pub(super) struct Progress {
    line: LiveLine,
    run_id: String,
    began_at: Option<UtcTime>,
    measuring_at: Option<UtcTime>,
    log: Option<Log>,
    is_open_loop: bool,
    is_hold: bool,
    unwritten: Option<WriteError>,
}

/// The histogram log.
struct Log {
    path: PathBuf,
    /// Until the run begins, only the file.
    file: Option<OutputFile>,
    intervals: Option<IntervalLog<File>>,
}

impl Progress {
    /// Opens the log at `histogram`, before the run.
    pub(super) fn new(options: &LoadOptions, histogram: Option<&Path>) -> Result<Self, WriteError> {
        let asked = options.connections.into();
        let open = |path: &Path| {
            let file = Some(OutputFile::open(path)?);
            Ok(Log { path: path.to_owned(), file, intervals: None })
        };
        Ok(Self {
            line: LiveLine::new(io::stderr().is_terminal(), asked, options.warmup + options.duration),
            run_id: run_id(),
            began_at: None,
            measuring_at: None,
            log: histogram.map(open).transpose()?,
            is_open_loop: options.is_open_loop(),
            is_hold: options.target.is_hold(),
            unwritten: None,
        })
    }

    /// Clears the line and ends the log. Returns the identity of the run, when it took place, and the first error of
    /// writing the log.
    pub(super) fn finish(mut self) -> (String, ClockTimes, Result<(), WriteError>) {
        let intervals = self.log.as_mut().and_then(|log| log.intervals.take());
        if let Some(intervals) = intervals {
            let finished = intervals.finish();
            self.note(finished);
        }
        drop(self.line);
        let clock = ClockTimes::new(self.began_at.unwrap_or_else(UtcTime::now), self.measuring_at);
        (self.run_id, clock, self.unwritten.map_or(Ok(()), Err))
    }

    /// Keeps the first error of writing the log, after which nothing more is written.
    fn note(&mut self, written: io::Result<()>) {
        if let (Err(error), Some(log)) = (written, &mut self.log) {
            log.intervals = None;
            self.unwritten.get_or_insert_with(|| WriteError::at(&log.path, error));
        }
    }
}

impl Observer for Progress {
    fn waiting(&mut self, left: Duration) {
        self.line.waiting(left);
    }

    fn began(&mut self) {
        self.line.began();
        let now = *self.began_at.insert(UtcTime::now());
        let Some((log, file)) = self.log.as_mut().and_then(|log| log.file.take().map(|file| (log, file)))
        else {
            return;
        };
        let begun = file.into_file().and_then(|file| IntervalLog::new(file, now, Some(&self.run_id)));
        let begun = begun.map(|it| log.intervals = Some(it));
        self.note(begun);
    }

    fn opening(&mut self, opened: u64, elapsed_seconds: f64) {
        self.line.opening(opened, elapsed_seconds);
    }

    fn driving(&mut self) {
        self.line.driving();
    }

    fn measuring(&mut self) {
        self.measuring_at = Some(UtcTime::now());
    }

    fn second(&mut self, second: &Second, times: &Times) {
        self.line.second(second);
        let has_messages = self.measuring_at.is_some() && !self.is_hold;
        let is_logged = has_messages || self.is_hold || !times.connect.is_empty();
        let Some(log) = self.log.as_mut().and_then(|log| log.intervals.as_mut()).filter(|_| is_logged) else {
            return;
        };
        let end = Duration::from_secs_f64(second.at_seconds);
        let length = Duration::from_secs_f64(second.length_seconds);
        let start = end.saturating_sub(length);
        let appended = if has_messages {
            log.append(start, length, times, self.is_open_loop)
        } else {
            log.append_connect(start, length, times)
        };
        self.note(appended);
    }
}
