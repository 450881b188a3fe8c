//! The tables of a run.

use crate::load::stats::summary::{Bytes, Datagrams, Failure, Generator, Latency, LoadModel, Summary};
use crate::report::format::{NONE, bytes, count, optional, rate, share, time_us};
use crate::report::page::{Column, Table};

/// Every percentile of every latency.
pub(super) fn latencies(summary: &Summary) -> Table<'static> {
    let row = |name: &str, latency: &Latency| {
        let Latency { p50, p90, p99, p99_9, p99_99, max, mean, count: samples } = *latency;
        let mut row = vec![name.to_owned()];
        row.extend([p50, p90, p99, p99_9, p99_99, max, mean].map(|value| optional(value, time_us)));
        row.push(count(samples));
        row
    };
    let latency = &summary.latency_us;
    let mut rows = vec![
        row("response", &latency.response),
        row("service", &latency.service),
        row("connect", &latency.connect),
    ];
    if summary.load_model == LoadModel::Open {
        let lag = &summary.schedule_lag_us;
        let mut row = vec!["schedule lag".to_owned()];
        let percentiles = [lag.p50, None, lag.p99, lag.p99_9, None, lag.max, None];
        row.extend(percentiles.map(|value| optional(value, time_us)));
        row.push(NONE.into());
        rows.push(row);
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
        note: "– where there are too few samples to tell: a percentile needs ten above it.",
    }
}

/// What became of the messages.
pub(super) fn messages(summary: &Summary) -> Table<'static> {
    let messages = &summary.messages;
    let row = |name: &str, n: u64| account(name, n, messages.sent);
    Table {
        title: "Messages: sent = acknowledged + failed + unanswered",
        columns: ACCOUNT,
        rows: vec![
            row("sent", messages.sent),
            row("acknowledged", messages.acknowledged),
            row("failed", messages.failed),
            row("unanswered", messages.unanswered),
        ],
        note: "Failed: answered wrongly, or on a connection that broke before the answer. Unanswered: when the \
               run was over.",
    }
}

/// What became of the datagrams.
pub(super) fn datagrams(datagrams: &Datagrams) -> Table<'static> {
    let row = |name: &str, n: u64| account(name, n, datagrams.sent);
    let beside = |name: &str, n: u64| vec![name.to_owned(), count(n), String::new()];
    let kernel = &datagrams.kernel;
    Table {
        title: "Datagrams: sent = answered + late + lost",
        columns: ACCOUNT,
        rows: vec![
            row("sent", datagrams.sent),
            row("answered", datagrams.answered),
            row("late", datagrams.late),
            row("lost", datagrams.lost),
            beside("answers that came again", datagrams.duplicate),
            beside("dropped by this host: no room to receive", kernel.receive_buffer),
            beside("of these, by sockets of the generator", kernel.own_receive_buffer),
            beside("of these, by that of the server", kernel.server_receive_buffer),
            beside("dropped by this host: no room to send", kernel.send_buffer),
            beside("dropped by this host: nobody listened", kernel.no_port),
        ],
        note: "What the host dropped is counted by its kernel, for all programs.",
    }
}

/// How opening went.
pub(super) fn connections(summary: &Summary) -> Table<'static> {
    let connections = &summary.connections;
    let row = |name: &str, n: u64| account(name, n, connections.asked);
    let beside = |name: &str, text: String| vec![name.to_owned(), text, String::new()];
    Table {
        title: "Connections",
        columns: ACCOUNT,
        rows: vec![
            row("asked for", connections.asked),
            row("opened", connections.opened),
            row("could not be opened", connections.failed),
            row("lost before the end", connections.lost),
            row("slow to open, a second or more", connections.slow),
            beside("opened in", time_us(connections.open_seconds * 1e6)),
            beside("opened a second", rate(connections.open_rate)),
            beside(
                "limited by",
                connections.limited_by.map_or_else(|| NONE.into(), |limit| limit.to_string()),
            ),
        ],
        note: "",
    }
}

/// What went wrong.
pub(super) fn failures(failures: &[Failure]) -> Table<'static> {
    let row =
        |failure: &Failure| vec![failure.reason.to_string(), count(failure.count), failure.first.clone()];
    Table {
        title: "Failures",
        columns: &[Column::Text("reason"), Column::Numbers("how often"), Column::Text("the first")],
        rows: failures.iter().map(row).collect(),
        note: "",
    }
}

/// What the run cost this process.
pub(super) fn generator(generator: &Generator) -> Table<'static> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, and few of them")]
    let memory = generator.bytes_per_connection.map(|each| bytes(each.round() as u64));
    list(
        "Cost",
        [
            ("processor time", time_us(generator.cpu_seconds * 1e6)),
            ("busy, share of the time", share(generator.busy)),
            ("resident memory at the end", bytes(generator.rss_bytes)),
            ("memory a connection", memory.unwrap_or_else(|| NONE.into())),
        ],
    )
}

/// Bytes that were moved.
pub(super) fn traffic(moved: &Bytes) -> Table<'static> {
    let rows = [("sent", bytes(moved.sent)), ("received", bytes(moved.received))];
    Table { note: "Headers of the protocol included, those of the network not.", ..list("Traffic", rows) }
}

/// A table of names and values.
fn list<const ROWS: usize>(title: &'static str, rows: [(&str, String); ROWS]) -> Table<'static> {
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Table { title, columns: &[Column::Text(""), Column::Numbers("")], rows, note: "" }
}

/// A line of an account: how many, and what share of `all` that is.
fn account(name: &str, n: u64, all: u64) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
    let of_all = (all > 0).then(|| n as f64 / all as f64);
    vec![name.to_owned(), count(n), optional(of_all, share)]
}

const ACCOUNT: &[Column<'static>] = &[Column::Text(""), Column::Numbers("count"), Column::Numbers("share")];
