//! Targets that refuse, reset, close early, reply wrongly, or never reply.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::common::{Clock, Signal, WAIT_MAX, acknowledgement, eventually};
use crate::running::{
    Running, assert_adds_up, assert_counts, assert_due, command, count, failed_result, failure, real, result,
    run_with,
};
use crate::scripted::{Scripted, answer_with, read_frame, read_to_the_end, serve, unused_port};

#[test]
fn a_refused_connection_is_one_error_line_and_a_result() {
    let (_port, address) = unused_port(Type::STREAM);
    for arguments in ["message", "hold", "greeting", "message --one-shot"] {
        let (service, options) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let run = run_with(&format!("{service}={address} -c 20 -d 200ms --json - {options}"));
        let expected = format!("loopline: {service}={address}: no connection could be opened: connection ");
        assert!(run.line(1).starts_with(&expected), "{run:?}");
        assert!(run.line(1).ends_with(": Connection refused (os error 111)"), "{run:?}");
        let result = run.result(1);
        assert_eq!(result["connections"]["limited_by"], "refused");
        assert_eq!((count(&result, "connections/opened"), &result["valid"]), (0, &true.into()));
    }
    let run = run_with("message=nosuch.invalid:1 -d 200ms");
    assert!(run.line(1).starts_with("loopline: message=nosuch.invalid:1: cannot resolve the host: "));
}

#[test]
fn a_server_that_resets_every_connection_is_at_its_limit() {
    let server = Scripted::new(|stream, _| {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let run = run_with(&format!("message={} -c 20 -d 1h --json -", server.address));
    let result: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_adds_up(&result);
    let [failed, lost] = ["failed", "lost"].map(|of| count(&result, &format!("connections/{of}")));
    assert_eq!(failed + lost, 20, "{result:#}");
    assert_eq!(count(&result, "messages/acknowledged"), 0);
    if failed > 0 {
        assert_eq!(result["connections"]["limited_by"], "server_cap");
    }
    assert!(real(&result["duration_seconds"]) < 30.0, "the run continues without a connection: {result:#}");
    assert_eq!(run.status, Some(if failed == 20 { 1 } else { 4 }), "{run:?}");
}

#[test]
fn a_server_that_closes_after_some_messages_fails_one_on_each_connection() {
    let server = Scripted::new(|mut stream, _| {
        for _ in 0..3 {
            read_frame(&mut stream).unwrap();
            stream.write_all(&acknowledgement()).unwrap();
        }
        read_frame(&mut stream);
    });
    let result = failed_result(&format!("message={} -c 5 -d 1h", server.address));
    assert_counts(
        &result,
        &[
            ("messages/sent", 20),
            ("messages/acknowledged", 15),
            ("messages/failed", 5),
            ("connections/opened", 5),
            ("connections/lost", 5),
            ("connections/failed", 0),
        ],
    );
    let (times, first) = failure(&result, "closed by the server");
    assert_eq!(times, 5);
    assert!(first.ends_with(": the server ended the stream"), "{first}");
    assert!(real(&result["duration_seconds"]) < 30.0, "the run continues without a connection: {result:#}");
}

#[test]
fn a_stream_that_ends_inside_a_reply_is_reported_with_the_bytes_received() {
    let server = Scripted::new(|mut stream, _| {
        read_frame(&mut stream).unwrap();
        stream.write_all(&acknowledgement()[..70]).unwrap();
    });
    let result = failed_result(&format!("message={} -c 1 -d 300ms", server.address));
    assert_counts(&result, &[("messages/failed", 1), ("messages/sent", 1), ("connections/lost", 1)]);
    let expected = "connection 1: the server ended the stream 70 bytes into a reply";
    assert_eq!(failure(&result, "closed by the server"), (1, expected.into()));
}

#[test]
fn a_connection_that_ends_while_replies_are_outstanding_is_lost() {
    // The server closes after the sending, without a reply.
    let server = Scripted::new(|mut stream, _| {
        read_frame(&mut stream).unwrap();
        crate::common::stall(Duration::from_millis(600));
    });
    let result = failed_result(&format!("message={} -c 4 -d 200ms --drain-timeout 10s", server.address));
    assert_counts(
        &result,
        &[
            ("connections/opened", 4),
            ("connections/lost", 4),
            ("connections/failed", 0),
            ("messages/sent", 4),
            ("messages/failed", 4),
        ],
    );
    assert_eq!(result["connections"]["limited_by"], Value::Null);
    assert_eq!(failure(&result, "closed by the server").0, 4);
}

#[test]
fn a_wrong_reply_is_reported_by_its_first_wrong_byte() {
    let mut almost = acknowledgement();
    almost[96] = b'!';
    for (reply, expected) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "byte 0 of the reply is 'H', expected '3'"),
        (almost, "byte 96 of the reply is '!', expected '.'"),
        (vec![0; 200_000], "byte 0 of the reply is 0x00, expected '3'"),
        (acknowledgement().repeat(2), "received a reply without a request"),
        (crate::common::frame("Error: no\nroom"), "the server refused: no\\nroom"),
    ] {
        let server = Scripted::new(move |stream, _| answer_with(stream, &reply));
        let result = failed_result(&format!("message={} -c 1 -d 100ms", server.address));
        assert_counts(&result, &[("connections/opened", 1), ("connections/lost", 1)]);
        let is_refusal = expected.starts_with("the server refused");
        let (times, first) =
            failure(&result, if is_refusal { "refused by the server" } else { "wrong reply" });
        assert_eq!(times, 1);
        assert!(first.starts_with(&format!("connection 1: {expected}")), "{first}");
        assert!(first.len() < 1000 && !first.contains('\n'), "{first}");
    }
}

#[test]
fn a_server_of_another_service_is_recognized() {
    let server = serve("greeting=0 reply=0 daytime=0 message=0");
    for (asked, there, expected) in [
        ("message", "greeting", "byte 0 of the reply is 'T', expected '3'"),
        ("daytime", "greeting", "byte 3 of the reply is 'n', expected ' '"),
        ("reply", "greeting", "byte 5 of the reply is ' ', expected 's'"),
        ("greeting", "daytime", "byte 0 of the reply is '"),
        ("reply", "message", "Error: header b"),
    ] {
        let address = server.address(there);
        let result = failed_result(&format!("{asked}={address} -c 2 -d 100ms --drain-timeout 50ms"));
        assert_eq!(count(&result, "messages/acknowledged"), 0, "{asked} at {there}: {result:#}");
        let (_, first) = failure(&result, "wrong reply");
        assert!(first.contains(expected), "{asked} at {there}: {first}");
    }
    server.stop_cleanly();
}

#[test]
fn missing_replies_are_awaited_until_the_drain_timeout() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let clock = Clock::start();
    let result = failed_result(&format!("message={} -c 5 -d 300ms --drain-timeout 400ms", server.address));
    assert!(clock.elapsed() >= Duration::from_millis(700));
    assert_counts(&result, &[("messages/sent", 5), ("messages/unanswered", 5), ("connections/lost", 0)]);
}

#[test]
fn connections_in_a_full_backlog_still_send() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(3).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // After 100 consecutive failures, no further connection is tried.
    let arguments = format!("message={address} -c 300 --timeout 300ms -d 300ms --drain-timeout 100ms");
    let result = failed_result(&arguments);
    let opened = count(&result, "connections/opened");
    assert!((1..=10).contains(&opened), "{result:#}");
    assert_eq!(result["connections"]["limited_by"], "backlog");
    assert_eq!(result["ended_early"], "gave_up");
    let failed = count(&result, "connections/failed");
    assert_eq!(failure(&result, "no connection in time").0, failed);
    assert!(failed >= 100, "{result:#}");
    // The open connections send for the whole duration.
    assert_counts(&result, &[("messages/sent", opened), ("messages/unanswered", opened)]);
    assert!(real(&result["duration_seconds"]) >= 0.3, "{result:#}");
}

#[test]
fn held_connections_accept_any_bytes() {
    let endless = Scripted::new(|mut stream, _| {
        let bytes = vec![b'x'; 1 << 16];
        while stream.write_all(&bytes).is_ok() {}
    });
    let result_of_hold = |address: SocketAddr| result(&format!("hold={address} -c 3 -d 500ms"));
    let held = result_of_hold(endless.address);
    assert!(count(&held, "bytes/received") > 0, "{held:#}");
    assert_counts(&held, &[("connections/opened", 3), ("connections/lost", 0), ("messages/sent", 0)]);
    assert!(real(&held["duration_seconds"]) >= 0.5, "{held:#}");
}

#[test]
fn a_server_that_reads_nothing_does_not_delay_the_end_of_the_run() {
    let server = Scripted::new(|stream, _| {
        // Until the peer has closed, without reading.
        eventually("the run is over", || {
            let mut polled = [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::RDHUP)];
            let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            (rustix::event::poll(&mut polled, Some(&moment)).unwrap() > 0).then_some(())
        });
    });
    let clock = Clock::start();
    let arguments =
        format!("message={} -c 2 -r 500 --size 64KiB -d 1s --drain-timeout 200ms", server.address);
    let result = failed_result(&arguments);
    assert!(clock.elapsed() < WAIT_MAX);
    assert_due(&result, 500);
    let (sent, bytes) = (count(&result, "messages/sent"), count(&result, "bytes/sent"));
    assert_counts(&result, &[("messages/unanswered", sent)]);
    assert!(bytes > 0 && bytes < sent * (65536 + 64), "{result:#}");
}

#[test]
fn a_run_ends_with_a_result_when_the_server_is_killed() {
    for (mode, options) in [("closed", "--pipeline 3"), ("open", "-r 300")] {
        let server = serve("message=0");
        let address = server.address("message");
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.hlog");
        let arguments = format!("message={address} -c 6 -d 1h --json - {options} --drain-timeout 1s");
        let load = Running::start(command(&arguments).arg("--histogram").arg(&log));
        eventually("the run is under way", || {
            fs::read_to_string(&log).ok()?.contains("Tag=response,").then_some(())
        });
        server.signal(Signal::KILL);
        let result = load.wait().result(4);
        assert_eq!(result["ended_early"], "server_gone");
        assert_counts(&result, &[("connections/opened", 6), ("connections/lost", 6)]);
        assert!(count(&result, "messages/acknowledged") > 0, "{result:#}");
        if mode == "closed" {
            assert_counts(&result, &[("messages/failed", 18)]);
        }
    }
}

#[test]
fn connections_that_a_full_server_refuses_are_counted() {
    let server = serve("message=0 --max-connections 10");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 50 -d 300ms"));
    let of = |what: &str| count(&result, &format!("connections/{what}"));
    assert_eq!(of("opened") - of("lost"), 10, "{result:#}");
    // A server that refuses them later than the generator waits for that has opened them.
    assert_eq!(of("failed") + of("lost"), 40, "{result:#}");
    if of("lost") == 0 {
        assert_eq!(result["connections"]["limited_by"], "server_cap");
    }
    let (times, first) = failure(&result, "refused by the server");
    assert_eq!(times, 40);
    assert!(first.ends_with("the server refused: the server is full, it serves 10 connections"), "{first}");
    assert!(count(&result, "messages/acknowledged") > 0);
    assert_counts(&result, &[("messages/failed", of("lost")), ("messages/unanswered", 0)]);
    server.stop_cleanly();
}

#[test]
fn the_servers_error_for_a_too_long_message_is_reported() {
    let server = serve("message=0 --max-message 1000");
    let address = server.address("message");
    for size in ["1001", "4MiB"] {
        let result = failed_result(&format!("message={address} -c 3 -d 300ms --size {size}"));
        assert_counts(
            &result,
            &[("messages/acknowledged", 0), ("messages/failed", 3), ("connections/lost", 3)],
        );
        let (_, first) = failure(&result, "refused by the server");
        assert!(first.contains("the server refused: the header announces "), "{size}: {first}");
    }
    server.stop_cleanly();
}
