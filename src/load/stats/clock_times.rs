//! When a run took place, by the clock of its host, and which run it was.

use std::fs;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use crate::report::utc_time::UtcTime;

/// Times of the host's clock. Those of several hosts can be compared as far as their clocks agree.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the fields are keys of the JSON")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClockTimes {
    /// When the first connection was requested, which `at_seconds` of `seconds` counts from, in UTC (RFC 3339).
    pub began_at: UtcTime,
    /// When measuring began, after the opening and the warm-up; null if it did not.
    pub measuring_at: Option<UtcTime>,
    /// When `systemd-timesyncd` last synchronized the clock; null if it is not running or never did. The state of other
    /// programs for NTP is unknown: ask them.
    pub synchronized_at: Option<UtcTime>,
}

impl ClockTimes {
    pub(crate) fn new(began_at: UtcTime, measuring_at: Option<UtcTime>) -> Self {
        let synchronized = fs::metadata(SYNCHRONIZED).and_then(|file| file.modified());
        Self { began_at, measuring_at, synchronized_at: synchronized.ok().map(UtcTime) }
    }
}

/// A random identity of a run.
pub(crate) fn run_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

/// A file whose time is set at each synchronization, see systemd-timesyncd.service(8).
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
