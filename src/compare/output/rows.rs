//! The rows that the text and the page have in common, and the meaning of the signs in them.

use std::mem::discriminant;

use crate::compare::analysis::statistics::Estimate;
use crate::compare::plan::model_name;
use crate::compare::result::{Cell, Comparison, Mark, Memory};
use crate::load::stats::invalid::InvalidReason;
use crate::report::format::{
    NONE, bytes, connections, count, number, optional, rate, rounded, share, time_us,
};

/// A column of cells: its name in the text, its name on the page, and its value. It is left out where it has no name.
type CellColumn = (Option<&'static str>, Option<&'static str>, CellValue);

/// The value of a cell in a column, as it is shown.
pub(super) type CellValue = fn(&Cell) -> String;

pub(super) const COLUMNS: [CellColumn; 16] = [
    (Some("conns"), Some("connections"), |cell| count(cell.connections.into())),
    (Some("model"), Some("model"), |cell| model_name(cell.model).into()),
    (Some("offered"), None, |cell| offered(cell, "/s")),
    (None, Some("offered"), |cell| offered(cell, "")),
    (Some("rate"), Some("rate"), |cell| median(cell.rate, rate)),
    (Some("from–to"), Some("from–to"), range),
    (Some("CPU/msg"), Some("CPU per message"), |cell| median(cell.cpu_us_per_message, time_us)),
    (Some("p50"), Some("p50"), |cell| median(cell.p50_us, time_us)),
    (Some("p99"), Some("p99"), |cell| median(cell.p99_us, time_us)),
    (Some("p99.9"), Some("p99.9"), |cell| median(cell.p99_9_us, time_us)),
    (Some("threads"), Some("threads"), |cell| median(cell.threads, rounded)),
    (Some("switches/s"), Some("switches/s"), |cell| median(cell.voluntary_switches, rounded)),
    (Some("forced/s"), Some("forced/s"), |cell| median(cell.involuntary_switches, rounded)),
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

/// Memory per connection of a model.
pub(super) fn memory_row(it: &Memory) -> Vec<String> {
    let cells = [it.user_bytes, it.kernel_stack_bytes, it.slab_bytes].map(|it| optional(it, in_bytes));
    [model_name(it.model).to_owned()].into_iter().chain(cells).collect()
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
pub(super) fn explanations(comparison: &Comparison) -> Vec<[String; 3]> {
    let cells = || comparison.cells.iter().chain(&comparison.latency_by_rate);
    let name = |cell: &Cell| {
        let load = cell.load.name();
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

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, to three digits")]
pub(super) fn in_bytes(number: f64) -> String {
    if number < 0.0 { NONE.into() } else { bytes(number.round() as u64) }
}
