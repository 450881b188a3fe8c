//! A histogram with fixed buckets: recording is a search in a short table, without allocation.

/// Counts values by buckets, of which each has an upper bound that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for the values above the last.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Buckets up to each of `bounds`, which are sorted.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    pub(crate) fn record(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Each bound, with the number of values up to it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    /// The number of all values.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }
}

/// Bounds for times in nanoseconds, 1 µs to 10 s.
pub(super) const TIME_BOUNDS: &[u64] = &[
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Bounds for events of a turn, of which a poll returns 1,024 at most.
pub(super) const EVENT_BOUNDS: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.record(value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(10, 2), (20, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 1062));
    }

    #[test]
    fn bounds_are_sorted() {
        assert!(TIME_BOUNDS.is_sorted() && EVENT_BOUNDS.is_sorted());
    }
}
