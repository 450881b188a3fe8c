//! The times of messages, in histograms.

use hdrhistogram::Histogram;

/// Times of messages, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Times {
    /// From when a message was due to its reply.
    pub response: Histogram<u64>,
    /// From when it was sent.
    pub service: Histogram<u64>,
    /// From when it was due to when it was sent.
    pub lag: Histogram<u64>,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self { response: histogram(), service: histogram(), lag: histogram() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let into = [&mut self.response, &mut self.service, &mut self.lag];
        for (into, from) in into.into_iter().zip([&other.response, &other.service, &other.lag]) {
            into.add(from).expect("a histogram that resizes takes any other");
        }
    }

    pub(super) fn reset(&mut self) {
        for histogram in [&mut self.response, &mut self.service, &mut self.lag] {
            histogram.reset();
        }
    }
}

pub(super) fn record(histogram: &mut Histogram<u64>, value: u64, count: u32) {
    histogram.record_n(value, count.into()).expect("a histogram that resizes takes any value");
}

/// With three significant digits: values are exact to a thousandth.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}
