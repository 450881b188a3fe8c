//! Datagrams on the kernel's network, in batches and one a call: the same cases, the same outcome.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::{DatagramSocket, KernelNet};
use crate::conn::token::Source;
use crate::net::sockets::SocketOptions;
use crate::net::{Datagram, DatagramIo, Listen, Poller};

/// How datagrams are received and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    #[cfg(feature = "batches")]
    Batches,
    /// In batches, until the system turns out not to support them.
    #[cfg(feature = "batches")]
    GivenUp,
    OneByOne,
}

const PATHS: &[Path] = &[
    #[cfg(feature = "batches")]
    Path::Batches,
    #[cfg(feature = "batches")]
    Path::GivenUp,
    Path::OneByOne,
];

/// More than fit into any batch of the kernel.
const MANY: usize = 75;

const SLOT_BYTES: usize = 9;

/// How long to wait for what must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Server {
    net: KernelNet,
    socket: DatagramSocket,
    address: SocketAddr,
}

impl Server {
    fn at(path: Path, address: &str) -> Self {
        let options = SocketOptions { batches: path != Path::OneByOne, ..SocketOptions::default() };
        let mut net = KernelNet::new(options).unwrap();
        let (socket, address) = net.bind(address.parse().unwrap(), Source::Socket(0).into()).unwrap();
        #[cfg(feature = "batches")]
        match path {
            Path::GivenUp => socket.batches.give_up(),
            Path::Batches | Path::OneByOne => {}
        }
        #[cfg(feature = "batches")]
        assert_eq!(socket.batches.is_used(), path == Path::Batches, "this system has batches");
        Self { net, socket, address }
    }

    /// Receives `count` datagrams, and whatever is there after them, in batches of up to `slots`.
    fn receive(&mut self, slots: usize, count: usize) -> Vec<(Vec<u8>, Datagram)> {
        let mut all = Vec::new();
        let mut buffer = vec![0; slots * SLOT_BYTES];
        loop {
            let mut received = Vec::new();
            let more =
                self.net.receive_batch(&self.socket, &mut buffer, SLOT_BYTES, &mut received).unwrap_or(true);
            assert!(received.len() <= slots);
            all.extend(received.into_iter().map(|one| (buffer[one.bytes.clone()].to_vec(), one)));
            if !more && all.len() >= count {
                return all;
            }
            // A busy kernel delivers later.
            if !more {
                let mut has_event = false;
                self.net.poll(1, Some(WAIT_MAX), |_| has_event = true).unwrap();
                assert!(has_event, "only {} of {count} datagrams come", all.len());
            }
        }
    }

    /// Sends all, as the loop does, and returns those that failed.
    fn send(&mut self, mut datagrams: &[Datagram], bytes: &[u8]) -> Vec<SocketAddr> {
        let mut failed = Vec::new();
        while let Some(first) = datagrams.first() {
            if let Ok(sent) = self.net.send_batch(&self.socket, datagrams, bytes) {
                assert!(sent > 0, "a batch gets on or says why not");
                datagrams = &datagrams[sent..];
            } else {
                failed.push(first.peer);
                datagrams = &datagrams[1..];
            }
        }
        failed
    }
}

fn peer_at(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket
}

fn heard(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (bytes, from) = peer.recv_from(&mut buffer).expect("a datagram comes");
    (buffer[..bytes].to_vec(), from)
}

#[test]
fn datagrams_come_in_order_each_cut_to_its_slot() {
    for path in PATHS {
        for slots in [1, 2, 5, MANY] {
            let mut server = Server::at(*path, "127.0.0.1:0");
            let peers = [peer_at("127.0.0.1:0"), peer_at("127.0.0.2:0")];
            let mut said = Vec::new();
            for (place, peer) in peers.iter().cycle().take(MANY).enumerate() {
                // From empty to more than a slot holds.
                let text = format!("{place:02}{}", "-".repeat(place % 12)).into_bytes();
                let text = if place % 12 == 1 { Vec::new() } else { text };
                peer.send_to(&text, server.address).unwrap();
                said.push((text[..text.len().min(SLOT_BYTES)].to_vec(), peer.local_addr().unwrap()));
            }
            let come: Vec<_> =
                server.receive(slots, MANY).into_iter().map(|(text, one)| (text, one.peer)).collect();
            assert_eq!(come, said, "{path:?}, {slots} slots");
            assert_eq!(server.receive(slots, 0), []);
        }
    }
}

#[test]
fn an_answer_that_fails_takes_no_other_with_it() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    for path in PATHS {
        for count in [1, 2, 3, 4, 5, 32, 33, MANY] {
            for failing in [vec![], vec![0], vec![count / 2], vec![count - 1], vec![0, count / 2]] {
                let mut server = Server::at(*path, "127.0.0.1:0");
                // First one peer after the other, then the peers in turn.
                let peers = [peer_at("127.0.0.1:0"), peer_at("127.0.0.1:0")];
                let to = |place: usize| &peers[usize::from(place > count / 2 && place % 2 == 0)];
                let bytes: Vec<u8> = (0..count).map(|place| u8::try_from(place).unwrap()).collect();
                let address = |place| to(place).local_addr().unwrap();
                let peer = |place| if failing.contains(&place) { nobody } else { address(place) };
                let datagram = |place| Datagram { bytes: place..place + 1, peer: peer(place), local: None };
                let answers: Vec<_> = (0..count).map(datagram).collect();
                let failed = server.send(&answers, &bytes);
                assert_eq!(failed.len(), answers.iter().filter(|answer| answer.peer == nobody).count());
                for place in (0..count).filter(|place| !failing.contains(place)) {
                    assert_eq!(heard(to(place)), (vec![bytes[place]], server.address), "{path:?}, {count}");
                }
            }
        }
    }
}

#[test]
fn answers_to_one_peer_arrive_each_for_itself_and_in_order() {
    let lengths: [&[usize]; 7] = [
        &[5, 5, 5],
        &[5, 5, 5, 2, 2],
        &[1, 2, 3, 3, 3, 3],
        &[9, 8, 8, 8, 8],
        &[1200; 60],
        &[1201; 4],
        &[7; 150],
    ];
    for path in PATHS {
        for lengths in lengths {
            let mut server = Server::at(*path, "127.0.0.1:0");
            let peer = peer_at("127.0.0.1:0");
            let (mut answers, mut bytes) = (Vec::new(), Vec::new());
            for (place, length) in (0..).zip(lengths) {
                let start = bytes.len();
                bytes.resize(start + length, place);
                answers.push(Datagram {
                    bytes: start..bytes.len(),
                    peer: peer.local_addr().unwrap(),
                    local: None,
                });
            }
            assert_eq!(server.send(&answers, &bytes), []);
            for answer in answers {
                assert_eq!(heard(&peer).0, bytes[answer.bytes], "{path:?}, {lengths:?}");
            }
        }
    }
}

#[test]
fn both_families_are_answered_at_a_socket_for_both() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    for path in PATHS {
        let mut server = Server::at(*path, "[::]:0");
        let peers = [peer_at("127.0.0.1:0"), peer_at("[::1]:0")];
        for peer in &peers {
            let local = SocketAddr::new(peer.local_addr().unwrap().ip(), server.address.port());
            for text in [b"1", b"2"] {
                peer.send_to(text, local).unwrap();
            }
        }
        let come = server.receive(MANY, 4);
        let bytes: Vec<u8> = come.iter().flat_map(|(text, _)| text.clone()).collect();
        let answers: Vec<_> =
            (0..).zip(come).map(|(place, (_, one))| Datagram { bytes: place..place + 1, ..one }).collect();
        assert_eq!(server.send(&answers, &bytes), []);
        for peer in &peers {
            assert_eq!([heard(peer).0, heard(peer).0], [b"1", b"2"], "{path:?}");
        }
    }
}

#[cfg(feature = "batches")]
#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    // The first has a socket that sends from it. Of the others, the machine has only the network.
    let asked = [1, 1, 1, 1, 1, 5, 6, 5, 1, 7, 1].map(|last| std::net::IpAddr::from([127, 0, 0, last]));
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        if UdpSocket::bind(wildcard).is_err() {
            continue;
        }
        let mut server = Server::at(Path::Batches, wildcard);
        let peer = peer_at("127.0.0.1:0");
        for (text, ip) in asked.iter().enumerate() {
            peer.send_to(&[u8::try_from(text).unwrap()], (*ip, server.address.port())).unwrap();
        }
        let come = server.receive(MANY, asked.len());
        let locals: Vec<_> = come.iter().map(|(_, one)| one.local.map(|ip| ip.to_canonical())).collect();
        assert_eq!(locals, asked.map(Some), "{wildcard}");
        let answers: Vec<_> = come
            .into_iter()
            .map(|(text, one)| Datagram { bytes: text[0].into()..usize::from(text[0]) + 1, ..one })
            .collect();
        assert_eq!(server.send(&answers, b"abcdefghijk"), []);
        for (text, ip) in (b'a'..).zip(asked) {
            assert_eq!(heard(&peer), (vec![text], SocketAddr::new(ip, server.address.port())), "{wildcard}");
        }
    }
}

#[cfg(feature = "batches")]
#[test]
fn answers_from_an_address_that_has_a_socket_leave_by_it_or_else_from_that_address_all_the_same() {
    let mut server = Server::at(Path::Batches, "0.0.0.0:0");
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let peers: Vec<_> = (0..MANY).map(|_| peer_at("127.0.0.1:0")).collect();
    let answers: Vec<_> = peers
        .iter()
        .map(|peer| Datagram { bytes: 0..1, peer: peer.local_addr().unwrap(), local: Some(loopback) })
        .collect();
    for sender_fails in [false, true] {
        if sender_fails {
            server.socket.batches.end_sender(loopback);
        }
        let sent = server.net.send_batch(&server.socket, &answers, b"!").unwrap();
        assert_eq!(sent, if sender_fails { 1 } else { quinn_udp::BATCH_SIZE });
        assert_eq!(server.send(&answers[sent..], b"!"), []);
        for peer in &peers {
            assert_eq!(heard(peer), (b"!".to_vec(), SocketAddr::new(loopback, server.address.port())));
        }
    }
}

#[cfg(feature = "batches")]
#[test]
fn an_answer_that_fails_takes_none_from_another_address_with_it() {
    let mut server = Server::at(Path::Batches, "0.0.0.0:0");
    let peer = peer_at("127.0.0.1:0");
    let address = peer.local_addr().unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let five = Some("127.0.0.5".parse().unwrap());
    // From the address of a sender, from another, or from the one that the kernel chooses; to a peer, or to port 0.
    let plan = "NNNNf.fFs.Sss.N.fNfsfffSsssSFsS.F...SF.FssssS";
    let answer = |(place, kind): (usize, char)| Datagram {
        bytes: place..place + 1,
        peer: if kind.is_uppercase() { nobody } else { address },
        local: match kind.to_ascii_lowercase() {
            'f' => five,
            's' => Some("127.0.0.1".parse().unwrap()),
            _ => None,
        },
    };
    let answers: Vec<_> = plan.chars().enumerate().map(answer).collect();
    let failing = plan.chars().filter(|kind| kind.is_uppercase()).count();
    assert_eq!(server.send(&answers, plan.as_bytes()), vec![nobody; failing]);
    for kind in plan.chars().filter(|kind| !kind.is_uppercase()) {
        // That of the sender is also the one that the kernel chooses.
        let from = if kind == 'f' { "127.0.0.5" } else { "127.0.0.1" };
        let (text, source) = heard(&peer);
        assert_eq!((text[0].into(), source.ip().to_string().as_str()), (kind, from));
    }
}

#[cfg(feature = "batches")]
#[test]
fn what_was_sent_to_all_is_answered_from_the_address_that_the_kernel_chooses() {
    let mut server = Server::at(Path::Batches, "0.0.0.0:0");
    let peer = peer_at("127.0.0.1:0");
    peer.set_broadcast(true).unwrap();
    for _ in 0..4 {
        peer.send_to(b"?", ("127.255.255.255", server.address.port())).unwrap();
    }
    let answers: Vec<_> =
        server.receive(MANY, 4).into_iter().map(|(_, one)| Datagram { bytes: 0..1, ..one }).collect();
    assert_eq!(answers.len(), 4);
    assert_eq!(server.send(&answers, b"!"), []);
    for _ in 0..4 {
        assert_eq!(
            heard(&peer),
            (b"!".to_vec(), SocketAddr::new([127, 0, 0, 1].into(), server.address.port()))
        );
    }
}
