//! `load` against real servers, and against servers that follow a script: those that stall, break, lie or
//! never answer. Whatever they do, the run ends, and every message is accounted for.

#![allow(clippy::disallowed_methods, reason = "scripted servers run on threads")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{
    Clock, GREETING, INTRODUCTION, MONTHS, PATIENCE, Server, Signal, acknowledgement, eventually, loopline,
};
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

// ---- Running it ----

/// `loopline load` with `words`.
fn command(words: &str) -> Command {
    let mut command = loopline();
    command.arg("load").args(words.split_whitespace());
    command
}

/// The same, started by a shell that has run `script`.
fn command_after(script: &str, words: &str) -> Command {
    let program = loopline();
    let mut shell = Command::new("sh");
    for (name, _) in program.get_envs() {
        shell.env_remove(name);
    }
    shell.args(["-c", &format!("{script} && exec \"$@\""), "sh"]).arg(program.get_program()).arg("load");
    shell.args(words.split_whitespace());
    shell
}

/// A run under way. It is gone when this is.
struct Running {
    child: Child,
    outputs: Option<[JoinHandle<String>; 2]>,
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        Self { child, outputs: Some([collect(stdout), collect(stderr)]) }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits until SIGINT would not simply kill it.
    fn wait_until_it_takes_signals(&self) {
        let path = format!("/proc/{}/status", self.child.id());
        eventually("signals are taken", || {
            let status = fs::read_to_string(&path).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
            let interrupt = 1 << (2 - 1);
            (u64::from_str_radix(caught, 16).unwrap() & interrupt != 0).then_some(())
        });
    }

    fn wait(mut self) -> Run {
        let status = eventually("the run ends", || self.child.try_wait().unwrap());
        let [stdout, stderr] = self.outputs.take().unwrap().map(|output| output.join().unwrap());
        Run { status: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

fn run(command: &mut Command) -> Run {
    Running::start(command).wait()
}

fn run_words(words: &str) -> Run {
    run(&mut command(words))
}

/// The result of a run with `words` that went well, and was quiet about it.
fn result(words: &str) -> Value {
    run(&mut command(&format!("{words} --json -"))).result(0)
}

impl Run {
    /// The result as JSON, of a run with this exit status; it must add up.
    fn result(&self, status: i32) -> Value {
        assert_eq!(self.status, Some(status), "{self:?}");
        if status == 0 {
            assert_eq!(self.stderr, "", "{}", self.stdout);
        }
        let result: Value = serde_json::from_str(&self.stdout).expect("standard output is JSON");
        assert_adds_up(&result);
        result
    }

    /// The one line of a run that came to nothing.
    fn line(&self, status: i32) -> &str {
        assert_eq!((self.status, self.stderr.lines().count()), (Some(status), 1), "{self:?}");
        self.stderr.trim_end()
    }
}

/// Every message is one of three things, every datagram too, and no key is missing or of another type.
fn assert_adds_up(result: &Value) {
    assert_has_shape(result);
    let messages = &result["messages"];
    let became = number(&messages["acknowledged"]) + number(&messages["failed"]);
    assert_eq!(number(&messages["sent"]), became + number(&messages["unanswered"]), "{result:#}");
    if let Some(datagrams) = result.get("datagrams") {
        let became = number(&datagrams["answered"]) + number(&datagrams["late"]);
        assert_eq!(number(&datagrams["sent"]), became + number(&datagrams["lost"]), "{result:#}");
        assert_eq!(datagrams["sent"], messages["sent"], "{result:#}");
    }
    let latency = &result["latency_us"];
    assert_eq!(latency["response"]["count"], messages["acknowledged"], "{result:#}");
    assert_eq!(latency["service"]["count"], messages["acknowledged"], "{result:#}");
    let connections = &result["connections"];
    assert!(number(&connections["lost"]) <= number(&connections["opened"]), "{result:#}");
    assert_eq!(result["valid"], result["why_invalid"].is_null(), "{result:#}");
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count: {value}"))
}

fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

fn count(result: &Value, of: &str) -> u64 {
    number(result.pointer(&format!("/{of}")).unwrap_or_else(|| panic!("{of}: {result:#}")))
}

/// Asserts counts by their places, as in `messages/sent`.
#[track_caller]
fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    for (of, expected) in expected {
        assert_eq!(count(result, of), *expected, "{of}: {result:#}");
    }
}

/// How often something went wrong for `reason`, and the first time in words.
fn failure(result: &Value, reason: &str) -> (u64, String) {
    let failures = result["failures"].as_array().unwrap();
    let failure = failures.iter().find(|failure| failure["reason"] == reason);
    let failure = failure.unwrap_or_else(|| panic!("no failure '{reason}': {result:#}"));
    (number(&failure["count"]), failure["first"].as_str().unwrap().into())
}

// ---- The shape of the result ----

/// `path: type` of every value, of which a lower-case `?` says that it may be null.
const SHAPE: &str = "
    loopline string, endpoint string, duration_seconds number, load_model string, valid bool,
    why_invalid string?,
    connections/asked count, connections/opened count, connections/failed count, connections/lost count,
    connections/slow count, connections/open_seconds number, connections/open_rate number,
    connections/limited_by string?,
    messages/sent count, messages/acknowledged count, messages/failed count, messages/unanswered count,
    messages/rate number, messages/offered_rate number?,
    latency_us/response/p50 number?, latency_us/response/p90 number?, latency_us/response/p99 number?,
    latency_us/response/p99_9 number?, latency_us/response/p99_99 number?, latency_us/response/max number?,
    latency_us/response/mean number?, latency_us/response/count count,
    latency_us/service/p50 number?, latency_us/service/p90 number?, latency_us/service/p99 number?,
    latency_us/service/p99_9 number?, latency_us/service/p99_99 number?, latency_us/service/max number?,
    latency_us/service/mean number?, latency_us/service/count count,
    latency_us/connect/p50 number?, latency_us/connect/p90 number?, latency_us/connect/p99 number?,
    latency_us/connect/p99_9 number?, latency_us/connect/p99_99 number?, latency_us/connect/max number?,
    latency_us/connect/mean number?, latency_us/connect/count count,
    schedule_lag_us/p50 number?, schedule_lag_us/p99 number?, schedule_lag_us/p99_9 number?,
    schedule_lag_us/max number?,
    bytes/sent count, bytes/received count,
    generator/cpu_seconds number, generator/rss_bytes count, generator/bytes_per_connection number?,
    generator/busy number,
    failures list";

const DATAGRAMS_SHAPE: &str = "
    datagrams/sent count, datagrams/answered count, datagrams/late count, datagrams/lost count,
    datagrams/duplicate count, datagrams/kernel/receive_buffer count,
    datagrams/kernel/own_receive_buffer count, datagrams/kernel/server_receive_buffer count,
    datagrams/kernel/send_buffer count, datagrams/kernel/no_port count";

fn assert_has_shape(result: &Value) {
    let mut expected = shape(SHAPE);
    let endpoint = result["endpoint"].as_str().unwrap_or("");
    if endpoint.starts_with("month=") {
        expected.extend(shape(DATAGRAMS_SHAPE));
    }
    let mut values = BTreeMap::new();
    flatten(result, String::new(), &mut values);
    for (path, kind) in &expected {
        let value = values.remove(path).unwrap_or_else(|| panic!("{path} is missing: {result:#}"));
        let is_it = match kind.trim_end_matches('?') {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "count" => value.is_u64(),
            "number" => value.as_f64().is_some_and(|number| number >= 0.0),
            "list" => value.is_array(),
            other => panic!("{other}"),
        };
        assert!(is_it || (kind.ends_with('?') && value.is_null()), "{path} is {value}");
    }
    assert!(values.is_empty(), "nobody has announced {values:?}");
}

fn shape(text: &str) -> BTreeMap<String, String> {
    let entry = |entry: &str| entry.trim().split_once(' ').map(|(path, kind)| (path.into(), kind.into()));
    text.split(',').map(|text| entry(text).expect("a path and a type")).collect()
}

fn flatten(value: &Value, path: String, into: &mut BTreeMap<String, Value>) {
    let Some(object) = value.as_object() else {
        into.insert(path, value.clone());
        return;
    };
    for (key, value) in object {
        let separator = if path.is_empty() { "" } else { "/" };
        flatten(value, format!("{path}{separator}{key}"), into);
    }
}

// ---- Servers that follow a script ----

/// A TCP server of the test, which gives each connection to a thread of its own.
struct Scripted {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
}

impl Scripted {
    /// `script` is given a connection and its number, from 0.
    fn new(script: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopping, counting, script) = (stop.clone(), accepted.clone(), Arc::new(script));
        let acceptor = thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().unwrap();
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let number = counting.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let script = script.clone();
                thread::spawn(move || script(stream, number));
            }
        });
        Self { address, stop, accepted, acceptor: Some(acceptor) }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.acceptor.take().unwrap().join());
    }
}

/// The body of the next frame; `None` when the stream is over.
fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 64];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; std::str::from_utf8(&header).unwrap().trim_end_matches(' ').parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Answers every frame with `reply`, until the stream is over.
fn answer_with(mut stream: TcpStream, reply: &[u8]) {
    while read_frame(&mut stream).is_some() && stream.write_all(reply).is_ok() {}
}

fn read_to_the_end(mut stream: &TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
}

/// A UDP server of the test, which introduces itself to each new peer.
struct Calendar {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Numbers that were asked for, in order.
    asked: Arc<Mutex<Vec<usize>>>,
    thread: Option<JoinHandle<()>>,
}

impl Calendar {
    /// `script` is given the number that is asked for, and how many were before, and says what to answer.
    fn new(mut script: impl FnMut(usize, usize) -> Vec<String> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopping, asking) = (stop.clone(), asked.clone());
        let thread = thread::spawn(move || {
            let (mut known, mut buffer) = (HashSet::new(), [0; 2048]);
            loop {
                let (bytes, peer) = socket.recv_from(&mut buffer).unwrap();
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                if known.insert(peer) {
                    socket.send_to(INTRODUCTION.as_bytes(), peer).unwrap();
                    continue;
                }
                let number = std::str::from_utf8(&buffer[..bytes]).unwrap().parse().unwrap();
                let before = {
                    let mut asked = asking.lock().unwrap();
                    asked.push(number);
                    asked.len() - 1
                };
                for answer in script(number, before) {
                    socket.send_to(answer.as_bytes(), peer).unwrap();
                }
            }
        });
        Self { address, stop, asked, thread: Some(thread) }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Calendar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"", self.address).unwrap();
        drop(self.thread.take().unwrap().join());
    }
}

fn month(number: usize) -> String {
    MONTHS[number - 1].into()
}

/// A port that is nobody else's and at which nobody listens.
fn nobody(kind: Type) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn serve(endpoints: &str) -> Server {
    Server::start(&format!("{endpoints} --journal none"))
}

// ---- What is told ----

#[test]
fn a_closed_loop_sends_when_the_reply_is_in_and_tells_everything() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 7 -d 300ms"));
    assert_eq!(result["endpoint"], format!("message={address}"));
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&result["load_model"], &result["messages"]["offered_rate"]),
        (&"closed".into(), &Value::Null)
    );
    assert_counts(
        &result,
        &[
            ("connections/asked", 7),
            ("connections/opened", 7),
            ("connections/failed", 0),
            ("connections/lost", 0),
            ("messages/failed", 0),
            ("messages/unanswered", 0),
            ("latency_us/connect/count", 7),
        ],
    );
    let sent = count(&result, "messages/sent");
    assert!(sent >= 7, "{result:#}");
    assert_counts(&result, &[("bytes/sent", sent * 90), ("bytes/received", sent * 97)]);
    // A message is due when it is sent, so the two times are one, and there is no schedule to be late for.
    assert_eq!(result["latency_us"]["response"], result["latency_us"]["service"]);
    assert!(result["schedule_lag_us"].as_object().unwrap().values().all(Value::is_null));
    assert_eq!(result["connections"]["limited_by"], Value::Null);
    assert!(real(&result["duration_seconds"]) >= 0.3, "{result:#}");
    server.stop_well();
}

#[test]
fn an_open_loop_sends_exactly_what_is_due() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 7 -d 500ms -r 400"));
    assert_eq!((&result["load_model"], real(&result["messages"]["offered_rate"])), (&"open".into(), 400.0));
    assert_counts(&result, &[("messages/sent", 200), ("messages/acknowledged", 200)]);
    assert!(result["schedule_lag_us"]["max"].is_number(), "{result:#}");
    server.stop_well();
}

#[test]
fn random_arrivals_come_at_the_asked_rate_in_the_mean() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 5 -d 1s -r 2000 --arrivals poisson"));
    // Five standard deviations around the mean.
    let sent = count(&result, "messages/sent");
    assert!((1775..=2225).contains(&sent), "{sent}");
    assert_eq!(count(&result, "messages/acknowledged"), sent);
    server.stop_well();
}

#[test]
fn every_size_of_body_and_any_number_in_flight_is_acknowledged() {
    let server = serve("message=0 message=[::1]:0");
    let addresses = server.addresses("message");
    for (address, options, frame_bytes) in [
        (addresses[0], "-c 3 --size 0", 64),
        (addresses[0], "-c 2 --size 1MiB", 64 + (1 << 20)),
        (addresses[0], "-c 3 --pipeline 100", 90),
        (addresses[0], "-c 1 --pipeline 5000 --size 100", 164),
        (addresses[1], "-c 3", 90),
    ] {
        let result = result(&format!("message={address} -d 200ms {options}"));
        assert_eq!(result["endpoint"], format!("message={address}"));
        let sent = count(&result, "messages/sent");
        assert!(sent > 0, "{options}: {result:#}");
        assert_counts(&result, &[("messages/acknowledged", sent), ("bytes/sent", sent * frame_bytes)]);
    }
    server.stop_well();
}

#[test]
fn what_was_sent_while_warming_up_is_not_told() {
    let server = serve("message=0");
    let address = server.address("message");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.hlog");
    let words = format!("message={address} -c 3 -r 200 --warmup 1200ms -d 500ms --json -");
    let result = run(command(&words).arg("--histogram").arg(&log)).result(0);
    let sent = count(&result, "messages/sent");
    // What is in flight when the time begins counts as sent in it.
    assert!((100..200).contains(&sent), "{result:#}");
    assert!((0.5..1.2).contains(&real(&result["duration_seconds"])), "{result:#}");
    let merged = run(command("--merge").arg(&log));
    assert!(merged.stdout.contains(&format!(" {}\n", count(&result, "messages/acknowledged"))), "{merged:?}");
    server.stop_well();
}

// ---- A server that stalls ----

/// Acknowledges everything, but nobody's message for a second once it has read `messages`.
fn stalling_server(messages: usize) -> Scripted {
    let (gate, read) = (RwLock::new(()), AtomicUsize::new(0));
    Scripted::new(move |mut stream, _| {
        let reply = acknowledgement();
        while read_frame(&mut stream).is_some() {
            if read.fetch_add(1, Ordering::SeqCst) + 1 == messages {
                let _closed = gate.write().unwrap();
                common::stall(Duration::from_secs(1));
            }
            let _open = gate.read().unwrap();
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_stall_of_the_server_is_told_in_full_because_messages_are_sent_when_they_are_due() {
    let server = stalling_server(500);
    let result = result(&format!("message={} -c 10 -r 500 -d 2500ms", server.address));
    assert_counts(&result, &[("messages/sent", 1250), ("messages/acknowledged", 1250)]);
    let response = &result["latency_us"]["response"];
    // 500 of 1250 messages were due while nobody was answered.
    assert!(real(&response["p99"]) >= 900_000.0, "{result:#}");
    assert!(real(&response["max"]) >= 990_000.0, "{result:#}");
    assert!(real(&response["p90"]) >= 500_000.0, "{result:#}");
    // They were not held back until it went on.
    assert!(real(&result["schedule_lag_us"]["max"]) < 500_000.0, "{result:#}");
    assert!(real(&result["latency_us"]["service"]["p90"]) >= 400_000.0, "{result:#}");
}

#[test]
fn in_a_closed_loop_a_stall_is_seen_once_by_each_connection() {
    let server = stalling_server(500);
    let result = result(&format!("message={} -c 5 -d 2s", server.address));
    let response = &result["latency_us"]["response"];
    assert!(real(&response["max"]) >= 990_000.0, "{result:#}");
    let samples = count(&result, "latency_us/response/count");
    assert!(samples > 2000, "{result:#}");
    assert!(real(&response["p99"]) < 500_000.0, "{result:#}");
}

// ---- Bad targets ----

#[test]
fn nobody_listens_is_one_line_and_a_result() {
    let (_port, address) = nobody(Type::STREAM);
    for words in ["message", "hold", "greeting", "message --one-shot"] {
        let (service, options) = words.split_once(' ').unwrap_or((words, ""));
        let run = run_words(&format!("{service}={address} -c 20 -d 200ms --json - {options}"));
        let expected = format!("loopline: {service}={address}: no connection could be opened: connection ");
        assert!(run.line(1).starts_with(&expected), "{run:?}");
        assert!(run.line(1).ends_with(": Connection refused (os error 111)"), "{run:?}");
        let result = run.result(1);
        assert_eq!(result["connections"]["limited_by"], "refused");
        assert_eq!((count(&result, "connections/opened"), &result["valid"]), (0, &false.into()));
    }
    let run = run_words("message=nosuch.invalid:1 -d 200ms");
    assert!(run.line(1).starts_with("loopline: message=nosuch.invalid:1: the host does not resolve: "));
}

#[test]
fn a_server_that_resets_every_connection_is_said_to_have_had_enough() {
    let server = Scripted::new(|stream, _| {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let run = run_words(&format!("message={} -c 20 -d 5s --json -", server.address));
    let result: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_adds_up(&result);
    let [failed, lost] = ["failed", "lost"].map(|of| count(&result, &format!("connections/{of}")));
    assert_eq!(failed + lost, 20, "{result:#}");
    assert_eq!(count(&result, "messages/acknowledged"), 0);
    if failed > 0 {
        assert_eq!(result["connections"]["limited_by"], "server_cap");
    }
    assert!(real(&result["duration_seconds"]) < 5.0, "it goes on without a connection: {result:#}");
    assert_eq!(run.status, Some(i32::from(failed == 20)), "{run:?}");
}

#[test]
fn a_server_that_closes_after_some_messages_leaves_one_of_each_connection_failed() {
    let server = Scripted::new(|mut stream, _| {
        for _ in 0..3 {
            read_frame(&mut stream).unwrap();
            stream.write_all(&acknowledgement()).unwrap();
        }
        read_frame(&mut stream);
    });
    let result = result(&format!("message={} -c 5 -d 30s", server.address));
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
    assert!(real(&result["duration_seconds"]) < 5.0, "it goes on without a connection: {result:#}");
}

#[test]
fn a_server_that_closes_in_the_middle_of_a_reply_is_said_to() {
    let server = Scripted::new(|mut stream, _| {
        read_frame(&mut stream).unwrap();
        stream.write_all(&acknowledgement()[..70]).unwrap();
    });
    let result = result(&format!("message={} -c 1 -d 300ms", server.address));
    assert_counts(&result, &[("messages/failed", 1), ("messages/sent", 1), ("connections/lost", 1)]);
    let said = "connection 1: the server ended the stream 70 bytes into a reply";
    assert_eq!(failure(&result, "closed by the server"), (1, said.into()));
}

#[test]
fn a_connection_that_breaks_while_replies_are_waited_for_was_open_and_is_lost() {
    // Nothing is answered while messages are sent; then the server goes.
    let server = Scripted::new(|mut stream, _| {
        read_frame(&mut stream).unwrap();
        common::stall(Duration::from_millis(600));
    });
    let result = result(&format!("message={} -c 4 -d 200ms --drain-timeout 10s", server.address));
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
fn a_wrong_reply_is_told_by_its_first_wrong_byte() {
    let mut almost = acknowledgement();
    almost[96] = b'!';
    for (reply, said) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "byte 0 of the reply is 'H', expected '3'"),
        (almost, "byte 96 of the reply is '!', expected '.'"),
        (vec![0; 200_000], "byte 0 of the reply is 0x00, expected '3'"),
        (acknowledgement().repeat(2), "a reply came that nobody has asked for"),
        (common::frame("Error: no\nroom"), "the server said: Error: no\\nroom"),
    ] {
        let server = Scripted::new(move |stream, _| answer_with(stream, &reply));
        let result = result(&format!("message={} -c 1 -d 100ms", server.address));
        assert_counts(&result, &[("connections/opened", 1), ("connections/lost", 1)]);
        let refused = said.starts_with("the server said");
        let (times, first) = failure(&result, if refused { "refused by the server" } else { "wrong reply" });
        assert_eq!(times, 1);
        assert!(first.starts_with(&format!("connection 1: {said}")), "{first}");
        assert!(first.len() < 1000 && !first.contains('\n'), "{first}");
    }
}

#[test]
fn a_server_of_another_service_is_not_taken_for_the_right_one() {
    let server = serve("greeting=0 reply=0 daytime=0 message=0");
    for (asked, there, said) in [
        ("message", "greeting", "byte 0 of the reply is 'T', expected '3'"),
        ("daytime", "greeting", "byte 3 of the reply is 'n', expected ' '"),
        ("reply", "greeting", "byte 5 of the reply is ' ', expected 's'"),
        ("greeting", "daytime", "byte 0 of the reply is '"),
        ("reply", "message", "the server said: Error: header byte 0 is 'a'"),
    ] {
        let address = server.address(there);
        let result = result(&format!("{asked}={address} -c 2 -d 300ms --drain-timeout 100ms"));
        assert_eq!(count(&result, "messages/acknowledged"), 0, "{asked} at {there}: {result:#}");
        let refused = said.starts_with("the server said");
        let (_, first) = failure(&result, if refused { "refused by the server" } else { "wrong reply" });
        assert!(first.contains(said), "{asked} at {there}: {first}");
    }
    server.stop_well();
}

#[test]
fn a_server_that_never_answers_is_waited_for_until_the_drain_timeout() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let clock = Clock::start();
    let result = result(&format!("message={} -c 5 -d 300ms --drain-timeout 400ms", server.address));
    assert!(clock.elapsed() >= Duration::from_millis(700));
    assert_counts(&result, &[("messages/sent", 5), ("messages/unanswered", 5), ("connections/lost", 0)]);
}

#[test]
fn a_server_that_accepts_nothing_fills_its_backlog_and_the_rest_still_run() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(3).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // So many failures in a row that no further connection is tried.
    let words = format!("message={address} -c 300 --timeout 300ms -d 300ms --drain-timeout 100ms");
    let result = result(&words);
    let opened = count(&result, "connections/opened");
    assert!((1..=10).contains(&opened), "{result:#}");
    assert_eq!(result["connections"]["limited_by"], "backlog");
    let failed = count(&result, "connections/failed");
    assert_eq!(failure(&result, "no connection in time").0, failed);
    assert!(failed >= 100, "{result:#}");
    // Those that are there are driven for as long as was asked.
    assert_counts(&result, &[("messages/sent", opened), ("messages/unanswered", opened)]);
    assert!(real(&result["duration_seconds"]) >= 0.3, "{result:#}");
}

#[test]
fn what_is_only_held_may_say_whatever_it_likes() {
    let endless = Scripted::new(|mut stream, _| {
        let bytes = vec![b'x'; 1 << 16];
        while stream.write_all(&bytes).is_ok() {}
    });
    let result_of_hold = |address: SocketAddr| result(&format!("hold={address} -c 3 -d 500ms"));
    let held = result_of_hold(endless.address);
    assert!(count(&held, "bytes/received") > 1 << 16, "{held:#}");
    assert_counts(&held, &[("connections/opened", 3), ("connections/lost", 0), ("messages/sent", 0)]);
    assert!((0.5..3.0).contains(&real(&held["duration_seconds"])), "{held:#}");

    let web = Scripted::new(|mut stream, _| {
        stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n").unwrap();
        common::stall(Duration::from_millis(200));
    });
    let held = result_of_hold(web.address);
    assert_counts(&held, &[("connections/opened", 3), ("connections/lost", 3)]);
    assert_eq!(failure(&held, "closed by the server").0, 3);
}

#[test]
fn a_peer_that_reads_nothing_does_not_hold_up_the_run() {
    let server = Scripted::new(|stream, _| {
        // Until the other side has closed, which is seen without reading.
        eventually("the run is over", || {
            let mut polled = [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::RDHUP)];
            let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            (rustix::event::poll(&mut polled, Some(&moment)).unwrap() > 0).then_some(())
        });
    });
    let clock = Clock::start();
    let words = format!("message={} -c 2 -r 500 --size 64KiB -d 1s --drain-timeout 200ms", server.address);
    let result = result(&words);
    assert!(clock.elapsed() < Duration::from_secs(5));
    assert_counts(&result, &[("messages/sent", 500), ("messages/unanswered", 500)]);
    let bytes = count(&result, "bytes/sent");
    assert!(bytes > 0 && bytes < 500 * (65536 + 64), "{result:#}");
}

#[test]
fn a_server_that_is_killed_ends_the_run_with_a_result() {
    for (mode, options) in [("closed", "--pipeline 3"), ("open", "-r 300")] {
        let server = serve("message=0");
        let address = server.address("message");
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.hlog");
        let words = format!("message={address} -c 6 -d 60s --json - {options} --drain-timeout 1s");
        let load = Running::start(command(&words).arg("--histogram").arg(&log));
        eventually("the run is under way", || {
            fs::read_to_string(&log).ok()?.contains("Tag=response,").then_some(())
        });
        server.signal(Signal::KILL);
        let result = load.wait().result(0);
        assert_counts(&result, &[("connections/opened", 6), ("connections/lost", 6)]);
        assert!(count(&result, "messages/acknowledged") > 0, "{result:#}");
        if mode == "closed" {
            assert_counts(&result, &[("messages/failed", 18)]);
        } else {
            // What was due while nobody was left is not forgotten.
            let due = real(&result["duration_seconds"]) * 300.0;
            let never_sent = failure(&result, "never sent, no free connection").0;
            #[expect(clippy::cast_precision_loss, reason = "these are some hundreds")]
            let told = (count(&result, "messages/sent") + never_sent) as f64;
            assert!((told - due).abs() <= 30.0, "{told} of {due}: {result:#}");
        }
    }
}

#[test]
fn a_full_server_serves_those_inside_and_the_others_are_counted() {
    let server = serve("message=0 --max-connections 10");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 50 -d 300ms"));
    assert_counts(
        &result,
        &[("connections/opened", 10), ("connections/failed", 40), ("connections/lost", 0)],
    );
    assert_eq!(result["connections"]["limited_by"], "server_cap");
    let (times, first) = failure(&result, "refused by the server");
    assert_eq!(times, 40);
    assert!(
        first.ends_with("the server said: Error: the server is full, it serves 10 connections"),
        "{first}"
    );
    assert!(count(&result, "messages/acknowledged") > 0);
    assert_counts(&result, &[("messages/failed", 0), ("messages/unanswered", 0)]);
    server.stop_well();
}

#[test]
fn a_message_that_is_too_long_for_the_server_is_told_in_its_own_words() {
    let server = serve("message=0 --max-message 1000");
    let address = server.address("message");
    for size in ["1001", "4MiB"] {
        let result = result(&format!("message={address} -c 3 -d 300ms --size {size}"));
        assert_counts(
            &result,
            &[("messages/acknowledged", 0), ("messages/failed", 3), ("connections/lost", 3)],
        );
        let (_, first) = failure(&result, "refused by the server");
        assert!(first.contains("the server said: Error: the header announces "), "{size}: {first}");
    }
    server.stop_well();
}

// ---- Datagrams ----

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
    server.stop_well();
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
    assert_eq!(first, "socket 1: expected the name of a month, got \"Smarch\\u{1b}\"");
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
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
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

// ---- A connection for each message ----

#[test]
fn services_that_end_the_stream_get_a_connection_for_each_message() {
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
        // Whoever leaves descriptors behind is out of them soon.
        let words = format!("{service}={address} -c 20 -d 400ms {options} --json -");
        let result = run(&mut command_after("ulimit -n 90", &words)).result(0);
        let sent = count(&result, "messages/sent");
        assert!(if options.ends_with("300") { sent == 120 } else { sent > 120 }, "{words}: {result:#}");
        let all =
            [("messages/acknowledged", sent), ("connections/opened", sent), ("bytes/sent", sent * bytes)];
        assert_counts(&result, &all);
        assert_counts(&result, &[("connections/asked", sent), ("connections/failed", 0)]);
    }
    server.stop_well();
}

#[test]
fn messages_that_found_no_free_connection_are_told() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let words = format!("greeting={} -c 2 -r 100 -d 500ms --drain-timeout 100ms", server.address);
    let result = result(&words);
    assert_counts(&result, &[("messages/sent", 2), ("messages/unanswered", 2)]);
    let said = "messages were due, and each of 2 connections had one already";
    assert_eq!(failure(&result, "never sent, no free connection"), (48, said.into()));
}

#[test]
fn a_reply_that_is_too_long_or_too_short_is_wrong() {
    for (bytes, reason, said) in [
        (
            format!("{GREETING}!"),
            "wrong reply",
            "byte 26 of the reply is '!', expected the end of the stream",
        ),
        (GREETING[..25].into(), "closed by the server", "the server ended the stream 25 bytes into a reply"),
        (String::new(), "closed by the server", "the server ended the stream"),
    ] {
        let server = Scripted::new(move |mut stream, _| stream.write_all(bytes.as_bytes()).unwrap());
        let result = result(&format!("greeting={} -c 1 -r 10 -d 500ms", server.address));
        assert_counts(&result, &[("messages/sent", 5), ("messages/failed", 5)]);
        let (times, first) = failure(&result, reason);
        assert_eq!(times, 5);
        assert!(first.starts_with(&format!("connection 1: {said}")), "{first}");
    }
}

#[test]
fn connections_of_the_warm_up_are_not_told() {
    let server = serve("greeting=0");
    let address = server.address("greeting");
    let result = result(&format!("greeting={address} -c 5 -r 200 --warmup 500ms -d 500ms"));
    let [asked, opened] = ["asked", "opened"].map(|of| count(&result, &format!("connections/{of}")));
    assert_eq!(asked, opened, "{result:#}");
    assert!((100..150).contains(&opened), "{result:#}");
    server.stop_well();
}

// ---- Which connections, and from where ----

#[test]
fn only_the_active_connections_send_and_the_others_stay_open() {
    let senders = Arc::new(Mutex::new(HashSet::new()));
    let (sending, gone) = (senders.clone(), Arc::new(AtomicUsize::new(0)));
    let going = gone.clone();
    let server = Scripted::new(move |mut stream, number| {
        while read_frame(&mut stream).is_some() {
            sending.lock().unwrap().insert(number);
            stream.write_all(&acknowledgement()).unwrap();
        }
        going.fetch_add(1, Ordering::SeqCst);
    });
    let load = Running::start(&mut command(&format!(
        "message={} -c 50 --active 5 -d 500ms --json -",
        server.address
    )));
    eventually("messages are sent", || (senders.lock().unwrap().len() == 5).then_some(()));
    assert_eq!((server.accepted(), gone.load(Ordering::SeqCst)), (50, 0));
    let result = load.wait().result(0);
    assert_counts(&result, &[("connections/opened", 50), ("connections/lost", 0)]);
    assert!(count(&result, "messages/acknowledged") > 5);
    assert_eq!(senders.lock().unwrap().len(), 5);
    eventually("all are closed", || (gone.load(Ordering::SeqCst) == 50).then_some(()));
}

#[test]
fn connections_are_opened_no_faster_than_asked() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("hold={address} -c 40 --open-rate 50 -d 1ms"));
    assert_counts(&result, &[("connections/opened", 40)]);
    // The first at once, the last 39 fiftieths of a second later.
    assert!(real(&result["connections"]["open_seconds"]) >= 0.78, "{result:#}");
    assert!(real(&result["connections"]["open_rate"]) <= 40.0 / 0.78, "{result:#}");
    server.stop_well();
}

#[test]
fn connections_come_from_the_sources_in_turn() {
    let from = Arc::new(Mutex::new(BTreeMap::<IpAddr, usize>::new()));
    let counting = from.clone();
    let server = Scripted::new(move |stream, _| {
        *counting.lock().unwrap().entry(stream.peer_addr().unwrap().ip()).or_default() += 1;
        read_to_the_end(&stream);
    });
    let words = format!("hold={} -c 20 -d 100ms --source 127.0.0.5,127.0.0.6", server.address);
    assert_counts(&result(&words), &[("connections/opened", 20)]);
    eventually("all were accepted", || (from.lock().unwrap().values().sum::<usize>() == 20).then_some(()));
    let of = |last: u8| from.lock().unwrap().get(&IpAddr::from([127, 0, 0, last])).copied();
    assert_eq!((of(5), of(6)), (Some(10), Some(10)));
}

#[test]
fn sources_that_do_not_reach_the_target_are_not_quietly_left_out() {
    let server = serve("message=[::1]:0");
    let address = server.address("message");
    let run = run_words(&format!("message={address} -c 1 -d 100ms --source 127.0.0.5"));
    assert_eq!(run.line(2), format!("loopline: message={address}: --source has no IPv6 address"));
    server.stop_well();
}

/// What `words` come to in a network of its own with 200 ports for connections, beside a server at
/// message=127.0.0.1:4000; `None` where the system allows no such network.
fn result_with_few_ports(words: &str) -> Option<Run> {
    let mut unshare = Command::new("unshare");
    let program = loopline();
    for (name, _) in program.get_envs() {
        unshare.env_remove(name);
    }
    let script = format!(
        "ip link set lo up && sysctl -q -w net.ipv4.ip_local_port_range='40000 40199' && \
         {{ \"$0\" serve message=4000 --journal none 2>\"$1\" & }} && server=$! && \
         until grep -q ' ready$' \"$1\"; do kill -0 $server || exit 98; done && \
         {{ \"$0\" load {words}; status=$?; }}; kill $server; exit $status"
    );
    let log = tempfile::NamedTempFile::new().unwrap();
    unshare.args(["--map-root-user", "--net", "sh", "-c"]).arg("true");
    let is_allowed = unshare.output().is_ok_and(|output| output.status.success());
    let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
    if !is_allowed || !has_ip {
        eprintln!("NOT TRIED: no network of its own can be had for few ports");
        return None;
    }
    let mut unshare = Command::new("unshare");
    for (name, _) in program.get_envs() {
        unshare.env_remove(name);
    }
    unshare.args(["--map-root-user", "--net", "sh", "-c"]).arg(script).arg(program.get_program());
    Some(run(unshare.arg(log.path())))
}

#[test]
fn when_ports_run_short_on_loopback_connections_spread_by_themselves() {
    let Some(run) = result_with_few_ports("message=127.0.0.1:4000 -c 1000 -d 200ms --json -") else { return };
    let result = run.result(0);
    assert_counts(&result, &[("connections/opened", 1000), ("connections/failed", 0)]);
    assert_eq!(result["connections"]["limited_by"], Value::Null);
    assert!(count(&result, "messages/acknowledged") >= 1000, "{result:#}");
}

#[test]
fn one_source_has_as_many_connections_as_ports() {
    let words = "hold=127.0.0.1:4000 -c 1000 -d 100ms --source 127.0.0.9 --json -";
    let Some(run) = result_with_few_ports(words) else { return };
    let result = run.result(0);
    assert_eq!(result["connections"]["limited_by"], "ports");
    assert_eq!(count(&result, "connections/opened"), 200, "{result:#}");
    assert_counts(&result, &[("connections/asked", 1000), ("connections/failed", 1)]);
    assert_eq!(failure(&result, "out of ports").0, 1);
}

#[test]
fn as_many_connections_are_opened_as_there_are_descriptors() {
    let server = serve("message=0");
    let words = format!("message={} -c 500 -d 200ms --json -", server.address("message"));
    let result = run(&mut command_after("ulimit -n 200", &words)).result(0);
    assert_counts(
        &result,
        &[("connections/asked", 500), ("connections/opened", 168), ("connections/lost", 0)],
    );
    assert_eq!(result["connections"]["limited_by"], "descriptors");
    assert!(count(&result, "messages/acknowledged") >= 168);
    server.stop_well();
}

#[test]
fn an_idle_connection_costs_forty_eight_bytes_and_no_processor() {
    let server = serve("message=0");
    let words = format!("hold={} -c 18000 -d 2s", server.address("message"));
    let result = result(&words);
    let opened = count(&result, "connections/opened");
    if opened < 18_000 {
        eprintln!("ONLY {opened} CONNECTIONS, for want of {}", result["connections"]["limited_by"]);
    }
    assert_counts(&result, &[("connections/lost", 0)]);
    if opened >= 4000 {
        let bytes = real(&result["generator"]["bytes_per_connection"]);
        // The poller's sockets remember more of themselves where assertions are on.
        let bytes_max = if cfg!(debug_assertions) { 80.0 } else { 48.0 };
        assert!(bytes <= bytes_max, "{bytes}: {result:#}");
    }
    assert!(real(&result["generator"]["busy"]) < 0.1, "{result:#}");
    server.stop_well();
}

// ---- Files ----

#[test]
fn merged_logs_are_the_sum_of_their_runs() {
    let server = serve("message=0");
    let address = server.address("message");
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.hlog", "b.hlog", "sum.hlog"].map(|name| folder.path().join(name));
    let acknowledged: u64 = paths[..2]
        .iter()
        .map(|path| {
            let words = format!("message={address} -c 2 -d 1100ms -r 300 --json -");
            let result = run(command(&words).arg("--histogram").arg(path)).result(0);
            count(&result, "messages/acknowledged")
        })
        .sum();
    assert_eq!(acknowledged, 660);
    let merged = run(command("--merge").args(&paths[..2]).arg("--histogram").arg(&paths[2]));
    assert_eq!((merged.status, merged.stderr.as_str()), (Some(0), ""));
    let again = run(command("--merge").arg(&paths[2]));
    for text in [&merged.stdout, &again.stdout] {
        for tag in ["response", "service", "lag"] {
            let line = text.lines().find(|line| line.starts_with(tag)).expect("each has a line");
            assert_eq!(line.split_whitespace().last(), Some("660"), "{text}");
        }
    }

    let bad = folder.path().join("bad.hlog");
    fs::write(&bad, "no log\n").unwrap();
    let line = run(command("--merge").arg(&paths[0]).arg(&bad));
    assert_eq!(
        line.line(1),
        format!("loopline: {}: line 1: this is no line of a histogram log", bad.display())
    );
    assert_eq!(line.stdout, "");
    let missing = run(command("--merge").arg(folder.path().join("missing.hlog")));
    assert!(missing.line(1).ends_with("missing.hlog: No such file or directory (os error 2)"), "{missing:?}");
    server.stop_well();
}

#[test]
fn the_result_goes_to_files_too() {
    let server = serve("message=0");
    let endpoint = format!("message={}", server.address("message"));
    let folder = tempfile::tempdir().unwrap();
    let [page, json] = ["run.html", "run.json"].map(|name| folder.path().join(name));
    // What was longer before is not left behind.
    fs::write(&json, "x".repeat(100_000)).unwrap();
    let words = format!("{endpoint} -c 2 -d 200ms");
    let run = run(command(&words).arg("--report").arg(&page).arg("--json").arg(&json));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with(&format!("{endpoint}, closed loop, ")), "{}", run.stdout);
    assert!(
        ["connections ", "messages ", "rate ", "latency ", "response "]
            .iter()
            .all(|name| run.stdout.contains(&format!("\n{name}")))
    );
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!") && page.contains(&endpoint) && page.trim_end().ends_with("</html>"));
    assert_adds_up(&serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap());
    server.stop_well();
}

#[test]
fn a_file_that_can_not_be_written_is_told_before_anything_is_driven() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    for option in ["--report", "--json", "--histogram"] {
        let words = format!("message={} -d 30s {option} /nosuch/file", server.address);
        let said = "loopline: /nosuch/file: cannot be written: No such file or directory (os error 2)";
        let run = run_words(&words);
        assert_eq!((run.line(1), run.stdout.as_str()), (said, ""));
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_result_that_can_not_be_written_any_more_is_told() {
    let server = serve("message=0");
    for option in ["--report", "--json", "--histogram"] {
        let words = format!("message={} -c 1 -d 200ms {option} /dev/full", server.address("message"));
        let run = run_words(&words);
        let said = "loopline: /dev/full: cannot be written: No space left on device (os error 28)";
        assert_eq!(run.line(1), said);
    }
    server.stop_well();
}

#[test]
fn wrong_usage_leaves_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("precious.hlog");
    fs::write(&log, "precious").unwrap();
    let run = run(command("message --pipeline 2 --rate 5 --histogram").arg(&log));
    assert_eq!(run.status, Some(2));
    assert_eq!(fs::read_to_string(&log).unwrap(), "precious");
}

// ---- Exit statuses ----

#[test]
fn a_threshold_that_is_not_met_exits_with_3_and_says_which() {
    let server = serve("message=0");
    let address = server.address("message");
    let words = format!("message={address} -c 2 -d 300ms -r 100");
    let fine = run_words(&format!("{words} --fail-if errors>0 --fail-if rate<1 --fail-if p50>10s"));
    assert_eq!((fine.status, fine.stderr.as_str()), (Some(0), ""));
    let broken =
        run_words(&format!("{words} --fail-if opened<3 --fail-if errors>0 --fail-if rate<1000000,max>0us"));
    assert_eq!(broken.status, Some(3));
    let lines: Vec<&str> = broken.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "loopline: --fail-if opened<3: opened is 2, under 3");
    assert!(lines[1].starts_with("loopline: --fail-if rate<1000000: rate is "), "{lines:?}");
    assert!(lines[2].starts_with("loopline: --fail-if max>0us: max is "), "{lines:?}");
    // The result is told all the same.
    assert!(broken.stdout.contains("30 acknowledged"), "{}", broken.stdout);
    server.stop_well();
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    for (words, said) in [
        ("", "required arguments were not provided"),
        ("hold", "hold needs to be told where: hold=HOST:PORT"),
        ("echo", "expected hold or one of message, greeting, daytime, reply, month"),
        ("message=0", "port 0 is no place to connect to"),
        ("message -c 0", "0 is not in 1..="),
        ("message -d 5", "'5' for '--duration"),
        ("message -r 0", "0 is not in 1..="),
        ("message --active 0", "0 is not in"),
        ("message --active 51", "--active is more than --connections"),
        ("message --pipeline 2 --rate 5", "--pipeline is for the closed loop"),
        ("message --arrivals poisson", "--arrivals is for the open loop"),
        ("message --arrivals often -r 5", "[possible values: uniform, poisson]"),
        ("message --size 5MB", "expected a whole number and a unit (B, KiB, MiB, GiB)"),
        ("message --size 5GiB", "--size is at most 1GiB"),
        ("month --size 5", "--size is for message and reply"),
        ("month --pipeline 13", "--pipeline of month is at most 12"),
        ("month --one-shot", "--one-shot is for tcp services"),
        ("greeting --pipeline 2", "--pipeline and --active do not apply"),
        ("greeting --open-rate 5", "--open-rate does not apply"),
        ("reply --size 0", "--size of reply is from 1 to 1024 bytes"),
        ("hold=127.0.0.1:1 -r 5", "hold sends nothing"),
        ("hold=127.0.0.1:1 --pipeline 2", "hold sends nothing"),
        ("message --source eth0", "'eth0' is neither an address nor a range"),
        ("message --fail-if p95>1ms", "there is no metric 'p95'"),
        ("message --fail-if p99>1", "expected a time such as 800us"),
        ("--merge", "a value is required for '--merge"),
        ("message --merge a.hlog", "cannot be used with"),
    ] {
        let run = run_words(words);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{words}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{words}: {}", run.stderr);
    }
}

// ---- Signals ----

#[test]
fn an_interrupted_run_still_tells_what_it_found() {
    for options in ["-c 4", "-c 4 -r 100"] {
        let read = Arc::new(AtomicUsize::new(0));
        let reading = read.clone();
        let server = Scripted::new(move |mut stream, _| {
            while read_frame(&mut stream).is_some() {
                reading.fetch_add(1, Ordering::SeqCst);
                if stream.write_all(&acknowledgement()).is_err() {
                    return;
                }
            }
        });
        let load =
            Running::start(&mut command(&format!("message={} -d 1h --json - {options}", server.address)));
        eventually("messages are sent", || (read.load(Ordering::SeqCst) >= 20).then_some(()));
        load.signal(Signal::INT);
        let result = load.wait().result(0);
        // What was on its way was waited for.
        let read = read.load(Ordering::SeqCst) as u64;
        assert_counts(&result, &[("messages/sent", read), ("messages/acknowledged", read)]);
        assert!(real(&result["duration_seconds"]) < 20.0);
    }
}

#[test]
fn a_second_request_to_stop_ends_the_run_at_once() {
    let read = Arc::new(AtomicUsize::new(0));
    let reading = read.clone();
    let server = Scripted::new(move |mut stream, _| {
        while read_frame(&mut stream).is_some() {
            reading.fetch_add(1, Ordering::SeqCst);
        }
    });
    let words = format!("message={} -c 4 -d 1h --drain-timeout 1h --json -", server.address);
    let load = Running::start(&mut command(&words));
    eventually("messages are sent", || (read.load(Ordering::SeqCst) == 4).then_some(()));
    // Of two kinds, since the system makes one of two that are alike.
    load.signal(Signal::INT);
    load.signal(Signal::TERM);
    let result = load.wait().result(0);
    assert_counts(&result, &[("messages/sent", 4), ("messages/unanswered", 4)]);
}

#[test]
fn opening_can_be_interrupted() {
    let server = serve("message=0");
    let words = format!("message={} -c 1000 --open-rate 1 -d 1h --json -", server.address("message"));
    let load = Running::start(&mut command(&words));
    load.wait_until_it_takes_signals();
    load.signal(Signal::INT);
    let result = load.wait().result(0);
    assert!(count(&result, "connections/opened") < 1000);
    assert_counts(&result, &[("connections/asked", 1000), ("messages/sent", 0), ("connections/failed", 0)]);
    server.stop_well();
}

#[test]
fn warming_up_can_be_interrupted_and_took_as_long_as_it_did() {
    let read = Arc::new(AtomicUsize::new(0));
    let reading = read.clone();
    let server = Scripted::new(move |mut stream, _| {
        while read_frame(&mut stream).is_some() && stream.write_all(&acknowledgement()).is_ok() {
            reading.fetch_add(1, Ordering::SeqCst);
        }
    });
    let words = format!("message={} -c 10 --open-rate 10 --warmup 1h -d 1h -r 50 --json -", server.address);
    let load = Running::start(&mut command(&words));
    eventually("messages are sent", || (read.load(Ordering::SeqCst) >= 5).then_some(()));
    load.signal(Signal::INT);
    let result = load.wait().result(0);
    // Without the 900 ms that opening took.
    let opening = real(&result["connections"]["open_seconds"]);
    assert!(opening >= 0.9, "{result:#}");
    assert!(real(&result["duration_seconds"]) < 0.9, "{result:#}");
}

// ---- Where it is shown ----

#[test]
fn a_terminal_sees_a_line_a_second_and_the_table_at_the_end() {
    let server = serve("message=0");
    let mut command = command(&format!("message={} -c 3 -r 100 -d 2200ms", server.address("message")));
    command.env("TERM", "xterm");
    let patience_ms = u64::try_from(PATIENCE.as_millis()).ok();
    let mut terminal = rexpect::session::spawn_command(command, patience_ms).unwrap();
    terminal.exp_string("1/2.2 s, 3 open, ").unwrap();
    terminal.exp_string("2/2.2 s, 3 open, ").unwrap();
    terminal.exp_string(", errors 0").unwrap();
    terminal.exp_string("connections  3 asked: 3 opened, 0 failed; 0 lost").unwrap();
    terminal.exp_string("220 sent: 220 acknowledged").unwrap();
    terminal.exp_eof().unwrap();
    let status = format!("{:?}", terminal.process().wait().unwrap());
    assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    server.stop_well();
}

#[test]
fn a_reader_that_is_gone_is_no_reason_to_panic() {
    let server = serve("message=0");
    for json in ["", "--json -"] {
        let mut child = command(&format!("message={} -c 1 -d 200ms {json}", server.address("message")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut load = Running { outputs: None, child };
        let status = eventually("the run ends", || load.child.try_wait().unwrap());
        let mut said = String::new();
        load.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(1), ""));
    }
    server.stop_well();
}

#[test]
fn every_option_can_be_set_by_the_environment() {
    let server = serve("message=0");
    let address = server.address("message");
    let mut load = command(&format!("message={address}"));
    for (name, value) in
        [("CONNECTIONS", "3"), ("DURATION", "200ms"), ("RATE", "100"), ("SIZE", "5"), ("JSON", "-")]
    {
        load.env(OsStr::new(&format!("LOOPLINE_{name}")), value);
    }
    let result = run(&mut load).result(0);
    assert_counts(&result, &[("connections/asked", 3), ("messages/sent", 20), ("bytes/sent", 20 * 69)]);
    server.stop_well();
}
