//! Reads histogram logs and merges them: sums all counts of all intervals of all files, by tag.
//!
//! A generator that was killed leaves an incomplete last line, which is ignored, and named in the result. Any other
//! fault is an error, and then nothing is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use super::decode::decode;
use super::{IntervalLog, RESPONSE};
use crate::journal::escape::escaped;
use crate::report::utc_time::UtcTime;

/// Merged logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    /// Number of logs.
    pub files: usize,
    /// Number of intervals, separately for each tag.
    pub intervals: u64,
    /// All samples, in nanoseconds, by tag.
    pub histograms: BTreeMap<String, Histogram<u64>>,
    /// Number of logs that have a tag.
    logs_with: BTreeMap<String, usize>,
    /// Lines that were cut off and ignored, as text to be shown.
    pub ignored: Vec<String>,
    /// Start of the first interval and end of the last, since the epoch.
    span: Option<(Duration, Duration)>,
}

/// Reads one log.
///
/// # Errors
/// As [`merge`].
#[cfg(test)]
pub(crate) fn read(path: &Path) -> Result<Merged, String> {
    merge([path])
}

/// Merges the logs at `paths`. Their order makes no difference.
///
/// # Errors
/// The line about a file that cannot be read, is not a histogram log, or has no intervals.
pub(crate) fn merge<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Merged, String> {
    let mut merged = Merged::default();
    for path in paths {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| problem(path, None, &error.to_string()))?;
        merged.add_log(path, BufReader::new(file))?;
    }
    Ok(merged)
}

impl Merged {
    /// The sums of two logs: a thousand equal samples for each tag, which is in some of the logs.
    #[cfg(test)]
    pub(crate) fn sample(tags: &[(&str, usize, u64)]) -> Self {
        let mut merged = Self { files: 2, intervals: 7, ..Self::default() };
        for (tag, logs, nanoseconds) in tags {
            let mut histogram = Histogram::new(3).expect("three digits are valid");
            histogram.record_n(*nanoseconds, 1000).expect("the histogram grows");
            merged.histograms.insert((*tag).into(), histogram);
            merged.logs_with.insert((*tag).into(), *logs);
        }
        merged
    }

    /// From the start of the first interval to the end of the last, over all logs.
    pub(crate) fn span(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first))
    }

    /// All samples of `tag`, if every log has it. Otherwise the sum is not that of all generators.
    pub(crate) fn complete(&self, tag: &str) -> Option<&Histogram<u64>> {
        let is_in_all = self.logs_with.get(tag) == Some(&self.files);
        self.histograms.get(tag).filter(|_| is_in_all)
    }

    /// The tags that only some of the logs have, and how many do: their sums are not those of all generators.
    pub(crate) fn incomplete(&self) -> impl Iterator<Item = (&str, usize)> {
        let tags = self.logs_with.iter().map(|(tag, logs)| (tag.as_str(), *logs));
        tags.filter(|(_, logs)| *logs < self.files)
    }

    /// Writes the sums as one log with one interval for each tag.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, to: impl Write) -> io::Result<()> {
        let first = self.span.map_or(Duration::ZERO, |(first, _)| first);
        // A log of another tool may contain a time that the system cannot represent.
        let mut log = IntervalLog::new(to, UtcTime::since_epoch(first), None)?;
        let tagged = self.histograms.iter().map(|(tag, histogram)| (tag.as_str(), histogram));
        log.append_tagged(Duration::ZERO, self.span(), tagged)
    }

    /// Adds the log `from`, which errors call `name`.
    ///
    /// # Errors
    /// As [`merge`].
    pub(crate) fn add_log(&mut self, name: &Path, mut from: impl BufRead) -> Result<(), String> {
        self.files += 1;
        let (mut log, mut line) = (Log::default(), Vec::new());
        for number in 1.. {
            let error = |what: &str| problem(name, Some(number), what);
            line.clear();
            let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read.map_err(|failed| error(&failed.to_string()))? as u64 {
                0 => break,
                LINE_BYTES_MAX => return Err(error("the line is too long for a histogram log")),
                _ => {}
            }
            let is_incomplete = !line.ends_with(b"\n");
            if is_incomplete {
                line.push(b'\n');
            }
            match self.add_line(&line, &mut log) {
                Ok(()) => {}
                // The first line is never written alone, so the file is not a log.
                Err(what) if is_incomplete && number > 1 => {
                    self.ignored.push(error(&format!("the line is incomplete and was ignored ({what})")));
                }
                Err(what) => return Err(error(&what)),
            }
        }
        if log.tags.is_empty() {
            return Err(problem(name, None, "the log has no complete interval"));
        }
        for tag in log.tags {
            *self.logs_with.entry(tag).or_default() += 1;
        }
        Ok(())
    }

    fn add_line(&mut self, line: &[u8], log: &mut Log) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match IntervalLogIterator::new(line).next() {
            None => {} // a comment, or the legend
            Some(Ok(LogEntry::StartTime(start))) => log.start = Some(start),
            Some(Ok(LogEntry::BaseTime(base))) => log.base = Some(base),
            Some(Ok(LogEntry::Interval(interval))) => self.add_interval(&interval, log)?,
            Some(Err(_)) => return Err("the line is not of a histogram log".into()),
        }
        Ok(())
    }

    fn add_interval(&mut self, interval: &IntervalLogHistogram<'_>, log: &mut Log) -> Result<(), String> {
        let histogram = decode(interval.encoded_histogram())?;
        let precision = |of: &Histogram<u64>| (of.sigfig(), of.low());
        if self.histograms.values().any(|other| precision(other) != precision(&histogram)) {
            return Err("the precision of the histogram differs from the others".into());
        }
        let tag = interval.tag().map(|tag| tag.as_str()).filter(|tag| !tag.is_empty()).unwrap_or(RESPONSE);
        let sum = self.histograms.entry(tag.to_owned()).or_insert_with(|| {
            let mut empty = Histogram::new_from(&histogram);
            empty.auto(true);
            empty
        });
        sum.add(&histogram).map_err(|error| error.to_string())?;
        log.tags.insert(tag.to_owned());

        let begin = log.since_epoch(interval.start_timestamp());
        let end = begin.saturating_add(interval.duration());
        let (first, last) = self.span.unwrap_or((begin, end));
        self.span = Some((first.min(begin), last.max(end)));
        self.intervals += 1;
        Ok(())
    }
}

/// One log: the times that its timestamps are relative to, and the tags of its intervals.
#[derive(Debug, Default)]
struct Log {
    start: Option<Duration>,
    base: Option<Duration>,
    tags: BTreeSet<String>,
}

impl Log {
    /// As in the original implementation: a timestamp is relative to the base time; without one, to the start
    /// time if it is more than a year before it; otherwise to the epoch.
    fn since_epoch(&self, timestamp: Duration) -> Duration {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let from_start = self.start.filter(|start| timestamp.saturating_add(YEAR) < *start);
        self.base.or(from_start).unwrap_or_default().saturating_add(timestamp)
    }
}

/// One line about a log: `run.hlog: line 7: the histogram is damaged`.
fn problem(file: &Path, line: Option<u64>, what: &str) -> String {
    let line = line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{}: {line}{what}", escaped(file.as_os_str().as_bytes()))
}

/// Larger than any histogram in base64: six million counts of nine bytes.
const LINE_BYTES_MAX: u64 = 96 << 20;

#[cfg(test)]
mod tests;
