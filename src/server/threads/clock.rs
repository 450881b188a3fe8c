//! The wall clock of the threads.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub(super) fn unix_seconds() -> i64 {
    unix_ms().div_euclid(1000)
}

/// The same in milliseconds.
pub(super) fn unix_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
