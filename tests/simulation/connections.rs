//! Rules of connections and of the turn, one scene each.

use std::time::Duration;

use loopline::CloseReason;
use loopline::frame;
use loopline::limits::Limits;
use loopline::service::message::DISCONNECT;

use crate::sim::scene::{Scene, framed};

#[test]
fn refused_peers_take_no_place_of_served_ones() {
    let limits = Limits { connections_max: 2, refusals_max: 3, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let first = scene.connect();
    let _second = scene.connect();
    let refused: Vec<usize> = (0..3).map(|_| scene.connect()).collect();
    assert!(refused.iter().all(|peer| scene.net().wires[*peer].server_ended.is_some()));
    // One that is served leaves, and the refused ones are still there.
    scene.send(first, &framed(DISCONNECT));
    scene.turns(2);
    scene.wire(first).end();
    scene.turns(3);
    assert_eq!((scene.is_closed(first), scene.run.server.connections()), (true, 4));
    let next = scene.connect();
    scene.send(next, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(next), 1, "the next is served at once");
}

#[test]
fn the_reason_of_a_refusal_is_one_frame_and_then_the_stream_ends() {
    let mut scene = Scene::new(&Limits { connections_max: 1, ..Limits::default() });
    let _served = scene.connect();
    let refused = scene.connect();
    let reason = framed("Error: the server is full, it serves 1 connections");
    assert_eq!(scene.wire(refused).sent, reason);
    assert!(scene.wire(refused).server_ended.is_some() && !scene.is_closed(refused), "it may still read");
}

#[test]
fn the_servers_side_ends_with_the_last_answer_while_the_peers_is_open() {
    let mut scene = Scene::new(&Limits::default());
    for last in [framed(DISCONNECT), b"?".to_vec()] {
        let peer = scene.connect();
        scene.send(peer, &last);
        scene.turns(2);
        assert!(scene.wire(peer).server_ended.is_some(), "a half-close follows the answer");
        assert!(!scene.is_closed(peer) && !scene.wire(peer).peer_ended);
    }
}

#[test]
fn a_peer_that_goes_on_sending_after_its_last_answer_is_closed_at_the_byte_limit() {
    let limits = Limits { linger_bytes_max: 1000, read_bytes_max: 100, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = scene.connect();
    scene.send(peer, b"?");
    scene.turns(2);
    scene.send(peer, &[b'?'; 5000]);
    scene.turns(30);
    assert!(scene.is_closed(peer));
    let discarded = scene.wire(peer).read_bytes - 1;
    assert!((1001..=1100).contains(&discarded), "{discarded} bytes discarded");
}

#[test]
fn a_peer_that_does_not_end_its_side_is_closed_at_the_linger_timeout() {
    let limits = Limits { linger_timeout: Duration::from_secs(2), ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = scene.connect();
    scene.send(peer, b"?");
    scene.turns(2);
    scene.pass(Duration::from_millis(1900));
    assert!(!scene.is_closed(peer));
    scene.pass(Duration::from_millis(200));
    assert!(scene.is_closed(peer));
}

#[test]
fn a_peer_that_never_reads_is_not_read_from_and_holds_a_bounded_number_of_bytes() {
    let limits = Limits { unsent_bytes_max: 2000, read_bytes_max: 640, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = scene.connect_with(0, 100_000);
    scene.turns(2);
    scene.stop_reading(peer);
    let flood = framed("").repeat(1400);
    scene.send(peer, &flood);
    scene.turns(400);
    // Each answer has 97 bytes: the network holds 100,000, and the server 2,000 and those of one visit.
    let answered = scene.wire(peer).read_bytes / frame::HEADER_BYTES * 97;
    assert!((102_000..102_000 + 10 * 97 + 97).contains(&answered), "{answered} bytes of answers");
    scene.net().peers[peer].reads = true;
    scene.turns(400);
    assert_eq!(scene.acknowledged(peer), 1400);
}

#[test]
fn a_connection_that_breaks_while_the_journal_holds_it_is_closed() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.block_journal();
    scene.send(peer, &framed("text"));
    scene.turns(2);
    scene.wire(peer).reset();
    scene.turns(2);
    assert_eq!((scene.is_closed(peer), scene.closed(CloseReason::Reset)), (true, 1));
}

#[test]
fn half_a_close_while_the_journal_holds_the_connection_loses_no_answer() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.block_journal();
    scene.send(peer, &framed("text"));
    scene.wire(peer).end();
    scene.turns(3);
    assert!(!scene.is_closed(peer));
    scene.release_journal();
    scene.turns(4);
    assert_eq!((scene.acknowledged(peer), scene.closed(CloseReason::Served)), (1, 1));
}

#[test]
fn ten_thousand_frames_in_one_segment_are_answered_in_order_and_others_are_served_meanwhile() {
    let mut scene = Scene::new(&Limits::default());
    let (bulk, other) = (scene.connect(), scene.connect());
    let bodies: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    scene.send(bulk, &bytes);
    for round in 1..=5 {
        scene.send(other, &framed("text"));
        scene.turns(2);
        assert_eq!(scene.acknowledged(other), round, "served within two turns");
    }
    scene.turns(100);
    assert_eq!(scene.acknowledged(bulk), 10_000);
    let address = scene.wire(bulk).address;
    assert_eq!(scene.net().disk.lock().unwrap().records(address), bodies);
}

#[test]
fn answers_of_a_turn_are_sent_in_portions_of_a_bounded_number_of_bytes() {
    let limits =
        Limits { answer_bytes_per_commit_max: 970, visits_per_commit_max: 1000, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peers: Vec<usize> = (0..50).map(|_| scene.connect()).collect();
    for peer in &peers {
        scene.send(*peer, &framed("").repeat(5));
    }
    let writes = |scene: &mut Scene| scene.net().disk.lock().unwrap().writes;
    let before = writes(&mut scene);
    scene.turns(1);
    // Two peers have 970 bytes of answers.
    assert_eq!(writes(&mut scene) - before, 25);
}

#[test]
fn a_drain_reads_all_that_has_arrived_although_a_poll_reports_only_a_part() {
    let limits = Limits { events_per_poll_max: 2, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peers: Vec<usize> = (0..12).map(|_| scene.connect()).collect();
    for peer in &peers {
        scene.send(*peer, &framed("text"));
    }
    scene.net().request_stop();
    scene.turns(20);
    assert!(peers.iter().all(|peer| scene.acknowledged(*peer) == 1));
}

#[test]
fn a_storm_of_errors_on_a_datagram_socket_ends_with_the_turn() {
    let pause = Duration::from_secs(20);
    let limits = Limits { datagrams_per_turn_max: 8, accept_pause: pause, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peer = scene.connect();
    scene.net().faults.failed_receives = 1;
    scene.month().send_text(1, "hello");
    for round in 1..=3 {
        scene.send(peer, &framed("text"));
        scene.turns(2);
        assert_eq!(scene.acknowledged(peer), round, "connections are served every turn");
        assert_eq!(scene.month().failed_this_turn, 0, "receiving pauses");
    }
    scene.net().now_ms += 20_000;
    scene.turns(1);
    assert_eq!(scene.month().failed_this_turn, 1, "after the pause it is tried once");
    scene.net().faults.failed_receives = 0;
    scene.turns(2);
    assert_eq!(scene.month().month.replies, 0);
    scene.pass(pause);
    scene.turns(2);
    assert_eq!(scene.month().month.replies, 1);
}

#[test]
fn a_datagram_of_the_limit_is_answered_and_a_longer_one_is_an_error() {
    let mut scene = Scene::new(&Limits::default());
    let expected = [
        ("hello".to_owned(), "\nHey there"),
        (format!("{:<1024}", 3), "March"),
        (format!("{:<1025}", 3), "Error: "),
    ];
    for (text, reply) in expected {
        scene.month().send_text(1, &text);
        scene.turns(2);
        let last = scene.month().month.last_reply(1).to_owned();
        assert!(last.starts_with(reply), "{} bytes: {last}", text.len());
    }
}

#[test]
fn a_flood_of_datagrams_leaves_time_for_connections_in_every_turn() {
    let mut scene = Scene::new(&Limits { datagrams_per_turn_max: 8, ..Limits::default() });
    let peer = scene.connect();
    for round in 1..=5 {
        for _ in 0..20 {
            scene.month().send_text(1, "3");
        }
        scene.send(peer, &framed("text"));
        scene.turns(2);
        assert_eq!(scene.acknowledged(peer), round);
    }
}

#[test]
fn a_freed_descriptor_serves_the_next_waiting_peer_without_a_new_connect() {
    use crate::sim::descriptors::Descriptors;

    let limits = Limits { accept_pause: Duration::from_secs(20), ..Limits::default() };
    let mut scene = Scene::new(&limits);
    scene.net().descriptors = Descriptors::new(2);
    let first = scene.connect();
    let _second = scene.connect();
    let waiting = scene.connect();
    scene.send(waiting, &framed("text"));
    scene.turns(5);
    assert_eq!(scene.acknowledged(waiting), 0);
    scene.wire(first).end();
    scene.turns(5);
    assert_eq!(scene.acknowledged(waiting), 1);
}

#[test]
fn all_that_are_reset_at_once_are_closed_within_two_turns_and_accepting_goes_on() {
    let mut scene = Scene::new(&Limits::default());
    let peers: Vec<usize> = (0..500).map(|_| scene.connect()).collect();
    peers.iter().for_each(|peer| scene.wire(*peer).reset());
    scene.turns(2);
    assert_eq!((scene.run.server.connections(), scene.closed(CloseReason::Reset)), (0, 500));
    let next = scene.connect();
    scene.send(next, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(next), 1);
}

#[test]
fn a_write_that_blocks_at_any_byte_goes_on_there_and_sends_the_rest_once() {
    let mut scene = Scene::new(&Limits::default());
    let answers = framed("Message received successfully....").repeat(2);
    for capacity in 1..=answers.len() {
        let peer = scene.connect_with(0, capacity.max(2 * 68));
        scene.wire(peer).capacity = capacity;
        scene.stop_reading(peer);
        scene.wire(peer).to_server.extend(framed("text").repeat(2));
        scene.wire(peer).readable = true;
        scene.turns(3);
        assert_eq!(scene.wire(peer).sent, answers[..capacity]);
        scene.net().peers[peer].reads = true;
        scene.turns(answers.len() * 2 / capacity + 4);
        assert_eq!(scene.wire(peer).sent, answers);
    }
}

#[test]
fn bytes_that_a_turns_budget_leaves_in_the_kernel_are_served_without_another_event() {
    let limits = Limits { read_bytes_max: 68, visits_per_turn_max: 1, ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peers: Vec<usize> = (0..3).map(|_| scene.connect()).collect();
    for peer in &peers {
        scene.send(*peer, &framed("text").repeat(10));
    }
    scene.turns(50);
    assert!(peers.iter().all(|peer| scene.acknowledged(*peer) == 10));
}

#[test]
fn spurious_and_duplicate_events_have_no_effect() {
    let mut scene = Scene::new(&Limits::default());
    let faults = &mut scene.net().faults;
    (faults.spurious_events, faults.duplicate_events, faults.stale_events) = (1, 1, 1);
    for _ in 0..20 {
        let peer = scene.connect();
        scene.send(peer, &framed("text"));
        scene.turns(2);
        assert_eq!(scene.acknowledged(peer), 1);
        scene.wire(peer).end();
        scene.turns(3);
        assert!(scene.is_closed(peer));
    }
    assert_eq!(scene.closed(CloseReason::Served), 20);
}

#[test]
fn a_connection_that_cannot_be_registered_is_closed_and_leaves_nothing() {
    let mut scene = Scene::new(&Limits::default());
    scene.net().faults.failed_registrations = 1;
    let peers: Vec<usize> = (0..10).map(|_| scene.connect()).collect();
    assert!(peers.iter().all(|peer| scene.is_closed(*peer)));
    assert_eq!((scene.run.server.connections(), scene.closed(CloseReason::Unregistered)), (0, 10));
    scene.net().faults.failed_registrations = 0;
    let next = scene.connect();
    scene.send(next, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(next), 1);
}

#[test]
fn a_peer_that_reads_nothing_is_closed_at_the_write_timeout_and_one_that_reads_a_little_is_not() {
    let limits = Limits { write_timeout: Some(Duration::from_secs(10)), ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let peers = [scene.connect_with(0, 1000), scene.connect_with(0, 1000)];
    scene.turns(2);
    for peer in peers {
        scene.stop_reading(peer);
        for _ in 0..30 {
            scene.send(peer, &framed("text"));
            scene.turns(1);
        }
    }
    let [stuck, slow] = peers;
    for _ in 0..5 {
        scene.pass(Duration::from_secs(4));
        scene.wire(slow).receive(50);
        scene.turns(2);
    }
    assert_eq!((scene.is_closed(stuck), scene.is_closed(slow)), (true, false));
    assert_eq!(scene.closed(CloseReason::WriteTimeout), 1);
}

#[test]
fn two_thousand_that_connect_and_reset_leave_no_slot() {
    let mut scene = Scene::new(&Limits::default());
    for _ in 0..2000 {
        let peer = scene.connect_with(0, 100);
        scene.wire(peer).reset();
    }
    scene.turns(20);
    let counters = scene.run.server.counters().clone();
    assert_eq!((counters.opened, scene.closed(CloseReason::Reset)), (2000, 2000));
    assert_eq!(scene.run.server.connections(), 0);
}
