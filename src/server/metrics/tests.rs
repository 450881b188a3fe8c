//! The endpoint, without a socket.

use std::net::SocketAddr;

use super::*;
use crate::conn::CloseReason;
use crate::conn::counters::Counters;
use http::HEAD_BYTES_MAX;
use process::ProcessStats;

fn service() -> Metrics {
    Metrics::new(
        SharedMeasurements::new(0, 0, 1_795_327_470),
        ProcessSource::new(std::iter::empty::<std::io::Stdin>()),
        Model::Loop,
    )
}

/// What a connection sends back when `parts` arrive one after the other, and whether it ends.
fn serve(service: &Metrics, parts: &[&[u8]]) -> (String, bool) {
    let (mut unread, mut answer) = (Vec::new(), Vec::new());
    let mut has_ended = false;
    for part in parts {
        unread.extend_from_slice(part);
        let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 4000)), &mut answer, None);
        let Progress { consumed, action } = service.received(&unread, false, &mut out);
        unread.drain(..consumed);
        has_ended = action == Action::End;
        if has_ended {
            break;
        }
    }
    (String::from_utf8(answer).unwrap(), has_ended)
}

/// The status codes of the responses to `bytes`, and whether the connection ends.
fn statuses(bytes: impl AsRef<[u8]>) -> (Vec<u16>, bool) {
    let (answer, has_ended) = serve(&service(), &[bytes.as_ref()]);
    let starts = answer.split("HTTP/1.1 ").skip(1);
    (starts.map(|response| response[..3].parse().unwrap()).collect(), has_ended)
}

/// Measurements that are all different.
fn measured() -> SharedMeasurements {
    let shared = SharedMeasurements::new(0, 0, 1000);
    let mut measured = shared.lock();
    measured.counters = Counters {
        opened: 1,
        closed: std::array::from_fn(|index| 100 + index as u64),
        read_bytes: 2,
        sent_bytes: 3,
        messages: 4,
        datagrams: 5,
        datagrams_dropped: 6,
        datagrams_limited: 7,
        datagrams_sent: 8,
        datagrams_unsent: 9,
        accepts_failed: 10,
    };
    (measured.connections_open, measured.datagram_sessions) = (11, 12);
    (measured.memory_used, measured.memory_budget) = (13, 14);
    measured.is_stopping = true;
    [1_500, 2_000, 20_000_000_000].into_iter().for_each(|ns| measured.turn_ns.record(ns));
    [3, 1024].into_iter().for_each(|events| measured.turn_events.record(events));
    measured.record_commit(15, 1_000_000, Some(5_000_000), 5_250_000);
    measured.record_commit(15, 0, None, 1_000_000);
    measured.keep_samples(1_000_000_000, || 1001);
    measured.samples.record_turn(7_000_000);
    measured.keep_samples(2_000_000_000, || 1002);
    drop(measured);
    shared
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_response_has_a_length_and_the_header_fields_that_keep_it_from_other_sites() {
    let (answer, has_ended) = serve(&service(), &[get("/healthz").as_bytes()]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head.lines().collect::<Vec<_>>(),
        [
            "HTTP/1.1 200 OK",
            "Date: Sun, 22 Nov 2026 06:04:30 GMT",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Length: 3",
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Cross-Origin-Resource-Policy: same-origin",
            "Referrer-Policy: no-referrer",
        ]
    );
    assert_eq!((body, has_ended), ("ok\n", false));
}

#[test]
fn the_response_to_head_is_that_to_get_without_the_body() {
    for path in ["/metrics", "/healthz", "/samples", "/nothing", "/"] {
        let (whole, _) = serve(&service(), &[get(path).as_bytes()]);
        let (head, _) = serve(&service(), &[get(path).replace("GET", "HEAD").as_bytes()]);
        let end = whole.find("\r\n\r\n").unwrap() + 4;
        // The state of the process changes.
        let is_shown = |line: &&str| path != "/metrics" || !line.starts_with("Content-Length");
        let shown = |head: &str| head.lines().filter(is_shown).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(shown(&head), shown(&whole[..end]), "{path}");
        assert!(!head.contains("Content-Length: 0") && head.ends_with("\r\n\r\n"), "{head}");
    }
    let (bad, has_ended) = serve(&service(), &[b"\r\nHEAD /metrics HTTP/1.1\r\n\r\n"]);
    assert!(bad.starts_with("HTTP/1.1 400 ") && bad.ends_with("\r\n\r\n") && has_ended, "{bad}");
}

#[test]
fn the_page_has_the_policy_that_lets_its_script_run() {
    let (answer, _) = serve(&service(), &[get("/").as_bytes()]);
    let policy = format!("\r\nContent-Security-Policy: {}\r\n", page::POLICY);
    assert!(answer.contains(&policy) && answer.ends_with(&page::PAGE[..]), "{}", &answer[..500]);
}

#[test]
fn a_connection_stays_open_until_the_peer_asks_for_its_end() {
    assert_eq!(statuses(get("/healthz").repeat(3)), (vec![200; 3], false));
    let last = get("/healthz").replace("\r\n\r\n", "\r\nConnection: keep-alive, CLOSE\r\n\r\n");
    assert_eq!(statuses(last.repeat(2)), (vec![200], true));
    assert_eq!(statuses("GET /healthz HTTP/1.0\r\n\r\n"), (vec![200], true));
    let (answer, _) = serve(&service(), &[last.as_bytes()]);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[test]
fn each_wrong_request_has_its_status_and_ends_the_connection_where_the_next_cannot_be_found() {
    let host = "Host: a\r\n";
    for (request, status, ends) in [
        (get("/page"), 404, false),
        (get("/metrics/"), 404, false),
        (format!("POST /nothing HTTP/1.1\r\n{host}\r\n"), 404, false),
        (format!("POST /metrics HTTP/1.1\r\n{host}\r\n"), 405, false),
        (format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nabcde"), 405, true),
        (format!("GET /metrics HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nabcde"), 413, true),
        (format!("GET /metrics HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413, true),
        (format!("GET /metrics HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"), 400, true),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 0\r\n\r\nabcde"), 413, true),
        (format!("GET /metrics HTTP/1.1\r\n{host}Content-Length: \r\n\r\n"), 400, true),
        ("GET /metrics HTTP/1.1\r\n\r\n".into(), 400, true),
        ("GET /metrics HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400, true),
        ("GET /metrics HTTP/1.0\r\nHost: a/metrics\r\n\r\n".into(), 400, true),
        ("GET /metrics HTTP/1.1\r\nHost: user@a\r\n\r\n".into(), 400, true),
        ("GET /metrics HTTP/1.1\r\nHost: \u{e9}\r\n\r\n".into(), 400, true),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 400, true),
        (format!("CONNECT a:80 HTTP/1.1\r\n{host}\r\n"), 400, true),
        (format!("TRACE /metrics HTTP/1.1\r\n{host}\r\n"), 405, false),
        (get("/%6detrics"), 404, false),
        (get("/x/../metrics"), 404, false),
        (format!("GET http://a?/nothing HTTP/1.0\r\n{host}Range: bytes=0-1\r\n\r\n"), 200, true),
        (format!("GET /metrics HTTP/1.1\r\n{host}{host}\r\n"), 400, true),
        (format!("GET metrics HTTP/1.1\r\n{host}\r\n"), 400, true),
        (format!("GET ftp://a/metrics HTTP/1.1\r\n{host}\r\n"), 400, true),
        (format!("GET /metrics HTTP/2.0\r\n{host}\r\n"), 400, true),
        ("nonsense\r\n\r\n".into(), 400, true),
        ("\x16\x03\x01\x02\0\x01\0".into(), 400, true),
        (get("/samples?after=x"), 400, false),
        (get("/samples?before=1"), 400, false),
        (format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)), 431, true),
        (format!("GET /{}", "x".repeat(HEAD_BYTES_MAX)), 431, true),
    ] {
        assert_eq!(statuses(&request), (vec![status], ends), "{request}");
    }
}

#[test]
fn every_other_form_of_a_good_request_is_answered() {
    for request in [
        "GET http://a:9/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz?x=y HTTP/1.1\r\nhost:\r\n\r\n",
        "\r\nGET /healthz HTTP/1.1\r\nHOST: a\r\nContent-Length: 00\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: a\n\n",
        "GET HTTP://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /samples HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /samples?after=7 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(statuses(request), (vec![200], false), "{request:?}");
    }
    let (answer, _) = serve(&service(), &[b"PUT /metrics HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
}

#[test]
fn the_head_of_a_request_may_have_8_kib_and_no_more() {
    let request = |bytes: usize| {
        let (start, end) = ("GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n");
        format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
    };
    assert_eq!(statuses(request(HEAD_BYTES_MAX)), (vec![200], false));
    assert_eq!(statuses(request(HEAD_BYTES_MAX + 1)), (vec![431], true));
    let unfinished = &request(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX - 1];
    assert_eq!(statuses(unfinished), (vec![], false), "the rest is awaited");
}

#[test]
fn the_responses_are_the_same_wherever_the_bytes_are_divided() {
    let long = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
    let streams = [
        get("/healthz").repeat(2) + "HEAD /samples HTTP/1.0\r\n\r\n",
        get("/healthz") + "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET",
        get("/nothing") + "bad\0request\r\n\r\n" + &get("/healthz"),
        get("/healthz") + &long,
    ];
    let service = service();
    for stream in streams {
        let bytes = stream.as_bytes();
        let whole = serve(&service, &[bytes]);
        for index in 1..bytes.len() {
            assert_eq!(serve(&service, &[&bytes[..index], &bytes[index..]]), whole, "{index} of {stream}");
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        if bytes.len() < 1000 {
            assert_eq!(serve(&service, &each), whole, "byte by byte: {stream}");
        }
    }
}

#[test]
fn the_health_check_fails_from_the_request_to_stop_on() {
    let service = service();
    service.measured.lock().is_stopping = true;
    let (answer, _) = serve(&service, &[get("/healthz").as_bytes()]);
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nstopping\n"), "{answer}");
    assert_eq!(serve(&service, &[get("/metrics").as_bytes()]).0[..12], *"HTTP/1.1 200");
}

#[test]
fn each_metric_is_in_the_table_of_the_documentation_and_no_other_is() {
    let (answer, _) = serve(&service(), &[get("/metrics").as_bytes()]);
    let shown: Vec<&str> =
        answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = include_str!("../../../docs/OPERATING.md");
    let documented = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: Vec<&str> =
        documented.filter(|name| name.starts_with("loopline_") || name.starts_with("process_")).collect();
    assert_eq!(documented, shown);
}

#[test]
fn each_metric_has_the_value_that_was_measured() {
    let process = ProcessStats {
        cpu_seconds: Some(1.5),
        resident_bytes: Some(21),
        open_fds: Some(22),
        max_fds: 23,
        start_time: Some(24.5),
        log_lines_dropped: 25,
        listen_overflows: Some(26),
        datagrams_dropped: Some(27),
    };
    let mut body = Vec::new();
    exposition::write(&measured().lock(), &process, Model::Threads, &mut body);
    let text = String::from_utf8(body).unwrap();
    let (buckets, values): (Vec<&str>, Vec<&str>) =
        text.lines().filter(|line| !line.starts_with('#')).partition(|line| line.contains("_bucket{"));
    let is_refusal = |reason: &CloseReason| reason.is_refusal();
    let closed = |name: &str, reason: CloseReason| {
        let label = reason.label();
        format!("loopline_connections_{name}_total{{reason=\"{label}\"}} {}", 100 + reason as u64)
    };
    let (refusals, others): (Vec<_>, Vec<_>) = CloseReason::ALL.into_iter().partition(is_refusal);
    let mut expected = vec![
        format!("loopline_build_info{{version=\"{}\",model=\"threads\"}} 1", env!("CARGO_PKG_VERSION")),
        "loopline_stopping 1".into(),
        "loopline_connections_open 11".into(),
        "loopline_connections_accepted_total 1".into(),
    ];
    expected.extend(refusals.into_iter().map(|reason| closed("refused", reason)));
    expected.extend(others.into_iter().map(|reason| closed("closed", reason)));
    let rest = [
        "loopline_accept_failures_total 10",
        "loopline_messages_total 4",
        "loopline_received_bytes_total 2",
        "loopline_sent_bytes_total 3",
        "loopline_datagrams_received_total 5",
        "loopline_datagrams_sent_total 8",
        "loopline_datagrams_dropped_total{reason=\"ignored\"} 6",
        "loopline_datagrams_dropped_total{reason=\"rate\"} 7",
        "loopline_datagrams_dropped_total{reason=\"unsent\"} 9",
        "loopline_datagram_sessions 12",
        "loopline_turn_seconds_sum 20.0000035",
        "loopline_turn_seconds_count 3",
        "loopline_turn_events_sum 1027",
        "loopline_turn_events_count 2",
        "loopline_journal_bytes_total 30",
        "loopline_journal_commit_seconds_sum 0.005",
        "loopline_journal_commit_seconds_count 2",
        "loopline_journal_sync_seconds_sum 0.00025",
        "loopline_journal_sync_seconds_count 1",
        "loopline_memory_used_bytes 13",
        "loopline_memory_budget_bytes 14",
        "loopline_log_lines_dropped_total 25",
        "loopline_kernel_listen_overflows_total 26",
        "loopline_kernel_datagrams_dropped_total 27",
        "process_cpu_seconds_total 1.5",
        "process_resident_memory_bytes 21",
        "process_open_fds 22",
        "process_max_fds 23",
        "process_start_time_seconds 24.5",
    ];
    expected.extend(rest.map(str::to_owned));
    assert_eq!(values, expected);
    for bucket in [
        "loopline_turn_seconds_bucket{le=\"0.000001\"} 0",
        "loopline_turn_seconds_bucket{le=\"0.000002\"} 2",
        "loopline_turn_seconds_bucket{le=\"10\"} 2",
        "loopline_turn_seconds_bucket{le=\"+Inf\"} 3",
        "loopline_turn_events_bucket{le=\"2\"} 0",
        "loopline_turn_events_bucket{le=\"4\"} 1",
        "loopline_turn_events_bucket{le=\"1024\"} 2",
        "loopline_journal_commit_seconds_bucket{le=\"0.001\"} 1",
        "loopline_journal_commit_seconds_bucket{le=\"0.005\"} 2",
        "loopline_journal_sync_seconds_bucket{le=\"0.0005\"} 1",
    ] {
        assert!(buckets.contains(&bucket), "{bucket} is not in {buckets:#?}");
    }
}

#[test]
fn a_sample_has_the_values_that_were_measured() {
    let mut body = Vec::new();
    samples::write(&measured().lock(), Model::Loop, 1, &mut body);
    // The second of two.
    let expected = serde_json::json!({
        "interval_seconds": 1,
        "next": 2,
        "version": env!("CARGO_PKG_VERSION"),
        "model": "loop",
        "started": 1000,
        "stopping": true,
        "samples": [{
            "t": 1002,
            "open": 11,
            "accepted": 1,
            "refused": 103 + 104,
            "closed": (100..118).sum::<i32>() - 103 - 104,
            "messages": 4,
            "received_bytes": 2,
            "datagrams": 5,
            "datagrams_dropped": 6 + 7 + 9,
            "memory_used": 13,
            "memory_budget": 14,
            "turns": 3,
            "turn_us_p50": 7007,
            "turn_us_p99": 7007,
            "turn_us_max": 7007,
        }],
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
}
