//! Datagrams: what is counted, what waits for the journal, and errors of the socket.

use loopline::limits::{Limits, ReplyLimit};

use crate::sim::scene::Scene;

fn scene() -> Scene {
    Scene::new(&Limits::default())
}

fn hello(scene: &mut Scene, hosts: std::ops::Range<u8>) {
    hosts.for_each(|host| scene.month().send_text(host, "hello"));
    scene.turns(2);
}

#[test]
fn every_datagram_is_counted_and_so_are_those_that_are_not_answered() {
    let limits = Limits { udp_replies: ReplyLimit::Everywhere(4), ..Limits::default() };
    let mut scene = Scene::new(&limits);
    hello(&mut scene, 1..3);
    // Its own answers come back.
    (1..4).for_each(|host| scene.month().send_text(host, "March"));
    scene.turns(2);
    hello(&mut scene, 3..13);
    let counters = scene.run.server.counters().clone();
    let replies = scene.month().month.replies;
    assert_eq!((counters.datagrams, counters.datagrams_dropped), (15, 3));
    assert!((2..8).contains(&replies), "{replies}");
    assert_eq!(counters.datagrams_limited, 12 - replies);
}

#[test]
fn an_answer_that_cannot_be_sent_is_counted_and_the_others_are_sent() {
    let mut scene = scene();
    hello(&mut scene, 1..2);
    scene.net().faults.failed_sends = 1;
    hello(&mut scene, 2..5);
    scene.net().faults.failed_sends = 0;
    hello(&mut scene, 5..6);
    assert_eq!((scene.month().month.replies, scene.run.server.counters().datagrams_unsent), (2, 3));
}

#[test]
fn an_interrupted_send_is_repeated() {
    let mut scene = scene();
    scene.net().faults.interrupted_calls = 2;
    (0..10).for_each(|round| hello(&mut scene, 8 * round..8 * round + 8));
    scene.net().faults.interrupted_calls = 0;
    scene.turns(2);
    let replies = scene.month().month.replies;
    assert_eq!((replies, scene.run.server.counters().datagrams_unsent), (scene.month().requests, 0));
}

#[test]
fn only_an_answer_that_needs_the_journal_is_lost_while_it_is_stuck() {
    let mut scene = scene();
    let send = |scene: &mut Scene| {
        let net = scene.net();
        (0..20).for_each(|_| net.sockets[0].send_request(&mut net.random));
        scene.turns(3);
        let counters = scene.run.server.counters();
        (counters.messages, counters.datagrams_unsent)
    };
    let (recorded, unsent) = send(&mut scene);
    assert!(recorded > 0 && recorded < 20 && unsent == 0, "{recorded} recorded, {unsent} unsent");
    scene.block_journal();
    let (recorded_later, unsent) = send(&mut scene);
    assert_eq!(unsent, recorded_later - recorded);
    assert!(unsent > 0 && unsent < 20);
}
