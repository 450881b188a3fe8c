//! The services on real sockets: on each endpoint, in each time zone, with unread and urgent bytes.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::SockRef;

use crate::common::{
    DatagramPeer, GREETING, INTRODUCTION, MODELS, Peer, REPLY, Serve, Server, eventually, frame, loopline,
    output,
};
use crate::{assert_is_a_time, hosts};

#[test]
fn every_service_answers_at_each_of_its_endpoints_on_both_families_from_one_thread() {
    let mut endpoints = String::new();
    for service in ["message", "greeting", "daytime", "reply", "month"] {
        for host in ["127.0.0.1", "127.0.0.2", "[::1]"].into_iter().take(hosts()) {
            endpoints.extend([" ", service, "=", host, ":0"]);
        }
    }
    let server = Server::start(&endpoints);
    let mut peers = Vec::new();
    for address in server.addresses("message") {
        let mut peer = Peer::connect(address);
        peer.exchange("héllo");
        peers.push(peer);
    }
    for address in server.addresses("greeting") {
        assert_eq!(Peer::connect(address).receive_text(), GREETING);
    }
    for address in server.addresses("daytime") {
        assert_is_a_time(&Peer::connect(address).receive_text());
    }
    for address in server.addresses("reply") {
        let mut peer = Peer::connect(address);
        peer.send("hello");
        assert_eq!(peer.receive_text(), REPLY);
    }
    for address in server.addresses("month") {
        let caller = DatagramPeer::connect(address);
        let answers = ["hello", "5", " 12\n", "13", "0", "0"].map(|text| caller.request(text));
        let wrong = "Error: expected an integer from 1 to 12, or 0 to end\n";
        assert_eq!(answers, [INTRODUCTION, "May", "December", wrong, "Goodbye", INTRODUCTION]);
    }
    assert_eq!(server.status("Threads"), 1);
    assert_eq!(peers.len(), hosts());
    peers.iter_mut().for_each(|peer| peer.exchange("still there"));
    server.stop_cleanly();
}

#[test]
fn the_servers_side_of_a_stream_ends_with_the_last_answer_and_the_connection_stays() {
    for model in MODELS {
        let server = Serve::new("message=0 --journal none --model").arg(model).start();
        let mut peer = server.connect("message");
        peer.exchange("Disconnect !");
        assert_eq!(peer.receive_text(), "", "the end of the stream");
        // A connection that is closed answers the first byte with a reset, and the second byte fails.
        for _ in 0..2 {
            peer.try_send(b"?").unwrap_or_else(|error| panic!("{model}: half-closed, not closed: {error}"));
        }
    }
}

#[test]
fn the_time_is_that_of_the_zone() {
    let mut zones = vec!["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45"];
    if fs::exists("/usr/share/zoneinfo/Europe/Berlin").unwrap() {
        zones.push("Europe/Berlin");
    }
    for zone in zones {
        for model in MODELS {
            let server = Serve::new("daytime=0 --model").arg(model).env("TZ", zone).start();
            let earliest = unix_seconds();
            let reply = server.connect("daytime").receive_text();
            let possible: Vec<String> = (earliest..=unix_seconds()).map(|now| date(now, zone)).collect();
            assert!(possible.contains(&reply), "{zone}: {reply:?} is none of {possible:?}");
        }
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The output of the program `date`.
pub(crate) fn date(unix_seconds: u64, zone: &str) -> String {
    let mut command = Command::new("date");
    command.env("TZ", zone).env("LC_ALL", "C").arg(format!("-d@{unix_seconds}"));
    let output = command.arg("+%a %b %e %H:%M:%S %Y\r").output().unwrap().stdout;
    String::from_utf8(output).unwrap()
}

#[test]
fn bytes_that_are_never_read_do_not_reset_the_greeting() {
    for model in MODELS {
        let server = Server::start(&format!("greeting=0 daytime=0 --model {model}"));
        for service in ["greeting", "daytime"] {
            for _ in 0..20 {
                let mut peer = server.connect(service);
                peer.send([b'x'; 10_000]);
                eventually("the greeting is there", || peer.peek());
                peer.send([b'x'; 10_000]);
                peer.half_close();
                let reply = peer.receive_text();
                assert_eq!(reply.len(), 26, "{model} {service}: {reply}");
            }
        }
        server.stop_cleanly();
    }
}

#[test]
fn urgent_data_does_not_hide_the_bytes_after_it() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut peer = server.connect("message");
        peer.send(frame("before"));
        SockRef::from(&peer.stream).send_out_of_band(b"!").unwrap();
        peer.send(frame("behind"));
        peer.receive_acknowledgement();
        peer.receive_acknowledgement();
        server.stop_cleanly();
    }
}

#[test]
fn processes_share_a_port_only_with_reuse_port() {
    let first = Server::start("message=0 month=0 --reuse-port");
    let endpoints = format!("message={} month={}", first.address("message"), first.address("month"));
    let second = Server::start(&format!("{endpoints} --reuse-port"));
    assert_eq!(second.address("message"), first.address("message"));
    first.stop_cleanly();
    second.connect("message").exchange("served by the other");
    let refused = output(loopline().arg("serve").args(endpoints.split(' ')));
    assert_eq!(refused.status.code(), Some(1));
}
