//! A time as the text that a line of the journal has: `2026-11-22T06:04:30.123Z`.

use std::io::Write;

use tz::UtcDateTime;

/// A time in UTC and in milliseconds (RFC 3339), always of the same length. Setting it allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeStamp([u8; TIME_FORM.len()]);

/// The form of a time: a `0` stands for any digit.
pub(super) const TIME_FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

impl TimeStamp {
    /// Sets it to `unix_ms` milliseconds since the epoch. A time that four digits of a year cannot express is that of
    /// the nearest second that they can.
    pub(super) fn set(&mut self, unix_ms: i64) {
        let (seconds, ms) = (unix_ms.div_euclid(1000).clamp(YEAR_0, YEAR_9999_END), unix_ms.rem_euclid(1000));
        let Ok(utc) = UtcDateTime::from_timespec(seconds, 0) else { return };
        let (year, month, day) = (utc.year(), utc.month(), utc.month_day());
        let (hour, minute, second) = (utc.hour(), utc.minute(), utc.second());
        write!(&mut self.0[..], "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
            .expect("the text has the length of the form");
    }

    pub(super) fn as_bytes(&self) -> &[u8; TIME_FORM.len()] {
        &self.0
    }
}

/// Whether `text` has the form of a time, as far as it goes: it may be the beginning of one.
pub(super) fn begins_a_time(text: &[u8]) -> bool {
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() <= TIME_FORM.len() && text.iter().zip(TIME_FORM).all(fits)
}

/// Whether `text` has the form of a time.
pub(super) fn is_time(text: &[u8]) -> bool {
    text.len() == TIME_FORM.len() && begins_a_time(text)
}

impl Default for TimeStamp {
    fn default() -> Self {
        let mut stamp = Self(*TIME_FORM);
        stamp.set(0);
        stamp
    }
}

/// The first second of the year 0, and the last of the year 9999, since the epoch.
const YEAR_0: i64 = -62_167_219_200;
const YEAR_9999_END: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc_and_in_milliseconds_and_has_one_length() {
        let mut stamp = TimeStamp::default();
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_327_470_123, "2026-11-22T06:04:30.123Z"),
            (1_709_210_096_000, "2024-02-29T12:34:56.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.807Z"),
            (i64::MIN, "0000-01-01T00:00:00.192Z"),
        ] {
            stamp.set(unix_ms);
            assert_eq!(String::from_utf8_lossy(stamp.as_bytes()), text);
        }
    }

    #[test]
    fn a_time_is_known_by_its_form_and_the_beginning_of_one_too() {
        let time = b"2026-11-22T06:04:30.123Z";
        for end in 0..=time.len() {
            assert!(begins_a_time(&time[..end]));
            assert_eq!(is_time(&time[..end]), end == time.len());
        }
        assert!(!begins_a_time(b"2026-11-22T06:04:30.123Z "));
        for wrong in [b"2026-11-22T06:04:30.123z", b"2026-11-22 06:04:30.123Z", b"2026-1x-22T06:04:30.123Z"] {
            assert!(!begins_a_time(wrong) && !is_time(wrong));
        }
    }
}
