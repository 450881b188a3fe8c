//! Runs that fail because of the server, and runs that end early.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::common::{INTRODUCTION, Signal, WAIT_MAX, acknowledgement, eventually};
use crate::running::{
    Run, Running, assert_adds_up, assert_counts, command, command_after, count, failed_result, failure, run,
    run_with,
};
use crate::scripted::{Calendar, Scripted, answer_with, month, read_frame, read_to_the_end, serve};

/// The run of a command, its result and its page.
struct Written {
    run: Run,
    result: Value,
    page: String,
}

impl Written {
    fn by(arguments: &str) -> Self {
        Self::with(arguments, |_| {})
    }

    /// `meanwhile` is called during the run.
    fn with(arguments: &str, meanwhile: impl FnOnce(&Running)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [json, page] = ["a.json", "a.html"].map(|name| folder.path().join(name));
        let running = Running::start(command(arguments).arg("--json").arg(&json).arg("--report").arg(&page));
        meanwhile(&running);
        let run = running.wait();
        let [json, page] = [json, page].map(|path| fs::read_to_string(path).unwrap());
        let result = serde_json::from_str(&json).unwrap();
        assert_adds_up(&result);
        assert!(run.stdout.lines().last().unwrap().starts_with("generator: "), "{}", run.stdout);
        Self { run, result, page }
    }

    fn first_line(&self) -> &str {
        self.run.stdout.lines().next().unwrap()
    }

    /// The keys about the end of the run.
    fn end(&self) -> [&Value; 4] {
        ["failed", "ended_early", "ended_in", "interrupted"].map(|key| &self.result[key])
    }

    /// Asserts the exit status of a server that failed, and that standard error, the table and the page name the
    /// reason. Returns the reason.
    fn assert_failed(&self, endpoint: &str) -> &str {
        let line = self.run.line(4);
        let why = line.strip_prefix(&format!("loopline: {endpoint}: failed: "));
        let why = why.unwrap_or_else(|| panic!("{line}"));
        let first_line = self.first_line().strip_prefix("failed: ").unwrap();
        assert!(why.starts_with(first_line), "{first_line}: {why}");
        // The list of failures has the first error.
        for failure in self.result["failures"].as_array().unwrap() {
            assert!(!first_line.contains(failure["first"].as_str().unwrap()), "{first_line}");
        }
        assert!(self.page.contains("Failed."), "{}", self.page);
        why
    }
}

#[test]
fn a_run_in_which_nothing_is_acknowledged_fails() {
    let silent = Scripted::new(|stream, _| read_to_the_end(&stream));
    let web = Scripted::new(|stream, _| answer_with(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    for (server, expected) in [(&silent, " unanswered"), (&web, "reply is 'H', expected '3'")] {
        let endpoint = format!("message={}", server.address);
        for options in ["", "-r 20", "--one-shot", "--one-shot -r 20"] {
            let run = Written::by(&format!("{endpoint} -c 2 -d 100ms --drain-timeout 50ms {options}"));
            let why = run.assert_failed(&endpoint);
            assert!(why.starts_with("nothing was acknowledged, ") && why.contains(expected), "{why}");
            assert_eq!(run.result["failed"], "nothing_acknowledged");
            assert!(!run.run.stdout.contains("\nresponse "), "{}", run.run.stdout);
        }
    }
}

#[test]
fn wrong_replies_on_all_connections_end_the_run() {
    let web = Scripted::new(|stream, _| answer_with(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let run = Written::by(&format!("message={} -c 2 -d 1h", web.address));
    let expected = [json!("nothing_acknowledged"), json!("wrong_replies"), json!("measuring"), json!(false)];
    assert_eq!(run.end(), expected.each_ref());
    let second = run.run.stdout.lines().nth(1).unwrap();
    assert!(second.ends_with(" of 3,600 s: wrong replies ended all connections"), "{second}");
}

#[test]
fn a_run_whose_server_goes_away_ends_at_once_and_fails() {
    for options in ["-c 2", "-c 2 --pipeline 2", "-c 2 -r 200"] {
        let server = Scripted::new(|mut stream, _| {
            for _ in 0..10 {
                read_frame(&mut stream).unwrap();
                stream.write_all(&acknowledgement()).unwrap();
            }
            read_frame(&mut stream);
        });
        let endpoint = format!("message={}", server.address);
        let run = Written::by(&format!("{endpoint} -d 1h {options}"));
        let why = run.assert_failed(&endpoint);
        assert!(
            why.starts_with("ended early at ") && why.ends_with(" of 3,600 s: the server went away"),
            "{why}"
        );
        let expected = [json!("server_gone"), json!("server_gone"), json!("measuring"), json!(false)];
        assert_eq!(run.end(), expected.each_ref());
        assert_counts(&run.result, &[("messages/acknowledged", 20), ("connections/lost", 2)]);
    }
}

#[test]
fn a_one_shot_run_whose_server_goes_away_ends_early_and_fails() {
    for options in ["-c 4", "-c 4 -r 1000"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("message={}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            for _ in 0..20 {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
                read_frame(&mut stream).unwrap();
                stream.write_all(&acknowledgement()).unwrap();
                read_to_the_end(&stream);
            }
        });
        let run = Written::by(&format!("{endpoint} -d 1h --one-shot {options}"));
        server.join().unwrap();
        assert!(run.assert_failed(&endpoint).ends_with(" of 3,600 s: the server went away"));
        assert_counts(&run.result, &[("messages/acknowledged", 20)]);
    }
}

#[test]
fn a_server_that_stops_replying_fails_the_run() {
    let answered = AtomicUsize::new(0);
    let server = Scripted::new(move |mut stream, _| {
        while read_frame(&mut stream).is_some() {
            if answered.fetch_add(1, Ordering::SeqCst) == 0 {
                stream.write_all(&acknowledgement()).unwrap();
            }
        }
    });
    let endpoint = format!("message={}", server.address);
    let run = Written::by(&format!("{endpoint} -c 1 -d 3s --drain-timeout 100ms"));
    let why = run.assert_failed(&endpoint);
    assert!(why.starts_with("the server stopped replying at ") && why.ends_with(" of 3 s"), "{why}");
    assert_counts(&run.result, &[("messages/acknowledged", 1), ("messages/unanswered", 1)]);
    assert_eq!(run.end()[..2], [&json!("stopped_replying"), &Value::Null]);
}

#[test]
fn a_server_that_closes_all_held_connections_fails_the_run() {
    // Not before the connections are held: until then, it would count as refusing them.
    let (held, are_held) = (Arc::new(AtomicBool::new(false)), "the connections are held");
    let holding = held.clone();
    let server = Scripted::new(move |mut stream, _| {
        eventually(are_held, || holding.load(Ordering::SeqCst).then_some(()));
        let _ = stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    });
    let endpoint = format!("hold={}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.hlog");
    let run = Written::with(&format!("{endpoint} -c 3 -d 1h --histogram {}", log.display()), |_| {
        // The times of the opening are written first, and then those of each second.
        eventually(are_held, || (fs::read_to_string(&log).ok()?.matches("Tag=").count() > 1).then_some(()));
        held.store(true, Ordering::SeqCst);
    });
    assert!(run.assert_failed(&endpoint).ends_with(" of 3,600 s: the server went away"));
    assert_counts(&run.result, &[("connections/opened", 3), ("connections/lost", 3)]);
    assert_eq!(failure(&run.result, "closed by the server").0, 3);
}

#[test]
fn thresholds_are_judged_in_a_run_that_failed() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = format!("message={} -c 1 -d 50ms --drain-timeout 50ms", server.address);
    let run = run_with(&format!("{arguments} --fail-if errors>0 --fail-if failed>0"));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!((run.status, lines.len()), (Some(4), 2), "{run:?}");
    assert!(lines[0].contains(": failed: nothing was acknowledged, 1 sent: 0 failed, 1 unanswered"));
    assert_eq!(lines[1], "loopline: --fail-if errors>0: errors is 1, over 0");
}

/// A UDP server at which sessions can be opened, and that ends then.
fn calendar_that_only_introduces_itself() -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let (_, peer) = socket.recv_from(&mut [0; 64]).unwrap();
        socket.send_to(INTRODUCTION.as_bytes(), peer).unwrap();
    });
    (address, server)
}

#[test]
fn a_run_in_which_no_datagram_is_answered_fails() {
    let server = Calendar::new(|_, _| Vec::new());
    for options in ["", "-r 50"] {
        let arguments = format!("month={} -c 1 -d 100ms --timeout 200ms {options}", server.address);
        let result = failed_result(&arguments);
        assert_counts(&result, &[("datagrams/answered", 0), ("datagrams/late", 0)]);
        assert_eq!(result["failed"], "nothing_acknowledged");
    }
    let (address, ended) = calendar_that_only_introduces_itself();
    let result = failed_result(&format!("month={address} -c 1 -d 100ms --timeout 200ms"));
    ended.join().unwrap();
    assert_eq!(failure(&result, "connection refused").1, "socket 1: Connection refused (os error 111)");
}

#[test]
fn lost_datagrams_do_not_fail_a_run() {
    let server = Calendar::new(|number, _| if number % 2 == 0 { Vec::new() } else { vec![month(number)] });
    let run = run_with(&format!("month={} -c 1 -d 600ms -r 20 --timeout 200ms", server.address));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_signal_is_named_in_the_first_line_and_in_the_result() {
    let (server, acknowledged) = Scripted::acknowledging();
    for (options, ended_in, expected) in
        [("", "measuring", " of 3,600 s"), ("--warmup 1h", "warm_up", " in the warm-up")]
    {
        acknowledged.store(0, Ordering::SeqCst);
        let run = Written::with(&format!("message={} -c 1 -d 1h {options}", server.address), |load| {
            eventually("messages are sent", || (acknowledged.load(Ordering::SeqCst) >= 5).then_some(()));
            load.signal(Signal::INT);
        });
        assert_eq!((run.run.status, run.run.stderr.as_str()), (Some(0), ""), "{:?}", run.run);
        let line = run.first_line();
        assert!(line.starts_with("interrupted ") && line.ends_with(expected), "{line}");
        let expected = [Value::Null, json!("interrupted"), json!(ended_in), json!(true)];
        assert_eq!(run.end(), expected.each_ref());
        assert!(run.page.contains("Interrupted "), "{}", run.page);
    }
}

#[test]
fn a_limit_of_descriptors_is_named_in_the_first_line_and_in_the_result() {
    let server = serve("message=0");
    let arguments = format!("message={} -c 500 -d 200ms", server.address("message"));
    let table = run(&mut command_after("ulimit -n 200", &arguments));
    assert_eq!(table.status, Some(0), "{table:?}");
    assert!(table.stdout.starts_with("opening ended early: no descriptor was left\nmessage="), "{table:?}");
    assert!(table.stdout.contains("500 requested: 168 opened, 0 failed, 332 not tried; "), "{table:?}");
    let result = run(&mut command_after("ulimit -n 200", &format!("{arguments} --json -"))).result(0);
    assert_eq!((&result["ended_early"], &result["ended_in"]), (&json!("descriptors"), &json!("opening")));
    assert_eq!(count(&result, "connections/not_tried"), 332);
    server.stop_cleanly();
}

#[test]
fn giving_up_is_named_and_nothing_is_shown_as_a_result() {
    let (_port, address) = crate::scripted::unused_port(socket2::Type::STREAM);
    let run = run_with(&format!("message={address} -c 1000"));
    assert_eq!(run.status, Some(1), "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0] == "failed: no connection could be opened", "{run:?}");
    assert_eq!(lines[1], "opening ended early: gave up after 100 consecutive failures to connect");
    assert!(lines[4].starts_with("connections  1,000 requested: 0 opened, "), "{run:?}");
    assert!(lines[4].ends_with(" not tried; limited by refused"), "{run:?}");
    for zeros in ["messages ", "rate ", "bytes ", "latency ", "generator  "] {
        assert!(!lines.iter().any(|line| line.starts_with(zeros)), "{run:?}");
    }
}
