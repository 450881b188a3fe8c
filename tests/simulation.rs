//! The whole event loop on a simulated network, one seed after the other.
//!
//! A failure names its seed; `LOOPLINE_SEED=… cargo test --test simulation` runs it alone, and
//! `LOOPLINE_SEEDS=N` runs more of them than the few hundred that every test run has time for.

mod sim;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use loopline::event_loop::EventLoop;
use loopline::frame;
use loopline::journal::escape::unescape;
use loopline::journal::{Ack, Journal};
use loopline::limits::Limits;
use loopline::service::message::{ACKNOWLEDGEMENT, Message};
use loopline::service::{greeting::Greeting, reply::Reply};

use sim::datagrams::Parrot;
use sim::peer::Peer;
use sim::{Random, SimNet};

/// Small, so that each bound is met in nearly every run.
fn limits(random: &mut Random) -> Limits {
    Limits {
        connections_max: 1000,
        events_per_poll_max: 1 + random.below(40),
        visits_per_commit_max: 1 + random.below(8),
        answer_bytes_per_commit_max: 1 + random.below(500),
        accepts_per_turn_max: 1 + random.below(4),
        datagrams_per_turn_max: 1 + random.below(40),
        read_bytes_max: 1 + random.below(3000),
        unsent_bytes_max: if random.one_in(2) { 5000 } else { random.below(2000) },
        journal_bytes_max: random.below(2000),
        linger_timeout: Duration::from_secs(20),
        frame_timeout: Some(Duration::from_secs(60)),
        write_timeout: Some(Duration::from_secs(60)),
        ..Limits::default()
    }
}

struct Run {
    server: EventLoop<SimNet>,
    acknowledges_first: bool,
    /// Messages on record so far, by the peer's address.
    recorded: HashMap<SocketAddr, Vec<String>>,
    recorded_bytes: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self::with(seed, limits, Ack::Written)
    }

    fn with(seed: u64, limits: fn(&mut Random) -> Limits, ack: Ack) -> Self {
        let mut net = SimNet::new(seed);
        let mut random = Random(net.random.next());
        let journal = Journal::to(Box::new(net.sink()), ack);
        let limits = limits(&mut random);
        net.unsent_bytes_max = limits.unsent_bytes_max;
        net.datagrams_per_turn_max = limits.datagrams_per_turn_max;
        let full = format!("Error: the server is full, it serves {} connections", limits.connections_max);
        frame::append(&full, &mut net.refusal);
        let mut server = EventLoop::new(net, limits);
        server.record_to(journal);
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
        server.listen(anywhere, Box::new(Message::new(4000))).unwrap();
        server.listen(anywhere, Box::new(Greeting)).unwrap();
        server.listen(anywhere, Box::new(Reply)).unwrap();
        server.bind(anywhere, Box::new(Parrot)).unwrap();
        let acknowledges_first = ack == Ack::Received;
        Self { server, acknowledges_first, recorded: HashMap::new(), recorded_bytes: 0 }
    }

    fn turn(&mut self) {
        self.server.turn().unwrap();
        self.read_record();
        self.check_acknowledged_is_recorded();
    }

    fn read_record(&mut self) {
        let disk = self.server.net().disk.clone();
        let disk = disk.lock().unwrap();
        while let Some(end) = disk.lines[self.recorded_bytes..].iter().position(|byte| *byte == b'\n') {
            let line = &disk.lines[self.recorded_bytes..self.recorded_bytes + end];
            let line = std::str::from_utf8(line).unwrap();
            let (peer, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
            let text = String::from_utf8(unescape(text).unwrap()).unwrap();
            self.recorded.entry(peer.parse().unwrap()).or_default().push(text);
            self.recorded_bytes += end + 1;
        }
    }

    fn check_acknowledged_is_recorded(&mut self) {
        const ACKNOWLEDGED_BYTES: usize = 64 + ACKNOWLEDGEMENT.len();
        if self.acknowledges_first {
            return;
        }
        let recorded = &self.recorded;
        let net = self.server.net();
        for peer in &net.peers {
            let wire = &net.wires[peer.wire];
            let on_record = recorded.get(&wire.address.unwrap()).map_or(0, Vec::len);
            if peer.is_refused(net) {
                continue;
            }
            let acknowledged = wire.sent.len().min(peer.messages.len() * ACKNOWLEDGED_BYTES);
            assert!(
                acknowledged.div_ceil(ACKNOWLEDGED_BYTES) <= on_record || wire.listener != 0,
                "{on_record} messages are on record, {} bytes of acknowledgement have left",
                wire.sent.len()
            );
        }
    }

    fn is_done(&mut self) -> bool {
        self.server.net().peers.iter().all(Peer::is_done)
    }

    fn check_peers(&mut self) {
        let recorded = &self.recorded;
        for (place, peer) in self.server.net().peers.iter().enumerate() {
            let expected = if peer.may_miss_some {
                &peer.expected[..peer.got.len().min(peer.expected.len())]
            } else {
                &peer.expected[..]
            };
            assert_eq!(
                String::from_utf8_lossy(&peer.got),
                String::from_utf8_lossy(expected),
                "what peer {place} has read"
            );
            let on_record = recorded.get(&peer_address(peer)).cloned().unwrap_or_default();
            if peer.may_miss_some {
                assert!(peer.messages.starts_with(&on_record), "the record of peer {place}");
            } else if !peer.messages.is_empty() {
                assert_eq!(on_record, peer.messages, "the record of peer {place}");
            }
        }
    }
}

fn peer_address(peer: &Peer) -> SocketAddr {
    let [high, low] = u16::try_from(peer.wire).unwrap().to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 4000))
}

/// Peers come, follow their scripts and go; in the end everybody has what is theirs, and nothing is left.
fn everybody_is_served(seed: u64) {
    let mut run = Run::new(seed);
    let mut to_come = 5 + Random(seed).below(40);
    let mut turns = 0;
    while to_come > 0 || !run.is_done() || run.server.connections() > 0 {
        if to_come > 0 && run.server.net().random.one_in(2) {
            to_come -= 1;
            let net = run.server.net();
            let peer = Peer::random(net);
            net.peers.push(peer);
        }
        run.turn();
        assert!(!run.server.net().is_still || to_come > 0, "somebody waits for ever");
        run.server.net().is_still = false;
        turns += 1;
        assert!(turns < 100_000, "somebody waits for ever");
    }
    run.check_peers();
    let counters = run.server.counters();
    assert_eq!(counters.opened, counters.closed.iter().sum::<u64>());
}

/// Little room, short deadlines, a poller that has no room either: not everybody is served, but nobody gets
/// what is not theirs, what is acknowledged is recorded, nothing is left, and the loop never spins.
fn whatever_goes_wrong(seed: u64) {
    let ack = [Ack::Received, Ack::Written, Ack::Synced][Random(seed).below(3)];
    let mut run = Run::with(seed, narrow_limits, ack);
    run.server.net().register_fails_one_in = 20;
    for _ in 0..5 + Random(seed).below(40) {
        let net = run.server.net();
        let peer = Peer::random(net);
        net.peers.push(peer);
        for _ in 0..Random(seed).below(20) {
            run.turn();
        }
    }
    run.server.net().is_still = false;
    let mut turns = 0;
    while !run.is_done() || run.server.connections() > 0 {
        run.turn();
        assert!(!run.server.net().is_still, "somebody waits for ever");
        turns += 1;
        assert!(turns < 100_000, "somebody waits for ever");
    }
    let net = run.server.net();
    for (place, peer) in net.peers.iter().enumerate() {
        let got = String::from_utf8_lossy(&peer.got);
        let is_theirs = peer.expected.starts_with(&peer.got) || peer.is_refused(net);
        assert!(is_theirs, "peer {place} has read {got:?}");
    }
    let counters = run.server.counters();
    assert_eq!(counters.opened, counters.closed.iter().sum::<u64>());
}

fn narrow_limits(random: &mut Random) -> Limits {
    let mut timeout = || Duration::from_millis(1 + random.next() % 2000);
    let (linger_timeout, frame_timeout, write_timeout, idle_timeout) =
        (timeout(), Some(timeout()), Some(timeout()), Some(timeout()));
    Limits {
        connections_max: 1 + random.below(20),
        refusals_max: 1 + random.below(4),
        visits_per_turn_max: 1 + random.below(10),
        linger_bytes_max: random.below(500),
        linger_timeout,
        frame_timeout,
        write_timeout,
        idle_timeout,
        ..limits(random)
    }
}

/// Somebody asks the server to stop while everything is under way: what was acknowledged is recorded, and
/// the server ends.
fn stopping_ends_in_order(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..20 {
        let net = run.server.net();
        let peer = Peer::random(net);
        net.peers.push(peer);
    }
    for _ in 0..Random(seed).below(60) {
        run.turn();
    }
    run.server.net().stop_requests = 1;
    let mut turns = 0;
    while !run.server.is_over() {
        match run.server.turn() {
            Ok(()) => {}
            // The record may take nothing until the drain is over.
            Err(error) => assert!(error.to_string().contains("can no longer be recorded"), "{error}"),
        }
        run.read_record();
        run.check_acknowledged_is_recorded();
        turns += 1;
        assert!(turns < 100_000, "the server never ends");
    }
    assert_eq!(run.server.connections(), 0);
    for peer in &run.server.net().peers {
        assert!(peer.expected.starts_with(&peer.got), "no byte that is not the peer's");
    }
}

/// Datagrams come by the batch while connections are served: each is answered once, from where it was asked
/// and when it is on record, or its answer is counted as unsent; nobody's failure is another's.
fn every_datagram_is_accounted_for(seed: u64) {
    let mut run = Run::new(seed);
    let asked = 1 + Random(seed).below(500);
    let mut to_ask = asked;
    let mut to_come = Random(seed).below(5);
    let mut turns = 0;
    while to_ask > 0 || to_come > 0 || !run.server.net().sockets[0].is_empty() || run.server.connections() > 0
    {
        let net = run.server.net();
        if to_come > 0 {
            to_come -= 1;
            let peer = Peer::random(net);
            net.peers.push(peer);
        }
        for _ in 0..net.random.below(60).min(to_ask) {
            to_ask -= 1;
            net.sockets[0].ask(&mut net.random);
        }
        net.is_still = false;
        run.turn();
        assert!(!run.server.net().is_still || to_ask > 0, "somebody waits for ever");
        turns += 1;
        assert!(turns < 100_000, "somebody waits for ever");
    }
    let counters = run.server.counters().clone();
    assert_eq!((counters.datagrams, counters.datagrams_dropped), (asked as u64, 0));
    run.server.net().sockets[0].check(asked as u64, counters.datagrams_unsent);
}

fn for_each_seed(default_count: u64, run: fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (number("LOOPLINE_SEED"), number("LOOPLINE_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..default_count,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("failed with LOOPLINE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_message_is_acknowledged_once_and_nobody_waits_for_ever() {
    for_each_seed(1000, everybody_is_served);
}

#[test]
fn whatever_goes_wrong_nobody_gets_what_is_not_theirs() {
    for_each_seed(1000, whatever_goes_wrong);
}

#[test]
fn every_datagram_is_answered_once_or_counted() {
    for_each_seed(1000, every_datagram_is_accounted_for);
}

#[test]
fn a_server_that_is_asked_to_stop_ends_in_order() {
    for_each_seed(500, stopping_ends_in_order);
}
