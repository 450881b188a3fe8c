//! The counters of a run, and the sums that they obey.

use crate::units::float;

/// Counters since the start of the run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Connections that are requested and not established.
    pub(crate) connecting: u64,
    /// Failures to connect since the last success.
    pub(crate) consecutive_failures: u64,
    /// Connections that are open now.
    pub(crate) open: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Connections that could not be opened, unless each message has its own.
    pub(crate) open_failed: u64,
    /// Connections of one message that could not be opened: a failed message stands for each.
    pub(crate) unconnected: u64,
    /// Connections that were closed together with the end of their one message.
    pub(crate) closed: u64,
    /// Connections that were opened and ended before the run did.
    pub(crate) lost: u64,
    /// Of the lost connections, those without a message in flight: no failed message stands for them.
    pub(crate) lost_idle: u64,
    /// Connections that took about a second or more to open.
    pub(crate) slow: u64,
    pub(crate) sent: u64,
    /// Of these, messages of an open loop that were due in the warm-up.
    pub(crate) sent_backlog: u64,
    pub(crate) answered: u64,
    /// Of these, messages of the backlog.
    pub(crate) answered_backlog: u64,
    pub(crate) failed: u64,
    /// Messages that were due while no connection was free to send them.
    pub(crate) never_sent: u64,
    /// Datagrams that were answered after the timeout.
    pub(crate) late: u64,
    /// Datagrams that are not answered although their timeout is over.
    pub(crate) overdue: u64,
    /// Answers that were received before.
    pub(crate) duplicate: u64,
    /// Of the messages sent, heartbeats.
    pub(crate) heartbeats_sent: u64,
    /// Of the messages answered, heartbeats.
    pub(crate) heartbeats_answered: u64,
    /// Of these, heartbeats that were due while messages are measured.
    pub(crate) heartbeats_measured: u64,
    /// Of the messages that failed, heartbeats.
    pub(crate) heartbeats_failed: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

impl Counts {
    /// Messages that are not answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.answered - self.failed
    }

    /// Heartbeats that are not answered.
    pub(crate) fn heartbeats_in_flight(&self) -> u64 {
        self.heartbeats_sent - self.heartbeats_answered - self.heartbeats_failed
    }

    /// Only heartbeats in flight are left.
    pub(crate) fn reset_answered_heartbeats(&mut self) {
        self.heartbeats_sent = self.heartbeats_in_flight();
        (self.heartbeats_answered, self.heartbeats_measured, self.heartbeats_failed) = (0, 0, 0);
    }

    /// Messages answered that count in rates: those of active connections that were due while messages are measured.
    pub(crate) fn answered_by_active(&self) -> u64 {
        self.answered - self.answered_backlog - self.heartbeats_measured
    }

    /// Connections that were requested, unless each message has its own.
    pub(crate) fn requested(&self) -> u64 {
        self.opened + self.open_failed + self.connecting
    }

    /// The counters without the messages that were due in the warm-up. Those of them that were not answered are the
    /// oldest, so they count as unanswered first, and as failed when nothing is unanswered.
    pub(crate) fn without_backlog(&self) -> Self {
        let rest = self.sent_backlog - self.answered_backlog;
        Self {
            sent: self.sent - self.sent_backlog,
            answered: self.answered - self.answered_backlog,
            failed: self.failed - rest.saturating_sub(self.in_flight()),
            ..*self
        }
    }

    /// Connections and messages that failed. A connection that was lost with messages in flight is counted by
    /// these.
    pub(crate) fn errors(&self) -> u64 {
        self.open_failed + self.lost_idle + self.failed
    }

    /// Asserts, in debug builds, the sums that hold at any time. `sent = answered + failed + in flight`
    /// defines what is in flight; [`Traffic::check`] compares that with the messages there are.
    ///
    /// [`Traffic::check`]: crate::load::traffic::Traffic::check
    pub(crate) fn check(&self) {
        debug_assert_eq!(self.opened, self.open + self.closed + self.lost, "{self:?}");
        debug_assert!(self.lost_idle <= self.lost, "{self:?}");
        debug_assert!(self.answered + self.failed <= self.sent, "{self:?}");
        debug_assert!(self.unconnected <= self.failed, "{self:?}");
        debug_assert!(self.heartbeats_in_flight() <= self.in_flight(), "{self:?}");
        debug_assert!(self.answered_backlog <= self.sent_backlog, "{self:?}");
        debug_assert!(self.late <= self.answered && self.overdue <= self.in_flight(), "{self:?}");
    }
}

/// `count` per second of `ns`.
pub(crate) fn rate(count: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { float(count) / (float(ns) / 1e9) }
}
