//! Seeds with limits and faults that every peer survives, so that more can be expected of each: all peers are
//! served, all datagrams are answered.

use std::io::ErrorKind;
use std::time::Duration;

use loopline::event_loop::LoopError;
use loopline::frame;
use loopline::journal::Ack;
use loopline::limits::Limits;

use crate::seeds::for_each_seed;
use crate::sim::faults::Faults;
use crate::sim::peer::ACKNOWLEDGEMENT_BYTES;
use crate::sim::random::Random;
use crate::sim::run::Run;

/// Small, so that nearly every run reaches each of them; only the timeouts are long.
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

/// Limits of which some are so small that peers are refused or closed.
fn narrow_limits(random: &mut Random) -> Limits {
    let mut limits = limits(random);
    if random.one_in(2) {
        limits.connections_max = 1 + random.below(20);
    }
    limits.refusals_max = 1 + random.below(4);
    limits.visits_per_turn_max = 1 + random.below(10);
    limits.linger_bytes_max = random.below(500);
    limits.linger_timeout = timeout(random);
    for timeout_of_a_kind in [&mut limits.frame_timeout, &mut limits.write_timeout, &mut limits.idle_timeout]
    {
        if random.one_in(2) {
            *timeout_of_a_kind = Some(timeout(random));
        }
    }
    limits
}

fn timeout(random: &mut Random) -> Duration {
    Duration::from_millis(1 + random.next() % 2000)
}

/// Peers connect, follow their scripts and leave. Each receives all that is its own, and nothing is left.
fn serve_every_peer(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let (limits, faults) = (limits(&mut random), Faults::draw(&mut random));
    let ack = [Ack::Written, Ack::Synced][random.below(2)];
    let mut run = Run::new(&mut random, &limits, faults, ack);
    let mut peers_to_come = 5 + random.below(40);
    while peers_to_come > 0 || !run.is_done() {
        if peers_to_come > 0 && random.one_in(2) {
            peers_to_come -= 1;
            run.server.net().connect_peer();
        }
        run.turn(peers_to_come > 0).unwrap();
    }
    let net = run.server.net();
    for (index, (peer, wire)) in net.peers.iter().zip(&net.wires).enumerate() {
        let received = String::from_utf8_lossy(&peer.received);
        let expected = String::from_utf8_lossy(&peer.expected);
        assert!(!wire.is_cut, "peer {index} is closed without an end of stream");
        assert!(expected.starts_with(&*received), "peer {index} has received {received:?}");
        assert!(peer.leaves_early || received == expected, "peer {index} has received only {received:?}");
    }
    run.check_end()
}

/// Some peers are refused, time out, or fail. The others are served, and no peer receives what is not its
/// own.
fn serve_within_narrow_limits(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let limits = narrow_limits(&mut random);
    let mut faults = Faults::draw(&mut random);
    faults.failed_registrations = [0, 20][random.below(2)];
    faults.failed_half_closes = [0, 5][random.below(2)];
    let ack = [Ack::Received, Ack::Written, Ack::Synced][random.below(3)];
    let mut run = Run::new(&mut random, &limits, faults, ack);
    for _ in 0..5 + random.below(40) {
        run.server.net().connect_peer();
        for _ in 0..random.below(20) {
            run.turn(true).unwrap();
        }
    }
    while !run.is_done() {
        run.turn(false).unwrap();
    }

    let mut refusal = Vec::new();
    let reason = format!("Error: the server is full, it serves {} connections", limits.connections_max);
    frame::append(&reason, &mut refusal);
    let timeouts = [limits.frame_timeout, limits.write_timeout, limits.idle_timeout];
    let shortest_timeout = timeouts.into_iter().flatten().min().unwrap();
    let net = run.server.net();
    let may_refuse = net.peers.len() > limits.connections_max;
    for (index, (peer, wire)) in net.peers.iter().zip(&net.wires).enumerate() {
        let received = String::from_utf8_lossy(&peer.received);
        let is_refused = may_refuse && !peer.is_served() && refusal.starts_with(&wire.sent);
        assert!(
            peer.expected.starts_with(&peer.received) || is_refused,
            "peer {index} has received {received:?}"
        );
        // A peer that is cut off has had its time; one whose stream is ended has been sent everything.
        let lifetime = Duration::from_millis(wire.lifetime_ms().unwrap());
        let may_refuse_at_once = may_refuse && refusal.starts_with(&wire.sent);
        let may_cut = wire.registration_failed || may_refuse_at_once || lifetime >= shortest_timeout;
        assert!(may_cut || !wire.is_cut, "peer {index} is closed after {lifetime:?}");
        let is_whole =
            wire.sent == peer.expected || (is_refused && (wire.listener != 0 || wire.sent == refusal));
        assert!(
            is_whole || wire.server_ended.is_none() || peer.leaves_early,
            "peer {index} has received {received:?}"
        );
    }
    run.check_end()
}

/// A stop is requested while peers are served. Each frame that has begun is finished.
fn stop_in_order(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let (limits, faults) = (limits(&mut random), Faults::draw(&mut random));
    let ack = [Ack::Written, Ack::Synced][random.below(2)];
    let mut run = Run::new(&mut random, &limits, faults, ack);
    for _ in 0..20 {
        run.server.net().connect_peer();
    }
    for _ in 0..random.below(60) {
        run.turn(true).unwrap();
    }
    let net = run.server.net();
    net.request_stop();
    let stop_ms = net.now_ms;
    let begun: Vec<usize> =
        net.peers.iter().zip(&net.wires).map(|(peer, wire)| peer.begun_messages(wire)).collect();
    let mut is_written = true;
    while !run.server.is_stopped() {
        if let Err(error) = run.turn(true) {
            // The journal was blocked until the drain timeout.
            assert!(
                matches!(&error, LoopError::Journal(error) if error.kind() == ErrorKind::TimedOut),
                "{error}"
            );
            is_written = false;
        }
    }
    let took = Duration::from_millis(run.server.net().now_ms - stop_ms);
    assert!(took <= limits.drain_timeout + Duration::from_millis(100), "the server takes {took:?} to end");
    assert_eq!(run.server.connections(), 0);
    let is_in_time = is_written && took < limits.drain_timeout;
    let net = run.server.net();
    let disk = net.disk.lock().unwrap();
    let mut finished = 0;
    for (index, (peer, wire)) in net.peers.iter().zip(&net.wires).enumerate() {
        assert!(peer.expected.starts_with(&peer.received), "peer {index} receives only what is its own");
        if is_in_time && !peer.leaves_early {
            let records = disk.records(wire.address).len();
            let acknowledged = wire.sent.len() / ACKNOWLEDGEMENT_BYTES;
            assert!(begun[index] <= records.min(acknowledged), "a frame of peer {index} is not finished");
            finished += begun[index];
        }
    }
    finished
}

/// Writing or syncing the journal fails. Nothing after it is acknowledged, and the loop ends with the error.
fn end_when_the_journal_fails(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let (limits, mut faults) = (limits(&mut random), Faults::draw(&mut random));
    let ack = [Ack::Written, Ack::Synced][random.below(2)];
    let syncs_fail = ack == Ack::Synced && random.one_in(2);
    let fault = if syncs_fail { &mut faults.failed_journal_syncs } else { &mut faults.failed_journal_writes };
    *fault = 1 + random.below(40);
    let mut run = Run::new(&mut random, &limits, faults, ack);
    let mut peers_to_come = 5 + random.below(40);
    while peers_to_come > 0 || !run.is_done() {
        if peers_to_come > 0 && random.one_in(2) {
            peers_to_come -= 1;
            run.server.net().connect_peer();
        }
        if let Err(error) = run.turn(peers_to_come > 0) {
            let is_cause =
                matches!(&error, LoopError::Journal(error) if error.kind() == ErrorKind::StorageFull);
            assert!(is_cause && run.server.is_stopped(), "{error}");
            return 1;
        }
    }
    0
}

/// Datagrams are received in batches while connections are served. Each is answered once, from the address
/// it was sent to and after it is recorded, or its reply is counted as unsent.
fn answer_every_datagram(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let (limits, faults) = (limits(&mut random), Faults::draw(&mut random));
    let journal_blocks = faults.blocked_journal_writes > 0;
    let mut run = Run::new(&mut random, &limits, faults, Ack::Written);
    let requests = 1 + random.below(500);
    let mut requests_to_come = requests;
    let mut peers_to_come = random.below(5);
    while requests_to_come > 0
        || peers_to_come > 0
        || !run.server.net().sockets[0].is_empty()
        || !run.is_done()
    {
        let net = run.server.net();
        if peers_to_come > 0 {
            peers_to_come -= 1;
            net.connect_peer();
        }
        for _ in 0..net.random.below(60).min(requests_to_come) {
            requests_to_come -= 1;
            net.sockets[0].send_request(&mut net.random);
        }
        run.turn(requests_to_come > 0).unwrap();
    }
    let counters = run.server.counters().clone();
    assert_eq!((counters.datagrams, counters.datagrams_dropped), (requests as u64, 0));
    let socket = &run.server.net().sockets[0];
    socket.echo.check(requests as u64, counters.datagrams_unsent, socket.failed, journal_blocks)
}

#[test]
fn every_peer_is_served() {
    for_each_seed(500, 1500, serve_every_peer);
}

#[test]
fn peers_within_narrow_limits_are_served_and_none_receives_what_is_not_its_own() {
    for_each_seed(500, 1200, serve_within_narrow_limits);
}

#[test]
fn every_datagram_is_answered_once_or_counted() {
    for_each_seed(500, 10_000, answer_every_datagram);
}

#[test]
fn a_server_that_is_stopped_finishes_each_frame_that_has_begun() {
    for_each_seed(300, 300, stop_in_order);
}

#[test]
fn a_journal_that_fails_ends_the_server_and_acknowledges_nothing_more() {
    for_each_seed(300, 50, end_when_the_journal_fails);
}
