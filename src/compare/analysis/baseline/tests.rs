//! What counts as a change, and what is refused.

use serde_json::json;

use super::*;

/// A result with one closed loop of `connections`, and its CPU times.
fn record(connections: u32, cpu: &[f64]) -> Value {
    let cell = json!({"workload": "all-active", "connections": connections, "model": "loop", "load": "closed",
        "offered_rate": null, "runs": {"cpu_us_per_message": cpu, "rate": [1000.0, 1000.0]}});
    json!({"schema": 1, "command": "compare", "loopline": "1.0.0", "machine": {"processors": 2}, "cells": [cell],
        "run": {"started_at": "2026-11-21T20:17:46.120Z", "host": "a", "options": {"rate": null, "repeats": 3}}})
}

fn between(before: Value, now: Value) -> Changes {
    let fail_if = Some("slower>5%".parse().unwrap());
    Changes::between(&Stored::of(before).unwrap(), &Stored::of(now).unwrap(), fail_if)
}

fn cpu(before: &[f64], now: &[f64]) -> (Direction, bool) {
    let changes = between(record(10, before), record(10, now));
    (changes.measures[0].direction, changes.failed)
}

#[test]
fn a_change_counts_if_its_whole_interval_is_beyond_the_margin() {
    let before = [10.0, 10.1, 9.9];
    assert_eq!(cpu(&before, &[12.0, 12.1, 11.9]), (Direction::Worse, true));
    assert_eq!(cpu(&before, &[10.45, 10.5, 10.4]), (Direction::Undecided, false));
    assert_eq!(cpu(&before, &[10.01, 10.1, 9.92]), (Direction::Same, false));
    assert_eq!(cpu(&before, &[8.0, 8.1, 7.9]), (Direction::Better, false));
    // The mean is 20 % more, and the interval begins below.
    assert_eq!(cpu(&before, &[9.0, 12.0, 15.0]), (Direction::Undecided, false));
    // Worse by 4 %, but not by 5 %.
    assert_eq!(cpu(&[10.0, 10.0], &[10.4, 10.4]), (Direction::Worse, false));
}

#[test]
fn the_interval_is_that_of_welch() {
    // Of a table for 2 + 2 degrees of freedom with equal variances: 2.776.
    let (before, now) = ([1.0, 1.1, 1.21], [2.0, 2.2, 2.42]);
    let it = Change::of("", Measure::CpuPerMessage, &before, &now).unwrap();
    let half = 2.776 * (2.0 * 1.1_f64.ln().powi(2) / 3.0).sqrt();
    assert!((it.ratio - 2.0).abs() < 1e-9, "{it:?}");
    assert!((it.low.ln() - (2_f64.ln() - half)).abs() < 1e-9, "{it:?}");
    assert!((it.high.ln() - (2_f64.ln() + half)).abs() < 1e-9, "{it:?}");
    assert_eq!(Change::of("", Measure::Rate, &[1.0], &[1.0, 2.0]), None, "one run has no interval");
    assert_eq!(Change::of("", Measure::Rate, &[0.0, 1.0], &[1.0, 2.0]), None);
}

#[test]
fn more_messages_are_better_and_never_slower() {
    let of = |before: &[f64], now: &[f64]| Change::of("", Measure::Rate, before, now).unwrap();
    let more = of(&[10.0, 10.0], &[20.0, 20.0]);
    assert_eq!(more.direction, Direction::Better);
    assert!(!"slower>5%".parse::<FailIf>().unwrap().holds(&more));
    assert_eq!(of(&[20.0, 20.0], &[10.0, 10.0]).direction, Direction::Worse);
}

#[test]
fn what_differs_besides_the_measurements_comes_first() {
    let mut now = record(10, &[10.0, 10.0]);
    assert_eq!(between(now.clone(), now.clone()).differences, Vec::<String>::new());
    now["machine"]["processors"] = 4.into();
    now["run"]["host"] = "b".into();
    now["loopline"] = "2.0.0".into();
    now["run"]["options"]["repeats"] = 5.into();
    now["run"]["options"]["baseline"] = "old.json".into();
    let lines = between(record(10, &[10.0, 10.0]), now).lines();
    assert_eq!(
        lines[..4],
        [
            "compared with the baseline of 2026-11-21T20:17:46.120Z",
            "the machine differs: host \"a\", now \"b\"; processors 2, now 4",
            "the version differs: 1.0.0, now 2.0.0",
            "the options differ: repeats 3, now 5",
        ]
    );
}

#[test]
fn scenarios_are_matched_by_name_and_others_are_named() {
    let runs = [10.0, 10.0];
    let changes = between(record(10, &runs), record(100, &runs));
    assert!(changes.measures.is_empty());
    assert_eq!(changes.only_in_baseline, ["all-active, 10 connections, loop"]);
    assert_eq!(changes.only_here, ["all-active, 100 connections, loop"]);
    let mut further = record(10, &runs);
    further["further"] = json!([{"cells": further["cells"].clone()}]);
    further["further"][0]["cells"][0]["model"] = "tokio".into();
    let changes = between(record(10, &runs), further);
    assert_eq!(changes.only_here, ["all-active, 10 connections, tokio"]);
}

#[test]
fn open_loops_are_compared_if_their_rate_was_given() {
    let open = |rate: Value| {
        let mut it = record(10, &[10.0, 10.0]);
        (it["cells"][0]["load"], it["cells"][0]["offered_rate"]) = ("open".into(), 500.into());
        it["run"]["options"]["rate"] = rate;
        it
    };
    assert_eq!(between(open(Value::Null), open(Value::Null)).measures.len(), 0);
    let changes = between(open(500.into()), open(500.into())).measures;
    assert_eq!(changes[0].scenario, "all-active, 10 connections, loop, at 500/s");
}

#[test]
fn the_failure_names_the_first_scenario() {
    let changes = between(record(10, &[10.0, 10.0]), record(10, &[12.0, 12.0]));
    assert_eq!(
        changes.failure().unwrap(),
        "slower>5%: all-active, 10 connections, loop: CPU a message is 1.2 times that of the baseline (95 % \
         interval 1.2 to 1.2, 2 runs against 2)"
    );
}

#[test]
fn conditions_and_files_that_are_something_else_are_refused() {
    assert_eq!("slower > 2.5 %".parse(), Ok(FailIf { percent: 2.5 }));
    for text in ["", "slower", "slower>", "slower>5", "slower>-5%", "slower>x%", "faster>5%", "slower>1e9%"] {
        assert!(text.parse::<FailIf>().is_err(), "{text}");
    }
    let error = |text: &str| Stored::parse(text.as_bytes()).unwrap_err();
    assert!(error("text").starts_with("not JSON: "));
    assert_eq!(error(r#"{"command": "load"}"#), "a result of \"load\", not of compare");
    assert!(error("{}").starts_with("not a result of compare: missing field"));
    let mut newer = record(1, &[]);
    newer["schema"] = 2.into();
    assert_eq!(Stored::of(newer).unwrap_err(), "a result with schema 2, expected 1");
}
