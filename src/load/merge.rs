//! `--merge`: one result of several generators, from their JSON results and their histogram logs.
//!
//! Counts and samples add up, and seconds are aligned. A generator whose file is missing or incomplete, that
//! was killed, interrupted or not valid, is named.

mod aligned;
mod counts;
#[cfg(test)]
pub(super) mod fixtures;
mod generator;
mod run_result;

pub(crate) use aligned::{AlignedSecond, sum};
pub(crate) use generator::Generator;
pub(crate) use run_result::CountedFailure;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use self::counts::{failures_of, summary_of};
use self::run_result::RunResult;
use super::stats::histogram_log::{Log, Merged, ReadError};
use super::stats::summary::Summary;
use crate::journal::escape::escaped;
use crate::report::format::{count, time_us};
use crate::report::utc_time::UtcTime;

/// The result of several generators.
#[derive(Debug)]
pub(crate) struct MergedRuns {
    /// All samples of all generators.
    pub times: Merged,
    /// In the order of their files.
    pub generators: Vec<Generator>,
    /// A line about each file that has no result.
    pub missing: Vec<String>,
    /// The sums of the counts of those that have some: a log has none.
    pub counts: Option<Summary>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MergeError {
    /// Samples would count twice.
    Twice(String),
    /// A file is not a result, or no file is.
    Invalid(String),
}

/// Merges the files at `paths`. Their order makes no difference for sums.
///
/// # Errors
/// See [`MergeError`].
pub(crate) fn merge<P: AsRef<Path>>(paths: &[P]) -> Result<MergedRuns, MergeError> {
    let files = paths.iter().map(|path| {
        let path = path.as_ref();
        let name = escaped(path.as_os_str().as_bytes());
        let file = File::open(path).map_err(|error| ReadError::Absent(format!("{name}: {error}")));
        file.and_then(|file| read(&name, BufReader::new(file)))
    });
    merge_files(files)
}

fn merge_files(
    files: impl IntoIterator<Item = Result<Generator, ReadError>>,
) -> Result<MergedRuns, MergeError> {
    let (mut generators, mut missing): (Vec<Generator>, _) = (Vec::new(), Vec::new());
    let mut times = Merged::default();
    for file in files {
        let generator = match file {
            Ok(generator) => generator,
            Err(ReadError::Absent(line)) => {
                missing.push(line);
                continue;
            }
            Err(ReadError::Invalid(line)) => return Err(MergeError::Invalid(line)),
        };
        let is_same = |other: &&Generator| other.run_id.is_some() && other.run_id == generator.run_id;
        if let Some(other) = generators.iter().find(is_same) {
            let (file, other) = (&generator.file, &other.file);
            let line = format!("{file}: of the same run as {other}, so its samples would count twice");
            return Err(MergeError::Twice(line));
        }
        let added = times.add(&generator.times);
        added.map_err(|what| MergeError::Invalid(format!("{}: {what}", generator.file)))?;
        generators.push(generator);
    }
    if generators.is_empty() {
        let line = missing.into_iter().next().unwrap_or_else(|| "no file to merge".into());
        return Err(MergeError::Invalid(line));
    }
    let counts = summary_of(&generators, &times);
    Ok(MergedRuns { times, generators, missing, counts })
}

/// Reads a result or a log, which its first byte tells apart.
fn read(name: &str, mut from: impl BufRead) -> Result<Generator, ReadError> {
    let failed = |error: std::io::Error| ReadError::Invalid(format!("{name}: {error}"));
    let beginning = from.fill_buf().map_err(failed)?;
    if beginning.is_empty() {
        return Err(ReadError::Absent(format!("{name}: the file is empty")));
    }
    let first = beginning.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    if first != Some(b'{') {
        let log = Log::read(name, from)?;
        return Ok(Generator {
            file: name.into(),
            began_at: log.began_at(),
            is_finished: log.run_id.is_some().then_some(log.has_end),
            times: log.times,
            run_id: log.run_id,
            seconds: log.seconds,
            result: None,
        });
    }
    let mut text = Vec::new();
    from.read_to_end(&mut text).map_err(failed)?;
    let (mut result, times) = RunResult::read(&text).map_err(|error| match error {
        ReadError::Absent(what) => ReadError::Absent(format!("{name}: {what}")),
        ReadError::Invalid(what) => ReadError::Invalid(format!("{name}: {what}")),
    })?;
    Ok(Generator {
        file: name.into(),
        times,
        run_id: Some(std::mem::take(&mut result.run_id)),
        began_at: Some(result.clock.began_at),
        seconds: std::mem::take(&mut result.seconds),
        is_finished: Some(true),
        result: Some(result),
    })
}

impl MergedRuns {
    /// The sums of two logs, see [`Merged::sample`].
    #[cfg(test)]
    pub(crate) fn sample(tags: &[(&str, usize, u64)]) -> Self {
        Self { times: Merged::sample(tags), generators: Vec::new(), missing: Vec::new(), counts: None }
    }

    /// How many generators have counts.
    pub(crate) fn with_counts(&self) -> usize {
        self.generators.iter().filter(|generator| generator.result.is_some()).count()
    }

    /// What is merged.
    pub(crate) fn noun(&self) -> &'static str {
        if self.with_counts() == 0 { "logs" } else { "generators" }
    }

    /// The generators whose results are missing or end before their runs did, a line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let unfinished = self.generators.iter().filter_map(Generator::unfinished);
        self.missing.iter().cloned().chain(unfinished).collect()
    }

    /// Whether every generator that was named has counts, so that theirs are those of the whole.
    pub(crate) fn has_all_counts(&self) -> bool {
        self.missing.is_empty() && self.with_counts() == self.generators.len()
    }

    /// The errors of all generators by kind, the most frequent first.
    pub(crate) fn failures(&self) -> Vec<CountedFailure> {
        failures_of(&self.generators)
    }

    /// The seconds of each generator, on one axis of time.
    pub(crate) fn aligned(&self) -> Vec<Vec<AlignedSecond>> {
        aligned::aligned(&self.generators)
    }

    /// The time from the first beginning of a run to the last, in seconds; `None` if a beginning is unknown.
    pub(crate) fn apart_seconds(&self) -> Option<f64> {
        let began: Option<Vec<UtcTime>> = self.generators.iter().map(|it| it.began_at).collect();
        let began = began?;
        Some(began.iter().max()?.since(*began.iter().min()?).as_secs_f64())
    }

    /// What is missing, and which generators did not do what they should, a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.missing.iter().map(|line| format!("missing: {line}")).collect();
        let (all, with_counts) = (self.generators.len() + self.missing.len(), self.with_counts());
        if with_counts > 0 && with_counts < all {
            notes.push(format!("counts and rates are those of {with_counts} of {all} generators"));
        }
        notes.extend(self.generators.iter().flat_map(Generator::notes));
        let apart = self.apart_seconds().filter(|apart| with_counts > 0 && *apart >= APART_SECONDS_MAX);
        notes.extend(apart.map(|apart| {
            let apart = time_us(apart * 1e6);
            format!(
                "the runs began {apart} apart, by the clocks of their hosts, and did not load the server together"
            )
        }));
        notes
    }
}

/// `4 generators`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Runs that began this far apart did not load the server together.
const APART_SECONDS_MAX: f64 = 1.0;

#[cfg(test)]
mod tests;
