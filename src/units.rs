//! Durations and sizes on the command line: `250ms`, `30`, `off`; `512`, `64KiB`, `1MiB`. Counts as numbers.

use std::str::FromStr;
use std::time::Duration;

/// Maximum duration. Deadlines count milliseconds in 32 bits and are compared by difference, which is correct
/// for half that range: 24.8 days.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// A duration or `off`, which is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(pub Option<Duration>);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        parse_duration(text).map(|duration| Self(Some(duration))).map_err(|error| error + ", or off")
    }
}

/// Parses a duration of at least a millisecond. Units are `ms`, `s`, `m`, `h`, `d`; none means
/// seconds.
///
/// # Errors
/// The reason, to be printed after `invalid value '…': `.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse_delay(text)? {
        Duration::ZERO => Err("it must be at least 1ms".into()),
        duration => Ok(duration),
    }
}

/// Parses a duration that can be zero.
///
/// # Errors
/// As for [`parse_duration`].
pub(crate) fn parse_delay(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str =
        "expected a whole number of seconds, or one with a unit (ms, s, m, h, d), for example 30 or 250ms";
    let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(EXPECTED.into()),
    };
    match number.checked_mul(unit_ms).map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("it must be at most 24d".into()),
    }
}

/// Parses a size in bytes. Units are `B`, `KiB`, `MiB`, `GiB`; none means bytes.
///
/// # Errors
/// The reason, to be printed after `invalid value '…': `.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    const EXPECTED: &str =
        "expected a whole number of bytes, or one with a unit (B, KiB, MiB, GiB), for example 512 or 64KiB";
    let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(EXPECTED.into()),
    };
    let bytes = number.checked_mul(1 << shift).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "it is more than this machine can address".into())
}

/// A count as a number to calculate with.
#[cfg(feature = "cli")]
#[expect(clippy::cast_precision_loss, reason = "counts, bytes and nanoseconds are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_timeout(text: &str) -> Result<Option<Duration>, String> {
        text.parse().map(|Timeout(timeout)| timeout)
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_timeout("250ms"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(parse_timeout("30s"), Ok(Some(Duration::from_secs(30))));
        assert_eq!(parse_timeout("30"), parse_timeout("30s"));
        assert_eq!(parse_timeout("5m"), Ok(Some(Duration::from_secs(300))));
        assert_eq!(parse_timeout("24d"), Ok(Some(DURATION_MAX)));
        assert_eq!(parse_timeout("off"), Ok(None));
    }

    #[test]
    fn invalid_durations_are_refused_with_the_reason() {
        for text in ["", "s", "-1", "-1s", "1.5", "1.5s", "30 s", "1week", "٣s", "99999999999999999999s"] {
            assert!(parse_timeout(text).unwrap_err().starts_with("expected a whole number"), "{text}");
        }
        for zero in ["0", "0s", "0ms"] {
            assert_eq!(parse_timeout(zero).unwrap_err(), "it must be at least 1ms, or off");
            assert_eq!(parse_duration(zero).unwrap_err(), "it must be at least 1ms");
        }
        for long in ["25d", "2073601", "18446744073709551615", "18446744073709551615d"] {
            assert_eq!(parse_duration(long).unwrap_err(), "it must be at most 24d");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        assert_eq!(parse_size("26"), Ok(26));
        assert_eq!(parse_size("26B"), Ok(26));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        for text in ["", "MiB", "1MB", "1kib", "-1", "1.5KiB"] {
            assert!(parse_size(text).unwrap_err().starts_with("expected a whole number"), "{text}");
        }
        assert!(parse_size("18446744073709551615GiB").unwrap_err().starts_with("it is more"));
    }
}
