//! Conditions under which a run fails: `--fail-if 'p99>5ms'`, `--fail-if 'errors>0'`. A search ends at them (`--until`).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::summary::{LoadModel, Summary};
use crate::load::merge::MergedRuns;
use metrics::Metric;

mod metrics;

pub(crate) use metrics::metrics_help;

/// A comparison with a metric of the result; if it holds, the run has failed.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    metric: Metric,
    comparison: &'static Comparison,
    /// In microseconds for a time.
    value: f64,
    /// The metric as it was typed.
    name: String,
    /// The value as it was typed.
    limit: String,
}

/// A threshold with the value that a result has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Judgment {
    /// The comparison of `--fail-if` or `--until`.
    pub expression: String,
    /// The value of its metric, in microseconds for a time; null if it is unknown.
    pub value: Option<f64>,
    /// Whether the result meets the threshold: false if the comparison holds, or the value is unknown.
    pub met: bool,
    /// Why not: `p99 is 7.2 ms, over 5ms`.
    #[serde(skip)]
    pub why_not: Option<String>,
}

impl Threshold {
    /// Compares with the metric of `summary`.
    pub(crate) fn judge(&self, summary: &Summary) -> Judgment {
        self.judge_found(self.metric.of(summary))
    }

    /// As [`judge`](Self::judge), for several generators. A metric that not all of them have is unknown.
    pub(crate) fn judge_merged(&self, merged: &MergedRuns) -> Judgment {
        self.judge_found(self.metric.of_merged(merged))
    }

    /// Checks that the metric can be in histogram logs.
    ///
    /// # Errors
    /// What histogram logs have instead.
    pub(crate) fn check_logged(&self) -> Result<(), &'static str> {
        self.metric.logged().map(drop)
    }

    /// Checks that runs of this kind measure the metric.
    ///
    /// # Errors
    /// Why they do not.
    pub(crate) fn check_measured(&self, model: LoadModel, is_datagrams: bool) -> Result<(), &'static str> {
        self.metric.measured(model, is_datagrams)
    }

    /// Whether the metric does not depend on the speed of the generator.
    pub(crate) fn is_of_server(&self) -> bool {
        self.metric.is_of_server()
    }

    /// The name of the metric.
    pub(crate) fn metric(&self) -> &str {
        &self.name
    }

    /// The value to compare with: in microseconds if the metric `is_time`.
    pub(crate) fn limit(&self) -> f64 {
        self.value
    }

    /// Whether the metric is a time.
    pub(crate) fn is_time(&self) -> bool {
        matches!(self.metric, Metric::Time(..))
    }

    fn judge_found(&self, found: Result<f64, &'static str>) -> Judgment {
        let Self { metric, comparison: Comparison { text, holds, .. }, value, name, limit } = self;
        let why_not = match found {
            Err(why) => Some(format!("{name} is unknown: {why}, so it may be {text} {limit}")),
            Ok(found) if holds(&found, value) => {
                let found = metric.text(found, |shown| holds(&shown, value));
                Some(format!("{name} is {found}, {text} {limit}"))
            }
            Ok(_) => None,
        };
        Judgment { expression: self.to_string(), value: found.ok(), met: why_not.is_none(), why_not }
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
            .find_map(|comparison| Some((comparison, rest.strip_prefix(comparison.sign)?)))
            .expect("the rest begins with < or >");
        let (name, limit) = (name.trim(), limit.trim());
        let metric = Metric::named(name)?;
        let value = metric.parse(limit).map_err(|expected| format!("{expected} to compare {name} with"))?;
        Ok(Self { metric, comparison, value, name: name.into(), limit: limit.into() })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.comparison.sign, self.limit)
    }
}

#[derive(Debug)]
struct Comparison {
    sign: &'static str,
    text: &'static str,
    holds: fn(&f64, &f64) -> bool,
}

/// The longer ones first, since `>` is a prefix of `>=`.
static COMPARISONS: [Comparison; 4] = [
    Comparison { sign: ">=", text: "at or over", holds: f64::ge },
    Comparison { sign: "<=", text: "at or under", holds: f64::le },
    Comparison { sign: ">", text: "over", holds: f64::gt },
    Comparison { sign: "<", text: "under", holds: f64::lt },
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::histogram_log::{LAG, RESPONSE, SERVICE};
    use super::super::latency::Lag;
    use super::super::summary::Datagrams;
    use super::*;

    fn judge(expression: &str, summary: &Summary) -> Option<String> {
        expression.parse::<Threshold>().unwrap().judge(summary).why_not
    }

    fn broken(expression: &str, summary: &Summary) -> String {
        judge(expression, summary).unwrap_or_else(|| panic!("{expression} does not hold"))
    }

    fn error(expression: &str) -> String {
        expression.parse::<Threshold>().unwrap_err()
    }

    #[test]
    fn a_value_over_its_limit_is_reported_with_both() {
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
    fn a_judgment_has_the_value_and_whether_it_is_met() {
        let mut summary = Summary::sample();
        summary.latency_us.response.p99 = Some(7200.0);
        let json = |expression: &str| {
            serde_json::to_value(expression.parse::<Threshold>().unwrap().judge(&summary)).unwrap()
        };
        for (expression, value, met) in [
            ("p99>5ms", json!(7200.0), false),
            ("p99<=5ms", json!(7200.0), true),
            ("p99.99>1s", Value::Null, false),
        ] {
            assert_eq!(json(expression), json!({"expression": expression, "value": value, "met": met}));
        }
    }

    #[test]
    fn a_value_is_not_rounded_to_its_limit() {
        let mut summary = Summary::sample();
        summary.latency_us.response.p99 = Some(5000.703);
        assert_eq!(broken("p99>5ms", &summary), "p99 is 5.001 ms, over 5ms");
        summary.messages.rate = 99_999.96;
        assert_eq!(broken("rate<100000", &summary), "rate is 99999.96, under 100000");
        summary.latency_us.response.p99 = Some(5000.0 + 1e-9);
        assert_eq!(broken("p99>5ms", &summary), "p99 is 5.000000000001 ms, over 5ms");
    }

    #[test]
    fn a_value_has_three_digits_where_they_show_that_the_condition_holds() {
        let mut summary = Summary::sample();
        for (us, text) in [
            (66_191.359, "66.2 ms"),
            (9_039_658.0, "9.04 s"),
            (12_345_678.0, "12.3 s"),
            (1_234_567_890.0, "1235 s"),
            (5_000.4, "5.0004 ms"),
            (5_004.0, "5.004 ms"),
            (5_016.0, "5.02 ms"),
        ] {
            summary.latency_us.response.p99 = Some(us);
            assert_eq!(broken("p99>5ms", &summary), format!("p99 is {text}, over 5ms"));
        }
        summary.latency_us.response.p99 = Some(1100.0);
        assert_eq!(broken("p99<=1.1ms", &summary), "p99 is 1.1 ms, at or under 1.1ms");
        summary.messages.rate = 0.123_456;
        assert_eq!(broken("rate<1", &summary), "rate is 0.123, under 1");
    }

    #[test]
    fn a_percentile_of_too_few_samples_fails_the_run() {
        let mut summary = Summary::sample();
        summary.latency_us.connect.p99_9 = None;
        assert_eq!(
            broken("connect_p99.9>1ms", &summary),
            "connect_p99.9 is unknown: there are too few samples, so it may be over 1ms"
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
    fn only_an_open_loop_has_lag() {
        let mut summary = Summary::sample();
        summary.load_model = LoadModel::Open;
        summary.schedule_lag_us = Lag { p99: Some(140.0), ..Lag::default() };
        assert_eq!(broken("lag_p99>100us", &summary), "lag_p99 is 140 µs, over 100us");
        summary.load_model = LoadModel::Closed;
        assert_eq!(
            broken("lag_p99>100us", &summary),
            "lag_p99 is unknown: a closed loop has no schedule, so it may be over 100us"
        );
        assert!(error("lag_p90>1ms").starts_with("unknown metric 'lag_p90'"));
    }

    #[test]
    fn errors_sum_failed_messages_and_connections() {
        let mut summary = Summary::sample();
        assert_eq!(judge("errors>0", &summary), None);
        summary.messages.failed = 1;
        summary.messages.unanswered = 20;
        summary.connections.failed = 300;
        (summary.connections.lost, summary.connections.lost_idle) = (5000, 4000);
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        // A lost datagram is counted as a message already.
        summary.datagrams = Some(Datagrams { lost: 21, late: 5, ..Datagrams::default() });
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        summary.messages.unanswered = 0;
        assert_eq!(broken("errors>0", &summary), "errors is 4321, over 0");
        assert_eq!(broken("lost_datagrams>=21", &summary), "lost_datagrams is 21, at or over 21");
        summary.datagrams = None;
        assert_eq!(
            broken("lost_datagrams>0", &summary),
            "lost_datagrams is unknown: no datagrams were sent, so it may be over 0"
        );
    }

    #[test]
    fn merged_logs_are_judged_by_the_times_that_all_have() {
        let merged = MergedRuns::sample(&[(RESPONSE, 2, 2000), (SERVICE, 1, 1800), (LAG, 2, 1500)]);
        let judge = |expression: &str| expression.parse::<Threshold>().unwrap().judge_merged(&merged).why_not;
        assert_eq!(judge("p99>1us").unwrap(), "p99 is 2 µs, over 1us");
        assert_eq!(judge("lag_p99>1us").unwrap(), "lag_p99 is 1.5 µs, over 1us");
        assert_eq!(judge("p99>2us"), None);
        let unknown = "service_p99 is unknown: not every log has its times, so it may be over 1s";
        assert_eq!(judge("service_p99>1s").unwrap(), unknown);
        let unknown = "p99.99 is unknown: there are too few samples, so it may be over 1s";
        assert_eq!(judge("p99.99>1s").unwrap(), unknown);
    }

    #[test]
    fn only_times_are_in_histogram_logs() {
        let check = |expression: &str| expression.parse::<Threshold>().unwrap().check_logged();
        for known in ["p50>1s", "service_mean>1s", "lag_max>1s", "connect_p50>1s"] {
            assert_eq!(check(known), Ok(()), "{known}");
        }
        for refused in ["errors>0", "rate<1", "invalid>0", "lost_datagrams>0"] {
            assert_eq!(
                check(refused),
                Err("a histogram log has only response, service, lag and connect times")
            );
        }
    }

    #[test]
    fn an_invalid_threshold_is_rejected_with_what_was_expected() {
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
        assert_eq!(error("lost>0"), "unknown metric 'lost': did you mean lost_connections, lost_datagrams?");
        assert!(error("p95>1ms").starts_with("unknown metric 'p95': expected one of p50, p90, p99,"));
    }

    #[test]
    fn a_threshold_is_shown_as_it_was_typed() {
        let threshold: Threshold = "p99.9 >= 1.5ms".parse().unwrap();
        assert_eq!(threshold.to_string(), "p99.9>=1.5ms");
    }
}
