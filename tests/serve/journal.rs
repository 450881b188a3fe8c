//! The journal: its lines, and what happens when it is a file, a pipe or a device that blocks or fails.

use std::io::{PipeWriter, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use crate::common::{
    Clock, DatagramPeer, Exit, GREETING, INTRODUCTION, MODELS, Peer, REPLY, Serve, Server, eventually, frame,
    with_each_model,
};
use crate::{assert_is_a_time, hosts};

#[test]
fn each_message_is_one_journal_line_with_its_sender() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 reply=0 --model {model}"));
        let mut one = server.connect("message");
        let mut two = server.connect("message");
        one.exchange("one\ntwo\\\t\u{1b}[2J");
        two.exchange("");
        one.exchange("a\u{202e}b ü");
        let mut three = server.connect("reply");
        three.send(b"GET \xff\r\n");
        assert_eq!(three.receive_text(), REPLY);
        let [one, two, three] = [one, two, three].map(|peer| peer.local_address());
        let expected = format!(
            "[{one}] one\\ntwo\\\\\\t\\u{{1b}}[2J\n[{two}] \n[{one}] a\\u{{202e}}b ü\n[{three}] GET \\xff\\r\\n\n"
        );
        assert_eq!(server.stop_cleanly().journal, expected, "{model}");
    }
}

#[test]
fn an_ipv4_peer_of_an_ipv6_endpoint_is_recorded_with_its_ipv4_address() {
    if hosts() < 3 {
        return;
    }
    for model in MODELS {
        let server = Server::start(&format!("message=[::]:0 --model {model}"));
        let port = server.address("message").port();
        let mut short = Peer::connect(SocketAddr::from(([127, 0, 0, 1], port)));
        short.exchange("short");
        let mut long = Peer::connect(format!("[::1]:{port}").parse().unwrap());
        long.exchange("long");
        let (short, long) = (short.local_address(), long.local_address());
        assert_eq!(server.stop_cleanly().journal, format!("[{short}] short\n[{long}] long\n"));
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
                server.connect("message").exchange(text);
                let recorded = fs::read_to_string(&path).unwrap();
                assert!(
                    recorded.ends_with(&format!("] {text}\n")),
                    "it is recorded before it is acknowledged"
                );
                assert_eq!(server.stop_cleanly().journal, "", "nothing is recorded elsewhere");
            }
            let lines = fs::read_to_string(&path).unwrap();
            let texts: Vec<&str> = lines.lines().map(|line| line.split_once("] ").unwrap().1).collect();
            assert_eq!(texts, ["old", "new", "newer"]);
        }
    }
}

#[test]
fn messages_are_acknowledged_without_a_journal() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 reply=0 --model {model} --journal none"));
        server.connect("message").exchange("gone");
        let mut peer = server.connect("reply");
        peer.send("gone too");
        assert_eq!(peer.receive_text(), REPLY);
        drop(peer);
        assert_eq!(server.stop_cleanly().journal, "");
    }
}

#[test]
fn the_journal_may_be_a_device_that_cannot_be_polled() {
    for model in MODELS {
        let server = Serve::new("message=0 --model").arg(model).stdout(Stdio::null()).start();
        server.connect("message").exchange("to standard output");
        server.stop_cleanly();
        let server = Server::start(&format!("message=0 --journal /dev/null --model {model}"));
        server.connect("message").exchange("to a path");
        server.stop_cleanly();
    }
}

#[test]
fn a_journal_whose_reader_is_gone_ends_the_server_and_nothing_is_acknowledged() {
    for model in MODELS {
        let (reader, writer) = std::io::pipe().unwrap();
        let pipe = writer.try_clone().unwrap();
        let server = Serve::new("message=0 --model").arg(model).stdout(writer).start();
        server.connect("message").exchange("read");
        drop(reader);
        // A process that another test starts just now has the reader too, until it runs its program.
        eventually("no process can read", || has_no_reader(&pipe).then_some(()));
        let mut peers: Vec<Peer> = (0..10).map(|_| server.connect("message")).collect();
        // The first message ends the server, which resets the connections of the others.
        peers.iter_mut().for_each(|peer| drop(peer.try_send(&frame("never read"))));
        let ended = server.wait();
        assert_not_acknowledged(&mut peers);
        assert_journal_failed(&ended, "Broken pipe (os error 32)");
    }
}

fn has_no_reader(writer: &PipeWriter) -> bool {
    let mut events = [PollFd::new(writer, PollFlags::empty())];
    poll(&mut events, Some(&Timespec::default())).unwrap() > 0 && events[0].revents().contains(PollFlags::ERR)
}

#[test]
fn a_journal_on_a_full_disk_ends_the_server_and_nothing_is_acknowledged() {
    for model in MODELS {
        for ack in ["received", "written", "synced"] {
            let server = Server::start(&format!("message=0 --model {model} --ack {ack} --journal /dev/full"));
            let mut peers: Vec<Peer> = (0..10).map(|_| server.connect("message")).collect();
            // Some are sent after the server has closed the connection.
            peers.iter_mut().for_each(|peer| drop(peer.try_send(&frame("not recorded").repeat(3))));
            let ended = server.wait();
            assert_not_acknowledged(&mut peers);
            assert_journal_failed(&ended, "No space left on device (os error 28)");
        }
    }
}

fn assert_not_acknowledged(peers: &mut [Peer]) {
    for peer in peers {
        let (received, _) = peer.receive_all();
        assert_eq!(String::from_utf8_lossy(&received), "");
    }
}

fn assert_journal_failed(ended: &Exit, error: &str) {
    assert_eq!(ended.status.code(), Some(74), "{}", ended.log);
    let line = format!("loopline: cannot write to the journal: {error}");
    assert_eq!(ended.log_since_ready(), [line]);
}

#[test]
fn a_blocked_journal_delays_acknowledgements_and_nothing_else() {
    const MESSAGES: usize = 40;
    with_each_model(|model| {
        for (reader, writer) in blocking_outputs() {
            let endpoints = "message=0 greeting=0 daytime=0 month=0 --write-timeout 100ms --model";
            let server = Serve::new(endpoints).arg(model).stdout(writer).start();
            let bodies: Vec<String> =
                (0..MESSAGES).map(|place| format!("{place:02} {}", "x".repeat(60 << 10))).collect();

            let mut peer = server.connect("message");
            // A pipe holds one of these, but not two.
            peer.exchange(&bodies[0]);
            let mut sender = Peer::on(peer.stream.try_clone().unwrap());
            let rest: Vec<u8> = bodies[1..].iter().flat_map(frame).collect();
            let sending = thread::spawn(move || sender.send(rest));

            let clock = Clock::start();
            let caller = DatagramPeer::connect(server.address("month"));
            assert_eq!(caller.request("hello"), INTRODUCTION);
            // The write timeout does not run while acknowledgements wait for the journal.
            while clock.elapsed() < Duration::from_millis(300) {
                assert_eq!(server.connect("greeting").receive_text(), GREETING);
                assert_is_a_time(&server.connect("daytime").receive_text());
                assert_eq!(caller.request("2"), "February");
            }
            peer.assert_silent();

            let reading = read_in_a_thread(reader);
            for _ in 1..MESSAGES {
                peer.receive_acknowledgement();
            }
            sending.join().unwrap();
            let mut next = server.connect("message");
            next.exchange("next");
            let (peer, next) = (peer.local_address(), next.local_address());
            server.stop_cleanly();
            let mut expected: Vec<String> = bodies.iter().map(|body| format!("[{peer}] {body}\n")).collect();
            expected.push(format!("[{next}] next\n"));
            assert!(
                reading.join().unwrap() == expected.concat(),
                "{model}: the journal has all messages in order"
            );
        }
    });
}

#[test]
fn messages_acknowledged_when_received_do_not_wait_for_a_blocked_journal() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Serve::new("message=0 --ack received").stdout(writer).start();
    let mut peer = server.connect("message");
    let body = "x".repeat(60 << 10);
    (0..10).for_each(|_| peer.exchange(&body));
    let reading = read_in_a_thread(reader);
    server.stop_cleanly();
    assert_eq!(reading.join().unwrap().lines().count(), 10);
}

#[test]
fn messages_not_in_the_journal_by_the_drain_timeout_are_not_acknowledged() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let server = Serve::new("message=0 --drain-timeout 200ms").stdout(writer).start();
    let mut peer = server.connect("message");
    peer.exchange("recorded");
    peer.send(frame("x".repeat(100 << 10)));
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(74));
    assert_not_acknowledged(&mut [peer]);
}

/// Small buffers as standard output: a pipe and a socket, each blocking, or non-blocking as a parent may have
/// left it.
fn blocking_outputs() -> [(Box<dyn Read + Send>, OwnedFd); 4] {
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
