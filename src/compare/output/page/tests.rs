//! The page of a comparison.

use super::*;
use crate::compare::analysis::verdict::Measure;
use crate::compare::fixtures;
use crate::report::html::mismatched_tag;
use crate::report::page::write_sample;

#[test]
fn the_page_shows_the_result() {
    let page = page(&fixtures::comparison(), &RunInfo::sample());
    write_sample("compare.html", &page);
    assert_eq!(mismatched_tag(&page), None);
    for part in
        ["Read with care.", "killed by signal 9", "the loop overtakes threads", "memory maps", "64 KiB"]
    {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn further_servers_are_on_the_page_and_in_the_pictures() {
    let comparison = fixtures::comparison_with(&["tokio", "c"]);
    let page = page(&comparison, &RunInfo::sample());
    write_sample("compare-with.html", &page);
    assert_eq!(mismatched_tag(&page), None);
    for part in [
        "<h1>Event loop, threads, tokio and c, compared</h1>",
        "CPU time of a message: tokio ÷ loop",
        "Messages a second: loop ÷ c",
        // A paragraph for each further server.
        "<p class=\"small\">Loop and threads: ",
        "<p class=\"small\">Loop and tokio: the loop needs ",
        "All connections active, loop and threads: ",
        "serve-tokio {port}",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let names: Vec<String> = pictures(&comparison).into_iter().map(|(name, _)| name).collect();
    let further = ["verdict-cpu-tokio.svg", "verdict-rate-c.svg"];
    assert!(further.iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    let throughput = plots::of_workload(Workload::AllActive, &comparison).remove(0).plot;
    let lines: Vec<&str> = throughput.series.iter().map(|line| &line.name[..]).collect();
    assert_eq!(lines, ["loop", "threads", "tokio", "c"]);
}

#[test]
fn changes_since_the_baseline_are_on_the_page_the_worse_ones_first() {
    let change = |scenario: &str, low, direction| Change {
        scenario: scenario.into(),
        measure: Measure::CpuPerMessage,
        ratio: 1.25,
        low,
        high: 1.5,
        runs: 3,
        baseline_runs: 3,
        direction,
    };
    let changes = Changes {
        started_at: "2026-11-21T20:17:46.120Z".into(),
        differences: vec!["the version differs: 1, now 2".into()],
        measures: vec![
            change("undecided", 0.75, Direction::Undecided),
            change("worse", 1.125, Direction::Worse),
        ],
        confidence: 0.95,
        confidence_each: 0.975,
        only_in_baseline: vec!["gone".into()],
        only_here: Vec::new(),
        fail_if: Some("slower>5%".parse().unwrap()),
        failed: true,
    };
    let page = page(&Comparison { changes: Some(changes), ..fixtures::comparison() }, &RunInfo::sample());
    write_sample("compare-baseline.html", &page);
    assert_eq!(mismatched_tag(&page), None);
    let position = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part}: {page}"));
    assert!(position("The version differs: 1, now 2.") < position("<th scope=\"row\">worse</th>"));
    assert!(position("<th scope=\"row\">worse</th>") < position("<th scope=\"row\">undecided</th>"));
    for part in ["Slower.", "1.12 to 1.5", "each is one of 97.50 %. Only in the baseline: gone."] {
        position(part);
    }
    assert!(!page.contains("Only in this result"));
}

#[test]
fn a_comparison_that_was_interrupted_at_once_has_a_page() {
    let mut nothing = fixtures::comparison();
    nothing.cells.clear();
    nothing.latency_by_rate.clear();
    nothing.stacks.clear();
    nothing.interrupted = true;
    let page = page(&nothing, &RunInfo::sample());
    assert!(!page.contains("Generator: ok."));
    write_sample("compare-nothing.html", &page);
    assert_eq!(mismatched_tag(&page), None);
    assert!(page.contains("Interrupted."));
}

#[test]
fn what_the_machine_allowed_and_what_was_not_measured_come_before_the_verdict() {
    let mut comparison = fixtures::comparison();
    comparison.quietness.level = Level::Disturbed;
    let whole = page(&comparison, &RunInfo::sample());
    let (head, _) = whole.split_once("<h2>Verdict").unwrap();
    let quietness = crate::report::html::text(&capital(&comparison.quietness.sentence));
    for part in [
        "Disturbed before the first run.",
        &quietness,
        "Incomplete.",
        "Not measured, since the time limit was reached: all-active, 1,000 connections, stacks of 8 MiB",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    comparison.not_measured.clear();
    assert!(!page(&comparison, &RunInfo::sample()).contains("Incomplete."));
}

#[test]
fn every_column_of_the_page_is_in_a_table_and_marks_come_first() {
    let named = KEYS.into_iter().chain(["offered"]).chain(RESULTS).chain(RESOURCES);
    let mut named: Vec<&str> = named.collect();
    let mut all: Vec<&str> = COLUMNS.iter().filter_map(|(_, name, _)| *name).collect();
    named.sort_unstable();
    all.sort_unstable();
    assert_eq!(named, all);
    let page = page(&fixtures::comparison(), &RunInfo::sample());
    assert!(
        page.contains("<th scope=\"col\">marks</th><th scope=\"col\" class=\"number\">rate</th>"),
        "{page}"
    );
}

#[test]
fn the_loops_are_in_tables_of_their_own_with_a_title() {
    let page = page(&fixtures::comparison(), &RunInfo::sample());
    let tables = |title: &str| -> Vec<&str> {
        page.split("<table>").filter(|table| table.starts_with(&format!("<caption>{title}"))).collect()
    };
    let (closed, open) = (tables("Closed loop"), tables("Open loop"));
    assert!(!closed.is_empty() && !open.is_empty());
    assert!(closed.iter().all(|table| !table.contains(">offered</th>")));
    assert!(open.iter().all(|table| table.contains(">offered</th>") && table.contains(">20,000</td>")));
}

#[test]
fn the_verdict_comes_first_as_a_sentence_and_as_a_picture() {
    let comparison = fixtures::comparison();
    let page = page(&comparison, &RunInfo::sample());
    let sentence = crate::report::html::text(&lead(&comparison));
    let picture = page.find("CPU time of a message: threads ÷ loop").unwrap();
    assert!(page.find(&sentence).unwrap() < picture);
    assert!(picture < page.find("Each workload").unwrap());
    let figure = plots::verdicts(&comparison).remove(0);
    assert_eq!(figure.plot.reference, Some(1.0));
    let verdict = &comparison.verdicts[0].by_connections[0];
    let points = &figure.plot.series[0].points;
    assert_eq!(points[0].y, Some(verdict.ratio));
    assert_eq!(points[0].spread, Some((verdict.low, verdict.high)));
}

#[test]
fn an_interval_of_any_width_fits_the_picture_of_the_verdict() {
    let mut comparison = fixtures::comparison();
    for verdict in comparison.verdicts.iter_mut().flat_map(|verdict| &mut verdict.by_connections) {
        (verdict.low, verdict.high) = (1e-30, 1e30);
    }
    let figure = plots::verdicts(&comparison).remove(0);
    let svg = figure.plot.svg();
    let (low, high) = figure.plot.limits.unwrap();
    assert!(low > 0.1 && high < 10.0, "{low} {high}");
    assert!(svg.contains("(&lt; 1/1,000 × to &gt; 1,000 ×)"), "{svg}");
}

#[test]
fn every_plot_has_a_picture_with_its_own_name() {
    let pictures = pictures(&fixtures::comparison());
    let mut names: Vec<&String> = pictures.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), pictures.len());
    assert!(names.contains(&&"latency-by-rate.svg".to_owned()), "{names:?}");
    assert!(pictures.iter().all(|(_, svg)| !svg.contains("nothing was measured")));
}
