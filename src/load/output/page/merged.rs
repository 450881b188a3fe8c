//! The page of merged logs.

use super::histogram::histogram;
use super::plots::{by_percentile, percentiles};
use super::{tables, thresholds};
use crate::load::stats::histogram_log::{CONNECT, LAG, Merged, RESPONSE, SERVICE};
use crate::load::stats::latency::Latency;
use crate::load::stats::threshold::Judgment;
use crate::report::format::{count, time_us};
use crate::report::page::{Page, Tone};
use crate::report::record::VERSION;
use crate::report::run_info::RunInfo;

/// The page about `merged` and its thresholds, as HTML.
pub(crate) fn merged(merged: &Merged, judgments: &[Judgment], run: &RunInfo) -> String {
    let counted = |n: u64, what: &str| format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" });
    let subtitle = format!(
        "{} of {} over {}",
        counted(merged.intervals, "interval"),
        counted(merged.files as u64, "log"),
        time_us(merged.span().as_secs_f64() * 1e6),
    );
    let mut page = Page::new("loopline load, merged logs", &subtitle);
    page.run(run);
    for (tag, logs) in merged.incomplete() {
        let why =
            format!("Only {logs} of {} logs have {tag} times: their sum is not that of all.", merged.files);
        page.note(Tone::Warning, "Incomplete.", &why);
    }
    for ignored in &merged.ignored {
        page.note(Tone::Warning, "Incomplete.", &format!("{ignored}."));
    }
    thresholds::add(judgments, &mut page);
    let known = [RESPONSE, SERVICE, LAG, CONNECT];
    let others = merged.histograms.keys().map(String::as_str).filter(|tag| !known.contains(tag));
    let found = known.into_iter().chain(others).filter_map(|tag| Some((tag, merged.histograms.get(tag)?)));
    let found: Vec<_> = found.collect();
    let latencies: Vec<_> = found.iter().map(|(tag, histogram)| (*tag, Latency::of(histogram))).collect();
    let columns: Vec<_> = latencies.iter().map(|(tag, latency)| (*tag, latency)).collect();
    page.section("Latency", "The sums of all samples of all logs.");
    page.table(&tables::percentiles("Latencies", &columns));
    let lines = found.iter().map(|(tag, histogram)| percentiles(tag, histogram)).collect();
    let first =
        found.first().map(|(tag, samples)| histogram(&format!("Histogram: {tag}"), "samples", samples));
    let plots = [by_percentile("Latency by percentile", "of samples", lines)].into_iter().chain(first);
    page.plots(&plots.collect::<Vec<_>>());
    page.finish(&format!("Written by loopline {VERSION}."))
}
