//! Connections on a network whose every read and write a test decides.

use super::*;
use crate::frame;
use crate::load::fake_net::FakeNet;
use crate::load::message_buffers::MessageBuffers;
use crate::load::stats::tally::Tally;
use crate::service::message::ACKNOWLEDGEMENT;
use crate::service::{self, ClientSide, Definition};

/// Bytes of a request of the default size.
const REQUEST_BYTES: usize = 64 + 26;

struct Scenery {
    net: FakeNet,
    tally: Tally,
    traffic: TcpTraffic<FakeNet>,
}

impl Scenery {
    /// `count` connections that are open; messages may be sent on them.
    fn open(count: usize, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = Plan { active: u32::MAX, pipeline: Some(1), one_shot: false, timeout_ns: 1000 };
        change(&mut plan);
        let target = "127.0.0.1:9".parse().unwrap();
        let Some(ClientSide::Stream(client)) = service::named("message").map(Definition::client_side) else {
            panic!("message is on TCP")
        };
        let messages = MessageBuffers::new(client, 26);
        let sources = Sources::new(&[], target, 1);
        let traffic = TcpTraffic::new(plan, target, sources, messages, count);
        let mut it = Self { net: FakeNet::default(), tally: Tally::new(0, true), traffic };
        if !plan.one_shot {
            for pipe in 0..count {
                assert_eq!(it.with(TcpTraffic::open_next), None);
                it.ready(it.net.event(pipe));
            }
        }
        it
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut TcpTraffic<FakeNet>, &mut Context<'_, FakeNet>) -> T) -> T {
        let result = act(&mut self.traffic, &mut Context { net: &mut self.net, tally: &mut self.tally });
        self.tally.counts().check();
        self.traffic.check(&self.tally);
        result
    }

    fn ready(&mut self, event: Event) {
        self.with(|traffic, context| traffic.on_event(context, event));
    }

    /// Sent, answered, failed.
    fn messages(&self) -> (u64, u64, u64) {
        let count = self.tally.counts();
        (count.sent, count.answered, count.failed)
    }
}

fn acknowledgements(count: usize) -> Vec<u8> {
    let mut one = Vec::new();
    frame::append(ACKNOWLEDGEMENT, &mut one);
    one.repeat(count)
}

#[test]
fn writes_that_are_cut_at_any_byte_go_on_where_they_stopped() {
    let whole = {
        let mut it = Scenery::open(1, |plan| plan.pipeline = Some(3));
        it.with(TcpTraffic::start);
        it.net.pipes[0].written.clone()
    };
    assert_eq!(whole.len(), 3 * REQUEST_BYTES);
    for cut in 0..whole.len() {
        let mut it = Scenery::open(1, |plan| plan.pipeline = Some(3));
        it.net.pipes[0].room = cut;
        it.with(TcpTraffic::start);
        assert_eq!(it.net.pipes[0].written, whole[..cut]);
        // As long as there is no room, an event changes nothing.
        it.ready(it.net.event(0));
        it.net.pipes[0].room = usize::MAX;
        it.ready(it.net.event(0));
        assert_eq!(it.net.pipes[0].written, whole, "cut at {cut}");
        assert_eq!((it.messages(), it.tally.counts().sent_bytes), ((3, 0, 0), whole.len() as u64));
    }
}

#[test]
fn replies_that_are_cut_at_any_byte_are_judged_as_if_they_were_not() {
    let replies = acknowledgements(3);
    for cut in 1..replies.len() {
        let mut it = Scenery::open(1, |plan| plan.pipeline = Some(3));
        it.with(TcpTraffic::start);
        it.with(TcpTraffic::stop);
        for part in [&replies[..cut], &replies[cut..]] {
            it.net.bring(0, part);
            it.ready(it.net.event(0));
        }
        assert_eq!(it.messages(), (3, 3, 0), "cut at {cut}");
        assert_eq!((it.tally.counts().lost, it.net.pipes[0].is_closed), (0, false));
    }
}

#[test]
fn a_wrong_byte_anywhere_ends_the_connection_and_fails_what_is_in_flight() {
    let mut replies = acknowledgements(2);
    for place in 0..replies.len() {
        replies[place] ^= 0x80;
        let mut it = Scenery::open(1, |plan| plan.pipeline = Some(5));
        it.with(TcpTraffic::start);
        it.net.bring(0, &replies);
        it.ready(it.net.event(0));
        // A read is right or wrong as a whole.
        assert_eq!(it.messages(), (5, 0, 5), "wrong at {place}");
        assert_eq!((it.tally.counts().lost, it.tally.counts().open, it.net.pipes[0].is_closed), (1, 0, true));
        replies[place] ^= 0x80;
    }
}

#[test]
fn an_event_of_a_connection_that_is_over_does_not_reach_the_next_at_its_place() {
    let mut it = Scenery::open(1, |plan| plan.one_shot = true);
    it.with(TcpTraffic::start);
    it.with(TcpTraffic::resume);
    it.ready(it.net.event(0));
    it.net.bring(0, &acknowledgements(1));
    let stale = it.net.event(0);
    it.ready(stale);
    assert_eq!((it.messages(), it.net.pipes[0].is_closed), ((1, 1, 0), true));
    it.with(TcpTraffic::resume);
    it.ready(it.net.event(1));
    it.net.bring(1, b"not to be read for an event of the other");
    it.ready(Event { ended: true, ..stale });
    assert_eq!((it.messages(), it.net.pipes[1].incoming.len()), ((2, 1, 0), 1));
    it.ready(it.net.event(1));
    assert_eq!(it.messages(), (2, 1, 1));
}

#[test]
fn one_connection_does_not_get_more_than_its_share_of_a_turn() {
    let mut it = Scenery::open(1, |plan| plan.pipeline = Some(50_000));
    it.with(TcpTraffic::start);
    it.with(TcpTraffic::stop);
    it.net.bring(0, &acknowledgements(50_000));
    it.ready(it.net.event(0));
    let (_, answered, _) = it.messages();
    assert!((5000..15_000).contains(&answered), "{answered}");
    assert!(it.traffic.has_pending_work());
    for _ in 0..10 {
        it.with(TcpTraffic::resume);
    }
    assert_eq!((it.messages(), it.traffic.has_pending_work()), ((50_000, 50_000, 0), false));
}

#[test]
fn what_is_left_to_read_of_a_connection_that_is_over_is_forgotten() {
    let mut it = Scenery::open(1, |plan| plan.pipeline = Some(20_000));
    it.with(TcpTraffic::start);
    it.net.bring(0, &acknowledgements(20_000));
    it.net.pipes[0].room = 0;
    it.ready(it.net.event(0));
    assert!(it.traffic.has_pending_work());
    it.net.pipes[0].broken = Some(io::ErrorKind::BrokenPipe);
    it.net.pipes[0].incoming.clear();
    it.ready(it.net.event(0));
    assert!(it.net.pipes[0].is_closed);
    it.with(TcpTraffic::resume);
    assert!(!it.traffic.has_pending_work());
    assert_eq!(it.tally.counts().in_flight(), 0);
}

#[test]
fn what_a_server_says_before_it_closes_is_heard_though_writing_fails() {
    let mut it = Scenery::open(1, |plan| plan.pipeline = Some(2));
    it.with(TcpTraffic::start);
    let mut last = acknowledgements(1);
    frame::append("Error: no more", &mut last);
    it.net.bring(0, &last[..97]);
    it.net.bring(0, &last[97..]);
    it.net.bring(0, b"");
    it.net.pipes[0].broken = Some(io::ErrorKind::BrokenPipe);
    // The first reply makes the next message due, and its write fails.
    it.ready(Event { ended: true, ..it.net.event(0) });
    let count = it.tally.counts();
    assert_eq!((count.answered, count.in_flight(), count.lost), (1, 0, 1));
    let (.., failures) = it.tally.into_parts();
    assert_eq!((failures.len(), failures[0].reason), (1, ErrorKind::ServerRefuses));
    assert!(failures[0].first.ends_with("the server refused: no more"), "{failures:?}");
}

#[test]
fn messages_go_round_the_connections_that_are_there() {
    let mut it = Scenery::open(3, |plan| plan.pipeline = None);
    it.with(TcpTraffic::start);
    it.net.bring(1, b"");
    it.ready(it.net.event(1));
    for due_ns in 0..4 {
        it.with(|traffic, context| traffic.send_due(context, due_ns, due_ns));
    }
    let written: Vec<usize> = it.net.pipes.iter().map(|pipe| pipe.written.len() / REQUEST_BYTES).collect();
    assert_eq!(written, [2, 0, 2]);
    for pipe in [0, 2] {
        it.net.bring(pipe, b"");
        it.ready(it.net.event(pipe));
    }
    assert!(!it.traffic.can_send());
    it.with(|traffic, context| traffic.send_due(context, 9, 9));
    assert_eq!(it.messages(), (4, 0, 4));
    let (.., failures) = it.tally.into_parts();
    assert!(
        failures.iter().any(|failure| (failure.reason, failure.count) == (ErrorKind::NoFreeConnection, 1))
    );
}

#[test]
fn a_connection_is_given_up_when_its_time_is_over_and_not_for_the_one_before_it() {
    let mut it = Scenery::open(2, |plan| plan.one_shot = true);
    it.with(TcpTraffic::start);
    // One waits for its connection while the other place has 256 others.
    it.with(TcpTraffic::start_messages);
    let first = 0;
    for number in 1..=256 {
        it.net.now_ns = 1;
        it.ready(it.net.event(number));
        it.net.bring(number, &acknowledgements(1));
        it.ready(it.net.event(number));
        it.with(TcpTraffic::resume);
    }
    assert_eq!((it.messages(), it.net.pipes[first].is_closed), ((258, 256, 0), false));
    it.net.now_ns = 1000;
    let next_ns = it.with(|traffic, context| traffic.expire(context, 1000));
    assert_eq!((it.messages(), it.net.pipes[first].is_closed), ((258, 256, 1), true));
    assert_eq!(next_ns, Some(1001), "the last was asked for later");
}
