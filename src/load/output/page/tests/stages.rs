//! The stages of a run on the page.

use super::*;
use crate::load::stats::stages::{Setting, StageLatencies, StageRow};

/// A stage of `rate` that begins at `began_seconds`; one that was not reached without.
fn stage(rate: &str, began_seconds: Option<f64>) -> StageRow {
    let response =
        Latency { p50: Some(150.0), p99: Some(81_100.0), max: Some(180_000.0), ..Latency::default() };
    StageRow {
        settings: vec![Setting { option: "rate", value: rate.into() }],
        planned_seconds: 10.0,
        measured_seconds: 10.0,
        began_seconds,
        sent: 400_123,
        acknowledged: 400_120,
        rate: 39_999.0,
        latency_us: StageLatencies { response, ..StageLatencies::default() },
        busy: Some(0.42),
        valid: true,
        ..StageRow::default()
    }
}

#[test]
fn stages_have_a_table_and_marks_in_the_plots_over_time() {
    let mut with = sample();
    with.summary.stages = vec![
        stage("20000..40000", Some(2.0)),
        StageRow { valid: false, ..stage("40000", Some(12.0)) },
        stage("60000", None),
    ];
    let [shown, without] = [&with, &sample()].map(page);
    write_sample("load-stages.html", &shown);
    for text in
        ["1: rate 20000..40000", "400,123", "81.1 ms", "ok, busy 42 %", "not ok, busy 42 %", "not reached"]
    {
        assert!(shown.contains(text) && !without.contains(text), "{text}");
    }
    let lines = |page: &str| page.matches("<polyline").count();
    // Two marks in each of the plots of connections, rates, response times and lags.
    assert_eq!(lines(&shown), lines(&without) + 2 * 4);
    assert_eq!(mismatched_tag(&shown), None);
}
