//! Crowds of peers that misbehave in the same way, beside 100 that do not.
//!
//! `LOOPLINE_FULL_CROWDS=1 cargo test --release --test serve crowds -- --nocapture --test-threads 1` has as many as the
//! rows say: 15,000 that send a byte a second, 19,000 that announce a message, 2,000 that never read, and 100,000
//! with bad input. By default, there are a few hundred.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::common::{
    Clock, MODELS, Peer, Serve, Server, acknowledgement, eventually, frame, with_each_model,
};
use crate::open_descriptors;

/// How many peers: `full` in the long form.
fn peers(short: usize, full: usize) -> usize {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    if std::env::var_os("LOOPLINE_FULL_CROWDS").is_some() { full } else { short }
}

/// Peers that do not misbehave, and how long their messages took.
struct Normal {
    peers: Vec<Peer>,
    latencies: Vec<Duration>,
}

impl Normal {
    fn connect(server: &Server) -> Self {
        Self { peers: (0..100).map(|_| server.connect("message")).collect(), latencies: Vec::new() }
    }

    fn exchange(&mut self) {
        for peer in &mut self.peers {
            let clock = Clock::start();
            peer.exchange("normal");
            self.latencies.push(clock.elapsed());
        }
    }

    fn report(mut self, what: &str) {
        self.latencies.sort();
        let percentile = |percent: usize| self.latencies[(self.latencies.len() - 1) * percent / 100];
        let [median, high, longest] = [50, 99, 100].map(percentile);
        eprintln!("{what}: of 100 normal peers p50 {median:?}, p99 {high:?}, longest {longest:?}");
    }
}

/// The bytes of resident memory for each of `peers` since there were `before_kib`.
fn bytes_per_peer(server: &Server, before_kib: u64, peers: usize) -> u64 {
    server.status("VmRSS").saturating_sub(before_kib) * 1024 / peers as u64
}

fn is_closed(peer: &Peer) -> bool {
    peer.peek() == Some(0)
}

#[test]
fn peers_that_send_a_byte_a_second_are_closed_at_the_frame_timeout_and_others_are_served() {
    let count = peers(300, 15_000);
    let is_full = count == 15_000;
    let timeout = Duration::from_secs(if is_full { 30 } else { 3 });
    with_each_model(|model| {
        // Many machines do not allow as many threads.
        let count = if model == "threads" { count.min(2000) } else { count };
        let arguments =
            format!("message=0 --journal none --frame-timeout {}s --model {model}", timeout.as_secs());
        let server = Server::start(&arguments);
        let mut normal = Normal::connect(&server);
        normal.exchange();
        let (before, before_kib) = (open_descriptors(&server), server.status("VmRSS"));
        let first = Clock::start();
        let mut drippers: Vec<Peer> = (0..count).map(|_| server.connect("message")).collect();
        let (mut per_peer, mut is_open) = (0, true);
        while is_open {
            let second = Clock::start();
            for dripper in &mut drippers {
                let _ = dripper.try_send(b"1");
            }
            per_peer = per_peer.max(bytes_per_peer(&server, before_kib, count));
            while is_open && second.elapsed() < Duration::from_secs(1) {
                normal.exchange();
                is_open = open_descriptors(&server) > before;
            }
        }
        assert!(first.elapsed() >= timeout, "{model}: closed after {:?}", first.elapsed());
        assert!(drippers.iter().all(is_closed), "{model}");
        normal.exchange();
        // A thread has a stack.
        assert!(per_peer < if model == "threads" { 64 << 10 } else { 4096 }, "{model}: {per_peer} bytes");
        normal.report(&format!("{model}, {count} that send a byte a second, {per_peer} bytes each"));
        server.stop_cleanly();
    });
}

#[test]
fn a_maximal_message_that_is_announced_and_not_sent_costs_less_than_256_bytes() {
    let count = peers(3500, 19_000);
    let server = Server::start("message=0 --journal none --frame-timeout 5m");
    let mut normal = Normal::connect(&server);
    normal.exchange();
    let before_kib = server.status("VmRSS");
    let mut announcing: Vec<Peer> = (0..count).map(|_| server.connect("message")).collect();
    announcing.iter_mut().for_each(|peer| peer.send(format!("{:<64}", 1 << 20)));
    // All of these bytes are read before those of a new peer are answered twice.
    (0..2).for_each(|_| normal.exchange());
    let per_peer = bytes_per_peer(&server, before_kib, count);
    // Some memory is for all peers together.
    assert!(per_peer * (count as u64) < 256 * (count as u64 + 1024), "{per_peer} bytes");
    normal.report(&format!("{count} that announce a message, {per_peer} bytes each"));
    // The server would wait for the rest of their messages.
    drop(announcing);
    server.stop_cleanly();
}

#[test]
fn peers_that_pipeline_and_never_read_are_closed_at_the_write_timeout_with_bounded_memory() {
    let count = peers(200, 2000);
    with_each_model(|model| {
        let server = Server::start(&format!("message=0 --journal none --write-timeout 3s --model {model}"));
        let mut normal = Normal::connect(&server);
        normal.exchange();
        let (before, before_kib) = (open_descriptors(&server), server.status("VmRSS"));
        let clock = Clock::start();
        let mut greedy: Vec<Peer> = (0..count).map(|_| server.connect("message")).collect();
        greedy.iter().for_each(|peer| peer.stream.set_nonblocking(true).unwrap());
        let frames = frame("x").repeat(1000);
        let mut per_peer = 0;
        eventually("all are closed", || {
            for peer in &mut greedy {
                // As much as the network takes; a whole number of frames does not matter.
                while matches!(peer.stream.write(&frames), Ok(bytes) if bytes == frames.len()) {}
            }
            normal.exchange();
            per_peer = per_peer.max(bytes_per_peer(&server, before_kib, count));
            (open_descriptors(&server) <= before).then_some(())
        });
        assert!(clock.elapsed() >= Duration::from_secs(3), "{model}: {:?}", clock.elapsed());
        assert!(per_peer < 512 << 10, "{model}: {per_peer} bytes");
        normal.report(&format!("{model}, {count} that never read, {per_peer} bytes each"));
        server.stop_cleanly();
    });
}

/// What bad peers send, each of which is refused.
fn bad_input(number: usize) -> Vec<u8> {
    match number % 4 {
        0 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        1 => frame([0xff, 0xfe]),
        2 => format!("{:<64}", u64::MAX).into(),
        _ => format!("{:>64}", 5).into(),
    }
}

#[test]
fn bad_peers_are_one_log_line_of_a_kind_in_30_seconds() {
    let count = peers(2000, 100_000);
    for model in MODELS {
        let server =
            Serve::new(&format!("message=0.0.0.0:0 --journal none --max-connections 200 --model {model}"));
        let server = server.start();
        let clock = Clock::start();
        let address = server.address("message");
        // The table is full for a while, too.
        let mut inside: Vec<Peer> = (0..200).map(|_| Peer::connect_from("127.0.1.1", address)).collect();
        inside.iter_mut().for_each(|peer| peer.exchange("inside"));
        let mut refused = 0;
        for number in 0..count {
            if number == count / 20 {
                inside.clear();
                eventually("there are free places", || {
                    let mut peer = Peer::connect_from("127.0.1.1", address);
                    peer.try_send(&frame("free")).ok()?;
                    let mut reply = acknowledgement();
                    peer.stream.read_exact(&mut reply).ok()?;
                    (reply == acknowledgement()).then_some(())
                });
            }
            let mut peer = Peer::connect_from(&format!("127.0.0.{}", 1 + number / 10_000), address);
            let _ = peer.try_send(&bad_input(number));
            let mut start = [0; 8];
            match peer.stream.read(&mut start) {
                Ok(bytes) => refused += usize::from(bytes > 0),
                Err(error) => assert!(error.kind() != ErrorKind::WouldBlock, "{model}: {number} waits"),
            }
            peer.reset();
        }
        assert!(refused > count * 9 / 10, "{model}: {refused} of {count} read a reason");
        let intervals = 1 + usize::try_from(clock.elapsed().as_secs() / 30).unwrap();
        let ended = server.stop_cleanly();
        let lines: Vec<&str> =
            ended.log_since_ready().into_iter().filter(|line| line.starts_with("WARN")).collect();
        for kind in [": the server is full", " refused: header byte 0 is 'G', expected a digit"] {
            let of_kind = lines.iter().filter(|line| line.contains(kind)).count();
            assert!((1..=intervals).contains(&of_kind), "{model}: {kind}: {lines:#?}");
        }
        // Bad input, a full table, a connection that broke.
        assert!((1..=3 * intervals).contains(&lines.len()), "{model}: {lines:#?}");
        eprintln!("{model}: {count} bad peers in {:?}, {} lines: {lines:#?}", clock.elapsed(), lines.len());
    }
}
