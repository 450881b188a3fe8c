//! Connections that are silent and then send once.

use std::io;

use super::*;
use crate::load::idle_probe::GroupCounts;

const MS: u64 = 1_000_000;

/// `count` connections in groups of 10 ms and 30 ms, which have sent the first message at 0; replies may take 5 ms.
fn fixture(count: usize) -> Fixture {
    let mut it = Fixture::open(count, |plan| {
        (plan.active, plan.pipeline, plan.timeout_ns) = (0, None, 5 * MS);
        plan.silences_ns = vec![10 * MS, 30 * MS];
    });
    it.with(TcpTraffic::start);
    it
}

/// The same, after the replies to the first message.
fn silent(count: usize) -> Fixture {
    let mut it = fixture(count);
    (0..count).for_each(|pipe| it.receive(pipe, &acknowledgements(1)));
    it
}

impl Fixture {
    fn receive(&mut self, pipe: usize, bytes: &[u8]) {
        self.context.net.deliver(pipe, bytes);
        self.ready(self.context.net.event(pipe));
    }

    fn at(&mut self, now_ns: u64) -> Option<u64> {
        self.context.net.now_ns = now_ns;
        self.with(|traffic, context| traffic.expire(context, now_ns))
    }

    /// Requests on each connection.
    fn requests(&self) -> Vec<usize> {
        self.context.net.pipes.iter().map(|pipe| pipe.written.len() / REQUEST_BYTES).collect()
    }

    fn is_over(&self) -> bool {
        self.traffic.probe.as_ref().unwrap().is_over()
    }

    fn groups(&self) -> [&GroupCounts; 2] {
        let groups: Vec<_> =
            self.traffic.probe.as_ref().unwrap().groups().map(|(group, _)| &group.counts).collect();
        groups.try_into().unwrap()
    }

    fn first_failure(self) -> String {
        let (.., mut failures) = self.context.tally.into_parts();
        failures.remove(0).first
    }
}

#[test]
fn each_connection_sends_once_before_and_once_after_its_silence() {
    let mut it = silent(4);
    assert_eq!((it.at(MS), it.requests()), (Some(10 * MS), vec![1, 1, 1, 1]));
    assert_eq!((it.at(10 * MS), it.requests()), (Some(15 * MS), vec![2, 1, 2, 1]));
    for pipe in [0, 2] {
        it.receive(pipe, &acknowledgements(1));
    }
    assert_eq!((it.at(15 * MS), it.is_over()), (Some(30 * MS), false));
    assert_eq!((it.at(31 * MS), it.requests()), (Some(36 * MS), vec![2, 2, 2, 2]));
    for pipe in [1, 3] {
        it.receive(pipe, &acknowledgements(1));
    }
    assert!(it.is_over());
    assert_eq!(it.groups().map(|group| (group.probed, group.alive)), [(2, 2), (2, 2)]);
    assert_eq!((it.at(99 * MS), it.messages()), (None, (8, 8, 0)));
}

#[test]
fn a_message_that_is_not_answered_in_time_is_a_silent_death() {
    let mut it = silent(1);
    it.at(10 * MS);
    assert_eq!(it.at(15 * MS - 1), Some(15 * MS));
    assert_eq!((it.at(15 * MS), it.is_over()), (None, true));
    let [group, _] = it.groups();
    assert_eq!((group.unanswered, group.alive, it.messages()), (1, 0, (2, 1, 1)));
    assert!(it.context.net.pipes[0].is_closed);
    assert_eq!(it.first_failure(), "connection 1: no reply within 5 ms");
}

#[test]
fn a_connection_that_does_not_answer_the_first_message_is_not_probed() {
    let mut it = fixture(3);
    it.receive(0, &acknowledgements(1));
    it.receive(1, b"x");
    it.at(5 * MS);
    assert_eq!(
        it.groups().map(|group| (group.probed, group.unanswered, group.other)),
        [(1, 0, 0), (0, 0, 0)]
    );
    assert_eq!(it.context.tally.counts().lost, 2);
    it.at(10 * MS);
    assert_eq!(it.requests(), [2, 1, 1]);
}

#[test]
fn the_end_of_a_stream_in_the_silence_has_its_time_and_afterwards_it_is_on_sending() {
    let mut it = silent(4);
    it.context.net.now_ns = 4 * MS;
    it.receive(0, b"");
    it.at(10 * MS);
    it.receive(2, b"");
    let [group, _] = it.groups();
    let after = group.closed_after.as_ref().unwrap();
    assert_eq!((after.len(), after.max() / 100_000, group.closed_on_sending), (1, 40, 1));
    assert_eq!(it.first_failure(), "connection 1: the server ended the stream after a silence of 4 ms");
}

#[test]
fn a_reset_in_the_silence_has_its_time_and_afterwards_it_is_on_sending() {
    let mut it = silent(6);
    it.context.net.now_ns = 4 * MS;
    it.context.net.pipes[0].reset = true;
    it.ready(it.context.net.event(0));
    it.context.net.pipes[2].broken = Some(io::ErrorKind::ConnectionReset);
    it.at(10 * MS);
    it.context.net.pipes[4].reset = true;
    it.ready(it.context.net.event(4));
    let [group, _] = it.groups();
    let after = group.reset_after.as_ref().unwrap();
    assert_eq!((after.len(), after.max() / 100_000, group.reset_on_sending), (1, 40, 2));
}

#[test]
fn a_wrong_reply_after_the_silence_is_neither_alive_nor_dead() {
    let mut it = silent(1);
    it.at(10 * MS);
    it.receive(0, b"Good morning");
    let [group, _] = it.groups();
    assert_eq!((group.other, group.alive, it.is_over()), (1, 0, true));
}

#[test]
fn bytes_in_the_silence_are_no_reply_and_are_shown_if_the_connection_ends() {
    let mut it = silent(1);
    it.receive(0, b"408 Request Timeout");
    it.receive(0, b"");
    let [group, _] = it.groups();
    assert_eq!((group.received_in_silence, group.closed_after.as_ref().unwrap().len()), (1, 1));
    let expected = "the server ended the stream after a silence of 0 µs; it sent \"408 Request Timeout\"";
    assert_eq!(it.first_failure(), format!("connection 1: {expected}"));
}

#[test]
fn a_run_that_stops_sends_no_more_and_awaits_what_was_sent() {
    let mut it = silent(4);
    it.at(10 * MS);
    it.with(TcpTraffic::stop);
    assert_eq!((it.at(11 * MS), it.requests()), (Some(15 * MS), vec![2, 1, 2, 1]));
    it.receive(0, &acknowledgements(1));
    assert_eq!(it.at(40 * MS), None);
    assert_eq!(it.requests(), [2, 1, 2, 1]);
    let [short, long] = it.groups();
    assert_eq!((short.alive, short.unanswered, long.probed, long.alive), (1, 1, 2, 0));
}
