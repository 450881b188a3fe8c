//! The tables at the end of a run, and those of merged logs.
//!
//! Columns are separated by spaces, and a pipe gets the same rows and columns as a terminal. Programs should
//! read `--json`.

use comfy_table::{CellAlignment, ContentArrangement, Row, Table, presets};

use crate::journal::escape::escaped;
use crate::load::merge::{CountedFailure, MergedRuns, counted};
use crate::load::output::{ending, idle_probe, stages};
use crate::load::stats::histogram_log::{CONNECT, HEARTBEAT, LAG, RESPONSE, SERVICE};
use crate::load::stats::idle_probe::ProbeGroup;
use crate::load::stats::latency::Latency;
use crate::load::stats::stages::StageRow;
use crate::load::stats::summary::Summary;
use crate::report::format;
use lines::{lines, seconds};

mod lines;
mod search;

pub(crate) use search::search;

/// The result of a run. The first lines say whether the run failed or ended early, the last whether the generator
/// was the limit. Lines are wrapped at `width`, if there is one.
pub(crate) fn summary(summary: &Summary, width: Option<u16>, colors: bool) -> String {
    let style = Style { width, colors };
    let latency = &summary.latency_us;
    let lag = Latency::from(&summary.schedule_lag_us);
    let heartbeat = summary.heartbeats.as_ref().map(|of| of.latency_us.clone()).unwrap_or_default();
    let rows = [
        ("response", &latency.response),
        ("service", &latency.service),
        ("connect", &latency.connect),
        ("lag", &lag),
        ("heartbeat", &heartbeat),
    ];
    // A run that was not successful, or that only held connections, has no times of some kinds.
    let rows = rows.into_iter().filter(|(_, of)| of.max.is_some());
    let times: Vec<Row> = rows.map(|(name, of)| times_row(name, of)).collect();
    let mut head = style.notes(summary);
    head.push(style.bold(&title(summary)));
    head.extend(summary.idle_probe.as_ref().map(|probe| style.bold(&probe.answer)));
    let mut parts = vec![head.join("\n"), style.pairs(lines(summary, 1))];
    if !times.is_empty() {
        parts.push(style.times(times));
    }
    if let Some(probe) = &summary.idle_probe {
        parts.push(style.idle_probe(&probe.groups));
    }
    if !summary.stages.is_empty() {
        let table = [style.stages(&summary.stages)];
        parts.push(table.into_iter().chain(stages::reasons(&summary.stages)).collect::<Vec<_>>().join("\n"));
    }
    if !summary.failures.is_empty() {
        parts.push(style.failures(&CountedFailure::of(&summary.failures)));
    }
    parts.push(style.verdict(summary));
    parts.join("\n\n") + "\n"
}

/// The sums of several generators, after what is missing. A tag that only some of the files have is marked with their
/// number.
pub(crate) fn merged(runs: &MergedRuns, width: Option<u16>, colors: bool) -> String {
    let style = Style { width, colors };
    let times = &runs.times;
    let known = [RESPONSE, SERVICE, LAG, CONNECT, HEARTBEAT];
    let others = times.histograms.keys().map(String::as_str).filter(|tag| !known.contains(tag));
    let rows = known.into_iter().chain(others).filter_map(|tag| {
        let histogram = times.histograms.get(tag)?;
        let some = times.incomplete().find(|(incomplete, _)| *incomplete == tag);
        let some = some
            .map_or_else(String::new, |(_, files)| format!(" ({files} of {} {})", times.files, runs.noun()));
        Some(times_row(&(escaped(tag.as_bytes()) + &some), &Latency::of(histogram)))
    });
    let ignored: Vec<String> = times.ignored.iter().map(|line| format!("incomplete: {line}\n")).collect();
    let notes: Vec<String> = runs.notes().iter().map(|note| style.painted(note, RED) + "\n").collect();
    let head = ignored.concat() + &notes.concat() + &style.bold(&merged_title(runs));
    let counts = runs.counts.as_ref().map(|summary| style.pairs(lines(summary, runs.with_counts())));
    let failures = runs.failures();
    let failures = (!failures.is_empty()).then(|| style.failures(&failures));
    let parts = [Some(head), counts, Some(style.times(rows.collect())), failures];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n") + "\n"
}

/// `36 intervals of 2 logs over 5.07 s`, or `4 generators, 3 with counts, over 5.07 s`.
pub(crate) fn merged_title(runs: &MergedRuns) -> String {
    let span = seconds(runs.times.span().as_secs_f64());
    let (all, with_counts) = (runs.times.files as u64, runs.with_counts() as u64);
    let generators = counted(all, "generator");
    match with_counts {
        0 => format!("{} of {} over {span}", counted(runs.times.intervals, "interval"), counted(all, "log")),
        with_counts if with_counts == all => format!("{generators} over {span}"),
        with_counts => {
            format!("{generators}, {} of them a log, over {span}", format::count(all - with_counts))
        }
    }
}

fn title(summary: &Summary) -> String {
    let length = if summary.duration_seconds > 0.0 {
        seconds(summary.duration_seconds)
    } else if summary.connections.opened == 0 {
        "no connection was opened".into()
    } else {
        "nothing was measured".into()
    };
    format!("{}, {}, {length}", summary.endpoint, summary.load_model.name())
}

/// Width and colors of the tables.
#[derive(Debug, Clone, Copy)]
struct Style {
    width: Option<u16>,
    colors: bool,
}

impl Style {
    fn pairs(self, facts: Vec<(&'static str, String)>) -> String {
        let rows = facts.into_iter().map(|(name, words)| Row::from([name.to_owned(), words]));
        wrapped(rows, self.width)
    }

    /// Not wrapped, since numbers must stay in one line.
    fn times(self, rows: Vec<Row>) -> String {
        let header = ["latency", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean", "samples"];
        let mut table = table([Row::from(header)].into_iter().chain(rows));
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        self.headed(&table.trim_fmt())
    }

    /// Not wrapped, like the latencies.
    fn stages(self, rows: &[StageRow]) -> String {
        let cells = rows.iter().enumerate().map(|(index, row)| Row::from(stages::cells(index + 1, row)));
        let mut table = table([Row::from(stages::COLUMNS)].into_iter().chain(cells));
        let numbers = table.column_iter_mut().skip(1).take(stages::COLUMNS.len() - 2);
        numbers.for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        self.headed(&table.trim_fmt())
    }

    fn idle_probe(self, groups: &[ProbeGroup]) -> String {
        let cells = groups.iter().map(|group| Row::from(idle_probe::cells(group)));
        let mut table = table([Row::from(idle_probe::COLUMNS)].into_iter().chain(cells));
        let numbers = table.column_iter_mut().take(idle_probe::COLUMNS.len() - 1);
        numbers.for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        self.headed(&table.trim_fmt())
    }

    fn failures(self, failures: &[CountedFailure]) -> String {
        let header = Row::from(["failures", "count", "first"]);
        let rows = failures.iter().map(|failure| {
            Row::from([failure.reason.clone(), format::count(failure.count), failure.first.clone()])
        });
        self.headed(&wrapped([header].into_iter().chain(rows), self.width))
    }

    /// `table` with its first line in bold.
    fn headed(self, table: &str) -> String {
        match table.split_once('\n') {
            Some((header, rows)) => format!("{}\n{rows}", self.bold(header)),
            None => table.into(),
        }
    }

    fn verdict(self, summary: &Summary) -> String {
        match summary.why_invalid {
            None => self.painted("generator: ok", GREEN),
            Some(why) => self.painted(&format!("generator: not ok: {why}"), RED),
        }
    }

    /// That the run failed, or ended early; nothing of most runs.
    fn notes(self, summary: &Summary) -> Vec<String> {
        let failure = ending::failure(summary).map(|why| format!("failed: {why}"));
        let notes = failure.into_iter().chain(ending::early_ends(summary));
        notes.map(|note| self.painted(&note, RED)).collect()
    }

    fn bold(self, text: &str) -> String {
        self.painted(text, BOLD)
    }

    fn painted(self, text: &str, code: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// Columns with spaces between them, and nothing else.
fn table(rows: impl IntoIterator<Item = Row>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, COLUMN_GAP));
    }
    table
}

fn wrapped(rows: impl IntoIterator<Item = Row>, width: Option<u16>) -> String {
    let mut table = table(rows);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.trim_fmt()
}

/// A row of the table of latencies.
fn times_row(name: &str, of: &Latency) -> Row {
    let times = [of.p50, of.p90, of.p99, of.p99_9, of.p99_99, of.max, of.mean];
    let times = times.into_iter().map(|time| format::optional(time, format::time_us));
    let samples = if of.count == 0 { format::NONE.into() } else { format::count(of.count) };
    Row::from([name.to_owned()].into_iter().chain(times).chain([samples]).collect::<Vec<_>>())
}

const COLUMN_GAP: u16 = 2;

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";

#[cfg(test)]
mod tests;
