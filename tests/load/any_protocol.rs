//! `tcp=` and `udp=`: servers of any protocol, with requests and replies of the user.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::running::{assert_counts, count, failed_result, failure, result, run_with};
use crate::scripted::Scripted;

/// Answers each line with what `reply` returns for it and for the number of the connection.
fn line_server(reply: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Scripted {
    Scripted::new(move |mut stream, number| {
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if stream.write_all(reply(&line, number).as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    })
}

fn pong_server() -> Scripted {
    line_server(|line, _| if line == "PING\r\n" { "+PONG\r\n".into() } else { format!("-ERR {line}") })
}

const PING: &str = "--send PING\\r\\n --expect +PONG\\r\\n";

#[test]
fn requests_of_the_user_are_sent_in_each_way_that_messages_are() {
    let server = pong_server();
    for way in ["", "--pipeline 16", "--one-shot", "--rate 500", "--rate 500 --one-shot", "--active 2"] {
        let result = result(&format!("tcp={} {PING} -c 4 -d 100ms {way}", server.address));
        let sent = count(&result, "messages/sent");
        assert!(sent >= 4 || (way == "--active 2" && sent >= 2), "{way}: {result:#}");
        assert_counts(
            &result,
            &[("messages/acknowledged", sent), ("messages/failed", 0), ("connections/lost", 0)],
        );
        assert_counts(&result, &[("bytes/sent", 6 * sent), ("bytes/received", 7 * sent)]);
    }
    let result =
        result(&format!("tcp={} --send @{} --expect-bytes 7 -c 1 -d 100ms", server.address, ping_file()));
    assert!(count(&result, "messages/acknowledged") > 0, "{result:#}");
}

fn ping_file() -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ping");
    std::fs::write(&path, "PING\r\n").unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn numbers_in_requests_and_replies_are_those_of_each_connection() {
    let server = line_server(|line, _| line.replace("request", "reply"));
    for reply in ["reply\\x20{seq}\\x20of\\x20{conn}\\n", "{seq}"] {
        let arguments = format!("tcp={} --send request\\x20{{seq}}\\x20of\\x20{{conn}}\\n", server.address);
        let options = "-c 3 -d 200ms --pipeline 5";
        if reply == "{seq}" {
            let result = failed_result(&format!("{arguments} --expect {reply} {options}"));
            let (_, first) = failure(&result, "wrong reply");
            assert!(
                first.contains("byte 0 of the reply is 'r', expected '1'; received: reply 1 of "),
                "{first}"
            );
        } else {
            let result = result(&format!("{arguments} --expect {reply} {options}"));
            assert!(count(&result, "messages/acknowledged") >= 15, "{result:#}");
            assert_counts(&result, &[("messages/failed", 0)]);
        }
    }
    let until = format!("tcp={} --send {{seq}}\\r\\n --expect-until \\r\\n -c 1 -d 100ms", server.address);
    assert_counts(&result(&until), &[("messages/failed", 0)]);
}

/// Greets, reads the hello, replies to it, and then behaves as the server of `PING`.
fn greeting_server(greeting: &'static str, reply: &'static str) -> Scripted {
    Scripted::new(move |mut stream, _| {
        // The greeting comes in two parts.
        for part in greeting.split_inclusive(' ') {
            if stream.write_all(part.as_bytes()).is_err() {
                return;
            }
            crate::common::stall(Duration::from_millis(2));
        }
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let Some(Ok(hello)) = lines.next() else { return };
        assert!(hello.starts_with("AUTH "), "{hello}");
        answer(stream, lines, reply);
    })
}

fn answer(mut stream: TcpStream, lines: impl Iterator<Item = std::io::Result<String>>, reply: &str) {
    if stream.write_all(reply.as_bytes()).is_err() {
        return;
    }
    for _ in lines.map_while(Result::ok) {
        if stream.write_all(b"+PONG\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn a_greeting_and_a_hello_precede_the_requests_on_each_connection() {
    let server = greeting_server("220 ready when you are\r\n", "+OK\r\n");
    let introduction = "--greeting until:\\r\\n --hello AUTH\\x20{conn}\\n --hello-expect +OK\\r\\n";
    for way in ["-c 5", "-c 2 --one-shot", "-c 2 --rate 200"] {
        let result = result(&format!("tcp={} {PING} {introduction} {way} -d 100ms", server.address));
        assert!(count(&result, "messages/acknowledged") > 0, "{way}: {result:#}");
        assert_counts(&result, &[("messages/failed", 0), ("connections/lost", 0), ("connections/failed", 0)]);
    }
    let refusing = greeting_server("220 ready\r\n", "-DENIED\r\n");
    let run = run_with(&format!("tcp={} {PING} {introduction} -c 1 -d 300ms", refusing.address));
    assert_eq!(
        run.line(1),
        format!(
            "loopline: tcp={}: no connection could be opened: connection 1: byte 0 of the reply to the hello is '-', \
             expected '+'; received: -DENIED\\r\\n",
            refusing.address
        )
    );
    let silent = Scripted::new(|stream, _| crate::scripted::read_to_the_end(&stream));
    let run = run_with(&format!("tcp={} {PING} {introduction} -c 2 --timeout 100ms", silent.address));
    let expected = format!("connection 1: no byte of the greeting from {}", silent.address);
    assert!(run.line(1).ends_with(&expected), "{run:?}");
}

#[test]
fn a_delimiter_that_does_not_come_ends_the_connection() {
    let server = Scripted::new(|mut stream, _| while stream.write_all(&[b'x'; 8192]).is_ok() {});
    let result = failed_result(&format!("tcp={} --send a --expect-until \\r\\n -c 1 -d 1h", server.address));
    let (times, first) = failure(&result, "wrong reply");
    assert_eq!(times, 1);
    assert!(first.starts_with("connection 1: \"\\r\\n\" is not in the first MiB of the reply; "), "{first}");
}

#[test]
fn a_server_that_closes_in_the_middle_of_a_reply_is_reported() {
    let server = Scripted::new(|mut stream, _| {
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
        stream.write_all(b"+PO").unwrap();
    });
    for reply in ["--expect +PONG\\r\\n", "--expect-bytes 7", "--expect-until \\r\\n"] {
        let result = failed_result(&format!("tcp={} --send PING\\n {reply} -c 1 -d 300ms", server.address));
        let expected = "connection 1: the server ended the stream 3 bytes into a reply";
        assert_eq!(failure(&result, "closed by the server"), (1, expected.into()), "{reply}");
    }
}

#[test]
fn options_that_do_not_fit_are_one_line() {
    for (arguments, expected) in [
        ("message --send a", "--send requires tcp= or udp="),
        ("tcp=1 --expect a", "tcp= requires --send"),
        ("tcp=1 --send a", "tcp= requires --expect, --expect-bytes or --expect-until"),
        ("tcp=1 --send a --expect b --size 7", "--size does not apply to tcp"),
        ("tcp=1 --send {seq} --expect-bytes 1 --expect a", "--expect and --expect-bytes exclude each other"),
    ] {
        let run = run_with(arguments);
        assert_eq!((run.line(2), run.status), (&*format!("loopline: {expected}"), Some(2)), "{run:?}");
    }
    for (arguments, expected) in [
        ("--send a\\q", "invalid value 'a\\q' for '--send <BYTES>': character 2: unknown escape '\\q'"),
        ("--send hex:0", "invalid value 'hex:0' for '--send <BYTES>': character 5: '0' is half a byte"),
        (
            "--expect @/no/such",
            "invalid value '@/no/such' for '--expect <BYTES>': cannot read '/no/such': No such",
        ),
        ("--expect-until {seq}", "numbers cannot stand in bytes that end a reply"),
        (
            "--greeting bytes:0",
            "invalid value 'bytes:0' for '--greeting <REPLY>': it must be at least one byte",
        ),
    ] {
        let run = run_with(&format!("tcp=1 {arguments}"));
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.stderr.contains(expected), "{run:?}");
    }
}

/// A UDP server that sends what `answers` returns for each datagram and the number of those before it.
struct Datagrams {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Datagrams {
    fn new(answers: impl Fn(&str, usize) -> Vec<String> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            for before in 0.. {
                let (bytes, peer) = socket.recv_from(&mut buffer).unwrap();
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                for answer in answers(std::str::from_utf8(&buffer[..bytes]).unwrap(), before) {
                    socket.send_to(answer.as_bytes(), peer).unwrap();
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"", self.address).unwrap();
        drop(self.thread.take().unwrap().join());
    }
}

#[test]
fn datagrams_of_the_user_are_sent_and_their_answers_matched_by_number() {
    let server = Datagrams::new(|request, _| vec![request.replace('q', "a")]);
    for way in ["", "--pipeline 16", "--rate 500", "--hello q0 --hello-expect a0", "--hello q0"] {
        let result = result(&format!(
            "udp={} --send q{{seq}} --expect a{{seq}} -c 3 -d 100ms --timeout 20s {way}",
            server.address
        ));
        // A hello that nothing is expected of is answered by this server all the same.
        let is_clean = way != "--hello q0";
        assert!(count(&result, "datagrams/answered") >= 3, "{way}: {result:#}");
        assert_counts(&result, &[("datagrams/lost", 0), ("datagrams/late", 0), ("datagrams/duplicate", 0)]);
        assert_eq!(result["failures"].as_array().unwrap().is_empty(), is_clean, "{way}: {result:#}");
    }
}

#[test]
fn lost_and_repeated_datagrams_of_the_user_are_counted() {
    let server = Datagrams::new(|request, before| match before % 10 {
        3 => vec![],
        5 => vec![request.into(), request.into()],
        _ => vec![request.into()],
    });
    let result = result(&format!(
        "udp={} --send {{seq}} --expect {{seq}} -c 1 -d 1s --rate 100 --timeout 20s --drain-timeout 500ms",
        server.address
    ));
    assert_counts(&result, &[("datagrams/sent", 100), ("datagrams/answered", 90), ("datagrams/lost", 10)]);
    let duplicate = count(&result, "datagrams/duplicate");
    assert!((9..=10).contains(&duplicate), "the last may come after the end: {result:#}");
}

#[test]
fn idle_connections_send_heartbeats() {
    let server = pong_server();
    for options in ["--active 1", "--active 0", "--active 1 --rate 100"] {
        let result =
            result(&format!("tcp={} {PING} -c 9 --heartbeat 60ms -d 600ms {options}", server.address));
        let [sent, acknowledged] =
            ["sent", "acknowledged"].map(|of| count(&result, &format!("heartbeats/{of}")));
        // Eight or nine connections send ten times each; a generator without a processor may not reach the last.
        assert!((40..=90).contains(&sent) && sent == acknowledged, "{options}: {result:#}");
        let messages = count(&result, "messages/acknowledged");
        assert_eq!(messages == acknowledged, options == "--active 0", "{options}: {result:#}");
        assert_counts(
            &result,
            &[("latency_us/service/count", messages - acknowledged), ("heartbeats/latency_us/count", sent)],
        );
    }
    let run = run_with("tcp=1 --send a --expect b --heartbeat 1s");
    let expected = "loopline: --heartbeat requires idle connections: --active less than --connections";
    assert_eq!(run.line(2), expected);
}
