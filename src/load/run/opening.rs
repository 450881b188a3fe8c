//! Opening connections: as many at once as a server's backlog takes, and as fast as the rate allows.

use super::{CONSECUTIVE_FAILURES_MAX, LOOK_NS, Phase, Run, SETTLE_NS, context};
use crate::load::observer::Observer;
use crate::load::schedule::SECOND_NS;
use crate::load::stats::kernel_counters;
use crate::load::traffic::Traffic;
use crate::net::ClientNet;

impl<N: ClientNet, T: Traffic<N>> Run<'_, N, T> {
    /// Opens some more, until all are there or cannot be.
    pub(super) fn go_on_opening(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        self.open(now_ns);
        let opened = self.measurements.tally.counts().opened;
        if self.first_bytes.is_none() && opened >= CONNECTIONS_TO_WEIGH {
            self.first_bytes = Some((opened, kernel_counters::memory_bytes().1));
        }
        if now_ns >= self.next_look_ns {
            self.next_look_ns = now_ns + LOOK_NS;
            let asked = self.options.connections.into();
            observer.opening(opened, asked, self.elapsed(now_ns));
        }
        if self.is_opened() {
            self.measurements.open_ns = now_ns - self.began_ns;
            let settle_ns = if self.options.is_one_shot() { 0 } else { SETTLE_NS };
            self.open_failed = self.measurements.tally.counts().open_failed;
            self.phase = Phase::Settling { until_ns: now_ns + settle_ns };
        }
    }

    /// Asks for as many connections as may be on their way at once, and as the rate allows.
    pub(super) fn open(&mut self, now_ns: u64) {
        let allowed = match self.options.open_rate {
            None => u64::MAX,
            Some(rate) => 1 + mul_div(now_ns - self.began_ns, rate, SECOND_NS),
        };
        for _ in 0..OPENED_PER_TURN_MAX {
            let may_ask = self.asked_for < self.connections
                && u64::from(self.asked_for) < allowed
                && self.traffic.connecting() < HANDSHAKES_MAX;
            if !may_ask {
                return;
            }
            self.asked_for += 1;
            let stopped = self
                .traffic
                .open_next(&mut context(&mut self.net, &mut self.measurements.tally))
                .or_else(|| {
                    // So many in a row will go on failing.
                    let is_hopeless = self.traffic.consecutive_failures() >= CONSECUTIVE_FAILURES_MAX;
                    is_hopeless.then(|| self.measurements.tally.main_open_error()).flatten()
                });
            if stopped.is_some() {
                self.measurements.stopped_opening = stopped;
                self.connections = self.asked_for;
            }
        }
    }

    pub(super) fn is_opened(&self) -> bool {
        self.asked_for >= self.connections && self.traffic.connecting() == 0 || self.options.is_one_shot()
    }

    /// What connections cost beyond the first thousand, which fill pages that are there already.
    pub(super) fn weigh(&mut self, opened: u64) {
        let Some((few, few_bytes)) = self.first_bytes.filter(|(few, _)| opened >= few * 4) else { return };
        let bytes = kernel_counters::memory_bytes().1.saturating_sub(few_bytes);
        #[expect(clippy::cast_precision_loss, reason = "memory and connections are far below 2^52")]
        let slope = bytes as f64 / (opened - few) as f64;
        self.measurements.bytes_per_connection = Some(slope);
    }

    /// When there is more to do about opening than events bring.
    pub(super) fn open_next_at(&self, now_ns: u64) -> u64 {
        if self.is_opened() {
            return now_ns;
        }
        if self.asked_for >= self.connections || self.traffic.connecting() >= HANDSHAKES_MAX {
            return self.next_look_ns;
        }
        match self.options.open_rate {
            Some(rate) => self.began_ns + mul_div(self.asked_for.into(), SECOND_NS, rate),
            None => now_ns,
        }
    }
}

/// `number * times / by`, without running over in between.
pub(super) fn mul_div(number: u64, times: u64, by: u64) -> u64 {
    u64::try_from(u128::from(number) * u128::from(times) / u128::from(by)).unwrap_or(u64::MAX)
}

/// Connections that may be on their way at once. A backlog of 128, which many servers have, takes them.
const HANDSHAKES_MAX: u32 = 128;

/// Connections asked for before the poller is asked what has become of them.
const OPENED_PER_TURN_MAX: u32 = 64;

/// With fewer connections, what they cost is lost in pages that are only partly used.
const CONNECTIONS_TO_WEIGH: u64 = 1000;
