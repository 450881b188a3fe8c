//! Reads the JSON result of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::load::stats::clock_times::ClockTimes;
use crate::load::stats::encoded_times::EncodedTimes;
use crate::load::stats::ending::{EndedEarly, Failed};
use crate::load::stats::histogram_log::{
    CONNECT, HEARTBEAT, LAG, Merged, RESPONSE, ReadError, SERVICE, decode,
};
use crate::load::stats::summary::{
    Bytes, Connections, Datagrams, Failure, Generator as Resources, Heartbeats, LoadModel, Messages, Second,
};
use crate::report::record::SCHEMA;
use crate::report::utc_time::UtcTime;

/// What a merge needs of a result. Its keys are those of the JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct RunResult {
    pub run: Run,
    pub run_id: String,
    pub clock: ClockTimes,
    pub endpoint: String,
    pub connections: Connections,
    pub messages: Messages,
    pub heartbeats: Option<Heartbeats>,
    pub datagrams: Option<Datagrams>,
    pub bytes: Bytes,
    pub generator: Resources,
    pub duration_seconds: f64,
    pub load_model: LoadModel,
    pub interrupted: bool,
    pub ended_early: Option<EndedEarly>,
    pub failed: Option<Failed>,
    pub valid: bool,
    pub why_invalid: Option<String>,
    pub failures: Vec<CountedFailure>,
    pub seconds: Vec<Second>,
    histograms: EncodedTimes,
}

/// The machine of a run.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    pub host: String,
}

/// An error. Its reason is in words, which another version may have more of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CountedFailure {
    /// The kind of error, in words.
    pub reason: String,
    /// How often it occurred, in all generators.
    pub count: u64,
    /// Description of the first of one of the generators.
    pub first: String,
}

impl CountedFailure {
    /// The errors of a run.
    pub(crate) fn of(failures: &[Failure]) -> Vec<Self> {
        let counted =
            |it: &Failure| Self { reason: it.reason.to_string(), count: it.count, first: it.first.clone() };
        failures.iter().map(counted).collect()
    }
}

impl RunResult {
    /// The result in `json`, and its samples.
    ///
    /// # Errors
    /// A line without the name of the file.
    pub(super) fn read(json: &[u8]) -> Result<(Self, Merged), ReadError> {
        let value: Value = serde_json::from_slice(json).map_err(|error| {
            if error.is_eof() {
                ReadError::Absent(format!("the result is incomplete ({error})"))
            } else {
                ReadError::Invalid(format!("neither a histogram log nor JSON: {error}"))
            }
        })?;
        check_kind(&value).map_err(ReadError::Invalid)?;
        let result = serde_json::from_value::<Self>(value)
            .map_err(|error| ReadError::Invalid(format!("not a result of loopline load: {error}")))?;
        let times = result.times().map_err(ReadError::Invalid)?;
        Ok((result, times))
    }

    fn times(&self) -> Result<Merged, String> {
        let mut times = Merged::of_file();
        let EncodedTimes { response, service, lag, connect, heartbeat } = &self.histograms;
        let tagged = [
            (RESPONSE, response),
            (SERVICE, service),
            (LAG, lag),
            (CONNECT, connect),
            (HEARTBEAT, heartbeat),
        ];
        for (tag, encoded) in tagged {
            let Some(encoded) = encoded else { continue };
            let added = decode(encoded).and_then(|histogram| times.add_histogram(tag, &histogram));
            added.map_err(|what| format!("histograms.{tag}: {what}"))?;
        }
        let began = self.clock.began_at.since(UtcTime::since_epoch(Duration::ZERO));
        let length = self.seconds.last().map_or(0.0, |last| last.at_seconds);
        let length = Duration::try_from_secs_f64(length).map_err(|error| format!("at_seconds: {error}"))?;
        times.add_span(began, began.saturating_add(length));
        Ok(times)
    }
}

/// Checks that `value` is the result of one run.
fn check_kind(value: &Value) -> Result<(), String> {
    match value["command"].as_str() {
        Some("load") => {}
        Some(other) => return Err(format!("a result of loopline {other}, which cannot be merged")),
        None => return Err("JSON that is not a result of loopline load".into()),
    }
    match value["schema"].as_u64() {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        schema => {
            let schema = schema.map_or_else(|| "no schema".into(), |schema| format!("schema {schema}"));
            return Err(format!("it has {schema}, and this version reads schema {SCHEMA}"));
        }
    }
    if value.get("logs").is_some() {
        return Err("a merged result: name those of its generators instead".into());
    }
    if value.get("idle_probe").is_some() {
        return Err("a result of --idle-probe, which cannot be merged".into());
    }
    if value.get("find").is_some() {
        return Err("a result of --find, which cannot be merged".into());
    }
    if value.get("histograms").is_none() {
        let version = value["loopline"].as_str().unwrap_or("?");
        return Err(format!(
            "it has no histograms: not the result of one run, or of an older version than this one (by {version})"
        ));
    }
    Ok(())
}
