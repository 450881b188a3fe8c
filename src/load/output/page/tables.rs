//! The tables of a run.

use crate::load::stats::latency::Latency;
use crate::load::stats::summary::{Bytes, Datagrams, Failure, Generator, Latencies, LoadModel, Summary};
use crate::report::format::{NONE, bytes, count, optional, rate, share, time_us};
use crate::report::page::{Column, Table};
use crate::units::float;

/// All percentiles of all latencies.
pub(super) fn latencies(summary: &Summary) -> Table<'static> {
    let row = |name: &str, of: &Latency, samples: String| {
        let times = [of.p50, of.p90, of.p99, of.p99_9, of.p99_99, of.max, of.mean];
        let times = times.into_iter().map(|value| optional(value, time_us));
        [name.to_owned()].into_iter().chain(times).chain([samples]).collect::<Vec<_>>()
    };
    let Latencies { response, service, connect } = &summary.latency_us;
    let of_each = [("response", response), ("service", service), ("connect", connect)];
    let mut rows: Vec<_> = of_each.map(|(name, of)| row(name, of, count(of.count))).into();
    if summary.load_model == LoadModel::Open {
        rows.push(row("schedule lag", &(&summary.schedule_lag_us).into(), NONE.into()));
    }
    Table {
        title: "Latencies",
        columns: &[
            Column::Text(""),
            Column::Numbers("p50"),
            Column::Numbers("p90"),
            Column::Numbers("p99"),
            Column::Numbers("p99.9"),
            Column::Numbers("p99.99"),
            Column::Numbers("largest"),
            Column::Numbers("mean"),
            Column::Numbers("samples"),
        ],
        rows,
        note: "– if there are too few samples: a percentile requires ten above it.",
    }
}

/// The counts of messages.
pub(super) fn messages(summary: &Summary) -> Table<'static> {
    let messages = &summary.messages;
    let row = |name: &str, n: u64| counted(name, n, messages.sent);
    Table {
        title: "Messages: sent = acknowledged + failed + unanswered",
        columns: COUNTS,
        rows: vec![
            row("sent", messages.sent),
            row("acknowledged", messages.acknowledged),
            row("failed", messages.failed),
            row("unanswered", messages.unanswered),
            vec!["due and never sent".into(), count(messages.never_sent), String::new()],
        ],
        note: "Failed: answered wrongly, or on a connection that ended before the answer. Unanswered: not answered \
               when the run was over.",
    }
}

/// The counts of datagrams.
pub(super) fn datagrams(datagrams: &Datagrams) -> Table<'static> {
    let row = |name: &str, n: u64| counted(name, n, datagrams.sent);
    let beside = |name: &str, n: u64| vec![name.to_owned(), count(n), String::new()];
    let kernel = &datagrams.kernel;
    Table {
        title: "Datagrams: sent = answered + late + lost",
        columns: COUNTS,
        rows: vec![
            row("sent", datagrams.sent),
            row("answered", datagrams.answered),
            row("late", datagrams.late),
            row("lost", datagrams.lost),
            beside("answers received again", datagrams.duplicate),
            beside("dropped by this host: receive buffer full", kernel.receive_buffer),
            beside("of these, at sockets of the generator", kernel.own_receive_buffer),
            beside("of these, at the socket of the server", kernel.server_receive_buffer),
            beside("dropped by this host: send buffer full", kernel.send_buffer),
            beside("dropped by this host: no socket at the port", kernel.no_port),
        ],
        note: "The kernel of the host counts the dropped datagrams of all programs.",
    }
}

/// The counts of connections.
pub(super) fn connections(summary: &Summary) -> Table<'static> {
    let connections = &summary.connections;
    let row = |name: &str, n: u64| counted(name, n, connections.asked);
    let beside = |name: &str, text: String| vec![name.to_owned(), text, String::new()];
    Table {
        title: "Connections",
        columns: COUNTS,
        rows: vec![
            row("requested", connections.asked),
            row("opened", connections.opened),
            row("could not be opened", connections.failed),
            row("not tried", connections.not_tried),
            row("lost before the end", connections.lost),
            row("slow to open, a second or more", connections.slow),
            beside("opened in", time_us(connections.open_seconds * 1e6)),
            beside("opened per second", rate(connections.open_rate)),
            beside(
                "limited by",
                connections.limited_by.map_or_else(|| NONE.into(), |limit| limit.to_string()),
            ),
        ],
        note: "",
    }
}

/// The errors by kind.
pub(super) fn failures(failures: &[Failure]) -> Table<'static> {
    let row =
        |failure: &Failure| vec![failure.reason.to_string(), count(failure.count), failure.first.clone()];
    Table {
        title: "Failures",
        columns: &[Column::Text("reason"), Column::Numbers("count"), Column::Text("first")],
        rows: failures.iter().map(row).collect(),
        note: "",
    }
}

/// Resources used by this process.
pub(super) fn generator(generator: &Generator) -> Table<'static> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, and few of them")]
    let memory = generator.bytes_per_connection.map(|each| bytes(each.round() as u64));
    list(
        "Resources",
        [
            ("CPU time", time_us(generator.cpu_seconds * 1e6)),
            ("busy, share of the time", share(generator.busy)),
            ("resident memory at the end", bytes(generator.rss_bytes)),
            ("memory per connection", memory.unwrap_or_else(|| NONE.into())),
        ],
    )
}

/// Bytes sent and received.
pub(super) fn traffic(moved: &Bytes) -> Table<'static> {
    let rows = [("sent", bytes(moved.sent)), ("received", bytes(moved.received))];
    Table { note: "With the headers of the protocol, without those of the network.", ..list("Traffic", rows) }
}

/// A table of names and values.
fn list<const ROWS: usize>(title: &'static str, rows: [(&str, String); ROWS]) -> Table<'static> {
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Table { title, columns: &[Column::Text(""), Column::Numbers("")], rows, note: "" }
}

/// A row of counts: `n`, and its share of `all`.
fn counted(name: &str, n: u64, all: u64) -> Vec<String> {
    let of_all = (all > 0).then(|| float(n) / float(all));
    vec![name.to_owned(), count(n), optional(of_all, share)]
}

const COUNTS: &[Column<'static>] = &[Column::Text(""), Column::Numbers("count"), Column::Numbers("share")];
