//! What is counted of each stage of `--rate`, `--active` and `--open-rate`, and its row of the result.
//!
//! Messages that are sent and acknowledged, and their times, belong to the stage in which they were due, however late
//! they are: a backlog does not spoil the stage after it. All else belongs to the stage in which it happens.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::counts::Counts;
use super::invalid::InvalidReason;
use super::latency::{Lag, Latency};
use super::times::{histogram, record};
use crate::load::batch::Batch;

/// The stages of a run, in order, also those that have not begun.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    all: Vec<StageTally>,
    /// The first in which messages are sent.
    sending_from: usize,
    is_sending: bool,
    /// The stage that begins next.
    next: usize,
}

/// What is counted of a stage.
#[derive(Debug, Default)]
pub(crate) struct StageTally {
    /// When it begins as planned; messages that are due from then on are its own.
    pub(crate) began_ns: u64,
    /// How long it was measured.
    pub(crate) measured_ns: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// `None` while it is empty, since there may be many stages.
    pub(crate) response: Option<Histogram<u64>>,
    pub(crate) lag: Option<Histogram<u64>>,
    pub(crate) connect: Option<Histogram<u64>>,
    /// At its beginning, then what has happened since.
    pub(crate) counts: Counts,
    /// The shares of the time in which the generator was busy and waited for a CPU.
    pub(crate) busy: Option<f64>,
    pub(crate) waited: f64,
    measured_from_ns: u64,
}

/// A stage of the result. Times are in microseconds, rates per second.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StageRow {
    /// The options with stages, `rate`, `active` or `open_rate`, and their values in this stage.
    pub settings: Vec<Setting>,
    /// Its length as requested, in seconds.
    pub planned_seconds: f64,
    /// How long it lasted, in seconds: 0 if it was not reached.
    pub measured_seconds: f64,
    /// Seconds from the start of the run to its start; null if it was not reached.
    pub began_seconds: Option<f64>,
    /// Connections opened in it.
    pub opened: u64,
    /// Messages sent that were due in it.
    pub sent: u64,
    /// Messages due in it and answered correctly, at any time.
    pub acknowledged: u64,
    /// Messages that failed in it.
    pub failed: u64,
    /// Messages that no connection could send in it.
    pub never_sent: u64,
    /// Messages acknowledged in it per second, without heartbeats, whenever they were due.
    pub rate: f64,
    /// Messages due per second; null in a closed loop.
    pub offered_rate: Option<f64>,
    /// Connections that could not be opened or were lost, and messages that failed, in it.
    pub errors: u64,
    /// Times of messages and connections, in microseconds.
    pub latency_us: StageLatencies,
    /// How late messages were sent that were due in it, in microseconds.
    pub schedule_lag_us: Lag,
    /// Share of its time in which the generator neither waited nor spun, 0 to 1; null if it did not send.
    pub busy: Option<f64>,
    /// Whether the generator kept up in it: false if it was the limit, or if the stage was not reached.
    pub valid: bool,
    /// Why `valid` is false, as a sentence; null if it is true.
    pub why_invalid: Option<InvalidReason>,
}

/// An option and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Setting {
    /// The option, as a key of JSON.
    pub option: &'static str,
    /// The number, or a ramp as in `1000..5000`.
    pub value: String,
}

/// Latencies of a stage.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StageLatencies {
    /// From when a message was due in it until it was answered.
    pub response: Latency,
    /// From the request of a connection until it was open, of those opened in it.
    pub connect: Latency,
}

impl Stages {
    /// A phase of the run begins, with stages that begin at these times as planned.
    pub(crate) fn plan(&mut self, began_ns: &[u64], is_sending: bool, counts: &Counts) {
        (self.is_sending, self.sending_from, self.next) = (is_sending, self.all.len(), self.all.len());
        let stage = |began_ns: &u64| StageTally { began_ns: *began_ns, ..StageTally::default() };
        self.all.extend(began_ns.iter().map(stage));
        if let Some(first) = self.all.get_mut(self.next).filter(|_| is_sending) {
            // In a closed loop, the first messages are sent before.
            first.sent = counts.sent - counts.sent_backlog;
        }
    }

    /// The next stage begins.
    pub(crate) fn begin(&mut self, now_ns: u64, counts: Counts) {
        let Some(stage) = self.all.get_mut(self.next) else { return };
        (stage.measured_from_ns, stage.counts) = (now_ns, counts);
        self.next += 1;
    }

    /// The current stage is over, in which the generator was busy and waited for a CPU for these shares of the time.
    pub(crate) fn end(&mut self, now_ns: u64, counts: &Counts, busy: Option<f64>, waited: f64) {
        let Some(stage) = self.current() else { return };
        stage.measured_ns = now_ns - stage.measured_from_ns;
        let began = stage.counts;
        stage.counts = Counts {
            opened: counts.opened.saturating_sub(began.opened),
            open_failed: counts.open_failed - began.open_failed,
            lost_idle: counts.lost_idle - began.lost_idle,
            // For the rate.
            answered: counts.answered_by_active() - began.answered_by_active(),
            failed: counts.failed - began.failed,
            never_sent: counts.never_sent - began.never_sent,
            ..Counts::default()
        };
        (stage.busy, stage.waited) = (busy, waited);
    }

    /// Whether the run has none: then nothing is counted here, which each message checks.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All stages.
    pub(crate) fn all(&self) -> &[StageTally] {
        &self.all
    }

    fn current(&mut self) -> Option<&mut StageTally> {
        self.all.get_mut(self.next.checked_sub(1)?)
    }

    /// The stage in which a message was due.
    fn of(&mut self, due_ns: u64) -> Option<&mut StageTally> {
        let sending = self.all.get_mut(self.sending_from..).filter(|_| self.is_sending)?;
        let begun = sending.partition_point(|stage| stage.began_ns <= due_ns);
        // A closed loop counts messages of the warm-up as sent at its end.
        sending.get_mut(begun.saturating_sub(1))
    }

    #[cold]
    pub(super) fn sent(&mut self, batch: &Batch) {
        if let Some(stage) = self.of(batch.due_ns()) {
            stage.sent += u64::from(batch.count);
        }
    }

    #[cold]
    pub(super) fn acknowledged(&mut self, batch: &Batch) {
        if let Some(stage) = self.of(batch.due_ns()) {
            stage.acknowledged += u64::from(batch.count);
        }
    }

    #[cold]
    pub(super) fn response(&mut self, batch: &Batch, response_ns: u64) {
        if let Some(stage) = self.of(batch.due_ns()) {
            record(stage.response.get_or_insert_with(histogram), response_ns, batch.count);
        }
    }

    #[cold]
    pub(super) fn lag(&mut self, due_ns: u64, lag_ns: u64) {
        if let Some(stage) = self.of(due_ns) {
            record(stage.lag.get_or_insert_with(histogram), lag_ns, 1);
        }
    }

    #[inline]
    pub(super) fn connect(&mut self, connect_ns: u64) {
        if let Some(stage) = self.current() {
            record(stage.connect.get_or_insert_with(histogram), connect_ns, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that differ from each other by factors.
    fn counts(number: u64) -> Counts {
        Counts {
            opened: number,
            open_failed: 2 * number,
            lost_idle: 3 * number,
            sent: 40 * number,
            answered: 20 * number,
            answered_backlog: number,
            heartbeats_measured: number,
            failed: 5 * number,
            never_sent: 6 * number,
            ..Counts::default()
        }
    }

    #[test]
    fn each_stage_has_what_happened_in_it() {
        let mut stages = Stages::default();
        stages.plan(&[0, 10], false, &counts(0));
        for (number, factor) in [(0, 1), (10, 3)] {
            stages.begin(number, counts(factor));
            stages.end(number + 10, &counts(3 * factor), Some(0.5), 0.25);
        }
        for (stage, factor) in stages.all().iter().zip([2, 6]) {
            let of = stage.counts;
            assert_eq!((of.opened, of.open_failed, of.lost_idle), (factor, 2 * factor, 3 * factor));
            assert_eq!((of.answered, of.failed, of.never_sent), (18 * factor, 5 * factor, 6 * factor));
            assert_eq!((stage.measured_ns, stage.busy, stage.waited), (10, Some(0.5), 0.25));
        }
    }

    #[test]
    fn messages_are_those_of_the_stages_of_sending_in_which_they_were_due() {
        let mut stages = Stages::default();
        stages.plan(&[0, 1000], false, &counts(0));
        // Those of the warm-up are in no stage, as long as connections are opened in stages.
        stages.sent(&Batch::on_time(5, 1));
        stages.plan(&[5000, 6000], true, &Counts { sent: 9, sent_backlog: 2, ..Counts::default() });
        for (due_ns, count) in [(5999, 10), (6000, 100), (10, 1000)] {
            let batch = Batch::on_time(due_ns, count);
            stages.sent(&batch);
            stages.acknowledged(&batch);
            stages.response(&batch, 77);
            stages.lag(due_ns, 5);
        }
        let of = |of: &Option<Histogram<u64>>| of.as_ref().map_or(0, Histogram::len);
        let found: Vec<_> =
            stages.all().iter().map(|it| (it.sent, it.acknowledged, of(&it.response), of(&it.lag))).collect();
        assert_eq!(found, [(0, 0, 0, 0), (0, 0, 0, 0), (1017, 1010, 1010, 2), (100, 100, 100, 1)]);
    }
}
