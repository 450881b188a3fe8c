//! As many connections as one process is allowed to have, held and answered by one server.

mod common;

use std::net::SocketAddr;

use common::{Peer, Server, eventually};
use socket2::{Domain, Socket, Type};

/// What the server is made for.
const CONNECTIONS: u64 = 19_000;

/// What both ends need besides: standard streams, listeners, pollers, pipes, refusals.
const DESCRIPTORS_BESIDES: u64 = 200;

/// Connections from one address. With the next thousand from the next, ports of no address run short,
/// whatever else the machine has open.
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
        // They are accepted in the order in which they came, so none of these waits in the backlog any more.
        peers.last_mut().unwrap().say("the last so far");
    }
    assert_eq!(server.status("Threads"), 1);

    // All at once, and one after the other, first and last alike.
    for peer in &mut peers {
        peer.send(common::frame("all of them"));
    }
    for peer in &mut peers {
        peer.receive_acknowledgement();
    }
    for peer in peers.iter_mut().step_by(100) {
        peer.say("one of them");
    }
    let mut latecomer = server.connect("message");
    latecomer.say("one more");

    // They all go at once, and leave nothing.
    peers.drain(..).for_each(Peer::reset);
    latecomer.say("still there");
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    eventually("all are closed", || (open() < 32).then_some(()));
    latecomer.say("still there");
    server.stop_well();
}

/// As many as the machine lets this process and the server hold.
fn connections() -> usize {
    let descriptors =
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised to the hard one");
    let connections = CONNECTIONS.min(descriptors.saturating_sub(DESCRIPTORS_BESIDES));
    if connections < CONNECTIONS {
        eprintln!(
            "ONLY {connections} OF {CONNECTIONS} CONNECTIONS: the hard limit is {descriptors} descriptors"
        );
    }
    usize::try_from(connections).unwrap()
}

fn connect_from(source: std::net::IpAddr, address: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap_or_else(|error| panic!("from {source}: {error}"));
    Peer::on(socket.into())
}
