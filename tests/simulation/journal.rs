//! A journal that takes nothing, takes a part, or fails, one scene each.

use loopline::frame;
use loopline::journal::Ack;
use loopline::limits::Limits;

use crate::sim::scene::{Scene, framed};

#[test]
fn reading_stops_at_the_journals_byte_limit_in_every_mode() {
    for ack in [Ack::Received, Ack::Written, Ack::Synced] {
        let limits = Limits { journal_bytes_max: 3000, read_bytes_max: 640, ..Limits::default() };
        let mut scene = Scene::with_ack(&limits, ack);
        let peers: Vec<usize> = (0..20).map(|_| scene.connect()).collect();
        scene.send(peers[0], &framed("its service uses the journal"));
        scene.turns(2);
        scene.block_journal();
        for peer in &peers {
            scene.send(*peer, &framed("text").repeat(100));
        }
        scene.turns(200);
        // A line has 22 bytes or more, and comes from a frame of 68.
        let read: usize = peers.iter().map(|peer| scene.wire(*peer).read_bytes).sum();
        assert!(read <= 20 * 640 + 3000 * 4, "{ack:?}: {read} bytes are read while the journal is stuck");
        let polls = scene.net().fruitless_polls;
        assert!(polls < 10, "{ack:?}: {polls} polls in a row do not wait while the journal is stuck");
        scene.release_journal();
        scene.turns(300);
        let acknowledged: usize = peers.iter().map(|peer| scene.acknowledged(*peer)).sum();
        assert_eq!(acknowledged, 20 * 100 + 1, "{ack:?}");
    }
}

#[test]
fn a_stuck_journal_does_not_stop_services_that_do_not_use_it() {
    const GREETING: usize = 1;

    let mut scene = Scene::new(&Limits::default());
    let held = scene.connect();
    scene.block_journal();
    scene.send(held, &framed("text"));
    scene.turns(2);
    let other = scene.connect_with(GREETING, 1000);
    scene.month().send_text(1, "hello");
    scene.turns(3);
    assert!(scene.wire(other).server_ended.is_some());
    assert_eq!((scene.acknowledged(held), scene.month().month.replies), (0, 1));
}

#[test]
fn no_part_of_an_answer_leaves_before_its_message_is_recorded() {
    // The answers of one connection are cut by the network in the middle, and the journal is stuck between them.
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect_with(0, 150);
    scene.turns(2);
    scene.stop_reading(peer);
    scene.send(peer, &framed(""));
    scene.turns(2);
    scene.send(peer, &framed(""));
    scene.turns(2);
    assert_eq!(scene.wire(peer).sent.len(), 150, "one answer and a part of the next");
    scene.block_journal();
    scene.send(peer, &framed(""));
    scene.turns(2);
    scene.net().peers[peer].reads = true;
    scene.turns(5);
    assert!(scene.wire(peer).sent.len() <= 2 * 97, "the third waits for the journal");
    scene.release_journal();
    scene.turns(5);
    assert_eq!(scene.acknowledged(peer), 3);
}

#[test]
fn a_frame_of_which_only_a_part_arrived_is_not_recorded() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    let message = framed("text");
    for cut in [1, 63, frame::HEADER_BYTES, frame::HEADER_BYTES + 3] {
        let peer = scene.connect();
        scene.send(peer, &message[..cut]);
        scene.wire(peer).end();
        scene.turns(3);
        assert!(scene.is_closed(peer));
    }
    assert_eq!(scene.closed(loopline::CloseReason::Truncated), 4);
    assert_eq!(scene.net().disk.lock().unwrap().writes, 0);
    scene.send(peer, &message);
    scene.turns(2);
    assert_eq!(scene.acknowledged(peer), 1);
}
