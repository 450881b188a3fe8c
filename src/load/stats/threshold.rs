//! What a run must hold to succeed: `--fail-if 'p99>5ms'`, `--fail-if 'errors>0'`.

use std::fmt;
use std::str::FromStr;

use super::summary::Summary;
use metrics::Metric;

mod metrics;

pub(crate) use metrics::metrics_in_words;

/// A comparison that must not hold of the result.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    metric: Metric,
    comparison: Comparison,
    /// In microseconds, or a number, as the metric is.
    value: f64,
    /// The metric and the value, as they were typed.
    name: String,
    limit: String,
}

/// Why a run fails a [`Threshold`], in words that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `p99 is 7.2 ms, over 5ms`
    Broken(String),
    /// It cannot be known, and nobody can vouch for it:
    /// `p99.99 is unknown: there are too few samples, so nobody can say that it is not over 5ms`
    Unknown(String),
}

impl Threshold {
    /// `None` when `summary` is within the threshold.
    #[must_use]
    pub(crate) fn judge(&self, summary: &Summary) -> Option<Verdict> {
        let Self { metric, comparison, value, name, limit } = self;
        let side = comparison.in_words();
        match metric.of(summary) {
            Err(why) => Some(Verdict::Unknown(format!(
                "{name} is unknown: {why}, so nobody can say that it is not {side} {limit}"
            ))),
            Ok(found) if comparison.holds(found, *value) => {
                let found = metric.in_words(found);
                Some(Verdict::Broken(format!("{name} is {found}, {side} {limit}")))
            }
            Ok(_) => None,
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text
            .find(['<', '>'])
            .map(|at| text.split_at(at))
            .ok_or("expected a metric, one of > >= < <=, and a value, for example p99>5ms or errors>0")?;
        let (comparison, limit) = COMPARISONS
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)))
            .expect("the rest begins with < or >");
        let (name, limit) = (name.trim(), limit.trim());
        let metric = Metric::named(name)?;
        let value = metric.parse(limit).map_err(|expected| format!("{expected} to compare {name} with"))?;
        Ok(Self { metric, comparison, value, name: name.into(), limit: limit.into() })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{}{}{}", self.name, sign.map_or("", |(sign, _)| sign), self.limit)
    }
}

impl Verdict {
    /// In words.
    #[must_use]
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Broken(words) | Self::Unknown(words) => words,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Over,
    AtOrOver,
    Under,
    AtOrUnder,
}

/// The longer ones first: `>` is also what `>=` begins with.
const COMPARISONS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtOrOver),
    ("<=", Comparison::AtOrUnder),
    (">", Comparison::Over),
    ("<", Comparison::Under),
];

impl Comparison {
    fn holds(self, found: f64, value: f64) -> bool {
        match self {
            Self::Over => found > value,
            Self::AtOrOver => found >= value,
            Self::Under => found < value,
            Self::AtOrUnder => found <= value,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::AtOrOver => "at or over",
            Self::Under => "under",
            Self::AtOrUnder => "at or under",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::{Datagrams, Lag, LoadModel};
    use super::*;

    fn judge(expression: &str, summary: &Summary) -> Option<Verdict> {
        expression.parse::<Threshold>().unwrap().judge(summary)
    }

    fn broken(expression: &str, summary: &Summary) -> String {
        match judge(expression, summary) {
            Some(Verdict::Broken(words)) => words,
            other => panic!("{expression}: {other:?}"),
        }
    }

    fn unknown(expression: &str, summary: &Summary) -> String {
        match judge(expression, summary) {
            Some(Verdict::Unknown(words)) => words,
            other => panic!("{expression}: {other:?}"),
        }
    }

    fn error(expression: &str) -> String {
        expression.parse::<Threshold>().unwrap_err()
    }

    #[test]
    fn what_is_over_its_limit_is_told_with_its_value() {
        let mut summary = Summary::sample();
        summary.latency_us.response.p99 = Some(7200.0);
        assert_eq!(broken("p99>5ms", &summary), "p99 is 7.2 ms, over 5ms");
        assert_eq!(broken(" p99 >= 7200us ", &summary), "p99 is 7.2 ms, at or over 7200us");
        assert_eq!(broken("p99<1s", &summary), "p99 is 7.2 ms, under 1s");
        assert_eq!(broken("p99<=7.2ms", &summary), "p99 is 7.2 ms, at or under 7.2ms");
        for met in ["p99>7.2ms", "p99>=7.201ms", "p99<7.2ms", "p99<=7199us"] {
            assert_eq!(judge(met, &summary), None, "{met}");
        }
    }

    #[test]
    fn a_value_is_not_rounded_to_its_limit() {
        let mut summary = Summary::sample();
        summary.latency_us.response.p99 = Some(5000.703);
        assert_eq!(broken("p99>5ms", &summary), "p99 is 5.000703 ms, over 5ms");
        summary.messages.rate = 99_999.96;
        assert_eq!(broken("rate<100000", &summary), "rate is 99999.96, under 100000");
    }

    #[test]
    fn a_percentile_of_too_few_samples_is_not_vouched_for() {
        let mut summary = Summary::sample();
        summary.latency_us.connect.p99_9 = None;
        assert_eq!(
            unknown("connect_p99.9>1ms", &summary),
            "connect_p99.9 is unknown: there are too few samples, so nobody can say that it is not over 1ms"
        );
    }

    #[test]
    fn every_distribution_has_its_metrics() {
        let mut summary = Summary::sample();
        summary.latency_us.response.mean = Some(1.0);
        summary.latency_us.service.p99 = Some(2000.0);
        summary.latency_us.connect.max = Some(3_000_000.0);
        assert_eq!(broken("mean>0us", &summary), "mean is 1 µs, over 0us");
        assert_eq!(broken("service_p99>1ms", &summary), "service_p99 is 2 ms, over 1ms");
        assert_eq!(broken("connect_max>1s", &summary), "connect_max is 3 s, over 1s");
    }

    #[test]
    fn lag_is_known_of_an_open_loop_only() {
        let mut summary = Summary::sample();
        summary.load_model = LoadModel::Open;
        summary.schedule_lag_us = Lag { p99: Some(140.0), ..Lag::default() };
        assert_eq!(broken("lag_p99>100us", &summary), "lag_p99 is 140 µs, over 100us");
        summary.load_model = LoadModel::Closed;
        assert!(unknown("lag_p99>100us", &summary).contains("a closed loop has no schedule"));
        assert!(error("lag_p90>1ms").starts_with("there is no metric 'lag_p90'"));
    }

    #[test]
    fn errors_are_all_that_went_wrong() {
        let mut summary = Summary::sample();
        assert_eq!(judge("errors>0", &summary), None);
        summary.messages.failed = 1;
        summary.messages.unanswered = 20;
        summary.connections.failed = 300;
        summary.connections.lost = 4000;
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        // A datagram that was lost is among the messages already.
        summary.datagrams = Some(Datagrams { lost: 21, late: 5, ..Datagrams::default() });
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        summary.messages.unanswered = 0;
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        assert_eq!(broken("lost_datagrams>=21", &summary), "lost_datagrams is 21, at or over 21");
        summary.datagrams = None;
        assert!(unknown("lost_datagrams>0", &summary).contains("no datagrams were sent"));
    }

    #[test]
    fn what_is_no_threshold_is_told() {
        for text in ["", "p99", "p99=5ms", "errors"] {
            assert!(error(text).starts_with("expected a metric, one of > >= < <=, and a value"), "{text}");
        }
        for text in
            ["p99>", "p99>5", "p99>ms", "p99>-5ms", "p99>1e3ms", "p99>5 ms", "p99>.5s", "p99>5m", "p99>=>1s"]
        {
            let expected = "expected a time such as 800us, 1.5ms or 2s to compare p99 with";
            assert_eq!(error(text), expected, "{text}");
        }
        for text in ["rate<", "rate<10k", "rate<NaN", "rate<inf", "rate<-1", "rate<1.2.3", "rate<5ms"] {
            assert_eq!(error(text), "expected a number such as 0 or 99.5 to compare rate with", "{text}");
        }
        assert_eq!(
            error("lost>0"),
            "there is no metric 'lost': did you mean lost_connections, lost_datagrams?"
        );
        assert!(error("p95>1ms").starts_with("there is no metric 'p95': expected one of p50, p90, p99,"));
    }

    #[test]
    fn it_reads_as_it_was_typed() {
        let threshold: Threshold = "p99.9 >= 1.5ms".parse().unwrap();
        assert_eq!(threshold.to_string(), "p99.9>=1.5ms");
    }
}
