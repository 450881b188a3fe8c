//! Datagrams that are answered, late, duplicated, or lost.

use serde_json::Value;
use socket2::Type;

use crate::common::{Clock, Signal, WAIT_MAX, eventually};
use crate::running::{
    Running, assert_counts, assert_due, command, count, failed_result, failure, real, result, run_with,
};
use crate::scripted::{Calendar, month, serve, unused_port};

#[test]
fn every_datagram_of_a_real_server_is_answered() {
    let server = serve("month=0 month=[::1]:0");
    for address in server.addresses("month") {
        for options in ["", "--pipeline 12", "-r 500"] {
            let result = result(&format!("month={address} -c 5 -d 200ms --timeout 20s {options}"));
            let sent = count(&result, "datagrams/sent");
            if options == "-r 500" {
                assert_due(&result, 100);
            }
            let none = [("datagrams/late", 0), ("datagrams/lost", 0), ("datagrams/duplicate", 0)];
            assert_counts(&result, &none);
            assert_counts(&result, &[("datagrams/answered", sent), ("connections/opened", 5)]);
        }
    }
    server.stop_cleanly();
}

#[test]
fn answers_after_the_timeout_are_late() {
    // Each is answered when the next one arrives, which is sent after the timeout.
    let mut before = None;
    let server = Calendar::new(move |number, _| before.replace(number).map(month).into_iter().collect());
    let result = result(&format!("month={} -c 1 -d 1s --timeout 200ms", server.address));
    let asked = server.asked() as u64;
    assert_counts(
        &result,
        &[("datagrams/sent", asked), ("datagrams/answered", 0), ("datagrams/duplicate", 0)],
    );
    // An answer that is late at the end of the run is not awaited.
    assert!(count(&result, "datagrams/late") > 0 && count(&result, "datagrams/lost") > 0, "{result:#}");
    assert!(real(&result["latency_us"]["response"]["max"]) >= 200_000.0);
}

#[test]
fn answers_that_are_overdue_when_measuring_starts_are_counted() {
    // Each is answered when the next but one arrives, so one is always overdue.
    let mut before = [None; 2];
    let server = Calendar::new(move |number, _| {
        let [answer, next] = before;
        before = [next, Some(number)];
        answer.map(month).into_iter().collect()
    });
    let arguments =
        format!("month={} -c 1 --warmup 700ms -d 700ms --timeout 150ms --drain-timeout 1h", server.address);
    let clock = Clock::start();
    let result = result(&arguments);
    assert!(clock.elapsed() < WAIT_MAX, "lost datagrams are not awaited");
    assert_counts(&result, &[("datagrams/answered", 0)]);
    assert!(count(&result, "datagrams/late") > 0 && count(&result, "datagrams/lost") >= 2, "{result:#}");
}

#[test]
fn an_answer_received_twice_is_counted_once() {
    // The duplicate follows with the next answer, so that the run does not end between them.
    let mut before = None;
    let server = Calendar::new(move |number, _| {
        before.replace(number).into_iter().chain([number]).map(month).collect()
    });
    let result = result(&format!("month={} -c 1 -d 300ms --timeout 20s", server.address));
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

/// The result of a run with `arguments` that is stopped once the server was asked this often.
fn result_after(server: &Calendar, asked: usize, arguments: &str) -> Value {
    let arguments = format!("month={} -d 1h --json - {arguments}", server.address);
    let load = Running::start(&mut command(&arguments));
    eventually("the server is asked", || (server.asked() >= asked).then_some(()));
    load.signal(Signal::INT);
    load.wait().result(0)
}

#[test]
fn only_unanswered_datagrams_are_lost() {
    for options in ["-c 1", "-c 1 --pipeline 12", "-c 3 --pipeline 4", "-c 4 -r 300"] {
        let server =
            Calendar::new(|number, before| if before % 10 == 9 { Vec::new() } else { vec![month(number)] });
        let result = result_after(&server, 25, &format!("--timeout 150ms {options}"));
        let asked = server.asked() as u64;
        assert_counts(&result, &[("datagrams/sent", asked), ("datagrams/duplicate", 0)]);
        // On a slow machine, further answers are late, or are not awaited at the end.
        let (lost, late) = (count(&result, "datagrams/lost"), count(&result, "datagrams/late"));
        assert!(lost >= asked / 10, "{options}: {result:#}");
        assert!(lost <= asked / 10 + 12 || late > 0, "{options}: {result:#}");
    }
}

#[test]
fn a_lost_datagram_does_not_block_the_others() {
    let server = Calendar::new(|number, _| if number == 1 { Vec::new() } else { vec![month(number)] });
    let arguments = "-c 1 --pipeline 12 --timeout 1h --drain-timeout 100ms";
    let result = result_after(&server, 50, arguments);
    // Of those in flight at the end, some may not be answered in time.
    let lost = count(&result, "datagrams/lost");
    assert!((1..=12).contains(&lost), "{result:#}");
    assert_counts(&result, &[("datagrams/duplicate", 0)]);
}

#[test]
fn more_datagrams_in_flight_than_months_are_all_matched() {
    let mut held = Vec::new();
    let server = Calendar::new(move |number, before| {
        held.push(number);
        // The first sixty are answered together when the last of them arrives.
        if before < 59 { Vec::new() } else { held.drain(..).map(month).collect() }
    });
    let result = result(&format!("month={} -c 1 -r 600 -d 300ms --timeout 20s", server.address));
    assert_due(&result, 180);
    let asked = server.asked() as u64;
    assert_counts(
        &result,
        &[
            ("datagrams/sent", asked),
            ("datagrams/answered", asked),
            ("datagrams/lost", 0),
            ("datagrams/late", 0),
            ("datagrams/duplicate", 0),
        ],
    );
    // The first waited for the sixtieth.
    assert!(real(&result["latency_us"]["response"]["max"]) >= 98_000.0, "{result:#}");
}

#[test]
fn an_answer_that_is_not_a_month_is_wrong_and_its_datagram_lost() {
    let server = Calendar::new(|_, _| vec!["Smarch\u{1b}".into()]);
    let result = failed_result(&format!("month={} -c 1 -d 300ms --timeout 200ms", server.address));
    let asked = server.asked() as u64;
    assert_counts(&result, &[("datagrams/lost", asked), ("datagrams/answered", 0)]);
    let (times, first) = failure(&result, "wrong reply");
    assert!((1..=asked).contains(&times), "{result:#}");
    assert_eq!(first, "socket 1: unexpected answer: Smarch\\u{1b}");
}

#[test]
fn a_target_that_does_not_answer_datagrams_is_one_error_line_and_a_result() {
    let (port, address) = unused_port(Type::DGRAM);
    // The socket is bound and not read: the hello is neither answered nor refused.
    let run = run_with(&format!("month={address} -c 2 --timeout 100ms --json -"));
    assert_eq!(
        run.line(1),
        format!(
            "loopline: month={address}: no connection could be opened: socket 1: no answer after 3 tries"
        )
    );
    assert_eq!(run.result(1)["connections"]["limited_by"], "unreachable");
    drop(port);
    let run = run_with(&format!("month={address} -c 2 --json -"));
    assert!(run.line(1).ends_with(": socket 1: Connection refused (os error 111)"), "{run:?}");
    assert_eq!(run.result(1)["connections"]["limited_by"], "refused");
}

#[test]
fn datagrams_that_the_kernel_drops_because_the_server_is_slow_are_in_the_result() {
    const SOCKETS: usize = 20;
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let socket = server.try_clone().unwrap();
    // It answers the first datagram of each socket, and then reads nothing more.
    std::thread::spawn(move || {
        let mut peers = std::collections::HashSet::new();
        while peers.len() < SOCKETS {
            let (_, peer) = socket.recv_from(&mut [0; 64]).unwrap();
            peers.insert(peer);
            socket.send_to(crate::common::INTRODUCTION.as_bytes(), peer).unwrap();
        }
        socket2::SockRef::from(&socket).set_recv_buffer_size(0).unwrap();
    });
    let result = failed_result(&format!("month={address} -c {SOCKETS} -d 1s --timeout 100ms"));
    let [sent, dropped] =
        ["sent", "kernel/server_receive_buffer"].map(|of| count(&result, &format!("datagrams/{of}")));
    // The last ones may be retries of the first.
    assert!(dropped > 0 && dropped <= sent + SOCKETS as u64, "{result:#}");
    assert_counts(&result, &[("datagrams/kernel/own_receive_buffer", 0)]);
    drop(server);
}
