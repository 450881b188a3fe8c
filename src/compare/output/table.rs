//! The result as text: a table for each workload, then the verdicts.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::rows::{COLUMNS, CellValue, explanations, in_bytes, memory_row};
use crate::compare::analysis::findings::pairs;
use crate::compare::options::Workload;
use crate::compare::plan::model_name;
use crate::compare::result::{Cell, Comparison, Mark, Stack};
use crate::load::stats::summary::LoadModel;
use crate::report::format::{bytes, count, optional, rate, time_us};

/// The whole result.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    for workload in &comparison.settings.workloads {
        let of = |load| {
            let pairs = pairs(*workload, load, &comparison.cells);
            pairs.into_iter().flat_map(|(_, sides)| sides).flatten().collect::<Vec<&Cell>>()
        };
        let closed = cells(&of(LoadModel::Closed), &["offered"]);
        let description = workload.description();
        append(&mut text, format_args!("{}: {description}, closed loop\n{closed}\n", workload.name()));
        let open = of(LoadModel::Open);
        if !open.is_empty() {
            let open = cells(&open, &["from–to", "threads", "switches/s", "forced/s", "memory"]);
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
        for sentence in verdict.cost.iter().chain([&verdict.sentence]) {
            append(&mut text, format_args!("{}: {sentence}\n", verdict.workload.name()));
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

/// The cells of a workload in the columns that are not in `without`.
fn cells(cells: &[&Cell], without: &[&str]) -> Table {
    let columns: Vec<(&str, CellValue)> = COLUMNS
        .iter()
        .filter_map(|(name, _, value)| Some((*name.as_ref().filter(|name| !without.contains(name))?, *value)))
        .collect();
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    grid(&header, cells.iter().map(|cell| columns.iter().map(|(_, value)| value(cell)).collect()))
}

fn memory(comparison: &Comparison) -> Table {
    let header = ["model", "process memory", "kernel stacks", "sockets of both ends"];
    grid(&header, comparison.memory.iter().map(memory_row))
}

fn stacks(comparison: &Comparison) -> Table {
    let row = |it: &Stack| {
        vec![
            bytes(it.stack_bytes as u64),
            count(it.connections.into()),
            optional(it.user_bytes_per_connection, in_bytes),
            optional(it.rate, rate),
            it.marks.iter().map(Mark::to_string).collect::<Vec<_>>().join(", "),
        ]
    };
    grid(&["stack", "connections", "memory per thread", "rate", ""], comparison.stacks.iter().map(row))
}

/// A table without borders. The model and the signs are text, all other columns are numbers.
fn grid(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header)
        .add_rows(rows);
    for (column, name) in table.column_iter_mut().zip(header) {
        if !["model", ""].contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixtures;

    #[test]
    fn the_table_has_the_verdicts_and_the_explanations_of_its_signs() {
        let text = table(&fixtures::comparison());
        for part in [
            "all-active: the loop needs 1.43 times less CPU a message at 10,000 connections (95 % interval",
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
