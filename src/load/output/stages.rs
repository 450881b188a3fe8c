//! The stages of a run as rows, for the table and the page.

use crate::load::stats::stages::StageRow;
use crate::report::format::{NONE, count, optional, rate, share, time_us};

/// The names of the columns.
pub(crate) const COLUMNS: [&str; 11] =
    ["stage", "time", "opened", "sent", "acknowledged", "failed", "rate", "p50", "p99", "max", "generator"];

/// The cells of the stage `number`, from 1. The times are response times, or in the opening times to connect.
pub(crate) fn cells(number: usize, row: &StageRow) -> [String; 11] {
    let is_opening = row.settings.iter().any(|setting| setting.option == "open_rate");
    let settings: Vec<String> =
        row.settings.iter().map(|it| format!("{} {}", it.option.replace('_', "-"), it.value)).collect();
    let name = format!("{number}: {}", settings.join(", "));
    if row.began_seconds.is_none() {
        let none = || NONE.to_owned();
        let generator = "not reached".into();
        return [name, none(), none(), none(), none(), none(), none(), none(), none(), none(), generator];
    }
    let messages = |number: u64| if is_opening { NONE.into() } else { count(number) };
    let latency = if is_opening { &row.latency_us.connect } else { &row.latency_us.response };
    let busy = row.busy.map_or_else(String::new, |busy| format!(", busy {}", share(busy)));
    [
        name,
        time_us(row.measured_seconds * 1e6),
        count(row.opened),
        messages(row.sent),
        messages(row.acknowledged),
        messages(row.failed),
        if is_opening { NONE.into() } else { rate(row.rate) },
        optional(latency.p50, time_us),
        optional(latency.p99, time_us),
        optional(latency.max, time_us),
        format!("{}{busy}", if row.valid { "ok" } else { "not ok" }),
    ]
}

/// Why the generator of a stage was not ok, a line for each such stage.
pub(crate) fn reasons(rows: &[StageRow]) -> Vec<String> {
    let of_row = |(index, row): (usize, &StageRow)| {
        row.why_invalid.as_ref().map(|why| format!("stage {}, not ok: {why}", index + 1))
    };
    rows.iter().enumerate().filter_map(of_row).collect()
}

/// What a reader must know of the rows.
pub(crate) const NOTE: &str = "Messages belong to the stage in which they were due, however late they were answered; failures and the rate of \
     acknowledged messages to that in which they happened. In stages of the opening, times are those to connect.";
