//! Results of several generators that are merged, incomplete, or of another kind.

mod sums;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::{Samples, histogram, json_of, log, merged, outcome, result};
use super::*;
use crate::load::sources::SourceUse;
use crate::load::stats::histogram_log::{LAG, RESPONSE};
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::merged_summary::MergedSummary;
use crate::load::stats::summary::{Messages, Second};

fn error(file: &[u8]) -> String {
    match merged(&[file]).unwrap_err() {
        MergeError::Invalid(line) | MergeError::Twice(line) => line,
    }
}

fn any_generators() -> impl Strategy<Value = Vec<(Samples, u64)>> {
    let sample = prop_oneof![0..100_u64, 1_000..10_000_000_u64, 1..60_000_000_000_u64];
    let samples = prop::collection::vec(prop::collection::vec(sample, 1..20), 1..4);
    prop::collection::vec((samples, 0..5000_u64), 1..5)
}

/// What the merge says, without what is of each file.
fn sums(runs: &MergedRuns) -> Value {
    let mut value = serde_json::to_value(MergedSummary::of(runs, &[])).unwrap();
    value["generators"] = Value::Null;
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_merge_of_the_parts_is_the_whole_in_any_order(
        (generators, order) in any_generators().prop_flat_map(|all| {
            let order: Vec<usize> = (0..all.len()).collect();
            (Just(all), Just(order).prop_shuffle())
        })
    ) {
        let file = |number: usize| result(&format!("run {number}"), generators[number].1, &generators[number].0);
        let in_order: Vec<Vec<u8>> = (0..generators.len()).map(file).collect();
        let shuffled: Vec<Vec<u8>> = order.iter().map(|number| file(*number)).collect();
        let runs = merged(&in_order).unwrap();
        prop_assert_eq!(sums(&runs), sums(&merged(&shuffled).unwrap()));

        let all: Vec<u64> = generators.iter().flat_map(|(samples, _)| samples).flatten().copied().collect();
        let (count, number) = (all.len() as u64, generators.len() as u64);
        prop_assert_eq!(&runs.times.histograms[RESPONSE], &histogram(&all));
        let counts = runs.counts.as_ref().unwrap();
        let Messages { sent, acknowledged, failed, unanswered, .. } = counts.messages;
        prop_assert_eq!((sent, acknowledged, failed, unanswered), (count + 3 * number, count, number, 2 * number));
        prop_assert_eq!(counts.connections.opened, 10_000 * number);
        prop_assert_eq!(runs.failures()[0].count, number);
        let answered: u64 = sum(&runs.aligned()).iter().map(|second| second.answered).sum();
        prop_assert_eq!(answered, count);

        // Logs have the same samples, and a mixture as well.
        let mixed: Vec<Vec<u8>> = (0..generators.len()).map(|at| match at % 2 {
            0 => log(&format!("run {at}"), generators[at].1, &generators[at].0),
            _ => file(at),
        }).collect();
        let mixed = merged(&mixed).unwrap();
        prop_assert_eq!(&mixed.times.histograms[RESPONSE], &histogram(&all));
        let seconds = |runs: &MergedRuns| -> Vec<_> {
            sum(&runs.aligned()).iter().map(|it| (it.at_seconds, it.generators, it.answered)).collect()
        };
        prop_assert_eq!(seconds(&mixed), seconds(&runs));
    }

    #[test]
    fn a_truncated_or_damaged_result_is_an_error_and_not_a_crash(
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let whole = result("a", 0, &vec![vec![1_000_000; 3]]);
        let cut = at.index(whole.len());
        prop_assert!(cut == 0 || error(&whole[..cut]).starts_with("0: the result is incomplete"));
        let mut damaged = whole;
        let at = at.index(damaged.len());
        damaged[at] = byte;
        if let Ok(runs) = merged(&[damaged]) {
            drop(sums(&runs));
        }
    }
}

#[test]
fn a_missing_generator_is_named_and_the_others_are_merged() {
    let files = [
        read("a.json", &result("a", 0, &vec![vec![5000]])[..]),
        Err(ReadError::Absent("b.json: No such file".into())),
        read("c.json", &b""[..]),
        read("d.hlog", &log("d", 400, &vec![vec![5000, 6000], vec![7000]])[..]),
    ];
    let runs = merge_files(files).unwrap();
    assert_eq!(runs.times.histograms[RESPONSE].len(), 4);
    assert_eq!(
        runs.notes(),
        [
            "missing: b.json: No such file",
            "missing: c.json: the file is empty",
            "counts and rates are those of 1 of 4 generators",
            "d.hlog: killed, or still running: its log ends after 2 s",
        ]
    );
    assert!(!runs.has_all_counts());
    let result = serde_json::to_value(MergedSummary::of(&runs, &[])).unwrap();
    assert_eq!((&result["results"], &result["logs"]), (&json!(1), &json!(1)));
    assert_eq!(result["missing"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&result["generators"][0]["finished"], &result["generators"][1]["finished"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(result["apart_seconds"], 0.4);
    let none = merge_files([Err(ReadError::Absent("b.json: gone".into()))]);
    assert_eq!(none.unwrap_err(), MergeError::Invalid("b.json: gone".into()));
}

#[test]
fn a_generator_that_was_interrupted_failed_or_not_valid_is_named() {
    let mut of = outcome(&vec![vec![5000]]);
    of.summary.why_invalid = Some(InvalidReason::NeverSent(7));
    of.summary.valid = false;
    of.summary.interrupted = true;
    of.summary.ended_early = Some(crate::load::stats::ending::EndedEarly::Interrupted);
    of.summary.failed = Some(crate::load::stats::ending::Failed::StoppedReplying);
    let files = [result("a", 0, &vec![vec![5000]]), json_of(&of, "b", 61_500).to_string().into_bytes()];
    let runs = merged(&files).unwrap();
    assert_eq!(
        runs.notes(),
        [
            "1: failed: stopped replying",
            "1: ended early (interrupted), after 10 s of sending",
            "1: not ok: the generator could not keep up: 7 messages were due and never sent",
            "the runs began 61.5 s apart, by the clocks of their hosts, and did not load the server together",
        ]
    );
    let counts = runs.counts.unwrap();
    assert!(!counts.valid && counts.interrupted);
}

#[test]
fn a_run_is_not_merged_with_itself() {
    let samples = vec![vec![5000]];
    let (json, log) = (result("a", 0, &samples), log("a", 0, &samples));
    let line = "1: of the same run as 0, so its samples would count twice";
    for files in [[&json, &log], [&log, &json], [&log, &log]] {
        assert_eq!(merged(&files).unwrap_err(), MergeError::Twice(line.into()));
    }
}

#[test]
fn json_of_another_kind_is_named() {
    let with = |change: fn(&mut Value)| {
        let mut json = json_of(&outcome(&vec![vec![5000]]), "a", 0);
        change(&mut json);
        error(json.to_string().as_bytes())
    };
    assert_eq!(
        with(|it| it["command"] = json!("compare")),
        "0: a result of loopline compare, which cannot be merged"
    );
    assert_eq!(
        with(|it| drop(it.as_object_mut().unwrap().remove("command"))),
        "0: JSON that is not a result of loopline load"
    );
    assert_eq!(with(|it| it["schema"] = json!(2)), "0: it has schema 2, and this version reads schema 1");
    assert_eq!(with(|it| it["logs"] = json!(2)), "0: a merged result: name those of its generators instead");
    assert_eq!(
        with(|it| it["idle_probe"] = json!({})),
        "0: a result of --idle-probe, which cannot be merged"
    );
    assert_eq!(with(|it| it["find"] = json!({})), "0: a result of --find, which cannot be merged");
    let older = with(|it| drop(it.as_object_mut().unwrap().remove("histograms")));
    assert!(
        older.starts_with("0: it has no histograms: not the result of one run, or of an older version"),
        "{older}"
    );
    let without = with(|it| drop(it["messages"].as_object_mut().unwrap().remove("sent")));
    assert_eq!(without, "0: not a result of loopline load: missing field `sent`");
    let damaged = with(|it| it["histograms"]["response"] = json!("HIST"));
    assert_eq!(damaged, "0: histograms.response: the histogram is not compressed in version 2");
    let time = with(|it| it["clock"]["began_at"] = json!("soon"));
    assert!(time.starts_with("0: not a result of loopline load: "), "{time}");
    assert!(error(b"{\"p99\": 5").starts_with("0: the result is incomplete (EOF"));
    assert!(
        error(b"{p99: 5}").starts_with("0: neither a histogram log nor JSON: key must be a string at line 1")
    );
}

#[test]
fn a_lag_that_not_every_generator_has_is_incomplete() {
    let mut open = outcome(&vec![vec![5000]]);
    open.times.lag = histogram(&[100]);
    let files = [result("a", 0, &vec![vec![5000]]), json_of(&open, "b", 0).to_string().into_bytes()];
    let runs = merged(&files).unwrap();
    assert_eq!(runs.times.incomplete().collect::<Vec<_>>(), [(LAG, 1)]);
    assert_eq!(runs.counts.unwrap().schedule_lag_us.max, Some(0.1));
}

#[test]
fn equal_sources_are_listed_once() {
    let from = |address: &str, connections| {
        let first = address.parse().unwrap();
        let mut of = outcome(&vec![vec![5000]]);
        of.summary.connections.sources = vec![SourceUse { first, last: first, addresses: 1, connections }];
        json_of(&of, &connections.to_string(), 0).to_string().into_bytes()
    };
    let files = [from("127.0.0.1", 3), from("127.0.0.2", 20), from("127.0.0.1", 100)];
    let sources = merged(&files).unwrap().counts.unwrap().connections.sources;
    let sources: Vec<_> = sources.iter().map(|it| (it.first.to_string(), it.connections)).collect();
    assert_eq!(sources, [("127.0.0.1".into(), 103), ("127.0.0.2".into(), 20)]);
}

/// The sums of generators that began at these milliseconds, with a message in the first second, two in the next and
/// so on.
fn aligned_from(began_ms: &[u64], seconds: u64) -> Vec<(u64, u64, u64)> {
    let samples: Samples = (1..=seconds).map(|number| vec![1000; usize::try_from(number).unwrap()]).collect();
    let files: Vec<Vec<u8>> =
        began_ms.iter().enumerate().map(|(at, began)| result(&at.to_string(), *began, &samples)).collect();
    let sums = sum(&merged(&files).unwrap().aligned());
    sums.iter().map(|second| (second.at_seconds, second.generators, second.answered)).collect()
}

#[test]
fn generators_that_began_within_half_a_second_are_aligned() {
    let together = [(1, 2, 2), (2, 2, 4), (3, 2, 6)];
    for began_ms in [[0, 0], [0, 499], [1_000_499, 1_000_000]] {
        assert_eq!(aligned_from(&began_ms, 3), together, "{began_ms:?}");
    }
}

#[test]
fn generators_that_began_apart_are_moved_by_whole_seconds() {
    assert_eq!(aligned_from(&[0, 1700], 2), [(1, 1, 1), (2, 1, 2), (3, 1, 1), (4, 1, 2)]);
    assert_eq!(aligned_from(&[5000, 4000, 4400], 2), [(1, 2, 2), (2, 3, 5), (3, 1, 2)]);
    // With a gap, which is left out.
    assert_eq!(aligned_from(&[0, 3_600_000], 1), [(1, 1, 1), (3601, 1, 1)]);
}

#[test]
fn parts_of_a_second_are_in_the_second_of_their_middle() {
    let mut of = outcome(&vec![vec![1000]]);
    let part = |at_seconds: f64, length_seconds: f64, open, sent| Second {
        at_seconds,
        length_seconds,
        open,
        sent,
        ..Second::default()
    };
    // The opening ended after 0.3 s, and the seconds ended slightly late.
    of.seconds = vec![
        part(0.3, 0.3, 4, 0),
        part(1.002, 0.702, 4, 7),
        part(2.003, 1.001, 3, 10),
        part(2.2, 0.197, 0, 1),
    ];
    let json = json_of(&of, "a", 0).to_string().into_bytes();
    let found = sum(&merged(&[json]).unwrap().aligned());
    let found: Vec<_> = found.iter().map(|second| (second.at_seconds, second.open, second.sent)).collect();
    assert_eq!(found, [(1, 4, 7), (2, 3, 10), (3, 0, 1)]);
}
