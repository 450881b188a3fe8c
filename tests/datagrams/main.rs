//! Datagrams through the kernel: the source address of answers, segmentation offload, batches, which do not change
//! the answers, and errors of sending.

#![allow(clippy::incompatible_msrv, reason = "tests may need a newer compiler")]

#[path = "../common/mod.rs"]
mod common;

mod beyond_loopback;
mod errors;
mod forged;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use common::{INTRODUCTION, MODELS, MONTHS, Serve, Server, WAIT_MAX, Watchdog, eventually, has_no_strace};
use loopline::event_loop::EventLoop;
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;
use loopline::service::month::Month;
use quinn_udp::{Transmit, UdpSocketState};

fn peer_at(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket
}

/// The next datagram, and its source.
fn receive(peer: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (bytes, from) = peer.recv_from(&mut buffer).expect("a datagram is answered");
    (String::from_utf8(buffer[..bytes].to_vec()).unwrap(), from)
}

#[test]
fn a_server_on_all_addresses_answers_from_the_destination_address() {
    for model in MODELS {
        let mut endpoints = "month=0.0.0.0:0".to_owned();
        let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
        if has_ipv6 {
            endpoints += " month=[::]:0";
        }
        let server = Server::start(&format!("{endpoints} --model {model}"));
        for address in server.addresses("month") {
            // A dual-stack socket is reached over IPv4, too.
            let mut clients = vec![("127.0.0.1:0", ["127.0.0.5", "127.0.0.6"])];
            if address.is_ipv6() {
                clients.push(("[::1]:0", ["::1", "::1"]));
            }
            for (peer, hosts) in clients {
                let peer = peer_at(peer);
                let destinations = hosts.map(|host| SocketAddr::new(host.parse().unwrap(), address.port()));
                // All are sent before the first answer is read, so that they may arrive in one batch.
                for destination in destinations.iter().cycle().take(20) {
                    peer.send_to(b"5", destination).unwrap();
                }
                for (count, destination) in destinations.iter().cycle().take(20).enumerate() {
                    let text = if count == 0 { &INTRODUCTION[..3] } else { "May" };
                    assert_eq!(receive(&peer), (text.to_owned(), *destination), "{model}, at {address}");
                }
            }
        }
        server.stop_cleanly();
    }
}

#[test]
fn a_server_on_all_addresses_answers_several_peers_in_one_call() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let calls = "trace=sendto,sendmsg,sendmmsg";
    let server = Serve::traced(&trace, &["-e", calls], "month=0.0.0.0:0 --udp-replies off").start();
    let address = SocketAddr::from(([127, 0, 0, 1], server.address("month").port()));
    let peers: Vec<_> = (0..40).map(|_| peer_at("127.0.0.5:0")).collect();
    // Whether datagrams arrive together depends on the machine.
    eventually("several answers leave in one call", || {
        for peer in &peers {
            peer.send_to(WITNESS, address).unwrap();
        }
        for peer in &peers {
            assert_eq!(receive(peer).1, address);
        }
        let text = std::fs::read_to_string(&trace).unwrap();
        let counts = text.lines().filter(|line| line.contains("sendmmsg(")).filter_map(|line| {
            let (_, count) = line.rsplit_once(" = ")?;
            count.parse().ok()
        });
        let most: usize = counts.max().unwrap_or(0);
        (most >= 4).then_some(())
    });
    server.stop_cleanly();
}

/// A request that is always answered, with or without a session.
const WITNESS: &[u8] = b"5 ";

/// A service at the other end: its answer to what it is sent.
type Talker = fn(&[u8]) -> Vec<u8>;

/// Services that answer whatever they are sent.
const TALKERS: [(&str, Talker); 5] = [
    ("echo", <[u8]>::to_vec),
    ("an echo that shouts", <[u8]>::to_ascii_uppercase),
    ("daytime", |_| b"Sat Nov 21 17:28:50 2026\r\n".to_vec()),
    ("chargen", |_| (b' '..b'~').collect()),
    ("a service with errors in other words", |_| b"ERR unknown command\n".to_vec()),
];

#[test]
fn one_datagram_of_a_service_that_answers_everything_starts_no_loop() {
    for (model, endpoint) in
        MODELS.into_iter().flat_map(|model| [(model, "month=0"), (model, "month=0.0.0.0:0")])
    {
        // The rate would end a loop, too.
        let server = Server::start(&format!("{endpoint} --model {model} --udp-replies off"));
        let address = SocketAddr::from(([127, 0, 0, 1], server.address("month").port()));
        // They stay open: a port that is used again would have the session of its former peer.
        let mut services = Vec::new();
        let witness = peer_at("127.0.0.1:0");
        for (name, talker) in TALKERS {
            for first in [&b"hello"[..], b"5", b"0", b"x", &[b' '; 40]] {
                // As if its address were forged: it sends the first datagram, and then answers.
                let service = peer_at("127.0.0.1:0");
                service.send_to(first, address).unwrap();
                // Another peer is answered after the service was: then nothing more is on its way.
                let mut sent = 0;
                let mut buffer = [0; 2048];
                loop {
                    witness.send_to(WITNESS, address).unwrap();
                    receive(&witness);
                    service.set_nonblocking(true).unwrap();
                    let Ok((bytes, from)) = service.recv_from(&mut buffer) else { break };
                    sent += 1;
                    assert!(
                        sent <= 2,
                        "{model}, {endpoint}: {name} is sent {sent} datagrams after {first:?}"
                    );
                    service.send_to(&talker(&buffer[..bytes]), from).unwrap();
                }
                assert!(sent > 0, "{model}, {endpoint}: {name} is sent nothing after {first:?}");
                services.push(service);
            }
        }
        server.stop_cleanly();
    }
}

#[test]
fn two_servers_pointed_at_each_other_fall_silent() {
    let servers =
        [Server::start("month=0"), Server::start("month=0.0.0.0:0 --model threads --udp-replies off")];
    let addresses = [0, 1].map(|n| SocketAddr::from(([127, 0, 0, 1], servers[n].address("month").port())));
    // They stay open: a port that is used again would have the session of its former peer.
    let (mut used, witness) = (Vec::new(), peer_at("127.0.0.1:0"));
    // Between the servers, as the network that forges the sender of the first datagram, and counts the others.
    for first in [&b"hello"[..], b"5", b"0", b"", b"x", &[b'1'; 1025], &[b' '; 40]] {
        let links = [peer_at("127.0.0.1:0"), peer_at("127.0.0.1:0")];
        links[0].send_to(first, addresses[0]).unwrap();
        let (mut side, mut passed, mut buffer) = (0, 0, [0; 2048]);
        loop {
            witness.send_to(WITNESS, addresses[side]).unwrap();
            receive(&witness);
            links[side].set_nonblocking(true).unwrap();
            let Ok((bytes, _)) = links[side].recv_from(&mut buffer) else { break };
            passed += 1;
            assert!(passed <= 2, "{passed} datagrams after {first:?}");
            side = 1 - side;
            links[side].send_to(&buffer[..bytes], addresses[side]).unwrap();
        }
        used.push(links);
    }
    servers.into_iter().for_each(|server| drop(server.stop_cleanly()));
}

#[test]
fn replies_to_a_network_are_limited_and_the_log_has_one_line() {
    for model in MODELS {
        let server = Server::start(&format!("month=0 message=0 --udp-replies 10 --model {model}"));
        let address = server.address("month");
        let peer = peer_at("127.0.0.1:0");
        for _ in 0..100 {
            peer.send_to(b"hello", address).unwrap();
        }
        // An address of another network is answered, after all of these were received.
        let other = peer_at("127.1.0.1:0");
        other.send_to(b"hello", address).unwrap();
        receive(&other);
        peer.set_nonblocking(true).unwrap();
        let mut answered = 0;
        while peer.recv_from(&mut [0; 2048]).is_ok() {
            answered += 1;
        }
        // On a busy machine a few more, which the time brings.
        assert!((1..50).contains(&answered), "{model}: {answered} of 100 are answered");
        server.connect("message").exchange("served");
        let ended = server.stop_cleanly();
        let lines = ended.log_since_ready().iter().filter(|line| line.contains("--udp-replies")).count();
        assert_eq!(lines, 1, "{model}: {}", ended.log);
    }
}

#[test]
fn datagrams_sent_with_segmentation_offload_are_answered_one_by_one() {
    let server = Server::start("month=0 month=0.0.0.0:0");
    for address in server.addresses("month") {
        let is_at_all_addresses = address.ip().is_unspecified();
        let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port());
        let peer = peer_at("127.0.0.1:0");
        // Probed on another socket, because probing changes the options of a socket.
        let state = UdpSocketState::new((&peer_at("127.0.0.1:0")).into()).unwrap();
        assert!(state.max_gso_segments() > 1, "this system has segmentation offload");
        let contents = b"10 11 12 01 02 03 04 05 06 07 08 09 0";
        let transmit =
            Transmit { destination: address, ecn: None, contents, segment_size: Some(3), src_ip: None };
        state.try_send((&peer).into(), &transmit).unwrap();
        // At all addresses, it is cut to three times the first datagram.
        let introduction = if is_at_all_addresses { &INTRODUCTION[..9] } else { INTRODUCTION };
        let expected = [&[introduction], &MONTHS[10..], &MONTHS[..9], &["Goodbye"]].concat();
        let received: Vec<_> = expected.iter().map(|_| receive(&peer)).collect();
        let expected: Vec<_> = expected.into_iter().map(|text| (text.to_owned(), address)).collect();
        assert_eq!(received, expected);
    }
    server.stop_cleanly();
}

/// The requests that three peers send in turn, before the server answers any.
const REQUESTS: [&[u8]; 13] =
    [b"hello", b"1", b"2", b"3", b"", b" 12\n", b"13", b"5", b"5", b"5", b"5", &[b'1'; 1024], &[b'1'; 1025]];

#[test]
fn batches_do_not_change_the_answers() {
    let answers = |batches: bool| {
        let net = KernelNet::new(SocketOptions { batches, ..SocketOptions::default() }).unwrap();
        let mut server = EventLoop::new(net, Limits { datagrams_per_turn_max: 30, ..Limits::default() });
        let address = server.bind(SocketAddr::from(([127, 0, 0, 1], 0)), Box::new(Month)).unwrap();
        let peers = [(); 3].map(|()| peer_at("127.0.0.1:0"));
        for text in REQUESTS {
            for peer in &peers {
                peer.send_to(text, address).unwrap();
            }
        }
        let _watchdog = Watchdog::start("the server does not receive all datagrams");
        while server.counters().datagrams < (REQUESTS.len() * peers.len()) as u64 {
            let before = server.counters().datagrams;
            server.turn().unwrap();
            assert!(server.counters().datagrams - before <= 30, "a turn takes a bounded number");
        }
        assert_eq!(server.counters().datagrams_unsent, 0);
        peers.map(|peer| {
            REQUESTS.map(|_| receive(&peer)).map(|(text, from)| {
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
