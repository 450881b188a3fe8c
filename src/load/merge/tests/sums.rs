//! Each count, time and word of a merged result.

use serde_json::{Value, json};

use super::*;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::stats::ending::EndedEarly;
use crate::load::stats::latency::Percentiles;
use crate::load::stats::summary::{Datagrams, Failure, Heartbeats, LoadModel, Outcome, Second};

/// Sets all numbers of `section` to 1, 2, 3 and so on, times `factor`. Returns them with their keys.
fn number(section: &mut Value, factor: u32) -> Vec<(String, f64)> {
    let numbers = section.as_object_mut().unwrap().iter_mut().filter(|(_, value)| value.is_number());
    numbers
        .zip(1_u32..)
        .map(|((key, value), count)| {
            let number = count * factor;
            *value = if value.is_f64() { json!(f64::from(number)) } else { json!(number) };
            (key.clone(), value.as_f64().unwrap())
        })
        .collect()
}

#[test]
fn every_count_is_a_sum_and_times_are_the_longest() {
    let mut of = outcome(&vec![vec![5000]]);
    of.summary.heartbeats = Some(Heartbeats::default());
    of.summary.datagrams = Some(Datagrams::default());
    of.summary.messages.offered_rate = Some(5.0);
    let mut files = ["a", "b"].map(|run_id| json_of(&of, run_id, 0));
    let sections = ["connections", "messages", "heartbeats", "datagrams", "bytes", "generator"];
    let mut expected = Vec::new();
    let pointers: Vec<String> =
        sections.iter().map(|name| format!("/{name}")).chain(["/datagrams/kernel".into()]).collect();
    for pointer in &pointers {
        // The longest opening is in the first file, and the busiest generator in the second.
        let first = if pointer == "/connections" { 100 } else { 1 };
        let [one, other] = &mut files;
        let one = number(one.pointer_mut(pointer).unwrap(), first);
        let other = number(other.pointer_mut(pointer).unwrap(), 101 - first);
        assert!(!one.is_empty(), "{pointer}");
        for ((key, one), (_, other)) in one.into_iter().zip(other) {
            let is_longest = ["open_seconds", "busy"].contains(&&key[..]);
            expected
                .push((format!("{pointer}/{key}"), if is_longest { one.max(other) } else { one + other }));
        }
    }
    (files[0]["duration_seconds"], files[1]["duration_seconds"]) = (json!(3.0), json!(4.0));
    expected.push(("/duration_seconds".into(), 4.0));
    let runs = merged(&files.each_ref().map(Value::to_string)).unwrap();
    let result = serde_json::to_value(runs.counts.as_ref().unwrap()).unwrap();
    for (pointer, expected) in expected.into_iter().filter(|(pointer, _)| !pointer.ends_with("_connection")) {
        let found = result.pointer(&pointer).unwrap().as_f64();
        assert_eq!(found, Some(expected), "{pointer}");
    }
    // A result shows the same, and each generator its own.
    let shown = serde_json::to_value(MergedSummary::of(&runs, &[])).unwrap();
    for name in ["connections", "messages", "heartbeats", "datagrams", "bytes", "duration_seconds"] {
        assert_eq!(shown[name], result[name], "{name}");
    }
    for (number, file) in files.iter().enumerate() {
        let row = &shown["generators"][number];
        assert_eq!(row["opened"], file["connections"]["opened"]);
        assert_eq!((&row["busy"], &row["host"]), (&file["generator"]["busy"], &file["run"]["host"]));
    }
}

#[test]
fn what_only_some_generators_have_is_not_lost() {
    let limited = |of: &mut Outcome| of.summary.connections.limited_by = Some(OpenLimit::Descriptors);
    let (plain, mut other) = (outcome(&vec![vec![5000]]), outcome(&vec![vec![5000]]));
    limited(&mut other);
    other.summary.connections.why_not_tried = Some(EndedEarly::Interrupted);
    other.summary.messages.offered_rate = Some(5.0);
    other.summary.load_model = LoadModel::Open;
    other.summary.failures = vec![
        Failure { reason: ErrorKind::Reset, count: 1, first: "second".into() },
        Failure { reason: ErrorKind::WrongReply, count: 9, first: "wrong".into() },
    ];
    let mut closed = plain;
    closed.summary.load_model = LoadModel::Closed;
    closed.summary.messages.offered_rate = None;
    for order in [[&closed, &other], [&other, &closed]] {
        let files = ["a", "b"].map(|id| json_of(order[usize::from(id == "b")], id, 0).to_string());
        let runs = merged(&files).unwrap();
        let counts = runs.counts.as_ref().unwrap();
        assert_eq!(counts.connections.limited_by, Some(OpenLimit::Descriptors));
        assert_eq!(counts.connections.why_not_tried, Some(EndedEarly::Interrupted));
        assert_eq!((counts.load_model, counts.messages.offered_rate), (LoadModel::Closed, None));
        let failures: Vec<u64> = runs.failures().iter().map(|failure| failure.count).collect();
        assert_eq!(failures, [9, 2]);
    }
    let open = ["a", "b"].map(|id| json_of(&other, id, 0).to_string());
    let counts = merged(&open).unwrap().counts.unwrap();
    assert_eq!((counts.load_model, counts.messages.offered_rate), (LoadModel::Open, Some(10.0)));
}

#[test]
fn a_second_of_all_has_sums_and_the_largest_times() {
    let second = |factor: u64| Second {
        at_seconds: 1.0,
        length_seconds: 1.0,
        open: factor,
        opened: 2 * factor,
        sent: 3 * factor,
        answered: 4 * factor,
        errors: 5 * factor,
        // Too few samples for a p99 of their own.
        response_us: Percentiles {
            p99: Some(crate::units::float(factor)),
            ..Percentiles::of(&histogram(&[factor * 1000]))
        },
        ..Second::default()
    };
    for factors in [[1, 10], [10, 1]] {
        let mut number = 0;
        let files = factors.map(|factor| {
            let mut of = outcome(&vec![vec![1000]]);
            of.seconds = vec![second(factor)];
            number += 1;
            json_of(&of, &number.to_string(), 0).to_string()
        });
        let found = sum(&merged(&files).unwrap().aligned());
        let found = &found[0];
        assert_eq!(
            (found.open, found.opened, found.sent, found.answered, found.errors, found.generators),
            (11, 22, 33, 44, 55, 2)
        );
        let largest = Percentiles::of(&histogram(&[10_000])).max;
        assert_eq!((found.response_max_us, found.has_counts), (largest, true));
        assert_eq!(found.p99_us, Some(10.0));
    }
}

#[test]
fn a_log_that_was_cut_off_is_a_fault() {
    let whole = result("a", 0, &vec![vec![5000]]);
    assert_eq!(merged(&[&whole]).unwrap().faults(), Vec::<String>::new());
    let cut = log("b", 0, &vec![vec![5000], vec![6000]]);
    let runs = merged(&[&whole, &cut]).unwrap();
    assert_eq!(runs.faults(), ["1: killed, or still running: its log ends after 2 s"]);
    assert!(!runs.has_all_counts());
    let gone = merge_files([read("a", &whole[..]), Err(ReadError::Absent("b: gone".into()))]).unwrap();
    assert_eq!(gone.faults(), ["b: gone"]);
    assert!(!gone.has_all_counts());
}

#[test]
fn the_result_shows_how_each_generator_ended_and_its_times() {
    let mut of = outcome(&vec![vec![5000], vec![6000]]);
    of.summary.why_invalid = Some(InvalidReason::NeverSent(7));
    (of.summary.valid, of.summary.interrupted) = (false, true);
    of.summary.ended_early = Some(EndedEarly::Interrupted);
    of.summary.heartbeats = Some(Heartbeats::default());
    (of.times.service, of.times.connect) = (histogram(&[2000]), histogram(&[300]));
    of.times.heartbeat = histogram(&[400]);
    let files = [json_of(&of, "b", 61_500).to_string().into_bytes(), result("a", 0, &vec![vec![5000]])];
    let runs = merged(&files).unwrap();
    let shown = serde_json::to_value(MergedSummary::of(&runs, &[])).unwrap();
    assert_eq!((&shown["valid"], &shown["interrupted"]), (&json!(false), &json!(true)));
    assert_eq!(shown["failures"][0]["count"], 2);
    assert_eq!((&shown["latency_us"]["connect"]["max"], &shown["span_seconds"]), (&json!(0.3), &json!(63.5)));
    assert_eq!(shown["heartbeats"]["latency_us"]["max"], 0.4);
    let ends = |number: usize| {
        let row = &shown["generators"][number];
        ["valid", "ended_early", "why_invalid"].map(|key| row[key].clone())
    };
    let why = json!("the generator could not keep up: 7 messages were due and never sent");
    assert_eq!(ends(0), [json!(false), json!("interrupted"), why]);
    assert_eq!(ends(1), [json!(true), Value::Null, Value::Null]);
    assert_eq!(shown["generators"][0]["response_us"]["count"], 2);
    assert_eq!(runs.generators[1].state(), "ok");
}

#[test]
fn a_log_is_named_by_its_file_and_how_it_ended() {
    let mut generator = read("/tmp/a.b.hlog", &log("a", 0, &vec![vec![5000]])[..]).unwrap();
    assert_eq!((generator.short_name(), generator.state()), ("a.b", "killed".into()));
    generator.is_finished = Some(true);
    assert_eq!(generator.state(), "finished");
    generator.file = "/tmp/.hlog".into();
    assert_eq!(generator.short_name(), ".hlog");
    // That of another tool has no identity, and does not say whether it is whole.
    let text = String::from_utf8(log("a", 0, &vec![vec![5000]])).unwrap();
    let other: String = text.split_inclusive('\n').filter(|line| !line.contains("Run")).collect();
    let runs = merged(&[&other, &other]).unwrap();
    assert_eq!(runs.generators.iter().map(|it| it.is_finished).collect::<Vec<_>>(), [None, None]);
    assert_eq!((runs.times.intervals, runs.generators[0].state()), (4, "unknown".into()));
}

#[test]
fn runs_are_apart_if_all_beginnings_and_some_counts_are_known() {
    let logs = [log("a", 0, &vec![vec![5000]]), log("b", 61_500, &vec![vec![5000]])];
    let mut runs = merged(&logs).unwrap();
    assert_eq!(runs.apart_seconds(), Some(61.5));
    assert!(!runs.notes().iter().any(|note| note.contains(" apart")), "logs may be of one run after another");
    runs.generators[0].began_at = None;
    assert_eq!(runs.apart_seconds(), None);
}

#[test]
fn a_result_may_begin_with_white_space() {
    let file = [b"\n\t ".to_vec(), result("a", 0, &vec![vec![5000]])].concat();
    assert_eq!(merged(&[file]).unwrap().with_counts(), 1);
}
