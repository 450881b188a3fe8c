//! SIGTERM and SIGINT: what is finished before the server exits, and how long that may take.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind, Write, pipe, stderr};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, kill_process};

use crate::common::{
    Clock, DatagramPeer, GREETING, INTRODUCTION, MODELS, PROGRAM, Peer, Serve, Server, Signal,
    acknowledgement, eventually, frame, wait_for_delivery, with_each_model, without_options,
};
use crate::{begin_a_frame, open_descriptors};

#[test]
fn a_server_without_connections_ends_at_once() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 greeting=0 month=0 --model {model} {LONG_TIMEOUTS}"));
        assert_eq!(DatagramPeer::connect(server.address("month")).request("hello"), INTRODUCTION);
        server.stop_cleanly();
    }
}

#[test]
fn a_lingering_peer_does_not_delay_the_exit_beyond_the_linger_timeout() {
    with_each_model(|model| {
        let server = Server::start(&format!("greeting=0 --model {model} {LONG_TIMEOUTS}"));
        let mut lingering = server.connect("greeting");
        // The peer has received everything, but does not end its side.
        assert_eq!(lingering.receive_text(), GREETING);
        server.stop_cleanly();
    });
}

#[test]
fn idle_connections_do_not_delay_the_exit() {
    with_each_model(|model| {
        for signal in [Signal::TERM, Signal::INT] {
            let server =
                Server::start(&format!("message=0 greeting=0 month=0 --model {model} {LONG_TIMEOUTS}"));
            let mut idle = server.connect("message");
            idle.exchange("once");
            let before = open_descriptors(&server);
            let mut silent = server.connect("message");
            eventually("the silent peer is accepted", || (open_descriptors(&server) > before).then_some(()));
            server.signal(signal);
            let ended = server.wait();
            assert!(ended.status.success(), "{model}: {}", ended.log);
            for peer in [&mut idle, &mut silent] {
                assert_eq!(peer.receive_text(), "", "{model}");
            }
            assert_eq!(ended.messages(), ["once"]);
        }
    });
}

#[test]
fn a_frame_that_has_begun_is_finished_and_acknowledged_while_new_peers_are_refused() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} {LONG_TIMEOUTS}"));
        let address = server.address("message");
        // The signal follows the bytes: whether they are read by then must not matter.
        let mut begun: Vec<Peer> = (0..20).map(|_| server.connect("message")).collect();
        begun.iter_mut().for_each(|peer| peer.exchange("before"));
        let frames = [frame("during"), frame("and the next")].concat();
        let (first, rest) = frames.split_at(40);
        begun.iter_mut().for_each(|peer| peer.send(first));
        wait_for_delivery(&begun);
        server.signal(Signal::TERM);
        server.wait_for_log("stopping");
        eventually("new peers are refused", || {
            TcpStream::connect(address)
                .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
                .then_some(())
        });
        for peer in &mut begun {
            peer.assert_silent();
            peer.send(rest);
            assert_eq!(peer.receive_text().into_bytes(), acknowledgement().repeat(2), "{model}");
        }
        drop(begun);
        let ended = server.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert_eq!(ended.messages().len(), 60);
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} {LONG_TIMEOUTS}"));
        let mut begun = begin_a_frame(&server);
        server.signal(Signal::TERM);
        server.wait_for_log("stopping");
        begun.assert_silent();
        server.signal(Signal::INT);
        let ended = server.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert!(ended.log.contains("stopped with unfinished connections: 1"), "{}", ended.log);
        assert_eq!(begun.receive_all().0, b"");
    }
}

/// Waits until all threads of the server wait for something.
fn wait_until_asleep(server: &Server) {
    let is_asleep = |task: io::Result<DirEntry>| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tS"))
    };
    eventually("all threads sleep", || {
        let mut tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        tasks.all(is_asleep).then_some(())
    });
}

#[test]
fn a_second_signal_in_the_drain_delay_ends_the_server_at_once_and_idle_connections_are_not_unfinished() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --drain-delay 1h {LONG_TIMEOUTS}"));
        let mut idle = server.connect("message");
        idle.exchange("before");
        let begun = begin_a_frame(&server);
        server.signal(Signal::TERM);
        server.wait_for_log("stopping");
        idle.exchange("in the delay");
        // A thread sends the reply first, and marks its connection as idle then.
        wait_until_asleep(&server);
        server.signal(Signal::TERM);
        let ended = server.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert!(ended.log.contains("stopped with unfinished connections: 1"), "{model}: {}", ended.log);
        drop(begun);
    }
}

#[test]
fn a_frame_that_is_never_finished_delays_the_exit_until_the_drain_timeout() {
    with_each_model(|model| {
        let server =
            Server::start(&format!("message=0 --model {model} --frame-timeout off --drain-timeout 300ms"));
        let mut begun = begin_a_frame(&server);
        let clock = Clock::start();
        let ended = server.stop_cleanly();
        assert!(clock.elapsed() >= Duration::from_millis(300), "{model}: {:?}", clock.elapsed());
        assert!(ended.log.contains("stopped with unfinished connections: 1"), "{}", ended.log);
        assert_eq!(begun.receive_all().0, b"");
    });
}

#[test]
fn connections_in_the_backlog_are_served_after_a_stop_request() {
    let server = Server::start("message=0");
    server.signal(Signal::STOP);
    eventually("the process has stopped", || server.is_stopped().then_some(()));
    // The kernel completes these connections and keeps them, with a frame each, in the backlog.
    let mut peers: Vec<Peer> = (0..300).map(|_| server.connect("message")).collect();
    for peer in &mut peers {
        peer.send(frame("in the backlog"));
    }
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    peers.iter_mut().for_each(Peer::receive_acknowledgement);
    drop(peers);
    let ended = server.wait();
    assert!(ended.status.success(), "{:?}: {}", ended.status, ended.log);
}

#[test]
fn a_journal_that_is_stuck_delays_the_exit_until_the_drain_timeout_or_the_second_signal() {
    with_each_model(|model| {
        for (timeout, signals) in [("300ms", 1), ("5m", 2)] {
            let (_reader, writer) = pipe().unwrap();
            let options = format!("message=0 --model {model} --drain-timeout {timeout}");
            let server = Serve::new(&options).stdout(writer).start();
            let mut peer = server.connect("message");
            peer.exchange("recorded");
            // More than a pipe takes.
            peer.send(frame("x".repeat(100 << 10)));
            wait_for_delivery([&peer]);
            server.signal(Signal::TERM);
            server.wait_for_log("stopping");
            if signals == 2 {
                peer.assert_silent();
                server.signal(Signal::TERM);
            }
            let ended = server.wait();
            assert_eq!(ended.status.code(), Some(74), "{model}, {signals} signals: {}", ended.log);
            assert_eq!(peer.receive_all().0, b"", "{model}: it is not acknowledged");
        }
    });
}

#[test]
fn sigterm_stops_a_server_that_is_process_1() {
    let options = ["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let unshare = || {
        let mut command = without_options("unshare");
        command.args(options);
        command
    };
    let allowed = unshare().arg("true").output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "no process namespace: {allowed:?}");
        let _ = stderr().write_all(b"SKIPPED: a process namespace is not available\n");
        return;
    }
    for (model, signal) in MODELS.into_iter().flat_map(|model| [(model, Signal::TERM), (model, Signal::INT)])
    {
        let mut command = unshare();
        command.arg(PROGRAM);
        let server = Serve::by(command, &format!("message=0 --model {model}")).start();
        server.connect("message").exchange("before");
        let parent = server.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let child: i32 = children.trim().parse().unwrap();
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        assert!(status.contains(&format!("NSpid:\t{child}\t1\n")), "{status}");
        kill_process(Pid::from_raw(child).unwrap(), signal).unwrap();
        let ended = server.wait();
        assert!(ended.status.success(), "{model}, {signal:?}: {:?}: {}", ended.status, ended.log);
        assert_eq!(ended.messages(), ["before"]);
    }
}

/// Longer than a test waits: a server that exits nevertheless does not wait for them.
const LONG_TIMEOUTS: &str = "--frame-timeout off --write-timeout off --drain-timeout 5m";
