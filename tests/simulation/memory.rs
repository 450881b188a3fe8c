//! The memory budget: which connections are closed for it, and how soon.

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
    assert_eq!(scene.acknowledged(normal), 1);
}

#[test]
fn a_turn_closes_only_some_while_the_budget_holds() {
    let mut scene = scene_with_budget(8 << 20);
    for _ in 0..1900 {
        let peer = scene.connect_with(MESSAGE, 1 << 16);
        scene.send(peer, &part_of_frame(2000));
    }
    let mut closed = 0;
    for _ in 0..50 {
        scene.turns(1);
        let in_turn = scene.closed(CloseReason::OutOfMemory) - closed;
        assert!(in_turn <= 32, "{in_turn} in a turn");
        closed += in_turn;
    }
    assert!((100..300).contains(&closed), "{closed}");
}
