//! Opening connections: as many at a time as a server's backlog holds, at the requested rate.

use super::{CONSECUTIVE_FAILURES_MAX, OPENING_REPORT_INTERVAL_NS, Phase, Run, SETTLE_NS};
use crate::load::observer::Observer;
use crate::load::schedule::Schedule;
use crate::load::stats::ending::EndedEarly;
use crate::load::stats::kernel_counters;
use crate::load::stats::tally::seconds;
use crate::load::traffic::Traffic;
use crate::net::ClientNet;
use crate::units::float;

impl<N: ClientNet, T: Traffic<N>> Run<'_, N, T> {
    /// Opens more connections, until all are open or have failed.
    pub(super) fn continue_opening(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        self.open(now_ns);
        let opened = self.context.tally.counts().opened;
        if self.memory_baseline.is_none() && opened >= MEMORY_BASELINE_CONNECTIONS {
            self.memory_baseline = Some((opened, kernel_counters::memory_bytes().1));
        }
        if now_ns >= self.next_report_ns {
            self.next_report_ns = now_ns + OPENING_REPORT_INTERVAL_NS;
            observer.opening(opened, seconds(now_ns - self.began_ns));
        }
        if self.is_opened() {
            self.measurements.open_ns = now_ns - self.began_ns;
            self.end_stages(now_ns);
            if !self.options.one_shot {
                // Connections that were opened in milliseconds are not shown as opened over a second.
                self.end_interval(now_ns, observer);
            }
            let settle_ns = if self.options.one_shot { 0 } else { SETTLE_NS };
            self.open_failed = self.context.tally.counts().open_failed;
            self.phase = Phase::Settling { until_ns: now_ns + settle_ns };
        }
    }

    /// Requests connections, as many as the rate and the number of handshakes allow.
    pub(super) fn open(&mut self, now_ns: u64) {
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let may_request = self.requested < self.connections
                && self.open_schedule.as_ref().is_none_or(|schedule| schedule.next_ns() <= now_ns)
                && self.context.tally.counts().connecting < HANDSHAKES_MAX;
            if !may_request {
                return;
            }
            self.requested += 1;
            if let Some(schedule) = &mut self.open_schedule {
                schedule.advance();
            }
            let stopped = self.traffic.open_next(&mut self.context).or_else(|| {
                // After this many failures in a row, further connections would fail too.
                let is_hopeless =
                    self.context.tally.counts().consecutive_failures >= CONSECUTIVE_FAILURES_MAX;
                is_hopeless.then(|| self.context.tally.main_consecutive_error()).flatten()
            });
            if let Some(kind) = stopped {
                self.measurements.stopped_opening = stopped;
                self.measurements.end_opening_early(EndedEarly::of_opening(kind));
                self.connections = self.requested;
            }
        }
    }

    pub(super) fn is_opened(&self) -> bool {
        self.requested >= self.connections && self.context.tally.counts().connecting == 0
            || self.options.one_shot
    }

    /// Measures the memory of the connections beyond those of the baseline.
    pub(super) fn measure_memory(&mut self, opened: u64) {
        let Some((baseline, baseline_bytes)) = self.memory_baseline.filter(|(count, _)| opened >= count * 4)
        else {
            return;
        };
        let bytes = kernel_counters::memory_bytes().1.saturating_sub(baseline_bytes);
        self.measurements.bytes_per_connection = Some(float(bytes) / float(opened - baseline));
    }

    /// When the next connection can be requested without an event.
    pub(super) fn open_next_at(&self, now_ns: u64) -> u64 {
        if self.is_opened() {
            return now_ns;
        }
        if self.requested >= self.connections || self.context.tally.counts().connecting >= HANDSHAKES_MAX {
            return self.next_report_ns;
        }
        self.open_schedule.as_ref().map_or(now_ns, Schedule::next_ns)
    }
}

/// Connections that are requested and not established. A backlog of 128, as many servers have, holds them.
const HANDSHAKES_MAX: u64 = 128;

/// Connections requested in one turn.
const REQUESTS_PER_TURN_MAX: u32 = 64;

/// Connections from which memory is measured: the first use pages that are allocated already.
const MEMORY_BASELINE_CONNECTIONS: u64 = 1000;
