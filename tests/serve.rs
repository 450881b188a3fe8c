//! The server as a process: what only the kernel knows, such as signals, pipes, resets and a peer's silence.
//! What it answers to which bytes is compared in `models.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::incompatible_msrv,
    reason = "a real process is waited for; tests may need a newer compiler"
)]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{
    ACKNOWLEDGEMENT, Caller, Clock, Ended, GREETING, INTRODUCTION, MODELS, Peer, REPLY, Serve, Server,
    Signal, acknowledgement, eventually, frame, is_reset, loopline,
};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// Far longer than any test: with it, what ends did so for another reason than the deadline.
const NEVER: &str = "--frame-timeout off --write-timeout off --drain-timeout 5m";

#[test]
fn every_service_answers_at_each_of_its_endpoints_on_both_families_from_one_thread() {
    let mut endpoints = String::new();
    for service in ["message", "greeting", "daytime", "reply", "month"] {
        for host in ["127.0.0.1", "127.0.0.2", "[::1]"].into_iter().take(hosts()) {
            endpoints.extend([" ", service, "=", host, ":0"]);
        }
    }
    let server = Server::start(&endpoints);
    let mut inside = Vec::new();
    for address in server.addresses("message") {
        let mut peer = Peer::connect(address);
        peer.say("héllo");
        inside.push(peer);
    }
    for address in server.addresses("greeting") {
        assert_eq!(Peer::connect(address).receive_text(), GREETING);
    }
    for address in server.addresses("daytime") {
        assert_is_a_time(&Peer::connect(address).receive_text());
    }
    for address in server.addresses("reply") {
        let mut peer = Peer::connect(address);
        peer.send("hello");
        assert_eq!(peer.receive_text(), REPLY);
    }
    for address in server.addresses("month") {
        let caller = Caller::to(address);
        let answers = ["hello", "5", " 12\n", "13", "0", "0"].map(|text| caller.ask(text));
        let wrong = "Error: expected an integer from 1 to 12, or 0 to end\n";
        assert_eq!(answers, [INTRODUCTION, "May", "December", wrong, "Goodbye", INTRODUCTION]);
    }
    assert_eq!(server.status("Threads"), 1);
    assert_eq!(inside.len(), hosts());
    inside.iter_mut().for_each(|peer| peer.say("still there"));
    server.stop_well();
}

/// How many of two IPv4 addresses and one IPv6 address this machine has.
fn hosts() -> usize {
    if TcpListener::bind("[::1]:0").is_ok() { 3 } else { 2 }
}

fn assert_is_a_time(text: &str) {
    let shape = text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character });
    let shape: String = shape.collect();
    assert_eq!(text.len(), 26, "{text:?}");
    assert!(shape.ends_with(" 00:00:00 0000\r\n"), "{text:?}");
}

#[test]
fn the_time_is_that_of_the_zone() {
    let mut zones = vec!["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45"];
    if fs::exists("/usr/share/zoneinfo/Europe/Berlin").unwrap() {
        zones.push("Europe/Berlin");
    }
    for zone in zones {
        for model in MODELS {
            let server = Serve::new("daytime=0 --model").arg(model).env("TZ", zone).start();
            let earliest = unix_seconds();
            let told = server.connect("daytime").receive_text();
            let possible: Vec<String> = (earliest..=unix_seconds()).map(|now| date(now, zone)).collect();
            assert!(possible.contains(&told), "{zone}: {told:?} is none of {possible:?}");
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the system's own program says.
fn date(unix_seconds: u64, zone: &str) -> String {
    let mut command = Command::new("date");
    command.env("TZ", zone).env("LC_ALL", "C").arg(format!("-d@{unix_seconds}"));
    let told = command.arg("+%a %b %e %H:%M:%S %Y\r").output().unwrap().stdout;
    String::from_utf8(told).unwrap()
}

#[test]
fn each_message_is_one_line_on_record_that_names_its_sender() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 reply=0 --model {model}"));
        let mut one = server.connect("message");
        let mut two = server.connect("message");
        one.say("one\ntwo\\\t\u{1b}[2J");
        two.say("");
        one.say("a\u{202e}b ü");
        let mut three = server.connect("reply");
        three.send(b"GET \xff\r\n");
        assert_eq!(three.receive_text(), REPLY);
        let [one, two, three] = [one, two, three].map(|peer| peer.local_address());
        let expected = format!(
            "[{one}] one\\ntwo\\\\\\t\\u{{1b}}[2J\n[{two}] \n[{one}] a\\u{{202e}}b ü\n[{three}] GET \\xff\\r\\n\n"
        );
        assert_eq!(server.stop_well().record, expected, "{model}");
    }
}

#[test]
fn an_ipv4_peer_of_an_ipv6_endpoint_is_recorded_as_the_ipv4_peer_that_it_is() {
    if hosts() < 3 {
        return;
    }
    for model in MODELS {
        let server = Server::start(&format!("message=[::]:0 --model {model}"));
        let port = server.address("message").port();
        let mut short = Peer::connect(SocketAddr::from(([127, 0, 0, 1], port)));
        short.say("short");
        let mut long = Peer::connect(format!("[::1]:{port}").parse().unwrap());
        long.say("long");
        let (short, long) = (short.local_address(), long.local_address());
        assert_eq!(server.stop_well().record, format!("[{short}] short\n[{long}] long\n"));
    }
}

#[test]
fn a_server_without_connections_ends_at_once() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 greeting=0 month=0 --model {model} {NEVER}"));
        assert_eq!(Caller::to(server.address("month")).ask("hello"), INTRODUCTION);
        server.stop_well();
    }
}

#[test]
fn a_peer_that_lingers_holds_up_the_end_for_a_short_time_only() {
    for model in MODELS {
        let server = Server::start(&format!("greeting=0 --model {model} {NEVER}"));
        let mut lingering = server.connect("greeting");
        assert_eq!(lingering.receive_text(), GREETING);
        server.stop_well();
    }
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    for model in MODELS {
        for signal in [Signal::TERM, Signal::INT] {
            let server = Server::start(&format!("message=0 greeting=0 month=0 --model {model} {NEVER}"));
            let mut idle = server.connect("message");
            idle.say("once");
            let before = open_descriptors(&server);
            let mut silent = server.connect("message");
            eventually("the silent one is accepted", || (open_descriptors(&server) > before).then_some(()));
            server.signal(signal);
            let ended = server.wait();
            assert!(ended.status.success(), "{model}: {}", ended.log);
            for peer in [&mut idle, &mut silent] {
                assert_eq!(peer.receive_text(), "", "{model}");
            }
            assert_eq!(ended.texts(), ["once"]);
        }
    }
}

#[test]
fn a_frame_that_has_begun_is_finished_and_acknowledged_while_new_peers_are_refused() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} {NEVER}"));
        let address = server.address("message");
        // The signal comes right behind the bytes: whether they were read by then must not matter.
        let mut begun: Vec<Peer> = (0..20).map(|_| server.connect("message")).collect();
        begun.iter_mut().for_each(|peer| peer.say("before"));
        let frames = [frame("during"), frame("and the next")].concat();
        let (first, rest) = frames.split_at(40);
        begun.iter_mut().for_each(|peer| peer.send(first));
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
        assert_eq!(ended.texts().len(), 60);
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} {NEVER}"));
        let mut begun = begin_a_frame(&server);
        server.signal(Signal::TERM);
        server.wait_for_log("stopping");
        begun.assert_silent();
        server.signal(Signal::INT);
        let ended = server.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert!(ended.log.contains("stopped with 1 connections unfinished"), "{}", ended.log);
        assert_eq!(begun.receive_all().0, b"");
    }
}

#[test]
fn a_frame_that_is_never_finished_holds_up_the_end_for_the_drain_timeout() {
    for model in MODELS {
        let server =
            Server::start(&format!("message=0 --model {model} --frame-timeout off --drain-timeout 300ms"));
        let mut begun = begin_a_frame(&server);
        let clock = Clock::start();
        let ended = server.stop_well();
        assert!(clock.elapsed() >= Duration::from_millis(300), "{model}: {:?}", clock.elapsed());
        assert!(ended.log.contains("stopped with 1 connections unfinished"), "{}", ended.log);
        assert_eq!(begun.receive_all().0, b"");
    }
}

fn begin_a_frame(server: &Server) -> Peer {
    let mut peer = server.connect("message");
    peer.say("before");
    peer.send(&frame("during")[..66]);
    peer
}

#[test]
fn a_peer_that_drips_is_dropped_at_the_frame_timeout_and_others_are_served_meanwhile() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --frame-timeout 200ms"));
        let mut good = server.connect("message");
        let mut dripping = server.connect("message");
        dripping.say("in time");
        let clock = Clock::start();
        dripping.send(&frame(vec![b'x'; 1 << 20])[..64]);
        // Each byte comes alone, since the other peer is answered between any two of them.
        while dripping.arrived().is_none() && dripping.try_send(b"x").is_ok() {
            good.say("good");
            assert!(clock.elapsed() < common::PATIENCE, "{model}: it is never dropped");
        }
        assert!(clock.elapsed() >= Duration::from_millis(200), "{model}: {:?}", clock.elapsed());
        assert_eq!(dripping.receive_all().0, b"", "{model}");
        good.say("still there");
        let ended = server.stop_well();
        assert!(ended.texts().iter().all(|text| *text != "x"));
    }
}

#[test]
fn a_peer_that_says_nothing_is_dropped_at_the_idle_timeout_and_one_that_talks_is_not() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --idle-timeout 700ms"));
        let mut talking = server.connect("message");
        let clock = Clock::start();
        let mut idle = server.connect("message");
        while idle.arrived().is_none() {
            talking.say("talk");
            assert!(clock.elapsed() < common::PATIENCE, "{model}: it is never dropped");
        }
        assert!(clock.elapsed() >= Duration::from_millis(700), "{model}: {:?}", clock.elapsed());
        assert_eq!(idle.receive_text(), "");
        talking.say("still there");
        server.stop_well();
    }
}

#[test]
fn peers_that_never_read_are_dropped_at_the_write_timeout_with_bounded_memory() {
    const PEERS: u64 = 8;
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --write-timeout 1s --journal none"));
        let mut good = server.connect("message");
        good.say("first");
        let before_kib = server.status("VmHWM");
        let address = server.address("message");
        let deaf: Vec<_> = (0..PEERS).map(|_| thread::spawn(move || send_without_reading(address))).collect();
        while deaf.iter().any(|peer| !peer.is_finished()) {
            good.say("good");
        }
        for peer in deaf {
            // What the buffers of the kernel hold, and not what a second of sending would bring.
            let sent_bytes = peer.join().unwrap();
            assert!(sent_bytes < 24 << 20, "{model}: {sent_bytes} bytes were taken");
        }
        let grown_kib = server.status("VmHWM") - before_kib;
        assert!(grown_kib < PEERS * 1024, "{model}: {grown_kib} KiB for {PEERS} peers");
        good.say("last");
        server.stop_well();
    }
}

/// Sends messages until the server drops the connection; returns how many bytes that took.
fn send_without_reading(address: SocketAddr) -> usize {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    // Little room, so that it takes little to fill it.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut peer = Peer::on(socket.into());
    let frames = frame("").repeat(1024);
    let mut sent_bytes = 0;
    loop {
        match peer.stream.write(&frames[sent_bytes % 64..]) {
            Ok(bytes) => sent_bytes += bytes,
            Err(error) if is_reset(&error) => return sent_bytes,
            Err(error) => panic!("the connection is dropped: {error}"),
        }
    }
}

#[test]
fn who_connects_over_the_limit_reads_why_and_those_inside_are_served() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 greeting=0 --model {model} --max-connections 2"));
        let mut inside = [server.connect("message"), server.connect("message")];
        inside.iter_mut().for_each(|peer| peer.say("inside"));
        let why = String::from_utf8(frame("Error: the server is full, it serves 2 connections")).unwrap();
        for _ in 0..5 {
            let mut third = server.connect("message");
            assert_eq!(third.receive_text(), why, "{model}");
            // A service without frames has no words for it that could not be taken for the answer.
            assert_eq!(server.connect("greeting").receive_text(), "", "{model}");
            inside.iter_mut().for_each(|peer| peer.say("inside"));
        }
        let [mut stays, leaves] = inside;
        drop(leaves);
        let mut next = eventually("there is room again", || {
            let mut next = server.connect("message");
            next.try_send(&frame("next")).ok()?;
            let answer = next.receive_frame();
            assert!(answer == ACKNOWLEDGEMENT || answer == why[64..], "{model}: {answer}");
            (answer == ACKNOWLEDGEMENT).then_some(next)
        });
        stays.say("inside");
        next.say("inside too");
        server.stop_well();
    }
}

#[test]
fn under_a_low_limit_of_descriptors_as_many_are_served_as_it_has_room_for() {
    for model in MODELS {
        let endpoint = format!("message=0 --max-connections 10000 --model {model}");
        let server = Serve::under(r#"ulimit -n 100; exec "$@""#, &endpoint).start();
        let log = server.log();
        let (_, room) = log.split_once("100 descriptors allows: ").expect("it is said");
        let room: usize = room.split_once(" will be served").unwrap().0.parse().unwrap();
        let mut inside: Vec<Peer> = (0..room).map(|_| server.connect("message")).collect();
        inside.iter_mut().for_each(|peer| peer.say("inside"));
        // More than the limit has descriptors for: those that cannot even be refused yet wait.
        let outside: Vec<Peer> = (0..100).map(|_| server.connect("message")).collect();
        for mut peer in outside {
            assert_eq!(
                peer.receive_frame(),
                format!("Error: the server is full, it serves {room} connections")
            );
        }
        inside.iter_mut().for_each(|peer| peer.say("inside"));
        let ended = server.stop_well();
        assert!(!ended.log.contains("os error"), "{}", ended.log);
    }
}

#[test]
fn peers_that_reset_hurt_nobody_and_are_not_worth_a_line() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut good = server.connect("message");
        for _ in 0..50 {
            server.connect("message").reset();
            let mut in_a_frame = server.connect("message");
            in_a_frame.send(&frame("never whole")[..70]);
            in_a_frame.reset();
            let mut owed_answers = server.connect("message");
            owed_answers.send(frame("answered in vain").repeat(100));
            owed_answers.reset();
            good.say("good");
        }
        eventually("all are closed", || (open_descriptors(&server) <= 16).then_some(()));
        good.say("still there");
        let ended = server.stop_well();
        assert!(ended.log_since_ready().iter().all(|line| line.contains("stopping")), "{}", ended.log);
    }
}

fn open_descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[test]
fn bytes_that_a_peer_sends_do_not_reset_its_greeting_away() {
    for model in MODELS {
        let server = Server::start(&format!("greeting=0 daytime=0 --model {model}"));
        for service in ["greeting", "daytime"] {
            for _ in 0..20 {
                let mut peer = server.connect(service);
                peer.send([b'x'; 10_000]);
                eventually("the greeting is there", || peer.arrived());
                peer.send([b'x'; 10_000]);
                peer.half_close();
                let told = peer.receive_text();
                assert_eq!(told.len(), 26, "{model} {service}: {told}");
            }
        }
        server.stop_well();
    }
}

#[test]
fn a_file_is_appended_to_and_a_torn_last_line_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    for model in MODELS {
        for ack in ["written", "synced"] {
            let path = directory.path().join(format!("{model} {ack}"));
            for (before, text) in [("[1.2.3.4:5] old\n[1.2.3.4:5] to", "new"), ("", "newer")] {
                let mut content = fs::read_to_string(&path).unwrap_or_default();
                content += before;
                fs::write(&path, content).unwrap();
                let server = Serve::new("message=0 --model").arg(model).arg("--ack").arg(ack);
                let server = server.arg("--journal").arg(&path).start();
                server.connect("message").say(text);
                let recorded = fs::read_to_string(&path).unwrap();
                assert!(recorded.ends_with(&format!("] {text}\n")), "it is there when it is acknowledged");
                assert_eq!(server.stop_well().record, "", "nothing is recorded elsewhere");
            }
            let lines = fs::read_to_string(&path).unwrap();
            let texts: Vec<&str> = lines.lines().map(|line| line.split_once("] ").unwrap().1).collect();
            assert_eq!(texts, ["old", "new", "newer"]);
        }
    }
}

#[test]
fn messages_are_acknowledged_where_nothing_is_recorded() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 reply=0 --model {model} --journal none"));
        server.connect("message").say("gone");
        let mut peer = server.connect("reply");
        peer.send("gone too");
        assert_eq!(peer.receive_text(), REPLY);
        assert_eq!(server.stop_well().record, "");
    }
}

#[test]
fn messages_are_recorded_to_a_device_that_cannot_be_polled() {
    for model in MODELS {
        let server = Serve::new("message=0 --model").arg(model).stdout(Stdio::null()).start();
        server.connect("message").say("to standard output");
        server.stop_well();
        let server = Server::start(&format!("message=0 --journal /dev/null --model {model}"));
        server.connect("message").say("to a path");
        server.stop_well();
    }
}

#[test]
fn a_record_whose_reader_is_gone_ends_the_server_and_nothing_is_acknowledged() {
    for model in MODELS {
        let (reader, writer) = std::io::pipe().unwrap();
        let server = Serve::new("message=0 --model").arg(model).stdout(writer).start();
        server.connect("message").say("read");
        drop(reader);
        let mut peers: Vec<Peer> = (0..10).map(|_| server.connect("message")).collect();
        peers.iter_mut().for_each(|peer| peer.send(frame("never read")));
        let ended = server.wait();
        assert_not_acknowledged(&mut peers);
        assert_ended_for_the_record(&ended, "Broken pipe (os error 32)");
    }
}

#[test]
fn a_record_on_a_full_disk_ends_the_server_and_nothing_is_acknowledged() {
    for model in MODELS {
        for ack in ["received", "written", "synced"] {
            let server = Server::start(&format!("message=0 --model {model} --ack {ack} --journal /dev/full"));
            let mut peers: Vec<Peer> = (0..10).map(|_| server.connect("message")).collect();
            // Those that the end of the server comes before are not even taken.
            peers.iter_mut().for_each(|peer| drop(peer.try_send(&frame("no room").repeat(3))));
            let ended = server.wait();
            assert_not_acknowledged(&mut peers);
            assert_ended_for_the_record(&ended, "No space left on device (os error 28)");
        }
    }
}

fn assert_not_acknowledged(peers: &mut [Peer]) {
    for peer in peers {
        let (received, _) = peer.receive_all();
        assert_eq!(String::from_utf8_lossy(&received), "");
    }
}

fn assert_ended_for_the_record(ended: &Ended, why: &str) {
    assert_eq!(ended.status.code(), Some(74), "{}", ended.log);
    let line = format!("loopline: cannot write to the journal: {why}");
    assert_eq!(ended.log_since_ready(), [line]);
}

#[test]
fn a_record_that_nobody_reads_holds_up_acknowledgements_and_nothing_else() {
    const MESSAGES: usize = 40;
    for (model, (reader, writer)) in MODELS.into_iter().flat_map(|model| records().map(|it| (model, it))) {
        let endpoints = "message=0 greeting=0 daytime=0 month=0 --write-timeout 100ms --model";
        let server = Serve::new(endpoints).arg(model).stdout(writer).start();
        let bodies: Vec<String> =
            (0..MESSAGES).map(|place| format!("{place:02} {}", "x".repeat(60 << 10))).collect();

        let mut peer = server.connect("message");
        // A pipe has room for one of these, and not for two.
        peer.say(&bodies[0]);
        let mut sender = Peer::on(peer.stream.try_clone().unwrap());
        let rest: Vec<u8> = bodies[1..].iter().flat_map(frame).collect();
        let sending = thread::spawn(move || sender.send(rest));

        let clock = Clock::start();
        let caller = Caller::to(server.address("month"));
        assert_eq!(caller.ask("hello"), INTRODUCTION);
        // A peer whose answers wait for the record is not one that takes nothing.
        while clock.elapsed() < Duration::from_millis(300) {
            assert_eq!(server.connect("greeting").receive_text(), GREETING);
            assert_is_a_time(&server.connect("daytime").receive_text());
            assert_eq!(caller.ask("2"), "February");
        }
        peer.assert_silent();

        let reading = read_in_a_thread(reader);
        for _ in 1..MESSAGES {
            peer.receive_acknowledgement();
        }
        sending.join().unwrap();
        let mut next = server.connect("message");
        next.say("next");
        let (peer, next) = (peer.local_address(), next.local_address());
        server.stop_well();
        let mut expected: Vec<String> = bodies.iter().map(|body| format!("[{peer}] {body}\n")).collect();
        expected.push(format!("[{next}] next\n"));
        assert!(reading.join().unwrap() == expected.concat(), "{model}: the record has all, in order");
    }
}

#[test]
fn messages_acknowledged_when_received_do_not_wait_for_a_record_that_nobody_reads() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Serve::new("message=0 --ack received").stdout(writer).start();
    let mut peer = server.connect("message");
    let body = "x".repeat(60 << 10);
    (0..10).for_each(|_| peer.say(&body));
    let reading = read_in_a_thread(reader);
    server.stop_well();
    assert_eq!(reading.join().unwrap().lines().count(), 10);
}

#[test]
fn messages_that_nobody_has_read_from_the_record_by_the_end_are_not_acknowledged() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let server = Serve::new("message=0 --drain-timeout 200ms").stdout(writer).start();
    let mut peer = server.connect("message");
    peer.say("there is room for this one");
    peer.send(frame("x".repeat(100 << 10)));
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(74));
    assert_not_acknowledged(&mut [peer]);
}

/// What standard output can be, besides a file: a pipe or a socket, and either of them as a parent may have
/// left it, non-blocking. None of these has room for much.
fn records() -> [(Box<dyn Read + Send>, OwnedFd); 4] {
    [(false, false), (false, true), (true, false), (true, true)].map(|(is_socket, nonblocking)| {
        let (reader, writer): (Box<dyn Read + Send>, OwnedFd) = if is_socket {
            let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
            SockRef::from(&writer).set_send_buffer_size(32 << 10).unwrap();
            (Box::new(reader), writer.into())
        } else {
            let (reader, writer) = std::io::pipe().unwrap();
            (Box::new(reader), writer.into())
        };
        rustix::io::ioctl_fionbio(&writer, nonblocking).unwrap();
        (reader, writer)
    })
}

fn read_in_a_thread(mut reader: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn a_log_that_nobody_reads_hurts_nobody() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let mut server = serve.with_a_stuck_log().start();
        assert_many_are_served(&server);
        // What was dropped is told once there is room again.
        server.read_the_log_again();
        eventually("lines get through again", || {
            server.connect("message").say("one more");
            server.log().contains("lines before this one were dropped").then_some(())
        });
        server.stop_well();
    }
}

#[test]
fn a_log_whose_reader_is_gone_hurts_nobody() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let server = serve.with_a_log_whose_reader_goes().start();
        assert_many_are_served(&server);
        server.stop_well();
    }
}

#[test]
fn a_log_that_was_closed_before_the_start_hurts_nobody() {
    for model in MODELS {
        // Nobody else is given a port that is held here, and the server may share it.
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.set_reuse_port(true).unwrap();
        held.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = held.local_addr().unwrap().as_socket().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&-", "sh", env!("CARGO_BIN_EXE_loopline"), "serve", "--reuse-port"]);
        shell.args(["--log", "debug", "--journal", "none", "--model", model]);
        let mut child = shell.arg(format!("message={address}")).spawn().unwrap();
        let mut peer = eventually("it listens", || TcpStream::connect(address).ok().map(Peer::on));
        peer.say("served");
        drop(peer);
        Peer::connect(address).say("served");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Far more than a pipe has room to log, from several peers at once.
fn assert_many_are_served(server: &Server) {
    let address = server.address("message");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    Peer::connect(address).say("served");
                }
            });
        }
        // A crowd that comes and goes at once.
        for _ in 0..5 {
            let mut crowd: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
            crowd.iter_mut().for_each(|peer| peer.say("served"));
        }
    });
    Peer::connect(address).say("served at last");
}

#[test]
fn several_processes_share_a_port_only_if_they_are_told_to() {
    let first = Server::start("message=0 month=0 --reuse-port");
    let endpoints = format!("message={} month={}", first.address("message"), first.address("month"));
    let second = Server::start(&format!("{endpoints} --reuse-port"));
    assert_eq!(second.address("message"), first.address("message"));
    first.stop_well();
    second.connect("message").say("served by the other");
    let refused = loopline().arg("serve").args(endpoints.split(' ')).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn bytes_that_wait_while_the_server_is_stopped_are_read_before_their_sender_is_called_idle() {
    for model in MODELS {
        let arguments = "message=0 --idle-timeout 1s --frame-timeout 1s --model";
        let server = Server::start(&format!("{arguments} {model}"));
        let mut idle = server.connect("message");
        idle.say("before");
        let mut in_a_frame = begin_a_frame(&server);
        server.signal(Signal::STOP);
        // Only what comes when it has stopped is not seen by the wait that the signal ended.
        eventually("it has stopped", || server.is_stopped().then_some(()));
        let clock = Clock::start();
        idle.send(frame("meanwhile"));
        in_a_frame.send(&frame("during")[66..]);
        eventually("both are over their deadline", || {
            (clock.elapsed() > Duration::from_millis(1200)).then_some(())
        });
        server.signal(Signal::CONT);
        idle.receive_acknowledgement();
        in_a_frame.receive_acknowledgement();
        server.stop_well();
    }
}

#[test]
fn who_has_connected_before_the_server_is_asked_to_stop_is_accepted_and_acknowledged() {
    let server = Server::start("message=0");
    server.signal(Signal::STOP);
    eventually("it has stopped", || server.is_stopped().then_some(()));
    // The kernel completes these connections and keeps them, with a frame each, in the backlog.
    let mut peers: Vec<Peer> = (0..300).map(|_| server.connect("message")).collect();
    for peer in &mut peers {
        peer.send(frame("in the backlog"));
    }
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    peers.iter_mut().for_each(Peer::receive_acknowledgement);
    drop(peers);
    server.wait();
}

#[test]
fn urgent_data_does_not_hide_what_is_behind_it() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut peer = server.connect("message");
        peer.send(frame("before"));
        SockRef::from(&peer.stream).send_out_of_band(b"!").unwrap();
        peer.send(frame("behind"));
        peer.receive_acknowledgement();
        peer.receive_acknowledgement();
        server.stop_well();
    }
}

#[test]
fn peers_that_are_being_refused_do_not_take_the_place_of_others() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --max-connections 1 --model {model}"));
        let mut inside = server.connect("message");
        inside.say("inside");
        let refused: Vec<Peer> = (0..3)
            .map(|_| {
                let mut peer = server.connect("message");
                assert_eq!(peer.receive_frame(), "Error: the server is full, it serves 1 connections");
                peer
            })
            .collect();
        drop(inside);
        // None of the refused has closed yet.
        eventually("there is room again", || {
            let mut next = server.connect("message");
            next.send(frame("next"));
            (next.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        drop(refused);
        server.stop_well();
    }
}
