//! Numbers with units and three significant digits: `1.24 ms`, `1,234,567`, `64 KiB`. For text and pages; JSON
//! has the numbers themselves.

use std::time::Duration;

/// A time given in microseconds, to three digits: `870 µs`, `1.24 ms`, `3.1 s`.
#[must_use]
pub(crate) fn time_us(us: f64) -> String {
    if us == 0.0 {
        return "0 µs".into();
    }
    scaled(us, &[(1e6, "s"), (1e3, "ms"), (1.0, "µs"), (1e-3, "ns")])
}

/// A time of any length, to the unit that matters: `3.2 s`, `90 s`, `45 min`, `30 h`, `324 d`.
#[must_use]
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let unit =
        [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")].into_iter().find(|(size, _)| seconds >= 2.0 * size);
    match unit {
        Some((size, name)) => format!("{} {name}", rounded(seconds / size)),
        None => time_us(seconds * 1e6),
    }
}

/// A count, in groups of three digits: `1,234,567`.
#[must_use]
pub(crate) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// A number of connections: `1 connection`, `1,000 connections`.
#[must_use]
pub(crate) fn connections(n: u64) -> String {
    format!("{} connection{}", count(n), if n == 1 { "" } else { "s" })
}

/// A number rounded to an integer, in groups of three digits; zero if it is negative.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
pub(crate) fn rounded(value: f64) -> String {
    count(value.round() as u64)
}

/// A rate per second: `124,035/s`; to three digits below a hundred: `0.5/s`.
#[must_use]
pub(crate) fn rate(per_second: f64) -> String {
    if per_second.is_finite() { number(per_second) + "/s" } else { NONE.into() }
}

/// A number without a unit: `124,035`; to three digits below a hundred: `0.5`.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    if value.is_finite() { three_digits(value) } else { NONE.into() }
}

/// A number of bytes, to three digits: `26 B`, `64 KiB`, `1.5 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
pub(crate) fn bytes(n: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    scaled(n as f64, &units.map(|(size, unit)| (size as f64, unit)))
}

/// A share of 0 to 1, to three digits: `87.5 %`. Only 0 is `0 %`, and only 1 is `100 %`.
#[must_use]
pub(crate) fn share(of_one: f64) -> String {
    match of_one * 100.0 {
        few if few > 0.0 && few < 0.01 => "< 0.01 %".into(),
        most if most < 100.0 && most > 99.9 => "> 99.9 %".into(),
        percent => scaled(percent, &[(1.0, "%")]),
    }
}

/// A number with an SI prefix, to three digits: `950`, `12 k`, `1.5 M`. For the ticks of an axis.
#[must_use]
pub(crate) fn with_prefix(n: f64) -> String {
    scaled(n, &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")])
}

/// `value` formatted by `show`, or `–` if there is none.
#[must_use]
pub(crate) fn optional(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.into(), show)
}

/// The text for a missing number.
pub(crate) const NONE: &str = "–";

/// `value` in the largest of `units` in which it is at least one, or in the last.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    // From here on, three digits round up to the unit: 999.6 µs is 1 ms, not 1000 µs.
    let fits = |size: f64| value.abs() >= 0.9995 * size;
    let unit = units.iter().find(|(size, _)| fits(*size)).or(units.last());
    let &(size, name) = unit.unwrap_or(&(1.0, ""));
    let number = three_digits(value / size);
    if name.is_empty() { number } else { format!("{number} {name}") }
}

/// Three significant digits, all digits of whole numbers, no trailing zeros of a fraction.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        below if below < 9.995 => 2,
        below if below < 99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.decimals$}");
    if decimals == 0 {
        return grouped(&number);
    }
    match number.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".into(),
        trimmed => trimmed.into(),
    }
}

/// A whole number with commas between groups of three digits.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.split_at(usize::from(number.starts_with('-')));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_fitting_unit() {
        let times = [
            (0.0, "0 µs"),
            (0.25, "250 ns"),
            (1.0, "1 µs"),
            (87.46, "87.5 µs"),
            (870.4, "870 µs"),
            (999.6, "1 ms"),
            (1_240.0, "1.24 ms"),
            (99_960.0, "100 ms"),
            (3_100_000.0, "3.1 s"),
            (12_345_678_901.0, "12,346 s"),
            (-1_500.0, "-1.5 ms"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (us, text) in times {
            assert_eq!(time_us(us), text);
        }
    }

    #[test]
    fn a_long_time_is_in_minutes_hours_or_days() {
        for (ms, text) in [
            (3_200, "3.2 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (3_599_000, "60 min"),
            (7_200_000, "2 h"),
            (28_057_612_000, "325 d"),
            (3_650_000 * 86_400_000, "3,650,000 d"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        let counts = [(0, "0"), (999, "999"), (1_000, "1,000"), (28_232, "28,232"), (1_234_567, "1,234,567")];
        for (n, text) in counts {
            assert_eq!(count(n), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!([1, 1000].map(connections), ["1 connection", "1,000 connections"]);
    }

    #[test]
    fn rates_end_in_per_second() {
        let rates = [(0.0, "0/s"), (0.5, "0.5/s"), (12.34, "12.3/s"), (124_035.4, "124,035/s")];
        for (per_second, text) in rates {
            assert_eq!(rate(per_second), text);
        }
        assert_eq!(rate(f64::NAN), "–");
        assert_eq!(number(-0.001), "0");
    }

    #[test]
    fn bytes_are_in_binary_units() {
        let sizes = [
            (0, "0 B"),
            (26, "26 B"),
            (1_023, "1,023 B"),
            (1 << 16, "64 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (3 << 29, "1.5 GiB"),
        ];
        for (n, text) in sizes {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn ticks_have_a_prefix() {
        let ticks = [(0.0, "0"), (0.5, "0.5"), (950.0, "950"), (12_000.0, "12 k"), (1.5e6, "1.5 M")];
        for (n, text) in ticks {
            assert_eq!(with_prefix(n), text);
        }
    }

    #[test]
    fn only_zero_is_0_percent_and_only_one_is_100_percent() {
        let shares = [
            (0.0, "0 %"),
            (0.000_01, "< 0.01 %"),
            (0.875, "87.5 %"),
            (0.998, "99.8 %"),
            (0.9995, "> 99.9 %"),
            (0.000_05, "< 0.01 %"),
            (0.999_99, "> 99.9 %"),
            (1.0, "100 %"),
            (f64::NAN, "–"),
        ];
        for (of_one, text) in shares {
            assert_eq!(share(of_one), text);
        }
    }

    #[test]
    fn a_missing_number_is_a_dash() {
        assert_eq!(optional(None, time_us), "–");
        assert_eq!(optional(Some(2.0), time_us), "2 µs");
    }
}
