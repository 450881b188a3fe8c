//! The counters and times of a run. It does not know connections.

use hdrhistogram::Histogram;

use super::counts::Counts;
use super::latency::Percentiles;
use super::summary::{Failure, Second};
use super::times::{Times, histogram, record};
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::units::float;

/// Counters and times.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Changed by the methods of this type only.
    counts: Counts,
    /// Times of the current second.
    interval: Times,
    /// Times of the earlier seconds.
    total: Times,
    /// From the request of a connection until it is established.
    connect: Histogram<u64>,
    seconds: Vec<Second>,
    failures: Vec<Failure>,
    /// Why connections could not be opened, with the number of each kind.
    open_failed: Vec<(ErrorKind, u64)>,
    began_ns: u64,
    interval_began_ns: u64,
    at_interval: Counts,
    /// Messages are due when they are sent.
    closed_loop: bool,
}

impl Tally {
    pub(crate) fn new(began_ns: u64, closed_loop: bool) -> Self {
        Self {
            counts: Counts::default(),
            interval: Times::new(),
            total: Times::new(),
            connect: histogram(),
            seconds: Vec::new(),
            failures: Vec::new(),
            open_failed: Vec::new(),
            began_ns,
            interval_began_ns: began_ns,
            at_interval: Counts::default(),
            closed_loop,
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A connection is requested: it is opened next, or fails.
    pub(crate) fn requested(&mut self) {
        self.counts.connecting += 1;
    }

    /// A connection is open, `connect_ns` after it was requested.
    pub(crate) fn opened(&mut self, connect_ns: u64) {
        self.counts.connecting -= 1;
        self.counts.consecutive_failures = 0;
        self.counts.open += 1;
        self.counts.opened += 1;
        self.counts.slow += u64::from(connect_ns >= SYN_RETRY_NS);
        record(&mut self.connect, connect_ns, 1);
    }

    /// A connection is closed together with the end of its one message.
    pub(crate) fn closed(&mut self) {
        self.counts.open -= 1;
        self.counts.closed += 1;
    }

    /// An open connection has ended before the run.
    pub(crate) fn lost(&mut self) {
        self.counts.open -= 1;
        self.counts.lost += 1;
    }

    /// The server has closed a connection before anything was sent on it: it counts as not opened.
    pub(crate) fn rejected(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.open -= 1;
        self.counts.opened -= 1;
        self.counts.open_failed += 1;
        self.open_error(kind, what);
    }

    pub(crate) fn sent(&mut self, messages: u32) {
        self.counts.sent += u64::from(messages);
    }

    pub(crate) fn failed(&mut self, messages: u64) {
        self.counts.failed += messages;
    }

    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.counts.sent_bytes += bytes as u64;
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.counts.received_bytes += bytes as u64;
    }

    /// The timeout of a datagram is over; its answer may still come.
    pub(crate) fn overdue(&mut self) {
        self.counts.overdue += 1;
    }

    /// An overdue datagram is answered.
    pub(crate) fn answered_late(&mut self, batch: Batch, now_ns: u64) {
        self.counts.overdue -= 1;
        self.counts.late += 1;
        self.answered(batch, now_ns);
    }

    /// An answer was received a second time.
    pub(crate) fn duplicate(&mut self) {
        self.counts.duplicate += 1;
    }

    /// The messages of `batch` are answered.
    pub(crate) fn answered(&mut self, batch: Batch, now_ns: u64) {
        self.counts.answered += u64::from(batch.count);
        let service_ns = now_ns.saturating_sub(batch.sent_ns);
        record(&mut self.interval.service, service_ns, batch.count);
        if !self.closed_loop {
            let response_ns = service_ns + u64::from(batch.lag_us) * 1000;
            record(&mut self.interval.response, response_ns, batch.count);
        }
    }

    /// A message was sent `lag_ns` after it was due.
    pub(crate) fn record_lag(&mut self, lag_ns: u64) {
        record(&mut self.interval.lag, lag_ns, 1);
    }

    /// A connection could not be opened.
    pub(crate) fn open_failed(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.open_failed += 1;
        self.message_unconnected(kind, what);
    }

    /// Failures to connect are counted anew.
    pub(crate) fn reset_consecutive_failures(&mut self) {
        self.counts.consecutive_failures = 0;
    }

    /// A one-shot connection could not be opened: its message has failed.
    pub(crate) fn message_unconnected(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.connecting -= 1;
        self.counts.consecutive_failures += 1;
        self.open_error(kind, what);
    }

    fn open_error(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        match self.open_failed.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.open_failed.push((kind, 1)),
        }
        self.error(kind, 1, what);
    }

    /// An error occurred `count` times. `what` describes it, for the first of its kind.
    pub(crate) fn error(&mut self, kind: ErrorKind, count: u64, what: impl FnOnce() -> String) {
        match self.failures.iter_mut().find(|failure| failure.reason == kind) {
            Some(failure) => failure.count += count,
            None => self.failures.push(Failure { reason: kind, count, first: what() }),
        }
    }

    /// Ends the current second.
    pub(crate) fn close_interval(&mut self, now_ns: u64) -> (&Second, &Times) {
        if self.closed_loop {
            // A message is due when it is sent, so the times are the same.
            self.interval.response.set_to(&self.interval.service).expect("a histogram that resizes");
        }
        let (now, before) = (self.counts, self.at_interval);
        self.seconds.push(Second {
            at_seconds: seconds(now_ns - self.began_ns),
            length_seconds: seconds(now_ns - self.interval_began_ns),
            open: now.open,
            sent: now.sent - before.sent,
            answered: now.answered - before.answered,
            errors: now.errors().saturating_sub(before.errors()),
            response_us: Percentiles::of(&self.interval.response),
            lag_us: Percentiles::of(&self.interval.lag),
        });
        self.total.add(&self.interval);
        self.at_interval = now;
        self.interval_began_ns = now_ns;
        (self.seconds.last().expect("one was pushed"), &self.interval)
    }

    /// Starts the next second.
    pub(crate) fn begin_interval(&mut self) {
        self.interval.reset();
    }

    /// Discards the counters and times of messages. Those in flight count as sent now.
    pub(crate) fn discard_messages(&mut self) {
        self.counts.sent = self.counts.in_flight();
        (self.counts.answered, self.counts.failed) = (0, 0);
        (self.counts.late, self.counts.duplicate) = (0, 0);
        (self.counts.sent_bytes, self.counts.received_bytes) = (0, 0);
        self.at_interval = self.counts;
        self.interval.reset();
        self.total.reset();
    }

    /// Discards the counters and times of one-shot connections. Those that are open count as opened now.
    pub(crate) fn discard_connections(&mut self) {
        self.counts.opened = self.counts.open + self.counts.lost;
        (self.counts.closed, self.counts.slow) = (0, 0);
        self.connect.reset();
        self.at_interval = self.counts;
    }

    /// The most frequent error of connections that could not be opened.
    pub(crate) fn main_open_error(&self) -> Option<ErrorKind> {
        self.open_failed.iter().max_by_key(|(_, count)| *count).map(|(kind, _)| *kind)
    }

    /// The seconds, all times, the times of connecting, and the errors.
    pub(crate) fn into_parts(mut self) -> (Vec<Second>, Times, Histogram<u64>, Vec<Failure>) {
        self.failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        (self.seconds, self.total, self.connect, self.failures)
    }
}

pub(crate) fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

/// An unanswered SYN is sent again after a second. Somewhat less, since clocks differ.
const SYN_RETRY_NS: u64 = 900_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64, lag_us: u32, count: u32) -> Batch {
        Batch { sent_ns, lag_us, count }
    }

    /// A connection is requested and open after `connect_ns`.
    fn open(tally: &mut Tally, connect_ns: u64) {
        tally.requested();
        tally.opened(connect_ns);
    }

    #[test]
    fn response_runs_from_when_a_message_was_due_and_service_from_when_it_was_sent() {
        let mut tally = Tally::new(0, false);
        tally.counts.sent = 2;
        tally.answered(batch(5_000_000, 3000, 2), 6_000_000);
        tally.close_interval(SECOND);
        let (_, times, ..) = tally.into_parts();
        assert_eq!((times.service.len(), times.response.len()), (2, 2));
        assert!(times.service.equivalent(times.service.max(), 1_000_000));
        assert!(times.response.equivalent(times.response.max(), 4_000_000));
    }

    #[test]
    fn in_a_closed_loop_response_and_service_are_the_same() {
        let mut tally = Tally::new(0, true);
        tally.counts.sent = 1;
        tally.answered(batch(5_000_000, 0, 1), 6_000_000);
        let (second, times) = tally.close_interval(SECOND);
        assert_eq!((second.answered, times.response.len()), (1, 1));
        assert_eq!(times.response, times.service);
    }

    #[test]
    fn a_second_has_only_its_own_messages() {
        let mut tally = Tally::new(100, false);
        for (second, messages) in [(1, 5), (2, 7)] {
            open(&mut tally, 0);
            tally.counts.sent += messages + 1;
            tally.answered(batch(0, 0, u32::try_from(messages).unwrap()), 1000);
            tally.counts.failed += 1;
            let at_ns = 100 + second * SECOND;
            let (interval, times) = tally.close_interval(at_ns);
            assert_eq!(
                (interval.open, interval.sent, interval.answered, interval.errors),
                (second, messages + 1, messages, 1)
            );
            assert!((interval.length_seconds - 1.0).abs() < 1e-9, "{interval:?}");
            assert_eq!(times.response.len(), messages);
            tally.begin_interval();
        }
        let (seconds, times, connect, _) = tally.into_parts();
        assert_eq!((seconds.len(), times.response.len(), connect.len()), (2, 12, 2));
    }

    #[test]
    fn messages_in_flight_are_not_discarded() {
        let mut tally = Tally::new(0, false);
        (0..3).for_each(|_| open(&mut tally, 0));
        (tally.counts.sent, tally.counts.failed, tally.counts.lost) = (10, 2, 1);
        (tally.counts.overdue, tally.counts.duplicate, tally.counts.sent_bytes) = (2, 4, 900);
        tally.answered(batch(0, 0, 5), 1000);
        tally.record_lag(1000);
        tally.close_interval(SECOND);
        tally.begin_interval();
        tally.record_lag(1000);
        tally.discard_messages();
        let count = tally.counts;
        assert_eq!((count.sent, count.answered, count.failed, count.in_flight()), (3, 0, 0, 3));
        assert_eq!((count.opened, count.lost, count.overdue), (3, 1, 2));
        assert_eq!((count.duplicate, count.sent_bytes), (0, 0));
        // They are answered later, and count then.
        tally.answered(batch(0, 0, 3), 1000);
        let (second, _) = tally.close_interval(2 * SECOND);
        assert_eq!((second.sent, second.answered), (0, 3));
        let (_, times, ..) = tally.into_parts();
        assert_eq!((times.response.len(), times.service.len(), times.lag.len()), (3, 3, 0));
    }

    #[test]
    fn one_shot_connections_are_discarded_with_their_messages() {
        let mut tally = Tally::new(0, false);
        (0..9).for_each(|_| open(&mut tally, SECOND));
        tally.counts.open = 2;
        tally.discard_messages();
        tally.discard_connections();
        assert_eq!((tally.counts.opened, tally.counts.open, tally.counts.slow), (2, 2, 0));
        assert_eq!(tally.into_parts().2.len(), 0);
    }

    #[test]
    fn errors_are_counted_by_kind_with_the_first_described() {
        let mut tally = Tally::new(0, false);
        tally.error(ErrorKind::Reset, 1, || "one".into());
        tally.error(ErrorKind::Closed, 5, || "two".into());
        tally.error(ErrorKind::Reset, 2, || unreachable!("only the first is described"));
        let (.., failures) = tally.into_parts();
        let found: Vec<_> = failures.iter().map(|it| (it.reason, it.count, it.first.as_str())).collect();
        assert_eq!(found, [(ErrorKind::Closed, 5, "two"), (ErrorKind::Reset, 3, "one")]);
    }

    #[test]
    fn the_most_frequent_open_error_is_the_main_one() {
        let mut tally = Tally::new(0, false);
        assert_eq!(tally.main_open_error(), None);
        (0..6).for_each(|_| tally.requested());
        tally.open_failed(ErrorKind::Refused, String::new);
        (0..2).for_each(|_| tally.open_failed(ErrorKind::Ports, String::new));
        assert_eq!((tally.main_open_error(), tally.counts.open_failed), (Some(ErrorKind::Ports), 3));
        // The errors of one-shot connections count, the connections do not.
        (0..3).for_each(|_| tally.message_unconnected(ErrorKind::Refused, String::new));
        assert_eq!((tally.main_open_error(), tally.counts.open_failed), (Some(ErrorKind::Refused), 3));
    }

    #[test]
    fn a_connection_whose_first_packet_was_lost_is_slow() {
        let mut tally = Tally::new(0, false);
        open(&mut tally, SYN_RETRY_NS - 1);
        open(&mut tally, SYN_RETRY_NS);
        assert_eq!(tally.counts.slow, 1);
    }

    const SECOND: u64 = 1_000_000_000;
}
