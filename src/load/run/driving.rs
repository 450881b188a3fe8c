//! Sending messages: from the end of the opening until all due messages are sent.

use std::time::Duration;

use super::{CONSECUTIVE_FAILURES_MAX, Phase, Run, Waiting};
use crate::load::error_kind::ErrorKind;
use crate::load::idle_probe::IdleProbe;
use crate::load::observer::Observer;
use crate::load::stats::ending::{EndedEarly, Silence, Stage};
use crate::load::stats::kernel_counters;
use crate::load::traffic::Traffic;
use crate::net::ClientNet;

impl<N: ClientNet, T: Traffic<N>> Run<'_, N, T> {
    /// Starts sending, unless there is no connection.
    pub(super) fn start_sending(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        let opened = self.context.tally.counts().opened;
        self.measure_memory(opened);
        observer.driving();
        if opened == 0 && !self.options.one_shot {
            self.phase = Phase::Over;
            return;
        }
        let warmup_ns = nanoseconds(self.options.warmup);
        self.schedule = self.options.schedule(now_ns);
        // Failures of the opening do not count against the connections of messages.
        self.context.tally.reset_consecutive_failures();
        if !self.options.one_shot {
            // Waiting until the connections have settled is in no interval of messages.
            self.end_interval(now_ns, observer);
        }
        self.set_active(now_ns);
        self.traffic.start(&mut self.context);
        if warmup_ns > 0 {
            self.drive_began_ns = now_ns;
            self.phase = Phase::Warming { until_ns: now_ns + warmup_ns };
        } else {
            self.start_measuring(now_ns, observer);
        }
    }

    pub(super) fn end_warm_up(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        // The interval would have the counts of its second part only.
        self.end_interval(now_ns, observer);
        self.context.tally.discard_messages(now_ns);
        if self.options.one_shot {
            self.context.tally.discard_connections();
            self.traffic.sources().reset_counts();
        }
        self.start_measuring(now_ns, observer);
    }

    fn start_measuring(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measuring();
        self.phase = Phase::Driving { until_ns: now_ns + nanoseconds(self.options.duration) };
        self.drive_began_ns = now_ns;
        self.measurements.idle_ns = 0;
        self.waited_from = self.waiting();
        let options = self.options;
        self.begin_stages(options.sending_stages(), now_ns);
        self.set_active(now_ns);
    }

    /// The duration is over: stops once the messages that were due are sent.
    pub(super) fn end_driving(&mut self, now_ns: u64, until_ns: u64, observer: &mut dyn Observer) {
        self.send_due(now_ns.min(until_ns));
        let is_behind = self.schedule.as_ref().is_some_and(|schedule| schedule.next_ns() < until_ns);
        if !is_behind || now_ns >= until_ns + LATE_SENDING_MAX_NS {
            self.stop_sending(now_ns, observer);
        }
    }

    /// Sends what is due before `until_ns`.
    pub(super) fn send_due(&mut self, until_ns: u64) {
        let Some(schedule) = &mut self.schedule else { return };
        for _ in 0..SENT_PER_TURN_MAX {
            let due_ns = schedule.next_ns();
            if due_ns >= until_ns {
                return;
            }
            schedule.advance();
            // Sending the previous message has taken time.
            let now_ns = self.context.net.now_ns();
            self.context.tally.record_lag(due_ns, now_ns);
            self.traffic.send_due(&mut self.context, due_ns, now_ns);
        }
    }

    /// The clock is read beside the counter: the time of the turn is older, and the counter would include a wait that
    /// came after it.
    pub(super) fn waiting(&mut self) -> Waiting {
        let waited_ns = kernel_counters::scheduler_times().waited_ns;
        Waiting { at_ns: self.context.net.now_ns(), waited_ns }
    }

    pub(super) fn stop_sending(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measured();
        if let (Some(schedule), Phase::Driving { until_ns }) = (&mut self.schedule, self.phase) {
            self.measurements.never_sent += schedule.skip_until(until_ns.min(now_ns));
        }
        self.traffic.stop(&mut self.context);
        self.end_stages(now_ns);
        let is_measured = matches!(self.phase, Phase::Driving { .. });
        self.measurements.drive_ns = if is_measured { now_ns - self.drive_began_ns } else { 0 };
        self.measurements.waited_share = self.waiting().share_since(self.waited_from);
        let counts = self.context.tally.counts();
        self.measurements.answered = if is_measured { counts.answered_by_active() } else { 0 };
        self.phase = Phase::Draining { until_ns: now_ns + nanoseconds(self.options.drain_timeout) };
    }

    /// Handles a stop request: the first awaits outstanding replies, the second ends the run at once.
    pub(super) fn stop_early(&mut self, observer: &mut dyn Observer) {
        let now_ns = self.context.net.now_ns();
        if !self.measurements.is_interrupted {
            self.measurements.is_interrupted = true;
            self.interrupt();
        }
        match self.phase {
            Phase::Opening | Phase::Settling { .. } => {
                self.measurements.open_ns = now_ns - self.began_ns;
                self.phase = Phase::Over;
            }
            Phase::Warming { .. } | Phase::Driving { .. } => {
                self.send_due(now_ns);
                self.stop_sending(now_ns, observer);
            }
            Phase::Draining { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// The run is interrupted. An end that the server brought about before keeps its reason.
    fn interrupt(&mut self) {
        let stage = self.stage();
        if stage == Stage::Opening {
            self.measurements.opening_ended_early.get_or_insert(EndedEarly::Interrupted);
        }
        if !matches!(self.measurements.ended_early, Some((_, Stage::WarmUp | Stage::Measuring))) {
            self.measurements.ended_early = Some((EndedEarly::Interrupted, stage));
        }
    }

    /// Ends sending if no further message can be sent, or is to be.
    pub(super) fn stop_if_hopeless(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        if let Some(is_over) = self.traffic.idle_probe().as_ref().map(IdleProbe::is_over) {
            // Connections that die are what it looks for.
            if is_over && self.is_sending() {
                self.stop_sending(now_ns, observer);
            }
        } else if let Some(reason) = self.reason_to_stop() {
            self.end_early(reason, now_ns, observer);
        }
    }

    /// Why no further message can be sent, if that is so.
    fn reason_to_stop(&mut self) -> Option<EndedEarly> {
        let tally = &self.context.tally;
        if !self.is_sending() {
            None
        } else if self.options.one_shot {
            if tally.counts().consecutive_failures < CONSECUTIVE_FAILURES_MAX {
                return None;
            }
            let reason = EndedEarly::of_opening(tally.main_consecutive_error()?);
            let is_gone = reason == EndedEarly::GaveUp && tally.has_opened();
            Some(if is_gone { EndedEarly::ServerGone } else { reason })
        } else {
            // Connections that do not send may be left.
            let holds_only = || self.options.target.is_hold() || self.options.active == Some(0);
            let is_over = tally.counts().open == 0 || (!self.traffic.can_send() && !holds_only());
            is_over.then(|| self.reason_of_losses())
        }
    }

    /// Why connections were lost.
    fn reason_of_losses(&self) -> EndedEarly {
        if self.context.tally.main_loss() == Some(ErrorKind::WrongReply) {
            EndedEarly::WrongReplies
        } else {
            EndedEarly::ServerGone
        }
    }

    /// Stops sending before the duration is over.
    fn end_early(&mut self, reason: EndedEarly, now_ns: u64, observer: &mut dyn Observer) {
        self.measurements.ended_early = Some((reason, self.stage()));
        // Messages that were due before count as such.
        self.send_due(now_ns);
        self.stop_sending(now_ns, observer);
    }

    /// The time since the last reply.
    pub(super) fn silence(&mut self) -> Silence {
        let now_ns = self.context.net.now_ns();
        let last = self.context.tally.last_reply();
        let sending_ended_ns = self.drive_began_ns + self.measurements.drive_ns;
        Silence {
            in_flight: if last.at_ns < sending_ended_ns { last.in_flight } else { 0 },
            began_ns: last.at_ns.saturating_sub(self.drive_began_ns),
            ns: now_ns.saturating_sub(last.at_ns),
            sent: self.context.tally.counts().sent - last.sent,
            is_refused: self.context.tally.is_refused_since_reply(self.options.target.is_datagrams()),
        }
    }

    fn stage(&self) -> Stage {
        match self.phase {
            Phase::Opening | Phase::Settling { .. } => Stage::Opening,
            Phase::Warming { .. } => Stage::WarmUp,
            Phase::Driving { .. } => Stage::Measuring,
            Phase::Draining { .. } | Phase::Over => Stage::Draining,
        }
    }

    pub(super) fn is_sending(&self) -> bool {
        matches!(self.phase, Phase::Warming { .. } | Phase::Driving { .. })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Messages sent in one turn, before replies are read.
const SENT_PER_TURN_MAX: u32 = 256;

/// How long messages that were due before the end may be sent after it.
const LATE_SENDING_MAX_NS: u64 = 100_000_000;
