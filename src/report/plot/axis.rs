//! An axis: the position of a value, the ticks and their labels.

use std::ops::Range;

use crate::report::format;

/// An axis of a plot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// The quantity, written at the end of the axis.
    pub label: &'static str,
    /// The scale.
    pub scale: Scale,
    /// Formats the label of a tick. [`Scale::Time`] and [`Scale::Nines`] have their own labels.
    pub show: fn(f64) -> String,
    /// Formats a value under the pointer, like a tick but with as many digits as the values have.
    pub exact: fn(f64) -> String,
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Linear, from zero.
    Linear,
    /// Linear, from zero, with ticks only at whole numbers.
    Whole,
    /// Seconds, linear, from zero, with ticks at whole minutes or hours on a long axis.
    Time,
    /// Logarithmic. Values up to zero cannot be shown.
    Log,
    /// Logarithmic, with ticks at powers of two.
    Bytes,
    /// Logarithmic, from below one, so that a bar of one has a height.
    Counts,
    /// Percentiles, 0 to 1, by the logarithm of the rest: 90 % is as far from 99 % as 99 % is from 99.9 %.
    Nines,
}

/// An axis for given values, in linear coordinates.
#[derive(Debug)]
pub(super) struct Frame {
    /// The ends of the axis.
    pub(super) range: Range<f64>,
    /// The ticks and their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis whose ticks and values are formatted by `show`.
    pub(crate) const fn new(label: &'static str, scale: Scale, show: fn(f64) -> String) -> Self {
        Self { label, scale, show, exact: show }
    }

    /// An axis of numbers, whose ticks have a prefix: `12 k`, and at the pointer `12,345`.
    pub(crate) const fn numbers(label: &'static str, scale: Scale) -> Self {
        Self { label, scale, show: format::with_prefix, exact: format::number }
    }

    /// Seconds since the beginning.
    #[must_use]
    pub(crate) const fn time(label: &'static str) -> Self {
        Self::new(label, Scale::Time, clock)
    }

    /// Percentiles.
    #[must_use]
    pub(crate) const fn nines(label: &'static str) -> Self {
        Self::new(label, Scale::Nines, percentile)
    }

    /// The axis for `values`.
    pub(super) fn frame(&self, values: impl Iterator<Item = f64>) -> Frame {
        let (low, high) = values
            .filter(|value| self.scale.position(*value).is_some())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        match self.scale {
            Scale::Linear => self.linear(low, high, 0.0),
            Scale::Whole => self.linear(low, high, 1.0),
            Scale::Log => self.logarithmic(low, high),
            Scale::Bytes => self.binary(low, high),
            Scale::Counts => self.counts(high),
            Scale::Time => seconds(high),
            Scale::Nines => nines(self.scale.position(high).unwrap_or(0.0)),
        }
    }

    /// From zero, or from below zero for negative values, to the first tick from `high` on.
    fn linear(&self, low: f64, high: f64, step_min: f64) -> Frame {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let length = if high - low < LENGTH_MIN { 1.0 } else { high - low };
        let step = nice(length / TICKS).max(step_min);
        let high = if high - low < LENGTH_MIN { low + 1.0 } else { high };
        let (first, last) = ((low / step).floor(), (high / step - ROUNDING).ceil());
        let ticks = (0u32..).map(|n| first + f64::from(n)).take_while(|n| *n <= last);
        let ticks = ticks.map(|n| (n * step, if n == 0.0 { "0".into() } else { (self.show)(n * step) }));
        Frame { range: first * step..last * step, ticks: ticks.collect() }
    }

    /// From 1, 2 or 5 times a power of ten to another. On a short axis they all have a tick, on a longer one the
    /// powers of ten, or some of them.
    fn logarithmic(&self, low: f64, high: f64) -> Frame {
        let (low, high) = (low.log10(), high.log10());
        let decade = |position: f64| [1.0, 2.0, 5.0].map(|step: f64| position.floor() + step.log10());
        let after = decade(high)
            .into_iter()
            .chain([high.floor() + 1.0])
            .find(|position| *position >= high - ROUNDING);
        let before = decade(low).into_iter().rfind(|position| *position <= low + ROUNDING);
        let (start, end) = (before.unwrap_or(low), after.unwrap_or(high));
        // A single value is shown in the middle.
        let (start, end) = if end - start < ROUNDING { (start - 1.0, end + 1.0) } else { (start, end) };
        let few = end - start <= 2.0 + ROUNDING;
        let every = ((end - start) / TICKS_MAX).ceil().max(1.0);
        let decades =
            (0u32..).map(|n| start.floor() + every * f64::from(n)).take_while(|position| *position <= end);
        let positions = decades.flat_map(|at| if few { decade(at).to_vec() } else { vec![at.floor()] });
        let shown = positions.filter(|position| *position >= start - ROUNDING && *position <= end + ROUNDING);
        let ticks = shown.map(|position| (position, (self.show)(10f64.powf(position)))).collect();
        Frame { range: start..end, ticks }
    }

    /// From a power of two to another, with few of them as ticks.
    fn binary(&self, low: f64, high: f64) -> Frame {
        let (start, end) = ((low.log2() + ROUNDING).floor(), (high.log2() - ROUNDING).ceil());
        let end = end.max(start + 1.0);
        let every = ((end - start) / TICKS).ceil();
        let powers = (0u32..).map(|n| start + every * f64::from(n)).take_while(|power| *power <= end);
        let ticks = powers.map(|power| (power * 2f64.log10(), (self.show)(power.exp2()))).collect();
        Frame { range: start * 2f64.log10()..end * 2f64.log10(), ticks }
    }

    fn counts(&self, high: f64) -> Frame {
        let mut frame = self.logarithmic(COUNTS_FROM, high.max(10.0));
        frame.ticks.retain(|(position, _)| *position >= -ROUNDING);
        frame
    }
}

impl Scale {
    /// The linear coordinate of `value`; `None` if it cannot be shown.
    pub(super) fn position(self, value: f64) -> Option<f64> {
        let position = match self {
            Self::Linear | Self::Whole | Self::Time => value,
            Self::Log | Self::Bytes | Self::Counts if value > 0.0 => value.log10(),
            Self::Nines if (0.0..1.0).contains(&value) => -(1.0 - value).log10(),
            Self::Log | Self::Bytes | Self::Counts | Self::Nines => return None,
        };
        position.is_finite().then_some(position)
    }
}

/// Zero to `high` seconds, with ticks at the usual divisions of time.
fn seconds(high: f64) -> Frame {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let high = if high < LENGTH_MIN { 1.0 } else { high };
    let clock = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0]
        .into_iter()
        .chain([1.0, 2.0, 5.0, 10.0, 15.0, 30.0].map(|minutes| minutes * MINUTE))
        .chain([1.0, 2.0, 6.0, 12.0, 24.0].map(|hours| hours * HOUR));
    let step = match high / TICKS_WIDE {
        least if least < 1.0 => nice(least),
        least => clock.into_iter().find(|step| *step >= least).unwrap_or_else(|| nice(least / DAY) * DAY),
    };
    let (unit, name) = match high {
        short if short < 2.0 * MINUTE => (1.0, "s"),
        short if short < 2.0 * HOUR => (MINUTE, "min"),
        short if short < 2.0 * DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    let positions =
        (0u32..).map(|n| f64::from(n) * step).take_while(|position| *position <= high * (1.0 + ROUNDING));
    let text = |position: f64| {
        if position == 0.0 { "0".into() } else { format!("{} {name}", format::with_prefix(position / unit)) }
    };
    Frame { range: 0.0..high, ticks: positions.map(|position| (position, text(position))).collect() }
}

/// Seconds as a clock shows them: `12.5 s`, `3 min 20 s`, `2 h 5 min`.
fn clock(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    let whole = |number: f64| format::number(number.floor());
    match seconds {
        short if short < 2.0 * MINUTE => format::time_us(short * 1e6),
        minutes if minutes < 2.0 * HOUR => {
            format!("{} min {} s", whole(minutes / MINUTE), whole(minutes % MINUTE))
        }
        hours => format!("{} h {} min", whole(hours / HOUR), whole(hours % HOUR / MINUTE)),
    }
}

/// A percentile with two digits of the rest: `50%`, `99.937%`.
fn percentile(share: f64) -> String {
    let rest = 100.0 * (1.0 - share);
    let decimals =
        (0usize..12).find(|decimals| rest * 10f64.powi(i32::try_from(*decimals).unwrap_or(0)) >= 9.95);
    let text = format!("{:.*}", decimals.unwrap_or(12), 100.0 * share);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

/// Up to `high` nines, at least one. With many nines, every other one has a tick.
fn nines(high: f64) -> Frame {
    let high = high.max(1.0);
    let every = if high > TICKS_WIDE { 2 } else { 1 };
    let nines = (1usize..16).step_by(every).map(|nines| match nines {
        1 => (1.0, "90%".into()),
        2 => (2.0, "99%".into()),
        more => (f64::from(u8::try_from(more).unwrap_or(u8::MAX)), format!("99.{}%", "9".repeat(more - 2))),
    });
    let half = Scale::Nines.position(0.5).map(|position| (position, "50%".into()));
    Frame {
        range: 0.0..high,
        ticks: half.into_iter().chain(nines).filter(|(position, _)| *position <= high + ROUNDING).collect(),
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `least`.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= least * (1.0 - ROUNDING)).unwrap_or(least)
}

/// The approximate number of intervals on a linear axis.
const TICKS: f64 = 5.0;

/// The most intervals on the left axis.
const TICKS_MAX: f64 = 8.0;

/// The most intervals on the bottom axis, where labels are side by side.
const TICKS_WIDE: f64 = 6.0;

/// Where an axis of counts begins.
const COUNTS_FROM: f64 = 0.5;

/// A shorter range is shown as a single value.
const LENGTH_MIN: f64 = 1e-9;

/// The relative tolerance for rounding errors.
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, values: &[f64]) -> String {
        let frame = axis.frame(values.iter().copied());
        frame.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    fn axis(scale: Scale, show: fn(f64) -> String) -> Axis {
        Axis::new("", scale, show)
    }

    #[test]
    fn an_even_axis_begins_at_zero_and_ends_with_a_tick() {
        let linear = axis(Scale::Linear, format::with_prefix);
        assert_eq!(labels(linear, &[90_000.0, 118_000.0]), "0 50 k 100 k 150 k");
        assert_eq!(labels(linear, &[0.3]), "0 0.1 0.2 0.3");
        assert_eq!(labels(linear, &[]), labels(linear, &[1.0]));
        let whole = axis(Scale::Whole, format::with_prefix);
        assert_eq!(labels(whole, &[1.0]), "0 1");
        assert_eq!(labels(whole, &[50.0]), "0 10 20 30 40 50");
    }

    #[test]
    fn time_has_ticks_where_a_clock_has_them() {
        let time = Axis::time("");
        assert_eq!(labels(time, &[10.2]), "0 2 s 4 s 6 s 8 s 10 s");
        assert_eq!(labels(time, &[100.0]), "0 30 s 60 s 90 s");
        assert_eq!(labels(time, &[200.0]), "0 1 min 2 min 3 min");
        assert_eq!(labels(time, &[3.0 * 86_400.0]), "0 0.5 d 1 d 1.5 d 2 d 2.5 d 3 d");
    }

    #[test]
    fn a_logarithmic_axis_has_few_ticks() {
        let log = axis(Scale::Log, format::time_us);
        assert_eq!(labels(log, &[130.0, 4_200.0]), "100 µs 200 µs 500 µs 1 ms 2 ms 5 ms");
        assert_eq!(labels(log, &[3.0, 2e6]), "10 µs 100 µs 1 ms 10 ms 100 ms 1 s");
        assert_eq!(labels(log, &[1_000.0]), "100 µs 200 µs 500 µs 1 ms 2 ms 5 ms 10 ms");
        assert_eq!(labels(axis(Scale::Log, format::with_prefix), &[1.0, 10_000.0]), "1 10 100 1 k 10 k");
        assert_eq!(labels(log, &[0.0, -1.0]), labels(log, &[1.0]));
    }

    #[test]
    fn bytes_have_ticks_at_powers_of_two() {
        let bytes = axis(Scale::Bytes, |n| format::number(n / 1024.0));
        assert_eq!(labels(bytes, &[340e3, 110e6]), "256 1,024 4,096 16,384 65,536");
        assert_eq!(labels(bytes, &[65_536.0]), "64 128");
    }

    #[test]
    fn counts_have_no_tick_below_one() {
        let counts = Axis::numbers("", Scale::Counts);
        assert_eq!(labels(counts, &[1.0, 40_000.0]), "1 10 100 1 k 10 k");
        assert_eq!(labels(counts, &[7.0]), "1 2 5 10");
        let frame = counts.frame([1.0].into_iter());
        assert!(frame.range.start < 0.0 && frame.range.end > 0.9, "a bar of one has a height: {frame:?}");
    }

    #[test]
    fn times_and_percentiles_have_the_digits_that_distinguish_them() {
        let times = [0.0, 0.004, 12.5, 119.0, 200.0, 7_500.0].map(Axis::time("").exact);
        assert_eq!(times, ["0 µs", "4 ms", "12.5 s", "119 s", "3 min 20 s", "2 h 5 min"]);
        let shares = [0.0, 0.5, 0.9, 0.987_65, 0.999_37, 0.999_99].map(Axis::nines("").exact);
        assert_eq!(shares, ["0%", "50%", "90%", "98.8%", "99.937%", "99.999%"]);
    }

    #[test]
    fn each_nine_is_as_long_as_the_one_before() {
        let nines = Axis::nines("");
        assert_eq!(labels(nines, &[0.9995]), "50% 90% 99% 99.9%");
        assert_eq!(labels(nines, &[0.3, 1.0]), "50% 90%");
        assert_eq!(labels(nines, &[0.999_999_95]), "50% 90% 99.9% 99.999% 99.99999%");
        let positions = [0.9, 0.99, 0.999].map(|share| Scale::Nines.position(share).unwrap());
        for (position, nines) in positions.into_iter().zip([1.0, 2.0, 3.0]) {
            assert!((position - nines).abs() < 1e-9, "{positions:?}");
        }
    }
}
