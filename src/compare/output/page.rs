//! The page of `--report`, and the pictures of `--pictures`.

use super::plots::{self, Figure};
use super::rows::{COLUMNS, CellValue, explanations, in_bytes, memory_row, not_measured, verdicts};
use crate::compare::analysis::baseline::{Change, Changes, Direction, times};
use crate::compare::analysis::findings::sides;
use crate::compare::options::Workload;
use crate::compare::quietness::Level;
use crate::compare::result::{Cell, Comparison, Scalability, Stack, WorkloadVerdict};
use crate::load::stats::summary::LoadModel;
use crate::report::format::{bytes, count, optional, rate, time_us};
use crate::report::page::{Column, Page, Table, Tone, picture};
use crate::report::record::VERSION;
use crate::report::run_info::RunInfo;

/// The whole page.
#[must_use]
pub(crate) fn page(comparison: &Comparison, run: &RunInfo) -> String {
    let mut page = Page::new(&heading(comparison), &subtitle(comparison));
    page.run(run);
    notes(comparison, &mut page);
    page.section("Verdict", "");
    page.lead(&lead(comparison));
    put(&mut page, plots::verdicts(comparison));
    if let Some(changes) = &comparison.changes {
        put_changes(changes, &mut page);
    }
    overview(comparison, &mut page);
    page.section("Cost and limits", "With all connections active.");
    put(&mut page, plots::of_all(comparison));
    page.tables(&[memory(comparison), stacks(comparison)]);
    page.table(&scalability(comparison));
    page.section("All numbers", "");
    for workload in &comparison.settings.workloads {
        let name = format!("{}: CPU time, p99, and the numbers of all runs", title(*workload));
        page.folded(&name, |page| {
            put(page, plots::of_workload(*workload, comparison).into_iter().skip(1));
            put_cells(page, comparison, *workload);
        });
    }
    page.section(
        "How it was measured",
        "Each run starts a server in a child process; the event loop and threads with the same services, parser, \
         sockets and backlog, without a journal. The servers alternate (A B B A …). Values are medians of the repeats; bars are their confidence \
         interval, or their range with fewer than five.",
    );
    if !explanations(comparison).is_empty() {
        page.table(&marks(comparison));
    }
    if !comparison.further.is_empty() {
        page.table(&commands(comparison));
    }
    page.finish(&format!("Written by loopline {VERSION}."))
}

/// What has changed since the baseline: what is worse first, then what is better.
fn put_changes(changes: &Changes, page: &mut Page) {
    page.section("Changes since the baseline", "");
    for difference in &changes.differences {
        page.note(Tone::Warning, "Not the same.", &format!("{}.", capital(difference)));
    }
    if let Some(failure) = changes.failure() {
        page.note(Tone::Warning, "Slower.", &format!("{failure}."));
    }
    let mut all: Vec<&Change> = changes.measures.iter().collect();
    let order = [Direction::Worse, Direction::Better, Direction::Undecided, Direction::Same];
    all.sort_by_key(|it| order.iter().position(|direction| *direction == it.direction));
    let row = |it: &&Change| {
        let ([low, high], measure) = (it.ends(), it.measure.name().to_owned());
        vec![
            it.scenario.clone(),
            measure,
            it.direction.name().into(),
            times(it.ratio),
            format!("{low} to {high}"),
        ]
    };
    let only = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!(" Only in {what}: {}.", names.join("; ")),
    };
    let intervals = changes.intervals().map_or_else(String::new, |it| format!(" {}.", capital(&it)));
    let baseline = only("the baseline", &changes.only_in_baseline);
    let here = only("this result", &changes.only_here);
    page.table(&Table {
        title: &format!("Now divided by the baseline of {}", changes.started_at),
        columns: vec![
            Column::Text("scenario"),
            Column::Short("measure"),
            Column::Short("now"),
            Column::Numbers("ratio"),
            Column::Numbers("interval"),
        ],
        rows: all.iter().map(row).collect(),
        note: &format!("Better or worse if the whole interval is beyond 3 %.{intervals}{baseline}{here}"),
    });
}

/// `Event loop, threads and tokio, compared`.
fn heading(comparison: &Comparison) -> String {
    let further: Vec<&str> = comparison.further.iter().map(|it| it.name.name()).collect();
    match &further[..] {
        [] => "Event loop and threads, compared".into(),
        [one] => format!("Event loop, threads and {one}, compared"),
        [some @ .., last] => format!("Event loop, threads, {} and {last}, compared", some.join(", ")),
    }
}

fn commands(comparison: &Comparison) -> Table<'static> {
    Table {
        title: "Further servers",
        columns: vec![Column::Text("name"), Column::Text("command")],
        rows: comparison.further.iter().map(|it| vec![it.name.name().into(), it.command.clone()]).collect(),
        note: "Started by a shell. CPU time, memory and threads are those of all processes of its process group.",
    }
}

/// The verdict on the first workload: what is most certain of its CPU time and of its rate.
fn lead(comparison: &Comparison) -> String {
    let Some(first) = comparison.verdicts.first() else { return String::new() };
    let most_certain = |sentence: &String| capital(sentence.split("; ").next().unwrap_or(sentence)) + ".";
    let sentences: Vec<_> = first.cost.iter().chain([&first.sentence]).map(most_certain).collect();
    let servers = if comparison.further.is_empty() { "" } else { ", loop and threads" };
    format!("{}{servers}: {}", title(first.workload), sentences.join(" "))
}

/// A plot for each workload, of the throughput of all servers, with the verdicts below it.
fn overview(comparison: &Comparison, page: &mut Page) {
    let throughput = |verdict: &WorkloadVerdict| {
        let workload = &verdict.workload;
        let mut plot = plots::of_workload(*workload, comparison).into_iter().next()?.plot;
        plot.title = format!("{}: {}", workload.name(), workload.description());
        let verdicts = verdicts(comparison).into_iter().filter(|(_, it)| it.workload == *workload);
        let sentences: Vec<_> = verdicts.map(|(rival, verdict)| sentences(&rival, verdict)).collect();
        Some((plot, sentences.join("\n")))
    };
    let plots: Vec<_> = comparison.verdicts.iter().filter_map(throughput).collect();
    if plots.is_empty() {
        return;
    }
    page.section(
        "Each workload",
        "Messages a second as fast as replies arrive, with each server and the intervals of the medians.",
    );
    page.plots(&plots.iter().map(|(plot, note)| (plot.clone(), note.as_str())).collect::<Vec<_>>());
}

/// The sentences of a verdict. `rival` is `, loop and NAME`, or nothing.
fn sentences(rival: &str, verdict: &WorkloadVerdict) -> String {
    let both = verdict.cost.iter().chain([&verdict.sentence]);
    match rival.strip_prefix(", ") {
        None => both.map(|it| capital(it) + ".").collect::<Vec<_>>().join(" "),
        Some(rival) => {
            let later = |(index, it): (usize, &String)| if index == 0 { it.clone() } else { capital(it) };
            let both: Vec<String> = both.enumerate().map(later).collect();
            format!("{}: {}.", capital(rival), both.join(". "))
        }
    }
}

/// Every plot as a file: its name, and its content.
#[must_use]
pub(crate) fn pictures(comparison: &Comparison) -> Vec<(String, String)> {
    let of_workloads =
        comparison.settings.workloads.iter().flat_map(|workload| plots::of_workload(*workload, comparison));
    let of_all = plots::verdicts(comparison).into_iter().chain(plots::of_all(comparison));
    let figures = of_all.chain(of_workloads);
    figures.map(|figure| (format!("{}.svg", figure.name), picture(&figure.plot))).collect()
}

fn put(page: &mut Page, figures: impl IntoIterator<Item = Figure>) {
    let figures: Vec<_> = figures.into_iter().map(|figure| (figure.plot, figure.note)).collect();
    if !figures.is_empty() {
        page.plots(&figures);
    }
}

fn subtitle(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let known = [
        machine.processor.clone(),
        machine.memory_bytes.map(bytes),
        Some(format!(
            "{} runs in {}",
            count(comparison.done as u64),
            time_us(comparison.elapsed_seconds * 1e6)
        )),
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn notes(comparison: &Comparison, page: &mut Page) {
    let quietness = &comparison.quietness;
    let (tone, summary) = match quietness.level {
        Level::Quiet => (Tone::Good, "Quiet before the first run."),
        Level::Disturbed => (Tone::Warning, "Disturbed before the first run."),
        Level::Busy => (Tone::Warning, "Busy before the first run."),
    };
    page.note(tone, summary, &format!("{}.", capital(&quietness.sentence)));
    if comparison.interrupted {
        let (done, planned) = (count(comparison.done as u64), count(comparison.planned as u64));
        page.note(Tone::Warning, "Interrupted.", &format!("{done} of {planned} runs were completed."));
    }
    let missing: Vec<_> = not_measured(comparison).iter().map(|line| capital(line) + ".").collect();
    if !missing.is_empty() {
        page.note(Tone::Warning, "Incomplete.", &missing.join(" "));
    }
    let cells = comparison.cells_of_all();
    let all = cells.len();
    let limited = cells.iter().filter(|cell| cell.generator.was_the_limit).count();
    if all > 0 && explanations(comparison).is_empty() {
        page.note(Tone::Good, "Generator: ok.", "No cell is marked.");
    } else if limited > 0 {
        let reason = format!(
            "In {limited} of {all} cells, marked G, the generator or other programs were the limit, not the server."
        );
        page.note(Tone::Warning, "Read with care.", &reason);
    }
    if comparison.settings.pinned.is_none() {
        page.note(Tone::Warning, "One processor.", "Server and generator share it.");
    }
}

fn title(workload: Workload) -> String {
    capital(workload.description())
}

/// `text` with a capital letter.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// The cells of a workload: the closed loop and the open loop apart, each as results and as resources.
fn put_cells(page: &mut Page, comparison: &Comparison, workload: Workload) {
    let loads =
        [(LoadModel::Closed, "Closed loop: as fast as replies arrive"), (LoadModel::Open, OPEN_TITLE)];
    for (load, title) in loads {
        let sides = sides(workload, load, &comparison.servers(), &comparison.cells_of_all());
        let cells: Vec<&Cell> = sides.into_iter().flat_map(|(_, cells)| cells).flatten().collect();
        if cells.is_empty() {
            continue;
        }
        let offered = (load == LoadModel::Open).then_some("offered");
        let results: Vec<_> = KEYS.into_iter().chain(offered).chain(RESULTS).collect();
        page.table(&cell_table(title, &results, &cells));
        let resources: Vec<_> = KEYS.into_iter().chain(RESOURCES).collect();
        page.table(&cell_table("Resources in these runs", &resources, &cells));
    }
}

/// The columns with `names`, in this order.
fn cell_table<'a>(title: &'a str, names: &[&'static str], cells: &[&Cell]) -> Table<'a> {
    let find =
        |name: &str| COLUMNS.iter().find(|(_, on_page, _)| *on_page == Some(name)).map(|column| column.2);
    let (columns, values): (Vec<Column<'_>>, Vec<CellValue>) = names
        .iter()
        .filter_map(|name| {
            let is_text = ["model", "marks"].contains(name);
            Some((if is_text { Column::Short(name) } else { Column::Numbers(name) }, find(name)?))
        })
        .unzip();
    let row = |cell: &&Cell| values.iter().map(|value| value(cell)).collect();
    Table { title, columns, rows: cells.iter().map(row).collect(), note: "– if there are too few samples." }
}

fn marks(comparison: &Comparison) -> Table<'static> {
    Table {
        title: "Marks",
        columns: vec![Column::Text(""), Column::Text("cell"), Column::Text("reason")],
        rows: explanations(comparison).into_iter().map(Vec::from).collect(),
        note: "G: the generator or another program was the limit. !: a run does not count. 0: no message was answered. \
               C: connections were lost. L: fewer connections were open than asked for.",
    }
}

fn memory(comparison: &Comparison) -> Table<'static> {
    Table {
        title: "Memory per connection",
        columns: vec![
            Column::Text("model"),
            Column::Numbers("process memory"),
            Column::Numbers("kernel stacks"),
            Column::Numbers("sockets, both ends"),
        ],
        rows: comparison.memory_of_all().map(memory_row).collect(),
        note: "The slope over the numbers of connections, from 100 on.",
    }
}

fn stacks(comparison: &Comparison) -> Table<'static> {
    let row = |it: &Stack| {
        let each = optional(it.user_bytes_per_connection, in_bytes);
        vec![bytes(it.stack_bytes as u64), each, optional(it.rate, rate)]
    };
    Table {
        title: "Threads by stack size",
        columns: vec![
            Column::Numbers("stack"),
            Column::Numbers("memory per thread"),
            Column::Numbers("rate"),
        ],
        rows: comparison.stacks.iter().map(row).collect(),
        note: "With 1,000 connections. A larger stack takes no more memory, since only used pages count.",
    }
}

fn scalability(comparison: &Comparison) -> Table<'static> {
    let row = |it: &Scalability| vec![it.model.name().to_owned(), it.sentence.clone()];
    Table {
        title: "Universal scalability law, all connections active",
        columns: vec![Column::Text("model"), Column::Text("fit")],
        rows: comparison.scalability_of_all().map(row).collect(),
        note: "X(N) = λN / (1 + σ(N − 1) + κN(N − 1)).",
    }
}

const OPEN_TITLE: &str = "Open loop: messages on schedule, at the offered rate";

/// What a row is about. Marks come before the numbers that they qualify.
const KEYS: [&str; 3] = ["connections", "model", "marks"];

const RESULTS: [&str; 6] = ["rate", "from–to", "CPU per message", "p50", "p99", "p99.9"];

const RESOURCES: [&str; 5] =
    ["threads", "voluntary switches/s", "involuntary switches/s", "memory", "generator busy"];

#[cfg(test)]
mod tests;
