//! The times of messages and connections, in histograms.

use hdrhistogram::Histogram;

/// Times of messages and connections, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Times {
    /// From when a message was due to its reply.
    pub response: Histogram<u64>,
    /// From when it was sent.
    pub service: Histogram<u64>,
    /// From when it was due to when it was sent.
    pub lag: Histogram<u64>,
    /// From the request of a connection until it was established.
    pub connect: Histogram<u64>,
    /// From when a heartbeat was due to its reply.
    pub heartbeat: Histogram<u64>,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self {
            response: histogram(),
            service: histogram(),
            lag: histogram(),
            connect: histogram(),
            heartbeat: histogram(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let from = [&other.response, &other.service, &other.lag, &other.connect, &other.heartbeat];
        let Self { response, service, lag, connect, heartbeat } = self;
        let into = [response, service, lag, connect, heartbeat];
        for (into, from) in into.into_iter().zip(from) {
            into.add(from).expect("a histogram that resizes takes any other");
        }
    }

    pub(super) fn reset(&mut self) {
        self.reset_messages();
        self.connect.reset();
    }

    pub(super) fn reset_messages(&mut self) {
        for histogram in [&mut self.response, &mut self.service, &mut self.lag, &mut self.heartbeat] {
            histogram.reset();
        }
    }
}

pub(crate) fn record(histogram: &mut Histogram<u64>, value: u64, count: u32) {
    histogram.record_n(value, count.into()).expect("a histogram that resizes takes any value");
}

/// With three significant digits: values are exact to a thousandth.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}
