//! Why the result of a run is not valid: the generator was the limit.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::report::format::{count, time_us};

/// Why a result is not valid. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum InvalidReason {
    /// The generator had something to do for this share of the time.
    Busy(f64),
    /// The generator was ready to run and had no CPU for this share of the time.
    Waited(f64),
    /// This many messages were due and could not be sent in time.
    NeverSent(u64),
    /// The 99th percentile of the schedule lag, in microseconds.
    Late(f64),
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
            Self::NeverSent(messages) => {
                let messages = count(*messages);
                write!(f, "the generator could not keep up: {messages} messages were due and never sent")
            }
            Self::Late(us) => write!(
                f,
                "messages were sent late, p99 by {}: that is more than a tenth of the response time",
                time_us(*us)
            ),
        }
    }
}

impl Serialize for InvalidReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why the generator was the limit of a run or a stage, if it was.
pub(crate) fn why_not_kept_up(
    busy: f64,
    sent: u64,
    waited: f64,
    never_sent: u64,
    (lag_p99, response_p99): (Option<f64>, Option<f64>),
) -> Option<InvalidReason> {
    if sent > 0 && busy > BUSY_MAX {
        return Some(InvalidReason::Busy(busy));
    }
    if waited > WAITED_MAX {
        return Some(InvalidReason::Waited(waited));
    }
    if never_sent > 0 {
        return Some(InvalidReason::NeverSent(never_sent));
    }
    let (lag, response) = (lag_p99?, response_p99?);
    (lag > LAG_MAX_US && lag > response / 10.0).then_some(InvalidReason::Late(lag))
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

    #[test]
    fn times_and_counts_have_units_and_separators() {
        let late = "messages were sent late, p99 by 25.6 ms: that is more than a tenth of the response time";
        assert_eq!(InvalidReason::Late(25_641.0).to_string(), late);
        let never = "the generator could not keep up: 1,050 messages were due and never sent";
        assert_eq!(InvalidReason::NeverSent(1050).to_string(), never);
    }
}
