//! Datagrams whose source is forged, sent through a raw socket.
//!
//! `LOOPLINE_FORGED=1000000` is the number of forged sources in the long form.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::common::{
    DatagramPeer, INTRODUCTION, MODELS, Network, Serve, Server, eventually, in_namespace, program_behind_link,
};

/// Sends a datagram that seems to come from `source`.
pub(crate) fn forge(source: SocketAddrV4, destination: SocketAddr, payload: &[u8]) {
    Forger::new().send(source, destination, payload);
}

/// A socket for packets with their headers.
struct Forger(Socket);

impl Forger {
    fn new() -> Self {
        /// `IPPROTO_RAW`
        const RAW: i32 = 255;
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).unwrap())
    }

    fn send(&self, source: SocketAddrV4, destination: SocketAddr, payload: &[u8]) {
        let SocketAddr::V4(to) = destination else { panic!("forged datagrams are IPv4") };
        let bytes = |number: usize| u16::try_from(number).unwrap().to_be_bytes();
        // The kernel fills in the length and the checksum of the IPv4 header. A UDP checksum of 0 is none.
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend(source.ip().octets());
        packet.extend(to.ip().octets());
        packet.extend(source.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(bytes(8 + payload.len()));
        packet.extend([0, 0]);
        packet.extend(payload);
        self.0.send_to(&packet, &destination.into()).unwrap();
    }
}

/// Begins to receive copies of all IPv4 datagrams of this namespace. Returns what counts those from `port`.
pub(crate) fn received_from(port: u16) -> impl Fn() -> usize {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from(socket);
    move || {
        let mut packet = [0; 2048];
        let mut count = 0;
        while socket.recv(&mut packet).is_ok() {
            count += usize::from(packet[20..22] == port.to_be_bytes());
        }
        count
    }
}

#[test]
fn a_datagram_that_seems_to_come_from_the_server_itself_is_not_answered() {
    in_namespace(
        a_datagram_that_seems_to_come_from_the_server_itself_is_not_answered,
        Network::Loopback,
        || {
            for model in MODELS {
                for endpoint in ["month=0", "month=0.0.0.0:0"] {
                    let server = Server::start(&format!("{endpoint} --model {model} --udp-replies off"));
                    let port = server.address("month").port();
                    let own = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
                    let sniffer = received_from(port);
                    for payload in [&b"hello"[..], b"5", b"", b"x"] {
                        forge(own, own.into(), payload);
                    }
                    DatagramPeer::connect(own.into()).request(crate::WITNESS);
                    assert_eq!(sniffer(), 5, "{model}, {endpoint}: four forged, and the answer of another");
                    server.stop_cleanly();
                }
            }
        },
    );
}

/// A peer in a network of its own.
fn peer_in(network: u8, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::new(11, 200, network, 1), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

/// The answer, for which a datagram that the flood has pushed out is sent again.
fn ask(peer: &UdpSocket, request: &[u8]) -> String {
    let mut buffer = [0; 2048];
    let bytes = eventually("a peer is answered", || {
        peer.send(request).unwrap();
        peer.recv(&mut buffer).ok()
    });
    String::from_utf8(buffer[..bytes].to_vec()).unwrap()
}

#[test]
fn forged_sources_cost_bounded_memory_and_end_no_session_in_use() {
    /// Datagrams from one real request to the next: fewer than the socket of the server holds.
    const BURST: u32 = 100;
    in_namespace(forged_sources_cost_bounded_memory_and_end_no_session_in_use, Network::Link, || {
        let count: u32 = std::env::var("LOOPLINE_FORGED").map_or(20_000, |text| text.parse().unwrap());
        for model in MODELS {
            let server =
                Serve::by(program_behind_link(), &format!("month=0.0.0.0:0 --model {model}")).start();
            let address = SocketAddr::from(([10, 9, 0, 1], server.address("month").port()));
            let real: Vec<_> = (0..250).map(|network| peer_in(network, address)).collect();
            for peer in &real {
                assert_eq!(ask(peer, b"hello"), INTRODUCTION[..15]);
                assert_eq!(ask(peer, b"5"), "May");
            }
            let before_kib = server.status("VmRSS");
            let forger = Forger::new();
            for number in 0..count {
                // From everywhere, with as many requests as real peers send.
                let source = Ipv4Addr::from(0x2000_0000 | number.wrapping_mul(0x9e37_79b9) >> 3);
                for payload in [&b"hello"[..], b"7"].into_iter().take(1 + (number % 2) as usize) {
                    forger.send(SocketAddrV4::new(source, 4000), address, payload);
                }
                if number % BURST == 0 {
                    assert_eq!(ask(&real[(number / BURST) as usize % real.len()], b"6"), "June", "{model}");
                }
            }
            for peer in &real {
                assert_eq!(ask(peer, b"4"), "April", "{model}: its session goes on");
            }
            let grown_kib = server.status("VmRSS") - before_kib;
            eprintln!("{model}: {count} forged sources, {before_kib} KiB before, {grown_kib} KiB more after");
            assert!(grown_kib < 12 << 10, "{model}: {grown_kib} KiB more");
            server.stop_cleanly();
        }
    });
}
