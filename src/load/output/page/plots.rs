//! The plots of a run.

use hdrhistogram::Histogram;

use crate::load::stats::latency::{Percentiles, percentile_us};
use crate::load::stats::summary::{Outcome, Second};
use crate::report::format::time_us;
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::units::float;

/// Connections and rate over time.
pub(super) fn activity(seconds: &[Second]) -> [(Plot, &'static str); 2] {
    [
        (connections(seconds), "Open at the end of each second."),
        (rates(seconds), "Where the lines differ, the server was behind, or messages failed."),
    ]
}

/// Latencies over time and by percentile.
pub(super) fn latency(outcome: &Outcome) -> [(Plot, &'static str); 2] {
    let response = percentiles("response", &outcome.times.response);
    let service = percentiles("service", &outcome.times.service).drawn(Stroke::Dashed);
    [
        (
            spreads("Response time over time", &outcome.seconds, |second| &second.response_us),
            "Each second separately. The p99 of a second requires 1,000 messages.",
        ),
        (
            times("Latency by percentile", Axis::nines("of messages"), vec![response, service]),
            "Each nine has the same width. A line ends where fewer than ten messages are slower.",
        ),
    ]
}

/// The schedule lag over time and by percentile.
pub(super) fn lag(outcome: &Outcome) -> [(Plot, &'static str); 2] {
    let lag = percentiles("lag", &outcome.times.lag);
    [
        (spreads("Schedule lag over time", &outcome.seconds, |second| &second.lag_us), ""),
        (times("Schedule lag by percentile", Axis::nines("of messages"), vec![lag]), ""),
    ]
}

fn connections(seconds: &[Second]) -> Plot {
    let counted = seconds.iter().map(|second| (second.at_seconds, Some(float(second.open))));
    let none_at_first = seconds.first().map(|_| (0.0, Some(0.0)));
    let open = Series::new("open connections", none_at_first.into_iter().chain(counted));
    let y = Axis::numbers("open", Scale::Whole);
    Plot::new("Connections over time", Axis::time("since the start"), y, vec![open])
}

fn rates(seconds: &[Second]) -> Plot {
    let per_second = |name: &str, of: fn(&Second) -> u64| {
        let rate = |second: &Second| {
            let enough = second.length_seconds >= INTERVAL_SECONDS_MIN;
            enough.then(|| float(of(second)) / second.length_seconds)
        };
        across(name, seconds, rate)
    };
    let lines = vec![
        per_second("answered", |second| second.answered),
        per_second("sent", |second| second.sent).drawn(Stroke::Dashed),
    ];
    let y = Axis::numbers("messages per second", Scale::Linear);
    Plot::new("Rate over time", Axis::time("since the start"), y, lines)
}

fn spreads(title: &str, seconds: &[Second], of: fn(&Second) -> &Percentiles) -> Plot {
    let line = |name: &str, pick: fn(&Percentiles) -> Option<f64>| {
        across(name, seconds, |second| pick(of(second)).map(drawable))
    };
    let largest = line("largest", |of| of.max).with_peak();
    let lines = vec![line("p50", |of| of.p50), line("p99", |of| of.p99), largest];
    times(title, Axis::time("since the start"), lines)
}

/// A line with a value for each interval, drawn at its middle. The axis ends at the end of the run, like that
/// of the connections.
fn across(name: &str, seconds: &[Second], value: impl Fn(&Second) -> Option<f64>) -> Series {
    let end = seconds.last().map(|last| (last.at_seconds, None));
    let middles = seconds.iter().map(|s| (s.at_seconds - s.length_seconds / 2.0, value(s)));
    Series::new(name, middles.chain(end))
}

fn times(title: &str, x: Axis, series: Vec<Series>) -> Plot {
    Plot::new(title, x, Axis::new("time, logarithmic", Scale::Log, time_us), series)
}

/// The percentiles of `nanoseconds`, as far as there are enough samples.
fn percentiles(name: &str, nanoseconds: &Histogram<u64>) -> Series {
    let shares = (0u32..).map(|step| 1.0 - 10f64.powf(-f64::from(step) / POINTS_PER_NINE));
    let points = shares.map_while(|share| percentile_us(nanoseconds, 100.0 * share).map(|us| (share, us)));
    Series::new(name, points.map(|(share, us)| (share, Some(drawable(us)))))
}

/// At least a tenth of a microsecond, since a logarithmic axis has no zero.
fn drawable(us: f64) -> f64 {
    us.max(0.1)
}

/// Minimum length of an interval whose rate is shown; the last may be shorter.
const INTERVAL_SECONDS_MIN: f64 = 0.1;

/// Points of a line for each nine of the axis.
const POINTS_PER_NINE: f64 = 60.0;
