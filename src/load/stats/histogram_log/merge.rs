//! Sums of histograms by tag, over all intervals of all files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::IntervalLog;
use crate::report::utc_time::UtcTime;

/// The samples of one or more files. Their order makes no difference.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    /// Number of files.
    pub files: usize,
    /// Number of intervals of histogram logs, separately for each tag.
    pub intervals: u64,
    /// All samples, in nanoseconds, by tag.
    pub histograms: BTreeMap<String, Histogram<u64>>,
    /// Number of files that have a tag.
    pub(super) files_with: BTreeMap<String, usize>,
    /// Lines that were cut off and ignored, as text to be shown.
    pub ignored: Vec<String>,
    /// Start of the first interval and end of the last, since the epoch.
    span: Option<(Duration, Duration)>,
}

impl Merged {
    /// The samples of one file, without any yet.
    pub(crate) fn of_file() -> Self {
        Self { files: 1, ..Self::default() }
    }

    /// The sums of two logs: a thousand equal samples for each tag, which is in some of the logs.
    #[cfg(test)]
    pub(crate) fn sample(tags: &[(&str, usize, u64)]) -> Self {
        let mut merged = Self { files: 2, intervals: 7, ..Self::default() };
        for (tag, files, nanoseconds) in tags {
            let mut histogram = Histogram::new(3).expect("three digits are valid");
            histogram.record_n(*nanoseconds, 1000).expect("the histogram grows");
            merged.histograms.insert((*tag).into(), histogram);
            merged.files_with.insert((*tag).into(), *files);
        }
        merged
    }

    /// Adds all samples of `other`.
    ///
    /// # Errors
    /// The precision of its histograms differs.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), String> {
        for (tag, histogram) in &other.histograms {
            self.add_samples(tag, histogram)?;
        }
        for (tag, files) in &other.files_with {
            *self.files_with.entry(tag.clone()).or_default() += files;
        }
        self.files += other.files;
        self.intervals += other.intervals;
        self.ignored.extend_from_slice(&other.ignored);
        if let Some((first, last)) = other.span {
            self.add_span(first, last);
        }
        Ok(())
    }

    /// Adds samples of the one file that this is of.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn add_histogram(&mut self, tag: &str, histogram: &Histogram<u64>) -> Result<(), String> {
        self.add_samples(tag, histogram)?;
        self.files_with.insert(tag.to_owned(), 1);
        Ok(())
    }

    fn add_samples(&mut self, tag: &str, histogram: &Histogram<u64>) -> Result<(), String> {
        let precision = |of: &Histogram<u64>| (of.sigfig(), of.low());
        if self.histograms.values().any(|other| precision(other) != precision(histogram)) {
            return Err("the precision of the histogram differs from the others".into());
        }
        let sum = self.histograms.entry(tag.to_owned()).or_insert_with(|| {
            let mut empty = Histogram::new_from(histogram);
            empty.auto(true);
            empty
        });
        sum.add(histogram).map_err(|error| error.to_string())?;
        // Sums saturate; percentiles are not defined then.
        if sum.len() == u64::MAX { Err("there are more samples than can be counted".into()) } else { Ok(()) }
    }

    /// Extends the span to these times since the epoch.
    pub(crate) fn add_span(&mut self, begin: Duration, end: Duration) {
        let (first, last) = self.span.unwrap_or((begin, end));
        self.span = Some((first.min(begin), last.max(end)));
    }

    /// From the start of the first interval to the end of the last, over all files.
    pub(crate) fn span(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first))
    }

    /// When the first interval started.
    pub(crate) fn first(&self) -> Option<UtcTime> {
        self.span.map(|(first, _)| UtcTime::since_epoch(first))
    }

    /// All samples of `tag`, if every file has it. Otherwise the sum is not that of all generators.
    pub(crate) fn complete(&self, tag: &str) -> Option<&Histogram<u64>> {
        let is_in_all = self.files_with.get(tag) == Some(&self.files);
        self.histograms.get(tag).filter(|_| is_in_all)
    }

    /// The tags that only some of the files have, and how many do: their sums are not those of all generators.
    pub(crate) fn incomplete(&self) -> impl Iterator<Item = (&str, usize)> {
        let tags = self.files_with.iter().map(|(tag, files)| (tag.as_str(), *files));
        tags.filter(|(_, files)| *files < self.files)
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
}

#[cfg(test)]
mod tests;
