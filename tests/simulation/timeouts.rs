//! Deadlines next to each other: which one closes a connection, and what does not count as the peer's delay.

use std::time::Duration;

use loopline::CloseReason;
use loopline::frame;
use loopline::limits::Limits;

use crate::sim::scene::{Scene, framed};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { frame_timeout: Some(10 * SECOND), ..Limits::default() }
}

/// A server with a peer that has stopped reading, in front of which the network takes 300 bytes: three answers.
fn with_slow_reader(limits: &Limits) -> (Scene, usize) {
    let mut scene = Scene::new(limits);
    let peer = scene.connect_with(0, 300);
    scene.turns(2);
    scene.stop_reading(peer);
    (scene, peer)
}

/// Sends four messages of a slow reader, one after the other: three of the answers fit into the network.
fn send_one_too_many(scene: &mut Scene, peer: usize) {
    for _ in 0..4 {
        scene.send(peer, &framed("text"));
        scene.turns(2);
    }
}

#[test]
fn bytes_that_wait_to_be_read_are_not_the_peers_delay() {
    let mut scene = Scene::new(&Limits { visits_per_turn_max: 1, ..limits() });
    let slow = scene.connect();
    let others: Vec<usize> = (0..8).map(|_| scene.connect()).collect();
    let message = framed("text");
    scene.send(slow, &message[..66]);
    scene.turns(2);
    // The rest arrives in time, behind that of others, and the deadline passes before it is read.
    others.iter().for_each(|peer| scene.send(*peer, &message));
    scene.send(slow, &message[66..]);
    scene.pass(11 * SECOND);
    scene.turns(10);
    assert_eq!((scene.acknowledged(slow), scene.closed(CloseReason::FrameTimeout)), (1, 0));
    // The frame timeout holds all the same for what does not arrive.
    scene.send(slow, &message[..66]);
    scene.turns(10);
    scene.pass(11 * SECOND);
    assert!(scene.is_closed(slow));
}

#[test]
fn a_frame_is_not_late_while_the_journal_holds_its_connection() {
    let mut scene = Scene::new(&limits());
    let peer = scene.connect();
    let message = framed("text");
    scene.block_journal();
    // A whole frame that needs the journal, and the beginning of another, in one read.
    let mut both = message.clone();
    both.extend_from_slice(&message[..66]);
    scene.send(peer, &both);
    scene.turns(2);
    scene.pass(11 * SECOND);
    assert!(!scene.is_closed(peer), "it is held, inside a frame");
    scene.release_journal();
    scene.turns(4);
    scene.send(peer, &message[66..]);
    scene.turns(4);
    assert_eq!(scene.acknowledged(peer), 2);
}

#[test]
fn a_frame_timeout_ends_with_the_frame() {
    let mut scene = Scene::new(&limits());
    let peer = scene.connect();
    let message = framed("text");
    for _ in 0..3 {
        scene.send(peer, &message[..66]);
        scene.pass(9 * SECOND);
        scene.send(peer, &message[66..]);
        scene.pass(9 * SECOND);
    }
    scene.pass(60 * SECOND);
    assert_eq!((scene.acknowledged(peer), scene.is_closed(peer)), (3, false));
}

#[test]
fn a_frame_timeout_does_not_hit_a_slow_reader_whose_frame_is_whole() {
    let limits = Limits { frame_timeout: Some(SECOND), write_timeout: Some(60 * SECOND), ..limits() };
    let (mut scene, peer) = with_slow_reader(&limits);
    // Four answers, of which three fit into the network: the last frame leaves an answer and no byte unread.
    scene.send(peer, &framed("text").repeat(3));
    scene.turns(2);
    scene.send(peer, &framed("text")[..66]);
    scene.turns(2);
    scene.send(peer, &framed("text")[66..]);
    scene.turns(2);
    scene.pass(10 * SECOND);
    assert!(!scene.is_closed(peer), "it has answers to read, and is in no frame");
}

#[test]
fn a_frame_timeout_does_not_hit_a_slow_reader_whose_last_frame_was_cut_off() {
    let limits = Limits { frame_timeout: Some(SECOND), write_timeout: Some(60 * SECOND), ..limits() };
    let (mut scene, peer) = with_slow_reader(&limits);
    send_one_too_many(&mut scene, peer);
    scene.send(peer, &frame::header(10)[..20]);
    scene.turns(2);
    scene.wire(peer).end();
    scene.turns(2);
    scene.pass(2 * SECOND);
    assert!(!scene.is_closed(peer), "it has answers to read");
    scene.net().peers[peer].reads = true;
    scene.turns(4);
    assert_eq!((scene.acknowledged(peer), scene.closed(CloseReason::Truncated)), (4, 1));
}

#[test]
fn a_drop_of_a_frame_does_not_renew_its_deadline() {
    let mut scene = Scene::new(&limits());
    let peer = scene.connect();
    for byte in &framed("text")[..15] {
        scene.send(peer, &[*byte]);
        scene.pass(SECOND);
    }
    assert_eq!(scene.closed(CloseReason::FrameTimeout), 1);
}

#[test]
fn an_idle_timeout_does_not_hit_a_connection_with_half_a_frame() {
    let limits = Limits { idle_timeout: Some(SECOND), ..limits() };
    let mut scene = Scene::new(&limits);
    let (half, idle) = (scene.connect(), scene.connect());
    scene.send(half, &framed("text")[..66]);
    scene.turns(2);
    scene.pass(3 * SECOND);
    assert_eq!((scene.is_closed(half), scene.is_closed(idle)), (false, true));
    scene.pass(8 * SECOND);
    assert_eq!((scene.closed(CloseReason::FrameTimeout), scene.closed(CloseReason::IdleTimeout)), (1, 1));
}

#[test]
fn an_idle_timeout_does_not_hit_a_slow_reader() {
    let limits = Limits { idle_timeout: Some(SECOND), write_timeout: Some(20 * SECOND), ..limits() };
    let (mut scene, peer) = with_slow_reader(&limits);
    send_one_too_many(&mut scene, peer);
    scene.pass(5 * SECOND);
    assert!(!scene.is_closed(peer), "it has answers to read");
    scene.pass(20 * SECOND);
    assert_eq!((scene.closed(CloseReason::WriteTimeout), scene.closed(CloseReason::IdleTimeout)), (1, 0));
}

#[test]
fn a_write_timeout_does_not_run_while_the_journal_holds_the_connection() {
    let limits = Limits { write_timeout: Some(10 * SECOND), ..limits() };
    let (mut scene, peer) = with_slow_reader(&limits);
    send_one_too_many(&mut scene, peer);
    // The peer is timed by now. The journal stops before it has taken anything.
    scene.pass(5 * SECOND);
    scene.block_journal();
    scene.send(peer, &framed("text"));
    scene.pass(20 * SECOND);
    assert!(!scene.is_closed(peer), "the answers wait for the journal, not for the peer");
    scene.release_journal();
    scene.turns(4);
    scene.pass(9 * SECOND);
    assert!(!scene.is_closed(peer), "its time begins anew");
    scene.pass(9 * SECOND);
    assert_eq!(scene.closed(CloseReason::WriteTimeout), 1);
}

#[test]
fn expiry_waits_for_a_storm_of_events_but_not_for_ever() {
    let mut scene = Scene::new(&Limits { events_per_poll_max: 4, ..limits() });
    let late = scene.connect();
    let noisy: Vec<usize> = (0..8).map(|_| scene.connect()).collect();
    scene.send(late, &framed("text")[..66]);
    scene.turns(3);
    scene.net().now_ms += 11_000;
    // Every poll returns as many events as it can.
    let mut turns = 0;
    while !scene.is_closed(late) {
        for peer in &noisy {
            scene.send(*peer, &framed("noise"));
        }
        scene.turns(1);
        turns += 1;
        assert!(turns < 10, "expiring is put off for ever");
    }
    // Three polls report all nine connections, four at a time; the next turn closes what is late all the same.
    assert_eq!((turns, scene.closed(CloseReason::FrameTimeout)), (4, 1));
}

#[test]
fn expiry_waits_until_a_storm_of_events_is_over_and_all_that_has_arrived_is_read() {
    let mut scene = Scene::new(&Limits { events_per_poll_max: 2, ..limits() });
    let peers: Vec<usize> = (0..9).map(|_| scene.connect()).collect();
    let message = framed("text");
    for peer in &peers {
        scene.send(*peer, &message[..66]);
    }
    scene.turns(10);
    // The rest of all arrives in time. Each poll reports two, and the deadline passes before the last is reported.
    peers.iter().for_each(|peer| scene.send(*peer, &message[66..]));
    scene.pass(11 * SECOND);
    scene.turns(10);
    assert!(peers.iter().all(|peer| scene.acknowledged(*peer) == 1));
    assert_eq!(scene.closed(CloseReason::FrameTimeout), 0);
}

#[test]
fn a_datagram_that_waits_renews_its_session_before_it_expires() {
    let limits = Limits { session_timeout: 10 * SECOND, datagrams_per_turn_max: 1, ..limits() };
    let mut scene = Scene::new(&limits);
    scene.month().send_text(1, "hello");
    scene.turns(3);
    // The next datagram is in time, but behind others: it is read after the deadline.
    for host in 2..8 {
        scene.month().send_text(host, "hello");
    }
    scene.month().send_text(1, "3");
    scene.pass(11 * SECOND);
    scene.turns(10);
    assert_eq!(scene.month().month.last_reply(1), "March");
}
