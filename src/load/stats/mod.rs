//! Counters, latencies, the result of a run, and thresholds on it.

pub(crate) mod clock_times;
pub(crate) mod counts;
pub(crate) mod encoded_times;
pub(crate) mod ending;
pub(crate) mod histogram_log;
pub(crate) mod idle_probe;
pub(crate) mod invalid;
pub(crate) mod kernel_counters;
pub(crate) mod latency;
pub(crate) mod merged_summary;
pub(crate) mod result;
pub(crate) mod stages;
pub(crate) mod summary;
pub(crate) mod tally;
pub(crate) mod threshold;
pub(crate) mod times;
