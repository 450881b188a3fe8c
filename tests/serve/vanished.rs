//! Peers that read nothing, or of which nothing more arrives: their link is down, so that neither an end of stream
//! nor a reset comes. The server is behind a link, in a network namespace.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::common::{
    Clock, MODELS, Network, Peer, Serve, Server, eventually, frame, in_namespace, program_behind_link,
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
            let mut attacks = MODELS.map(Attack::begin);
            for vanish in [false, true] {
                let [_, clock] = attacks.each_mut().map(Attack::connect);
                if vanish {
                    set_link("down");
                }
                eventually("all are closed", || attacks.iter_mut().all(Attack::is_over).then_some(()));
                assert!(clock.elapsed() >= TIMEOUT, "{:?}", clock.elapsed());
                attacks.iter().for_each(Attack::assert_memory_is_bounded);
                attacks.iter_mut().for_each(|attack| attack.stuck.clear());
                if vanish {
                    set_link("up");
                }
            }
            for attack in attacks {
                Peer::connect(attack.address).exchange("after");
                attack.server.stop_cleanly();
            }
        },
    );
}

/// A server behind the link, and its peers.
struct Attack {
    model: &'static str,
    server: Server,
    address: SocketAddr,
    descriptors_before: usize,
    before_kib: u64,
    others: Vec<Peer>,
    /// They never read: the window is zero once their buffers are full.
    stuck: Vec<Peer>,
}

impl Attack {
    fn begin(model: &'static str) -> Self {
        let timeouts = "--idle-timeout 2s --frame-timeout 2s --write-timeout 2s";
        let arguments = format!("message=0.0.0.0:0 --journal none {timeouts} --model {model}");
        let server = Serve::by(program_behind_link(), &arguments).start();
        Self {
            model,
            address: SocketAddr::from(([10, 9, 0, 1], server.address("message").port())),
            descriptors_before: open_descriptors(&server),
            before_kib: server.status("VmRSS"),
            server,
            others: Vec::new(),
            stuck: Vec::new(),
        }
    }

    /// Connects peers that stay silent, that begin a message, and that do not read. Returns the time since the first of
    /// them were silent.
    fn connect(&mut self) -> Clock {
        let connect = || -> Vec<Peer> { (0..PEERS).map(|_| Peer::connect(self.address)).collect() };
        self.others = connect();
        self.others.iter_mut().for_each(|peer| peer.exchange("before"));
        let clock = Clock::start();
        let mut begun = connect();
        begun.iter_mut().for_each(|peer| peer.send(&frame("begun")[..66]));
        self.others.append(&mut begun);
        self.stuck = connect();
        fill(&mut self.stuck);
        clock
    }

    /// Whether all connections are closed.
    fn is_over(&mut self) -> bool {
        fill(&mut self.stuck);
        open_descriptors(&self.server) <= self.descriptors_before
    }

    fn assert_memory_is_bounded(&self) {
        let grown_kib = self.server.status("VmRSS").saturating_sub(self.before_kib);
        assert!(grown_kib < 512 * PEERS as u64, "{}: {grown_kib} KiB", self.model);
    }
}

/// Sends until nothing more is accepted.
fn fill(peers: &mut [Peer]) {
    let frames = frame("").repeat(1000);
    for peer in peers {
        peer.stream.set_nonblocking(true).unwrap();
        while peer.stream.write(&frames).is_ok() {}
    }
}
