//! The result of several generators as JSON: the keys of a run's JSON that their files have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::clock_times::ClockTimes;
use super::ending::{EndedEarly, Failed};
use super::histogram_log::{CONNECT, LAG, RESPONSE, SERVICE};
use super::latency::{Lag, Latency};
use super::summary::{Bytes, Connections, Datagrams, Heartbeats, Messages, Summary};
use super::threshold::Judgment;
use crate::load::merge::{AlignedSecond, CountedFailure, Generator, MergedRuns, sum};
use crate::report::utc_time::UtcTime;

/// The result as `--merge` and `--json` write it. Keys that a run's [`Summary`](super::summary::Summary) also
/// has mean the same.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergedSummary<'a> {
    /// Number of histogram logs.
    pub logs: usize,
    /// Number of JSON results.
    pub results: usize,
    /// A line about each file that has no result: a generator that is missing.
    pub missing: &'a [String],
    /// Number of intervals in the logs, counted for each tag.
    pub intervals: u64,
    /// From the start of the first run or interval to the end of the last, in seconds, by the clocks of the hosts.
    pub span_seconds: f64,
    /// The time between the starts of the first and the last generator, in seconds; null if one is unknown.
    pub apart_seconds: Option<f64>,
    /// Sums of the counts in the JSON results. Absent if there are only logs.
    #[serde(flatten)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<MergedCounts<'a>>,
    /// Distributions of times, in microseconds.
    pub latency_us: MergedLatencies,
    /// How late messages were sent, in microseconds. Only open loops have a schedule.
    pub schedule_lag_us: Lag,
    /// Times with other tags, of heartbeats and of other tools, in microseconds. Absent if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_us: BTreeMap<&'a str, Latency>,
    /// Tags that only some of the files have, with the number of these files: their sums are not those of all.
    pub incomplete: BTreeMap<&'a str, usize>,
    /// Last lines of logs that were cut off, and ignored: each with its log, its number and why.
    pub ignored: &'a [String],
    /// The result of each `--fail-if`.
    pub thresholds: &'a [Judgment],
    /// Each generator, in the order of the files.
    pub generators: Vec<GeneratorRow<'a>>,
    /// Sums of the seconds of all generators, each moved by whole seconds so that they are aligned by the clocks of the
    /// hosts. Seconds without an interval are left out.
    pub seconds: Vec<AlignedSecond>,
}

/// Sums of the counts in JSON results.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergedCounts<'a> {
    /// Counts of connections: sums, also of `open_rate`; `open_seconds` is the longest.
    pub connections: &'a Connections,
    /// Counts of messages: sums, also of `rate` and `offered_rate`.
    pub messages: &'a Messages,
    /// Of the messages, those of connections that are not active. Absent without `--heartbeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeats: Option<&'a Heartbeats>,
    /// Counts of datagrams. Absent if the service is not on UDP. Drops of a host count for each generator on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<&'a Datagrams>,
    /// Bytes of all connections.
    pub bytes: &'a Bytes,
    /// The longest time that messages were sent or connections held, in seconds.
    pub duration_seconds: f64,
    /// Whether every generator kept up.
    pub valid: bool,
    /// Whether a signal ended one of the runs.
    pub interrupted: bool,
    /// Errors by kind, the most frequent first.
    pub failures: Vec<CountedFailure>,
}

/// A generator. What its file does not have is null.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct GeneratorRow<'a> {
    /// Its file.
    pub file: &'a str,
    /// The identity of its run.
    pub run_id: Option<&'a str>,
    /// The host name of its machine.
    pub host: Option<&'a str>,
    /// Its target.
    pub endpoint: Option<&'a str>,
    /// When its run began, by its clock.
    pub began_at: Option<UtcTime>,
    /// The times of its clock.
    pub clock: Option<ClockTimes>,
    /// Whether its run came to an end: false if its log has none, as when the generator was killed.
    pub finished: Option<bool>,
    /// Whether a signal ended its run.
    pub interrupted: Option<bool>,
    /// Why its run ended early.
    pub ended_early: Option<EndedEarly>,
    /// Why its run failed.
    pub failed: Option<Failed>,
    /// Whether it kept up.
    pub valid: Option<bool>,
    /// Why it did not.
    pub why_invalid: Option<&'a str>,
    /// Share of the time in which it neither waited nor spun, 0 to 1.
    pub busy: Option<f64>,
    /// Connections that it opened.
    pub opened: Option<u64>,
    /// Its counts of messages.
    pub messages: Option<&'a Messages>,
    /// Its response times, in microseconds.
    pub response_us: Latency,
}

/// Times of messages and connections.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergedLatencies {
    /// Response time: from when a message was due until it was answered.
    pub response: Latency,
    /// Service time: from when a message was sent until it was answered.
    pub service: Latency,
    /// From the request of a connection until it was established. Those that the server closed before anything
    /// was sent on them are included, though they are counted as failed.
    pub connect: Latency,
}

/// The options of a merge.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergeOptions {
    /// Paths of the files. Bytes that are not UTF-8 are replaced.
    merge: Vec<String>,
}

impl MergeOptions {
    /// Bytes of `paths` that are not UTF-8 are replaced.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self { merge: paths.iter().map(|path| path.display().to_string()).collect() }
    }
}

impl<'a> MergedSummary<'a> {
    /// The result of `runs`. Times that no file has are unknown, with a count of zero.
    pub(crate) fn of(runs: &'a MergedRuns, thresholds: &'a [Judgment]) -> Self {
        let times = &runs.times;
        let latency = |tag| times.histograms.get(tag).map(Latency::of).unwrap_or_default();
        let is_other = |tag: &str| ![RESPONSE, SERVICE, LAG, CONNECT].contains(&tag);
        let others = times.histograms.iter().filter(|(tag, _)| is_other(tag));
        Self {
            logs: times.files - runs.with_counts(),
            results: runs.with_counts(),
            missing: &runs.missing,
            intervals: times.intervals,
            span_seconds: times.span().as_secs_f64(),
            apart_seconds: runs.apart_seconds(),
            counts: runs.counts.as_ref().map(|summary| MergedCounts::of(summary, runs)),
            latency_us: MergedLatencies {
                response: latency(RESPONSE),
                service: latency(SERVICE),
                connect: latency(CONNECT),
            },
            schedule_lag_us: times.histograms.get(LAG).map(Lag::of).unwrap_or_default(),
            other_us: others.map(|(tag, histogram)| (tag.as_str(), Latency::of(histogram))).collect(),
            incomplete: times.incomplete().collect(),
            ignored: &times.ignored,
            thresholds,
            generators: runs.generators.iter().map(GeneratorRow::of).collect(),
            seconds: sum(&runs.aligned()),
        }
    }
}

impl<'a> MergedCounts<'a> {
    fn of(summary: &'a Summary, runs: &MergedRuns) -> Self {
        Self {
            connections: &summary.connections,
            messages: &summary.messages,
            heartbeats: summary.heartbeats.as_ref(),
            datagrams: summary.datagrams.as_ref(),
            bytes: &summary.bytes,
            duration_seconds: summary.duration_seconds,
            valid: summary.valid,
            interrupted: summary.interrupted,
            failures: runs.failures(),
        }
    }
}

impl<'a> GeneratorRow<'a> {
    fn of(generator: &'a Generator) -> Self {
        let result = generator.result.as_ref();
        Self {
            file: &generator.file,
            run_id: generator.run_id.as_deref(),
            host: result.map(|it| it.run.host.as_str()),
            endpoint: result.map(|it| it.endpoint.as_str()),
            began_at: generator.began_at,
            clock: result.map(|it| it.clock),
            finished: generator.is_finished,
            interrupted: result.map(|it| it.interrupted),
            ended_early: result.and_then(|it| it.ended_early),
            failed: result.and_then(|it| it.failed),
            valid: result.map(|it| it.valid),
            why_invalid: result.and_then(|it| it.why_invalid.as_deref()),
            busy: result.map(|it| it.generator.busy),
            opened: result.map(|it| it.connections.opened),
            messages: result.map(|it| &it.messages),
            response_us: generator.times.histograms.get(RESPONSE).map(Latency::of).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn json_of(tags: &[(&str, usize, u64)]) -> Value {
        serde_json::to_value(MergedSummary::of(&MergedRuns::sample(tags), &[])).unwrap()
    }

    #[test]
    fn times_have_the_keys_of_a_run() {
        let result = json_of(&[(RESPONSE, 2, 2000), (SERVICE, 2, 1000), (LAG, 2, 500), (CONNECT, 2, 300)]);
        let run = serde_json::to_value(Summary::sample()).unwrap();
        let keys = |of: &Value| -> Vec<String> { of.as_object().unwrap().keys().cloned().collect() };
        for name in ["/latency_us/response", "/latency_us/service", "/latency_us/connect", "/schedule_lag_us"]
        {
            assert_eq!(keys(result.pointer(name).unwrap()), keys(run.pointer(name).unwrap()), "{name}");
        }
        assert_eq!((&result["logs"], &result["intervals"]), (&json!(2), &json!(7)));
        assert_eq!(result["latency_us"]["response"]["p99"], 2.0);
        assert_eq!(result["latency_us"]["service"]["p99"], 1.0);
        assert_eq!(result["latency_us"]["service"]["count"], 1000);
        assert_eq!(result["latency_us"]["connect"]["max"], 0.3);
        assert_eq!(result["schedule_lag_us"]["max"], 0.5);
        assert_eq!(result.get("other_us"), None);
    }

    #[test]
    fn times_that_no_log_has_are_null() {
        let result = json_of(&[("disk", 2, 1500)]);
        assert_eq!(result["latency_us"]["response"]["p50"], Value::Null);
        assert_eq!(result["latency_us"]["response"]["count"], 0);
        assert_eq!(result["schedule_lag_us"]["max"], Value::Null);
        assert_eq!(result["other_us"]["disk"]["max"], 1.5);
    }

    #[test]
    fn tags_of_some_logs_are_marked() {
        let result = json_of(&[(RESPONSE, 2, 2000), (LAG, 1, 500), ("disk", 1, 1500)]);
        assert_eq!(result["incomplete"], json!({"disk": 1, "lag": 1}));
        assert_eq!(json_of(&[(RESPONSE, 2, 2000)])["incomplete"], json!({}));
    }
}
