//! Reads a histogram log.
//!
//! A generator that was killed leaves an incomplete last line, which is ignored, and named in the result. Any other
//! fault is an error.

use std::io::{BufRead, Read};
use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use super::decode::decode;
use super::merge::Merged;
use super::{CONNECT, END, RESPONSE, RUN};
use crate::load::stats::latency::Percentiles;
use crate::load::stats::summary::Second;
use crate::report::utc_time::UtcTime;

/// A log.
#[derive(Debug)]
pub(crate) struct Log {
    /// All samples.
    pub times: Merged,
    /// The identity of the run; `None` if another tool wrote the log, or a merge.
    pub run_id: Option<String>,
    /// Whether the log has an end. One with an identity and no end is that of a generator that was killed.
    pub has_end: bool,
    /// What its intervals have of each second.
    pub seconds: Vec<Second>,
    start: Option<Duration>,
    base: Option<Duration>,
}

/// Why a file is not part of a merge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The generator left no result: the file does not exist, or ends before the result does.
    Absent(String),
    /// The file is not what it should be.
    Invalid(String),
}

impl Log {
    /// Reads the log `from`, which errors call `name`.
    ///
    /// # Errors
    /// One line about what is wrong, or that there is no interval.
    pub(crate) fn read(name: &str, mut from: impl BufRead) -> Result<Self, ReadError> {
        let mut log = Self {
            times: Merged::of_file(),
            run_id: None,
            has_end: false,
            seconds: Vec::new(),
            start: None,
            base: None,
        };
        let mut line = Vec::new();
        for number in 1u64.. {
            let problem = |what: &str| format!("{name}: line {number}: {what}");
            let invalid = |what: &str| ReadError::Invalid(problem(what));
            line.clear();
            let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read.map_err(|failed| invalid(&failed.to_string()))? as u64 {
                0 => break,
                LINE_BYTES_MAX => return Err(invalid("the line is too long for a histogram log")),
                _ => {}
            }
            let is_incomplete = !line.ends_with(b"\n");
            if is_incomplete {
                line.push(b'\n');
            }
            match log.add_line(&line) {
                Ok(()) => {}
                // The first line is never written alone, so the file is not a log.
                Err(what) if is_incomplete && number > 1 => {
                    let ignored = format!("the line is incomplete and was ignored ({what})");
                    log.times.ignored.push(problem(&ignored));
                }
                Err(what) => return Err(invalid(&what)),
            }
        }
        if log.times.intervals == 0 {
            return Err(ReadError::Absent(format!("{name}: the log has no complete interval")));
        }
        Ok(log)
    }

    /// When the run began.
    pub(crate) fn began_at(&self) -> Option<UtcTime> {
        self.base.or(self.start).map(UtcTime::since_epoch).or_else(|| self.times.first())
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match IntervalLogIterator::new(line).next() {
            // A comment, or the legend.
            None => {
                let comment = String::from_utf8_lossy(line.trim_ascii());
                self.has_end |= comment == END;
                let run_id = comment.strip_prefix(RUN).and_then(|rest| rest.strip_suffix(']'));
                self.run_id = run_id.map(str::to_owned).or_else(|| self.run_id.take());
            }
            Some(Ok(LogEntry::StartTime(start))) => self.start = Some(start),
            Some(Ok(LogEntry::BaseTime(base))) => self.base = Some(base),
            Some(Ok(LogEntry::Interval(interval))) => self.add_interval(&interval)?,
            Some(Err(_)) => return Err("the line is not of a histogram log".into()),
        }
        Ok(())
    }

    fn add_interval(&mut self, interval: &IntervalLogHistogram<'_>) -> Result<(), String> {
        let histogram = decode(interval.encoded_histogram())?;
        let tag = interval.tag().map(|tag| tag.as_str()).filter(|tag| !tag.is_empty()).unwrap_or(RESPONSE);
        self.times.add_histogram(tag, &histogram)?;
        let begin = self.since_epoch(interval.start_timestamp());
        let end = begin.saturating_add(interval.duration());
        self.times.add_span(begin, end);
        self.times.intervals += 1;
        if tag == RESPONSE || tag == CONNECT {
            let run_began = self.base.or(self.start).unwrap_or_default();
            let second = self.second(end.saturating_sub(run_began), interval.duration());
            if tag == RESPONSE {
                second.answered = histogram.len();
                second.response_us = Percentiles::of(&histogram);
            } else {
                second.opened = histogram.len();
                second.connect_us = Percentiles::of(&histogram);
            }
        }
        Ok(())
    }

    /// The second that ends `at`, which the line before may have begun.
    fn second(&mut self, at: Duration, length: Duration) -> &mut Second {
        let at_seconds = at.as_secs_f64();
        let is_new = self.seconds.last().is_none_or(|last| (last.at_seconds - at_seconds).abs() > 1e-4);
        if is_new {
            let length_seconds = length.as_secs_f64();
            self.seconds.push(Second { at_seconds, length_seconds, ..Second::default() });
        }
        self.seconds.last_mut().expect("one was pushed")
    }

    /// As in the original implementation: a timestamp is relative to the base time; without one, to the start
    /// time if it is more than a year before it; otherwise to the epoch.
    fn since_epoch(&self, timestamp: Duration) -> Duration {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let from_start = self.start.filter(|start| timestamp.saturating_add(YEAR) < *start);
        self.base.or(from_start).unwrap_or_default().saturating_add(timestamp)
    }
}

/// Larger than any histogram in base64: six million counts of nine bytes.
const LINE_BYTES_MAX: u64 = 96 << 20;
