//! The result of a run as JSON: the summary, the judgment of each threshold, every second, and all samples.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::clock_times::ClockTimes;
use super::histogram_log::Encoder;
use super::summary::{Outcome, Second, Summary};
use super::threshold::Judgment;
use super::times::Times;

/// The result as `--json` writes it: times in microseconds, rates per second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LoadResult<'a> {
    /// A random identity of the run. Its histogram log has it too, so that they are not merged with each other.
    run_id: &'a str,
    /// When the run took place, by the clock of the host.
    clock: ClockTimes,
    #[serde(flatten)]
    summary: &'a Summary,
    /// The result of each `--fail-if`.
    thresholds: &'a [Judgment],
    /// Every second of the run, also those in which connections were opened.
    seconds: &'a [Second],
    /// All samples, which `--merge` adds: each in nanoseconds, in the compressed encoding of `HdrHistogram` (V2) in base64,
    /// as in histogram logs.
    histograms: EncodedTimes,
}

/// Encoded histograms. Those without samples are absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct EncodedTimes {
    /// Response times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Service times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How late messages were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
    /// Times to connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Times of heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
}

impl<'a> LoadResult<'a> {
    /// The result of `outcome`, to which `thresholds` belong.
    pub(crate) fn of(
        outcome: &'a Outcome,
        thresholds: &'a [Judgment],
        run_id: &'a str,
        clock: ClockTimes,
    ) -> Self {
        let Outcome { summary, seconds, times } = outcome;
        Self { run_id, clock, summary, thresholds, seconds, histograms: EncodedTimes::of(times) }
    }
}

impl EncodedTimes {
    fn of(times: &Times) -> Self {
        let mut encoder = Encoder::new();
        let mut encode = |histogram: &Histogram<u64>| {
            let mut text = String::new();
            let encoded = (!histogram.is_empty()).then(|| encoder.append(histogram, &mut text));
            encoded?.expect("memory takes any bytes");
            Some(text)
        };
        Self {
            response: encode(&times.response),
            service: encode(&times.service),
            lag: encode(&times.lag),
            connect: encode(&times.connect),
            heartbeat: encode(&times.heartbeat),
        }
    }
}
