//! Peers that read nothing, or of which nothing more arrives: their link is down, so that neither an end of stream
//! nor a reset comes. The server is behind a link, in a network namespace.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::common::{
    Clock, MODELS, Network, Peer, Serve, eventually, frame, in_namespace, program_behind_link,
};
use crate::open_descriptors;

/// Peers of each kind.
const PEERS: usize = 30;

fn set_link(state: &str) {
    assert!(Command::new("ip").args(["link", "set", "peers", state]).status().unwrap().success());
}

#[test]
fn peers_that_hold_a_zero_window_or_vanish_are_closed_at_their_deadline_with_bounded_memory() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    in_namespace(
        peers_that_hold_a_zero_window_or_vanish_are_closed_at_their_deadline_with_bounded_memory,
        Network::Link,
        || {
            for model in MODELS {
                let timeouts = "--idle-timeout 2s --frame-timeout 2s --write-timeout 2s";
                let arguments = format!("message=0.0.0.0:0 --journal none {timeouts} --model {model}");
                let server = Serve::by(program_behind_link(), &arguments).start();
                let before = open_descriptors(&server);
                let before_kib = server.status("VmRSS");
                let address = SocketAddr::from(([10, 9, 0, 1], server.address("message").port()));
                let connect = || -> Vec<Peer> { (0..PEERS).map(|_| Peer::connect(address)).collect() };
                let frames = frame("").repeat(1000);
                let fill = |peers: &mut [Peer]| {
                    for peer in peers {
                        peer.stream.set_nonblocking(true).unwrap();
                        while peer.stream.write(&frames).is_ok() {}
                    }
                };
                for vanish in [false, true] {
                    let mut silent = connect();
                    silent.iter_mut().for_each(|peer| peer.exchange("before"));
                    let clock = Clock::start();
                    let mut begun = connect();
                    begun.iter_mut().for_each(|peer| peer.send(&frame("begun")[..66]));
                    // They never read: the window is zero once their buffers are full.
                    let mut stuck = connect();
                    fill(&mut stuck);
                    if vanish {
                        set_link("down");
                    }
                    eventually("all are closed", || {
                        fill(&mut stuck);
                        (open_descriptors(&server) <= before).then_some(())
                    });
                    assert!(clock.elapsed() >= TIMEOUT, "{model}: {:?}", clock.elapsed());
                    let grown_kib = server.status("VmRSS").saturating_sub(before_kib);
                    assert!(grown_kib < 512 * PEERS as u64, "{model}: {grown_kib} KiB");
                    if vanish {
                        set_link("up");
                    }
                }
                Peer::connect(address).exchange("after");
                server.stop_cleanly();
            }
        },
    );
}
