//! A server that others can reach: it is in a network namespace, behind a link.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, SockRef, Socket, Type};

use crate::common::{
    INTRODUCTION, MODELS, Network, Serve, Server, WAIT_MAX, in_namespace, program_behind_link,
};
use crate::forged::{forge, received_from};
use crate::{WITNESS, receive};

fn start(arguments: &str) -> Server {
    Serve::by(program_behind_link(), arguments).start()
}

/// A socket at `address`, which need not be configured.
fn peer_at(address: &str) -> UdpSocket {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true).unwrap(),
        SocketAddr::V6(_) => socket.set_freebind_v6(true).unwrap(),
    }
    socket.bind(&address.into()).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket.into()
}

fn server_at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

/// How many datagrams wait at the peers. A witness is answered first, so that all answers before are there.
fn answered(peers: &[UdpSocket], witness: &UdpSocket, server: SocketAddr) -> usize {
    witness.send_to(WITNESS, server).unwrap();
    receive(witness);
    let waits = |peer: &&UdpSocket| {
        peer.set_nonblocking(true).unwrap();
        peer.recv(&mut [0; 2048]).is_ok()
    };
    peers.iter().filter(waits).count()
}

#[test]
fn replies_leave_from_the_address_that_was_asked() {
    in_namespace(replies_leave_from_the_address_that_was_asked, Network::Link, || {
        for model in MODELS {
            let server = start(&format!("month=0.0.0.0:0 month=[::]:0 --model {model}"));
            for address in server.addresses("month") {
                // A dual-stack socket is reached over IPv4, too.
                let mut asked = vec![("10.9.0.2:0", "10.9.0.1"), ("11.1.2.3:0", "10.9.0.7")];
                if address.is_ipv6() {
                    asked.extend([("[fd09::2]:0", "fd09::1"), ("[fd11::5]:0", "fd09::7")]);
                }
                for (peer, host) in asked {
                    let (peer, server) = (peer_at(peer), server_at(host, address.port()));
                    peer.send_to(b"hello", server).unwrap();
                    // To a peer that is not known, three times as much as it has sent.
                    assert_eq!(receive(&peer), (INTRODUCTION[..15].to_owned(), server), "{model}, {host}");
                    peer.send_to(b"5", server).unwrap();
                    assert_eq!(receive(&peer), ("May".to_owned(), server), "{model}, {host}");
                }
                // A broadcast address cannot be the source of a reply.
                let peer = peer_at("10.9.0.2:0");
                SockRef::from(&peer).set_broadcast(true).unwrap();
                peer.send_to(b"5 ", server_at("10.9.255.255", address.port())).unwrap();
                assert_eq!(receive(&peer).1, server_at("10.9.0.1", address.port()), "{model}");
            }
            server.stop_cleanly();
        }
    });
}

#[test]
fn ports_below_1024_and_addresses_of_many_are_not_answered() {
    in_namespace(ports_below_1024_and_addresses_of_many_are_not_answered, Network::Link, || {
        for model in MODELS {
            let server = start(&format!("month=0.0.0.0:0 month=[::]:0 --model {model}"));
            let addresses = server.addresses("month");
            let witness = peer_at("10.9.0.2:0");
            for address in addresses {
                let asked = server_at("10.9.0.1", address.port());
                let mut peers =
                    vec![peer_at("10.9.0.2:53"), peer_at("10.9.0.2:1023"), peer_at("11.0.0.1:19")];
                for peer in &peers {
                    peer.send_to(b"hello", asked).unwrap();
                }
                if address.is_ipv6() {
                    let peer = peer_at("[fd11::1]:1023");
                    peer.send_to(b"hello", server_at("fd09::1", address.port())).unwrap();
                    peers.push(peer);
                }
                let sniffer = received_from(address.port());
                for source in ["224.0.0.1:4000", "10.9.255.255:4000", "255.255.255.255:4000"] {
                    forge(source.parse().unwrap(), asked, b"hello");
                }
                assert_eq!(answered(&peers, &witness, asked), 0, "{model}, {address}");
                assert_eq!(sniffer(), 1, "{model}, {address}: the witness alone is answered");
                let lowest = peer_at("10.9.0.2:1024");
                lowest.send_to(b"hello", asked).unwrap();
                assert_eq!(receive(&lowest).0, INTRODUCTION[..15], "{model}, {address}");
            }
            server.stop_cleanly();
        }
    });
}

#[test]
fn replies_are_limited_for_each_24_bits_of_ipv4_and_64_bits_of_ipv6() {
    /// From as many addresses of one network, each once.
    const ASKED: usize = 100;
    in_namespace(replies_are_limited_for_each_24_bits_of_ipv4_and_64_bits_of_ipv6, Network::Link, || {
        for model in MODELS {
            let server = start(&format!("month=0.0.0.0:0 month=[::]:0 --udp-replies 10 --model {model}"));
            for (index, address) in server.addresses("month").into_iter().enumerate() {
                let mut networks = vec![("10.9.0.1", format!("11.0.{index}"))];
                if address.is_ipv6() {
                    networks.push(("fd09::1", "fd11:0:0:1".to_owned()));
                }
                for (host, network) in networks {
                    let asked = server_at(host, address.port());
                    let name = |number: usize| match asked.ip() {
                        IpAddr::V4(_) => format!("{network}.{number}:0"),
                        IpAddr::V6(_) => format!("[{network}:{number:x}::1]:0"),
                    };
                    let peers: Vec<_> = (0..ASKED).map(|number| peer_at(&name(1 + number))).collect();
                    for peer in &peers {
                        peer.send_to(b"hello", asked).unwrap();
                    }
                    // Another network is answered: over IPv4 a dual-stack socket does not count all as one.
                    let other = peer_at(if asked.is_ipv4() { "11.7.7.7:0" } else { "[fd11:0:0:2::1]:0" });
                    let answered = answered(&peers, &other, asked);
                    // On a busy machine a few more, which the time brings.
                    assert!((5..50).contains(&answered), "{model}, {asked}: {answered} of {ASKED}");
                }
            }
            server.stop_cleanly();
        }
    });
}
