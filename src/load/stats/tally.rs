//! Everything that is counted and timed in a run, as it happens. It knows no connection.

use hdrhistogram::Histogram;

use super::summary::{Failure, Second, Spread};
use crate::load::conn_table::Batch;
use crate::load::error_kind::Trouble;

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
pub(crate) struct Times {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64, lag_us: u32, count: u32) -> Batch {
        Batch { sent_ns, lag_us, count }
    }

    #[test]
    fn response_runs_from_when_a_message_was_due_and_service_from_when_it_was_sent() {
        let mut tally = Tally::new(0, false);
        tally.count.sent = 2;
        tally.answered(batch(5_000_000, 3000, 2), 6_000_000);
        tally.close_interval(SECOND);
        let (_, times, ..) = tally.into_parts();
        assert_eq!((times.service.len(), times.response.len()), (2, 2));
        assert!(times.service.equivalent(times.service.max(), 1_000_000));
        assert!(times.response.equivalent(times.response.max(), 4_000_000));
    }

    #[test]
    fn in_a_closed_loop_the_two_are_one() {
        let mut tally = Tally::new(0, true);
        tally.count.sent = 1;
        tally.answered(batch(5_000_000, 0, 1), 6_000_000);
        let (second, times) = tally.close_interval(SECOND);
        assert_eq!((second.answered, times.response.len()), (1, 1));
        assert_eq!(times.response, times.service);
    }

    #[test]
    fn a_second_tells_what_was_new_in_it() {
        let mut tally = Tally::new(100, false);
        for (second, messages) in [(1, 5), (2, 7)] {
            tally.opened(0);
            tally.count.sent += messages + 1;
            tally.answered(batch(0, 0, u32::try_from(messages).unwrap()), 1000);
            tally.count.failed += 1;
            let at_ns = 100 + second * SECOND;
            let (told, times) = tally.close_interval(at_ns);
            assert_eq!(
                (told.open, told.sent, told.answered, told.errors),
                (second, messages + 1, messages, 1)
            );
            assert!((told.length_seconds - 1.0).abs() < 1e-9, "{told:?}");
            assert_eq!(times.response.len(), messages);
            tally.begin_interval();
        }
        let (seconds, times, connect, _) = tally.into_parts();
        assert_eq!((seconds.len(), times.response.len(), connect.len()), (2, 12, 2));
    }

    #[test]
    fn what_is_forgotten_is_not_what_is_in_flight() {
        let mut tally = Tally::new(0, false);
        (0..3).for_each(|_| tally.opened(0));
        (tally.count.sent, tally.count.failed, tally.count.lost) = (10, 2, 1);
        (tally.count.overdue, tally.count.duplicate, tally.count.sent_bytes) = (2, 4, 900);
        tally.answered(batch(0, 0, 5), 1000);
        tally.lagged(1000);
        tally.close_interval(SECOND);
        tally.begin_interval();
        tally.lagged(1000);
        tally.forget_messages();
        let count = tally.count;
        assert_eq!((count.sent, count.answered, count.failed, count.in_flight()), (3, 0, 0, 3));
        assert_eq!((count.opened, count.lost, count.overdue), (3, 1, 2));
        assert_eq!((count.duplicate, count.sent_bytes), (0, 0));
        // They are answered afterwards, and count then.
        tally.answered(batch(0, 0, 3), 1000);
        let (second, _) = tally.close_interval(2 * SECOND);
        assert_eq!((second.sent, second.answered), (0, 3));
        let (_, times, ..) = tally.into_parts();
        assert_eq!((times.response.len(), times.service.len(), times.lag.len()), (3, 3, 0));
    }

    #[test]
    fn connections_of_messages_are_forgotten_with_them() {
        let mut tally = Tally::new(0, false);
        (0..9).for_each(|_| tally.opened(SECOND));
        tally.count.open = 2;
        tally.forget_messages();
        tally.forget_connections();
        assert_eq!((tally.count.opened, tally.count.open, tally.count.slow), (2, 2, 0));
        assert_eq!(tally.into_parts().2.len(), 0);
    }

    #[test]
    fn what_went_wrong_is_told_by_reason_with_the_first_in_words() {
        let mut tally = Tally::new(0, false);
        tally.trouble(Trouble::Reset, 1, || "one".into());
        tally.trouble(Trouble::Closed, 5, || "two".into());
        tally.trouble(Trouble::Reset, 2, || unreachable!("only the first is put into words"));
        let (.., failures) = tally.into_parts();
        let told: Vec<_> = failures.iter().map(|it| (it.reason, it.count, it.first.as_str())).collect();
        assert_eq!(told, [("closed by the server", 5, "two"), ("reset by the server", 3, "one")]);
    }

    #[test]
    fn most_of_the_connections_that_failed_say_for_what() {
        let mut tally = Tally::new(0, false);
        assert_eq!(tally.not_opened_for(), None);
        tally.not_opened(Trouble::Refused, String::new);
        (0..2).for_each(|_| tally.not_opened(Trouble::Ports, String::new));
        assert_eq!((tally.not_opened_for(), tally.count.not_opened), (Some(Trouble::Ports), 3));
        // Messages that got no connection say so too, and are no connections.
        (0..3).for_each(|_| tally.unconnected(Trouble::Refused, String::new));
        assert_eq!((tally.not_opened_for(), tally.count.not_opened), (Some(Trouble::Refused), 3));
    }

    #[test]
    fn a_connection_whose_first_packet_was_lost_is_slow() {
        let mut tally = Tally::new(0, false);
        tally.opened(SYN_RETRY_NS - 1);
        tally.opened(SYN_RETRY_NS);
        assert_eq!(tally.count.slow, 1);
    }

    const SECOND: u64 = 1_000_000_000;
}
