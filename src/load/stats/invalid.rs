//! Whether a result is about the server: it is not if the generator was the limit.

use std::fmt;

use serde::{Serialize, Serializer};

use super::summary::Summary;

/// Why a result is not valid. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum InvalidReason {
    /// No connection was opened.
    NoConnection,
    /// The generator had something to do for this share of the time.
    Busy(f64),
    /// The generator was ready to run and had no CPU for this share of the time.
    Waited(f64),
    /// This many messages were due and could not be sent in time.
    NeverSent(u64),
    /// The 99th percentile of the schedule lag, in microseconds.
    Late(f64),
}

impl InvalidReason {
    /// Why `summary` is not valid, if it is not. `never_sent` messages were due and not sent; for
    /// `waited_seconds` the generator was ready to run and had no CPU.
    pub(crate) fn of(summary: &Summary, never_sent: u64, waited_seconds: f64) -> Option<Self> {
        if summary.connections.opened == 0 {
            return Some(Self::NoConnection);
        }
        let busy = summary.generator.busy;
        if summary.messages.sent > 0 && busy > BUSY_MAX {
            return Some(Self::Busy(busy));
        }
        let waited = waited_seconds / summary.duration_seconds;
        if summary.duration_seconds > 0.0 && waited > WAITED_MAX {
            return Some(Self::Waited(waited));
        }
        if never_sent > 0 {
            return Some(Self::NeverSent(never_sent));
        }
        let (lag, response) = (summary.schedule_lag_us.p99?, summary.latency_us.response.p99?);
        (lag > LAG_MAX_US && lag > response / 10.0).then_some(Self::Late(lag))
    }
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection was opened"),
            Self::Busy(share) => write!(
                f,
                "the generator was busy {:.0} % of the time: the server may be capable of more",
                share * 100.0
            ),
            Self::Waited(share) => write!(
                f,
                "the generator waited for a CPU {:.0} % of the time: other programs were running",
                share * 100.0
            ),
            Self::NeverSent(count) => {
                write!(f, "the generator could not keep up: {count} messages were due and never sent")
            }
            Self::Late(us) => write!(
                f,
                "messages were sent late, p99 by {us:.0} µs: that is more than a tenth of the response time"
            ),
        }
    }
}

impl Serialize for InvalidReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A generator that is busy for a larger share of the time is at its limit.
const BUSY_MAX: f64 = 0.95;

/// A generator that waits for a CPU for a larger share of the time competes with other programs.
const WAITED_MAX: f64 = 0.1;

/// A smaller schedule lag is ignored, in microseconds.
const LAG_MAX_US: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn why(change: impl FnOnce(&mut Summary)) -> Option<InvalidReason> {
        why_with(change, 0, 0.0)
    }

    fn why_with(
        change: impl FnOnce(&mut Summary),
        never_sent: u64,
        waited_seconds: f64,
    ) -> Option<InvalidReason> {
        let mut summary = Summary::sample();
        change(&mut summary);
        InvalidReason::of(&summary, never_sent, waited_seconds)
    }

    #[test]
    fn a_run_without_errors_is_valid() {
        assert_eq!(why(|_| {}), None);
    }

    #[test]
    fn a_run_without_a_connection_is_not_valid() {
        assert_eq!(why(|it| it.connections.opened = 0), Some(InvalidReason::NoConnection));
        assert_eq!(why(|it| it.connections.opened = 1), None);
    }

    #[test]
    fn a_busy_generator_makes_a_run_invalid_unless_it_only_holds_connections() {
        assert_eq!(why(|it| it.generator.busy = 0.951), Some(InvalidReason::Busy(0.951)));
        assert_eq!(why(|it| it.generator.busy = 0.95), None);
        assert_eq!(why(|it| (it.generator.busy, it.messages.sent) = (1.0, 0)), None);
    }

    #[test]
    fn a_generator_that_waits_for_a_cpu_makes_a_run_invalid() {
        let why = why_with(|_| {}, 0, 1.01).unwrap().to_string();
        assert_eq!(why, "the generator waited for a CPU 10 % of the time: other programs were running");
        assert_eq!(why_with(|_| {}, 0, 1.0), None);
        assert_eq!(why_with(|it| it.duration_seconds = 0.0, 0, 1.0), None);
    }

    #[test]
    fn messages_that_were_never_sent_make_a_run_invalid() {
        assert_eq!(why_with(|_| {}, 7, 0.0), Some(InvalidReason::NeverSent(7)));
    }

    #[test]
    fn a_lag_makes_a_run_invalid_if_it_is_a_large_part_of_the_response_time() {
        let lag = |lag: f64, response: f64| {
            why(|it| {
                it.schedule_lag_us.p99 = Some(lag);
                it.latency_us.response.p99 = Some(response);
            })
        };
        assert_eq!(lag(240.1, 2400.0), Some(InvalidReason::Late(240.1)));
        assert_eq!(lag(239.9, 2400.0), None);
        assert_eq!(lag(100.0, 200.0), None);
        assert_eq!(lag(100.1, 200.0), Some(InvalidReason::Late(100.1)));
        assert_eq!(why(|it| it.schedule_lag_us.p99 = None), None);
    }
}
