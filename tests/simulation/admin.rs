//! The admin endpoint: its connections have limits of their own, and count nowhere.

use std::net::SocketAddr;
use std::time::Duration;

use loopline::event_loop::EventLoop;
use loopline::journal::Ack;
use loopline::limits::Limits;

use crate::sim::SimNet;
use crate::sim::faults::Faults;
use crate::sim::peer::Peer;
use crate::sim::random::Random;
use crate::sim::scene::{ADMIN, MESSAGE, Scene, framed};
use crate::sim::status::{REQUEST, STATUS, Status};

/// A connection to the admin endpoint, accepted.
fn connect(scene: &mut Scene) -> usize {
    let peer = scene.connect_with(ADMIN, 1 << 20);
    scene.turns(2);
    peer
}

/// Sends a request, and returns whether it is answered.
fn is_answered(scene: &mut Scene, peer: usize) -> bool {
    let before = scene.wire(peer).sent.len();
    scene.send(peer, REQUEST);
    scene.turns(2);
    scene.wire(peer).sent.len() == before + STATUS.len()
}

fn limits() -> Limits {
    Limits { admin_connections_max: 3, admin_idle_timeout: Duration::from_secs(60), ..Limits::default() }
}

#[test]
fn it_is_served_while_the_server_is_full_and_takes_no_place_of_others() {
    let mut scene = Scene::new(&Limits {
        connections_max: 1,
        connections_per_source_max: Some(1),
        refusals_max: 1,
        ..limits()
    });
    let admin = connect(&mut scene);
    let peer = scene.connect();
    let refused = scene.connect();
    assert!(scene.wire(refused).server_ended.is_some());
    assert!(is_answered(&mut scene, admin));
    let other = connect(&mut scene);
    assert!(is_answered(&mut scene, other));
    scene.send(peer, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(peer), 1);
}

#[test]
fn it_is_in_no_counter() {
    let mut scene = Scene::new(&limits());
    let admin = connect(&mut scene);
    assert!(is_answered(&mut scene, admin));
    // More than a visit reads.
    scene.send(admin, &REQUEST.repeat(200));
    scene.turns(10);
    assert_eq!(scene.wire(admin).sent.len(), 201 * STATUS.len());
    scene.wire(admin).end();
    scene.turns(4);
    assert!(scene.is_closed(admin));
    let counters = scene.run.server.counters();
    assert_eq!((counters.opened, counters.closed.iter().sum::<u64>()), (0, 0));
    assert_eq!((counters.read_bytes, counters.sent_bytes), (0, 0));
    let peer = scene.connect();
    scene.send(peer, &framed("text"));
    scene.turns(2);
    let sent = scene.wire(peer).sent.len() as u64;
    let counters = scene.run.server.counters();
    assert_eq!((counters.opened, counters.read_bytes, counters.sent_bytes), (1, 68, sent));
}

#[test]
fn one_more_connection_takes_the_place_of_that_which_has_been_idle_for_the_longest_time() {
    let mut scene = Scene::new(&limits());
    let peers: Vec<usize> = (0..3).map(|_| connect(&mut scene)).collect();
    scene.pass(Duration::from_secs(1));
    assert!(is_answered(&mut scene, peers[0]));
    let fourth = connect(&mut scene);
    assert_eq!([0, 1, 2].map(|index| scene.is_closed(peers[index])), [false, true, false]);
    assert!(is_answered(&mut scene, fourth) && is_answered(&mut scene, peers[0]));
}

#[test]
fn one_that_cannot_be_registered_is_closed_and_takes_no_place() {
    let mut scene = Scene::new(&limits());
    let first = connect(&mut scene);
    scene.net().faults.failed_registrations = 1;
    for _ in 0..5 {
        let failed = connect(&mut scene);
        assert!(scene.is_closed(failed));
        // It stays the one that was used last.
        assert!(is_answered(&mut scene, first));
    }
    scene.net().faults.failed_registrations = 0;
    let others = [connect(&mut scene), connect(&mut scene)];
    assert!([first, others[0], others[1]].into_iter().all(|peer| is_answered(&mut scene, peer)));
}

#[test]
fn an_idle_one_is_closed_at_its_own_timeout_and_one_in_use_is_not() {
    for idle_timeout in [None, Some(Duration::from_secs(10)), Some(Duration::from_secs(1000))] {
        let mut scene = Scene::new(&Limits { idle_timeout, ..limits() });
        let (idle, used) = (connect(&mut scene), connect(&mut scene));
        scene.pass(Duration::from_secs(40));
        assert!(is_answered(&mut scene, used));
        scene.pass(Duration::from_millis(19_999));
        assert!(!scene.is_closed(idle));
        scene.pass(Duration::from_millis(1));
        assert_eq!([idle, used].map(|peer| scene.is_closed(peer)), [true, false], "{idle_timeout:?}");
        scene.pass(Duration::from_secs(40));
        assert!(scene.is_closed(used));
    }
}

#[test]
fn a_slow_request_is_closed_at_the_frame_timeout() {
    let mut scene = Scene::new(&Limits { frame_timeout: Some(Duration::from_secs(5)), ..limits() });
    let slow = connect(&mut scene);
    for _ in 0..5 {
        assert!(!scene.is_closed(slow));
        scene.send(slow, b"a");
        scene.turns(2);
        scene.pass(Duration::from_secs(1));
    }
    assert!(scene.is_closed(slow));
}

#[test]
fn messages_do_not_wait_for_its_requests() {
    let mut scene = Scene::new(&limits());
    let (admin, peer) = (connect(&mut scene), scene.connect());
    scene.send(admin, &REQUEST.repeat(10_000));
    scene.send(peer, &framed("text"));
    scene.turns(1);
    assert_eq!(scene.acknowledged(peer), 1);
    assert!(scene.wire(admin).sent.len() <= 512 / REQUEST.len() * STATUS.len(), "a visit a turn");
    scene.turns(400);
    assert_eq!(scene.wire(admin).sent.len(), 10_000 * STATUS.len());
}

#[test]
fn those_that_were_closed_take_no_turn_of_others() {
    let mut scene = Scene::new(&limits());
    let first = [connect(&mut scene), connect(&mut scene), connect(&mut scene)];
    first.iter().for_each(|peer| scene.send(*peer, REQUEST));
    // Each takes the place of one that has a request, in the turn in which these are read.
    let last = [(); 3].map(|()| scene.connect_with(ADMIN, 1 << 20));
    last.iter().for_each(|peer| scene.send(*peer, REQUEST));
    scene.turns(4);
    let mut answered = |peer: &usize| scene.wire(*peer).sent.len() == STATUS.len();
    assert_eq!(last.map(|peer| answered(&peer)), [true; 3]);
}

#[test]
fn it_reads_no_more_at_once_than_the_buffer_holds() {
    let limits = Limits { read_bytes_max: 100, ..limits() };
    let net = SimNet::new(Random::new(1), &limits, Faults::default(), Ack::Received);
    let mut server = EventLoop::new(net, limits);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    server.listen(address, Box::new(Status)).unwrap();
    server.serve_admin_at_last_endpoint();
    server.net().connect(Peer::new(0), 0, 100_000);
    server.net().wires[0].send(&REQUEST.repeat(100));
    (0..200).for_each(|_| server.turn().unwrap());
    assert_eq!(server.net().wires[0].sent.len(), 100 * STATUS.len());
}

#[test]
fn messages_wait_for_one_of_its_connections_at_most() {
    let mut scene = Scene::new(&limits());
    let (admins, peer) = ([connect(&mut scene), connect(&mut scene), connect(&mut scene)], scene.connect());
    admins.iter().for_each(|admin| scene.send(*admin, REQUEST));
    for answered in 1..=3 {
        scene.send(peer, &framed("text"));
        scene.turns(1);
        assert_eq!(scene.acknowledged(peer), answered);
        let sent: usize = admins.iter().map(|admin| scene.wire(*admin).sent.len()).sum();
        assert_eq!(sent, answered * STATUS.len(), "each in its turn");
    }
}

#[test]
fn it_is_served_while_others_move_bulk_and_while_the_journal_is_blocked() {
    let mut scene = Scene::new(&Limits { bulk_bytes_per_turn_max: 1000, journal_bytes_max: 100, ..limits() });
    let admin = connect(&mut scene);
    scene.block_journal();
    for _ in 0..5 {
        let peer = scene.connect_with(MESSAGE, 1 << 20);
        scene.turns(2);
        (0..500).for_each(|_| scene.send(peer, &framed(&"x".repeat(1000))));
    }
    scene.turns(2);
    assert!(is_answered(&mut scene, admin));
}
