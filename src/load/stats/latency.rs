//! Distributions of times: the percentiles for which there are enough samples.

use crate::units::float;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A distribution of times.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Latency {
    /// Median, in microseconds; null if fewer than ten samples are above it.
    pub p50: Option<f64>,
    /// 90th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p90: Option<f64>,
    /// 99th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99: Option<f64>,
    /// 99.9th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99_9: Option<f64>,
    /// 99.99th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99_99: Option<f64>,
    /// The largest, in microseconds; null without samples.
    pub max: Option<f64>,
    /// Mean, in microseconds; null without samples.
    pub mean: Option<f64>,
    /// Number of samples.
    pub count: u64,
}

/// How late messages were sent.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Lag {
    /// Median, in microseconds; null if fewer than ten samples are above it.
    pub p50: Option<f64>,
    /// 99th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99: Option<f64>,
    /// 99.9th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99_9: Option<f64>,
    /// The largest, in microseconds; null without samples.
    pub max: Option<f64>,
}

/// A lag has fewer percentiles.
impl From<&Lag> for Latency {
    fn from(&Lag { p50, p99, p99_9, max }: &Lag) -> Self {
        Self { p50, p99, p99_9, max, ..Self::default() }
    }
}

/// The percentiles of an interval.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Percentiles {
    /// Median, in microseconds; null if fewer than ten samples are above it.
    pub p50: Option<f64>,
    /// 99th percentile, in microseconds; null if fewer than ten samples are above it.
    pub p99: Option<f64>,
    /// The largest, in microseconds; null without samples.
    pub max: Option<f64>,
}

impl Latency {
    /// The distribution of `nanoseconds`.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(nanoseconds, 50.0),
            p90: percentile_us(nanoseconds, 90.0),
            p99: percentile_us(nanoseconds, 99.0),
            p99_9: percentile_us(nanoseconds, 99.9),
            p99_99: percentile_us(nanoseconds, 99.99),
            max: max_us(nanoseconds),
            mean: (!nanoseconds.is_empty()).then(|| nanoseconds.mean() / NS_PER_US),
            count: nanoseconds.len(),
        }
    }
}

impl Lag {
    /// The distribution of `nanoseconds`.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        let Latency { p50, p99, p99_9, max, .. } = Latency::of(nanoseconds);
        Self { p50, p99, p99_9, max }
    }
}

impl Percentiles {
    /// The distribution of `nanoseconds`. It is computed while messages are due, and each percentile searches
    /// all counts, so there are only as many as are shown.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(nanoseconds, 50.0),
            p99: percentile_us(nanoseconds, 99.0),
            max: max_us(nanoseconds),
        }
    }
}

/// The percentile in microseconds, if at least ten samples are above it.
pub(crate) fn percentile_us(nanoseconds: &Histogram<u64>, percentile: f64) -> Option<f64> {
    let samples_above = float(nanoseconds.len()) * (100.0 - percentile) / 100.0;
    // In floating point, 100 - 99.9 is slightly less than 0.1.
    (samples_above + 1e-6 >= SAMPLES_ABOVE_MIN)
        .then(|| microseconds(nanoseconds.value_at_percentile(percentile)))
}

fn max_us(nanoseconds: &Histogram<u64>) -> Option<f64> {
    (!nanoseconds.is_empty()).then(|| microseconds(nanoseconds.max()))
}

fn microseconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / NS_PER_US
}

/// Samples that a percentile needs above it.
const SAMPLES_ABOVE_MIN: f64 = 10.0;

const NS_PER_US: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_ten_samples_above_it() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(2000, 9_999).unwrap();
        assert_eq!(percentile_us(&histogram, 99.9), None);
        histogram.record(2000).unwrap();
        assert_eq!(percentile_us(&histogram, 99.9), Some(2.0));
        assert_eq!(percentile_us(&histogram, 99.99), None);
    }

    #[test]
    fn an_empty_histogram_has_no_percentiles() {
        let latency = Latency::of(&Histogram::new(3).unwrap());
        assert_eq!((latency.p50, latency.max, latency.mean, latency.count), (None, None, None, 0));
    }

    #[test]
    fn each_percentile_is_that_of_its_name() {
        let mut histogram = Histogram::new(3).unwrap();
        for (us, count) in [(1, 600_000), (2, 310_000), (3, 85_000), (4, 4500), (5, 450), (6, 50)] {
            histogram.record_n(us * 1000, count).unwrap();
        }
        let Latency { p50, p90, p99, p99_9, p99_99, max, mean, count } = Latency::of(&histogram);
        let found = [p50, p90, p99, p99_9, p99_99, max, mean].map(|us| us.unwrap().floor());
        assert_eq!((found, count), ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0], 1_000_000));
    }
}
