//! Reads histogram logs and merges them: sums all counts of all intervals of all files, by tag.
//!
//! A generator that was killed leaves an incomplete last line, which is ignored with a warning. Any other
//! fault is an error, and then nothing is merged.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use super::decode::decode;
use super::{IntervalLog, RESPONSE};
use crate::journal::escape::escape;

/// Merged logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    /// Number of logs.
    pub files: usize,
    /// Number of intervals, separately for each tag.
    pub intervals: u64,
    /// All samples, in nanoseconds, by tag.
    pub histograms: BTreeMap<String, Histogram<u64>>,
    /// What was ignored, in lines to be shown.
    pub warnings: Vec<String>,
    /// Start of the first interval and end of the last, since the epoch.
    span: Option<(Duration, Duration)>,
}

/// Why a log cannot be read: `run.hlog: line 7: the histogram is damaged`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` when the file cannot be opened.
    pub line: Option<u64>,
    /// What is invalid.
    pub what: String,
}

/// Reads one log.
///
/// # Errors
/// The file cannot be read, or is not a histogram log.
#[cfg(test)]
pub(crate) fn read(path: &Path) -> Result<Merged, LogError> {
    merge([path])
}

/// Merges the logs at `paths`. Their order makes no difference.
///
/// # Errors
/// A file cannot be read, or is not a histogram log.
pub(crate) fn merge<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Merged, LogError> {
    let mut merged = Merged::default();
    for path in paths {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| LogError::new(path, None, error.to_string()))?;
        merged.add_log(path, BufReader::new(file))?;
    }
    Ok(merged)
}

impl Merged {
    /// From the start of the first interval to the end of the last, over all logs.
    #[must_use]
    pub(crate) fn span(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first))
    }

    /// Writes the sums as one log with one interval for each tag.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, to: impl Write) -> io::Result<()> {
        let first = self.span.map_or(Duration::ZERO, |(first, _)| first);
        // A log of another tool may contain a time that the system cannot represent.
        let mut log = IntervalLog::new(to, UNIX_EPOCH.checked_add(first).unwrap_or(UNIX_EPOCH))?;
        for (tag, histogram) in &self.histograms {
            log.add_line(tag, Duration::ZERO, self.span(), histogram)?;
        }
        log.flush()
    }

    fn add_log(&mut self, name: &Path, mut from: impl BufRead) -> Result<(), LogError> {
        self.files += 1;
        let intervals_before = self.intervals;
        let (mut times, mut line) = (Times::default(), Vec::new());
        for number in 1.. {
            let error = |what: String| LogError::new(name, Some(number), what);
            line.clear();
            let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read.map_err(|problem| error(problem.to_string()))? as u64 {
                0 => break,
                LINE_BYTES_MAX => return Err(error("the line is too long for a histogram log".into())),
                _ => {}
            }
            let is_incomplete = !line.ends_with(b"\n");
            if is_incomplete {
                line.push(b'\n');
            }
            match self.add_line(&line, &mut times) {
                Ok(()) => {}
                // The first line is never written alone, so the file is not a log.
                Err(what) if is_incomplete && number > 1 => {
                    self.warnings
                        .push(error(format!("the line is incomplete and was ignored ({what})")).to_string());
                }
                Err(what) => return Err(error(what)),
            }
        }
        if self.intervals == intervals_before {
            self.warnings.push(LogError::new(name, None, "the log has no intervals".into()).to_string());
        }
        Ok(())
    }

    fn add_line(&mut self, line: &[u8], times: &mut Times) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match IntervalLogIterator::new(line).next() {
            None => {} // a comment, or the legend
            Some(Ok(LogEntry::StartTime(start))) => times.start = Some(start),
            Some(Ok(LogEntry::BaseTime(base))) => times.base = Some(base),
            Some(Ok(LogEntry::Interval(interval))) => self.add_interval(&interval, times)?,
            Some(Err(_)) => return Err("the line is not of a histogram log".into()),
        }
        Ok(())
    }

    fn add_interval(&mut self, interval: &IntervalLogHistogram<'_>, times: &Times) -> Result<(), String> {
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

        let begin = times.since_epoch(interval.start_timestamp());
        let end = begin.saturating_add(interval.duration());
        let (first, last) = self.span.unwrap_or((begin, end));
        self.span = Some((first.min(begin), last.max(end)));
        self.intervals += 1;
        Ok(())
    }
}

/// The times that the timestamps of a log are relative to.
#[derive(Debug, Default)]
struct Times {
    start: Option<Duration>,
    base: Option<Duration>,
}

impl Times {
    /// As in the original implementation: a timestamp is relative to the base time; without one, to the start
    /// time if it is more than a year before it; otherwise to the epoch.
    fn since_epoch(&self, timestamp: Duration) -> Duration {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let from_start = self.start.filter(|start| timestamp.saturating_add(YEAR) < *start);
        self.base.or(from_start).unwrap_or_default().saturating_add(timestamp)
    }
}

impl LogError {
    fn new(file: &Path, line: Option<u64>, what: String) -> Self {
        Self { file: file.to_owned(), line, what }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = Vec::new();
        escape(self.file.as_os_str().as_bytes(), &mut name);
        write!(f, "{}: ", String::from_utf8_lossy(&name))?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for LogError {}

/// Larger than any histogram in base64: six million counts of nine bytes.
const LINE_BYTES_MAX: u64 = 96 << 20;

#[cfg(test)]
mod tests {
    use super::super::{Interval, LAG, SERVICE};
    use super::*;
    use proptest::prelude::*;

    fn histogram(samples: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        samples.iter().for_each(|sample| histogram.record(*sample).unwrap());
        histogram
    }

    /// A log with an interval for each element: its response times; each service time is half as long.
    fn log_of(intervals: &[Vec<u64>]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut log = IntervalLog::new(&mut file, UNIX_EPOCH + Duration::from_secs(1_797_854_400)).unwrap();
        for (second, samples) in (0..).zip(intervals) {
            let halves: Vec<u64> = samples.iter().map(|sample| sample / 2).collect();
            let interval = Interval {
                start: Duration::from_secs(second),
                length: Duration::from_secs(1),
                response: &histogram(samples),
                service: &histogram(&halves),
                lag: None,
            };
            log.append(&interval).unwrap();
        }
        file
    }

    fn merged<'a>(logs: impl IntoIterator<Item = &'a [u8]>) -> Result<Merged, LogError> {
        let mut merged = Merged::default();
        for (number, log) in logs.into_iter().enumerate() {
            merged.add_log(Path::new(&format!("{number}.hlog")), log)?;
        }
        Ok(merged)
    }

    fn assert_same(found: &Histogram<u64>, expected: &Histogram<u64>) {
        let counts = |of: &Histogram<u64>| -> Vec<(u64, u64)> {
            of.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
        };
        assert_eq!(counts(found), counts(expected));
        assert_eq!((found.len(), found.min(), found.max()), (expected.len(), expected.min(), expected.max()));
        for permille in (0..=1000).step_by(25).chain([990, 999]) {
            let percentile = f64::from(permille) / 10.0;
            assert_eq!(found.value_at_percentile(percentile), expected.value_at_percentile(percentile));
        }
    }

    fn any_logs() -> impl Strategy<Value = Vec<Vec<Vec<u64>>>> {
        let sample = prop_oneof![0..100_u64, 1_000..10_000_000_u64, 1..60_000_000_000_u64];
        let interval = prop::collection::vec(sample, 0..20);
        prop::collection::vec(prop::collection::vec(interval, 0..4), 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn however_samples_are_split_the_merged_histogram_is_that_of_all(
            (logs, order) in any_logs().prop_flat_map(|logs| {
                let order: Vec<usize> = (0..logs.len()).collect();
                (Just(logs), Just(order).prop_shuffle())
            })
        ) {
            let all: Vec<u64> = logs.iter().flatten().flatten().copied().collect();
            let files: Vec<Vec<u8>> = logs.iter().map(|log| log_of(log)).collect();
            let sum = merged(order.iter().map(|at| &files[*at][..])).unwrap();
            let intervals = logs.iter().map(|log| 2 * log.len() as u64).sum::<u64>();
            prop_assert_eq!((sum.files, sum.intervals), (logs.len(), intervals));
            if intervals == 0 {
                prop_assert!(sum.histograms.is_empty());
                return Ok(());
            }
            assert_same(&sum.histograms[RESPONSE], &histogram(&all));
            let halves: Vec<u64> = all.iter().map(|sample| sample / 2).collect();
            assert_same(&sum.histograms[SERVICE], &histogram(&halves));

            // It can be written and read again.
            let mut file = Vec::new();
            sum.write(&mut file).unwrap();
            let again = merged([&file[..]]).unwrap();
            assert_same(&again.histograms[RESPONSE], &histogram(&all));
            prop_assert_eq!((again.span(), again.intervals), (sum.span(), 2));
        }

        #[test]
        fn the_complete_lines_of_a_truncated_log_are_read(cut in any::<prop::sample::Index>()) {
            let whole = log_of(&[vec![1_000_000], vec![2_000_000]]);
            let log = &whole[..cut.index(whole.len())];
            let lines = log.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Tag=")).count();
            let read = merged([log]).unwrap();
            prop_assert!(read.intervals == lines as u64 || read.intervals + 1 == lines as u64);
        }
    }

    #[test]
    fn an_incomplete_last_line_is_ignored_with_a_warning() {
        let whole = log_of(&[vec![1_000_000]]);
        let read = merged([&whole[..whole.len() - 9]]).unwrap();
        assert_eq!((read.intervals, read.histograms.get(SERVICE)), (1, None));
        let warning = "0.hlog: line 7: the line is incomplete and was ignored (the histogram does not have the length it states)";
        assert_eq!(read.warnings, [warning]);
    }

    #[test]
    fn a_log_without_its_last_line_break_is_complete() {
        let whole = log_of(&[vec![1_000_000]]);
        let read = merged([&whole[..whole.len() - 1]]).unwrap();
        assert_eq!((read.intervals, read.warnings.len()), (2, 0));
    }

    #[test]
    fn an_error_names_file_and_line() {
        let whole = String::from_utf8(log_of(&[vec![1_000_000]])).unwrap();
        let said = |text: &str| merged([whole.as_bytes(), text.as_bytes()]).unwrap_err().to_string();
        assert_eq!(said("{\"p99\": 5}"), "1.hlog: line 1: the line is not of a histogram log");
        let line = |histogram: &str| said(&format!("{whole}0.0,1.0,1.0,{histogram}\n"));
        assert_eq!(line("HIST"), "1.hlog: line 8: the histogram is not compressed in version 2");
        assert!(line("HI ST").starts_with("1.hlog: line 8: the histogram is not base64: "));
        assert_eq!(line("HISTFAAAAAk="), "1.hlog: line 8: the histogram does not have the length it states");
        assert_eq!(said(&whole.replace("Tag=service", "service")), {
            "1.hlog: line 7: the line is not of a histogram log"
        });
        assert!(
            read(Path::new("/no\n/such.hlog")).unwrap_err().to_string().starts_with("/no\\n/such.hlog: ")
        );
    }

    #[test]
    fn histograms_of_different_precision_are_not_mixed() {
        let mut coarse = Histogram::new(2).unwrap();
        coarse.record(1_000_000).unwrap();
        let log = log_of(&[vec![1_000_000]]);
        let mut other = Vec::new();
        let mut writer = IntervalLog::new(&mut other, UNIX_EPOCH).unwrap();
        writer.add_line(LAG, Duration::ZERO, Duration::ZERO, &coarse).unwrap();
        writer.flush().unwrap();
        let error = merged([&log[..], &other]).unwrap_err();
        assert_eq!(error.what, "the precision of the histogram differs from the others");
    }

    #[test]
    fn other_tools_leave_out_tags_and_count_time_from_the_start() {
        let log = String::from_utf8(log_of(&[vec![1_000_000], vec![2_000_000]])).unwrap();
        let untagged = log.replace("Tag=response,", "").replace('\n', "\r\n");
        let only_start = untagged.replace("#[BaseTime", "#[Base");
        for text in [&untagged, &only_start] {
            // Of two logs, the second a minute after the first.
            let later = text.replace("1797854400", "1797854460");
            let read = merged([text.as_bytes(), later.as_bytes()]).unwrap();
            assert_eq!((read.histograms[RESPONSE].len(), read.span()), (4, Duration::from_secs(62)));
        }
    }

    #[test]
    fn a_log_without_intervals_is_a_warning() {
        let read = merged([&b""[..], &log_of(&[])]).unwrap();
        assert_eq!(read.warnings, ["0.hlog: the log has no intervals", "1.hlog: the log has no intervals"]);
    }

    #[test]
    fn files_are_created_and_merged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hlog");
        let mut log = IntervalLog::create(&path, UNIX_EPOCH).unwrap();
        log.add_line(RESPONSE, Duration::ZERO, Duration::from_secs(1), &histogram(&[5])).unwrap();
        log.flush().unwrap();
        assert_eq!(merge([&path, &path]).unwrap().histograms[RESPONSE].len(), 2);
    }
}
