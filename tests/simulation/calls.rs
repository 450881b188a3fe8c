//! System calls that are interrupted, that would block or that fail, and the order of reads and writes in a turn.

use std::time::Duration;

use loopline::CloseReason;
use loopline::limits::Limits;

use crate::sim::scene::{MESSAGE, Scene, framed};

const REPLY: usize = 2;

/// The calls of a turn.
fn calls_of_turn(scene: &mut Scene) -> Vec<(String, usize)> {
    scene.net().trace.list = Some(Vec::new());
    scene.turns(1);
    scene.net().trace.list.take().expect("calls are listed")
}

fn position(calls: &[(String, usize)], name: &str, peer: usize) -> usize {
    let is_it = |call: &(String, usize)| (call.0.as_str(), call.1) == (name, peer);
    calls.iter().position(is_it).unwrap_or_else(|| panic!("no {name} of {peer}: {calls:?}"))
}

#[test]
fn interrupted_calls_are_repeated() {
    let mut scene = Scene::new(&Limits::default());
    let peers: Vec<usize> = (0..20).map(|_| scene.connect()).collect();
    scene.net().faults.interrupted_calls = 2;
    for _ in 0..10 {
        peers.iter().for_each(|peer| scene.send(*peer, &framed("text")));
        scene.turns(1);
    }
    scene.turns(40);
    assert!(peers.iter().all(|peer| scene.acknowledged(*peer) == 10 && !scene.is_closed(*peer)));
    assert_eq!(scene.run.server.counters().messages, 200);
}

/// A connection whose peer does not read, and has taken a part of two answers.
fn scene_with_unsent_bytes(limits: &Limits) -> (Scene, usize) {
    let mut scene = Scene::new(limits);
    let peer = scene.connect_with(MESSAGE, 97);
    scene.turns(2);
    scene.stop_reading(peer);
    for _ in 0..2 {
        scene.send(peer, &framed(""));
        scene.turns(2);
    }
    (scene, peer)
}

#[test]
fn a_write_that_would_block_is_no_progress_and_breaks_nothing() {
    let limits = Limits { write_timeout: Some(Duration::from_secs(10)), ..Limits::default() };
    let (mut scene, peer) = scene_with_unsent_bytes(&limits);
    // An event reports room, and there is none.
    for _ in 0..2 {
        scene.wire(peer).writable = true;
        scene.pass(Duration::from_secs(4));
        assert!(!scene.is_closed(peer));
    }
    scene.wire(peer).writable = true;
    scene.pass(Duration::from_secs(4));
    assert_eq!((scene.is_closed(peer), scene.closed(CloseReason::WriteTimeout)), (true, 1));
}

#[test]
fn a_write_that_fails_closes_the_connection() {
    let limits = Limits { unsent_bytes_max: 0, ..Limits::default() };
    let (mut scene, peer) = scene_with_unsent_bytes(&limits);
    // It has unsent bytes, so it is written and not read.
    scene.wire(peer).reset();
    let calls = calls_of_turn(&mut scene);
    assert!(position(&calls, "write", peer) < position(&calls, "close", peer));
    assert_eq!(scene.closed(CloseReason::Reset), 1);
}

#[test]
fn answers_to_short_messages_are_sent_before_bulk_is_read_and_bulk_ends_with_a_short_read() {
    let mut scene = Scene::new(&Limits::default());
    let (bulk, alternating, normal) = (scene.connect(), scene.connect(), scene.connect());
    let many = framed("x").repeat(1000);
    for peer in [bulk, alternating] {
        scene.send(peer, &many);
    }
    scene.turns(10);
    // A read of what is left of it shows that its bulk is over.
    assert_eq!(scene.acknowledged(alternating), 1000);
    scene.send(alternating, &framed("x"));
    scene.turns(1);
    scene.send(bulk, &many);
    scene.turns(1);
    for peer in [bulk, alternating, normal] {
        scene.send(peer, &framed("x"));
    }
    let calls = calls_of_turn(&mut scene);
    for short in [alternating, normal] {
        assert!(position(&calls, "write", short) < position(&calls, "read", bulk), "{calls:?}");
    }
}

#[test]
fn a_read_as_long_as_a_light_one_may_be_does_not_end_bulk() {
    let limits = Limits::default();
    let mut scene = Scene::new(&limits);
    let (bulk, normal) = (scene.connect(), scene.connect());
    scene.send(bulk, &framed("x").repeat(1000));
    scene.turns(10);
    let frames = limits.light_read_bytes_max / framed("").len();
    for empty in [frames, 1] {
        scene.send(bulk, &framed("").repeat(empty));
        scene.send(normal, &framed("x"));
        let calls = calls_of_turn(&mut scene);
        assert!(position(&calls, "write", normal) < position(&calls, "read", bulk), "{calls:?}");
    }
}

#[test]
fn after_a_long_message_each_further_one_takes_one_read() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    let long = framed(&"x".repeat(3900));
    scene.send(peer, &long);
    scene.turns(10);
    for _ in 0..3 {
        scene.send(peer, &long);
        let calls = calls_of_turn(&mut scene);
        assert_eq!(calls.iter().filter(|call| call.0 == "read").count(), 1, "{calls:?}");
    }
    // The end of a long message shows no more than that it is complete.
    for part in [&long[..3000], &long[3000..]] {
        scene.send(peer, part);
        scene.turns(1);
    }
    scene.send(peer, &long);
    let calls = calls_of_turn(&mut scene);
    assert_eq!(calls.iter().filter(|call| call.0 == "read").count(), 1, "{calls:?}");
    assert_eq!(scene.acknowledged(peer), 6);
}

#[test]
fn bulk_is_visited_once_in_a_turn() {
    let limits = Limits { read_bytes_max: 400, light_read_bytes_max: 100, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = scene.connect();
    // There is nothing to send before the end of the frame, so it is to be visited again at once.
    scene.send(peer, &framed(&"x".repeat(4000)));
    for read_bytes in [100, 500, 900, 1300] {
        scene.turns(1);
        assert_eq!(scene.wire(peer).read_bytes, read_bytes);
    }
    assert_eq!(scene.net().timeout, Some(Duration::ZERO), "more is left");
}

#[test]
fn what_is_missing_of_a_long_frame_is_read_at_once() {
    let frame = framed(&"x".repeat(4000));
    for (long_read_bytes_max, reads) in [
        (2000, &[100, 1300, 3300, 4500][..]),
        // With the end of the first frame, a byte is read that shows that there is more.
        (4000, &[100, 1300, 4065, 5265, 8128]),
    ] {
        let limits = Limits { light_read_bytes_max: 100, read_bytes_max: 1200, ..Limits::default() };
        let mut scene = Scene::new(&Limits { long_read_bytes_max, ..limits });
        let peer = scene.connect();
        scene.send(peer, &frame.repeat(2));
        for read_bytes in reads {
            scene.turns(1);
            assert_eq!(scene.wire(peer).read_bytes, *read_bytes);
        }
    }
}

#[test]
fn bytes_of_a_long_frame_collect_before_they_are_read() {
    let mut scene = Scene::new(&Limits { low_water_bytes_max: 1000, ..Limits::default() });
    let peer = scene.connect();
    let frame = framed(&"x".repeat(3936));
    let mut reads_of_portion = |bytes: &[u8]| {
        scene.send(peer, bytes);
        calls_of_turn(&mut scene).iter().filter(|call| call.0 == "read").count()
    };
    for _ in 0..2 {
        // The second read finds out how long the frame is.
        let reads: Vec<usize> = frame.chunks(500).map(&mut reads_of_portion).collect();
        assert_eq!(reads, [1, 1, 0, 1, 0, 1, 0, 1]);
    }
    assert_eq!(reads_of_portion(&framed("x")), 1, "nothing is waited for between frames");
    assert_eq!(scene.acknowledged(peer), 3);
}

#[test]
fn unsent_bytes_count_as_bulk_of_the_turn() {
    let limits = Limits { bulk_bytes_per_turn_max: 10_000, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peers: Vec<usize> = (0..10).map(|_| scene.connect_with(MESSAGE, 1000)).collect();
    scene.turns(2);
    for peer in &peers {
        scene.stop_reading(*peer);
        for _ in 0..60 {
            scene.send(*peer, &framed("x"));
            scene.turns(1);
        }
    }
    scene.turns(100);
    // Each has nearly five thousand unsent bytes. All that was sent is read at once.
    for peer in &peers {
        scene.wire(*peer).capacity = 10_000;
        scene.wire(*peer).receive(usize::MAX);
    }
    let calls = calls_of_turn(&mut scene);
    let writes = calls.iter().filter(|call| call.0 == "write").count();
    assert_eq!(writes, 3);
    assert!(scene.net().timeout > Some(Duration::ZERO), "before they could be written");
    scene.turns(1);
    assert_eq!(scene.net().timeout, Some(Duration::ZERO), "the others are to be written");
}

#[test]
fn short_messages_that_a_turn_leaves_are_read_without_waiting() {
    let mut scene = Scene::new(&Limits { visits_per_turn_max: 1, ..Limits::default() });
    let peers: Vec<usize> = (0..3).map(|_| scene.connect()).collect();
    peers.iter().for_each(|peer| scene.send(*peer, &framed("x")));
    for acknowledged in 1..=3 {
        scene.turns(1);
        assert_eq!(peers.iter().filter(|peer| scene.acknowledged(**peer) == 1).count(), acknowledged);
    }
    assert_eq!(scene.net().timeout, Some(Duration::ZERO));
    scene.turns(1);
    assert!(scene.net().timeout.is_none());
}

#[test]
fn a_service_that_uses_the_journal_is_not_read_while_that_is_behind() {
    let mut scene = Scene::new(&Limits { journal_bytes_max: 0, ..Limits::default() });
    let (first, message) = (scene.connect_with(REPLY, 1000), scene.connect());
    scene.block_journal();
    scene.send(first, b"a request");
    scene.turns(2);
    scene.send(message, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.wire(message).read_bytes, 0);
    scene.release_journal();
    scene.turns(4);
    assert_eq!(scene.acknowledged(message), 1);
}
