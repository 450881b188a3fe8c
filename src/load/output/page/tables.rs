//! The tables of a run.

use crate::load::merge::CountedFailure;
use crate::load::output::{stages, wording};
use crate::load::stats::latency::Latency;
use crate::load::stats::stages::StageRow;
use crate::load::stats::summary::{Bytes, Datagrams, Generator, Heartbeats, Latencies, LoadModel, Summary};
use crate::report::format::{NONE, bytes, count, optional, rate, share, time_us};
use crate::report::page::{Column, Table};
use crate::units::float;

/// All percentiles of all latencies. `is_service_equal`: each response time is also the service time.
pub(super) fn latencies(summary: &Summary, is_service_equal: bool) -> Table<'static> {
    let Latencies { response, service, connect } = &summary.latency_us;
    let lag = Latency::from(&summary.schedule_lag_us);
    let measured = [
        (if is_service_equal { "response, service" } else { "response" }, Some(response)),
        ("service", (!is_service_equal).then_some(service)),
        ("lag", (summary.load_model == LoadModel::Open).then_some(&lag)),
        ("connect", (connect.count > 0).then_some(connect)),
        ("heartbeat", summary.heartbeats.as_ref().map(|of| &of.latency_us)),
    ];
    let measured = measured.into_iter().filter_map(|(name, of)| Some((name, of?)));
    percentiles("Latencies", &measured.collect::<Vec<_>>())
}

/// All percentiles of the time to connect.
pub(super) fn connect(summary: &Summary) -> Table<'static> {
    percentiles("Time to connect", &[("connect", &summary.latency_us.connect)])
}

/// A column for each of `measured`.
pub(super) fn percentiles<'a>(title: &'a str, measured: &[(&'a str, &Latency)]) -> Table<'a> {
    type Pick = fn(&Latency) -> Option<f64>;
    let picks: [(&str, Pick); 7] = [
        ("p50", |of| of.p50),
        ("p90", |of| of.p90),
        ("p99", |of| of.p99),
        ("p99.9", |of| of.p99_9),
        ("p99.99", |of| of.p99_99),
        ("largest", |of| of.max),
        ("mean", |of| of.mean),
    ];
    let row = |name: &str, cell: &dyn Fn(&Latency) -> String| {
        [name.to_owned()].into_iter().chain(measured.iter().map(|(_, of)| cell(of))).collect::<Vec<_>>()
    };
    let times = picks.iter().map(|(name, pick)| row(name, &|of| optional(pick(of), time_us)));
    let samples = row("samples", &|of| if of.count == 0 { NONE.into() } else { count(of.count) });
    let names = measured.iter().map(|(name, _)| Column::Numbers(name));
    Table {
        title,
        columns: [Column::Text("")].into_iter().chain(names).collect(),
        rows: times.chain([samples]).collect(),
        note: "– if there are too few samples: a percentile requires ten above it.",
    }
}

/// The counts of messages.
pub(super) fn messages(summary: &Summary) -> Table<'static> {
    let of = &summary.messages;
    let mut table = outcomes(
        "Messages: sent = acknowledged + failed + unanswered",
        [of.sent, of.acknowledged, of.failed, of.unanswered],
        "Failed: answered wrongly, or on a connection that ended before the answer. Unanswered: not answered when \
         the run was over.",
    );
    table.rows.push(beside("due and never sent", count(of.never_sent)));
    table
}

/// The counts of heartbeats.
pub(super) fn heartbeats(of: &Heartbeats) -> Table<'static> {
    outcomes(
        "Heartbeats: sent = acknowledged + failed + unanswered",
        [of.sent, of.acknowledged, of.failed, of.unanswered],
        "Of the messages, those of connections that are not active.",
    )
}

/// How many were sent, acknowledged, failed, and not answered.
fn outcomes(title: &'static str, counts: [u64; 4], note: &'static str) -> Table<'static> {
    let names = ["sent", "acknowledged", "failed", "unanswered"];
    let rows = names.into_iter().zip(counts).map(|(name, n)| counted(name, n, counts[0])).collect();
    Table { title, columns: COUNTS.into(), rows, note }
}

/// The counts of datagrams.
pub(super) fn datagrams(datagrams: &Datagrams) -> Table<'static> {
    let row = |name: &str, n: u64| counted(name, n, datagrams.sent);
    let kernel = &datagrams.kernel;
    Table {
        title: "Datagrams: sent = answered + late + lost",
        columns: COUNTS.into(),
        rows: vec![
            row("sent", datagrams.sent),
            row("answered", datagrams.answered),
            row("late", datagrams.late),
            row("lost", datagrams.lost),
            beside("answers received again", count(datagrams.duplicate)),
            beside("dropped by this host: receive buffer full", count(kernel.receive_buffer)),
            beside("of these, at sockets of the generator", count(kernel.own_receive_buffer)),
            beside("of these, at the socket of the server", count(kernel.server_receive_buffer)),
            beside("dropped by this host: send buffer full", count(kernel.send_buffer)),
            beside("dropped by this host: no socket at the port", count(kernel.no_port)),
        ],
        note: "The kernel of the host counts the dropped datagrams of all programs.",
    }
}

/// The counts of connections, of this number of generators.
pub(super) fn connections(summary: &Summary, generators: usize) -> Table<'static> {
    let connections = &summary.connections;
    let row = |name: &str, n: u64| counted(name, n, connections.asked);
    let mut rows = vec![
        row("requested", connections.asked),
        row("opened", connections.opened),
        row("could not be opened", connections.failed),
        row("not tried", connections.not_tried),
        row("lost before the end", connections.lost),
        row("slow to open, a second or more", connections.slow),
    ];
    let sources = wording::sources(connections).into_iter();
    rows.extend(sources.map(|(connections, source)| beside(&format!("requested {source}"), connections)));
    let [time, per_second] = match generators {
        1 => ["opened in", "opened per second"],
        _ => ["opened in, the longest", "opened per second, the sum"],
    };
    rows.extend([
        beside(time, time_us(connections.open_seconds * 1e6)),
        beside(per_second, rate(connections.open_rate)),
        beside("limited by", connections.limited_by.map_or_else(|| NONE.into(), |limit| limit.to_string())),
    ]);
    Table { title: "Connections", columns: COUNTS.into(), rows, note: "" }
}

/// The stages.
pub(super) fn stages(rows: &[StageRow]) -> Table<'static> {
    let [first, numbers @ .., last] = stages::COLUMNS;
    // The names of two options in one line would leave no room on a narrow page.
    let has_short_names = rows.iter().all(|row| row.settings.len() == 1);
    let first = if has_short_names { Column::Short(first) } else { Column::Text(first) };
    let columns = [first].into_iter().chain(numbers.map(Column::Numbers));
    Table {
        title: "Stages",
        columns: columns.chain([Column::Short(last)]).collect(),
        rows: rows.iter().enumerate().map(|(index, row)| stages::cells(index + 1, row).into()).collect(),
        note: stages::NOTE,
    }
}

/// The errors by kind.
pub(super) fn failures(failures: &[CountedFailure]) -> Table<'static> {
    let row = |of: &CountedFailure| vec![of.reason.clone(), count(of.count), of.first.clone()];
    Table {
        title: "Failures",
        columns: vec![Column::Text("reason"), Column::Numbers("count"), Column::Text("first")],
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
            ("of it spinning until messages were due", time_us(generator.spin_seconds * 1e6)),
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
    Table { title, columns: vec![Column::Text(""), Column::Numbers("")], rows, note: "" }
}

/// A row of counts: `n`, and its share of `all`.
fn counted(name: &str, n: u64, all: u64) -> Vec<String> {
    let of_all = (all > 0).then(|| float(n) / float(all));
    vec![name.to_owned(), count(n), optional(of_all, share)]
}

/// A row with a value that is not a share of the others.
fn beside(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value, String::new()]
}

const COUNTS: [Column<'static>; 3] = [Column::Text(""), Column::Numbers("count"), Column::Numbers("share")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::sources::SourceUse;

    #[test]
    fn the_sources_of_connections_are_listed_if_one_was_opened() {
        let mut summary = Summary::sample();
        let first = "127.0.0.1".parse().unwrap();
        summary.connections.sources = vec![SourceUse { first, last: first, addresses: 1, connections: 129 }];
        let listed = |summary: &Summary| {
            let rows = connections(summary, 1).rows;
            rows.into_iter().find(|row| row[0] == "requested from 127.0.0.1").map(|row| row[1].clone())
        };
        assert_eq!(listed(&summary).as_deref(), Some("129"));
        summary.connections.opened = 0;
        assert_eq!(listed(&summary), None);
    }
}
