//! The result as text: the sentences, then a table for each workload.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::compare::analysis::findings::pairs;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::options::Workload;
use crate::compare::result::{Cell, Comparison};
use crate::report::format::{NONE, bytes, count, maybe, rate, time_us};

/// The whole result, for a terminal or a file.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    for workload in &comparison.settings.workloads {
        let of = |load| {
            let pairs = pairs(*workload, load, &comparison.cells);
            pairs.into_iter().flat_map(|(_, sides)| sides).flatten().collect::<Vec<&Cell>>()
        };
        let (all, words) = (closed(&of("closed")), workload.words());
        append(&mut text, format_args!("{}: {words}, as much as is answered\n{all}\n", workload.name()));
        let open = of("open");
        if !open.is_empty() {
            let same = same_rate(&open);
            append(&mut text, format_args!("{}: the same rate for both\n{same}\n", workload.name()));
        }
    }
    append(&mut text, format_args!("a connection takes\n{}\n", memory(comparison)));
    if !comparison.stacks.is_empty() {
        append(&mut text, format_args!("threads by the size of their stacks\n{}\n", stacks(comparison)));
    }
    append(&mut text, format_args!("{}", notes(comparison)));
    for verdict in &comparison.verdicts {
        append(&mut text, format_args!("{}: {}\n", verdict.workload.name(), verdict.sentence));
        if let Some(cost) = &verdict.cost {
            append(&mut text, format_args!("{}: {cost}\n", verdict.workload.name()));
        }
    }
    for it in &comparison.scalability {
        let all = Workload::AllActive.name();
        append(&mut text, format_args!("{all}, scalability of {}: {}\n", it.model, it.sentence));
    }
    let (done, planned) = (count(comparison.done as u64), count(comparison.planned as u64));
    let took = time_us(comparison.took_seconds * 1e6);
    let how = if comparison.interrupted { "interrupted: " } else { "" };
    let rest = match comparison.left_out {
        0 => String::new(),
        out => format!(", {} left out to be over in time", count(out as u64)),
    };
    append(&mut text, format_args!("{how}{done} of {planned} runs in {took}{rest}\n"));
    text
}

fn closed(cells: &[&Cell]) -> Table {
    let mut table = empty(&[
        "conns",
        "model",
        "rate",
        "from–to",
        "CPU/msg",
        "p50",
        "p99",
        "p99.9",
        "threads",
        "switches/s",
        "forced/s",
        "memory",
        "",
    ]);
    for cell in cells {
        table.add_row([
            count(cell.connections.into()),
            cell.model.into(),
            maybe(median(cell.rate), rate),
            range(cell),
            maybe(median(cell.cpu_us_per_message), time_us),
            maybe(median(cell.p50_us), time_us),
            maybe(median(cell.p99_us), time_us),
            maybe(median(cell.p99_9_us), time_us),
            maybe(median(cell.threads), whole),
            maybe(median(cell.voluntary_switches), whole),
            maybe(median(cell.involuntary_switches), whole),
            maybe(median(cell.user_bytes), in_bytes),
            marks(cell),
        ]);
    }
    aligned(table, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
}

fn same_rate(cells: &[&Cell]) -> Table {
    let mut table = empty(&["conns", "model", "offered", "rate", "CPU/msg", "p50", "p99", "p99.9", ""]);
    for cell in cells {
        table.add_row([
            count(cell.connections.into()),
            cell.model.into(),
            cell.offered_rate.map_or_else(|| NONE.into(), |offered| format!("{}/s", count(offered))),
            maybe(median(cell.rate), rate),
            maybe(median(cell.cpu_us_per_message), time_us),
            maybe(median(cell.p50_us), time_us),
            maybe(median(cell.p99_us), time_us),
            maybe(median(cell.p99_9_us), time_us),
            marks(cell),
        ]);
    }
    aligned(table, &[0, 2, 3, 4, 5, 6, 7])
}

fn median(estimate: Option<Estimate>) -> Option<f64> {
    estimate.map(|it| it.median)
}

/// The interval of the rate.
pub(crate) fn range(cell: &Cell) -> String {
    let ends = |it: Estimate| {
        let [low, high] = [it.low, it.high].map(|end| rate(end).trim_end_matches("/s").to_owned());
        format!("{low}–{high}")
    };
    cell.rate.map_or_else(|| NONE.into(), ends)
}

/// Signs that stand behind a row; [`explained`] says what they mean.
pub(crate) fn marks(cell: &Cell) -> String {
    let mut marks = Vec::new();
    if cell.generator.was_the_limit {
        marks.push("G".to_owned());
    }
    if is_disturbed(cell) {
        marks.push("!".into());
    }
    if cell.limited_by.is_some() {
        marks.push("L".into());
    }
    if cell.failed > 0 {
        marks.push(format!("{} failed", count(cell.failed)));
    }
    marks.join(" ")
}

/// Whether something is to be known of it besides that the generator was the limit.
fn is_disturbed(cell: &Cell) -> bool {
    cell.marks.len() > usize::from(cell.generator.was_the_limit)
}

/// What the signs mean: the sign, where it stands, and why.
pub(crate) fn explained(comparison: &Comparison) -> Vec<[String; 3]> {
    let all = || comparison.cells.iter().chain(&comparison.latency_by_rate);
    let place = |cell: &Cell| {
        let Cell { workload, connections, model, load, .. } = cell;
        format!("{}, {} connections, {model}, {load} loop", workload.name(), count((*connections).into()))
    };
    let mut lines = Vec::new();
    for why in ["busy", "waited", ""] {
        let is = |cell: &&Cell| {
            let said = cell.generator.why.as_deref().unwrap_or_default();
            let known = ["busy", "waited"].into_iter().find(|why| said.contains(*why)).unwrap_or_default();
            cell.generator.was_the_limit && known == why
        };
        let of = all().filter(is).count();
        if let Some(first) = all().find(is) {
            let place =
                if of == 1 { place(first) } else { format!("{of} cells, the first {}", place(first)) };
            lines.push(["G".into(), place, first.generator.why.clone().unwrap_or_default()]);
        }
    }
    for cell in all().filter(|cell| is_disturbed(cell)) {
        lines.push(["!".into(), place(cell), cell.marks[0].clone()]);
    }
    for cell in all() {
        if let Some(limit) = &cell.limited_by {
            let opened = maybe(cell.opened, whole);
            lines.push(["L".into(), place(cell), format!("{opened} were open, limited by {limit}")]);
        }
    }
    lines
}

fn notes(comparison: &Comparison) -> String {
    let mut text = String::new();
    for [sign, place, why] in explained(comparison) {
        append(&mut text, format_args!("{sign}  {place}: {why}\n"));
    }
    match &comparison.settings.pinned {
        Some(split) => {
            let server: Vec<String> = split.server.iter().map(ToString::to_string).collect();
            let (server, generator) = (server.join(", "), split.generator);
            append(&mut text, format_args!("server on processor {server}, generator on {generator}\n"));
        }
        None => text += "one processor: server and generator share it, and take time from each other\n",
    }
    text + "\n"
}

fn memory(comparison: &Comparison) -> Table {
    let mut table = empty(&["model", "own memory", "kernel stacks", "sockets of both ends"]);
    for it in &comparison.memory {
        let cells = [it.user_bytes, it.kernel_stack_bytes, it.slab_bytes].map(|it| maybe(it, in_bytes));
        table.add_row([it.model.to_owned()].into_iter().chain(cells));
    }
    aligned(table, &[1, 2, 3])
}

fn stacks(comparison: &Comparison) -> Table {
    let mut table = empty(&["stack", "connections", "own memory of each", "rate", ""]);
    for it in &comparison.stacks {
        table.add_row([
            bytes(it.stack_bytes as u64),
            count(it.connections.into()),
            maybe(it.user_bytes_per_connection, in_bytes),
            maybe(it.rate, rate),
            it.marks.join(", "),
        ]);
    }
    aligned(table, &[0, 1, 2, 3])
}

fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

fn aligned(mut table: Table, numbers: &[usize]) -> Table {
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes whatever is written");
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, shown whole")]
pub(crate) fn whole(number: f64) -> String {
    count(number.round().max(0.0) as u64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, to three digits")]
pub(crate) fn in_bytes(number: f64) -> String {
    if number < 0.0 { NONE.into() } else { bytes(number.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixtures;

    #[test]
    fn a_table_says_what_was_found_and_what_to_know_with_it() {
        let text = table(&fixtures::comparison());
        for part in [
            "all-active: from about",
            "threads end at 16,278 connections (memory maps of a process)",
            "G  7 cells, the first all-active, 100 connections, loop, closed loop: the generator was busy 97 %",
            "!  all-active, 10 connections, threads, closed loop: killed from outside by signal 9",
            "server on processor 0, generator on 1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let widest = text.lines().filter(|line| line.starts_with(' ')).map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 132), "{widest:?}: {text}");
    }
}
