//! The memory budget: which connections are closed for it, and how soon.

use std::time::Duration;

use loopline::CloseReason;
use loopline::limits::Limits;

use crate::sim::scene::{MESSAGE, Scene, framed};

/// A budget under which a connection that holds half of a message is not read while many do.
const SMALL_BUDGET: usize = 40_000;

fn scene_with_budget(memory_bytes_max: usize) -> Scene {
    Scene::new(&Limits { memory_bytes_max, ..Limits::default() })
}

/// The first `bytes` bytes of a message of 4000.
fn part_of_frame(bytes: usize) -> Vec<u8> {
    framed(&"x".repeat(4000))[..bytes].to_vec()
}

#[test]
fn connections_that_wait_for_memory_are_closed_when_their_peers_have_left() {
    for ends_first in [true, false] {
        let mut scene = scene_with_budget(SMALL_BUDGET);
        let peers: Vec<usize> = (0..100).map(|_| scene.connect_with(MESSAGE, 1 << 16)).collect();
        for peer in &peers {
            scene.send(*peer, &part_of_frame(3000));
            if ends_first {
                scene.wire(*peer).end();
            }
        }
        scene.turns(10);
        if !ends_first {
            assert!(scene.run.server.connections() > 0);
            peers.iter().for_each(|peer| scene.wire(*peer).end());
            scene.turns(10);
        }
        assert_eq!(scene.run.server.connections(), 0, "no time has passed; they end first: {ends_first}");
    }
}

#[test]
fn with_a_memory_plan_a_frame_that_is_longer_than_a_buffer_ends_its_connection() {
    let mut scene = Scene::new(&Limits { frame_timeout: None, ..Limits::planned(10, 3000, 1 << 20) });
    let fitting = scene.connect_with(MESSAGE, 1 << 16);
    let longer = scene.connect_with(MESSAGE, 1 << 16);
    scene.send(fitting, &framed(&"x".repeat(3000 - 64)));
    scene.send(longer, &part_of_frame(3001));
    scene.turns(20);
    let counters = scene.run.server.counters();
    assert_eq!((counters.messages, counters.closed(CloseReason::OutOfMemory)), (1, 1));
}

#[test]
fn a_long_message_on_its_way_is_not_closed_for_peers_that_do_not_read() {
    let mut scene = scene_with_budget(SMALL_BUDGET);
    let normal = scene.connect();
    let message = framed(&"x".repeat(4000));
    scene.send(normal, &message[..3000]);
    scene.turns(3);
    for _ in 0..40 {
        let peer = scene.connect_with(MESSAGE, 10_000);
        scene.stop_reading(peer);
        scene.send(peer, &framed("x").repeat(150));
        scene.turns(2);
    }
    assert!(scene.closed(CloseReason::OutOfMemory) > 0);
    scene.send(normal, &message[3000..]);
    scene.turns(5);
    // Its last bytes may wait for memory, until the worst of the others are closed.
    scene.pass(Duration::from_millis(500));
    scene.turns(5);
    assert_eq!(scene.acknowledged(normal), 1);
}

#[test]
fn a_turn_closes_only_some_while_the_budget_holds() {
    let mut scene = scene_with_budget(8 << 20);
    for _ in 0..1900 {
        let peer = scene.connect_with(MESSAGE, 1 << 16);
        scene.send(peer, &part_of_frame(2000));
    }
    let (mut closed, mut turns_without_reading) = (0, 0);
    for _ in 0..50 {
        let is_read = scene.net().wires.iter().all(|wire| wire.to_server.is_empty());
        scene.turns(1);
        let in_turn = scene.closed(CloseReason::OutOfMemory) - closed;
        assert!(in_turn <= 32, "{in_turn} in a turn");
        closed += in_turn;
        if is_read && in_turn > 0 {
            assert_eq!(scene.net().timeout, Some(Duration::ZERO), "more are to be closed");
            turns_without_reading += 1;
        }
    }
    assert!((100..300).contains(&closed) && turns_without_reading > 1, "{closed}");
}

/// Connections that hold a part of a message each, as many as make others wait, and those that wait.
fn holders_and_waiting(scene: &mut Scene, count: usize) -> (Vec<usize>, Vec<usize>) {
    let peers: Vec<usize> = (0..count).map(|_| scene.connect_with(MESSAGE, 1 << 16)).collect();
    for peer in &peers {
        scene.send(*peer, &part_of_frame(2000));
    }
    scene.turns(5);
    peers.iter().for_each(|peer| scene.send(*peer, &part_of_frame(3000)[2000..]));
    scene.turns(5);
    peers.into_iter().partition(|peer| scene.wire(*peer).to_server.is_empty())
}

/// Seven connections that wait for memory: under the small budget, others were closed for them.
fn seven_that_wait() -> (Scene, Vec<usize>) {
    let mut scene = scene_with_budget(SMALL_BUDGET);
    let (_, waiting) = holders_and_waiting(&mut scene, 18);
    assert_eq!((waiting.len(), scene.run.server.connections()), (7, 7));
    (scene, waiting)
}

/// How many of `peers` have been read from again.
fn read_on(scene: &mut Scene, peers: &[usize]) -> usize {
    peers.iter().filter(|peer| scene.wire(**peer).read_bytes > 2000).count()
}

#[test]
fn after_half_a_second_the_worst_holders_are_closed_for_those_that_wait_and_no_more_than_make_room() {
    let (mut scene, waiting) = seven_that_wait();
    assert_eq!(scene.net().timeout, Some(Duration::from_millis(500)));
    scene.pass(Duration::from_millis(499));
    assert_eq!((scene.run.server.connections(), read_on(&mut scene, &waiting)), (7, 0));
    assert_eq!(scene.net().timeout, Some(Duration::from_millis(1)));
    scene.pass(Duration::from_millis(1));
    assert_eq!((scene.run.server.connections(), read_on(&mut scene, &waiting)), (5, 5));
    scene.turns(1);
    assert!(scene.net().timeout > Some(Duration::from_secs(20)), "none waits");
}

#[test]
fn connections_that_wait_go_on_some_in_each_turn_when_others_leave() {
    let (mut scene, waiting) = seven_that_wait();
    let closed = scene.closed(CloseReason::OutOfMemory);
    let (leaving, staying) = waiting.split_at(2);
    leaving.iter().for_each(|peer| scene.wire(*peer).reset());
    let mut on = Vec::new();
    for _ in 0..4 {
        scene.turns(1);
        on.push(read_on(&mut scene, staying));
    }
    assert_eq!((on, scene.closed(CloseReason::OutOfMemory)), (vec![0, 3, 5, 5], closed));
    for peer in staying {
        scene.send(*peer, &framed(&"x".repeat(4000))[3000..]);
    }
    scene.turns(5);
    assert!(staying.iter().all(|peer| scene.acknowledged(*peer) == 1));
}

#[test]
fn when_all_that_wait_have_left_nothing_is_waited_for() {
    let (mut scene, waiting) = seven_that_wait();
    waiting.iter().for_each(|peer| scene.wire(*peer).reset());
    scene.turns(4);
    assert_eq!((scene.run.server.connections(), scene.net().timeout), (0, None));
}

#[test]
fn a_connection_that_holds_much_and_sends_nothing_does_not_wait_for_memory() {
    let mut scene = scene_with_budget(SMALL_BUDGET);
    let peers: Vec<usize> = (0..7).map(|_| scene.connect_with(MESSAGE, 1 << 16)).collect();
    for peer in &peers {
        scene.send(*peer, &part_of_frame(2000));
    }
    scene.turns(5);
    scene.pass(Duration::from_secs(6));
    // An event for each, without bytes.
    peers.iter().for_each(|peer| scene.wire(*peer).writable = true);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.run.server.connections(), 7);
    assert!(scene.net().timeout > Some(Duration::from_secs(20)), "only for their frames");
}

#[test]
fn a_connection_that_waits_for_memory_until_the_frame_timeout_is_closed_for_memory() {
    let frame_timeout = Some(Duration::from_millis(400));
    let mut scene =
        Scene::new(&Limits { memory_bytes_max: SMALL_BUDGET, frame_timeout, ..Limits::default() });
    let (_, waiting) = holders_and_waiting(&mut scene, 18);
    assert_eq!(waiting.len(), 7);
    scene.pass(Duration::from_millis(450));
    assert_eq!(scene.run.server.connections(), 0);
    assert_eq!((scene.closed(CloseReason::OutOfMemory), scene.closed(CloseReason::FrameTimeout)), (18, 0));
}

#[test]
fn connections_that_wait_and_end_their_side_are_closed_some_in_each_turn() {
    let mut scene = scene_with_budget(1 << 20);
    let add = |scene: &mut Scene, count: usize| {
        for _ in 0..count {
            let peer = scene.connect_with(MESSAGE, 1 << 16);
            scene.send(peer, &part_of_frame(2000));
        }
        scene.turns(20);
        scene.closed(CloseReason::OutOfMemory)
    };
    // Whenever one too many has come, some are closed to make room. The last fill it.
    let mut closed = add(&mut scene, 300);
    while add(&mut scene, 1) == closed {}
    closed = scene.closed(CloseReason::OutOfMemory);
    let mut too_many = 1;
    while add(&mut scene, 1) == closed {
        too_many += 1;
    }
    add(&mut scene, too_many - 1);
    // Frames that began long ago may use no reserve.
    scene.pass(Duration::from_secs(6));
    let open = scene.run.server.connections();
    assert!(open > 100, "{open}");
    for peer in 0..scene.net().wires.len() {
        if !scene.is_closed(peer) {
            scene.send(peer, &part_of_frame(3000)[2000..]);
            scene.wire(peer).end();
        }
    }
    let mut left = vec![open];
    while scene.run.server.connections() > 0 {
        scene.turns(1);
        left.push(scene.run.server.connections());
        assert!(left.len() < 20, "{left:?}");
        assert!(left.len() < 3 || scene.net().timeout == Some(Duration::ZERO), "{left:?}");
    }
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 32), "{left:?}");
}

#[test]
fn connections_that_all_leave_while_some_are_to_be_closed_leave_nothing_to_wait_for() {
    let limits = Limits {
        memory_bytes_max: 8 << 20,
        events_per_poll_max: 5000,
        visits_per_turn_max: 5000,
        accepts_per_turn_max: 5000,
        ..Limits::default()
    };
    let mut scene = Scene::new(&limits);
    for _ in 0..2200 {
        let peer = scene.connect_with(MESSAGE, 1 << 16);
        scene.send(peer, &part_of_frame(2000));
    }
    while scene.closed(CloseReason::OutOfMemory) == 0 {
        scene.turns(1);
    }
    scene.turns(1);
    assert_eq!(scene.net().timeout, Some(Duration::ZERO), "more are to be closed");
    for peer in 0..2200 {
        if !scene.is_closed(peer) {
            scene.wire(peer).reset();
        }
    }
    scene.turns(2);
    assert_eq!((scene.run.server.connections(), scene.net().timeout), (0, None));
}
