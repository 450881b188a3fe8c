//! The admin endpoint of a running server.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};
use std::thread;

use crate::common::{
    DatagramPeer, End, MODELS, Peer, Serve, Server, Signal, acknowledgement, eventually, wait_with_output,
    without_options,
};
use crate::is_missing;

/// A server with metrics, and an endpoint of `message`.
fn start(arguments: &str) -> Server {
    Server::start(&format!("message=0 --metrics 0 {arguments}"))
}

fn start_each(arguments: &str) -> impl Iterator<Item = Server> {
    MODELS.into_iter().map(move |model| start(&format!("--model {model} {arguments}")))
}

/// The head and the body of the response to `request`.
fn respond(peer: &mut Peer, request: &str) -> (String, String) {
    peer.send(request);
    receive_response(peer, !request.starts_with("HEAD"))
}

fn receive_response(peer: &mut Peer, has_body: bool) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(peer.receive(1)[0]));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let bytes = if has_body { length.parse().unwrap() } else { 0 };
    (head, String::from_utf8(peer.receive(bytes)).unwrap())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// The body at `path`, by a connection of its own.
pub(crate) fn fetch(server: &Server, path: &str) -> String {
    let (head, body) = respond(&mut server.connect("metrics"), &get(path));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body
}

/// The values of all metrics, by name and labels.
fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let text = fetch(server, "/metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

/// A whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small")]
fn value(metrics: &BTreeMap<String, f64>, name: &str) -> u64 {
    *metrics.get(name).unwrap_or_else(|| panic!("{name} is missing")) as u64
}

#[test]
fn the_counters_are_those_of_what_was_sent() {
    for server in start_each("month=0 --sandbox on") {
        let mut peer = server.connect("message");
        for _ in 0..3 {
            peer.exchange("text");
        }
        let mut bad = server.connect("message");
        bad.send("x");
        let refusal = bad.receive_all().0;
        drop(bad);
        let month = DatagramPeer::connect(server.address("month"));
        month.request("hi");
        month.request("5");
        let sent = 3 * acknowledgement().len() + refusal.len();
        let shown = eventually("all is counted", || {
            let metrics = scrape(&server);
            let closed = value(&metrics, "loopline_connections_closed_total{reason=\"bad_input\"}");
            let sent_bytes = value(&metrics, "loopline_sent_bytes_total");
            let datagrams = value(&metrics, "loopline_datagrams_sent_total");
            // With threads, what is sent last is counted later.
            (closed == 1 && sent_bytes == sent as u64 && datagrams == 2).then_some(metrics)
        });
        for (name, expected) in [
            ("loopline_connections_open", 1),
            ("loopline_connections_accepted_total", 2),
            ("loopline_messages_total", 3),
            ("loopline_received_bytes_total", 3 * 68 + 1),
            ("loopline_connections_refused_total{reason=\"full\"}", 0),
            ("loopline_datagrams_received_total", 2),
            ("loopline_datagrams_sent_total", 2),
            ("loopline_datagram_sessions", 1),
            ("loopline_log_lines_dropped_total", 0),
            ("loopline_kernel_datagrams_dropped_total", 0),
            ("loopline_stopping", 0),
        ] {
            assert_eq!(value(&shown, name), expected, "{name}");
        }
        for name in [
            "loopline_memory_budget_bytes",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            assert!(shown[name] >= 0.0, "{name}");
        }
        assert!(shown.contains_key("loopline_kernel_listen_overflows_total"));
        assert_eq!(value(&shown, "process_max_fds"), open_files_max(server.pid()));
        let bytes = value(&shown, "loopline_journal_bytes_total");
        assert!(value(&shown, "loopline_journal_commit_seconds_count") >= 3);
        assert_eq!(value(&shown, "loopline_journal_sync_seconds_count"), 0);
        assert_eq!(bytes, server.stop_cleanly().journal.len() as u64);
    }
}

/// The soft limit.
fn open_files_max(process: u32) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn lines_of_the_log_that_are_dropped_are_counted() {
    for model in MODELS {
        let serve = Serve::new(&format!("message=0 --metrics 0 --log debug --journal none --model {model}"));
        let server = serve.with_blocked_log().start();
        eventually("a line is dropped", || {
            // Each is a line or more.
            (0..100).for_each(|_| server.connect("message").exchange("text"));
            (value(&scrape(&server), "loopline_log_lines_dropped_total") > 0).then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn each_turn_and_each_sync_is_timed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&format!("--ack synced --journal {}", folder.path().join("journal").display()));
    server.connect("message").exchange("text");
    let shown = scrape(&server);
    assert_eq!(value(&shown, "loopline_journal_sync_seconds_count"), 1);
    assert_eq!(value(&shown, "loopline_journal_commit_seconds_bucket{le=\"+Inf\"}"), 1);
    assert!(value(&shown, "loopline_turn_seconds_count") >= 2 && shown["loopline_turn_seconds_sum"] > 0.0);
    let (turns, events) = ("loopline_turn_seconds_count", "loopline_turn_events_count");
    assert_eq!(shown[turns].to_string(), shown[events].to_string());
}

#[test]
fn metrics_are_served_while_the_server_is_full() {
    for server in start_each("--max-connections 1") {
        let mut peer = server.connect("message");
        peer.exchange("text");
        let mut refused = server.connect("message");
        assert!(refused.receive_frame().contains("the server is full"));
        assert_eq!(fetch(&server, "/healthz"), "ok\n");
        drop(refused);
        eventually("the refusal is counted", || {
            let refused = value(&scrape(&server), "loopline_connections_refused_total{reason=\"full\"}");
            (refused == 1).then_some(())
        });
    }
}

#[test]
fn a_slow_request_is_ended_at_the_frame_timeout_without_a_line_in_the_log() {
    for server in start_each("--frame-timeout 50ms") {
        let mut peer = server.connect("metrics");
        let address = peer.local_address().to_string();
        peer.send("GET /healthz HTTP/1.1\r\n");
        assert!(peer.receive_all().0.is_empty());
        assert_eq!(fetch(&server, "/healthz"), "ok\n");
        let log = server.stop_cleanly().log;
        assert!(!log.contains(&address), "{log}");
    }
}

#[test]
fn a_17th_connection_takes_the_place_of_the_one_that_has_been_idle_for_the_longest_time() {
    let server = start("--max-connections 1");
    let mut peers: Vec<Peer> = (0..16).map(|_| server.connect("metrics")).collect();
    for peer in &mut peers {
        assert_eq!(respond(peer, &get("/healthz")).1, "ok\n");
    }
    let mut last = server.connect("metrics");
    assert_eq!(respond(&mut last, &get("/healthz")).1, "ok\n");
    assert_eq!(peers[0].receive_all(), (Vec::new(), End::Closed));
    assert_eq!(respond(&mut peers[1], &get("/healthz")).1, "ok\n");
}

#[test]
fn a_17th_connection_is_closed_by_threads() {
    let server = start("--model threads");
    let mut peers: Vec<Peer> = (0..16).map(|_| server.connect("metrics")).collect();
    for peer in &mut peers {
        assert_eq!(respond(peer, &get("/healthz")).1, "ok\n");
    }
    assert!(server.connect("metrics").receive_all().0.is_empty());
    drop(peers.pop());
    eventually("another is served", || {
        let mut peer = server.connect("metrics");
        let _ = peer.try_send(get("/healthz").replace("Host", "Connection: close\r\nHost").as_bytes());
        let answer = peer.receive_all().0;
        answer.starts_with(b"HTTP/1.1 200 ").then_some(())
    });
}

#[test]
fn the_health_check_fails_while_everything_is_served_for_the_drain_delay() {
    thread::scope(|scope| {
        start_each("--drain-delay 1s")
            .for_each(|server| drop(scope.spawn(move || check_drain_delay(server))));
    });
}

fn check_drain_delay(server: Server) {
    let mut peer = server.connect("message");
    peer.exchange("before");
    server.signal(Signal::TERM);
    let mut check = server.connect("metrics");
    eventually("the health check fails", || {
        let (head, body) = respond(&mut check, &get("/healthz"));
        (head.starts_with("HTTP/1.1 503 ") && body == "stopping\n").then_some(())
    });
    peer.exchange("meanwhile");
    server.connect("message").exchange("a new connection");
    assert_eq!(value(&scrape(&server), "loopline_stopping"), 1);
    let ended = server.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(ended.journal.lines().count(), 3);
    assert!(ended.log.contains("stopping in 1000 ms: everything is served until then"), "{}", ended.log);
}

#[test]
fn a_second_signal_ends_the_drain_delay() {
    for server in start_each("--drain-delay 1h") {
        server.signal(Signal::TERM);
        server.wait_for_log("stopping in");
        assert!(server.stop_cleanly().status.success());
    }
}

#[test]
fn a_connection_serves_any_number_of_requests_and_is_closed_after_bad_ones() {
    let server = start("--log debug");
    let mut peer = server.connect("metrics");
    for _ in 0..3 {
        assert_eq!(respond(&mut peer, &get("/healthz")).1, "ok\n");
    }
    let (head, body) = respond(&mut peer, "HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4\r\n") && body.is_empty(), "{head}");
    peer.send(get("/healthz").repeat(2) + "nonsense\r\n\r\n" + &get("/healthz"));
    for status in ["200", "200", "400"] {
        assert_eq!(&receive_response(&mut peer, true).0[9..12], status);
    }
    assert_eq!(peer.receive_all(), (Vec::new(), End::Closed));
    let ended = server.stop_cleanly();
    assert!(!ended.log.contains("WARN"), "{}", ended.log);
}

#[test]
fn requests_that_come_together_are_answered_a_few_at_a_time() {
    for server in start_each("") {
        let before_kib = server.status("VmHWM");
        let mut peer = server.connect("metrics");
        // The answers are more than 50 MB together.
        let request = "GET / HTTP/1.1\r\nHost:\r\n\r\n";
        peer.send(request.repeat(700) + &get("/healthz").replace("Host", "Connection: close\r\nHost"));
        let answers = String::from_utf8(peer.receive_all().0).unwrap();
        assert!(answers.matches("HTTP/1.1 200 OK\r\n").count() == 701 && answers.ends_with("ok\n"));
        let grown_kib = server.status("VmHWM") - before_kib;
        assert!(grown_kib < 16 << 10, "{grown_kib} KiB");
    }
}

#[test]
fn samples_are_a_second_apart_and_continue_where_the_last_request_ended() {
    thread::scope(|scope| {
        start_each("").for_each(|server| drop(scope.spawn(move || check_samples(&server))));
    });
}

fn check_samples(server: &Server) {
    server.connect("message").exchange("text");
    let samples = |after: u64| -> serde_json::Value {
        serde_json::from_str(&fetch(server, &format!("/samples?after={after}"))).unwrap()
    };
    let first = eventually("there are two samples", || {
        let document = samples(0);
        (document["samples"].as_array().unwrap().len() >= 2).then_some(document)
    });
    let list = first["samples"].as_array().unwrap();
    assert_eq!(list[1]["t"].as_i64().unwrap() - list[0]["t"].as_i64().unwrap(), 1);
    assert_eq!(
        (&list[1]["accepted"], &list[1]["messages"], &list[1]["received_bytes"]),
        (&1.into(), &1.into(), &68.into())
    );
    assert_eq!((&first["interval_seconds"], first["next"].as_u64().unwrap()), (&1.into(), list.len() as u64));
    let next = first["next"].as_u64().unwrap();
    let later = samples(next);
    assert_eq!(later["samples"].as_array().unwrap().len() as u64, later["next"].as_u64().unwrap() - next);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let failed = Serve::new(&format!("message=0 --metrics {address}")).fail();
    assert_eq!(failed.status.code(), Some(1));
    let expected = format!("--metrics {address}: cannot listen: ");
    assert!(
        failed.log.contains(&expected) && failed.log.contains("another process has this port"),
        "{}",
        failed.log
    );
}

#[test]
fn a_summary_of_the_counters_is_logged_on_request() {
    for server in start_each("") {
        server.connect("message").exchange("text");
        server.signal(Signal::USR1);
        server.wait_for_log("counters: ");
        let log = server.stop_cleanly().log;
        assert!(
            log.contains("1 accepted, 0 refused, ") && log.contains("; 1 messages; 68 bytes received, "),
            "{log}"
        );
    }
}

#[test]
fn both_models_have_the_same_metrics_and_histograms_that_add_up() {
    let names = start_each("month=0").map(|server| {
        server.connect("message").exchange("text");
        let text = fetch(&server, "/metrics");
        check_histograms(&text);
        let names = text.lines().filter(|line| !line.starts_with("loopline_build_info"));
        names.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
    });
    let [with_loop, with_threads] = names.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(with_loop, with_threads);
}

/// Checks that each bucket has the values of those before it, and the last has all.
fn check_histograms(text: &str) {
    let number = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")) {
        let lines = |suffix: &str| {
            let start = format!("{name}_{suffix}");
            text.lines().filter(|line| line.starts_with(&start)).collect::<Vec<_>>()
        };
        let buckets = lines("bucket{");
        assert!(buckets.is_sorted_by_key(|line| number(line)), "{buckets:?}");
        let (last, count, sum) =
            (buckets.last().unwrap(), number(lines("count ")[0]), number(lines("sum ")[0]));
        assert!(last.contains("le=\"+Inf\"") && number(last).total_cmp(&count).is_eq(), "{last}, {count}");
        assert!((count > 0.0) >= (sum > 0.0), "{name}: {sum} of {count}");
    }
}

#[test]
fn no_counter_goes_backward_when_the_journal_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    for model in MODELS {
        let journal = folder.path().join(model);
        let server = start(&format!("--model {model} --journal {}", journal.display()));
        server.connect("message").exchange("text");
        let before = scrape(&server);
        std::fs::rename(&journal, folder.path().join("rotated")).unwrap();
        server.signal(Signal::HUP);
        server.wait_for_log("the journal was reopened");
        server.connect("message").exchange("text");
        let after = scrape(&server);
        for (name, value) in before {
            let is_counter = ["_total", "_count", "_sum", "_bucket"].iter().any(|kind| name.contains(kind));
            assert!(!is_counter || after[&name] >= value, "{name}: {value}, then {}", after[&name]);
        }
        assert_eq!(value(&after, "loopline_messages_total"), 2);
        let files = [&journal, &folder.path().join("rotated")];
        let bytes: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        assert_eq!(value(&after, "loopline_journal_bytes_total"), bytes);
    }
}

/// The output of a tool of Prometheus that reads `input`.
fn check_with_promtool(input: &str) -> std::process::Output {
    let mut tool = without_options("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    wait_with_output(child)
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if is_missing("promtool") {
        return;
    }
    for server in start_each("month=0") {
        let output = check_with_promtool(&fetch(&server, "/metrics"));
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert!(
        !check_with_promtool("# TYPE wrong counter\nwrong 1\n").status.success(),
        "it finds what is wrong"
    );
}

#[test]
fn prometheus_scrapes_the_server_and_answers_a_query_with_what_was_sent() {
    if is_missing("prometheus") {
        return;
    }
    let server = start("");
    let mut peer = server.connect("message");
    for _ in 0..5 {
        peer.exchange("text");
    }
    let folder = tempfile::tempdir().unwrap();
    let target = server.address("metrics");
    let configuration = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: loopline, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, configuration).unwrap();
    // It cannot report a port that it has chosen itself.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut prometheus = without_options("prometheus");
    prometheus.arg(format!("--config.file={}", file.display()));
    prometheus.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    prometheus.arg(format!("--web.listen-address={port}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _prometheus = Killed(prometheus.spawn().unwrap());
    eventually("the query has the value", || {
        let mut peer = Peer::on(std::net::TcpStream::connect(port).ok()?);
        peer.try_send(b"GET /api/v1/query?query=loopline_messages_total HTTP/1.0\r\n\r\n").ok()?;
        let answer = String::from_utf8(peer.receive_all().0).unwrap();
        let document: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let result = &document["data"]["result"][0];
        assert!(result.is_null() || result["metric"]["job"] == "loopline", "{document}");
        (result["value"][1].as_str()? == "5").then_some(())
    });
}

/// A process that is killed at the end of the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
