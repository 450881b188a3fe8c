//! Results and logs of several generators, for tests.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{MergeError, MergedRuns, merge_files, read};
use crate::load::error_kind::ErrorKind;
use crate::load::stats::clock_times::ClockTimes;
use crate::load::stats::histogram_log::IntervalLog;
use crate::load::stats::latency::Percentiles;
use crate::load::stats::result::LoadResult;
use crate::load::stats::summary::{Failure, Messages, Outcome, Second, Summary};
use crate::load::stats::times::Times;
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;
use crate::report::utc_time::UtcTime;

fn at(ms: u64) -> UtcTime {
    UtcTime::since_epoch(Duration::from_millis(1_795_292_266_000 + ms))
}

/// What a generator measured: its response times in each second.
pub(in crate::load) type Samples = Vec<Vec<u64>>;

pub(in crate::load) fn histogram<'a>(samples: impl IntoIterator<Item = &'a u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    samples.into_iter().for_each(|sample| histogram.record(*sample).unwrap());
    histogram
}

fn times<'a>(samples: impl IntoIterator<Item = &'a u64>) -> Times {
    let response = histogram(samples);
    Times { service: response.clone(), response, ..Times::new() }
}

/// A run that began at `began_ms`.
pub(in crate::load) fn outcome(samples: &Samples) -> Outcome {
    let acknowledged = samples.iter().flatten().count() as u64;
    let second = |(number, of): (u32, &Vec<u64>)| Second {
        at_seconds: f64::from(number) + 1.0,
        length_seconds: 1.0,
        open: 2,
        sent: of.len() as u64,
        answered: of.len() as u64,
        response_us: Percentiles::of(&histogram(of)),
        ..Second::default()
    };
    let mut summary = Summary::sample();
    summary.messages =
        Messages { sent: acknowledged + 3, acknowledged, failed: 1, unanswered: 2, ..Messages::default() };
    summary.failures = vec![Failure { reason: ErrorKind::Reset, count: 1, first: "first".into() }];
    Outcome {
        summary,
        seconds: (0..).zip(samples).map(second).collect(),
        times: times(samples.iter().flatten()),
    }
}

/// The JSON of `outcome`.
pub(in crate::load) fn json_of(outcome: &Outcome, run_id: &str, began_ms: u64) -> Value {
    let clock = ClockTimes { began_at: at(began_ms), measuring_at: None, synchronized_at: None };
    let result = LoadResult::of(outcome, &[], run_id, clock);
    serde_json::to_value(Record::new(Command::Load, &RunInfo::sample(), json!({}), result)).unwrap()
}

pub(in crate::load) fn result(run_id: &str, began_ms: u64, samples: &Samples) -> Vec<u8> {
    json_of(&outcome(samples), run_id, began_ms).to_string().into_bytes()
}

/// The log of the same run, without its end.
pub(in crate::load) fn log(run_id: &str, began_ms: u64, samples: &Samples) -> Vec<u8> {
    let mut file = Vec::new();
    let mut log = IntervalLog::new(&mut file, at(began_ms), Some(run_id)).unwrap();
    for (second, of) in (0..).zip(samples) {
        log.append(Duration::from_secs(second), Duration::from_secs(1), &times(of), false).unwrap();
    }
    file
}

/// The merge of `files`, which are called `0`, `1` and so on.
pub(in crate::load) fn merged<T: AsRef<[u8]>>(files: &[T]) -> Result<MergedRuns, MergeError> {
    let files: Vec<_> = (0..files.len()).map(|number| number.to_string()).zip(files).collect();
    merged_as(&files)
}

/// The merge of files with names.
pub(in crate::load) fn merged_as<T: AsRef<[u8]>>(
    files: &[(impl AsRef<str>, T)],
) -> Result<MergedRuns, MergeError> {
    merge_files(files.iter().map(|(name, file)| read(name.as_ref(), file.as_ref())))
}
