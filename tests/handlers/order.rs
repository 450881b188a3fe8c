//! In which order a connection receives what several calls send to it.

use std::io;
use std::sync::{Arc, Mutex};

use loopline::journal::{Ack, Journal, Sink};

use crate::script::Stage;

#[test]
fn what_is_sent_arrives_in_the_order_of_the_calls_by_whichever_way_it_is_sent() {
    for seed in 0..100 {
        let mut stage = Stage::new(seed);
        let [a, b] = stage.peers();
        stage.order(b, &["join 1"]);
        let orders = [
            "join 1",
            "say 1.",
            "publish 1 2.",
            "say 3.",
            "to 0 4.",
            "to 1 5.",
            "say 6.",
            "publish 1 7.",
            "publish 1 8.",
            "to 0 9.",
        ];
        stage.order(a, &orders);
        assert_eq!(stage.received(a), "1.2.3.4.6.7.8.9.", "seed {seed}");
        assert_eq!(stage.received(b), "2.5.7.8.", "seed {seed}");
    }
}

#[test]
fn of_several_connections_that_are_read_in_a_turn_the_calls_follow_each_other() {
    for seed in 0..100 {
        let mut stage = Stage::new(seed);
        let [a, b, listener] = stage.peers();
        stage.order(listener, &["join 1"]);
        for round in 0..10 {
            stage.send(a, &[&format!("publish 1 a{round}."), &format!("to 1 A{round}.")]);
            stage.send(b, &[&format!("publish 1 b{round}."), &format!("say B{round}.")]);
        }
        stage.run();
        // What another publishes, and both ways to one connection: its own answers, and what another sends to it.
        for (peer, senders) in [(listener, ["a", "b"]), (b, ["A", "B"])] {
            let received = stage.received(peer);
            for sender in senders {
                let texts = received.split_inclusive('.').filter(|text| text.starts_with(sender));
                let expected: Vec<String> = (0..10).map(|round| format!("{sender}{round}.")).collect();
                assert_eq!(texts.collect::<Vec<_>>(), expected, "seed {seed}");
            }
        }
    }
}

#[test]
fn members_receive_what_is_published_from_joining_to_leaving() {
    for seed in 0..100 {
        let mut stage = Stage::new(seed);
        let [speaker, member] = stage.peers();
        let orders = [
            "publish 1 before.",
            "join 1",
            "publish 1 1.",
            "join 2",
            "publish 2 2.",
            "publish 1 3.",
            "leave 2",
            "publish 2 not.",
        ];
        stage.order(speaker, &orders);
        // What was published to the second group may have left before the connection left the group.
        assert_eq!(stage.received(speaker).replace("2.", ""), "1.3.", "seed {seed}");
        stage.order(member, &["join 1"]);
        stage.server.net().reset(member);
        stage.order(speaker, &["publish 1 4."]);
        assert_eq!(stage.received(speaker), "4.");
    }
}

/// A journal that takes nothing while it is full.
#[derive(Clone, Default)]
struct Full(Arc<Mutex<bool>>);

impl Sink for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.0.lock().unwrap() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(bytes.len()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_sent_after_a_message_was_recorded_waits_for_the_journal_also_for_others() {
    for seed in 0..50 {
        let mut stage = Stage::new(seed);
        let full = Full::default();
        stage.server.set_journal(Journal::to(Box::new(full.clone()), Ack::Written));
        let [a, b] = stage.peers();
        stage.order(b, &["join 1"]);
        *full.0.lock().unwrap() = true;
        stage.order(a, &["publish 1 free."]);
        assert_eq!(stage.received(b), "free.");
        stage.order(a, &["record one."]);
        assert_eq!((stage.received(a), stage.received(b)), (String::new(), String::new()), "seed {seed}");
        // An event of the journal would end the wait.
        *full.0.lock().unwrap() = false;
        let [_other] = stage.peers();
        assert_eq!(stage.received(a), "one.", "seed {seed}");
        assert_eq!(stage.received(b), "one.one.", "seed {seed}");
    }
}
