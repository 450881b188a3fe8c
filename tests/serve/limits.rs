//! Peers over the connection limit, few descriptors, and resets.

use crate::common::{ACKNOWLEDGEMENT, MODELS, Peer, Serve, Server, eventually, frame};
use crate::open_descriptors;

#[test]
fn peers_over_the_limit_receive_the_reason_and_the_others_are_served() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 greeting=0 --model {model} --max-connections 2"));
        let mut inside = [server.connect("message"), server.connect("message")];
        inside.iter_mut().for_each(|peer| peer.exchange("inside"));
        let why = String::from_utf8(frame("Error: the server is full, it serves 2 connections")).unwrap();
        for _ in 0..5 {
            let mut third = server.connect("message");
            assert_eq!(third.receive_text(), why, "{model}");
            // A service without frames has no words for it that could not be taken for the answer.
            assert_eq!(server.connect("greeting").receive_text(), "", "{model}");
            inside.iter_mut().for_each(|peer| peer.exchange("inside"));
        }
        let [mut stays, leaves] = inside;
        drop(leaves);
        let mut next = eventually("there is room again", || {
            let mut next = server.connect("message");
            next.try_send(&frame("next")).ok()?;
            let answer = next.receive_frame();
            assert!(answer == ACKNOWLEDGEMENT || answer == why[64..], "{model}: {answer}");
            (answer == ACKNOWLEDGEMENT).then_some(next)
        });
        stays.exchange("inside");
        next.exchange("inside too");
        server.stop_cleanly();
    }
}

#[test]
fn refused_peers_do_not_count_as_connections() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --max-connections 1 --model {model}"));
        let mut inside = server.connect("message");
        inside.exchange("inside");
        let refused: Vec<Peer> = (0..3)
            .map(|_| {
                let mut peer = server.connect("message");
                assert_eq!(peer.receive_frame(), "Error: the server is full, it serves 1 connections");
                peer
            })
            .collect();
        drop(inside);
        // None of the refused has closed yet.
        eventually("there is room again", || {
            let mut next = server.connect("message");
            next.send(frame("next"));
            (next.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        drop(refused);
        server.stop_cleanly();
    }
}

#[test]
fn a_low_descriptor_limit_bounds_the_connections_served() {
    for model in MODELS {
        let endpoint = format!("message=0 --max-connections 10000 --model {model}");
        let server = Serve::from_shell(r#"ulimit -n 100; exec "$@""#, &endpoint).start();
        let log = server.log();
        let (_, room) = log.split_once("100 descriptors allows: ").expect("it is said");
        let room: usize = room.split_once(" will be served").unwrap().0.parse().unwrap();
        let mut inside: Vec<Peer> = (0..room).map(|_| server.connect("message")).collect();
        inside.iter_mut().for_each(|peer| peer.exchange("inside"));
        // More than the limit has descriptors for: those that cannot even be refused yet wait.
        let outside: Vec<Peer> = (0..100).map(|_| server.connect("message")).collect();
        for mut peer in outside {
            assert_eq!(
                peer.receive_frame(),
                format!("Error: the server is full, it serves {room} connections")
            );
        }
        inside.iter_mut().for_each(|peer| peer.exchange("inside"));
        let ended = server.stop_cleanly();
        assert!(!ended.log.contains("os error"), "{}", ended.log);
    }
}

#[test]
fn resets_do_not_affect_other_peers_and_are_not_logged() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        let mut good = server.connect("message");
        for _ in 0..50 {
            server.connect("message").reset();
            let mut in_a_frame = server.connect("message");
            in_a_frame.send(&frame("never whole")[..70]);
            in_a_frame.reset();
            let mut owed_answers = server.connect("message");
            owed_answers.send(frame("answered in vain").repeat(100));
            owed_answers.reset();
            good.exchange("good");
        }
        eventually("all are closed", || (open_descriptors(&server) <= 16).then_some(()));
        good.exchange("still there");
        let ended = server.stop_cleanly();
        assert!(ended.log_since_ready().iter().all(|line| line.contains("stopping")), "{}", ended.log);
    }
}
