//! Accepting connections: what fails, when it pauses, and which connections are refused at once.

use std::time::Duration;

use loopline::CloseReason;
use loopline::limits::Limits;

use crate::sim::descriptors::Descriptors;
use crate::sim::scene::{MESSAGE, Scene, framed};

const GREETING: usize = 1;

fn limits() -> Limits {
    Limits { accepts_per_turn_max: 4, accept_pause: Duration::from_millis(500), ..Limits::default() }
}

fn fail_accepts(scene: &mut Scene, error: i32, count: usize) {
    scene.net().accept_errors = vec![error; count].into();
}

fn failed(scene: &Scene) -> u64 {
    scene.run.server.counters().accepts_failed
}

#[test]
fn connections_that_fail_before_they_are_accepted_are_counted_and_do_not_delay_the_next() {
    let mut scene = Scene::new(&limits());
    fail_accepts(&mut scene, libc::ECONNABORTED, 3);
    scene.connect_with(MESSAGE, 1000);
    scene.turns(1);
    assert_eq!((failed(&scene), scene.run.server.connections()), (3, 1));
    // The failures in a row begin anew.
    fail_accepts(&mut scene, libc::ECONNABORTED, 3);
    scene.connect_with(MESSAGE, 1000);
    scene.turns(1);
    assert_eq!((failed(&scene), scene.run.server.connections()), (6, 2));
}

#[test]
fn accepting_pauses_after_as_many_failures_as_a_turn_has_accepts() {
    let mut scene = Scene::new(&limits());
    fail_accepts(&mut scene, libc::ECONNABORTED, 5);
    scene.connect_with(MESSAGE, 1000);
    scene.turns(5);
    assert_eq!((failed(&scene), scene.run.server.connections()), (4, 0));
    // Then each failure is followed by a pause.
    scene.pass(Duration::from_millis(500));
    assert_eq!((failed(&scene), scene.run.server.connections()), (5, 0));
    scene.pass(Duration::from_millis(499));
    assert_eq!((scene.net().accepts, scene.run.server.connections()), (5, 0));
    scene.pass(Duration::from_millis(1));
    assert_eq!((failed(&scene), scene.run.server.connections()), (5, 1));
}

#[test]
fn a_pause_without_descriptors_ends_with_its_time_and_nothing_is_tried_before() {
    let mut scene = Scene::new(&limits());
    scene.net().descriptors = Descriptors::new(0);
    scene.connect_with(MESSAGE, 1000);
    scene.connect_with(GREETING, 1000);
    scene.turns(10);
    assert_eq!((scene.net().accepts, failed(&scene)), (1, 0), "neither of the listeners");
    // Another process closes some.
    scene.net().descriptors = Descriptors::new(10);
    scene.pass(Duration::from_millis(499));
    assert_eq!(scene.run.server.connections(), 0);
    scene.pass(Duration::from_millis(1));
    assert_eq!(scene.run.server.connections(), 2);
}

#[test]
fn a_pause_at_one_listener_is_followed_by_the_next() {
    let pause = Duration::from_millis(500);
    for (pauses, served_first) in [(1, GREETING), (2, MESSAGE)] {
        let mut scene = Scene::new(&limits());
        scene.net().descriptors = Descriptors::new(1);
        fail_accepts(&mut scene, libc::EMFILE, pauses);
        let peers = [MESSAGE, GREETING].map(|listener| scene.connect_with(listener, 1000));
        scene.turns(2);
        (0..pauses).for_each(|_| scene.pass(pause));
        let accepted = peers.map(|peer| scene.wire(peer).accepted_ms.is_some());
        assert_eq!(accepted, [served_first == MESSAGE, served_first == GREETING], "{pauses}");
    }
}

#[test]
fn a_turn_accepts_a_limited_number_and_the_rest_without_another_event() {
    let mut scene = Scene::new(&limits());
    for _ in 0..10 {
        scene.connect_with(MESSAGE, 1000);
    }
    for accepted in [4, 8, 10, 10] {
        scene.turns(1);
        assert_eq!(scene.run.server.connections(), accepted);
    }
}

#[test]
fn a_peer_refused_at_once_by_a_service_without_frames_is_closed_and_sent_nothing() {
    let limits = Limits { connections_max: 1, refusals_max: 1, ..limits() };
    let mut scene = Scene::new(&limits);
    let peers: Vec<usize> = (0..3).map(|_| scene.connect_with(GREETING, 1000)).collect();
    scene.turns(2);
    assert!(!scene.wire(peers[0]).sent.is_empty());
    assert!(scene.wire(peers[1]).server_ended.is_some() && !scene.is_closed(peers[1]));
    assert!(scene.is_closed(peers[2]));
    assert!(peers[1..].iter().all(|peer| scene.wire(*peer).sent.is_empty()));
    assert_eq!(scene.closed(CloseReason::Full), 1);
}

#[test]
fn a_reason_sent_at_once_is_not_reset_by_what_the_peer_has_sent() {
    let mut scene = Scene::new(&Limits { connections_max: 1, refusals_max: 1, ..limits() });
    let _served = scene.connect();
    let _refused = scene.connect();
    let peer = scene.connect_with(MESSAGE, 1000);
    scene.send(peer, &framed("text"));
    scene.turns(1);
    let reason = framed("Error: the server is full, it serves 1 connections");
    assert_eq!((scene.wire(peer).sent.clone(), scene.wire(peer).reset), (reason, false));
    assert!(scene.is_closed(peer));
}
