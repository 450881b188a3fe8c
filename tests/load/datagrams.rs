//! Datagrams: answered, late, twice, or lost.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::Type;

use crate::common::{Clock, INTRODUCTION, WAIT_MAX};
use crate::running::{assert_counts, count, failure, real, result, run_words};
use crate::scripted::{Calendar, month, nobody, serve};

#[test]
fn every_datagram_of_a_real_server_is_answered() {
    let server = serve("month=0 month=[::1]:0");
    for address in server.addresses("month") {
        for options in ["", "--pipeline 12", "-r 500"] {
            let result = result(&format!("month={address} -c 5 -d 400ms {options}"));
            let sent = count(&result, "datagrams/sent");
            assert!(if options == "-r 500" { sent == 200 } else { sent > 5 }, "{result:#}");
            let none = [("datagrams/late", 0), ("datagrams/lost", 0), ("datagrams/duplicate", 0)];
            assert_counts(&result, &none);
            assert_counts(&result, &[("datagrams/answered", sent), ("connections/opened", 5)]);
        }
    }
    server.stop_cleanly();
}

#[test]
fn answers_that_come_after_their_time_are_late() {
    // Each is answered once the next is asked for, and that is when its time is over.
    let mut before = None;
    let server = Calendar::new(move |number, _| before.replace(number).map(month).into_iter().collect());
    let result = result(&format!("month={} -c 1 -d 1s --timeout 100ms", server.address));
    let asked = server.asked() as u64;
    assert!(asked > 2, "{result:#}");
    assert_counts(
        &result,
        &[
            ("datagrams/sent", asked),
            ("datagrams/answered", 0),
            ("datagrams/late", asked - 1),
            ("datagrams/lost", 1),
            ("datagrams/duplicate", 0),
            ("messages/acknowledged", asked - 1),
        ],
    );
    assert!(real(&result["latency_us"]["response"]["max"]) >= 100_000.0);
}

#[test]
fn answers_that_are_late_when_measuring_begins_are_accounted_for() {
    // Each is answered once the next but one is asked for, so that one is always late.
    let mut before = [None; 2];
    let server = Calendar::new(move |number, _| {
        let [answer, next] = before;
        before = [next, Some(number)];
        answer.map(month).into_iter().collect()
    });
    let words = format!("month={} -c 1 --warmup 450ms -d 450ms --timeout 100ms", server.address);
    let clock = Clock::start();
    let result = result(&words);
    assert!(clock.elapsed() < Duration::from_millis(2500), "a datagram that is lost is not waited for");
    assert_counts(&result, &[("datagrams/answered", 0), ("datagrams/lost", 2)]);
    assert!(count(&result, "datagrams/late") > 0, "{result:#}");
}

#[test]
fn answers_that_come_twice_are_counted_once() {
    // The second time together with the next, so that the run does not end between the two.
    let mut before = None;
    let server = Calendar::new(move |number, _| {
        before.replace(number).into_iter().chain([number]).map(month).collect()
    });
    let result = result(&format!("month={} -c 1 -d 300ms", server.address));
    let asked = server.asked() as u64;
    assert_counts(
        &result,
        &[
            ("datagrams/sent", asked),
            ("datagrams/answered", asked),
            ("datagrams/lost", 0),
            ("datagrams/duplicate", asked - 1),
            ("messages/acknowledged", asked),
        ],
    );
}

#[test]
fn datagrams_that_are_dropped_are_lost_and_no_others() {
    for options in ["-c 1", "-c 1 --pipeline 12", "-c 3 --pipeline 4", "-c 4 -r 300"] {
        let server =
            Calendar::new(|number, before| if before % 10 == 9 { Vec::new() } else { vec![month(number)] });
        let words = format!("month={} -d 400ms --timeout 300ms {options}", server.address);
        let result = result(&words);
        let asked = server.asked() as u64;
        assert!(asked >= 10, "{options}: {result:#}");
        assert_counts(
            &result,
            &[
                ("datagrams/sent", asked),
                ("datagrams/answered", asked - asked / 10),
                ("datagrams/late", 0),
                ("datagrams/lost", asked / 10),
                ("datagrams/duplicate", 0),
            ],
        );
    }
}

#[test]
fn a_question_that_is_not_answered_does_not_keep_the_others_from_being_asked() {
    let server = Calendar::new(|number, _| if number == 1 { Vec::new() } else { vec![month(number)] });
    let result = result(&format!(
        "month={} -c 1 -d 500ms --pipeline 12 --timeout 20s --drain-timeout 100ms",
        server.address
    ));
    assert!(server.asked() > 200, "{result:#}");
    assert_counts(&result, &[("datagrams/lost", 1), ("datagrams/duplicate", 0)]);
}

#[test]
fn a_stall_with_more_in_flight_than_there_are_months_loses_nothing() {
    let mut held = Vec::new();
    let server = Calendar::new(move |number, before| {
        held.push(number);
        // The first sixty are answered at once, when the last of them is there.
        if before < 59 { Vec::new() } else { held.drain(..).map(month).collect() }
    });
    let result = result(&format!("month={} -c 1 -r 600 -d 300ms --timeout 10s", server.address));
    assert_eq!(server.asked(), 180);
    assert_counts(
        &result,
        &[
            ("datagrams/sent", 180),
            ("datagrams/answered", 180),
            ("datagrams/lost", 0),
            ("datagrams/late", 0),
            ("datagrams/duplicate", 0),
        ],
    );
    // The first waited for the sixtieth.
    assert!(real(&result["latency_us"]["response"]["max"]) >= 98_000.0, "{result:#}");
}

#[test]
fn answers_that_are_no_months_are_wrong_and_their_questions_lost() {
    let server = Calendar::new(|_, _| vec!["Smarch\u{1b}".into()]);
    let result = result(&format!("month={} -c 1 -d 500ms --timeout 100ms", server.address));
    let asked = server.asked() as u64;
    assert_counts(&result, &[("datagrams/lost", asked), ("datagrams/answered", 0)]);
    let (times, first) = failure(&result, "wrong reply");
    assert_eq!(times, asked);
    assert_eq!(first, "socket 1: unexpected answer \"Smarch\\u{1b}\"");
}

#[test]
fn nobody_who_answers_datagrams_is_one_line_and_a_result() {
    let (port, address) = nobody(Type::DGRAM);
    // It is bound, and not read: the hello is not answered, but not refused either.
    let run = run_words(&format!("month={address} -c 2 --timeout 100ms --json -"));
    assert_eq!(
        run.line(1),
        format!(
            "loopline: month={address}: no connection could be opened: socket 1: no answer after 3 tries"
        )
    );
    assert_eq!(run.result(1)["connections"]["limited_by"], "unreachable");
    drop(port);
    let run = run_words(&format!("month={address} -c 2 --json -"));
    assert!(run.line(1).ends_with(": socket 1: Connection refused (os error 111)"), "{run:?}");
    assert_eq!(run.result(1)["connections"]["limited_by"], "refused");
}

#[test]
fn a_hello_that_was_asked_for_twice_is_no_wrong_reply() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let mut buffer = [0; 64];
        socket.recv_from(&mut buffer).unwrap();
        // The first hello is answered together with the second.
        let (_, peer) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(INTRODUCTION.as_bytes(), peer).unwrap();
        socket.send_to(b"Error: expected a number from 1 to 12", peer).unwrap();
        let (bytes, peer) = socket.recv_from(&mut buffer).unwrap();
        let number: usize = std::str::from_utf8(&buffer[..bytes]).unwrap().parse().unwrap();
        socket.send_to(month(number).as_bytes(), peer).unwrap();
    });
    let result = result(&format!("month={address} -c 1 -r 1 -d 500ms --timeout 200ms"));
    assert_counts(&result, &[("datagrams/answered", 1), ("datagrams/lost", 0)]);
    assert_eq!(result["failures"], Value::Array(Vec::new()), "{result:#}");
    server.join().unwrap();
}
