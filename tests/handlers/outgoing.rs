//! Connections that a handler opens to other servers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loopline::CloseReason;
use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, ConnId, Context, Handler};
use loopline::limits::Limits;
use loopline::sim::{SimNet, SimPeer};

use crate::script::Stage;

const SEEDS: std::ops::Range<u64> = 0..50;

fn remote() -> SocketAddr {
    "203.0.113.1:80".parse().unwrap()
}

/// A stage with a client, whose connection is number 0, and which has asked for number 1.
fn connect(seed: u64, limits: Limits) -> (Stage, SimPeer) {
    let mut stage = Stage::with(seed, limits);
    let [client] = stage.peers();
    stage.order(client, &["connect 1000 80"]);
    (stage, client)
}

/// The same, and the connection is open.
fn connected(seed: u64) -> (Stage, SimPeer, SimPeer) {
    let mut stage = Stage::new(seed);
    stage.server.net().add_remote(remote());
    let [client] = stage.peers();
    stage.order(client, &["connect 1000 80"]);
    let server = stage.server.net().accept_remote(remote()).unwrap();
    assert_eq!(stage.told()[1..], ["1 opened by 203.0.113.1"]);
    (stage, client, server)
}

#[test]
fn a_connection_that_another_server_accepts_is_like_any_other() {
    for seed in SEEDS {
        let (mut stage, client, server) = connected(seed);
        stage.order(client, &["to 1 question"]);
        assert_eq!(stage.received(server), "question");
        stage.order(server, &["to 0 answer", "say thanks", "after 10"]);
        stage.pass(10);
        assert_eq!(
            (stage.received(client).as_str(), stage.received(server).as_str()),
            ("answer", "thanks(timer)")
        );
        stage.server.net().end(server);
        stage.run();
        assert_eq!(stage.told(), ["1 timer", "1 ended", "1 closed: served"], "seed {seed}");
        assert!(stage.server.net().is_closed(server) && !stage.server.net().is_closed(client));
        assert_eq!(stage.server.connections(), 1);
    }
}

#[test]
fn a_connection_that_is_refused_or_not_accepted_in_time_has_failed() {
    for seed in SEEDS {
        let (mut stage, client) = connect(seed, Limits::default());
        assert_eq!(stage.told()[1..], ["1 not connected: connection refused"]);
        stage.server.net().add_silent_remote(remote());
        stage.order(client, &["connect 1000 80"]);
        stage.pass(999);
        assert!(stage.told().is_empty());
        stage.pass(1);
        assert_eq!(stage.told(), ["2 not connected: timed out"]);
        assert_eq!(stage.server.counters().closed(CloseReason::NotConnected), 2);
        assert_eq!(stage.server.connections(), 1);
    }
}

#[test]
fn the_timeout_of_a_connection_that_is_open_does_not_expire() {
    let (mut stage, ..) = connected(1);
    stage.pass(1000);
    assert!(stage.told().is_empty());
    assert_eq!(stage.server.connections(), 2);
}

#[test]
fn what_is_sent_before_there_is_a_connection_comes_first() {
    for seed in SEEDS {
        let mut stage = Stage::new(seed);
        stage.server.net().add_remote(remote());
        let [client] = stage.peers();
        let text = "x".repeat(50_000);
        stage.order(client, &["connect 1000 80", "to 1 first ", &format!("to 1 {text}"), "to 1  last"]);
        let server = stage.server.net().accept_remote(remote()).unwrap();
        stage.order(client, &["to 1 and more"]);
        assert_eq!(stage.received(server), format!("first {text} lastand more"), "seed {seed}");
    }
}

#[test]
fn what_waits_for_a_server_that_does_not_accept_is_limited() {
    let mut stage = Stage::with(1, Limits { unsent_bytes_max: 10_000, ..Limits::default() });
    stage.server.net().add_silent_remote(remote());
    let [client] = stage.peers();
    stage.order(client, &["connect 1000 80"]);
    let text = "x".repeat(9000);
    for _ in 0..3 {
        stage.order(client, &[&format!("to 1 {text}")]);
    }
    assert_eq!(stage.told()[1..], ["1 not connected: it did not take what others sent it"]);
    // The write timeout is not that of a connection.
    let timeout = Some(Duration::from_millis(500));
    let mut stage = Stage::with(1, Limits { write_timeout: timeout, ..Limits::default() });
    stage.server.net().add_silent_remote(remote());
    let [client] = stage.peers();
    stage.order(client, &["connect 1000 80", "to 1 text"]);
    stage.pass(1000);
    assert_eq!(stage.told()[1..], ["1 not connected: timed out"]);
}

#[test]
fn our_side_can_end_while_the_other_goes_on_to_send() {
    for seed in SEEDS {
        let (mut stage, client, server) = connected(seed);
        stage.server.net().set_pace(server, Some(10));
        stage.order(client, &["to 1 a long question, taken in parts", "shut 1", "to 1 nothing"]);
        assert_eq!(stage.received(server), "a long question, taken in parts");
        assert!(stage.server.net().has_ended(server) && !stage.server.net().is_closed(server));
        stage.order(server, &["to 0 answer", "say nothing", "after 10"]);
        stage.pass(10);
        assert_eq!((stage.received(client).as_str(), stage.received(server).as_str()), ("answer", ""));
        stage.server.net().send(server, b"to 0  and more\n");
        stage.server.net().end(server);
        stage.run();
        assert_eq!(stage.received(client), " and more");
        assert_eq!(stage.told(), ["1 timer", "1 ended", "1 closed: served"], "seed {seed}");
        assert!(stage.server.net().is_closed(server) && !stage.server.net().is_reset(server));
    }
}

#[test]
fn our_side_can_end_before_there_is_a_connection_and_after_the_other_has() {
    for seed in SEEDS {
        let mut stage = Stage::new(seed);
        stage.server.net().add_remote(remote());
        let [client] = stage.peers();
        let text = if seed % 2 == 0 { "to 1 question" } else { "say x" };
        stage.order(client, &["connect 1000 80", text, "shut 1"]);
        let server = stage.server.net().accept_remote(remote()).unwrap();
        assert_eq!(stage.received(server), if seed % 2 == 0 { "question" } else { "" });
        assert!(stage.server.net().has_ended(server) && !stage.server.net().is_closed(server));
        stage.order(server, &["to 0 answer", "end"]);
        stage.received(client);
        // The other one has ended its side first, and stays open until ours ends.
        stage.order(client, &["stay"]);
        stage.server.net().end(client);
        stage.run();
        assert!(!stage.server.net().is_closed(client));
        let [third] = stage.peers();
        stage.order(third, &["to 0 last", "shut 0", "to 0 nothing"]);
        assert_eq!(stage.received(client), "last");
        assert!(stage.server.net().is_closed(client), "seed {seed}");
    }
}

#[test]
fn a_connection_that_is_aborted_is_reset() {
    for seed in SEEDS {
        let (mut stage, client, server) = connected(seed);
        stage.order(client, &["abort 1", "to 1 nothing"]);
        assert!(stage.server.net().is_reset(server) && stage.server.net().is_closed(server));
        assert_eq!(stage.told(), ["1 closed: served"]);
    }
}

#[test]
fn a_connection_can_be_given_up_before_it_is_open() {
    for order in ["end 1", "abort 1"] {
        let mut stage = Stage::new(1);
        stage.server.net().add_silent_remote(remote());
        let [client] = stage.peers();
        stage.order(client, &["connect 1000 80", "to 1 text", order]);
        assert_eq!(stage.told()[1..], ["1 not connected: its handler has given it up"], "{order}");
        stage.pass(1000);
        assert!(stage.told().is_empty());
    }
    let mut stage = Stage::new(1);
    stage.server.net().add_silent_remote(remote());
    let [client] = stage.peers();
    stage.order(client, &["connect 100000 80"]);
    stage.told();
    stage.handle.stop().unwrap();
    stage.pass(60_000);
    let mut told = stage.told();
    told.sort();
    assert_eq!(told, ["0 closed: the server stopped", "1 not connected: the server stopped"]);
}

#[test]
fn they_count_as_connections_of_the_server_and_not_of_a_source() {
    let limits = Limits { connections_per_source_max: Some(1), connections_max: 3, ..Limits::default() };
    let mut stage = Stage::with(1, limits);
    stage.server.net().add_remote(remote());
    let [client] = stage.peers();
    stage.order(client, &["connect 1000 80", "connect 1000 80", "connect 1000 80"]);
    assert_eq!(
        stage.told()[1..],
        [
            "no connection: the server has as many connections as it may have",
            "1 opened by 203.0.113.1",
            "2 opened by 203.0.113.1"
        ]
    );
    let refused = stage.peers::<1>()[0];
    assert_eq!(stage.received(refused), "refused: the server is full, it serves 3 connections");
    // The reserve for those that are refused is not theirs.
    stage.order(client, &["connect 1000 80", "end 1"]);
    let server = stage.server.net().accept_remote(remote()).unwrap();
    stage.server.net().end(server);
    stage.run();
    stage.order(client, &["connect 1000 80"]);
    assert_eq!(
        stage.told(),
        [
            "no connection: the server has as many connections as it may have",
            "1 closed: served",
            "3 opened by 203.0.113.1"
        ]
    );
}

/// A handler that wants to have its connection back, whatever happens.
struct Persistent(Arc<Mutex<Vec<String>>>);

impl Handler for Persistent {
    type Conn = ();
    type Message = ();

    fn opened(&mut self, cx: &mut ConnContext<'_>) {
        self.0.lock().unwrap().push(format!("opened {}", cx.peer()));
    }

    fn received(&mut self, _conn: &mut (), unread: &[u8], _cx: &mut ConnContext<'_>) -> usize {
        unread.len()
    }

    fn closed(&mut self, _id: ConnId, (): (), reason: CloseReason, cx: &mut Context<'_>) {
        let again = cx.connect(remote(), Duration::from_secs(1)).map(drop);
        self.0.lock().unwrap().push(format!("closed: {reason}, then {again:?}"));
    }

    fn message(&mut self, (): (), cx: &mut Context<'_>) {
        cx.connect(remote(), Duration::from_secs(1)).unwrap();
    }
}

#[test]
fn a_handler_connects_again_until_the_server_has_stopped() {
    let told = Arc::default();
    let mut server = EventLoop::new(SimNet::new(1), Limits::default());
    server.net().add_remote(remote());
    let handle = server.add_handler(Persistent(Arc::clone(&told))).unwrap();
    handle.post(()).unwrap();
    server.run_until_quiet().unwrap();
    let peer = server.net().accept_remote(remote()).unwrap();
    server.net().reset(peer);
    server.run_until_quiet().unwrap();
    handle.stop().unwrap();
    handle.stop().unwrap();
    server.run_until_quiet().unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        [
            "opened 203.0.113.1:80",
            "closed: reset by the peer, then Ok(())",
            "opened 203.0.113.1:80",
            "closed: the server stopped, then Err(Custom { kind: Other, error: \"the server has stopped\" })"
        ]
    );
    assert_eq!(server.connections(), 0);
}
