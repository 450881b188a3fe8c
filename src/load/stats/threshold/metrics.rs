//! The metrics of thresholds, in two tables, and their values as text.

use super::super::histogram_log::{CONNECT, LAG, RESPONSE, SERVICE};
use super::super::latency::Latency;
use super::super::summary::{LoadModel, Summary};
use crate::load::merge::MergedRuns;
use crate::units::float;

/// A metric of the tables below.
#[derive(Debug, Clone, Copy)]
pub(super) enum Metric {
    /// A percentile, the maximum or the mean of a distribution, in microseconds.
    Time(&'static Distribution, Point),
    /// A number.
    Number(&'static Number),
}

/// A distribution of times: `service_` and its points make `service_p50`, `service_p99` and so on.
#[derive(Debug)]
pub(super) struct Distribution {
    prefix: &'static str,
    about: &'static str,
    points: &'static [(&'static str, Point)],
    /// The tag in histogram logs.
    tag: &'static str,
    of: fn(&Summary) -> Result<Latency, &'static str>,
}

type Point = fn(&Latency) -> Option<f64>;

#[derive(Debug)]
pub(super) struct Number {
    name: &'static str,
    about: &'static str,
    of: fn(&Summary) -> Result<f64, &'static str>,
}

const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        prefix: "",
        about: "response time, from when a message was due to its reply",
        points: ALL_POINTS,
        tag: RESPONSE,
        of: |summary| Ok(summary.latency_us.response.clone()),
    },
    Distribution {
        prefix: "service_",
        about: "service time, from when a message was sent to its reply",
        points: ALL_POINTS,
        tag: SERVICE,
        of: |summary| Ok(summary.latency_us.service.clone()),
    },
    Distribution {
        prefix: "connect_",
        about: "from the request of a connection until it is open",
        points: ALL_POINTS,
        tag: CONNECT,
        of: |summary| Ok(summary.latency_us.connect.clone()),
    },
    Distribution {
        prefix: "lag_",
        about: "how late messages were sent, with --rate",
        points: &[
            ("p50", |times| times.p50),
            ("p99", |times| times.p99),
            ("p99.9", |times| times.p99_9),
            ("max", |times| times.max),
        ],
        tag: LAG,
        of: lag,
    },
];

const ALL_POINTS: &[(&str, Point)] = &[
    ("p50", |times| times.p50),
    ("p90", |times| times.p90),
    ("p99", |times| times.p99),
    ("p99.9", |times| times.p99_9),
    ("p99.99", |times| times.p99_99),
    ("max", |times| times.max),
    ("mean", |times| times.mean),
];

const NUMBERS: &[Number] = &[
    Number {
        name: "rate",
        about: "messages acknowledged per second, without heartbeats",
        of: |summary| Ok(summary.messages.rate),
    },
    Number {
        name: "errors",
        about: "messages failed or unanswered, connections failed or lost; each fault once",
        of: |summary| Ok(float(errors(summary))),
    },
    Number {
        name: "failed",
        about: "messages answered wrongly, or on a connection that ended before the answer",
        of: |summary| Ok(float(summary.messages.failed)),
    },
    Number {
        name: "unanswered",
        about: "messages not answered when the run was over",
        of: |summary| Ok(float(summary.messages.unanswered)),
    },
    Number {
        name: "never_sent",
        about: "messages due on schedule and not sent",
        of: |summary| Ok(float(summary.messages.never_sent)),
    },
    Number {
        name: "invalid",
        about: "1 if the generator was the limit, otherwise 0",
        of: |summary| Ok(if summary.valid { 0.0 } else { 1.0 }),
    },
    Number {
        name: "opened",
        about: "connections that were opened",
        of: |summary| Ok(float(summary.connections.opened)),
    },
    Number {
        name: "open_rate",
        about: "connections opened per second",
        of: |summary| Ok(summary.connections.open_rate),
    },
    Number {
        name: "failed_connections",
        about: "connections that could not be opened",
        of: |summary| Ok(float(summary.connections.failed)),
    },
    Number {
        name: "lost_connections",
        about: "opened connections that ended before the run",
        of: |summary| Ok(float(summary.connections.lost)),
    },
    Number {
        name: "lost_datagrams",
        about: "datagrams not answered when the run was over",
        of: |summary| summary.datagrams.as_ref().map(|of| float(of.lost)).ok_or(NO_DATAGRAMS),
    },
    Number {
        name: "late_datagrams",
        about: "datagrams answered after the timeout",
        of: |summary| summary.datagrams.as_ref().map(|of| float(of.late)).ok_or(NO_DATAGRAMS),
    },
    Number {
        name: "dead",
        about: "connections that died, with --idle-probe",
        of: |summary| summary.idle_probe.as_ref().map(|of| float(of.dead)).ok_or(NO_PROBE),
    },
];

const NO_PROBE: &str = "there is no --idle-probe";
/// Counts of faults and connections, which a slow generator does not change as long as they are zero.
const OF_SERVER: [&str; 7] =
    ["errors", "failed", "unanswered", "opened", "failed_connections", "lost_connections", "lost_datagrams"];

const NO_DATAGRAMS: &str = "no datagrams were sent";
const NO_SCHEDULE: &str = "a closed loop has no schedule";
const NO_SCHEDULE_OF_HELD: &str = "held connections have no schedule";
const NO_SCHEDULE_OF_PROBE: &str = "an idle probe has no schedule";
const TOO_FEW_SAMPLES: &str = "there are too few samples";

fn lag(summary: &Summary) -> Result<Latency, &'static str> {
    match summary.load_model {
        LoadModel::Open => Ok((&summary.schedule_lag_us).into()),
        LoadModel::Closed => Err(NO_SCHEDULE),
        LoadModel::Hold => Err(NO_SCHEDULE_OF_HELD),
        LoadModel::Probe => Err(NO_SCHEDULE_OF_PROBE),
    }
}

/// Each fault counts once: a lost datagram is a message that failed or was not answered, and a connection that was
/// lost with messages in flight, or could not be opened for its one message, is counted by these.
fn errors(summary: &Summary) -> u64 {
    let lost_datagrams = summary.datagrams.as_ref().map_or(0, |datagrams| datagrams.lost);
    let without_success = (summary.messages.failed + summary.messages.unanswered).max(lost_datagrams);
    let connections = &summary.connections;
    without_success + connections.failed - connections.failed_with_message + connections.lost_idle
}

/// The metrics, for `--help`.
pub(crate) fn metrics_help() -> String {
    let times = DISTRIBUTIONS.iter().map(|Distribution { prefix, about, points, .. }| {
        let names: Vec<String> = points.iter().map(|(point, _)| format!("{prefix}{point}")).collect();
        format!("  {}\n{:22}{about}\n", names.join(", "), "")
    });
    let numbers = NUMBERS.iter().map(|Number { name, about, .. }| format!("  {name:20}{about}\n"));
    times.chain(numbers).collect()
}

impl Metric {
    /// The metric called `name`.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let time = DISTRIBUTIONS.iter().find_map(|distribution| {
            let point = name.strip_prefix(distribution.prefix)?;
            let (_, point) = distribution.points.iter().find(|(name, _)| *name == point)?;
            Some(Self::Time(distribution, *point))
        });
        let number = || NUMBERS.iter().find(|number| number.name == name).map(Self::Number);
        time.or_else(number).ok_or_else(|| {
            let alike: Vec<String> =
                names().filter(|known| !name.is_empty() && known.contains(name)).collect();
            if alike.is_empty() {
                let known: Vec<String> = names().collect();
                return format!("unknown metric '{name}': expected one of {}", known.join(", "));
            }
            format!("unknown metric '{name}': did you mean {}?", alike.join(", "))
        })
    }

    /// Parses a value, or returns what was expected.
    pub(super) fn parse(self, text: &str) -> Result<f64, &'static str> {
        match self {
            Self::Time(..) => parse_time(text).ok_or("expected a time such as 800us, 1.5ms or 2s"),
            Self::Number(_) => parse_decimal(text).ok_or("expected a number such as 0 or 99.5"),
        }
    }

    /// The value in `summary`, or why there is none.
    pub(super) fn of(self, summary: &Summary) -> Result<f64, &'static str> {
        match self {
            Self::Time(distribution, point) => point(&(distribution.of)(summary)?).ok_or(TOO_FEW_SAMPLES),
            Self::Number(number) => (number.of)(summary),
        }
    }

    /// The value in `merged`, or why there is none.
    pub(super) fn of_merged(self, merged: &MergedRuns) -> Result<f64, &'static str> {
        if !merged.missing.is_empty() {
            return Err("a generator is missing");
        }
        let Ok((tag, point)) = self.logged() else {
            let counts = merged.counts.as_ref().filter(|_| merged.has_all_counts());
            return self.of(counts.ok_or("not every generator has counts")?);
        };
        let times = merged.times.complete(tag).ok_or("not every log has its times")?;
        point(&Latency::of(times)).ok_or(TOO_FEW_SAMPLES)
    }

    /// The tag and the point in histogram logs, or what they have instead.
    pub(super) fn logged(self) -> Result<(&'static str, Point), &'static str> {
        match self {
            Self::Time(distribution, point) => Ok((distribution.tag, point)),
            Self::Number(_) => Err("a histogram log has only response, service, lag and connect times"),
        }
    }

    /// Why runs of this kind do not measure it, if they do not.
    pub(super) fn measured(self, model: LoadModel, is_datagrams: bool) -> Result<(), &'static str> {
        let name = match self {
            Self::Time(distribution, _) => distribution.prefix,
            Self::Number(number) => number.name,
        };
        match (name, model) {
            ("lag_", LoadModel::Closed) => Err(NO_SCHEDULE),
            ("lag_", LoadModel::Hold) => Err(NO_SCHEDULE_OF_HELD),
            ("dead", LoadModel::Open | LoadModel::Closed | LoadModel::Hold) => Err(NO_PROBE),
            ("" | "service_" | "rate", LoadModel::Hold) => Err("nothing is sent on held connections"),
            ("lost_datagrams" | "late_datagrams", _) if !is_datagrams => Err(NO_DATAGRAMS),
            _ => Ok(()),
        }
    }

    /// Whether it counts faults or connections.
    pub(super) fn is_of_server(self) -> bool {
        matches!(self, Self::Number(number) if OF_SERVER.contains(&number.name))
    }

    /// The value as text: with three digits, or as many more as are necessary for what is shown to be `as_found`,
    /// since `5 ms, over 5ms` would seem wrong.
    pub(super) fn text(self, found: f64, as_found: impl Fn(f64) -> bool) -> String {
        let (size, unit) = match self {
            Self::Number(_) => (1.0, ""),
            Self::Time(..) if found < 1e3 => (1.0, " µs"),
            Self::Time(..) if found < 1e6 => (1e3, " ms"),
            Self::Time(..) => (1e6, " s"),
        };
        let scaled = found / size;
        let decimals = match scaled {
            below if below < 1.0 => 3,
            below if below < 10.0 => 2,
            below if below < 100.0 => 1,
            _ => 0,
        };
        let shown = (decimals..=DECIMALS_MAX).map(|decimals| {
            let power = 10_f64.powi(decimals);
            (scaled * power).round() / power
        });
        // Rounded to picoseconds: in floating point, 1.1 times 1000 is slightly more than 1100.
        let shown = shown.into_iter().find(|shown| as_found((shown * size * 1e6).round() / 1e6));
        format!("{}{unit}", shown.unwrap_or(scaled))
    }
}

/// Times are known to the nanosecond.
const DECIMALS_MAX: i32 = 9;

fn names() -> impl Iterator<Item = String> {
    let points =
        |of: &'static Distribution| of.points.iter().map(|(point, _)| format!("{}{point}", of.prefix));
    DISTRIBUTIONS.iter().flat_map(points).chain(NUMBERS.iter().map(|number| number.name.into()))
}

/// Parses a time into microseconds. It may have a fraction, unlike those of [`crate::units::parse_duration`].
fn parse_time(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|character: char| character.is_ascii_alphabetic())?);
    let unit_ns = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    // Rounded to nanoseconds: in floating point, 1.1 times 1000 is slightly more than 1100.
    Some((parse_decimal(number)? * unit_ns).round() / 1e3)
}

/// Parses digits with an optional fraction, without a sign or an exponent.
fn parse_decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (are_digits(whole) && are_digits(fraction)).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::super::super::idle_probe::ProbeResult;
    use super::super::super::summary::Datagrams;
    use super::*;

    #[test]
    fn every_metric_has_a_unique_name_and_is_in_the_help() {
        let names: Vec<String> = names().collect();
        let help = metrics_help();
        for name in &names {
            assert!(Metric::named(name).is_ok(), "{name}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
            let words = help.split([' ', ',', '\n']);
            assert!(words.into_iter().any(|word| word == name), "{name}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }

    #[test]
    fn a_time_is_a_decimal_number_and_a_unit() {
        assert_eq!(parse_time("800us"), Some(800.0));
        assert_eq!(parse_time("1.5ms"), Some(1500.0));
        assert_eq!(parse_time("1.1ms"), Some(1100.0));
        assert_eq!(parse_time("2s"), Some(2_000_000.0));
        assert_eq!(parse_time("0s"), Some(0.0));
        for text in ["", "5", "s", "1.s", ".5s", "+1s", "1m", "1µs", "1msec", "1 s", "٣s"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn each_metric_is_that_of_its_name() {
        let mut summary = Summary::sample();
        (summary.messages.rate, summary.messages.failed, summary.messages.unanswered) = (1.0, 2, 3);
        summary.valid = false;
        let connections = &mut summary.connections;
        (connections.opened, connections.open_rate) = (4, 5.0);
        (connections.failed, connections.lost) = (6, 7);
        summary.datagrams = Some(Datagrams { lost: 8, late: 9, ..Datagrams::default() });
        summary.idle_probe = Some(ProbeResult { dead: 18, ..ProbeResult::default() });
        let times = Latency {
            p50: Some(10.0),
            p90: Some(11.0),
            p99: Some(12.0),
            p99_9: Some(13.0),
            p99_99: Some(14.0),
            max: Some(15.0),
            mean: Some(16.0),
            count: 17,
        };
        summary.latency_us.connect = times;
        for (name, value) in [
            ("rate", 1.0),
            ("failed", 2.0),
            ("unanswered", 3.0),
            ("invalid", 1.0),
            ("opened", 4.0),
            ("open_rate", 5.0),
            ("failed_connections", 6.0),
            ("lost_connections", 7.0),
            ("lost_datagrams", 8.0),
            ("late_datagrams", 9.0),
            ("dead", 18.0),
            ("connect_p50", 10.0),
            ("connect_p90", 11.0),
            ("connect_p99", 12.0),
            ("connect_p99.9", 13.0),
            ("connect_p99.99", 14.0),
            ("connect_max", 15.0),
            ("connect_mean", 16.0),
        ] {
            assert_eq!(Metric::named(name).unwrap().of(&summary), Ok(value), "{name}");
        }
    }
}
