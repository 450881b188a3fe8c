//! What a peer waits for beside others, counted in turns and bytes; and who is refused.

use loopline::CloseReason;
use loopline::journal::Ack;
use loopline::limits::Limits;

use crate::sim::scene::{MESSAGE, Scene, framed};

/// Bytes that fit between a peer and the server.
const CAPACITY: usize = 64 * 1024;

/// A server, and what its turns may read.
struct Sim {
    scene: Scene,
    limits: Limits,
}

impl Sim {
    fn new(limits: Limits) -> Self {
        Self { scene: Scene::with_ack(&limits, Ack::Received), limits }
    }

    /// Peers connect, and are accepted.
    fn connect(&mut self, count: usize) -> Vec<usize> {
        let peers = (0..count).map(|_| self.scene.connect_with(MESSAGE, CAPACITY)).collect();
        while self.scene.net().has_backlog() {
            self.turn();
        }
        peers
    }

    /// Takes a turn; returns how many bytes it has read.
    fn turn(&mut self) -> usize {
        let before = self.scene.run.server.counters().read_bytes;
        self.scene.turns(1);
        let read_bytes = usize::try_from(self.scene.run.server.counters().read_bytes - before).unwrap();
        let Limits { visits_per_turn_max, light_read_bytes_max, .. } = self.limits;
        let bytes_max = visits_per_turn_max * light_read_bytes_max + bulk_bytes_max(&self.limits);
        assert!(read_bytes <= bytes_max, "a turn has read {read_bytes} bytes");
        read_bytes
    }

    /// Sends as much of an endless sequence of a frame as fits, and reads all replies.
    fn pipeline(&mut self, peer: usize, frame: &[u8]) {
        let wire = self.scene.wire(peer);
        wire.receive(usize::MAX);
        let position = (wire.read_bytes + wire.to_server.len()) % frame.len();
        let stream = frame.repeat(CAPACITY / frame.len() + 2);
        let free = CAPACITY - wire.to_server.len();
        wire.send(&stream[position..position + free]);
    }

    fn sent(&mut self, peer: usize) -> String {
        String::from_utf8_lossy(&self.scene.wire(peer).sent).into_owned()
    }
}

/// The last visit of a turn may exceed the limit.
fn bulk_bytes_max(limits: &Limits) -> usize {
    limits.bulk_bytes_per_turn_max + limits.long_read_bytes_max
}

/// The most turns, and bytes read, between a message of a normal peer and its reply.
fn worst_wait_beside(pipeliners: usize) -> (usize, usize) {
    let mut sim = Sim::new(Limits::default());
    let normal = sim.connect(1)[0];
    let pipeliners = sim.connect(pipeliners);
    let message = framed("x");
    let mut worst = (0, 0);
    for round in 0..20 {
        pipeliners.iter().for_each(|peer| sim.pipeline(*peer, &message));
        if round < 3 {
            sim.turn(); // the first reads find out who moves bulk
            continue;
        }
        let acknowledged = sim.scene.acknowledged(normal);
        sim.scene.send(normal, &message);
        let (mut turns, mut read_bytes) = (0, 0);
        while sim.scene.acknowledged(normal) == acknowledged {
            read_bytes += sim.turn();
            turns += 1;
            pipeliners.iter().for_each(|peer| sim.pipeline(*peer, &message));
        }
        worst = (worst.0.max(turns), worst.1.max(read_bytes));
    }
    worst
}

#[test]
fn a_normal_peer_waits_no_longer_beside_more_peers_that_pipeline() {
    let bytes_max = bulk_bytes_max(&Limits::default()) + framed("x").len();
    for pipeliners in [1, 50, 1000] {
        let (turns, read_bytes) = worst_wait_beside(pipeliners);
        assert_eq!(turns, 1, "beside {pipeliners}");
        assert!(read_bytes <= bytes_max, "{read_bytes} bytes beside {pipeliners}");
    }
}

#[test]
fn neither_short_messages_nor_bulk_wait_for_all_of_the_other() {
    const TURNS: usize = 200;
    let mut sim = Sim::new(Limits { visits_per_turn_max: 10, ..Limits::default() });
    let (normal, bulk) = (sim.connect(100), sim.connect(20));
    // Its replies are short, so that they are not what limits the bulk.
    let (short, long) = (framed("x"), framed(&"x".repeat(2000)));
    for _ in 0..TURNS {
        bulk.iter().for_each(|peer| sim.pipeline(*peer, &long));
        for peer in &normal {
            if sim.scene.wire(*peer).to_server.is_empty() {
                sim.scene.send(*peer, &short);
            }
        }
        sim.turn();
    }
    // A tenth of them is visited in each turn.
    let acknowledged: Vec<usize> = normal.iter().map(|peer| sim.scene.acknowledged(*peer)).collect();
    assert!(acknowledged.iter().all(|count| *count >= TURNS / 10 - 3), "{acknowledged:?}");
    let read_bytes: Vec<usize> = bulk.iter().map(|peer| sim.scene.wire(*peer).read_bytes).collect();
    let fair_bytes = TURNS * sim.limits.bulk_bytes_per_turn_max / bulk.len();
    assert!(
        read_bytes.iter().all(|bytes| *bytes >= fair_bytes / 4 * 3),
        "{read_bytes:?}, each should be {fair_bytes}"
    );
}

#[test]
fn peers_that_alternate_short_messages_and_bulk_do_not_exceed_the_bytes_of_a_turn() {
    let mut sim = Sim::new(Limits { visits_per_turn_max: 100, ..Limits::default() });
    let alternating = sim.connect(300);
    let message = framed("x");
    for turn in 0..100 {
        let frames = if turn % 2 == 0 { 1 } else { CAPACITY / message.len() };
        for peer in &alternating {
            if sim.scene.wire(*peer).to_server.is_empty() {
                sim.scene.wire(*peer).receive(usize::MAX);
                sim.scene.send(*peer, &message.repeat(frames));
            }
        }
        sim.turn(); // it asserts the bound
    }
    assert!(alternating.iter().all(|peer| sim.scene.wire(*peer).read_bytes > 0));
}

#[test]
fn refused_peers_take_no_place_of_served_ones_and_wait_for_no_other() {
    let mut sim = Sim::new(Limits { connections_max: 1, refusals_max: 2, ..Limits::default() });
    let served = sim.connect(1)[0];
    let refused = sim.connect(100);
    for peer in refused {
        let sent = sim.sent(peer);
        assert!(sent.ends_with("Error: the server is full, it serves 1 connections"), "{peer}: {sent}");
    }
    // Two of them have not ended their side, and the others are closed.
    assert_eq!((sim.scene.run.server.connections(), sim.scene.closed(CloseReason::Full)), (3, 98));
    sim.scene.wire(served).end();
    sim.turn();
    let next = sim.connect(1)[0];
    sim.scene.send(next, &framed("x"));
    sim.turn();
    assert_eq!(sim.scene.acknowledged(next), 1);
}

#[test]
fn a_source_over_its_limit_is_refused_and_the_others_are_served() {
    let limits = Limits { connections_per_source_max: Some(2), ..Limits::default() };
    let mut sim = Sim::new(limits);
    // By the addresses of the network, every other peer has an IPv6 address, all of one /64.
    let peers = sim.connect(12);
    let (v4, v6): (Vec<usize>, Vec<usize>) = peers.into_iter().partition(|peer| peer % 2 == 0);
    peers_are_served(&mut sim, &v4);
    peers_are_served(&mut sim, &v6[..2]);
    for peer in &v6[2..] {
        let sent = sim.sent(*peer);
        assert!(sent.ends_with("Error: your address has 2 connections, which is the limit"), "{sent}");
        sim.scene.wire(*peer).end();
    }
    sim.scene.wire(v6[0]).end();
    sim.turn();
    assert_eq!(sim.scene.closed(CloseReason::SourceFull), 4);
    let next = sim.connect(2);
    peers_are_served(&mut sim, &next);
}

fn peers_are_served(sim: &mut Sim, peers: &[usize]) {
    for peer in peers {
        sim.scene.send(*peer, &framed("x"));
        sim.turn();
        assert_eq!(sim.scene.acknowledged(*peer), 1, "{peer}");
    }
}
