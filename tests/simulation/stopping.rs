//! Serving until a stop, and what becomes of the connections then.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use loopline::CloseReason;
use loopline::event_loop::{EventLoop, LoopError};
use loopline::journal::Ack;
use loopline::limits::Limits;
use loopline::net::Listen;
use loopline::service::message::Message;

use crate::sim::SimNet;
use crate::sim::faults::Faults;
use crate::sim::peer::Peer;
use crate::sim::random::Random;
use crate::sim::scene::{MESSAGE, Scene, framed};

const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the peer of an idle connection has, in which something may be on its way.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Half a message of a peer that will finish it.
fn begin(scene: &mut Scene) -> usize {
    let peer = scene.connect();
    scene.send(peer, &framed("text")[..66]);
    scene.turns(2);
    peer
}

#[test]
fn run_serves_until_the_stop_and_returns_when_all_is_finished() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.send(peer, &framed("text"));
    scene.wire(peer).end();
    scene.net().request_stop();
    scene.run.server.run().unwrap();
    assert!(scene.run.server.is_stopped());
    assert_eq!((scene.acknowledged(peer), scene.run.server.connections()), (1, 0));
}

#[test]
fn its_debug_text_shows_how_many_connections_it_serves_and_that_it_has_stopped() {
    let mut scene = Scene::new(&Limits::default());
    scene.connect();
    let text = format!("{:?}", scene.run.server);
    assert!(text.starts_with("EventLoop { connections: 1, phase: Serving"), "{text}");
    scene.net().request_stop();
    scene.turns(5);
    scene.pass(LINGER_TIMEOUT);
    let text = format!("{:?}", scene.run.server);
    assert!(text.starts_with("EventLoop { connections: 0, phase: Stopped"), "{text}");
}

#[test]
fn a_server_without_connections_stops_within_two_turns_and_without_waiting() {
    let mut scene = Scene::new(&Limits::default());
    scene.turns(2);
    assert_eq!(scene.net().timeout, None, "nothing is left to do");
    scene.net().request_stop();
    scene.turns(1);
    assert!(!scene.run.server.is_stopped());
    scene.turns(1);
    assert_eq!((scene.net().timeout, scene.run.server.is_stopped()), (Some(Duration::ZERO), true));
}

#[test]
fn connections_that_wait_to_be_accepted_at_a_stop_are_served_and_later_ones_are_not() {
    let mut scene = Scene::new(&Limits { accepts_per_turn_max: 2, ..Limits::default() });
    let waiting: Vec<usize> = (0..10).map(|_| scene.connect_with(MESSAGE, 1000)).collect();
    waiting.iter().for_each(|peer| scene.send(*peer, &framed("text")));
    let unfinished = scene.connect_with(MESSAGE, 1000);
    scene.send(unfinished, &framed("text")[..66]);
    scene.net().request_stop();
    scene.turns(12);
    assert!(waiting.iter().all(|peer| scene.acknowledged(*peer) == 1));
    let late = scene.connect_with(MESSAGE, 1000);
    scene.turns(3);
    assert!(scene.wire(late).token.is_none() && !scene.run.server.is_stopped());
    scene.send(unfinished, &framed("text")[66..]);
    scene.turns(2);
    assert_eq!(scene.acknowledged(unfinished), 1);
    for peer in waiting.into_iter().chain([unfinished]) {
        assert!(scene.wire(peer).server_ended.is_some(), "its stream ends after the answer");
        scene.wire(peer).end();
    }
    scene.turns(2);
    assert!(scene.run.server.is_stopped());
}

#[test]
fn a_connection_that_waits_behind_a_full_poll_at_a_stop_is_served() {
    let mut scene = Scene::new(&Limits { events_per_poll_max: 1, ..Limits::default() });
    let broken = scene.connect();
    scene.wire(broken).reset();
    let waiting = scene.connect_with(MESSAGE, 1000);
    scene.send(waiting, &framed("text"));
    scene.net().request_stop();
    scene.turns(1);
    assert_eq!((scene.is_closed(broken), scene.run.server.is_stopped()), (true, false));
    scene.turns(5);
    assert_eq!(scene.acknowledged(waiting), 1);
}

#[test]
fn bytes_that_wait_behind_a_full_poll_are_served_before_idle_connections_are_closed() {
    let mut scene = Scene::new(&Limits { events_per_poll_max: 2, ..Limits::default() });
    let peers: Vec<usize> = (0..5).map(|_| scene.connect()).collect();
    scene.net().request_stop();
    scene.turns(1);
    peers.iter().for_each(|peer| scene.send(*peer, &framed("text")));
    scene.turns(4);
    assert!(peers.iter().all(|peer| scene.acknowledged(*peer) == 1));
}

#[test]
fn connections_that_go_on_arriving_delay_a_stop_for_a_tenth_of_a_second() {
    let mut scene = Scene::new(&Limits { accepts_per_turn_max: 1, ..Limits::default() });
    let arrive = |scene: &mut Scene| {
        (0..2).for_each(|_| assert!(scene.connect_with(MESSAGE, 1000) < 1000));
        scene.turns(1);
        scene.run.server.counters().opened
    };
    scene.net().request_stop();
    (1..5).for_each(|opened| assert_eq!(arrive(&mut scene), opened));
    scene.net().now_ms += 99;
    assert_eq!(arrive(&mut scene), 5);
    scene.net().now_ms += 1;
    assert_eq!(arrive(&mut scene), 6, "the last, before the listeners are closed");
    assert_eq!((arrive(&mut scene), arrive(&mut scene)), (6, 6));
}

#[test]
fn a_server_without_datagram_sockets_serves_those_that_wait_at_a_stop() {
    let limits = Limits { accepts_per_turn_max: 1, ..Limits::default() };
    let mut net = SimNet::new(Random::new(1), &limits, Faults::default(), Ack::Received);
    net.clock_stands = true;
    let mut server = EventLoop::new(net, limits);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    server.listen(address, Box::new(Message::new(100))).unwrap();
    for index in 0..3 {
        server.net().connect(Peer::new(index), MESSAGE, 1000);
        server.net().wires[index].send(&framed("text"));
        server.net().wires[index].end();
    }
    server.net().request_stop();
    server.run().unwrap();
    assert_eq!((server.counters().opened, server.counters().closed(CloseReason::Served)), (3, 3));
}

#[test]
fn at_a_stop_idle_connections_are_closed_and_frames_that_have_begun_have_the_drain_timeout() {
    let limits = Limits { drain_timeout: DRAIN_TIMEOUT, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let (idle, finished, unfinished) = (scene.connect(), begin(&mut scene), begin(&mut scene));
    scene.pass(LINGER_TIMEOUT);
    scene.net().request_stop();
    scene.turns(3);
    assert!(scene.wire(idle).server_ended.is_some() && !scene.is_closed(idle));
    scene.wire(idle).end();
    scene.turns(1);
    assert!(scene.is_closed(idle));
    assert_eq!((scene.run.server.connections(), scene.closed(CloseReason::Stopped)), (2, 1));
    assert_eq!(scene.net().timeout, Some(LINGER_TIMEOUT));
    scene.send(finished, &framed("text")[66..]);
    scene.turns(2);
    assert!(scene.acknowledged(finished) == 1 && scene.wire(finished).server_ended.is_some());
    scene.wire(finished).end();
    scene.pass(LINGER_TIMEOUT);
    assert_eq!(scene.net().timeout, Some(Duration::from_millis(9_500)));
    scene.pass(Duration::from_millis(9_499));
    assert!(scene.is_closed(finished) && !scene.is_closed(unfinished) && !scene.run.server.is_stopped());
    scene.pass(Duration::from_millis(1));
    assert!(scene.is_closed(unfinished) && scene.run.server.is_stopped());
    assert_eq!(scene.closed(CloseReason::Stopped), 3);
}

#[test]
fn a_connection_that_has_just_begun_at_a_stop_has_time_for_its_first_frame() {
    let mut scene = Scene::new(&Limits::default());
    let peers: Vec<usize> = (0..3).map(|_| scene.connect()).collect();
    let [in_time, silent, begun] = peers[..] else { unreachable!() };
    scene.net().request_stop();
    scene.turns(3);
    assert_eq!(scene.net().timeout, Some(LINGER_TIMEOUT));
    scene.pass(Duration::from_millis(499));
    scene.send(in_time, &framed("text"));
    scene.send(begun, &framed("text")[..66]);
    // An event without bytes is no reason to end it.
    scene.wire(silent).readable = true;
    scene.turns(2);
    assert!(scene.acknowledged(in_time) == 1 && scene.wire(in_time).server_ended.is_some());
    assert!(scene.wire(silent).server_ended.is_none());
    scene.wire(in_time).end();
    scene.pass(Duration::from_millis(1));
    assert!(scene.is_closed(in_time) && scene.is_closed(silent) && !scene.is_closed(begun));
    scene.send(begun, &framed("text")[66..]);
    scene.turns(2);
    assert_eq!(scene.acknowledged(begun), 1);
    scene.wire(begun).end();
    scene.turns(2);
    assert!(scene.run.server.is_stopped());
}

#[test]
fn what_the_peer_of_an_idle_connection_sends_as_the_server_stops_does_not_reset_it() {
    let mut scene = Scene::new(&Limits::default());
    let (sends, silent) = (scene.connect(), scene.connect());
    scene.pass(LINGER_TIMEOUT);
    scene.net().request_stop();
    scene.turns(3);
    // It was on its way.
    scene.send(sends, &framed("text"));
    scene.turns(2);
    assert!(!scene.is_closed(sends), "its bytes are read, and it is not closed with some of them unread");
    assert_eq!(scene.wire(sends).sent.len(), 0, "it is not acknowledged");
    scene.wire(sends).end();
    scene.pass(Duration::from_millis(499));
    assert!(scene.is_closed(sends) && !scene.is_closed(silent));
    scene.pass(Duration::from_millis(1));
    assert!(scene.is_closed(silent) && scene.run.server.is_stopped());
}

#[test]
fn connections_that_wait_at_an_inherited_listener_at_a_stop_are_left_to_the_next_server() {
    let limits = Limits { accepts_per_turn_max: 1, ..Limits::default() };
    let mut net = SimNet::new(Random::new(1), &limits, Faults::default(), Ack::Received);
    net.clock_stands = true;
    let mut server = EventLoop::new(net, limits);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    server.listen_inherited(Box::new(Message::new(100)), |net, token| net.listen(address, token)).unwrap();
    for index in 0..3 {
        server.net().connect(Peer::new(index), MESSAGE, 1000);
    }
    server.turn().unwrap();
    assert_eq!(server.counters().opened, 1);
    server.net().request_stop();
    for _ in 0..3 {
        server.turn().unwrap();
        assert_eq!(server.counters().opened, 1, "the others wait for the next server");
    }
    server.net().wires[0].send(&framed("text"));
    server.net().wires[0].end();
    server.run().unwrap();
    assert_eq!(server.counters().closed(CloseReason::Served), 1);
}

#[test]
fn a_connection_that_is_answered_in_the_turn_of_the_stop_is_not_cut_off() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.send(peer, &framed("text"));
    scene.net().request_stop();
    scene.turns(1);
    assert!(scene.acknowledged(peer) == 1 && scene.wire(peer).server_ended.is_some());
    assert!(!scene.is_closed(peer));
}

#[test]
fn a_connection_that_turns_out_to_be_idle_after_the_stop_is_ended() {
    let mut scene = Scene::new(&Limits { visits_per_turn_max: 1, ..Limits::default() });
    let peers: Vec<usize> = (0..3).map(|_| scene.connect()).collect();
    scene.pass(LINGER_TIMEOUT);
    // Events report bytes, and there are none.
    peers.iter().for_each(|peer| scene.wire(*peer).readable = true);
    scene.net().request_stop();
    scene.turns(1);
    assert!(peers.iter().all(|peer| scene.wire(*peer).server_ended.is_none()), "a message may be on its way");
    scene.turns(8);
    assert!(peers.iter().all(|peer| scene.wire(*peer).server_ended.is_some() || scene.is_closed(*peer)));
}

#[test]
fn a_stop_waits_for_the_journal_until_the_drain_timeout() {
    for is_released in [true, false] {
        let limits = Limits { drain_timeout: DRAIN_TIMEOUT, ..Limits::default() };
        let mut scene = Scene::with_ack(&limits, Ack::Received);
        let peer = scene.connect();
        scene.block_journal();
        scene.send(peer, &framed("text"));
        scene.wire(peer).end();
        scene.turns(3);
        assert_eq!((scene.acknowledged(peer), scene.run.server.connections()), (1, 0));
        scene.net().request_stop();
        scene.turns(3);
        scene.pass(Duration::from_millis(9_999));
        assert!(!scene.run.server.is_stopped(), "a line is not written");
        if is_released {
            scene.release_journal();
            scene.turns(2);
        } else {
            scene.net().now_ms += 1;
            let error = scene.run.turn(true).unwrap_err();
            assert!(
                matches!(&error, LoopError::Journal(error) if error.kind() == ErrorKind::TimedOut),
                "{error}"
            );
        }
        assert!(scene.run.server.is_stopped());
    }
}

#[test]
fn peers_that_never_pause_do_not_keep_idle_connections_open_until_the_drain_timeout() {
    let mut scene = Scene::new(&Limits { events_per_poll_max: 1, ..Limits::default() });
    let (idle, busy) = (scene.connect(), scene.connect());
    scene.send(busy, &framed(&"x".repeat(100))[..64]);
    scene.turns(9);
    scene.pass(LINGER_TIMEOUT);
    scene.net().request_stop();
    scene.turns(2);
    // Each poll returns as many events as it may.
    let go_on = |scene: &mut Scene, turns: usize| {
        for _ in 0..turns {
            scene.send(busy, b"x");
            scene.net().now_ms += 10;
            scene.turns(1);
        }
    };
    go_on(&mut scene, 15);
    assert!(scene.wire(idle).server_ended.is_none());
    go_on(&mut scene, 10);
    assert!(scene.wire(idle).server_ended.is_some() && !scene.is_closed(idle));
    go_on(&mut scene, 65);
    assert!(scene.is_closed(idle) && !scene.is_closed(busy) && !scene.run.server.is_stopped());
}

#[test]
fn everything_is_served_until_the_drain_delay_is_over() {
    let mut scene = Scene::new(&Limits { drain_delay: Duration::from_secs(5), ..Limits::default() });
    let early = scene.connect();
    scene.net().request_stop();
    scene.turns(2);
    assert_eq!(scene.net().timeout, Some(Duration::from_secs(5)));
    scene.pass(Duration::from_millis(4_999));
    let late = scene.connect();
    for peer in [early, late] {
        scene.send(peer, &framed("text"));
        scene.turns(2);
        assert_eq!((scene.acknowledged(peer), scene.wire(peer).server_ended), (1, None));
    }
    scene.pass(Duration::from_millis(1));
    assert!(scene.wire(early).server_ended.is_some());
    // It was accepted a millisecond ago.
    assert!(scene.wire(late).server_ended.is_none());
    scene.pass(LINGER_TIMEOUT);
    assert!([early, late].iter().all(|peer| scene.is_closed(*peer)) && scene.run.server.is_stopped());
}

#[test]
fn the_drain_timeout_begins_when_the_drain_delay_is_over() {
    let limits =
        Limits { drain_delay: Duration::from_secs(5), drain_timeout: DRAIN_TIMEOUT, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = begin(&mut scene);
    scene.net().request_stop();
    scene.turns(1);
    scene.pass(Duration::from_secs(5));
    scene.pass(Duration::from_millis(9_999));
    assert!(!scene.run.server.is_stopped());
    scene.net().now_ms += 1;
    scene.turns(1);
    assert!(scene.run.server.is_stopped() && scene.is_closed(peer));
}

#[test]
fn a_second_stop_during_the_drain_delay_stops_at_once() {
    let mut scene = Scene::new(&Limits { drain_delay: Duration::from_secs(5), ..Limits::default() });
    begin(&mut scene);
    scene.net().request_stop();
    scene.turns(2);
    assert!(!scene.run.server.is_stopped());
    scene.net().request_stop();
    scene.turns(1);
    assert!(scene.run.server.is_stopped());
}
