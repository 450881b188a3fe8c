//! The rows that the text and the page have in common, and the meaning of the signs in them.

use std::mem::discriminant;

use crate::compare::analysis::statistics::Estimate;
use crate::compare::options::Workload;
use crate::compare::result::{Cell, Comparison, Mark, Memory, WorkloadVerdict};
use crate::compare::runner::SkipReason;
use crate::report::format::{
    NONE, bytes, connections, count, number, optional, rate, rounded, share, time_us,
};

/// A column of cells: its name in the text, its name on the page, and its value. It is left out where it has no name.
type CellColumn = (Option<&'static str>, Option<&'static str>, CellValue);

/// The value of a cell in a column, as it is shown.
pub(super) type CellValue = fn(&Cell) -> String;

pub(super) const COLUMNS: [CellColumn; 16] = [
    (Some("conns"), Some("connections"), |cell| count(cell.connections.into())),
    (Some("model"), Some("model"), |cell| cell.model.name().into()),
    (Some("offered"), None, |cell| offered(cell, "/s")),
    (None, Some("offered"), |cell| offered(cell, "")),
    (Some("rate"), Some("rate"), |cell| median(cell.rate, rate)),
    (Some("from–to"), Some("from–to"), range),
    (Some("CPU/msg"), Some("CPU per message"), |cell| median(cell.cpu_us_per_message, time_us)),
    (Some("p50"), Some("p50"), |cell| median(cell.p50_us, time_us)),
    (Some("p99"), Some("p99"), |cell| median(cell.p99_us, time_us)),
    (Some("p99.9"), Some("p99.9"), |cell| median(cell.p99_9_us, time_us)),
    (Some("threads"), Some("threads"), |cell| median(cell.threads, rounded)),
    (Some("voluntary/s"), Some("voluntary switches/s"), |cell| median(cell.voluntary_switches, rounded)),
    (Some("involuntary/s"), Some("involuntary switches/s"), |cell| {
        median(cell.involuntary_switches, rounded)
    }),
    (Some("memory"), Some("memory"), |cell| median(cell.user_bytes, in_bytes)),
    (None, Some("generator busy"), |cell| optional(cell.generator.busy, share)),
    (Some(""), Some("marks"), signs),
];

fn median(estimate: Option<Estimate>, show: fn(f64) -> String) -> String {
    optional(estimate.map(|it| it.median), show)
}

fn offered(cell: &Cell, unit: &str) -> String {
    cell.offered_rate.map_or_else(|| NONE.into(), |rate| count(rate) + unit)
}

/// Memory per connection of a server.
pub(super) fn memory_row(it: &Memory) -> Vec<String> {
    let cells = [it.user_bytes, it.kernel_stack_bytes, it.slab_bytes].map(|it| optional(it, in_bytes));
    [it.model.name().to_owned()].into_iter().chain(cells).collect()
}

/// The interval of the rate.
fn range(cell: &Cell) -> String {
    let ends = |it: Estimate| {
        let [low, high] = [it.low, it.high].map(number);
        format!("{low}–{high}")
    };
    cell.rate.map_or_else(|| NONE.into(), ends)
}

/// The signs at the end of a row; [`explanations`] has their meaning.
fn signs(cell: &Cell) -> String {
    let mut signs = signs_of(&cell.marks);
    if cell.limited_by.is_some() {
        signs.push("L".into());
    }
    if cell.failed > 0 {
        signs.push(format!("{} failed", count(cell.failed)));
    }
    signs.join(" ")
}

/// The sign of each kind of mark, once.
pub(super) fn signs_of(marks: &[Mark]) -> Vec<String> {
    let mut signs: Vec<String> = marks.iter().map(|mark| sign(mark).to_owned()).collect();
    signs.dedup();
    signs
}

fn sign(mark: &Mark) -> &'static str {
    match mark {
        Mark::GeneratorLimited(_) => "G",
        Mark::ServerFailed(_) => "!",
        Mark::NoReplies { .. } => "0",
        Mark::ConnectionsLost(_) => "C",
    }
}

/// Whether two marks have the same kind of reason.
fn is_alike(one: &Mark, other: &Mark) -> bool {
    match (one, other) {
        (Mark::GeneratorLimited(one), Mark::GeneratorLimited(other)) => {
            discriminant(one) == discriminant(other)
        }
        (Mark::NoReplies { .. }, Mark::NoReplies { .. })
        | (Mark::ConnectionsLost(_), Mark::ConnectionsLost(_)) => true,
        (one, other) => one == other,
    }
}

/// The meaning of the signs: the sign, the cell, and the reason. Cells with the same kind of reason share a line.
pub(super) fn explanations(comparison: &Comparison) -> Vec<[String; 3]> {
    let cells = || comparison.cells_of_all().into_iter().chain(comparison.latency_of_all());
    let name = |cell: &Cell| {
        let load = cell.load.name();
        let (connections, model) = (connections(cell.connections.into()), cell.model.name());
        format!("{}, {connections}, {model}, {load}", cell.workload.name())
    };
    let of_cells = cells().flat_map(|cell| cell.marks.iter().map(move |mark| (name(cell), mark)));
    let of_stacks = comparison.stacks.iter().flat_map(|stack| {
        let name = format!("threads with stacks of {}", bytes(stack.stack_bytes as u64));
        stack.marks.iter().map(move |mark| (name.clone(), mark))
    });
    let mut kinds: Vec<(&Mark, String, usize)> = Vec::new();
    for (name, mark) in of_cells.chain(of_stacks) {
        match kinds.iter_mut().find(|(other, ..)| is_alike(other, mark)) {
            Some((.., count)) => *count += 1,
            None => kinds.push((mark, name, 1)),
        }
    }
    let marked = kinds.into_iter().map(|(mark, first, count)| {
        let where_from = if count == 1 { first } else { format!("{count} cells, the first {first}") };
        [sign(mark).into(), where_from, mark.to_string()]
    });
    let stopped = cells().filter_map(|cell| {
        let limit = cell.limited_by.as_ref()?;
        Some([
            "L".into(),
            name(cell),
            format!("{} were open, limited by {limit}", optional(cell.opened, rounded)),
        ])
    });
    marked.chain(stopped).collect()
}

/// The verdicts on all servers, each workload after the other, with the names of both servers if there are further ones.
pub(super) fn verdicts(comparison: &Comparison) -> Vec<(String, &WorkloadVerdict)> {
    let of = |workload: Workload| {
        let is_of = move |verdict: &&WorkloadVerdict| verdict.workload == workload;
        let rival = if comparison.further.is_empty() { "" } else { ", loop and threads" };
        let of_threads = comparison.verdicts.iter().filter(is_of).map(|verdict| (rival.to_owned(), verdict));
        let further = comparison.further.iter().flat_map(move |further| {
            let verdicts = further.verdicts.iter().filter(is_of);
            verdicts.map(|verdict| (format!(", loop and {}", further.name.name()), verdict))
        });
        of_threads.chain(further)
    };
    comparison.settings.workloads.iter().flat_map(|workload| of(*workload)).collect()
}

/// What was not measured, a line for each reason.
pub(super) fn not_measured(comparison: &Comparison) -> Vec<String> {
    let reasons = [SkipReason::TimeLimit, SkipReason::Interrupted, SkipReason::NoRate];
    let line = |why: SkipReason| {
        let names: Vec<&str> =
            comparison.not_measured.iter().filter(|it| it.why == why).map(|it| &it.scenario[..]).collect();
        let what = match names[..] {
            [] => return None,
            [one] => one.to_owned(),
            [first, .., last] => format!("{} scenarios, from {first} to {last}", names.len()),
        };
        Some(format!("not measured, {why}: {what}"))
    };
    reasons.into_iter().filter_map(line).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, to three digits")]
pub(super) fn in_bytes(number: f64) -> String {
    if number < 0.0 { NONE.into() } else { bytes(number.round() as u64) }
}
