//! Why the result of a run is not valid: the generator was the limit.

use std::fmt;

use serde::{Serialize, Serializer};

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
