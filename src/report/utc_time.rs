//! A time of the clock as text: `2026-11-21T20:17:46.123Z`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tz::UtcDateTime;

/// A time. As text, it is in UTC and in milliseconds (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct UtcTime(pub(crate) SystemTime);

impl UtcTime {
    #[expect(clippy::disallowed_methods, reason = "log lines, histogram logs and results have a time")]
    pub(crate) fn now() -> Self {
        Self(SystemTime::now())
    }

    /// This long after the epoch of Unix, or the epoch if the system cannot represent that.
    pub(crate) fn since_epoch(duration: Duration) -> Self {
        Self(UNIX_EPOCH.checked_add(duration).unwrap_or(UNIX_EPOCH))
    }

    /// `duration` later; `None` if the system cannot represent that.
    pub(crate) fn after(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// The time from `earlier` to this one; zero if it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).unwrap_or_default()
    }
}

/// A date and a time of day with `Z` or an offset, as in RFC 3339.
impl FromStr for UtcTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
        Ok(Self(time.into()))
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        match UtcDateTime::from_timespec(seconds, since_epoch.subsec_millis() * 1_000_000) {
            Ok(utc) => f.write_str(&utc.to_string().replace("000000Z", "Z")),
            Err(_) => f.write_str("?"),
        }
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc_and_in_milliseconds() {
        let text = |since_epoch| UtcTime(UNIX_EPOCH + since_epoch).to_string();
        assert_eq!(text(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(Duration::from_micros(1_795_292_266_120_999)), "2026-11-21T20:17:46.120Z");
        assert_eq!(text(Duration::from_secs(1_709_210_096)), "2024-02-29T12:34:56.000Z");
    }
}
