//! The result of merged logs as JSON: the times of a run's JSON that a log has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::histogram_log::{CONNECT, LAG, Merged, RESPONSE, SERVICE};
use super::latency::{Lag, Latency};
use super::threshold::Judgment;

/// The result as `--merge` and `--json` write it. Keys that a run's [`Summary`](super::summary::Summary) also
/// has mean the same.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergedSummary<'a> {
    /// Number of logs.
    pub logs: usize,
    /// Number of intervals in the logs, counted for each tag.
    pub intervals: u64,
    /// From the start of the first interval to the end of the last, in seconds.
    pub span_seconds: f64,
    /// Distributions of times, in microseconds.
    pub latency_us: MergedLatencies,
    /// How late messages were sent, in microseconds. Only open loops have a schedule.
    pub schedule_lag_us: Lag,
    /// Times with the tags of other tools, in microseconds. Absent if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_us: BTreeMap<&'a str, Latency>,
    /// Tags that only some of the logs have, with the number of these logs: their sums are not those of all.
    pub incomplete: BTreeMap<&'a str, usize>,
    /// Last lines of logs that were cut off, and ignored: each with its log, its number and why.
    pub ignored: &'a [String],
    /// The result of each `--fail-if`.
    pub thresholds: &'a [Judgment],
}

/// Times of messages and connections.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergedLatencies {
    /// Response time: from when a message was due until it was answered.
    pub response: Latency,
    /// Service time: from when a message was sent until it was answered.
    pub service: Latency,
    /// From the request of a connection until it was established.
    pub connect: Latency,
}

/// The options of a merge.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MergeOptions {
    /// Paths of the logs. Bytes that are not UTF-8 are replaced.
    merge: Vec<String>,
}

impl MergeOptions {
    /// Bytes of `paths` that are not UTF-8 are replaced.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self { merge: paths.iter().map(|path| path.display().to_string()).collect() }
    }
}

impl<'a> MergedSummary<'a> {
    /// The result of `merged`. Times that no log has are unknown, with a count of zero.
    pub(crate) fn of(merged: &'a Merged, thresholds: &'a [Judgment]) -> Self {
        let latency = |tag| merged.histograms.get(tag).map(Latency::of).unwrap_or_default();
        let is_other = |tag: &str| ![RESPONSE, SERVICE, LAG, CONNECT].contains(&tag);
        let others = merged.histograms.iter().filter(|(tag, _)| is_other(tag));
        Self {
            logs: merged.files,
            intervals: merged.intervals,
            span_seconds: merged.span().as_secs_f64(),
            latency_us: MergedLatencies {
                response: latency(RESPONSE),
                service: latency(SERVICE),
                connect: latency(CONNECT),
            },
            schedule_lag_us: merged.histograms.get(LAG).map(Lag::of).unwrap_or_default(),
            other_us: others.map(|(tag, histogram)| (tag.as_str(), Latency::of(histogram))).collect(),
            incomplete: merged.incomplete().collect(),
            ignored: &merged.ignored,
            thresholds,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::summary::Summary;
    use super::*;

    fn json_of(tags: &[(&str, usize, u64)]) -> Value {
        serde_json::to_value(MergedSummary::of(&Merged::sample(tags), &[])).unwrap()
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
