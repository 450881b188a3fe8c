//! Servers of any protocol.

use super::*;
use crate::load::exchange::Exchange;

impl Fixture {
    /// One socket with these requests and answers.
    fn stated(request: &str, reply: Option<&str>, pipeline: Option<u32>) -> Self {
        Self::stated_with(pipeline, |exchange| {
            exchange.send = request.parse().ok();
            exchange.expect = reply.and_then(|reply| reply.parse().ok());
        })
    }

    fn stated_with(pipeline: Option<u32>, change: impl FnOnce(&mut Exchange)) -> Self {
        let mut exchange = Exchange::default();
        change(&mut exchange);
        exchange.check(&"udp=9".parse().unwrap()).unwrap();
        let mut it = Self::of(1, plan(pipeline), Dialect::stated(&exchange));
        it.with(UdpTraffic::start);
        it
    }

    fn sent(&self) -> Vec<&[u8]> {
        self.context.net.sockets[0].sent.iter().map(Vec::as_slice).collect()
    }

    fn duplicates(&self) -> u64 {
        self.context.tally.counts().duplicate
    }

    fn first_failure(self) -> String {
        let (.., mut failures) = self.context.tally.into_parts();
        failures.remove(0).first
    }
}

#[test]
fn answers_with_numbers_are_matched_in_any_order() {
    for (request, reply, answers) in [
        ("q{seq}", "a{seq} {conn}", [&b"a1 1"[..], b"a2 1", b"a3 1"]),
        ("{seq:u16}?", "{seq:u16}!", [b"\0\x01!", b"\0\x02!", b"\0\x03!"]),
    ] {
        let mut it = Fixture::stated(request, Some(reply), Some(3));
        it.with(UdpTraffic::stop);
        assert_eq!((it.sent().len(), it.requests()), (3, (3, 0, 0, 0)));
        it.answer(0, answers[2]);
        it.answer(0, answers[0]);
        it.answer(0, answers[2]);
        assert_eq!((it.requests(), it.duplicates()), ((3, 2, 0, 0), 1));
        assert_eq!(it.expire(1000), None);
        assert_eq!(it.requests(), (3, 2, 0, 1));
        it.answer(0, answers[1]);
        assert_eq!(it.requests(), (3, 3, 1, 0), "it is late");
    }
}

#[test]
fn the_next_request_follows_an_answer_or_its_timeout() {
    let mut it = Fixture::stated("q{seq}", Some("a{seq}"), Some(1));
    it.answer(0, "a1");
    it.context.net.now_ns = 500;
    assert_eq!(it.expire(1000), Some(2000));
    assert_eq!(it.sent(), [b"q1", b"q2", b"q3"]);
    it.answer(0, "a3");
    assert_eq!((it.requests(), it.sent().len()), ((4, 2, 0, 1), 4));
}

#[test]
fn answers_without_numbers_are_taken_in_the_order_of_sending() {
    for reply in [Some("PONG"), None] {
        let mut it = Fixture::stated("PING {seq}", reply, None);
        it.send_due(0, 0);
        it.send_due(600, 600);
        assert_eq!(it.sent(), [b"PING 1", b"PING 2"]);
        assert_eq!(it.expire(1000), Some(1600));
        it.context.net.now_ns = 1100;
        it.answer(0, "PONG");
        assert_eq!(it.requests(), (2, 1, 0, 1), "it answers the second: the first is lost");
        it.answer(0, "PONG");
        assert_eq!((it.requests(), it.duplicates()), ((2, 1, 0, 1), 1));
    }
}

#[test]
fn a_datagram_that_is_no_answer_is_shown_with_what_was_expected() {
    for (reply, datagram, expected) in [
        ("a{seq}", "a7", "byte 1 of the answer is '7', expected '1'; received: a7"),
        ("a{seq}", "a1\n", "the answer has 3 bytes, expected 2; received: a1\\n"),
        ("PONG", "PING", "byte 1 of the answer is 'I', expected 'O'; received: PING"),
    ] {
        let mut it = Fixture::stated("q", Some(reply), Some(1));
        it.answer(0, datagram);
        assert_eq!(it.requests(), (1, 0, 0, 0));
        assert_eq!(it.first_failure(), format!("socket 1: {expected}"));
    }
    let mut it = Fixture::stated_with(Some(1), |it| (it.send, it.expect_bytes) = ("q".parse().ok(), Some(2)));
    it.answer(0, "abc");
    assert_eq!(it.first_failure(), "socket 1: the answer has 3 bytes, expected 2; received: abc");
    let mut it = Fixture::stated_with(Some(1), |it| {
        (it.send, it.expect_until) = ("q".parse().ok(), "\\n".parse().ok());
    });
    it.answer(0, "1\n2\n");
    it.answer(0, "a\nb");
    assert_eq!(it.requests().1, 1);
    assert_eq!(it.first_failure(), "socket 1: the answer does not end in \"\\n\"; received: a\\nb");
}

#[test]
fn a_hello_is_repeated_until_it_is_answered() {
    let hello = |exchange: &mut Exchange| {
        (exchange.send, exchange.expect) = ("q".parse().ok(), "a".parse().ok());
        (exchange.hello, exchange.hello_expect) = ("hello {conn}".parse().ok(), "welcome".parse().ok());
    };
    let mut it = Fixture::stated_with(None, hello);
    assert_eq!((it.expire(1000), it.sent().len()), (Some(2000), 2));
    it.answer(0, "a");
    assert_eq!(it.context.tally.counts().opened, 0, "no request was sent");
    it.answer(0, "welcome");
    it.answer(0, "welcome");
    assert_eq!((it.context.tally.counts().opened, it.duplicates()), (1, 1));
    it.send_due(1000, 1000);
    it.answer(0, "a");
    assert_eq!((it.sent(), it.requests()), (vec![&b"hello 1"[..], b"hello 1", b"q"], (1, 1, 0, 0)));
    let mut it = Fixture::stated_with(None, hello);
    assert_eq!([1000, 2000, 3000].map(|now_ns| it.expire(now_ns)), [Some(2000), Some(3000), None]);
    assert_eq!((it.sent().len(), it.first_failure()), (3, "socket 1: no answer after 3 tries".into()));
}

#[test]
fn a_hello_without_an_answer_is_sent_once() {
    let mut it = Fixture::stated_with(Some(1), |it| {
        (it.send, it.hello) = ("q".parse().ok(), "hello".parse().ok());
    });
    assert_eq!((it.sent(), it.context.tally.counts().opened), (vec![&b"hello"[..], b"q"], 1));
    it.answer(0, "anything");
    assert_eq!(it.requests(), (2, 1, 0, 0));
}

#[test]
fn a_datagram_of_the_largest_size_is_received() {
    let mut it =
        Fixture::stated_with(Some(1), |it| (it.send, it.expect_bytes) = ("q".parse().ok(), Some(65_507)));
    it.answer(0, vec![b'a'; 65_507]);
    assert_eq!(it.requests().1, 1);
}

#[test]
fn a_heartbeat_is_not_late_because_answers_are_awaited_for_longer() {
    let exchange = Exchange { send: "q".parse().ok(), ..Exchange::default() };
    let plan = Plan { active: 1, heartbeat_ns: Some(1000), ..plan(Some(1)) };
    let mut it = Fixture::of(3, plan, Dialect::stated(&exchange));
    it.with(UdpTraffic::start);
    assert_eq!([0, 500].map(|now_ns| it.expire(now_ns)), [Some(500), Some(TIMEOUT_NS)]);
}

#[test]
fn idle_sockets_send_heartbeats_that_are_counted_apart() {
    let exchange = Exchange { send: "q".parse().ok(), ..Exchange::default() };
    let plan = Plan { active: 1, heartbeat_ns: Some(2000), ..plan(Some(1)) };
    let mut it = Fixture::of(3, plan, Dialect::stated(&exchange));
    it.with(UdpTraffic::start);
    assert_eq!(it.expire(0), Some(1000));
    let sent = |it: &Fixture| it.context.net.sockets.iter().map(|it| it.sent.len()).collect::<Vec<_>>();
    assert_eq!(sent(&it), [1, 1, 0]);
    it.context.net.now_ns = 300;
    it.answer(1, "a");
    it.answer(0, "a");
    assert_eq!(sent(&it), [2, 1, 0], "a heartbeat is followed by none");
    assert_eq!(it.expire(1000), Some(1300));
    assert_eq!(sent(&it), [2, 1, 1]);
    let count = *it.context.tally.counts();
    assert_eq!((count.sent, count.heartbeats_sent, count.heartbeats_answered), (4, 2, 1));
    let (_, times) = it.context.tally.close_interval(1000);
    assert_eq!((times.heartbeat.len(), times.service.len()), (1, 1));
}
