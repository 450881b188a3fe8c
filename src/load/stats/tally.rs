//! The counters and times of a run. It does not know connections.

use super::counts::Counts;
use super::latency::Percentiles;
use super::stages::Stages;
use super::summary::{Failure, Second};
use super::times::{Times, record};
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
    seconds: Vec<Second>,
    failures: Vec<Failure>,
    /// Why connections could not be opened, with the number of each kind.
    open_failed: Vec<(ErrorKind, u64)>,
    /// Why connections could not be opened since the last that was, with the number of each kind.
    consecutive: Vec<(ErrorKind, u64)>,
    /// Why open connections were lost, with the number of each kind.
    lost: Vec<(ErrorKind, u64)>,
    /// The latest error after the latest reply and the latest connection that was opened.
    latest_error: Option<ErrorKind>,
    /// Whether any connection was opened, also in the warm-up.
    has_opened: bool,
    last_reply: LastReply,
    began_ns: u64,
    interval_began_ns: u64,
    at_interval: Counts,
    /// Messages are due when they are sent.
    closed_loop: bool,
    /// End of the warm-up.
    measured_from_ns: u64,
    stages: Stages,
}

/// The last reply, and how many messages were sent, had failed and were in flight, not overdue, when it came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastReply {
    pub(crate) at_ns: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: u64,
}

impl Tally {
    pub(crate) fn new(began_ns: u64, closed_loop: bool) -> Self {
        Self {
            counts: Counts::default(),
            interval: Times::new(),
            total: Times::new(),
            seconds: Vec::new(),
            failures: Vec::new(),
            open_failed: Vec::new(),
            consecutive: Vec::new(),
            lost: Vec::new(),
            latest_error: None,
            has_opened: false,
            last_reply: LastReply::default(),
            began_ns,
            interval_began_ns: began_ns,
            at_interval: Counts::default(),
            closed_loop,
            measured_from_ns: 0,
            stages: Stages::default(),
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
        self.reset_consecutive_failures();
        self.latest_error = None;
        self.has_opened = true;
        self.counts.open += 1;
        self.counts.opened += 1;
        self.counts.slow += u64::from(connect_ns >= SYN_RETRY_NS);
        record(&mut self.interval.connect, connect_ns, 1);
        self.stages.connect(connect_ns);
    }

    /// A connection is closed together with the end of its one message.
    pub(crate) fn closed(&mut self) {
        self.counts.open -= 1;
        self.counts.closed += 1;
    }

    /// An open connection has ended before the run, with `in_flight` messages on it.
    pub(crate) fn lost(&mut self, kind: ErrorKind, in_flight: u64) {
        self.counts.open -= 1;
        self.counts.lost += 1;
        self.counts.lost_idle += u64::from(in_flight == 0);
        count_kind(&mut self.lost, kind);
    }

    /// The server has closed a connection before anything was sent on it: it counts as not opened.
    pub(crate) fn rejected(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.open -= 1;
        self.counts.opened -= 1;
        self.counts.open_failed += 1;
        self.open_error(kind, what);
    }

    pub(crate) fn sent(&mut self, batch: &Batch) {
        self.counts.sent += u64::from(batch.count);
        if self.is_backlog(batch) {
            self.counts.sent_backlog += u64::from(batch.count);
        } else if !self.stages.is_empty() {
            self.stages.sent(batch);
        }
    }

    pub(crate) fn failed(&mut self, messages: u64) {
        self.counts.failed += messages;
    }

    /// Messages were due, and no connection was free to send them.
    pub(crate) fn never_sent(&mut self, messages: u64, what: impl FnOnce() -> String) {
        self.counts.never_sent += messages;
        self.count_error(ErrorKind::NoFreeConnection, messages, what);
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

    /// The datagram that is answered next was overdue.
    pub(crate) fn late(&mut self) {
        self.counts.overdue -= 1;
        self.counts.late += 1;
    }

    /// An answer was received a second time.
    pub(crate) fn duplicate(&mut self) {
        self.counts.duplicate += 1;
    }

    /// The message that is sent next is a heartbeat.
    pub(crate) fn heartbeat_sent(&mut self) {
        self.counts.heartbeats_sent += 1;
    }

    /// The heartbeats of `batch` are answered.
    pub(crate) fn heartbeat_answered(&mut self, batch: Batch, now_ns: u64) {
        self.counts.heartbeats_answered += u64::from(batch.count);
        if self.count_answered(&batch, now_ns) {
            self.counts.heartbeats_measured += u64::from(batch.count);
            let response_ns = now_ns.saturating_sub(batch.sent_ns) + u64::from(batch.lag_us) * 1000;
            record(&mut self.interval.heartbeat, response_ns, batch.count);
            self.stages.acknowledged(&batch);
        }
    }

    /// Of the messages that have failed, this number were heartbeats.
    pub(crate) fn heartbeats_failed(&mut self, heartbeats: u64) {
        self.counts.heartbeats_failed += heartbeats;
    }

    /// The messages of `batch` are answered.
    pub(crate) fn answered(&mut self, batch: Batch, now_ns: u64) {
        if !self.count_answered(&batch, now_ns) {
            return;
        }
        let service_ns = now_ns.saturating_sub(batch.sent_ns);
        record(&mut self.interval.service, service_ns, batch.count);
        let response_ns = service_ns + u64::from(batch.lag_us) * 1000;
        if !self.closed_loop {
            record(&mut self.interval.response, response_ns, batch.count);
        }
        if !self.stages.is_empty() {
            self.stages.acknowledged(&batch);
            self.stages.response(&batch, response_ns);
        }
    }

    /// Counts the messages of `batch` as answered. Returns whether their times are measured.
    #[inline]
    fn count_answered(&mut self, batch: &Batch, now_ns: u64) -> bool {
        self.counts.answered += u64::from(batch.count);
        let Counts { sent, failed, overdue, .. } = self.counts;
        let in_flight = self.counts.in_flight() - overdue;
        self.last_reply = LastReply { at_ns: now_ns, sent, failed, in_flight };
        self.latest_error = None;
        let is_backlog = self.is_backlog(batch);
        self.counts.answered_backlog += if is_backlog { u64::from(batch.count) } else { 0 };
        !is_backlog
    }

    /// Whether the messages are left from the warm-up. An open loop measures those that are due while it measures: a
    /// backlog that is answered then would exceed the offered rate. In a closed loop, as many replies are outstanding
    /// when measuring ends as when it begins.
    fn is_backlog(&self, batch: &Batch) -> bool {
        !self.closed_loop && batch.due_ns() < self.measured_from_ns
    }

    /// A message that was due at `due_ns` is sent.
    pub(crate) fn record_lag(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.measured_from_ns {
            let lag_ns = now_ns.saturating_sub(due_ns);
            record(&mut self.interval.lag, lag_ns, 1);
            if !self.stages.is_empty() {
                self.stages.lag(due_ns, lag_ns);
            }
        }
    }

    /// A connection could not be opened.
    pub(crate) fn open_failed(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.open_failed += 1;
        self.not_connected(kind, what);
    }

    /// Failures to connect are counted anew.
    pub(crate) fn reset_consecutive_failures(&mut self) {
        self.counts.consecutive_failures = 0;
        self.consecutive.clear();
    }

    /// A one-shot connection could not be opened: its message has failed.
    pub(crate) fn message_unconnected(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.unconnected += 1;
        self.not_connected(kind, what);
    }

    fn not_connected(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.counts.connecting -= 1;
        self.counts.consecutive_failures += 1;
        count_kind(&mut self.consecutive, kind);
        self.open_error(kind, what);
    }

    fn open_error(&mut self, kind: ErrorKind, what: impl FnOnce() -> String) {
        count_kind(&mut self.open_failed, kind);
        self.error(kind, 1, what);
    }

    /// An error occurred `count` times. `what` describes it, for the first of its kind.
    pub(crate) fn error(&mut self, kind: ErrorKind, count: u64, what: impl FnOnce() -> String) {
        self.latest_error = Some(kind);
        self.count_error(kind, count, what);
    }

    fn count_error(&mut self, kind: ErrorKind, count: u64, what: impl FnOnce() -> String) {
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
            // A connection that the server closes at once is not counted after all.
            opened: now.opened.saturating_sub(before.opened),
            sent: now.sent - before.sent,
            answered: now.answered - before.answered,
            errors: now.errors().saturating_sub(before.errors()),
            response_us: Percentiles::of(&self.interval.response),
            lag_us: Percentiles::of(&self.interval.lag),
            connect_us: Percentiles::of(&self.interval.connect),
        });
        self.total.add(&self.interval);
        self.at_interval = now;
        self.interval_began_ns = now_ns;
        (self.seconds.last().expect("one was pushed"), &self.interval)
    }

    /// The stages, and the counters that they begin and end with.
    pub(crate) fn stages_mut(&mut self) -> (&mut Stages, &Counts) {
        (&mut self.stages, &self.counts)
    }

    /// The stages, and when the run began.
    pub(crate) fn stages(&self) -> (&Stages, u64) {
        (&self.stages, self.began_ns)
    }

    /// Starts the next second.
    pub(crate) fn begin_interval(&mut self) {
        self.interval.reset();
    }

    /// The warm-up is over: discards the counters and times of messages. Those in flight count as sent now.
    pub(crate) fn discard_messages(&mut self, now_ns: u64) {
        self.measured_from_ns = now_ns;
        self.counts.sent = self.counts.in_flight();
        self.counts.sent_backlog = if self.closed_loop { 0 } else { self.counts.sent };
        (self.counts.answered, self.counts.failed) = (0, 0);
        self.counts.reset_answered_heartbeats();
        (self.counts.never_sent, self.counts.late, self.counts.duplicate) = (0, 0, 0);
        (self.last_reply.sent, self.last_reply.failed) = (0, 0);
        (self.counts.sent_bytes, self.counts.received_bytes) = (0, 0);
        self.at_interval = Counts { opened: self.at_interval.opened, ..self.counts };
        self.interval.reset_messages();
        self.total.reset_messages();
    }

    /// Discards the counters and times of one-shot connections. Those that are open count as opened now.
    pub(crate) fn discard_connections(&mut self) {
        self.counts.opened = self.counts.open + self.counts.lost;
        (self.counts.closed, self.counts.slow, self.counts.unconnected) = (0, 0, 0);
        self.interval.connect.reset();
        self.total.connect.reset();
        self.at_interval = self.counts;
    }

    /// The most frequent error of connections that could not be opened.
    pub(crate) fn main_open_error(&self) -> Option<ErrorKind> {
        most_frequent(&self.open_failed)
    }

    /// The most frequent error of opening since the last connection that was opened.
    pub(crate) fn main_consecutive_error(&self) -> Option<ErrorKind> {
        most_frequent(&self.consecutive)
    }

    /// The most frequent error of open connections that were lost.
    pub(crate) fn main_loss(&self) -> Option<ErrorKind> {
        most_frequent(&self.lost)
    }

    /// Whether any connection was opened, also in the warm-up.
    pub(crate) fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Whether the server refused or reset connections after the last reply, so that messages failed, and nothing
    /// succeeded since. Over UDP, the error is that of a datagram, which counts as unanswered.
    pub(crate) fn is_refused_since_reply(&self, is_datagrams: bool) -> bool {
        let is_reset = !is_datagrams && self.latest_error == Some(ErrorKind::Reset);
        let is_refused = is_reset || self.latest_error == Some(ErrorKind::Refused);
        let has_failed = is_datagrams || self.counts.failed > self.last_reply.failed;
        is_refused && has_failed && self.last_reply.at_ns > 0
    }

    pub(crate) fn last_reply(&self) -> LastReply {
        self.last_reply
    }

    /// The seconds, all times, and the errors.
    pub(crate) fn into_parts(mut self) -> (Vec<Second>, Times, Vec<Failure>) {
        self.failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        (self.seconds, self.total, self.failures)
    }
}

fn count_kind(kinds: &mut Vec<(ErrorKind, u64)>, kind: ErrorKind) {
    match kinds.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => kinds.push((kind, 1)),
    }
}

fn most_frequent(kinds: &[(ErrorKind, u64)]) -> Option<ErrorKind> {
    kinds.iter().max_by_key(|(_, count)| *count).map(|(kind, _)| *kind)
}

pub(crate) fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

/// An unanswered SYN is sent again after a second. Somewhat less, since clocks differ.
const SYN_RETRY_NS: u64 = 900_000_000;

#[cfg(test)]
mod tests;
