//! The server under systemd: inherited sockets, reports to the manager, and the unit.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use socket2::{Domain, SockRef, Socket, Type};

use crate::activator::Activator;
use crate::common::{
    Clock, DatagramPeer, GREETING, INTRODUCTION, MODELS, Network, PROGRAM, Peer, REPLY, Serve, Signal,
    WAIT_MAX, eventually, has_no_strace, in_namespace, loopline, stall, with_each_model,
};
use crate::is_missing;
use crate::metrics::fetch;

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn inherited_sockets_are_served_by_the_service_they_are_named_after_and_nothing_else_is() {
    for model in MODELS {
        let activator = Activator::default()
            .with("message", listener())
            .with("month", UdpSocket::bind("127.0.0.1:0").unwrap())
            .with("greeting", listener())
            .with("message", listener())
            .with("daytime", listener())
            .with("reply", listener());
        let server = activator.serve(&format!("--model {model}")).start();
        assert_eq!(server.log().matches("listening: ").count(), 6, "{}", server.log());
        for (index, address) in server.addresses("message").into_iter().enumerate() {
            Peer::connect(address).exchange(format!("at {index}"));
        }
        assert_eq!(server.connect("greeting").receive_text(), GREETING);
        assert_ne!(server.connect("daytime").receive_text(), "");
        let mut reply = server.connect("reply");
        reply.send("text");
        assert_eq!(reply.receive_text(), REPLY);
        drop(reply);
        assert_eq!(DatagramPeer::connect(server.address("month")).request("hello"), INTRODUCTION);
        let ended = server.stop_cleanly();
        assert_eq!(ended.messages(), ["at 0", "at 1", "text"], "{model}");
    }
}

#[test]
fn endpoints_that_are_named_are_served_besides_inherited_sockets() {
    for model in MODELS {
        let activator = Activator::default().with("message", listener());
        let server = activator.serve(&format!("greeting=0 --model {model}")).start();
        assert_eq!(server.log().matches("listening: ").count(), 2, "{}", server.log());
        server.connect("message").exchange("inherited");
        assert_eq!(server.connect("greeting").receive_text(), GREETING);
        server.stop_cleanly();
    }
}

#[test]
fn an_inherited_socket_may_be_behind_a_proxy() {
    for model in MODELS {
        let activator = Activator::default().with("message+proxy", listener());
        let server = activator.serve(&format!("--model {model}")).start();
        let mut peer = server.connect("message");
        peer.send("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        peer.exchange("text");
        assert_eq!(server.stop_cleanly().journal, "[192.0.2.1:1] text\n", "{model}");
    }
}

#[test]
fn metrics_are_served_at_the_inherited_socket_of_this_name_and_left_to_the_next_server() {
    with_each_model(|model| {
        let activator = Activator::default().with("metrics", listener()).with("message", listener());
        let server = activator.serve(&format!("--model {model} --sandbox on")).start();
        let address = server.address("metrics");
        server.connect("message").exchange("text");
        eventually("the message is counted", || {
            fetch(&server, "/metrics").contains("\nloopline_messages_total 1\n").then_some(())
        });
        server.stop_cleanly();
        // It is not refused: it waits for the next server.
        let mut waiting = Peer::connect(address);
        waiting.send("GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let next = activator.serve(&format!("--model {model}")).start();
        assert!(waiting.receive_all().0.starts_with(b"HTTP/1.1 200 OK\r\n"), "{model}");
        next.stop_cleanly();
    });
}

#[test]
fn a_server_that_inherits_metrics_alone_serves_the_default_endpoints() {
    in_namespace(
        a_server_that_inherits_metrics_alone_serves_the_default_endpoints,
        Network::Loopback,
        || {
            let server = Activator::default().with("metrics", listener()).serve("").start();
            assert_eq!(server.log().matches("listening: ").count(), 6, "{}", server.log());
            assert_eq!(fetch(&server, "/healthz"), "ok\n");
            server.stop_cleanly();
        },
    );
}

#[test]
fn metrics_are_served_at_one_address() {
    let listeners = [listener(), listener()];
    let [first, second] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let [a, b] = listeners;
    let activator = Activator::default().with("metrics", a);
    let ended = activator.serve(&format!("message=0 --metrics {second}")).fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let twice = format!("--metrics {second}: they are served at the inherited socket 'metrics', {first}");
    assert_eq!(ended.log, format!("loopline: {twice}\n"));
    let ended = activator.with("metrics", b).serve("message=0").fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let twice = format!("{first} has this name already, and metrics are served at one address");
    assert_eq!(ended.log, format!("loopline: inherited socket 'metrics': {twice}\n"));
}

#[test]
fn sockets_that_are_meant_for_another_process_are_not_served() {
    let serve = Serve::by(loopline(), "greeting=0");
    let serve = serve.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "message");
    let server = serve.start();
    assert_eq!(server.log().matches("listening: ").count(), 1, "{}", server.log());
    server.stop_cleanly();
}

#[test]
fn an_inherited_listener_gets_the_options_of_our_own_and_is_non_blocking_in_both_models() {
    for model in MODELS {
        let listener = listener();
        let activator = Activator::default().with("message", listener.try_clone().unwrap());
        let server = activator.serve(&format!("--model {model}")).start();
        let socket = SockRef::from(&listener);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert!(socket.tcp_notsent_lowat().unwrap() < u32::MAX);
        // All processes share this flag: a server of the other model may be next.
        assert!(fcntl_getfl(&listener).unwrap().contains(OFlags::NONBLOCK));
        for _ in 0..3 {
            server.connect("message").exchange("text");
        }
        server.stop_cleanly();
    }
}

#[test]
fn an_inherited_socket_that_cannot_be_served_is_one_clear_error() {
    let unbound = |kind| Socket::new(Domain::IPV4, kind, None).unwrap();
    let bound = || {
        let socket = unbound(Type::STREAM);
        socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket
    };
    let directory = tempfile::tempdir().unwrap();
    let local = UnixListener::bind(directory.path().join("socket")).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let more_datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let cases: [(&str, OwnedFd, &str); 10] = [
        (
            "loopline.socket",
            listener().into(),
            "unknown service 'loopline.socket', expected metrics or one of message, greeting, daytime, reply, month: set \
             FileDescriptorName= in the socket unit",
        ),
        (
            "mesage",
            listener().into(),
            "unknown service 'mesage', did you mean 'message'?: set FileDescriptorName= \
             in the socket unit",
        ),
        ("metrics", more_datagrams.into(), "fd 3 is not a valid tcp socket"),
        ("metrics+proxy", listener().into(), "'metrics' is served without a proxy"),
        ("message", datagrams.into(), "fd 3 is not a valid tcp socket"),
        ("month", listener().into(), "fd 3 is not a valid udp socket"),
        ("message", local.into(), "fd 3 is not a valid tcp socket"),
        ("message", File::open("/dev/null").unwrap().into(), "fd 3 is not a socket"),
        ("message", bound().into(), "the socket does not listen"),
        ("month", unbound(Type::DGRAM).into(), "it is not bound to a port"),
    ];
    for (name, socket, why) in cases {
        let activator = Activator::default().with(name, socket);
        for model in MODELS {
            let ended = activator.serve(&format!("--model {model}")).fail();
            assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
            assert_eq!(ended.log, format!("loopline: inherited socket '{name}': {why}\n"));
        }
    }
}

#[test]
fn a_socket_that_was_announced_and_not_passed_is_an_error() {
    let activator = Activator::default().with("message", listener());
    let ended = activator.serve_as("2", Some("message:greeting"), "").fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert_eq!(ended.log, "loopline: inherited socket 'greeting': fd 4 is not a socket\n");
    for names in [None, Some("message:greeting")] {
        let ended = activator.serve_as("1", names, "").fail();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.starts_with("loopline: LISTEN_FDS=1, with "), "{}", ended.log);
        assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
    }
}

#[test]
fn the_socket_activator_of_systemd_starts_the_server_with_its_sockets() {
    if is_missing("systemd-socket-activate") {
        return;
    }
    in_namespace(
        the_socket_activator_of_systemd_starts_the_server_with_its_sockets,
        Network::Loopback,
        || {
            for model in MODELS {
                let mut command = Command::new("systemd-socket-activate");
                command.args(["--listen=127.0.0.1:9000", "--listen=[::1]:9001", "--fdname=message:greeting"]);
                command.arg(PROGRAM);
                // It starts the server when the first connection arrives.
                let started = Serve::by(command, &format!("--model {model}")).begin();
                started.wait_for_log("Listening on [::1]:9001");
                let mut first = Peer::connect("127.0.0.1:9000".parse().unwrap());
                first.exchange("started by this connection");
                assert_eq!(Peer::connect("[::1]:9001".parse().unwrap()).receive_text(), GREETING);
                drop(first);
                let ended = started.stop_cleanly();
                assert_eq!(ended.messages(), ["started by this connection"], "{model}");
            }
        },
    );
}

/// What a service manager receives, in the order in which it is sent.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self { socket, path, _directory: directory }
    }

    /// At an abstract address, which no file has.
    fn abstract_one() -> Self {
        let manager = Self::new();
        let address = SocketAddr::from_abstract_name(&manager.path).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self { socket, path: format!("@{}", manager.path), ..manager }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).expect("the server reports to its manager");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Discards what has been sent, and returns how many reports that were.
    fn forget(&self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let reports = std::iter::from_fn(|| self.socket.recv(&mut [0; 1000]).ok()).count();
        self.socket.set_nonblocking(false).unwrap();
        reports
    }
}

#[test]
fn a_service_manager_learns_that_the_server_is_ready_and_that_it_stops() {
    for model in MODELS {
        for manager in [Manager::new(), Manager::abstract_one()] {
            let serve = Serve::new(&format!("message=0 --model {model}"));
            let server = serve.env("NOTIFY_SOCKET", &manager.path).start();
            assert_eq!(manager.next(), "READY=1\nSTATUS=0 connections\n");
            server.signal(Signal::TERM);
            assert_eq!(manager.next(), "STOPPING=1\nSTATUS=stopping\n");
            let ended = server.wait();
            assert!(ended.status.success(), "{model}: {}", ended.log);
        }
    }
}

#[test]
fn a_server_that_cannot_start_is_not_reported_to_be_ready() {
    let taken = listener().local_addr().unwrap();
    let _keeps_it = TcpListener::bind(taken).unwrap();
    for arguments in [format!("message={taken}"), "message=0 --journal /nowhere/journal".into()] {
        for model in MODELS {
            let manager = Manager::new();
            let serve = Serve::new(&format!("{arguments} --model {model}"));
            let ended = serve.env("NOTIFY_SOCKET", &manager.path).fail();
            assert_eq!((ended.status.code(), manager.forget()), (Some(1), 0), "{}", ended.log);
        }
    }
}

#[test]
fn a_service_manager_learns_that_the_journal_was_reopened() {
    for model in MODELS {
        let (manager, directory) = (Manager::new(), tempfile::tempdir().unwrap());
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", &manager.path);
        let server = serve.arg("--journal").arg(directory.path().join("journal")).start();
        assert!(manager.next().starts_with("READY=1\n"));
        server.signal(Signal::HUP);
        assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="), "{model}");
        assert_eq!(manager.next(), "READY=1\n", "{model}");
        server.stop_cleanly();
    }
}

#[test]
fn a_service_manager_learns_how_busy_the_server_is() {
    let started = MODELS.map(|model| {
        let manager = Manager::new();
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", &manager.path);
        let server = serve.start();
        let mut peer = server.connect("message");
        (0..100).for_each(|_| peer.exchange("text"));
        (model, manager, server, peer)
    });
    for (model, manager, server, peer) in started {
        assert!(manager.next().starts_with("READY=1\n"));
        let status = manager.next();
        // Threads do not count messages for it.
        let rate = status.strip_prefix("STATUS=1 connections").expect(&status).trim_end();
        let is_expected = match model {
            "loop" => rate.starts_with(", ") && rate.ends_with(" messages/s") && rate != ", 0 messages/s",
            _ => rate.is_empty(),
        };
        assert!(is_expected, "{model}: {status}");
        drop(peer);
        server.stop_cleanly();
    }
}

#[test]
fn a_manager_that_reads_nothing_does_not_stop_the_server() {
    for model in MODELS {
        let manager = Manager::new();
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", &manager.path);
        // A report each millisecond, of which the kernel stores a few.
        let server = serve.env("WATCHDOG_USEC", "2000").start();
        stall(Duration::from_millis(100));
        server.connect("message").exchange("text");
        server.stop_cleanly();
    }
}

#[test]
fn a_server_that_does_not_run_does_not_feed_its_watchdog_and_an_idle_one_does() {
    for model in MODELS {
        let manager = Manager::new();
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", &manager.path);
        let server = serve.env("WATCHDOG_USEC", "100000").start();
        assert!(manager.next().starts_with("READY=1\n"));
        for _ in 0..5 {
            assert_eq!(manager.next(), "WATCHDOG=1\n", "{model}");
        }
        server.signal(Signal::STOP);
        eventually("the process has stopped", || server.is_stopped().then_some(()));
        manager.forget();
        stall(Duration::from_millis(300));
        assert_eq!(manager.forget(), 0, "{model}: it is stopped");
        server.signal(Signal::CONT);
        assert!(manager.next().starts_with("WATCHDOG=1\n"), "{model}");
        server.stop_cleanly();
    }
}

#[test]
fn a_loop_that_is_stuck_in_a_system_call_does_not_feed_its_watchdog() {
    if has_no_strace() {
        return;
    }
    let (manager, directory) = (Manager::new(), tempfile::tempdir().unwrap());
    // The first fdatasync takes as long as this.
    let stuck = Duration::from_secs(2);
    let inject = format!("inject=fdatasync:delay_enter={}:when=1", stuck.as_micros());
    let trace = directory.path().join("trace");
    let serve = Serve::traced(&trace, &["-e", "trace=fdatasync", "-e", &inject], "message=0 --ack synced");
    let serve = serve.arg("--journal").arg(directory.path().join("journal"));
    let server = serve.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "200000").start();
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..2 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    let mut peer = server.connect("message");
    manager.forget();
    let clock = Clock::start();
    peer.exchange("text");
    let (elapsed, fed) = (clock.elapsed(), manager.forget());
    let Some(running) = elapsed.checked_sub(stuck) else { panic!("not delayed: {elapsed:?}") };
    // Every 100 ms while it was not stuck, and at most once more before and after that.
    let most = running.as_millis() / 100 + 2;
    assert!(fed as u128 <= most, "fed {fed} times in {elapsed:?}, of which it was stuck for {stuck:?}");
    assert!(manager.next().starts_with("WATCHDOG=1\n"), "it is fed again");
    server.stop_cleanly();
}

#[test]
fn an_empty_address_of_a_manager_is_none() {
    for model in MODELS {
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", "");
        serve.start().stop_cleanly();
    }
}

#[test]
fn a_manager_that_cannot_be_reached_is_an_error() {
    for model in MODELS {
        let serve = Serve::new(&format!("message=0 --model {model}")).env("NOTIFY_SOCKET", "/nowhere");
        let ended = serve.fail();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains("cannot connect to NOTIFY_SOCKET: "), "{}", ended.log);
    }
}
