//! One-shot connections: one for each message.

use std::io::Write;

use crate::common::GREETING;
use crate::running::{assert_counts, assert_due, command_after, count, failed_result, failure, run};
use crate::scripted::{Scripted, read_to_the_end, serve};

#[test]
fn services_that_end_the_stream_get_a_new_connection_for_each_message() {
    let server = serve("message=0 greeting=0 daytime=0 reply=0");
    for (service, options, bytes) in [
        ("greeting", "", 0),
        ("daytime", "", 0),
        ("reply", "--size 7", 7),
        ("message", "--one-shot", 90),
        ("message", "--one-shot -r 300", 90),
        ("greeting", "-r 300", 0),
    ] {
        let address = server.address(service);
        // With few descriptors, a run that does not close connections fails.
        let arguments = format!("{service}={address} -c 20 -d 200ms {options} --json -");
        let result = run(&mut command_after("ulimit -n 90", &arguments)).result(0);
        let sent = count(&result, "messages/sent");
        assert!(sent > 0, "{arguments}: {result:#}");
        if options.ends_with("300") {
            assert_due(&result, 60);
        }
        let all =
            [("messages/acknowledged", sent), ("connections/opened", sent), ("bytes/sent", sent * bytes)];
        assert_counts(&result, &all);
        assert_counts(&result, &[("connections/asked", sent), ("connections/failed", 0)]);
    }
    server.stop_cleanly();
}

#[test]
fn messages_without_a_free_connection_are_counted() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = format!("greeting={} -c 2 -r 100 -d 500ms --drain-timeout 100ms", server.address);
    let result = failed_result(&arguments);
    assert_counts(&result, &[("messages/sent", 2), ("messages/unanswered", 2)]);
    let expected = "messages were due while all 2 connections were in use";
    assert_due(&result, 50);
    let (times, what) = failure(&result, "never sent, no free connection");
    assert!(times <= count(&result, "messages/never_sent"), "{result:#}");
    assert_eq!(what, expected);
}

#[test]
fn a_reply_that_is_too_long_or_too_short_is_wrong() {
    for (bytes, reason, expected) in [
        (
            format!("{GREETING}!"),
            "wrong reply",
            "byte 26 of the reply is '!', expected the end of the stream",
        ),
        (GREETING[..25].into(), "closed by the server", "the server ended the stream 25 bytes into a reply"),
        (String::new(), "closed by the server", "the server ended the stream"),
    ] {
        let server = Scripted::new(move |mut stream, _| stream.write_all(bytes.as_bytes()).unwrap());
        let result = failed_result(&format!("greeting={} -c 1 -r 10 -d 300ms", server.address));
        assert_due(&result, 3);
        let (times, first) = failure(&result, reason);
        assert_counts(&result, &[("messages/sent", times), ("messages/failed", times)]);
        assert!(first.starts_with(&format!("connection 1: {expected}")), "{first}");
    }
}
