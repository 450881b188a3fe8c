//! A histogram with logarithmic buckets, as a plot.

use hdrhistogram::Histogram;

use crate::report::format::time_us;
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::units::float;

/// A plot, and a note below it.
pub(super) type Noted = (Plot, &'static str);

/// How many of `nanoseconds` are in which bucket. `counted` is what is counted.
pub(super) fn histogram(title: &str, counted: &'static str, nanoseconds: &Histogram<u64>) -> Noted {
    let bars = Series::new(counted, buckets(nanoseconds)).drawn(Stroke::Bars);
    let x = Axis::new("time, logarithmic", Scale::Log, time_us);
    let y = Axis::numbers("count, logarithmic", Scale::Counts);
    let note = "All buckets have the same width on the axis. The counts are logarithmic too, so that rare slow ones \
                can be seen.";
    (Plot::new(title, x, y, vec![bars]), note)
}

/// At least a tenth of a microsecond, since a logarithmic axis has no zero.
pub(super) fn drawable(us: f64) -> f64 {
    us.max(0.1)
}

/// The lower end of each bucket in microseconds, with its count, and the upper end of the last.
fn buckets(nanoseconds: &Histogram<u64>) -> Vec<(f64, Option<f64>)> {
    if nanoseconds.is_empty() {
        return Vec::new();
    }
    let position = |nanoseconds: u64| drawable(float(nanoseconds) / 1000.0).log10();
    let (low, high) = (position(nanoseconds.min()), position(nanoseconds.max()));
    let fits = |per_decade: &f64| (high - low) * per_decade <= BUCKETS_MAX;
    let per_decade = PER_DECADE.into_iter().find(fits).unwrap_or(1.0);
    let first = (low * per_decade).floor();
    let last = (high * per_decade).floor().max(first);
    let edge = |bucket: f64| 10f64.powf(bucket / per_decade);
    let mut counts = vec![0u64; as_index(last - first) + 1];
    for value in nanoseconds.iter_recorded() {
        // A recorded value stands for a range, whose upper end may be above the largest.
        let bucket = (position(value.value_iterated_to()) * per_decade).floor().clamp(first, last);
        counts[as_index(bucket - first)] += value.count_at_value();
    }
    let ends = (0u32..).map(|number| edge(first + f64::from(number)));
    let shown = counts.iter().map(|count| (*count > 0).then(|| float(*count))).chain([None]);
    ends.zip(shown).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number, and not negative"
)]
fn as_index(number: f64) -> usize {
    number as usize
}

/// Buckets for each power of ten: as many as fit.
const PER_DECADE: [f64; 5] = [100.0, 50.0, 20.0, 10.0, 5.0];

/// More bars would be too narrow.
const BUCKETS_MAX: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nanoseconds: &[(u64, u64)]) -> Vec<(f64, Option<f64>)> {
        let mut histogram = Histogram::new(3).unwrap();
        nanoseconds.iter().for_each(|(value, count)| histogram.record_n(*value, *count).unwrap());
        buckets(&histogram)
    }

    #[test]
    fn every_sample_is_in_one_bucket() {
        let buckets = of(&[(90_000, 7), (100_000, 3), (250_000, 900), (40_000_000, 1), (179_000_000, 2)]);
        let all: f64 = buckets.iter().filter_map(|(_, count)| *count).sum();
        assert!((all - 913.0).abs() < 1e-9, "{all}");
        let bucket = |us: f64| {
            let pair = buckets.windows(2).find(|pair| pair[0].0 <= us && us < pair[1].0).unwrap();
            pair[0].1
        };
        assert_eq!(
            [90.0, 250.1, 40_001.0, 179_001.0].map(bucket),
            [Some(7.0), Some(900.0), Some(1.0), Some(2.0)]
        );
        assert_eq!(bucket(1_000.0), None);
        assert!(buckets.len() <= 61, "{buckets:?}");
    }

    #[test]
    fn all_buckets_have_the_same_width_on_a_logarithmic_axis() {
        let buckets = of(&[(1_000, 1), (1_000_000_000, 1)]);
        let ratios: Vec<f64> = buckets.windows(2).map(|pair| pair[1].0 / pair[0].0).collect();
        assert!(ratios.iter().all(|ratio| (ratio / ratios[0] - 1.0).abs() < 1e-9), "{ratios:?}");
    }

    #[test]
    fn equal_samples_fill_one_bucket_and_no_samples_none() {
        let one = of(&[(1_234_567, 50)]);
        assert_eq!(one.len(), 2, "a bucket has two ends: {one:?}");
        assert!(one[0].0 <= 1_235.0 && 1_234.0 <= one[1].0, "{one:?}");
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(0, 4)]).first().and_then(|bucket| bucket.1), Some(4.0), "zero is in the first");
    }
}
