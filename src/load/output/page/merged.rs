//! The page of several generators.

use super::histogram::{Noted, histogram};
use super::plots::{by_percentile, percentiles};
use super::{sentence, tables, thresholds};
use crate::load::merge::{AlignedSecond, Generator, MergedRuns, sum};
use crate::load::output::table::merged_title;
use crate::load::stats::histogram_log::{CONNECT, HEARTBEAT, LAG, RESPONSE, SERVICE};
use crate::load::stats::latency::Latency;
use crate::load::stats::threshold::Judgment;
use crate::report::format::{NONE, count, optional, rate, share, time_us};
use crate::report::page::{Column, Page, Table, Tone};
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::report::record::VERSION;
use crate::report::run_info::RunInfo;
use crate::units::float;

/// The page about `runs` and their thresholds, as HTML.
pub(crate) fn merged(runs: &MergedRuns, judgments: &[Judgment], run: &RunInfo) -> String {
    let title = if runs.counts.is_some() {
        "loopline load, several generators"
    } else {
        "loopline load, merged logs"
    };
    let mut page = Page::new(title, &merged_title(runs));
    page.run(run);
    notes(runs, &mut page);
    thresholds::add(judgments, &mut page);
    over_time(runs, &mut page);
    if !runs.generators.is_empty() {
        page.section("Generators", "");
        page.table(&generators(runs));
    }
    latency(runs, &mut page);
    if let Some(summary) = &runs.counts {
        page.section("Counts", "The sums of all generators that have counts.");
        let messages = (summary.messages.sent > 0).then(|| tables::messages(summary));
        let heartbeats = summary.heartbeats.as_ref().map(tables::heartbeats);
        let datagrams = summary.datagrams.as_ref().map(tables::datagrams);
        let found = messages
            .into_iter()
            .chain(heartbeats)
            .chain([tables::connections(summary, runs.with_counts())])
            .chain(datagrams);
        page.tables(&found.chain([tables::traffic(&summary.bytes)]).collect::<Vec<_>>());
        let failures = runs.failures();
        if !failures.is_empty() {
            page.table(&tables::failures(&failures));
        }
    }
    page.finish(&format!("Written by loopline {VERSION}."))
}

/// What is missing, and which generators are not valid.
fn notes(runs: &MergedRuns, page: &mut Page) {
    let times = &runs.times;
    for (tag, files) in times.incomplete() {
        let (all, noun) = (times.files, runs.noun());
        let why = format!("Only {files} of {all} {noun} have {tag} times: their sum is not that of all.");
        page.note(Tone::Warning, "Incomplete.", &why);
    }
    for line in &times.ignored {
        page.note(Tone::Warning, "Incomplete.", &format!("{line}."));
    }
    for note in runs.notes() {
        match note.split_once(": ") {
            Some(("missing", what)) => page.note(Tone::Warning, "Missing:", &format!("{what}.")),
            Some((file, what)) => page.note(Tone::Warning, &format!("{file}:"), &format!("{what}.")),
            None => page.note(Tone::Warning, &format!("{}.", sentence(&note)), ""),
        }
    }
    if runs.has_all_counts() && runs.counts.as_ref().is_some_and(|counts| counts.valid) {
        page.note(Tone::Good, "Generators ok.", "No generator was the limit.");
    }
}

/// The plots over time: a line for each generator, and their sum.
fn over_time(runs: &MergedRuns, page: &mut Page) {
    let each = runs.aligned();
    let total = sum(&each);
    if total.len() < 2 {
        return;
    }
    page.section(
        "Second by second",
        "Each generator is moved by whole seconds, so that the lines are aligned by the clocks of the hosts.",
    );
    let lines = |pick: fn(&AlignedSecond) -> Option<f64>| -> Vec<Series> {
        let named = runs.generators.iter().zip(&each).take(LINES_MAX);
        named.map(|(generator, seconds)| line(generator.short_name(), seconds, pick)).collect()
    };
    // A log has no count of open connections.
    let has_open = |second: &AlignedSecond| second.has_counts.then(|| float(second.open));
    let with_sum = |pick: fn(&AlignedSecond) -> Option<f64>| {
        let all = line("sum", &total, pick).drawn(Stroke::Dashed);
        let lines = lines(pick);
        if runs.generators.len() == 1 { lines } else { lines.into_iter().chain([all]).collect() }
    };
    let answered = |second: &AlignedSecond| Some(float(second.answered));
    let y = Axis::numbers("messages per second", Scale::Linear);
    let rates = Plot::new("Answered per second", SINCE_START, y, with_sum(answered));
    let y = Axis::new("time, logarithmic", Scale::Log, time_us);
    let p99 = lines(|second| second.p99_us.or(second.response_max_us).map(|us| us.max(0.1)));
    let times = Plot::new("Response time over time", SINCE_START, y, p99);
    let mut plots: Vec<Noted> = Vec::new();
    if total.iter().any(|second| second.open > 0) {
        let y = Axis::numbers("open", Scale::Whole);
        let open = with_sum(has_open);
        plots.push((
            Plot::new("Connections over time", SINCE_START, y, open),
            "Open at the end of each second.",
        ));
    }
    if total.iter().any(|second| second.answered > 0) {
        plots.push((rates, "The first and the last second of a generator may be shorter."));
        plots.push((times, "The p99 of each second; the largest where there are fewer than 1,000 samples."));
    }
    if runs.generators.len() > LINES_MAX {
        page.paragraph(&format!("Only the first {LINES_MAX} generators have lines. The sum is that of all."));
    }
    page.plots(&plots);
}

/// A line of `seconds`, interrupted where there are none.
fn line(name: &str, seconds: &[AlignedSecond], pick: fn(&AlignedSecond) -> Option<f64>) -> Series {
    let mut points = Vec::new();
    let mut previous = None;
    for second in seconds {
        if previous.is_some_and(|previous| second.at_seconds > previous + 1) {
            points.push((float(second.at_seconds) - 1.0, None));
        }
        points.push((float(second.at_seconds) - 0.5, pick(second)));
        previous = Some(second.at_seconds);
    }
    Series::new(name, points)
}

/// A row for each generator, and for each that is missing.
fn generators(runs: &MergedRuns) -> Table<'static> {
    let first = runs.generators.iter().filter_map(|generator| generator.began_at).min();
    let row = |generator: &Generator| {
        let result = generator.result.as_ref();
        let after =
            generator.began_at.zip(first).map(|(began, first)| began.since(first).as_secs_f64() * 1e6);
        let response = generator.times.histograms.get(RESPONSE).map(Latency::of).unwrap_or_default();
        let number = |pick: Option<u64>| pick.map_or_else(|| NONE.into(), count);
        vec![
            generator.file.clone(),
            generator.state(),
            result.map_or_else(|| NONE.into(), |it| it.run.host.clone()),
            optional(after, time_us),
            number(result.map(|it| it.connections.opened)),
            number(result.map(|it| it.messages.acknowledged).or(Some(response.count))),
            optional(result.map(|it| it.messages.rate), rate),
            number(result.map(|it| it.messages.failed.saturating_add(it.messages.unanswered))),
            optional(response.p50, time_us),
            optional(response.p99, time_us),
            optional(result.map(|it| it.generator.busy), share),
        ]
    };
    let missing = runs.missing.iter().map(|line| {
        let file = line.split(": ").next().unwrap_or(line);
        let mut cells = vec![String::from(NONE); 11];
        (cells[0], cells[1]) = (file.to_owned(), "missing".into());
        cells
    });
    let numbers = ["began after", "connections", "acknowledged", "rate", "failed", "p50", "p99", "busy"];
    let columns = [Column::Short("generator"), Column::Short("state"), Column::Short("host")];
    let columns = columns.into_iter().chain(numbers.map(Column::Numbers));
    Table {
        title: "Generators",
        columns: columns.collect(),
        rows: runs.generators.iter().map(row).chain(missing).collect(),
        note: "Failed: also messages that were not answered. A histogram log has times and no counts.",
    }
}

fn latency(runs: &MergedRuns, page: &mut Page) {
    let histograms = &runs.times.histograms;
    let known = [RESPONSE, SERVICE, LAG, CONNECT, HEARTBEAT];
    let others = histograms.keys().map(String::as_str).filter(|tag| !known.contains(tag));
    let found = known.into_iter().chain(others).filter_map(|tag| Some((tag, histograms.get(tag)?)));
    let found: Vec<_> = found.collect();
    let latencies: Vec<_> = found.iter().map(|(tag, histogram)| (*tag, Latency::of(histogram))).collect();
    let columns: Vec<_> = latencies.iter().map(|(tag, latency)| (*tag, latency)).collect();
    page.section("Latency", &format!("The sums of all samples of all {}.", runs.noun()));
    page.table(&tables::percentiles("Latencies", &columns));
    let lines = found.iter().map(|(tag, histogram)| percentiles(tag, histogram)).collect();
    let first =
        found.first().map(|(tag, samples)| histogram(&format!("Histogram: {tag}"), "samples", samples));
    let plots = [by_percentile("Latency by percentile", "of samples", lines)].into_iter().chain(first);
    page.plots(&plots.collect::<Vec<_>>());
}

const SINCE_START: Axis = Axis::time("since the first start");

/// More lines cannot be told apart.
const LINES_MAX: usize = 12;
