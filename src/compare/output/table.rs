//! The result as text: a table for each workload, then the verdicts.

use std::fmt::Write;
use std::mem::discriminant;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::compare::analysis::findings::pairs;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::options::Workload;
use crate::compare::plan::model_name;
use crate::compare::result::{Cell, Comparison, Mark};
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::LoadModel;
use crate::report::format::{NONE, bytes, connections, count, number, optional, rate, rounded, time_us};

/// The whole result.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    for workload in &comparison.settings.workloads {
        let of = |load| {
            let pairs = pairs(*workload, load, &comparison.cells);
            pairs.into_iter().flat_map(|(_, sides)| sides).flatten().collect::<Vec<&Cell>>()
        };
        let (closed, description) = (closed(&of(LoadModel::Closed)), workload.description());
        append(&mut text, format_args!("{}: {description}, closed loop\n{closed}\n", workload.name()));
        let open = of(LoadModel::Open);
        if !open.is_empty() {
            let open = same_rate(&open);
            append(
                &mut text,
                format_args!("{}: open loop, the same rate for both\n{open}\n", workload.name()),
            );
        }
    }
    append(&mut text, format_args!("memory per connection\n{}\n", memory(comparison)));
    if !comparison.stacks.is_empty() {
        append(&mut text, format_args!("threads by stack size\n{}\n", stacks(comparison)));
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
        append(&mut text, format_args!("{all}, scalability of {}: {}\n", model_name(it.model), it.sentence));
    }
    let (done, planned) = (count(comparison.done as u64), count(comparison.planned as u64));
    let took = time_us(comparison.elapsed_seconds * 1e6);
    let how = if comparison.interrupted { "interrupted: " } else { "" };
    let rest = match comparison.skipped {
        0 => String::new(),
        skipped => format!(", {} skipped", count(skipped as u64)),
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
            model_name(cell.model).into(),
            optional(median(cell.rate), rate),
            range(cell),
            optional(median(cell.cpu_us_per_message), time_us),
            optional(median(cell.p50_us), time_us),
            optional(median(cell.p99_us), time_us),
            optional(median(cell.p99_9_us), time_us),
            optional(median(cell.threads), rounded),
            optional(median(cell.voluntary_switches), rounded),
            optional(median(cell.involuntary_switches), rounded),
            optional(median(cell.user_bytes), in_bytes),
            signs(cell),
        ]);
    }
    aligned(table, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
}

fn same_rate(cells: &[&Cell]) -> Table {
    let mut table = empty(&["conns", "model", "offered", "rate", "CPU/msg", "p50", "p99", "p99.9", ""]);
    for cell in cells {
        table.add_row([
            count(cell.connections.into()),
            model_name(cell.model).into(),
            cell.offered_rate.map_or_else(|| NONE.into(), |offered| format!("{}/s", count(offered))),
            optional(median(cell.rate), rate),
            optional(median(cell.cpu_us_per_message), time_us),
            optional(median(cell.p50_us), time_us),
            optional(median(cell.p99_us), time_us),
            optional(median(cell.p99_9_us), time_us),
            signs(cell),
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
        let [low, high] = [it.low, it.high].map(number);
        format!("{low}–{high}")
    };
    cell.rate.map_or_else(|| NONE.into(), ends)
}

/// The signs at the end of a row; [`explanations`] has their meaning.
pub(crate) fn signs(cell: &Cell) -> String {
    let mut signs = Vec::new();
    if cell.generator.was_the_limit {
        signs.push("G".to_owned());
    }
    if end_of_server(cell).is_some() {
        signs.push("!".into());
    }
    if cell.limited_by.is_some() {
        signs.push("L".into());
    }
    if cell.failed > 0 {
        signs.push(format!("{} failed", count(cell.failed)));
    }
    signs.join(" ")
}

/// How a server of the cell ended, if one ended before its run.
fn end_of_server(cell: &Cell) -> Option<&String> {
    cell.marks.iter().find_map(|mark| match mark {
        Mark::ServerEnded(how) => Some(how),
        Mark::GeneratorLimited(_) => None,
    })
}

/// The meaning of the signs: the sign, the cell, and the reason. Cells with the same kind of reason share a line.
pub(crate) fn explanations(comparison: &Comparison) -> Vec<[String; 3]> {
    let cells = || comparison.cells.iter().chain(&comparison.latency_by_rate);
    let name = |cell: &Cell| {
        let load = match cell.load {
            LoadModel::Open => "open loop",
            LoadModel::Closed => "closed loop",
        };
        let (connections, model) = (connections(cell.connections.into()), model_name(cell.model));
        format!("{}, {connections}, {model}, {load}", cell.workload.name())
    };
    let mut kinds: Vec<(InvalidReason, &Cell, usize)> = Vec::new();
    for (why, cell) in cells().filter_map(|cell| Some((cell.generator.why?, cell))) {
        match kinds.iter_mut().find(|(other, ..)| discriminant(other) == discriminant(&why)) {
            Some((.., count)) => *count += 1,
            None => kinds.push((why, cell, 1)),
        }
    }
    let limited = kinds.into_iter().map(|(why, first, count)| {
        let first = name(first);
        [
            "G".into(),
            if count == 1 { first } else { format!("{count} cells, the first {first}") },
            why.to_string(),
        ]
    });
    let ended = cells().filter_map(|cell| Some(["!".into(), name(cell), end_of_server(cell)?.clone()]));
    let stopped = cells().filter_map(|cell| {
        let limit = cell.limited_by.as_ref()?;
        Some([
            "L".into(),
            name(cell),
            format!("{} were open, limited by {limit}", optional(cell.opened, rounded)),
        ])
    });
    limited.chain(ended).chain(stopped).collect()
}

fn notes(comparison: &Comparison) -> String {
    let mut text = String::new();
    for [sign, cell, why] in explanations(comparison) {
        append(&mut text, format_args!("{sign}  {cell}: {why}\n"));
    }
    match &comparison.settings.pinned {
        Some(split) => {
            let server: Vec<String> = split.server.iter().map(ToString::to_string).collect();
            let (server, generator) = (server.join(", "), split.generator);
            append(&mut text, format_args!("server on processor {server}, generator on {generator}\n"));
        }
        None => text += "one processor: server and generator share it\n",
    }
    text + "\n"
}

fn memory(comparison: &Comparison) -> Table {
    let mut table = empty(&["model", "process memory", "kernel stacks", "sockets of both ends"]);
    for it in &comparison.memory {
        let cells = [it.user_bytes, it.kernel_stack_bytes, it.slab_bytes].map(|it| optional(it, in_bytes));
        table.add_row([model_name(it.model).to_owned()].into_iter().chain(cells));
    }
    aligned(table, &[1, 2, 3])
}

fn stacks(comparison: &Comparison) -> Table {
    let mut table = empty(&["stack", "connections", "memory per thread", "rate", ""]);
    for it in &comparison.stacks {
        table.add_row([
            bytes(it.stack_bytes as u64),
            count(it.connections.into()),
            optional(it.user_bytes_per_connection, in_bytes),
            optional(it.rate, rate),
            it.marks.iter().map(Mark::to_string).collect::<Vec<_>>().join(", "),
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
    text.write_fmt(what).expect("writing to a string does not fail");
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
    fn the_table_has_the_verdicts_and_the_explanations_of_its_signs() {
        let text = table(&fixtures::comparison());
        for part in [
            "all-active: from about",
            "threads stop at 16,278 connections (memory maps of a process)",
            "G  7 cells, the first all-active, 100 connections, loop, closed loop: the generator was busy 97 %",
            "!  all-active, 10 connections, threads, closed loop: killed by signal 9",
            "server on processor 0, generator on 1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let widest = text.lines().filter(|line| line.starts_with(' ')).map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 132), "{widest:?}: {text}");
    }
}
