//! Why the results of a run describe the generator and not the server.

use std::fmt;

use serde::{Serialize, Serializer};

/// The first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum InvalidReason {
    /// No connection was open.
    NoConnection,
    /// The generator was busy for this share of the time, 0 to 1.
    Busy(f64),
    /// The generator was ready to run, and waited for a processor for this share of the time, 0 to 1.
    Waited(f64),
    /// This number of messages was due and never sent.
    NeverSent(u64),
    /// Messages were sent late; the 99th percentile in microseconds.
    Late(f64),
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection was open"),
            Self::Busy(share) => write!(
                f,
                "the generator was busy {:.0} % of the time: the server may do more than it asked for",
                share * 100.0
            ),
            Self::Waited(share) => write!(
                f,
                "the generator waited for a processor {:.0} % of the time: other programs ran",
                share * 100.0
            ),
            Self::NeverSent(messages) => {
                write!(f, "the generator could not keep up: {messages} messages were due and never sent")
            }
            Self::Late(p99_us) => write!(
                f,
                "messages were sent late, p99 by {p99_us:.0} µs: more than a tenth of the response time"
            ),
        }
    }
}

impl Serialize for InvalidReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
