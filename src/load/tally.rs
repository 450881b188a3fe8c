//! Everything that is counted and timed in a run, as it happens. It knows no connection.

use hdrhistogram::Histogram;

use super::conns::Batch;
use super::summary::{Failure, Second, Spread};
use super::trouble::Trouble;

/// Counts and times.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) count: Counts,
    /// Times of the second that runs.
    interval: Times,
    /// Those of the seconds before.
    total: Times,
    /// From asking for a connection to having it.
    connect: Histogram<u64>,
    seconds: Vec<Second>,
    failures: Vec<(Trouble, Failure)>,
    /// Why connections could not be opened, and how many.
    not_opened: Vec<(Trouble, u64)>,
    began_ns: u64,
    interval_began_ns: u64,
    at_interval: Counts,
    /// Messages are due when the reply before is in, so that what is due is sent.
    closed_loop: bool,
}

/// What is counted, since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Connections that are there.
    pub(crate) open: u64,
    /// Connections that were there.
    pub(crate) opened: u64,
    /// Connections that could not be opened.
    pub(crate) not_opened: u64,
    /// Connections that were there and broke.
    pub(crate) lost: u64,
    /// Connections that were there only after a second or more.
    pub(crate) slow: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Datagrams whose answer came after its time.
    pub(crate) late: u64,
    /// Datagrams whose time for an answer is over.
    pub(crate) overdue: u64,
    pub(crate) duplicate: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// Times of messages, in nanoseconds.
#[derive(Debug)]
pub struct Times {
    /// From when a message was due to its reply.
    pub response: Histogram<u64>,
    /// From when it was sent.
    pub service: Histogram<u64>,
    /// From when it was due to when it was sent.
    pub lag: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        Self { response: histogram(), service: histogram(), lag: histogram() }
    }

    fn add(&mut self, other: &Self) {
        let into = [&mut self.response, &mut self.service, &mut self.lag];
        for (into, from) in into.into_iter().zip([&other.response, &other.service, &other.lag]) {
            into.add(from).expect("a histogram that resizes takes any other");
        }
    }

    fn reset(&mut self) {
        for histogram in [&mut self.response, &mut self.service, &mut self.lag] {
            histogram.reset();
        }
    }
}

impl Counts {
    /// Messages that wait for their replies.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.answered - self.failed
    }

    fn errors(&self) -> u64 {
        self.not_opened + self.lost + self.failed
    }
}

impl Tally {
    pub(crate) fn new(began_ns: u64, closed_loop: bool) -> Self {
        Self {
            count: Counts::default(),
            interval: Times::new(),
            total: Times::new(),
            connect: histogram(),
            seconds: Vec::new(),
            failures: Vec::new(),
            not_opened: Vec::new(),
            began_ns,
            interval_began_ns: began_ns,
            at_interval: Counts::default(),
            closed_loop,
        }
    }

    /// A connection is there, `connect_ns` after it was asked for.
    pub(crate) fn opened(&mut self, connect_ns: u64) {
        self.count.open += 1;
        self.count.opened += 1;
        self.count.slow += u64::from(connect_ns >= SYN_RETRY_NS);
        record(&mut self.connect, connect_ns, 1);
    }

    /// The messages of `batch` are answered.
    pub(crate) fn answered(&mut self, batch: Batch, now_ns: u64) {
        self.count.answered += u64::from(batch.count);
        let service_ns = now_ns.saturating_sub(batch.sent_ns);
        record(&mut self.interval.service, service_ns, batch.count);
        if !self.closed_loop {
            let response_ns = service_ns + u64::from(batch.lag_us) * 1000;
            record(&mut self.interval.response, response_ns, batch.count);
        }
    }

    /// A message was sent so long after it was due.
    pub(crate) fn lagged(&mut self, lag_ns: u64) {
        record(&mut self.interval.lag, lag_ns, 1);
    }

    /// A connection could not be opened.
    pub(crate) fn not_opened(&mut self, trouble: Trouble, what: impl FnOnce() -> String) {
        self.count.not_opened += 1;
        self.unconnected(trouble, what);
    }

    /// A message got no connection.
    pub(crate) fn unconnected(&mut self, trouble: Trouble, what: impl FnOnce() -> String) {
        match self.not_opened.iter_mut().find(|(known, _)| *known == trouble) {
            Some((_, count)) => *count += 1,
            None => self.not_opened.push((trouble, 1)),
        }
        self.trouble(trouble, 1, what);
    }

    /// Something went wrong, `count` times; `what` says it in words, for the first of its kind.
    pub(crate) fn trouble(&mut self, trouble: Trouble, count: u64, what: impl FnOnce() -> String) {
        if let Some((_, failure)) = self.failures.iter_mut().find(|(known, _)| *known == trouble) {
            failure.count += count;
        } else {
            self.failures.push((trouble, Failure { reason: trouble.name(), count, first: what() }));
        }
    }

    /// The second is over.
    pub(crate) fn close_interval(&mut self, now_ns: u64) -> (&Second, &Times) {
        if self.closed_loop {
            // A message is due when it is sent, so the two times are one.
            self.interval.response.set_to(&self.interval.service).expect("a histogram that resizes");
        }
        let (now, before) = (self.count, self.at_interval);
        self.seconds.push(Second {
            at_seconds: seconds(now_ns - self.began_ns),
            length_seconds: seconds(now_ns - self.interval_began_ns),
            open: now.open,
            sent: now.sent - before.sent,
            answered: now.answered - before.answered,
            errors: now.errors().saturating_sub(before.errors()),
            response_us: Spread::of(&self.interval.response),
            lag_us: Spread::of(&self.interval.lag),
        });
        self.total.add(&self.interval);
        self.at_interval = now;
        self.interval_began_ns = now_ns;
        (self.seconds.last().expect("one was pushed"), &self.interval)
    }

    /// The next second begins.
    pub(crate) fn begin_interval(&mut self) {
        self.interval.reset();
    }

    /// Forgets what messages have taken so far; what is in flight counts as sent now.
    pub(crate) fn forget_messages(&mut self) {
        let Counts { open, opened, not_opened, lost, slow, overdue, .. } = self.count;
        let sent = self.count.in_flight();
        self.count = Counts { open, opened, not_opened, lost, slow, sent, overdue, ..Counts::default() };
        self.at_interval = self.count;
        self.interval.reset();
        self.total.reset();
    }

    /// Forgets connections as well, where each belongs to a message; those that are there count as opened
    /// now.
    pub(crate) fn forget_connections(&mut self) {
        self.count.opened = self.count.open;
        self.count.slow = 0;
        self.connect.reset();
        self.at_interval = self.count;
    }

    /// What kept most of the connections that could not be opened from it.
    pub(crate) fn not_opened_for(&self) -> Option<Trouble> {
        self.not_opened.iter().max_by_key(|(_, count)| *count).map(|(trouble, _)| *trouble)
    }

    /// The end: what the seconds were, all times, times of connecting, and what went wrong.
    pub(crate) fn into_parts(self) -> (Vec<Second>, Times, Histogram<u64>, Vec<Failure>) {
        let mut failures: Vec<Failure> = self.failures.into_iter().map(|(_, failure)| failure).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        (self.seconds, self.total, self.connect, failures)
    }
}

fn record(histogram: &mut Histogram<u64>, value: u64, count: u32) {
    histogram.record_n(value, count.into()).expect("a histogram that resizes takes any value");
}

/// Three significant digits: no value is off by more than a thousandth.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

#[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^52 ns, 52 days")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A SYN that is not answered is sent again after a second.
const SYN_RETRY_NS: u64 = 900_000_000;
