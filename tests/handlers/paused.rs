//! Connections that a handler does not read for a while.

use std::time::Duration;

use loopline::limits::Limits;

use crate::script::Stage;

#[test]
fn what_a_paused_peer_sends_waits_until_it_is_resumed() {
    for seed in 0..50 {
        let mut stage = Stage::new(seed);
        let [paused, other] = stage.peers();
        stage.order(other, &["pause 0", "pause 0"]);
        let text = "x".repeat(10_000);
        stage.send(paused, &[&format!("say {text}"), "say  and more"]);
        stage.server.net().end(paused);
        stage.pass(1000);
        assert_eq!(stage.received(paused), "", "seed {seed}");
        stage.order(other, &["to 0 before "]);
        assert_eq!(stage.received(paused), "before ");
        stage.order(other, &["go 0"]);
        assert_eq!(stage.received(paused), format!("{text} and more"), "seed {seed}");
        assert_eq!(stage.told()[2..], ["0 ended", "0 closed: served"]);
    }
}

#[test]
fn a_pause_that_ends_at_once_changes_nothing() {
    for seed in 0..50 {
        let mut stage = Stage::new(seed);
        let [peer, other] = stage.peers();
        stage.send(peer, &["say one ", "say two"]);
        stage.order(other, &["pause 0", "go 0", "go 0"]);
        assert_eq!(stage.received(peer), "one two", "seed {seed}");
    }
}

#[test]
fn no_deadline_of_the_peer_runs_while_it_is_paused() {
    let second = Some(Duration::from_secs(1));
    let mut stage =
        Stage::with(1, Limits { frame_timeout: second, idle_timeout: second, ..Limits::default() });
    let [in_frame, idle, other] = stage.peers();
    stage.server.net().send(in_frame, b"say half");
    stage.order(other, &["pause 0", "pause 1"]);
    for _ in 0..20 {
        stage.pass(500);
        stage.order(other, &["say x"]);
    }
    stage.told();
    assert_eq!(stage.server.connections(), 3);
    stage.order(other, &["go 0", "go 1"]);
    stage.pass(900);
    stage.server.net().send(in_frame, b" of it\n");
    stage.run();
    assert_eq!(stage.received(in_frame), "half of it");
    let _ = idle;
    // From now on they run again.
    stage.server.net().send(in_frame, b"say half");
    stage.pass(2000);
    assert!(stage.told().contains(&"0 closed: a frame was incomplete at its timeout".into()));
}

#[test]
fn what_was_not_consumed_is_passed_again_when_the_peer_is_resumed() {
    for seed in 0..50 {
        let mut stage = Stage::new(seed);
        let [peer, other] = stage.peers();
        stage.order(peer, &["say one", "hold", "say two", "hold", "say three"]);
        for received in ["one", "two", "three"] {
            assert_eq!(stage.received(peer), received, "seed {seed}");
            stage.order(other, &["go 0"]);
        }
        assert_eq!(stage.received(peer), "");
    }
}

#[test]
fn a_paused_connection_that_is_reset_ended_or_stopped_is_closed() {
    let mut stage = Stage::new(1);
    let [reset, ended, stopped, other] = stage.peers();
    stage.order(other, &["pause 0", "pause 1", "pause 2"]);
    stage.told();
    stage.server.net().reset(reset);
    stage.run();
    assert_eq!(stage.told(), ["0 closed: reset by the peer"]);
    stage.server.net().send(ended, b"say x");
    stage.order(other, &["to 1 last", "end 1"]);
    assert_eq!(stage.received(ended), "last");
    stage.server.net().end(ended);
    stage.run();
    assert_eq!(stage.told(), ["1 closed: served"]);
    stage.handle.stop().unwrap();
    stage.pass(60_000);
    assert!(stage.server.is_stopped() && stage.server.net().is_closed(stopped));
}

#[test]
fn a_handler_knows_who_is_behind() {
    let mut stage = Stage::new(1);
    let [slow, other] = stage.peers();
    stage.server.net().set_pace(slow, Some(0));
    stage.order(other, &[&format!("to 0 {}", "x".repeat(100_000)), "behind 0"]);
    stage.order(other, &["behind 0"]);
    stage.server.net().set_pace(slow, None);
    stage.run();
    stage.order(other, &["behind 0"]);
    // It is known at the end of the turn.
    assert_eq!(stage.received(other), "behind: falsebehind: truebehind: false");
}
