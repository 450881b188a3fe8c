//! The plots of a run.

use hdrhistogram::Histogram;

use super::histogram::{Noted, drawable, histogram};
use crate::load::stats::latency::{Percentiles, percentile_us};
use crate::load::stats::summary::{Outcome, Second, Summary};
use crate::load::stats::times::Times;
use crate::report::format::time_us;
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::units::float;

/// Connections and messages over time. Where each message has a connection of its own, none stays open, and how many
/// were opened is shown instead.
pub(super) fn activity(seconds: &[Second]) -> [Noted; 2] {
    let stays_open = seconds.iter().any(|second| second.open > 0);
    let is_one_shot = !stays_open && seconds.iter().any(|second| second.opened > 0);
    [if is_one_shot { opened(seconds) } else { connections(seconds) }, rates(seconds)]
}

/// Connections over time, and how many were opened.
pub(super) fn opening(seconds: &[Second]) -> [Noted; 2] {
    [connections(seconds), opened(seconds)]
}

/// The plot over time with a mark where each stage of the run begins.
pub(super) fn marked((plot, note): Noted, summary: &Summary) -> Noted {
    let marks = summary.stages.iter().filter_map(|stage| stage.began_seconds).collect();
    (Plot { marks, ..plot }, note)
}

/// The response time over time.
pub(super) fn responses(seconds: &[Second]) -> Noted {
    spreads("Response time over time", seconds, |second| &second.response_us)
}

/// The time to connect over time; `None` if all connections were opened within one interval.
pub(super) fn connects(seconds: &[Second]) -> Option<Noted> {
    let is_long = seconds.iter().filter(|second| second.connect_us.max.is_some()).count() > 1;
    is_long.then(|| spreads("Time to connect over time", seconds, |second| &second.connect_us))
}

/// Latencies by percentile, and how many messages had which.
pub(super) fn latency(times: &Times) -> [Noted; 2] {
    let response = percentiles("response", &times.response);
    let lines = if is_service_equal(times) {
        vec![Series { name: "response and service, which are equal".into(), ..response }]
    } else {
        vec![response, percentiles("service", &times.service).drawn(Stroke::Dashed)]
    };
    [
        by_percentile("Latency by percentile", "of messages", lines),
        histogram("Histogram of response times", "messages", &times.response),
    ]
}

/// Whether each message was sent when it was due, as in a closed loop, so that response and service time are equal.
pub(super) fn is_service_equal(times: &Times) -> bool {
    times.response == times.service
}

/// The times to connect by percentile, and how many connections had which.
pub(super) fn connect(connect: &Histogram<u64>) -> [Noted; 2] {
    let line = percentiles("time to connect", connect);
    [
        by_percentile("Time to connect by percentile", "of connections", vec![line]),
        histogram("Histogram of times to connect", "connections", connect),
    ]
}

/// The schedule lag over time and by percentile.
pub(super) fn lag(outcome: &Outcome) -> [Noted; 2] {
    let (over_time, _) = spreads("Schedule lag over time", &outcome.seconds, |second| &second.lag_us);
    let lag = percentiles("lag", &outcome.times.lag);
    let (by_percentile, _) = by_percentile("Schedule lag by percentile", "of messages", vec![lag]);
    [marked((over_time, ""), &outcome.summary), (by_percentile, "")]
}

/// Any times by percentile.
pub(super) fn by_percentile(title: &str, of: &'static str, lines: Vec<Series>) -> Noted {
    let note = "Each nine has the same width. A line ends where fewer than ten samples are slower.";
    (times(title, Axis::nines(of), lines), note)
}

fn connections(seconds: &[Second]) -> Noted {
    let counted = seconds.iter().map(|second| (second.at_seconds, Some(float(second.open))));
    let none_at_first = seconds.first().map(|_| (0.0, Some(0.0)));
    let open = Series::new("open connections", none_at_first.into_iter().chain(counted));
    let y = Axis::numbers("open", Scale::Whole);
    (Plot::new("Connections over time", SINCE_START, y, vec![open]), "Open at the end of each second.")
}

fn opened(seconds: &[Second]) -> Noted {
    let rate = |second: &Second| per_second(second, second.opened);
    let starts = seconds.iter().map(|second| (second.at_seconds - second.length_seconds, rate(second)));
    let end = seconds.last().map(|last| (last.at_seconds, None));
    let series = if seconds.len() > BARS_MAX {
        across("opened", seconds, rate)
    } else {
        Series::new("opened", starts.chain(end)).drawn(Stroke::Bars)
    };
    let y = Axis::numbers("connections per second", Scale::Linear);
    let plot = Plot::new("Connections opened per second", SINCE_START, y, vec![series]);
    (plot, "In each second, and in the part of a second in which opening ended.")
}

fn rates(seconds: &[Second]) -> Noted {
    let line =
        |name: &str, of: fn(&Second) -> u64| across(name, seconds, |second| per_second(second, of(second)));
    let lines = vec![
        line("answered", |second| second.answered),
        line("sent", |second| second.sent).drawn(Stroke::Dashed),
    ];
    let y = Axis::numbers("messages per second", Scale::Linear);
    let plot = Plot::new("Rate over time", SINCE_START, y, lines);
    (plot, "Where the lines differ, the server was behind, or messages failed.")
}

fn spreads(title: &str, seconds: &[Second], of: fn(&Second) -> &Percentiles) -> Noted {
    let line = |name: &str, pick: fn(&Percentiles) -> Option<f64>| {
        across(name, seconds, |second| pick(of(second)).map(drawable))
    };
    let largest = line("largest", |of| of.max).with_peak();
    let lines = vec![line("p50", |of| of.p50), line("p99", |of| of.p99), largest];
    let note = "Each second separately. The p99 of a second requires 1,000 samples.";
    (times(title, SINCE_START, lines), note)
}

/// `count` per second, unless the interval is too short.
fn per_second(second: &Second, count: u64) -> Option<f64> {
    (second.length_seconds >= INTERVAL_SECONDS_MIN).then(|| float(count) / second.length_seconds)
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
pub(super) fn percentiles(name: &str, nanoseconds: &Histogram<u64>) -> Series {
    let shares = (0u32..).map(|step| 1.0 - 10f64.powf(-f64::from(step) / POINTS_PER_NINE));
    let points = shares.map_while(|share| percentile_us(nanoseconds, 100.0 * share).map(|us| (share, us)));
    Series::new(name, points.map(|(share, us)| (share, Some(drawable(us)))))
}

const SINCE_START: Axis = Axis::time("since the start");

/// Minimum length of an interval whose rate is shown; the last may be shorter.
const INTERVAL_SECONDS_MIN: f64 = 0.1;

/// More bars would be too narrow.
const BARS_MAX: usize = 100;

/// Points of a line for each nine of the axis.
const POINTS_PER_NINE: f64 = 30.0;
