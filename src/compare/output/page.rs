//! The page of `--report`, and the pictures of `--pictures`.

use super::plots::{self, Figure};
use super::rows::{COLUMNS, CellValue, explanations, in_bytes, memory_row};
use crate::compare::options::Workload;
use crate::compare::plan::model_name;
use crate::compare::result::{Comparison, Scalability, Stack};
use crate::report::format::{NONE, bytes, count, optional, rate, time_us};
use crate::report::page::{Column, Page, Table, Tone, picture};
use crate::report::record::VERSION;

/// The whole page.
#[must_use]
pub(crate) fn page(comparison: &Comparison) -> String {
    let mut page = Page::new("Event loop and threads, compared", &subtitle(comparison));
    notes(comparison, &mut page);
    page.section("Results", "");
    page.table(&verdicts(comparison));
    page.section("Cost and limits", "With all connections active.");
    put(&mut page, plots::of_all(comparison));
    page.tables(&[memory(comparison), stacks(comparison)]);
    page.table(&scalability(comparison));
    for workload in &comparison.settings.workloads {
        page.section(&title(*workload), &sentence(comparison, *workload));
        put(&mut page, plots::of_workload(*workload, comparison));
        put_cells(&mut page, comparison, *workload);
    }
    page.section(
        "How it was measured",
        "Each run starts a server in a child process, with the same services, parser, sockets and backlog, without \
         a journal. The models alternate (A B B A …). Values are medians of the repeats; bars are their confidence \
         interval, or their range with fewer than five.",
    );
    if !explanations(comparison).is_empty() {
        page.table(&marks(comparison));
    }
    page.finish(&format!("Written by loopline {VERSION}."))
}

/// Every plot as a file: its name, and its content.
#[must_use]
pub(crate) fn pictures(comparison: &Comparison) -> Vec<(String, String)> {
    let of_workloads =
        comparison.settings.workloads.iter().flat_map(|workload| plots::of_workload(*workload, comparison));
    let figures = plots::of_all(comparison).into_iter().chain(of_workloads);
    figures.map(|figure| (format!("{}.svg", figure.name), picture(&figure.plot))).collect()
}

fn put(page: &mut Page, figures: Vec<Figure>) {
    let figures: Vec<_> = figures.into_iter().map(|figure| (figure.plot, figure.note)).collect();
    if !figures.is_empty() {
        page.plots(&figures);
    }
}

fn subtitle(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let known = [
        machine.processor.clone(),
        machine.processors.map(|processors| format!("{processors} processors")),
        machine.memory_bytes.map(bytes),
        machine.kernel.as_ref().map(|kernel| format!("Linux {kernel}")),
        Some(format!(
            "{} runs in {}",
            count(comparison.done as u64),
            time_us(comparison.elapsed_seconds * 1e6)
        )),
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn notes(comparison: &Comparison, page: &mut Page) {
    if comparison.interrupted {
        let (done, planned) = (count(comparison.done as u64), count(comparison.planned as u64));
        page.note(Tone::Warning, "Interrupted.", &format!("{done} of {planned} runs were completed."));
    }
    let all = comparison.cells.len();
    let limited = comparison.cells.iter().filter(|cell| cell.generator.was_the_limit).count();
    if limited == 0 {
        page.note(Tone::Good, "Valid.", "The generator was not the limit in any cell.");
    } else {
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
    let description = workload.description();
    description[..1].to_uppercase() + &description[1..]
}

fn sentence(comparison: &Comparison, workload: Workload) -> String {
    let verdict = comparison.verdicts.iter().find(|verdict| verdict.workload == workload);
    verdict.map_or_else(String::new, |verdict| verdict.sentence.clone())
}

fn verdicts(comparison: &Comparison) -> Table<'static> {
    let rows = comparison.verdicts.iter().map(|verdict| {
        let cost = verdict.cost.clone().unwrap_or_else(|| NONE.into());
        vec![title(verdict.workload), verdict.sentence.clone(), cost]
    });
    Table {
        title: "Throughput and cost",
        columns: &[Column::Text("workload"), Column::Text("throughput"), Column::Text("cost")],
        rows: rows.collect(),
        note: "",
    }
}

fn put_cells(page: &mut Page, comparison: &Comparison, workload: Workload) {
    let (columns, values): (Vec<Column<'_>>, Vec<CellValue>) = COLUMNS
        .iter()
        .filter_map(|(_, name, value)| {
            let name = (*name)?;
            let is_text = ["model", "marks"].contains(&name);
            Some((if is_text { Column::Text(name) } else { Column::Numbers(name) }, *value))
        })
        .unzip();
    let cells = comparison.cells.iter().filter(|cell| cell.workload == workload);
    page.table(&Table {
        title: "All cells",
        columns: &columns,
        rows: cells.map(|cell| values.iter().map(|value| value(cell)).collect()).collect(),
        note: "Offered: messages a second of the open loop; – is the closed loop. A time is – if there are too few \
               samples.",
    });
}

fn marks(comparison: &Comparison) -> Table<'static> {
    Table {
        title: "Marks",
        columns: &[Column::Text(""), Column::Text("cell"), Column::Text("reason")],
        rows: explanations(comparison).into_iter().map(Vec::from).collect(),
        note: "G: the generator or another program was the limit. !: a run does not count. L: fewer connections were \
               open than asked for.",
    }
}

fn memory(comparison: &Comparison) -> Table<'static> {
    Table {
        title: "Memory per connection",
        columns: &[
            Column::Text("model"),
            Column::Numbers("process memory"),
            Column::Numbers("kernel stacks"),
            Column::Numbers("sockets, both ends"),
        ],
        rows: comparison.memory.iter().map(memory_row).collect(),
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
        columns: &[Column::Numbers("stack"), Column::Numbers("memory per thread"), Column::Numbers("rate")],
        rows: comparison.stacks.iter().map(row).collect(),
        note: "With 1,000 connections. A larger stack takes no more memory, since only used pages count.",
    }
}

fn scalability(comparison: &Comparison) -> Table<'static> {
    let row = |it: &Scalability| vec![model_name(it.model).to_owned(), it.sentence.clone()];
    Table {
        title: "Universal scalability law, all connections active",
        columns: &[Column::Text("model"), Column::Text("fit")],
        rows: comparison.scalability.iter().map(row).collect(),
        note: "X(N) = λN / (1 + σ(N − 1) + κN(N − 1)); a fit needs 5 points and must explain 90 % of the variance.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixtures;
    use crate::report::html::mismatched_tag;
    use crate::report::page::write_sample;

    #[test]
    fn the_page_shows_the_result() {
        let page = page(&fixtures::comparison());
        write_sample("compare.html", &page);
        assert_eq!(mismatched_tag(&page), None);
        for part in
            ["Read with care.", "killed by signal 9", "the loop overtakes threads", "memory maps", "64 KiB"]
        {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_comparison_that_was_interrupted_at_once_has_a_page() {
        let mut nothing = fixtures::comparison();
        nothing.cells.clear();
        nothing.latency_by_rate.clear();
        nothing.stacks.clear();
        nothing.interrupted = true;
        let page = page(&nothing);
        write_sample("compare-nothing.html", &page);
        assert_eq!(mismatched_tag(&page), None);
        assert!(page.contains("Interrupted."));
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
}
