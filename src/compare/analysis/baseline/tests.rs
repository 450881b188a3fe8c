//! What counts as a change, and what is refused.

use fastrand::Rng;
use serde_json::{Value, json};

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
    let before = [10.0, 10.05, 9.95];
    assert_eq!(cpu(&before, &[12.0, 12.1, 11.9]), (Direction::Worse, true));
    assert_eq!(cpu(&before, &[10.35, 10.4, 10.3]), (Direction::Undecided, false));
    assert_eq!(cpu(&before, &[10.01, 10.05, 9.97]), (Direction::Same, false));
    assert_eq!(cpu(&before, &[8.0, 8.1, 7.9]), (Direction::Better, false));
    // The mean is 20 % more, and the interval begins below.
    assert_eq!(cpu(&before, &[9.0, 12.0, 15.0]), (Direction::Undecided, false));
    // Worse by 4 %, but not by 5 %.
    assert_eq!(cpu(&[10.0, 10.0], &[10.4, 10.4]), (Direction::Worse, false));
}

const STEADY: [Drift; 2] = [Drift { variance: 0.0, degrees_of_freedom: 1.0 }; 2];

fn change(measure: Measure, before: &[f64], now: &[f64]) -> Option<Change> {
    Change::of("", measure, [before, now], STEADY, 0.05)
}

/// Whether the interval of `it` is the ratio, times and divided by the exponential of `half`.
fn has_half_width(it: &Change, half: f64) -> bool {
    let ends = [(it.ratio / it.low).ln(), (it.high / it.ratio).ln()];
    ends.iter().all(|end| (end / half - 1.0).abs() < 1e-3)
}

#[test]
fn the_interval_is_that_of_welch() {
    // Of a table for 2 + 2 degrees of freedom with equal variances: 2.776.
    let (before, now) = ([1.0, 1.1, 1.21], [2.0, 2.2, 2.42]);
    let it = change(Measure::CpuPerMessage, &before, &now).unwrap();
    assert!((it.ratio - 2.0).abs() < 1e-9, "{it:?}");
    assert!(has_half_width(&it, 2.776 * (2.0 * 1.1_f64.ln().powi(2) / 3.0).sqrt()), "{it:?}");
    // With other variances and numbers: 2.2 degrees, of which the table has 2.
    let (before, now) = ([1.0, 1.01, 1.0201, 1.030_301], [2.0, 2.4, 2.88]);
    let it = change(Measure::CpuPerMessage, &before, &now).unwrap();
    let variance = 1.01_f64.ln().powi(2) * (5.0 / 3.0) / 4.0 + 1.2_f64.ln().powi(2) / 3.0;
    assert!(has_half_width(&it, 4.303 * variance.sqrt()), "{it:?}");
    assert_eq!(change(Measure::Rate, &[1.0], &[1.0, 2.0]), None, "one run has no interval");
    assert_eq!(change(Measure::Rate, &[0.0, 1.0], &[1.0, 2.0]), None);
}

#[test]
fn what_all_scenarios_of_a_round_have_in_common_widens_the_interval() {
    let runs = [1.0, 1.1, 1.21];
    let drifts = [Drift { variance: 0.01, degrees_of_freedom: 2.0 }, STEADY[0]];
    let it = Change::of("", Measure::Rate, [&runs, &runs], drifts, 0.05).unwrap();
    // 4 degrees by Welch and Satterthwaite.
    let of_runs = 1.1_f64.ln().powi(2) / 3.0;
    assert!(has_half_width(&it, 2.776 * (2.0 * of_runs + 0.01).sqrt()), "{it:?}");
}

#[test]
fn an_interval_of_any_width_is_a_number_and_short_as_text() {
    let it = Change::of("", Measure::Rate, [&[1.0, 1e300], &[1.0, 1e300]], STEADY, 1e-4).unwrap();
    assert!(it.high.is_finite() && it.low >= 0.0, "{it:?}");
    assert_eq!(it.ends(), ["< 0.001", "> 1,000"]);
    assert_eq!(change(Measure::Rate, &[1.0, 1.0], &[1.0, 1.0]).unwrap().ends(), ["1", "1"]);
}

#[test]
fn the_intervals_share_the_probability_of_an_error() {
    let one = between(record(10, &[10.0, 10.5, 11.0]), record(10, &[10.0, 10.5, 11.0]));
    assert!((one.confidence_each - 0.975).abs() < 1e-9, "of CPU time and rate");
    let twice = |record: Value| {
        let mut twice = record.clone();
        twice["further"] = json!([{"cells": record["cells"]}]);
        twice["further"][0]["cells"][0]["model"] = "tokio".into();
        twice
    };
    let two = between(twice(record(10, &[10.0, 10.5, 11.0])), twice(record(10, &[10.0, 10.5, 11.0])));
    assert!((two.confidence_each - 0.9875).abs() < 1e-9, "{two:?}");
    assert!(two.measures[0].high > one.measures[0].high);
    assert_eq!(
        two.lines().last().unwrap(),
        "the intervals contain all 4 ratios in 95 % of comparisons: each is one of 98.75 %"
    );
}

#[test]
fn more_messages_are_better_and_never_slower() {
    let of = |before: &[f64], now: &[f64]| change(Measure::Rate, before, now).unwrap();
    let more = of(&[10.0, 10.0], &[20.0, 20.0]);
    assert_eq!(more.direction, Direction::Better);
    assert!(!"slower>5%".parse::<FailIf>().unwrap().holds(&more));
    assert_eq!(of(&[20.0, 20.0], &[10.0, 10.0]).direction, Direction::Worse);
}

/// A normal deviate, by the method of Box and Muller.
fn normal(random: &mut Rng) -> f64 {
    let (one, other) = (1.0 - random.f64(), random.f64());
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// The noise of a simulated machine, as standard deviations of logarithms.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// Of a run.
    runs: f64,
    /// Of a round, and of a whole comparison.
    rounds: f64,
    /// The share of runs that take up to three times as long.
    slowed: f64,
}

/// A comparison of programs that are `times` as expensive as the others, with `rounds` runs of each scenario.
fn simulated(machine: Machine, rounds: usize, times: f64, random: &mut Rng) -> Vec<(String, CellRuns)> {
    let whole = machine.rounds * normal(random);
    let rounds: Vec<f64> = (0..rounds).map(|_| whole + machine.rounds * normal(random)).collect();
    let scenarios = (0..8).map(|scenario| {
        let mut runs = |factor: f64| -> Vec<f64> {
            let run = |round: &f64| {
                let slowed = if random.f64() < machine.slowed { random.f64() * 3f64.ln() } else { 0.0 };
                factor * (round + machine.runs * normal(random) + slowed).exp()
            };
            rounds.iter().map(run).collect()
        };
        let (cpu_us_per_message, rate) = (runs(times), runs(1.0));
        (format!("scenario {scenario}"), CellRuns { cpu_us_per_message, rate })
    });
    scenarios.collect()
}

fn changes_of(before: &[(String, CellRuns)], now: &[(String, CellRuns)]) -> Vec<Change> {
    let [before, now] =
        [before, now].map(|of| of.iter().map(|(name, runs)| (name.clone(), runs)).collect::<Scenarios<'_>>());
    measures(&before, &now).0
}

const MACHINES: [Machine; 4] = [
    Machine { runs: 0.03, rounds: 0.0, slowed: 0.0 },
    Machine { runs: 0.2, rounds: 0.0, slowed: 0.0 },
    Machine { runs: 0.05, rounds: 0.0, slowed: 0.1 },
    Machine { runs: 0.05, rounds: 0.1, slowed: 0.1 },
];

#[test]
fn equal_programs_are_rarely_different() {
    const TRIALS: u32 = 600;
    let mut random = Rng::with_seed(6);
    let fail_if: FailIf = "slower>0%".parse().unwrap();
    for (machine, rounds) in MACHINES.into_iter().flat_map(|machine| [2, 3, 5, 10].map(|it| (machine, it))) {
        let (mut alarms, mut missed) = (0, 0);
        for _ in 0..TRIALS {
            let [before, now] = [(); 2].map(|()| simulated(machine, rounds, 1.0, &mut random));
            let changes = changes_of(&before, &now);
            assert_eq!(changes.len(), 16);
            let is_alarm = |it: &Change| {
                fail_if.holds(it) || matches!(it.direction, Direction::Worse | Direction::Better)
            };
            alarms += u32::from(changes.iter().any(is_alarm));
            missed += u32::from(!changes.iter().all(|it| (it.low..=it.high).contains(&1.0)));
        }
        let [alarms, missed] = [alarms, missed].map(|it| f64::from(it) / f64::from(TRIALS));
        assert!(
            alarms <= 0.05 && missed <= 0.06,
            "{alarms} alarms, {missed} missed: {machine:?}, {rounds} rounds"
        );
    }
}

#[test]
fn a_program_that_needs_half_as_much_again_fails_the_comparison() {
    let mut random = Rng::with_seed(7);
    let fail_if: FailIf = "slower>5%".parse().unwrap();
    for (machine, rounds) in [(MACHINES[0], 3), (MACHINES[0], 5), (MACHINES[2], 10)] {
        let fails = (0..100).filter(|_| {
            let before = simulated(machine, rounds, 1.0, &mut random);
            changes_of(&before, &simulated(machine, rounds, 1.5, &mut random))
                .iter()
                .any(|it| fail_if.holds(it))
        });
        let fails = fails.count();
        assert!(fails >= 95, "{fails}: {machine:?}, {rounds} rounds");
    }
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
        "slower>5%: all-active, 10 connections, loop: CPU a message is 1.2 times that of the baseline (interval \
         1.2 to 1.2, 2 runs against 2)"
    );
}

#[test]
fn a_condition_needs_a_scenario_in_both_results_and_a_whole_comparison() {
    let same = between(record(10, &[10.0, 10.0]), record(10, &[10.0, 10.0]));
    assert_eq!(same.not_judged(false), None);
    assert_eq!(same.not_judged(true), Some("--fail-if: the comparison was interrupted"));
    let other = between(record(10, &[10.0, 10.0]), record(100, &[10.0, 10.0]));
    let why = Some("--fail-if: no scenario is in both results with two runs or more");
    assert_eq!((other.not_judged(false), other.intervals()), (why, None));
    assert_eq!(Changes { fail_if: None, ..other }.not_judged(true), None);
}

#[test]
fn conditions_and_files_that_are_something_else_are_refused() {
    assert_eq!("slower > 2.5 %".parse(), Ok(FailIf { percent: 2.5 }));
    for text in [
        "",
        "slower",
        "slower>",
        "slower>5",
        "slower>-5%",
        "slower>x%",
        "faster>5%",
        "slower>1e9%",
        "slower>1001%",
    ] {
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
