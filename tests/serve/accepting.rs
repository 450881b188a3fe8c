//! Failures of accept, injected one by one, and a process that is out of descriptors.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::common::{MODELS, Peer, Serve, Server, eventually, frame, has_no_strace};

/// Starts a server whose first `failures` accepts fail with `error`, and exchanges a message with a peer that has
/// connected before them. See [`calls_during_failures`].
fn calls_while_accept_fails(trace: &Path, model: &str, error: &str, failures: usize) -> Vec<String> {
    let inject = Injection { call: "accept4", error, failures };
    calls_during_failures(trace, model, "message=0", &inject, |server| {
        server.connect("message").exchange("accepted in the end");
    })
}

/// A system call whose first calls fail.
pub(crate) struct Injection<'a> {
    pub(crate) call: &'a str,
    pub(crate) error: &'a str,
    pub(crate) failures: usize,
}

/// Starts a server under `inject` and runs `exchange`, which ends after the last failure. Returns the names of the
/// system calls between the first failure and the last, by the thread of the failures; those that wait have a `+`.
pub(crate) fn calls_during_failures(
    trace: &Path,
    model: &str,
    endpoint: &str,
    inject: &Injection<'_>,
    exchange: impl FnOnce(&Server),
) -> Vec<String> {
    let Injection { call, error, failures } = *inject;
    let calls = format!("trace={call},epoll_wait,clock_nanosleep");
    let inject = format!("inject={call}:error={error}:when=1..{failures}");
    let options = ["-e", &calls, "-e", &inject];
    let server = Serve::traced(trace, &options, &format!("{endpoint} --model {model}")).start();
    exchange(&server);
    server.stop_cleanly();
    let text = fs::read_to_string(trace).unwrap();
    let mut failed = text.lines().filter(|line| line.contains("(INJECTED)"));
    let (thread, _) = failed.clone().next().and_then(|line| line.split_once(' ')).expect("a call has failed");
    assert!(failed.all(|line| line.contains(error)), "{text}");
    let mut calls: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix(thread)?.trim_start().split_once('('))
        .filter(|(name, _)| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'))
        .map(|(name, rest)| {
            let waits = name == "clock_nanosleep" || (name == "epoll_wait" && !rest.contains(", 0)"));
            if rest.contains("(INJECTED)") {
                "failure".into()
            } else {
                format!("{}{name}", if waits { "+" } else { "" })
            }
        })
        .collect();
    calls.drain(..calls.iter().position(|call| call == "failure").unwrap());
    calls.truncate(calls.iter().rposition(|call| call == "failure").unwrap() + 1);
    let failed = calls.iter().filter(|call| *call == "failure").count();
    assert_eq!(failed, failures, "{error}, {model}:\n{text}");
    calls
}

pub(crate) fn waits(call: &str) -> bool {
    call.starts_with('+')
}

#[test]
fn accepting_pauses_while_descriptors_or_memory_are_short_and_the_waiting_peer_is_served_after_that() {
    const FAILURES: usize = 5;
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for model in MODELS {
        for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
            let calls = calls_while_accept_fails(&trace, model, error, FAILURES);
            for between in calls[1..].split_inclusive(|call| call == "failure") {
                assert!(between.iter().any(|call| waits(call)), "{error}, {model}: it spins: {calls:?}");
                assert!(between.len() <= 5, "{error}, {model}: {calls:?}");
            }
        }
    }
}

#[test]
fn a_connection_that_fails_before_it_is_accepted_does_not_delay_the_next() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for model in MODELS {
        for error in [
            "ECONNABORTED",
            "EPROTO",
            "EINTR",
            "ENETDOWN",
            "ENOPROTOOPT",
            "EHOSTDOWN",
            "ENONET",
            "EHOSTUNREACH",
            "EOPNOTSUPP",
            "ENETUNREACH",
            "EPERM",
        ] {
            let calls = calls_while_accept_fails(&trace, model, error, 5);
            assert!(!calls.iter().any(|call| waits(call)), "{error}, {model}: it waits: {calls:?}");
        }
    }
}

#[test]
fn accepting_that_does_nothing_but_fail_does_not_spin() {
    /// As in the limits of the server.
    const IN_A_ROW_MAX: usize = 256;
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for model in MODELS {
        let calls = calls_while_accept_fails(&trace, model, "EPERM", IN_A_ROW_MAX + 5);
        let mut failures = calls[1..].split_inclusive(|call| call == "failure");
        let first = failures.by_ref().take(IN_A_ROW_MAX - 1).flatten();
        assert!(!first.into_iter().any(|call| waits(call)), "{model}: {calls:?}");
        for between in failures {
            assert!(between.iter().any(|call| waits(call)), "{model}: it spins: {calls:?}");
        }
    }
}

/// Whether a thread of the process is in the system call `accept4`.
fn waits_in_accept(server: &Server) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let calls = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("syscall")).ok());
    calls.into_iter().any(|call| call.starts_with(&format!("{} ", libc::SYS_accept4)))
}

/// Peers that have taken descriptors below the highest open one, which the server had open while it started.
fn fill_gaps(server: &Server, model: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    loop {
        if model == "threads" {
            eventually("a thread waits in accept", || waits_in_accept(server).then_some(()));
        }
        let last = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().map(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str().unwrap().parse::<u64>().unwrap()
        });
        if last.max().unwrap() < first_free_descriptor(server) {
            return peers;
        }
        let mut peer = server.connect("message");
        peer.exchange("in a gap");
        peers.push(peer);
    }
}

/// The one that a thread waiting in accept has reserved counts as free.
fn first_free_descriptor(server: &Server) -> u64 {
    let is_open = |number: &u64| Path::new(&format!("/proc/{}/fd/{number}", server.pid())).exists();
    (0..20_000).find(|number| !is_open(number)).unwrap()
}

/// Leaves the process no descriptor to open.
fn take_free_descriptors(server: &Server) {
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    let first_free = Some(first_free_descriptor(server));
    prlimit(pid, Resource::Nofile, Rlimit { current: first_free, maximum: first_free }).unwrap();
}

#[test]
fn a_freed_descriptor_serves_the_next_waiting_peer() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut inside = server.connect("message");
        inside.exchange("inside");
        // The limit is the first free descriptor: that of `inside` must be below it.
        let fillers = fill_gaps(&server, model);
        let with_inside = crate::open_descriptors(&server);
        take_free_descriptors(&server);
        // A thread that waits in accept has a descriptor for the next connection already.
        let reserved = (model == "threads").then(|| {
            let mut peer = server.connect("message");
            peer.exchange("with the reserved descriptor");
            peer
        });
        // Both are in the backlog, and send nothing more after this.
        let mut waiting = [server.connect("message"), server.connect("message")];
        waiting.iter_mut().for_each(|peer| peer.send(frame("waiting")));
        server.wait_for_log("accepting is paused: Too many open files");
        inside.exchange("still there");
        waiting.iter_mut().for_each(Peer::assert_silent);
        drop(inside);
        let [mut first, mut second] = waiting;
        first.receive_acknowledgement();
        second.assert_silent();
        drop(first);
        second.receive_acknowledgement();
        drop((second, reserved, fillers));
        eventually("all are closed", || (crate::open_descriptors(&server) < with_inside).then_some(()));
        server.stop_cleanly();
    }
}
