//! Storms: very many connections, resets and signals at once.

use std::io::Read;

use crate::common::{MODELS, Peer, Server, Signal, acknowledgement, eventually, frame};
use crate::open_descriptors;

/// How many connections the kernel keeps for a server that does not accept: less than `--backlog`.
const BACKLOG: usize = 4000;

#[test]
fn ten_thousand_connects_at_once_overflow_no_listen_queue() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // Many machines do not allow as many threads.
    for (model, backlog, connections) in [("loop", BACKLOG, 10_000), ("threads", 1000, 1000)] {
        let server = Server::start(&format!("message=0 --journal none --model {model}"));
        server.signal(Signal::STOP);
        eventually("the process is stopped", || server.is_stopped().then_some(()));
        // An overflow would leave these without an answer to their SYN.
        let mut peers: Vec<Peer> = (0..backlog).map(|_| server.connect("message")).collect();
        server.signal(Signal::CONT);
        peers.extend((backlog..connections).map(|_| server.connect("message")));
        peers.iter_mut().for_each(|peer| peer.send(frame("all")));
        peers.iter_mut().for_each(Peer::receive_acknowledgement);
        // All are reset at once.
        peers.into_iter().for_each(Peer::reset);
        server.connect("message").exchange("accepting goes on");
        server.stop_cleanly();
    }
}

#[test]
fn connect_and_reset_leaves_no_slot_descriptor_or_byte() {
    const WARM_UP: usize = 500;
    let resets = std::env::var("LOOPLINE_RESETS").map_or(3000, |text| text.parse().unwrap());
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --max-connections 50"));
        let before = open_descriptors(&server);
        let reset = |times: usize| {
            for _ in 0..times {
                server.connect("message").reset();
            }
            // Connections are accepted in order: after this one, none of them is in the backlog.
            eventually("a peer is served", || {
                let mut peer = server.connect("message");
                peer.try_send(&frame("behind them")).ok()?;
                let mut answer = acknowledgement();
                peer.stream.read_exact(&mut answer).ok()?;
                (answer == acknowledgement()).then_some(())
            });
            eventually("no descriptor is left", || (open_descriptors(&server) == before).then_some(()));
            server.status("VmRSS")
        };
        let warm_kb = reset(WARM_UP);
        let after_kb = reset(resets);
        assert!(after_kb < warm_kb + 4096, "{model}: from {warm_kb} to {after_kb} KiB");
        // As many are served as ever.
        let mut peers: Vec<Peer> = (0..50).map(|_| server.connect("message")).collect();
        peers.iter_mut().for_each(|peer| peer.exchange("served"));
        drop(peers);
        server.stop_cleanly();
    }
}

#[test]
fn calls_that_are_interrupted_again_and_again_have_no_effect() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --journal none"));
        let mut peer = server.connect("message");
        for _ in 0..100 {
            // After SIGCONT, a wait for events returns EINTR.
            server.signal(Signal::STOP);
            eventually("the process is stopped", || server.is_stopped().then_some(()));
            server.signal(Signal::CONT);
            peer.exchange("at once");
        }
        server.connect("message").exchange("a new peer");
        server.stop_cleanly();
    }
}
