//! Peers over the connection limit, few descriptors, and resets.

use std::time::Duration;

use crate::common::{
    ACKNOWLEDGEMENT, Clock, MODELS, Peer, Serve, Server, eventually, frame, with_each_model,
};
use crate::open_descriptors;

#[test]
fn peers_over_the_limit_receive_the_reason_and_the_others_are_served() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 greeting=0 --model {model} --max-connections 2"));
        let mut admitted = [server.connect("message"), server.connect("message")];
        admitted.iter_mut().for_each(|peer| peer.exchange("admitted"));
        let reason = String::from_utf8(frame("Error: the server is full, it serves 2 connections")).unwrap();
        for _ in 0..5 {
            let mut third = server.connect("message");
            assert_eq!(third.receive_text(), reason, "{model}");
            // A service without frames sends nothing, since its peers would take any byte for the reply.
            assert_eq!(server.connect("greeting").receive_text(), "", "{model}");
            admitted.iter_mut().for_each(|peer| peer.exchange("admitted"));
        }
        let [mut stays, leaves] = admitted;
        drop(leaves);
        let mut next = eventually("a connection is admitted again", || {
            let mut next = server.connect("message");
            next.try_send(&frame("next")).ok()?;
            let answer = next.receive_frame();
            assert!(answer == ACKNOWLEDGEMENT || answer == reason[64..], "{model}: {answer}");
            (answer == ACKNOWLEDGEMENT).then_some(next)
        });
        stays.exchange("admitted");
        next.exchange("admitted too");
        server.stop_cleanly();
    }
}

#[test]
fn refused_peers_do_not_count_as_connections() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --max-connections 1 --model {model}"));
        let mut admitted = server.connect("message");
        admitted.exchange("admitted");
        let refused: Vec<Peer> = (0..3)
            .map(|_| {
                let mut peer = server.connect("message");
                assert_eq!(peer.receive_frame(), "Error: the server is full, it serves 1 connections");
                peer
            })
            .collect();
        drop(admitted);
        // None of the refused has closed yet.
        eventually("a connection is admitted again", || {
            let mut next = server.connect("message");
            next.try_send(&frame("next")).ok()?;
            (next.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        drop(refused);
        server.stop_cleanly();
    }
}

#[test]
fn a_low_descriptor_limit_bounds_the_connections_served() {
    with_each_model(|model| {
        for descriptors in [40, 48, 100] {
            let endpoint = format!("message=0 --max-connections 10000 --model {model}");
            let server = Serve::after(&format!("ulimit -n {descriptors}"), &endpoint).start();
            let log = server.log();
            let (_, bound) = log.split_once(" descriptors allows: ").expect("the limit is logged");
            let bound: usize = bound.split_once(" will be served").unwrap().0.parse().unwrap();
            let mut admitted: Vec<Peer> = (0..bound).map(|_| server.connect("message")).collect();
            admitted.iter_mut().for_each(|peer| peer.exchange("admitted"));
            // More than the limit has descriptors for: some wait in the backlog until others are refused.
            let outside: Vec<Peer> = (0..100).map(|_| server.connect("message")).collect();
            for mut peer in outside {
                assert_eq!(
                    peer.receive_frame(),
                    format!("Error: the server is full, it serves {bound} connections")
                );
            }
            admitted.iter_mut().for_each(|peer| peer.exchange("admitted"));
            let ended = server.stop_cleanly();
            assert!(!ended.log.contains("os error"), "{}", ended.log);
        }
    });
}

#[test]
fn the_sockets_that_send_from_each_address_take_descriptors_from_the_connections() {
    let bound = |month: &str| {
        let endpoints = format!("message=0 month={month} --max-connections 10000");
        let server = Serve::after("ulimit -n 200", &endpoints).start();
        let open = open_descriptors(&server);
        let ended = server.stop_cleanly();
        let (_, bound) = ended.log.split_once(" descriptors allows: ").expect("the limit is logged");
        let bound: usize = bound.split_once(" will be served").unwrap().0.parse().unwrap();
        (open, bound)
    };
    let (open_at_one, bound_at_one) = bound("127.0.0.1:0");
    let (open_at_all, bound_at_all) = bound("0.0.0.0:0");
    assert!(open_at_all > open_at_one, "at least loopback has a socket");
    assert_eq!(open_at_all - open_at_one, bound_at_one - bound_at_all);
}

#[test]
fn a_peer_that_is_refused_reads_why_at_once_although_many_others_stay() {
    const OTHERS: usize = 1000;
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model} --max-connections 1"));
        let mut admitted = server.connect("message");
        admitted.exchange("admitted");
        // They read nothing and do not end their side, so those in the reserve stay for seconds.
        let others: Vec<Peer> = (0..OTHERS).map(|_| server.connect("message")).collect();
        let clock = Clock::start();
        let mut peer = server.connect("message");
        assert_eq!(peer.receive_frame(), "Error: the server is full, it serves 1 connections");
        // With 64 refusals in 2 s, it would be 30 s.
        assert!(clock.elapsed() < Duration::from_secs(15), "{model}: {:?}", clock.elapsed());
        for mut other in others {
            assert_eq!(other.receive_frame(), "Error: the server is full, it serves 1 connections");
        }
        admitted.exchange("still there");
        server.stop_cleanly();
    }
}

#[test]
fn a_source_over_its_limit_receives_the_reason_and_the_others_are_served() {
    for model in MODELS {
        let server = Server::start(&format!("message=0.0.0.0:0 --model {model} --max-per-source 2"));
        let mut admitted = [server.connect("message"), server.connect("message")];
        admitted.iter_mut().for_each(|peer| peer.exchange("admitted"));
        let reason = "Error: your address has 2 connections, which is the limit";
        for _ in 0..100 {
            let mut peer = server.connect("message");
            assert_eq!(peer.receive_frame(), reason, "{model}");
        }
        let mut other = Peer::connect_from("127.0.0.2", server.address("message"));
        other.exchange("from another source");
        let [mut stays, leaves] = admitted;
        drop(leaves);
        eventually("a connection is admitted again", || {
            let mut next = server.connect("message");
            next.try_send(&frame("next")).ok()?;
            (next.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        stays.exchange("admitted");
        server.stop_cleanly();
    }
}

#[test]
fn threads_that_hold_most_are_ended_when_memory_is_short_and_the_others_are_served() {
    const PEERS: usize = 64;
    let server = Server::start("message=0 --model threads --max-memory 16MiB --journal none");
    let mut good = server.connect("message");
    good.exchange("first");
    let message = frame(vec![b'x'; 1 << 20]);
    let mut greedy: Vec<Peer> = (0..PEERS).map(|_| server.connect("message")).collect();
    for peer in &mut greedy {
        // All but the last byte.
        let _ = peer.try_send(&message[..message.len() - 1]);
        good.exchange("good");
    }
    server.wait_for_log("the memory budget was in use");
    eventually("most are ended", || {
        let ended = greedy.iter().filter(|peer| peer.peek() == Some(0)).count();
        (ended >= PEERS / 2).then_some(())
    });
    good.exchange("last");
    assert!(greedy.iter().any(|peer| peer.peek().is_none()), "only as many as must are ended");
    drop(greedy);
    server.stop_cleanly();
}

#[test]
fn resets_do_not_affect_other_peers_and_are_not_logged() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut good = server.connect("message");
        good.exchange("good");
        let before = open_descriptors(&server);
        for _ in 0..50 {
            server.connect("message").reset();
            let mut in_a_frame = server.connect("message");
            in_a_frame.send(&frame("never finished")[..70]);
            in_a_frame.reset();
            let mut unread = server.connect("message");
            unread.send(frame("never read").repeat(100));
            unread.reset();
            good.exchange("good");
        }
        eventually("all are closed", || (open_descriptors(&server) <= before).then_some(()));
        good.exchange("still there");
        let ended = server.stop_cleanly();
        assert!(ended.log_since_ready().iter().all(|line| line.contains("stopping")), "{}", ended.log);
    }
}
