//! Connections of proxies: the header names the peer, and nothing happens before it.

use std::time::Duration;

use loopline::CloseReason;
use loopline::limits::Limits;
use loopline::service::greeting::GREETING;

use crate::log::logged;
use crate::proxy_headers::{BINARY, LINE, LOCAL, line_of};
use crate::sim::run::SERVICES;
use crate::sim::scene::{MESSAGE, Scene, framed};

/// The listeners that expect a header.
const PROXIED_MESSAGE: usize = SERVICES;
const PROXIED_GREETING: usize = SERVICES + 1;

const SECOND: Duration = Duration::from_secs(1);

/// A proxy connects to `listener`, and is accepted.
fn connect(scene: &mut Scene, listener: usize) -> usize {
    let peer = scene.connect_with(listener, 1 << 20);
    scene.turns(2);
    peer
}

fn journal(scene: &mut Scene) -> String {
    String::from_utf8(scene.net().disk.lock().unwrap().written.clone()).unwrap()
}

#[test]
fn a_header_may_be_cut_anywhere_and_the_journal_names_the_client() {
    for header in [LINE, BINARY] {
        let wire = [header, &framed("text")].concat();
        for cut in 1..wire.len() {
            let mut scene = Scene::new(&Limits::default());
            let peer = connect(&mut scene, PROXIED_MESSAGE);
            scene.send(peer, &wire[..cut]);
            scene.turns(2);
            assert_eq!(scene.acknowledged(peer), 0, "{cut}");
            scene.send(peer, &wire[cut..]);
            scene.turns(2);
            assert_eq!(scene.acknowledged(peer), 1, "{cut}");
            assert_eq!(journal(&mut scene), "[192.0.2.1:56324] text\n");
        }
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_read_and_more_messages_follow() {
    let mut scene = Scene::new(&Limits::default());
    let peer = connect(&mut scene, PROXIED_MESSAGE);
    for byte in [BINARY, &framed("one")].concat() {
        scene.send(peer, &[byte]);
        scene.turns(2);
    }
    scene.send(peer, &framed("two").repeat(3));
    scene.turns(2);
    assert_eq!(scene.acknowledged(peer), 4);
    scene.wire(peer).end();
    scene.turns(2);
    assert_eq!((scene.closed(CloseReason::Served), scene.run.server.connections()), (1, 0));
}

#[test]
fn messages_behind_the_header_in_one_segment_are_acknowledged_and_a_frame_begun_has_its_deadline() {
    let mut scene = Scene::new(&Limits { frame_timeout: Some(2 * SECOND), ..Limits::default() });
    let peer = connect(&mut scene, PROXIED_MESSAGE);
    scene.send(peer, &[LINE, &framed("one"), &framed("two"), &framed("three")[..66]].concat());
    scene.turns(2);
    assert_eq!(scene.acknowledged(peer), 2);
    scene.pass(2 * SECOND);
    assert_eq!(scene.closed(CloseReason::FrameTimeout), 1);
}

#[test]
fn a_service_that_speaks_first_does_so_behind_the_header() {
    let mut scene = Scene::new(&Limits::default());
    let peer = connect(&mut scene, PROXIED_GREETING);
    scene.send(peer, &LINE[..30]);
    scene.turns(2);
    assert_eq!(scene.wire(peer).sent, b"");
    scene.send(peer, &LINE[30..]);
    scene.turns(2);
    assert_eq!(scene.wire(peer).sent, GREETING.as_bytes());
    assert!(scene.wire(peer).server_ended.is_some());
    scene.wire(peer).end();
    scene.turns(2);
    assert_eq!(scene.closed(CloseReason::Served), 1);
}

#[test]
fn a_proxy_that_speaks_for_itself_or_knows_no_client_keeps_its_address() {
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut scene = Scene::new(&Limits::default());
        let peer = connect(&mut scene, PROXIED_MESSAGE);
        scene.send(peer, &[header, &framed("text")].concat());
        scene.turns(2);
        assert_eq!(journal(&mut scene), "[10.0.0.0:4000] text\n");
    }
}

#[test]
fn an_ipv6_client_and_a_client_without_a_port_are_named_too() {
    let mut scene = Scene::new(&Limits::default());
    for header in ["TCP6 2001:db8::1 2001:db8::2 56324 443", "TCP6 ::ffff:192.0.2.1 ::1 0 0"] {
        let peer = connect(&mut scene, PROXIED_MESSAGE);
        scene.send(peer, &[format!("PROXY {header}\r\n").as_bytes(), &framed("text")].concat());
        scene.turns(2);
    }
    assert_eq!(journal(&mut scene), "[[2001:db8::1]:56324] text\n[192.0.2.1:0] text\n");
}

#[test]
fn a_header_has_five_seconds_from_the_connect_whatever_comes() {
    let mut scene = Scene::new(&Limits::default());
    let silent = connect(&mut scene, PROXIED_MESSAGE);
    let dripping = connect(&mut scene, PROXIED_GREETING);
    for byte in &LINE[..4] {
        scene.send(dripping, &[*byte]);
        scene.pass(SECOND);
    }
    scene.pass(Duration::from_millis(999));
    assert!(!scene.is_closed(silent) && !scene.is_closed(dripping));
    scene.pass(Duration::from_millis(1));
    assert!(scene.is_closed(silent) && scene.is_closed(dripping));
    assert_eq!(scene.closed(CloseReason::ProxyHeaderTimeout), 2);
    // What is behind the header is no concern of this deadline.
    let served = connect(&mut scene, PROXIED_MESSAGE);
    scene.send(served, LINE);
    scene.turns(2);
    scene.pass(60 * SECOND);
    scene.send(served, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(served), 1);
}

#[test]
fn ten_thousand_proxies_that_send_no_header_are_closed_after_five_seconds() {
    const PEERS: usize = 10_000;
    let mut scene = Scene::new(&Limits { connections_max: PEERS, ..Limits::default() });
    for peer in 0..PEERS {
        scene.connect_with(PROXIED_MESSAGE, 2000);
        scene.send(peer, &BINARY[..peer % BINARY.len()]);
    }
    scene.turns(PEERS / 256 + 20);
    assert_eq!(scene.run.server.connections(), PEERS);
    scene.pass(5 * SECOND);
    scene.turns(20);
    assert_eq!((scene.closed(CloseReason::ProxyHeaderTimeout), scene.run.server.connections()), (10_000, 0));
}

#[test]
fn what_is_no_header_is_refused_with_the_reason_and_nothing_is_journaled() {
    let beyond: Vec<u8> = [&BINARY[..14], &[0xff, 0xff]].concat();
    for (bytes, reason) in [
        (framed("text"), "expected a PROXY header, and received '4               '"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x11".to_vec(),
            "bad PROXY header: its version is not 2, or its command neither LOCAL nor PROXY",
        ),
        (beyond, "bad PROXY header: it announces 65551 bytes, the limit is 1024"),
        (b"PROXY TCP4 1.2.3.4\r\n".to_vec(), "bad PROXY header: Header missing source port"),
    ] {
        let mut scene = Scene::new(&Limits { connections_per_source_max: Some(1), ..Limits::default() });
        let peer = connect(&mut scene, PROXIED_MESSAGE);
        scene.send(peer, &bytes);
        scene.turns(2);
        let sent = String::from_utf8(scene.wire(peer).sent.clone()).unwrap();
        assert_eq!(sent, String::from_utf8(framed(&format!("Error: {reason}"))).unwrap());
        assert!(scene.wire(peer).server_ended.is_some());
        scene.wire(peer).end();
        scene.turns(2);
        assert_eq!((scene.closed(CloseReason::BadProxyHeader), scene.run.server.connections()), (1, 0));
        assert_eq!(journal(&mut scene), "");
    }
}

#[test]
fn a_header_at_an_endpoint_that_expects_none_is_bad_input() {
    for header in [LINE, BINARY] {
        let mut scene = Scene::new(&Limits::default());
        let peer = scene.connect_with(MESSAGE, 1000);
        scene.send(peer, &[header, &framed("text")].concat());
        scene.turns(3);
        scene.wire(peer).end();
        scene.turns(3);
        assert_eq!((scene.closed(CloseReason::BadInput), journal(&mut scene)), (1, String::new()));
    }
}

#[test]
fn a_second_header_is_bad_input() {
    let mut scene = Scene::new(&Limits::default());
    let peer = connect(&mut scene, PROXIED_MESSAGE);
    scene.send(peer, &[LINE, LINE].concat());
    scene.turns(2);
    scene.wire(peer).end();
    scene.turns(2);
    assert_eq!(scene.closed(CloseReason::BadInput), 1);
}

#[test]
fn a_connection_that_ends_before_a_header_only_probes_and_one_inside_it_is_bad() {
    let mut scene = Scene::new(&Limits { connections_per_source_max: Some(1), ..Limits::default() });
    let [ended, reset, cut] = [(); 3].map(|()| connect(&mut scene, PROXIED_MESSAGE));
    scene.send(cut, &LINE[..20]);
    scene.turns(2);
    scene.wire(ended).end();
    scene.wire(reset).reset();
    scene.wire(cut).end();
    scene.turns(3);
    let closed = [CloseReason::NoProxyHeader, CloseReason::BadProxyHeader].map(|reason| scene.closed(reason));
    assert_eq!((closed, scene.run.server.connections()), ([2, 1], 0));
}

#[test]
fn the_limit_of_a_source_is_that_of_the_client_and_not_of_the_proxy() {
    for refusals_max in [1, 9] {
        let limits = Limits { connections_per_source_max: Some(1), refusals_max, ..Limits::default() };
        let mut scene = Scene::new(&limits);
        let connect_client = |scene: &mut Scene, client: &str| {
            let peer = connect(scene, PROXIED_MESSAGE);
            // All of one proxy.
            scene.send(peer, &[&line_of(client)[..], &framed("text")].concat());
            scene.turns(2);
            peer
        };
        let first = connect_client(&mut scene, "192.0.2.1");
        let other = connect_client(&mut scene, "192.0.2.2");
        assert_eq!([first, other].map(|peer| scene.acknowledged(peer)), [1, 1]);
        let reason = framed("Error: your address has 1 connections, which is the limit");
        let refused: Vec<usize> = (0..3).map(|_| connect_client(&mut scene, "192.0.2.1")).collect();
        // With one place for refusals, the others are closed at once.
        for (index, peer) in refused.iter().enumerate() {
            assert_eq!(scene.wire(*peer).sent, reason);
            assert_eq!(scene.is_closed(*peer), refusals_max == 1 && index > 0);
            scene.wire(*peer).end();
        }
        scene.wire(first).end();
        scene.turns(3);
        assert_eq!((scene.closed(CloseReason::SourceFull), scene.run.server.connections()), (3, 1));
        let next = connect_client(&mut scene, "192.0.2.1");
        assert_eq!(scene.acknowledged(next), 1);
    }
}

#[test]
fn a_refused_client_that_lingers_takes_no_place_of_another() {
    let limits = Limits {
        connections_max: 2,
        connections_per_source_max: Some(1),
        refusals_max: 9,
        ..Limits::default()
    };
    let mut scene = Scene::new(&limits);
    let acknowledged = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|client| {
        let peer = connect(&mut scene, PROXIED_MESSAGE);
        scene.send(peer, &[&line_of(client)[..], &framed("text")].concat());
        scene.turns(2);
        scene.wire(peer).sent == framed("Message received successfully....")
    });
    assert_eq!(acknowledged, [true, false, true]);
}

#[test]
fn a_full_server_refuses_a_proxy_before_its_header() {
    let mut scene = Scene::new(&Limits { connections_max: 1, refusals_max: 1, ..Limits::default() });
    let served = connect(&mut scene, PROXIED_MESSAGE);
    let reason = framed("Error: the server is full, it serves 1 connections");
    for is_closed in [false, true] {
        let refused = connect(&mut scene, PROXIED_MESSAGE);
        assert_eq!(scene.wire(refused).sent, reason);
        assert_eq!(scene.is_closed(refused), is_closed);
    }
    scene.send(served, &[LINE, &framed("text")].concat());
    scene.turns(2);
    assert_eq!(scene.acknowledged(served), 1);
}

#[test]
fn at_a_stop_a_connection_without_a_byte_is_closed_and_a_header_that_has_begun_is_finished() {
    let mut scene = Scene::new(&Limits { drain_linger_timeout: Duration::ZERO, ..Limits::default() });
    let [silent, begun, complete] = [(); 3].map(|()| connect(&mut scene, PROXIED_MESSAGE));
    scene.send(begun, &LINE[..20]);
    scene.send(complete, LINE);
    scene.turns(2);
    scene.net().request_stop();
    scene.turns(4);
    assert!(scene.is_closed(silent) && scene.is_closed(complete) && !scene.is_closed(begun));
    assert_eq!(scene.closed(CloseReason::Stopped), 2);
    scene.send(begun, &[&LINE[20..], &framed("text")].concat());
    scene.turns(2);
    assert_eq!(scene.acknowledged(begun), 1);
    assert!(scene.wire(begun).server_ended.is_some());
    scene.wire(begun).end();
    scene.turns(2);
    assert!(scene.run.server.is_stopped());
}

#[test]
fn a_connection_whose_header_was_complete_just_before_a_stop_has_time_for_its_first_frame() {
    let mut scene = Scene::new(&Limits::default());
    scene.pass(SECOND);
    let peer = connect(&mut scene, PROXIED_MESSAGE);
    scene.send(peer, LINE);
    scene.turns(2);
    scene.net().request_stop();
    scene.turns(4);
    assert!(scene.wire(peer).server_ended.is_none());
    scene.send(peer, &framed("text"));
    scene.turns(2);
    assert_eq!(scene.acknowledged(peer), 1);
    assert!(scene.wire(peer).server_ended.is_some());
}

#[test]
fn a_header_that_arrives_with_the_stop_is_read_and_one_that_never_ends_does_not_delay_it() {
    let mut scene = Scene::new(&Limits::default());
    let [late, cut] = [(); 2].map(|()| connect(&mut scene, PROXIED_MESSAGE));
    scene.send(cut, &LINE[..20]);
    scene.turns(2);
    scene.net().request_stop();
    scene.send(late, &[LINE, &framed("text")].concat());
    scene.turns(4);
    assert_eq!(scene.acknowledged(late), 1);
    scene.wire(late).end();
    scene.turns(1);
    scene.pass(5 * SECOND);
    assert_eq!((scene.closed(CloseReason::ProxyHeaderTimeout), scene.run.server.is_stopped()), (1, true));
}

#[test]
fn a_header_is_not_read_while_the_journal_has_no_room_and_that_is_not_the_peers_delay() {
    let mut scene = Scene::new(&Limits { journal_bytes_max: 10, ..Limits::default() });
    let [first, second] = [(); 2].map(|()| connect(&mut scene, PROXIED_MESSAGE));
    scene.block_journal();
    scene.send(first, &[LINE, &framed("text")].concat());
    scene.turns(2);
    scene.send(second, &[LINE, &framed("text")].concat());
    scene.turns(2);
    assert!(!scene.wire(second).to_server.is_empty(), "it is not read");
    scene.pass(20 * SECOND);
    scene.release_journal();
    scene.turns(4);
    assert_eq!([first, second].map(|peer| scene.acknowledged(peer)), [1, 1]);
}

#[test]
fn a_bad_or_missing_header_is_logged_once_and_connections_that_only_probe_are_not() {
    let mut scene = Scene::new(&Limits::default());
    let lines = logged(|| {
        for _ in 0..3 {
            let peer = connect(&mut scene, PROXIED_MESSAGE);
            scene.wire(peer).end();
            let peer = connect(&mut scene, PROXIED_MESSAGE);
            scene.wire(peer).reset();
            scene.turns(2);
        }
        assert_eq!(scene.closed(CloseReason::NoProxyHeader), 6);
        for _ in 0..3 {
            let peer = connect(&mut scene, PROXIED_MESSAGE);
            scene.send(peer, b"GET / HTTP/1.1\r\n\r\n");
            connect(&mut scene, PROXIED_MESSAGE);
        }
        scene.turns(2);
        scene.pass(Duration::from_secs(5));
    });
    assert_eq!(
        lines,
        [
            "WARN 127.0.0.1:1: 10.0.0.6:4000 refused: expected a PROXY header, and received 'GET / HTTP/1.1\\r\\n'",
            "WARN 127.0.0.1:1: [2001:db8::7]:4000: no complete PROXY header at its timeout",
        ]
    );
}
