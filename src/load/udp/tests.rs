//! Datagrams on a fake network, where the test decides about each answer and about the time.

use super::*;
use crate::load::exchange::Introduction;
use crate::load::fake_net::FakeNet;
use crate::load::sources::Sources;
use crate::service::month::{INTRODUCTION, MONTHS};
use crate::service::{self, ClientSide, Definition};

mod active;
mod any_protocol;
mod idle_probe;

/// The timeout of a datagram.
const TIMEOUT_NS: u64 = 1000;

struct Fixture {
    context: Context<FakeNet>,
    traffic: UdpTraffic<FakeNet>,
}

impl Fixture {
    /// `count` sockets, whose sessions are opening since time 0.
    fn opening(count: usize, pipeline: Option<u32>) -> Self {
        let Some(ClientSide::Datagram(client)) = service::named("month").map(Definition::client_side) else {
            panic!("month is on UDP")
        };
        Self::of(count, plan(pipeline), Dialect::Service(client))
    }

    /// `count` sockets whose first datagrams are sent.
    fn of(count: usize, plan: Plan, dialect: Dialect) -> Self {
        let context = Context { net: FakeNet::default(), tally: Tally::new(0, plan.pipeline.is_some()) };
        let traffic = UdpTraffic::new(plan, dialect, count);
        let mut it = Self { context, traffic };
        (0..count).for_each(|_| assert_eq!(it.with(UdpTraffic::open_next), None));
        it
    }

    /// `count` sockets with open sessions.
    fn open(count: usize, pipeline: Option<u32>) -> Self {
        let mut it = Self::opening(count, pipeline);
        (0..count).for_each(|socket| it.answer(socket, INTRODUCTION));
        it.with(UdpTraffic::start);
        it
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut UdpTraffic<FakeNet>, &mut Context<FakeNet>) -> T) -> T {
        let result = act(&mut self.traffic, &mut self.context);
        self.context.tally.counts().check();
        self.traffic.check(&self.context.tally);
        result
    }

    /// Sends what an open loop was to send at `due_ns`.
    fn send_due(&mut self, due_ns: u64, now_ns: u64) {
        self.context.net.now_ns = now_ns;
        self.with(|traffic, context| traffic.send_due(context, due_ns, now_ns));
    }

    /// `answer` arrives at the socket.
    fn answer(&mut self, socket: usize, answer: impl AsRef<[u8]>) {
        let it = &mut self.context.net.sockets[socket];
        it.incoming.push_back(answer.as_ref().into());
        let event = Event { token: it.token, readable: true, writable: true, ended: false };
        self.with(|traffic, context| traffic.on_event(context, event));
    }

    /// The month that was asked for on the first socket by its request of this number.
    fn month(&self, request: usize) -> &'static str {
        // The first datagram was the hello.
        let datagram = &self.context.net.sockets[0].sent[1 + request];
        let number: usize = std::str::from_utf8(datagram).unwrap().parse().unwrap();
        MONTHS[number - 1]
    }

    /// Advances the clock. Returns when the next timeout will be over.
    fn expire(&mut self, now_ns: u64) -> Option<u64> {
        self.context.net.now_ns = now_ns;
        self.with(|traffic, context| traffic.expire(context, now_ns))
    }

    /// Sent, answered, answered late, overdue.
    fn requests(&self) -> (u64, u64, u64, u64) {
        let count = self.context.tally.counts();
        (count.sent, count.answered, count.late, count.overdue)
    }
}

fn plan(pipeline: Option<u32>) -> Plan {
    let target = "127.0.0.1:9".parse().unwrap();
    Plan {
        target,
        sources: Sources::new(&[], target, 1, false),
        active: u32::MAX,
        pipeline,
        one_shot: false,
        timeout_ns: TIMEOUT_NS,
        introduction: Introduction::default(),
        silences_ns: Vec::new(),
        heartbeat_ns: None,
    }
}

#[test]
fn each_request_has_its_own_timeout() {
    let mut it = Fixture::open(1, None);
    it.send_due(0, 0);
    it.send_due(400, 400);
    it.send_due(700, 700);
    assert_eq!(it.expire(1399), Some(1400));
    assert_eq!(it.requests(), (3, 0, 0, 1));
    it.answer(0, it.month(1));
    it.answer(0, it.month(0));
    assert_eq!(it.requests(), (3, 2, 1, 0));
    assert_eq!(it.expire(1700), None);
    assert_eq!((it.requests(), it.context.tally.counts().in_flight()), ((3, 2, 1, 1), 1));
}

#[test]
fn a_later_request_is_matched_although_an_equal_one_before_it_is_overdue() {
    let mut it = Fixture::open(1, None);
    it.send_due(0, 0);
    assert_eq!(it.expire(1000), None);
    // There are twelve different requests, and the thirteenth equals the first.
    for number in 1..13 {
        it.send_due(1000 + number, 1000 + number);
    }
    assert_eq!(it.month(12), it.month(0));
    assert_eq!(it.requests(), (13, 0, 0, 1));
    it.context.net.now_ns = 1500;
    it.answer(0, it.month(12));
    assert_eq!(it.requests(), (13, 1, 0, 1), "it is answered in time");
    // The others expire one by one; the answered one does not.
    assert_eq!(it.expire(2011), Some(2012));
    assert_eq!(it.expire(2012), None);
    assert_eq!(it.requests(), (13, 1, 0, 12));
    let (_, times) = it.context.tally.close_interval(2012);
    assert_eq!((times.service.len(), times.service.max()), (1, 1500 - 1012));
}

#[test]
fn in_a_closed_loop_a_request_follows_an_answer_or_a_timeout_and_not_a_late_answer() {
    let mut it = Fixture::open(1, Some(2));
    assert_eq!(it.requests(), (2, 0, 0, 0));
    it.answer(0, it.month(0));
    assert_eq!(it.requests(), (3, 1, 0, 0));
    it.expire(1000);
    assert_eq!(it.requests(), (5, 1, 0, 2), "the two in flight are replaced");
    it.answer(0, it.month(1));
    it.answer(0, it.month(1));
    assert_eq!((it.requests(), it.context.tally.counts().duplicate), ((5, 2, 1, 1), 1));
    it.with(UdpTraffic::stop);
    it.answer(0, it.month(3));
    assert_eq!(it.requests(), (5, 3, 1, 1), "nothing is sent after the end");
}

#[test]
fn overdue_requests_are_not_awaited_at_the_end() {
    let mut it = Fixture::open(1, Some(2));
    it.with(UdpTraffic::stop);
    it.answer(0, it.month(0));
    assert!(!it.traffic.is_drained(&it.context.tally));
    it.expire(1000);
    assert!(it.traffic.is_drained(&it.context.tally));
}

#[test]
fn requests_of_an_open_loop_take_the_open_sockets_in_turn_and_count_from_when_they_were_due() {
    let mut it = Fixture::opening(3, None);
    [0, 2].into_iter().for_each(|socket| it.answer(socket, INTRODUCTION));
    it.with(UdpTraffic::start);
    for _ in 0..4 {
        it.send_due(100_000, 300_000);
    }
    let sent: Vec<usize> = it.context.net.sockets.iter().map(|socket| socket.sent.len() - 1).collect();
    assert_eq!(sent, [2, 0, 2]);
    it.context.net.now_ns = 400_000;
    it.answer(0, it.month(0));
    let (_, times) = it.context.tally.close_interval(400_000);
    assert!(times.service.equivalent(times.service.max(), 100_000), "{}", times.service.max());
    assert!(times.response.equivalent(times.response.max(), 300_000), "{}", times.response.max());
}

#[test]
fn the_time_to_open_a_session_runs_from_the_first_hello() {
    let mut it = Fixture::opening(1, None);
    assert_eq!(it.expire(1000), Some(2000));
    it.context.net.now_ns = 1500;
    it.answer(0, INTRODUCTION);
    assert_eq!(it.context.net.sockets[0].sent.len(), 2);
    let (_, times) = it.context.tally.close_interval(1500);
    assert!(times.connect.equivalent(times.connect.max(), 1500), "{}", times.connect.max());
}

#[test]
fn the_error_for_a_repeated_hello_is_not_a_wrong_reply() {
    let mut it = Fixture::opening(1, Some(1));
    it.expire(1000);
    it.answer(0, INTRODUCTION);
    it.answer(0, "Error: expected a number from 1 to 12");
    it.with(UdpTraffic::start);
    it.answer(0, it.month(1));
    assert_eq!(it.requests(), (2, 1, 0, 0));
    assert_eq!(it.context.tally.into_parts().2, []);
}

#[test]
fn an_unexpected_answer_is_reported_and_answers_nothing() {
    let mut it = Fixture::open(1, Some(1));
    it.answer(0, "Smarch\u{1b}");
    assert_eq!(it.requests(), (1, 0, 0, 0));
    let (.., failures) = it.context.tally.into_parts();
    assert_eq!((failures[0].reason, failures[0].count), (ErrorKind::WrongReply, 1));
    assert_eq!(failures[0].first, "socket 1: unexpected answer: Smarch\\u{1b}");
}
