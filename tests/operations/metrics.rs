//! The administrative endpoint of a running server.

use std::collections::BTreeMap;

use crate::common::{End, Peer, Serve, Server, eventually};

/// A server with metrics, and an endpoint of `message`.
fn start(arguments: &str) -> Server {
    Server::start(&format!("message=0 --metrics 0 {arguments}"))
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
fn fetch(server: &Server, path: &str) -> String {
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

#[test]
fn the_counters_are_those_of_what_was_sent() {
    let server = start("month=0 --max-connections 2");
    let mut peer = server.connect("message");
    for _ in 0..3 {
        peer.exchange("text");
    }
    let mut bad = server.connect("message");
    bad.send("x");
    bad.receive_all();
    let before = eventually("both are counted", || {
        let metrics = scrape(&server);
        (metrics["loopline_connections_closed_total{reason=\"bad_input\"}"] > 0.0).then_some(metrics)
    });
    let expected = [
        ("loopline_connections_open", 1.0),
        ("loopline_connections_accepted_total", 2.0),
        ("loopline_messages_total", 3.0),
        ("loopline_received_bytes_total", 3.0 * 68.0 + 1.0),
        ("loopline_connections_refused_total{reason=\"full\"}", 0.0),
        ("loopline_connections_closed_total{reason=\"bad_input\"}", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(before.get(name), Some(&value), "{name}");
    }
    assert!(before["loopline_turn_seconds_count"] >= 3.0);
    let journal_bytes = server.stop_cleanly().journal.len();
    assert_eq!(before["loopline_journal_bytes_total"].to_string(), journal_bytes.to_string());
}

#[test]
fn metrics_are_served_while_the_server_is_full() {
    let server = start("--max-connections 1");
    let mut peer = server.connect("message");
    peer.exchange("text");
    let mut refused = server.connect("message");
    assert!(refused.receive_frame().contains("the server is full"));
    assert_eq!(fetch(&server, "/healthz"), "ok\n");
    drop(refused);
    eventually("the refusal is counted", || {
        let refused = scrape(&server)["loopline_connections_refused_total{reason=\"full\"}"];
        (refused.to_string() == "1").then_some(())
    });
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
fn samples_are_a_second_apart_and_continue_where_the_last_request_ended() {
    let server = start("");
    server.connect("message").exchange("text");
    let samples = |after: u64| -> serde_json::Value {
        serde_json::from_str(&fetch(&server, &format!("/samples?after={after}"))).unwrap()
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
