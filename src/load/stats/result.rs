//! The result of a run as JSON: the summary, the judgment of each threshold, and every second.

use serde::Serialize;

use super::summary::{Outcome, Second, Summary};
use super::threshold::Judgment;

/// The result as `--json` writes it: times in microseconds, rates per second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LoadResult<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The result of each `--fail-if`.
    thresholds: &'a [Judgment],
    /// Every second of the run, also those in which connections were opened.
    seconds: &'a [Second],
}

impl<'a> LoadResult<'a> {
    /// The result of `outcome`, to which `thresholds` belong.
    pub(crate) fn of(outcome: &'a Outcome, thresholds: &'a [Judgment]) -> Self {
        Self { summary: &outcome.summary, thresholds, seconds: &outcome.seconds }
    }
}
