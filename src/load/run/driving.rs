//! Sending messages: from the end of the opening until all due messages are sent.

use std::time::Duration;

use super::{Phase, Run};
use crate::load::observer::Observer;
use crate::load::schedule::Schedule;
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
        self.schedule = self.options.rate.map(|rate| Schedule::new(now_ns, rate, self.options.arrivals));
        // Failures of the opening do not count against the connections of messages.
        self.context.tally.reset_consecutive_failures();
        self.traffic.start(&mut self.context);
        if warmup_ns > 0 {
            self.drive_began_ns = now_ns;
            self.phase = Phase::Warming { until_ns: now_ns + warmup_ns };
        } else {
            self.start_measuring(now_ns, observer);
        }
    }

    pub(super) fn end_warm_up(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        self.context.tally.discard_messages();
        if self.options.one_shot {
            self.context.tally.discard_connections();
        }
        self.start_measuring(now_ns, observer);
    }

    fn start_measuring(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measuring();
        self.phase = Phase::Driving { until_ns: now_ns + nanoseconds(self.options.duration) };
        self.drive_began_ns = now_ns;
        self.measurements.idle_ns = 0;
        self.waited_baseline_ns = kernel_counters::scheduler_times().waited_ns;
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
            self.context.tally.record_lag(now_ns.saturating_sub(due_ns));
            self.traffic.send_due(&mut self.context, due_ns, now_ns);
        }
    }

    pub(super) fn stop_sending(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measured();
        if let (Some(schedule), Phase::Driving { until_ns }) = (&mut self.schedule, self.phase) {
            while schedule.next_ns() < until_ns && schedule.next_ns() < now_ns {
                schedule.advance();
                self.measurements.never_sent += 1;
            }
        }
        self.traffic.stop(&mut self.context);
        self.measurements.drive_ns = now_ns - self.drive_began_ns;
        self.measurements.waited_ns =
            kernel_counters::scheduler_times().waited_ns.saturating_sub(self.waited_baseline_ns);
        self.measurements.answered = self.context.tally.counts().answered;
        self.phase = Phase::Draining { until_ns: now_ns + nanoseconds(self.options.drain_timeout) };
    }

    /// Handles a stop request: the first awaits outstanding replies, the second ends the run at once.
    pub(super) fn stop_early(&mut self, observer: &mut dyn Observer) {
        let now_ns = self.context.net.now_ns();
        self.measurements.is_interrupted = true;
        match self.phase {
            Phase::Opening | Phase::Settling { .. } => {
                self.measurements.open_ns = now_ns - self.began_ns;
                self.phase = Phase::Over;
            }
            Phase::Warming { .. } | Phase::Driving { .. } => self.stop_sending(now_ns, observer),
            Phase::Draining { .. } | Phase::Over => self.phase = Phase::Over,
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
