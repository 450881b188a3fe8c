//! The result as text: a table for each workload, then the verdicts.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::rows::{COLUMNS, CellValue, explanations, in_bytes, memory_row, not_measured, signs_of, verdicts};
use crate::compare::analysis::baseline::Changes;
use crate::compare::analysis::findings::sides;
use crate::compare::options::Workload;
use crate::compare::result::{Cell, Comparison, Stack};
use crate::load::stats::summary::LoadModel;
use crate::report::format::{bytes, count, optional, rate, time_us};

/// The whole result.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = format!("{}\n\n", comparison.quietness.sentence);
    for workload in &comparison.settings.workloads {
        let of = |load| {
            let sides = sides(*workload, load, &comparison.servers(), &comparison.cells_of_all());
            sides.into_iter().flat_map(|(_, sides)| sides).flatten().collect::<Vec<&Cell>>()
        };
        let (name, description) = (workload.name(), workload.description());
        let closed = format!("{name}: {description}, closed loop");
        put(&mut text, &closed, &of(LoadModel::Closed), &["offered"]);
        let without = ["from–to", "threads", "voluntary/s", "involuntary/s", "memory"];
        let all = if comparison.further.is_empty() { "both" } else { "all" };
        put(
            &mut text,
            &format!("{name}: open loop, the same rate for {all}"),
            &of(LoadModel::Open),
            &without,
        );
    }
    if comparison.cells.is_empty() {
        text += "nothing was measured\n";
    } else {
        append(&mut text, format_args!("memory per connection\n{}\n", memory(comparison)));
    }
    if !comparison.stacks.is_empty() {
        append(&mut text, format_args!("threads by stack size\n{}\n", stacks(comparison)));
    }
    append(&mut text, format_args!("{}", notes(comparison)));
    for (rival, verdict) in verdicts(comparison).into_iter().filter(|_| !comparison.cells.is_empty()) {
        for sentence in verdict.cost.iter().chain([&verdict.sentence]) {
            append(&mut text, format_args!("{}{rival}: {sentence}\n", verdict.workload.name()));
        }
    }
    for it in comparison.scalability_of_all().filter(|_| !comparison.cells.is_empty()) {
        let all = Workload::AllActive.name();
        append(&mut text, format_args!("{all}, scalability of {}: {}\n", it.model.name(), it.sentence));
    }
    let (done, planned) = (count(comparison.done as u64), count(comparison.planned as u64));
    let took = time_us(comparison.elapsed_seconds * 1e6);
    let how = if comparison.interrupted { "interrupted: " } else { "" };
    let number = |number: usize, what: &str| match number {
        0 => String::new(),
        number => format!(", {} {what}", count(number as u64)),
    };
    let more =
        number(comparison.servers().len() * comparison.more_pairs, "of them to decide what was not decided");
    let skipped = number(comparison.skipped, "skipped");
    for line in comparison.changes.iter().flat_map(Changes::lines) {
        append(&mut text, format_args!("{line}\n"));
    }
    append(&mut text, format_args!("{how}{done} of {planned} runs in {took}{more}{skipped}\n"));
    text
}

/// Appends a table, unless it is empty.
fn put(text: &mut String, title: &str, rows: &[&Cell], without: &[&str]) {
    if !rows.is_empty() {
        append(text, format_args!("{title}\n{}\n", cells(rows, without)));
    }
}

fn notes(comparison: &Comparison) -> String {
    let mut text = String::new();
    for [sign, cell, why] in explanations(comparison) {
        append(&mut text, format_args!("{sign}  {cell}: {why}\n"));
    }
    for line in not_measured(comparison) {
        append(&mut text, format_args!("{line}\n"));
    }
    if !comparison.cells.is_empty() {
        let noise = in_bytes(comparison.quietness.kernel_noise_bytes);
        append(
            &mut text,
            format_args!(
                "voluntary/s, involuntary/s: context switches of the server, to wait and by preemption\n\
                 kernel stacks and sockets that grew by less than {noise} are not distinguished from other activity: –\n"
            ),
        );
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
fn cells(cells: &[&Cell], without: &[&str]) -> String {
    let columns: Vec<(&str, CellValue)> = COLUMNS
        .iter()
        .filter_map(|(name, _, value)| Some((*name.as_ref().filter(|name| !without.contains(name))?, *value)))
        .collect();
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    grid(&header, cells.iter().map(|cell| columns.iter().map(|(_, value)| value(cell)).collect()))
}

fn memory(comparison: &Comparison) -> String {
    let header = ["model", "process memory", "kernel stacks", "sockets of both ends"];
    grid(&header, comparison.memory_of_all().map(memory_row))
}

fn stacks(comparison: &Comparison) -> String {
    let row = |it: &Stack| {
        vec![
            bytes(it.stack_bytes as u64),
            count(it.connections.into()),
            optional(it.user_bytes_per_connection, in_bytes),
            optional(it.rate, rate),
            signs_of(&it.marks).join(" "),
        ]
    };
    grid(&["stack", "connections", "memory per thread", "rate", ""], comparison.stacks.iter().map(row))
}

/// A table without borders. The model and the signs are text, all other columns are numbers.
fn grid(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
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
    table.trim_fmt()
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixtures;
    use crate::compare::result::Mark;
    use crate::compare::runner::SkipReason;

    #[test]
    fn the_table_has_the_verdicts_and_the_explanations_of_its_signs() {
        let text = table(&fixtures::comparison());
        for part in [
            "all-active: the loop needs 1.4",
            "threads stop at 16,278 connections (memory maps of a process)",
            "G  7 cells, the first all-active, 100 connections, loop, closed loop: the generator was busy 97 %",
            "!  2 cells, the first all-active, 10 connections, threads, closed loop: killed by signal 9",
            "server on processor 0, generator on 1",
            "the machine is quiet: ",
            "not measured, since the time limit was reached: all-active, 1,000 connections, stacks of 8 MiB",
            "grew by less than 128 KiB are not distinguished",
            " voluntary/s  involuntary/s ",
            ", 8 of them to decide what was not decided",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let widest = text.lines().filter(|line| line.starts_with(' ')).map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 132), "{widest:?}: {text}");
    }

    #[test]
    fn no_line_ends_with_blanks() {
        let text = table(&fixtures::comparison());
        let cut: Vec<&str> = text.lines().filter(|line| line.ends_with(' ')).collect();
        assert!(cut.is_empty(), "{cut:?}");
    }

    #[test]
    fn further_servers_have_rows_and_verdicts_beside_the_loop() {
        let text = table(&fixtures::comparison_with(&["tokio", "c"]));
        for part in ["     1  tokio ", "     1  c ", "all-active: open loop, the same rate for all"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for start in [
            "all-active, loop and tokio: the loop needs ",
            "all-active, loop and c: the loop needs ",
            "churn, loop and c: ",
            "all-active, scalability of tokio: ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(start)), "{start}: {text}");
        }
        let rows: Vec<&str> =
            text.lines().skip(4).take(4).map(|row| row.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(rows, ["loop", "threads", "tokio", "c"], "the order of the options: {text}");
    }

    #[test]
    fn signs_of_stacks_are_explained_like_those_of_cells() {
        let mut comparison = fixtures::comparison();
        comparison.stacks[1].marks = vec![Mark::NoReplies { runs: 1, of: 1 }];
        let text = table(&comparison);
        assert!(
            text.contains("0  threads with stacks of 256 KiB: no message was answered in 1 of 1 runs"),
            "{text}"
        );
        let row = text.lines().find(|line| line.trim_start().starts_with("256 KiB")).unwrap();
        assert!(row.trim_end().ends_with("/s  0"), "{row}");
    }

    #[test]
    fn a_comparison_that_was_interrupted_at_once_has_no_empty_tables() {
        let mut nothing = fixtures::comparison();
        nothing.cells.clear();
        nothing.latency_by_rate.clear();
        nothing.stacks.clear();
        nothing.interrupted = true;
        nothing.not_measured[0].why = SkipReason::Interrupted;
        let text = table(&nothing);
        assert!(
            text.contains("nothing was measured\nnot measured, since the comparison was interrupted: "),
            "{text}"
        );
        assert!(!text.contains("conns") && !text.contains("model"), "{text}");
    }
}
