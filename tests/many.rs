//! As many connections as one process may have, held and answered by one server.

mod common;

use std::net::SocketAddr;

use common::{Peer, Server, eventually};
use socket2::{Domain, Socket, Type};

/// The number of connections that the server is designed for.
const CONNECTIONS: u64 = 19_000;

/// With a lower descriptor limit the test holds fewer. Below this, it would show nothing.
const CONNECTIONS_MIN: u64 = 500;

/// Descriptors that each end needs besides: standard streams, listeners, pollers, pipes, refusals.
const OTHER_DESCRIPTORS: u64 = 200;

/// Connections from one source address, so that the ephemeral ports of none run out.
const CONNECTIONS_PER_SOURCE: usize = 1000;

#[test]
fn nineteen_thousand_connections_are_held_and_each_is_answered() {
    let connections = connections();
    let server = Server::start("message=0 --journal none");
    let address = server.address("message");

    let mut peers: Vec<Peer> = Vec::with_capacity(connections);
    while peers.len() < connections {
        let source = [127, 0, 1, u8::try_from(peers.len() / CONNECTIONS_PER_SOURCE).unwrap()];
        let crowd = CONNECTIONS_PER_SOURCE.min(connections - peers.len());
        peers.extend((0..crowd).map(|_| connect_from(source.into(), address)));
        // Connections are accepted in order, so after this none is left in the backlog.
        peers.last_mut().unwrap().exchange("the last so far");
    }
    let open_descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open_descriptors() > connections, "each connection is held");
    assert_eq!(server.status("Threads"), 1);

    // First all at once, then one after the other.
    for peer in &mut peers {
        peer.send(common::frame("all of them"));
    }
    for peer in &mut peers {
        peer.receive_acknowledgement();
    }
    for peer in peers.iter_mut().step_by(100) {
        peer.exchange("one of them");
    }
    let mut latecomer = server.connect("message");
    latecomer.exchange("one more");

    // All are reset at once, and no descriptor is left.
    peers.drain(..).for_each(Peer::reset);
    latecomer.exchange("still there");
    eventually("all are closed", || (open_descriptors() < 32).then_some(()));
    latecomer.exchange("still there");
    server.stop_cleanly();
}

/// As many as the hard limit lets this process and the server hold.
fn connections() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised to the hard limit");
    let connections = CONNECTIONS.min(limit.saturating_sub(OTHER_DESCRIPTORS));
    assert!(connections >= CONNECTIONS_MIN, "the hard limit of {limit} descriptors is too low for this test");
    if connections < CONNECTIONS {
        eprintln!("ONLY {connections} OF {CONNECTIONS} CONNECTIONS: the hard limit is {limit} descriptors");
    }
    usize::try_from(connections).unwrap()
}

fn connect_from(source: std::net::IpAddr, address: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap_or_else(|error| panic!("from {source}: {error}"));
    Peer::on(socket.into())
}
