//! The example `relay`: on the simulated network, where every end and every cut can be had, and as a process.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use loopline::event_loop::EventLoop;
use loopline::limits::Limits;
use loopline::sim::{SimNet, SimPeer};

use crate::example::Example;

#[expect(dead_code, reason = "its main function is that of a program")]
#[path = "../../examples/relay.rs"]
mod example;

use example::Relay;

fn target() -> SocketAddr {
    "203.0.113.1:80".parse().unwrap()
}

/// A relay, with a client and the other end of its connection.
fn relay(seed: u64) -> (EventLoop<SimNet>, SimPeer, SimPeer) {
    let mut server = EventLoop::new(SimNet::new(seed), Limits::default());
    server.net().add_remote(target());
    let handle = server.add_handler(Relay::new(target())).unwrap();
    let address = server.listen_for(&handle, "192.0.2.1:7000".parse().unwrap()).unwrap();
    let client = server.net().connect(address);
    server.run_until_quiet().unwrap();
    let remote = server.net().accept_remote(target()).unwrap();
    (server, client, remote)
}

#[test]
fn both_directions_are_passed_on_with_their_ends_in_any_order() {
    for seed in 0..50 {
        let (mut server, client, remote) = relay(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut expected = [Vec::new(), Vec::new()];
        let mut open = vec![(client, 0), (remote, 1)];
        while !open.is_empty() {
            let place = random.usize(..open.len());
            let (from, direction) = open[place];
            if random.u8(..4) == 0 {
                server.net().end(from);
                open.remove(place);
            } else {
                let text: Vec<u8> = (0..random.usize(..50_000)).map(|_| random.u8(..)).collect();
                server.net().send(from, &text);
                expected[direction].extend(text);
            }
            if random.bool() {
                server.run_until_quiet().unwrap();
            }
        }
        server.run_until_quiet().unwrap();
        assert!(server.net().take_received(remote) == expected[0], "from the client, seed {seed}");
        assert!(server.net().take_received(client) == expected[1], "from the server, seed {seed}");
        for peer in [client, remote] {
            assert!(server.net().is_closed(peer) && !server.net().is_reset(peer), "seed {seed}");
        }
        assert_eq!(server.connections(), 0);
    }
}

#[test]
fn a_slow_side_keeps_the_other_from_being_read_and_gets_everything() {
    for seed in 0..20 {
        for slow_is_remote in [true, false] {
            let (mut server, client, remote) = relay(seed);
            let (quick, slow) = if slow_is_remote { (client, remote) } else { (remote, client) };
            server.net().set_pace(slow, Some(0));
            let text: Vec<u8> = (0..2_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
            server.net().send(quick, &text);
            server.net().end(quick);
            server.run_for(Duration::from_secs(5)).unwrap();
            // Beyond the limit of unsent bytes it would have been closed.
            assert_eq!(server.connections(), 2, "seed {seed}");
            server.net().set_pace(slow, Some(100_000));
            server.run_until_quiet().unwrap();
            assert!(server.net().take_received(slow) == text, "seed {seed}");
            assert!(server.net().has_ended(slow));
        }
    }
}

#[test]
fn a_side_that_is_reset_resets_the_other() {
    for client_is_reset in [true, false] {
        let (mut server, client, remote) = relay(1);
        let (reset, other) = if client_is_reset { (client, remote) } else { (remote, client) };
        server.net().send(reset, b"half of it");
        server.run_until_quiet().unwrap();
        server.net().reset(reset);
        server.run_until_quiet().unwrap();
        assert!(server.net().is_reset(other) && server.connections() == 0);
    }
}

#[test]
fn a_client_whose_server_cannot_be_reached_is_reset() {
    let mut server = EventLoop::new(SimNet::new(1), Limits::default());
    let handle = server.add_handler(Relay::new(target())).unwrap();
    let address = server.listen_for(&handle, "192.0.2.1:7000".parse().unwrap()).unwrap();
    let client = server.net().connect(address);
    server.net().send(client, b"hello");
    server.run_until_quiet().unwrap();
    assert!(server.net().is_reset(client) && server.connections() == 0);
}

#[test]
fn a_client_and_a_server_talk_through_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut relay = Example::start("relay", &[&listener.local_addr().unwrap().to_string()]);
    let mut client = TcpStream::connect(relay.address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let text = vec![b'x'; 1_000_000];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&text).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), text.len());
    });
    server.write_all(b"thank you").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "thank you");

    // Without its server, a client is not left to wait.
    drop(listener);
    let mut client = TcpStream::connect(relay.address).unwrap();
    client.read_to_string(&mut answer).expect_err("it is reset");
    relay.stop();
}
