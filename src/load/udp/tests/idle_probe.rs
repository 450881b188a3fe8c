//! Sockets that are silent and then send once.

use std::io;

use super::*;
use crate::load::exchange::Exchange;
use crate::load::idle_probe::GroupCounts;

const MS: u64 = 1_000_000;

/// `count` sockets in a group of 10 ms, which have sent the first request at 0; answers may take 5 ms.
fn fixture(count: usize, dialect: Dialect) -> Fixture {
    let plan = Plan { active: 0, timeout_ns: 5 * MS, silences_ns: vec![10 * MS], ..plan(None) };
    Fixture::of(count, plan, dialect)
}

fn months(count: usize) -> Fixture {
    let Some(ClientSide::Datagram(client)) = service::named("month").map(Definition::client_side) else {
        panic!("month is on UDP")
    };
    let mut it = fixture(count, Dialect::Service(client));
    (0..count).for_each(|socket| it.answer(socket, INTRODUCTION));
    it.with(UdpTraffic::start);
    (0..count).for_each(|socket| answer(&mut it, socket));
    it
}

/// Answers the last request of a socket.
fn answer(it: &mut Fixture, socket: usize) {
    let request = it.context.net.sockets[socket].sent.last().unwrap();
    let number: usize = std::str::from_utf8(request).unwrap().parse().unwrap();
    it.answer(socket, MONTHS[number - 1]);
}

fn group(it: &Fixture) -> &GroupCounts {
    it.traffic.probe.as_ref().unwrap().groups().map(|(group, _)| &group.counts).next().unwrap()
}

#[test]
fn a_request_after_the_silence_is_answered_or_not() {
    let mut it = months(2);
    assert_eq!(it.expire(9 * MS), Some(10 * MS));
    assert_eq!(it.expire(10 * MS), Some(15 * MS));
    answer(&mut it, 0);
    assert_eq!(it.expire(15 * MS), None);
    let GroupCounts { probed, alive, unanswered, .. } = *group(&it);
    assert_eq!((probed, alive, unanswered), (2, 1, 1));
    assert!(it.traffic.probe.as_ref().unwrap().is_over());
    // An hello, and two requests.
    assert!(it.context.net.sockets.iter().all(|socket| socket.sent.len() == 3));
}

#[test]
fn an_introduction_instead_of_the_answer_is_the_loss_of_the_session() {
    let mut it = months(1);
    it.answer(0, INTRODUCTION);
    assert_eq!(group(&it).new_session, 0, "it is silent");
    it.expire(10 * MS);
    it.answer(0, INTRODUCTION);
    assert_eq!((group(&it).new_session, group(&it).alive), (1, 0));
    it.expire(15 * MS);
    assert_eq!((group(&it).new_session, group(&it).unanswered), (1, 0));
}

#[test]
fn a_rejected_request_is_a_reset() {
    let mut it = months(1);
    it.expire(10 * MS);
    it.with(|traffic, context| traffic.broken(context, 0, &io::ErrorKind::ConnectionRefused.into()));
    assert_eq!(group(&it).reset_on_sending, 1);
}

#[test]
fn a_server_without_sessions_is_asked_before_the_silence_as_well() {
    let exchange = Exchange { send: "ping".parse().ok(), ..Exchange::default() };
    let mut it = fixture(1, Dialect::stated(&exchange));
    it.with(UdpTraffic::start);
    assert_eq!(it.context.net.sockets[0].sent, [b"ping"]);
    assert_eq!((it.expire(MS), group(&it).probed), (Some(5 * MS), 0));
    it.context.net.now_ns = 2 * MS;
    it.answer(0, "pong");
    assert_eq!((it.expire(5 * MS), group(&it).probed), (Some(12 * MS), 1));
    it.expire(12 * MS);
    it.answer(0, "pong");
    assert_eq!((it.context.net.sockets[0].sent.len(), group(&it).alive), (2, 1));
}
