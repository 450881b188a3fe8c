//! The result of a run as JSON: the summary, the judgment of each threshold, every second, and all samples.

use serde::Serialize;

use super::clock_times::ClockTimes;
use super::encoded_times::EncodedTimes;
use super::summary::{Outcome, Second, Summary};
use super::threshold::Judgment;

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
