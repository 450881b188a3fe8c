//! Errors of sending and receiving, injected into the program with strace: an error of sending costs the answer that was
//! to be sent, and one of receiving nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::common::{DatagramPeer, INTRODUCTION, MODELS, Serve, eventually, has_no_strace};
use crate::{peer_at, receive};

/// The errors, each with its text in the log.
const ERRORS: [(&str, &str); 6] = [
    ("EINVAL", "Invalid argument"),
    ("EACCES", "Permission denied"),
    ("EMSGSIZE", "Message too long"),
    ("EPERM", "Operation not permitted"),
    ("ENOBUFS", "No buffer space available"),
    ("EAGAIN", "Resource temporarily unavailable"),
];

/// How many calls of `sendto` there are until the first answer is sent, by the same thread: the handler of signals
/// has some at the start.
fn calls_until_an_answer(trace: &Path, arguments: &str) -> usize {
    let server = Serve::traced(trace, &["-e", "trace=sendto"], arguments).start();
    DatagramPeer::connect(server.address("month")).request("hello");
    server.stop_cleanly();
    let text = fs::read_to_string(trace).unwrap();
    let answer = text.lines().position(|line| line.contains("sin_port")).expect("an answer is sent");
    let (thread, _) = text.lines().nth(answer).unwrap().split_once(' ').unwrap();
    text.lines().take(answer + 1).filter(|line| line.starts_with(thread)).count()
}

fn injected(trace: &Path) -> usize {
    fs::read_to_string(trace).unwrap().matches("(INJECTED)").count()
}

#[test]
fn an_answer_that_cannot_be_sent_is_dropped_and_reported_and_the_next_is_sent() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for model in MODELS {
        let arguments = format!("month=0 --model {model}");
        let first = calls_until_an_answer(&trace, &arguments);
        for (error, text) in ERRORS {
            let inject = format!("inject=sendto:error={error}:when={first}");
            let server = Serve::traced(&trace, &["-e", "trace=sendto", "-e", &inject], &arguments).start();
            let address = server.address("month");
            let unlucky = peer_at("127.0.0.1:0");
            unlucky.send_to(b"hello", address).unwrap();
            server.wait_for_log("cannot answer");
            assert_eq!(DatagramPeer::connect(address).request("hello"), INTRODUCTION, "{model}, {error}");
            unlucky.set_nonblocking(true).unwrap();
            assert!(unlucky.recv(&mut [0; 2048]).is_err(), "{model}, {error}: the answer is dropped");
            unlucky.set_nonblocking(false).unwrap();
            unlucky.send_to(b"5", address).unwrap();
            assert_eq!(receive(&unlucky).0, "May", "{model}, {error}");
            // The handler of a signal uses the call too, in the thread that the kernel chooses: SIGTERM could be lost.
            server.signal(Signal::KILL);
            let log = server.wait().log;
            let line = format!("{address}: cannot answer {}: {text}", unlucky.local_addr().unwrap());
            assert_eq!(log.matches("cannot answer").count(), 1, "{model}, {error}: {log}");
            assert!(log.contains(&line), "{model}, {error}: {log}");
        }
    }
}

#[test]
fn a_batch_whose_first_answer_cannot_be_sent_loses_only_that_one() {
    const PEERS: usize = 40;
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for (error, _) in ERRORS {
        let calls = "trace=sendmmsg";
        let inject = format!("inject=sendmmsg:error={error}:when=1");
        let server = Serve::traced(&trace, &["-e", calls, "-e", &inject], "month=0").start();
        let address = server.address("month");
        let peers: Vec<_> = (0..PEERS).map(|_| peer_at("127.0.0.1:0")).collect();
        // Whether datagrams arrive together depends on the machine.
        eventually("a batch is sent", || {
            for peer in &peers {
                peer.send_to(b"5 ", address).unwrap();
            }
            DatagramPeer::connect(address).request("hello");
            let answered = peers.iter().filter(|peer| {
                peer.set_nonblocking(true).unwrap();
                peer.recv(&mut [0; 2048]).is_ok()
            });
            let (answered, injected) = (answered.count(), injected(&trace));
            assert_eq!(answered, PEERS - injected, "{error}");
            (injected == 1).then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn an_error_that_an_earlier_datagram_has_brought_does_not_keep_the_next_from_being_answered() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let calls = [("month=0", "recvfrom"), ("month=0.0.0.0:0", "recvmmsg")];
    for (model, (endpoint, call)) in MODELS.into_iter().flat_map(|model| calls.map(|call| (model, call))) {
        for error in ["ECONNREFUSED", "EHOSTUNREACH"] {
            let inject = format!("inject={call}:error={error}:when=1..3");
            let traced = format!("trace={call}");
            let options = ["-e", &traced, "-e", &inject];
            let server = Serve::traced(&trace, &options, &format!("{endpoint} --model {model}")).start();
            let address = SocketAddr::from(([127, 0, 0, 1], server.address("month").port()));
            DatagramPeer::connect(address).request(crate::WITNESS);
            assert!(injected(&trace) > 0, "{model}, {endpoint}, {error}");
            server.stop_cleanly();
        }
    }
}
