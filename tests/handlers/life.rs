//! A connection of a handler, from its opening to its end.

use loopline::limits::Limits;

use crate::script::Stage;

const SEEDS: std::ops::Range<u64> = 0..50;

#[test]
fn a_handler_is_told_of_each_connection_and_why_it_was_closed() {
    for seed in SEEDS {
        let mut stage = Stage::new(seed);
        let peers: [_; 4] = stage.peers();
        assert_eq!(stage.told().len(), 4);
        stage.server.net().end(peers[0]);
        stage.server.net().reset(peers[1]);
        stage.server.net().send(peers[2], b"say half of an ord");
        stage.server.net().end(peers[2]);
        stage.order(peers[3], &["say one", "refuse nonsense", "say two"]);
        let mut told = stage.told();
        told.sort();
        assert_eq!(
            told,
            [
                "0 closed: served",
                "0 ended",
                "1 closed: reset by the peer",
                "2 closed: the peer ended its side inside a frame",
            ],
            "seed {seed}"
        );
        assert!(stage.server.net().has_ended(peers[0]) && stage.server.net().is_closed(peers[1]));
        // What follows a refusal is not read; the order behind it may have come with it.
        let received = stage.received(peers[3]);
        assert!(received.starts_with("one") && received.ends_with("refused: nonsense"), "{received}");
        stage.server.net().end(peers[3]);
        stage.run();
        assert_eq!(stage.told(), ["3 closed: bad input"]);
    }
}

#[test]
fn a_connection_that_its_handler_ends_is_sent_everything_before() {
    for seed in SEEDS {
        let mut stage = Stage::new(seed);
        let [peer, other] = stage.peers();
        stage.order(peer, &["say all of it", "end"]);
        assert_eq!(stage.received(peer), "all of it");
        assert!(stage.server.net().has_ended(peer) && !stage.server.net().is_closed(peer));
        stage.server.net().end(peer);
        // One ends another, which has something unsent.
        stage.server.net().set_pace(other, Some(1));
        stage.order(other, &["say first "]);
        let [third] = stage.peers();
        stage.order(third, &["to 1 second ", "to 1 third", "end 1", "to 1 nothing", "end 1"]);
        assert_eq!(stage.received(other), "first second third");
        assert!(stage.server.net().has_ended(other));
    }
}

#[test]
fn a_handler_can_go_on_to_send_after_its_peer_has_ended_its_side() {
    for seed in SEEDS {
        let mut stage = Stage::new(seed);
        let [half_open, other] = stage.peers();
        stage.order(half_open, &["stay", "after 1000"]);
        stage.server.net().end(half_open);
        stage.pass(999);
        assert_eq!(
            (stage.received(half_open).as_str(), stage.told()[2..].to_vec()),
            ("", vec!["0 ended".into()])
        );
        stage.pass(1);
        stage.order(other, &["to 0 more"]);
        assert_eq!(stage.received(half_open), "(timer)more");
        stage.order(other, &["end 0"]);
        assert!(stage.server.net().is_closed(half_open));
        assert_eq!(stage.told(), ["0 timer", "0 closed: served"]);
    }
}

#[test]
fn a_half_open_connection_that_is_reset_or_idle_is_closed() {
    let timeout = std::time::Duration::from_secs(10);
    let mut stage = Stage::with(1, Limits { idle_timeout: Some(timeout), ..Limits::default() });
    let [reset, idle] = stage.peers();
    for peer in [reset, idle] {
        stage.order(peer, &["stay"]);
        stage.server.net().end(peer);
    }
    stage.run();
    stage.server.net().reset(reset);
    stage.run();
    stage.told().drain(..4);
    assert!(stage.server.net().is_closed(reset) && !stage.server.net().is_closed(idle));
    stage.pass(11_000);
    assert_eq!(stage.told(), ["1 closed: idle for too long"]);
}

#[test]
fn a_peer_for_whom_there_is_no_room_is_told_so_and_the_handler_is_not() {
    let mut stage = Stage::with(1, Limits { connections_max: 1, ..Limits::default() });
    let [_first, second] = stage.peers();
    assert_eq!(stage.received(second), "refused: the server is full, it serves 1 connections");
    stage.server.net().end(second);
    stage.run();
    assert_eq!(stage.told(), ["0 opened by 198.51.100.1"]);
}

#[test]
fn when_the_server_stops_handlers_are_told_of_all_connections_and_posts_are_refused() {
    let mut stage = Stage::new(1);
    let [_idle, busy] = stage.peers();
    stage.server.net().send(busy, b"say half");
    stage.run();
    stage.told();
    stage.handle.stop().unwrap();
    stage.pass(60_000);
    assert!(stage.server.is_stopped());
    let mut told = stage.told();
    told.sort();
    assert_eq!(told, ["0 closed: the server stopped", "1 closed: the server stopped"]);
    assert_eq!(stage.handle.post("x".into()).unwrap_err().to_string(), "the server has stopped");
}

#[test]
fn a_second_request_of_a_handle_stops_at_once() {
    let mut stage = Stage::new(1);
    let [busy] = stage.peers();
    stage.server.net().send(busy, b"say half");
    stage.run();
    stage.handle.stop().unwrap();
    stage.run();
    assert!(!stage.server.is_stopped());
    stage.handle.stop().unwrap();
    stage.run();
    assert!(stage.server.is_stopped());
}
