//! Datagrams as the kernel carries them: from which address answers leave, what was sent in one piece, and
//! that batches change nothing of what is answered.

#![allow(clippy::incompatible_msrv, reason = "tests may need a newer compiler")]

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::{INTRODUCTION, MONTHS, Server};
use loopline::event_loop::EventLoop;
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;
use loopline::service::month::Month;
use quinn_udp::{Transmit, UdpSocketState};

fn peer_at(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// The next datagram, and where it came from.
fn heard(peer: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (bytes, from) = peer.recv_from(&mut buffer).expect("a datagram is answered");
    (String::from_utf8(buffer[..bytes].to_vec()).unwrap(), from)
}

#[test]
fn a_server_at_all_addresses_answers_from_the_one_that_was_asked() {
    let mut endpoints = "month=0.0.0.0:0".to_owned();
    let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    if has_ipv6 {
        endpoints += " month=[::]:0";
    }
    let server = Server::start(&endpoints);
    for address in server.addresses("month") {
        // An address of IPv4 is asked at the socket for both families, too.
        let mut asked = vec![("127.0.0.1:0", ["127.0.0.5", "127.0.0.6"])];
        if address.is_ipv6() {
            asked.push(("[::1]:0", ["::1", "::1"]));
        }
        for (peer, hosts) in asked {
            let peer = peer_at(peer);
            let places = hosts.map(|host| SocketAddr::new(host.parse().unwrap(), address.port()));
            // All wait before the first is answered, so that they may come in one batch.
            for place in places.iter().cycle().take(20) {
                peer.send_to(b"5", place).unwrap();
            }
            for (count, place) in places.iter().cycle().take(20).enumerate() {
                let text = if count == 0 { INTRODUCTION } else { "May" };
                assert_eq!(heard(&peer), (text.to_owned(), *place), "at {address}");
            }
        }
    }
    server.stop_well();
}

#[test]
fn datagrams_that_were_sent_in_one_piece_are_answered_one_by_one() {
    let server = Server::start("month=0 month=0.0.0.0:0");
    for address in server.addresses("month") {
        let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port());
        let peer = peer_at("127.0.0.1:0");
        // Of another socket, so that nothing of this one changes.
        let state = UdpSocketState::new((&peer_at("127.0.0.1:0")).into()).unwrap();
        assert!(state.max_gso_segments() > 1, "this system sends several in one piece");
        let contents = b"10 11 12 01 02 03 04 05 06 07 08 09 0";
        let transmit =
            Transmit { destination: address, ecn: None, contents, segment_size: Some(3), src_ip: None };
        state.try_send((&peer).into(), &transmit).unwrap();
        let expected = [&[INTRODUCTION], &MONTHS[10..], &MONTHS[..9], &["Goodbye"]].concat();
        let heard: Vec<_> = expected.iter().map(|_| heard(&peer)).collect();
        let expected: Vec<_> = expected.into_iter().map(|text| (text.to_owned(), address)).collect();
        assert_eq!(heard, expected);
    }
    server.stop_well();
}

/// What is asked by three peers in turn, before anything is answered.
const ASKED: [&[u8]; 13] =
    [b"hello", b"1", b"2", b"3", b"", b" 12\n", b"13", b"5", b"5", b"5", b"5", &[b'1'; 1024], &[b'1'; 1025]];

#[test]
fn batches_change_nothing_of_what_is_answered() {
    let answers = |batches: bool| {
        let net = KernelNet::new(SocketOptions { batches, ..SocketOptions::default() }).unwrap();
        let mut server = EventLoop::new(net, Limits { datagrams_per_turn_max: 30, ..Limits::default() });
        let address = server.bind(SocketAddr::from(([127, 0, 0, 1], 0)), Box::new(Month)).unwrap();
        let peers = [(); 3].map(|()| peer_at("127.0.0.1:0"));
        for text in ASKED {
            for peer in &peers {
                peer.send_to(text, address).unwrap();
            }
        }
        while server.counters().datagrams < (ASKED.len() * peers.len()) as u64 {
            let before = server.counters().datagrams;
            server.turn().unwrap();
            assert!(server.counters().datagrams - before <= 30, "a turn takes a bounded number");
        }
        assert_eq!(server.counters().datagrams_unsent, 0);
        peers.map(|peer| {
            ASKED.map(|_| heard(&peer)).map(|(text, from)| {
                assert_eq!(from, address);
                text
            })
        })
    };
    let by_batch = answers(true);
    assert_eq!(by_batch, answers(false));
    let number = "Error: expected an integer from 1 to 12, or 0 to end\n";
    let long = "Error: expected an integer from 0 to 12, the datagram is longer than 1024 bytes\n";
    let may = "May";
    let expected = [
        INTRODUCTION,
        "January",
        "February",
        "March",
        number,
        "December",
        number,
        may,
        may,
        may,
        may,
        number,
        long,
    ];
    for answers in by_batch {
        assert_eq!(answers, expected);
    }
}
