//! Tables of runs of all kinds, and of merged logs.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::merge::merge;
use crate::load::sources::SourceUse;
use crate::load::stats::ending::{EndedEarly, Failed, Stage};
use crate::load::stats::histogram_log::IntervalLog;
use crate::load::stats::idle_probe::{ProbeGroup, ProbeResult};
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::latency::Lag;
use crate::load::stats::summary::{
    Connections, DatagramDrops, Datagrams, Failure, Latencies, LoadModel, Messages,
};
use crate::load::stats::times::Times;
use crate::report::utc_time::UtcTime;
use hdrhistogram::Histogram;

fn plain(of: &Summary) -> String {
    summary(of, None, false)
}

fn assert_contains(table: &str, line: &str) {
    assert!(table.lines().any(|found| found == line), "{line}\nis not in\n{table}");
}

#[test]
fn a_run_is_shown_in_lines() {
    let expected = "\
message=127.0.0.1:9999, closed loop, 10 s

connections  10,000 requested: 10,000 opened, 0 failed; 0 lost; opened in 420 ms, 23,810/s
messages     50,000 sent: 50,000 acknowledged, 0 failed, 0 unanswered
rate         5,000/s acknowledged
bytes        4.29 MiB (439 KiB/s) sent, 4.58 MiB (469 KiB/s) received
generator    3.25 s of CPU, busy 32.5 %, 12 MiB of memory, 48 B per connection

latency      p50      p90     p99   p99.9  p99.99     max    mean  samples
response  870 µs  1.24 ms  2.4 ms  4.1 ms       –  7.2 ms  912 µs   50,000
service   870 µs  1.24 ms  2.4 ms  4.1 ms       –  7.2 ms  912 µs   50,000
connect   870 µs  1.24 ms  2.4 ms  4.1 ms       –  7.2 ms  912 µs   10,000

generator: ok
";
    assert_eq!(plain(&Summary::sample()), expected);
}

#[test]
fn lags_datagrams_limits_and_failures_have_their_own_lines() {
    let table = plain(&with_failures());
    for line in [
        "message=127.0.0.1:9999, open loop, 10 s",
        "connections  10,000 requested: 9,998 opened, 2 failed; 0 lost; opened in 420 ms, 23,810/s; limited by backlog",
        "rate         5,000/s acknowledged, 5,100/s offered",
        "datagrams    1,000 sent: 990 answered, 3 late, 7 lost; 1 duplicate",
        "lag        12 µs        –  140 µs       –       –  2.4 ms       –        –",
        "failures           count  first",
        "wrong reply        1,234  received: \\u{1b}[2J\\n",
        "no answer in time  3      socket 1: no answer",
    ] {
        assert_contains(&table, line);
    }
    assert!(table.ends_with(
        "\n\ngenerator: not ok: the generator could not keep up: 7 messages were due and never sent\n"
    ));
}

#[test]
fn a_narrow_terminal_wraps_text_and_not_numbers() {
    let table = summary(&with_failures(), Some(60), false);
    assert_contains(&table, "             lost; opened in 420 ms, 23,810/s; limited by");
    assert_contains(&table, "connect   870 µs  1.24 ms  2.4 ms  4.1 ms       –  7.2 ms  912 µs   10,000");
    let facts = table.lines().take_while(|line| !line.starts_with("latency"));
    assert!(facts.into_iter().all(|line| line.chars().count() <= 60), "{table}");
}

#[test]
fn colors_only_add_to_the_text_and_no_line_ends_with_a_space() {
    let colored = summary(&with_failures(), None, true);
    assert!(colored.contains("\x1b[31mgenerator: not ok: "));
    let codes = ["\x1b[0m", "\x1b[1m", "\x1b[31m"];
    let stripped = codes.iter().fold(colored, |text, code| text.replace(code, ""));
    assert_eq!(stripped, plain(&with_failures()));
    assert!(stripped.lines().all(|line| line == line.trim_end()));
}

#[test]
fn held_connections_have_no_lines_about_messages() {
    let mut of = Summary::sample();
    of.endpoint = "hold=192.0.2.1:443".parse().unwrap();
    of.load_model = LoadModel::Hold;
    of.messages = Messages::default();
    (of.latency_us.response, of.latency_us.service) = (Latency::default(), Latency::default());
    let expected = "\
hold=192.0.2.1:443, held, 10 s

connections  10,000 requested: 10,000 opened, 0 failed; 0 lost; opened in 420 ms, 23,810/s
generator    3.25 s of CPU, busy 32.5 %, 12 MiB of memory, 48 B per connection

latency     p50      p90     p99   p99.9  p99.99     max    mean  samples
connect  870 µs  1.24 ms  2.4 ms  4.1 ms       –  7.2 ms  912 µs   10,000

generator: ok
";
    assert_eq!(plain(&of), expected);
}

#[test]
fn a_run_that_opened_nothing_has_no_duration() {
    let mut of = Summary::sample();
    (of.duration_seconds, of.connections.opened) = (0.0, 0);
    assert!(plain(&of).starts_with("message=127.0.0.1:9999, closed loop, no connection was opened\n"));
    of.connections.opened = 1;
    assert!(plain(&of).starts_with("message=127.0.0.1:9999, closed loop, nothing was measured\n"));
}

#[test]
fn a_failure_and_an_early_end_come_first() {
    let mut of = Summary::sample();
    (of.ended_early, of.ended_in) = (Some(EndedEarly::ServerGone), Some(Stage::Measuring));
    (of.failed, of.duration_seconds) = (Some(Failed::ServerGone), 0.949);
    let first = |of: &Summary| plain(of).lines().take(3).map(String::from).collect::<Vec<_>>();
    let title = "message=127.0.0.1:9999, closed loop, 949 ms";
    assert_eq!(first(&of), ["failed: ended early at 949 ms of 10 s: the server went away", title, ""]);
    of.failed = Some(Failed::NothingAcknowledged);
    (of.messages.acknowledged, of.messages.failed) = (0, 50_000);
    let failure = "failed: nothing was acknowledged, 50,000 sent: 50,000 failed, 0 unanswered";
    assert_eq!(first(&of), [failure, "ended early at 949 ms of 10 s: the server went away", title]);
    (of.failed, of.ended_early) = (None, Some(EndedEarly::Interrupted));
    assert_eq!(first(&of), ["interrupted at 949 ms of 10 s", title, ""]);
}

#[test]
fn a_run_that_opened_nothing_has_no_table_of_zeros() {
    let mut of = Summary::sample();
    of.connections = Connections { asked: 200, failed: 129, not_tried: 71, ..Connections::default() };
    of.connections.limited_by = Some(OpenLimit::Refused);
    let localhost = "127.0.0.1".parse().unwrap();
    of.connections.sources =
        vec![SourceUse { first: localhost, last: localhost, addresses: 1, connections: 129 }];
    (of.messages, of.latency_us) = (Messages::default(), Latencies::default());
    of.duration_seconds = 0.0;
    (of.ended_early, of.ended_in) = (Some(EndedEarly::GaveUp), Some(Stage::Opening));
    of.failed = Some(Failed::NoConnection);
    let first = String::from("connection 1: Connection refused (os error 111)");
    of.failures = vec![Failure { reason: ErrorKind::Refused, count: 129, first }];
    let expected = "\
failed: no connection could be opened
opening ended early: gave up after 100 consecutive failures to connect
message=127.0.0.1:9999, closed loop, no connection was opened

connections  200 requested: 0 opened, 129 failed, 71 not tried; limited by refused

failures            count  first
connection refused  129    connection 1: Connection refused (os error 111)

generator: ok
";
    assert_eq!(plain(&of), expected);
}

#[test]
fn messages_that_were_never_sent_are_counted() {
    let mut of = Summary::sample();
    of.messages.never_sent = 1050;
    let line = "messages     50,000 sent: 50,000 acknowledged, 0 failed, 0 unanswered; 1,050 never sent";
    assert_contains(&plain(&of), line);
}

#[test]
fn a_run_without_messages_has_a_table() {
    let mut of = Summary::sample();
    (of.latency_us, of.messages) = (Latencies::default(), Messages::default());
    of.duration_seconds = 0.0;
    of.generator.bytes_per_connection = None;
    of.generator.spin_seconds = 1.5;
    let expected = "\
message=127.0.0.1:9999, closed loop, nothing was measured

connections  10,000 requested: 10,000 opened, 0 failed; 0 lost; opened in 420 ms, 23,810/s
generator    3.25 s of CPU (1.5 s spinning), busy 32.5 %, 12 MiB of memory

generator: ok
";
    assert_eq!(plain(&of), expected);
    of.messages.sent = 1;
    assert_contains(&plain(&of), "bytes        4.29 MiB sent, 4.58 MiB received");
}

#[test]
fn merged_logs_have_a_row_for_each_tag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hlog");
    let mut histogram = Histogram::new(3).unwrap();
    histogram.record_n(2_000_000, 1000).unwrap();
    let mut file = Vec::new();
    let mut log = IntervalLog::new(&mut file, UtcTime::since_epoch(Duration::ZERO), None).unwrap();
    let times = Times { response: histogram.clone(), service: histogram, ..Times::new() };
    log.append(Duration::ZERO, Duration::from_secs(1), &times, false).unwrap();
    let other = String::from_utf8(file).unwrap().replace("Tag=service", "Tag=a\u{1b}z");
    std::fs::File::create(&path).unwrap().write_all(other.as_bytes()).unwrap();
    let expected = "\
2 intervals of 1 log over 1 s

latency    p50   p90   p99  p99.9  p99.99   max  mean  samples
response  2 ms  2 ms  2 ms      –       –  2 ms  2 ms    1,000
a\\u{1b}z  2 ms  2 ms  2 ms      –       –  2 ms  2 ms    1,000
";
    let mut log = merge(&[&path]).unwrap();
    assert_eq!(merged(&log, None, false), expected);
    log.times.ignored = vec!["a.hlog: line 9: cut".into()];
    assert_eq!(merged(&log, None, false), format!("incomplete: a.hlog: line 9: cut\n{expected}"));
}

#[test]
fn tags_of_some_logs_are_marked() {
    let sum = MergedRuns::sample(&[(RESPONSE, 2, 2_000_000), (LAG, 1, 1000)]);
    let table = merged(&sum, None, false);
    let names: Vec<&str> = table.lines().skip(3).map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["response", "lag (1 of 2 logs)"]);
}

fn with_failures() -> Summary {
    let mut of = Summary::sample();
    of.load_model = LoadModel::Open;
    of.messages.offered_rate = Some(5100.0);
    of.connections.failed = 2;
    of.connections.opened = 9998;
    of.connections.limited_by = Some(OpenLimit::Backlog);
    of.schedule_lag_us = Lag { p50: Some(12.0), p99: Some(140.0), p99_9: None, max: Some(2400.0) };
    of.datagrams = Some(Datagrams {
        sent: 1000,
        answered: 990,
        late: 3,
        lost: 7,
        duplicate: 1,
        kernel: DatagramDrops {
            receive_buffer: 5,
            own_receive_buffer: 2,
            server_receive_buffer: 3,
            send_buffer: 0,
            no_port: 1,
        },
    });
    of.failures = vec![
        Failure { reason: ErrorKind::WrongReply, count: 1234, first: "received: \\u{1b}[2J\\n".into() },
        Failure { reason: ErrorKind::ReplyTimeout, count: 3, first: "socket 1: no answer".into() },
    ];
    of.valid = false;
    of.why_invalid = Some(InvalidReason::NeverSent(7));
    of
}

#[test]
fn an_idle_probe_has_its_answer_first_and_a_row_for_each_silence() {
    let answer = "connections die silently after between 10 s and 5 min".into();
    let mut of = Summary::sample();
    of.load_model = LoadModel::Probe;
    of.idle_probe = Some(ProbeResult {
        answer,
        groups: vec![ProbeGroup::sample(10.0, 250), ProbeGroup::sample(300.0, 0)],
        ..ProbeResult::default()
    });
    let table = plain(&of);
    let title =
        "message=127.0.0.1:9999, idle probe, 10 s\nconnections die silently after between 10 s and 5 min\n\n";
    assert!(table.starts_with(title), "{table}");
    for line in [
        "silence  connections  probed  alive  dead  how",
        "   10 s          250     250    250     0",
        "  5 min          250     250      0   250  250 silently",
    ] {
        assert_contains(&table, line);
    }
    assert!(!table.contains("\nrate "), "messages are not sent at a rate: {table}");
}
