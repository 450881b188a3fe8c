//! Connections on a fake network, where the test decides about each read and write.

use std::io;

use super::*;
use crate::frame;
use crate::load::exchange::Introduction;
use crate::load::fake_net::FakeNet;
use crate::load::message_buffers::MessageBuffers;
use crate::load::sources::Sources;
use crate::load::stats::tally::Tally;
use crate::service::message::ACKNOWLEDGEMENT;
use crate::service::{self, ClientSide, Definition};

mod active;
mod any_protocol;
mod heartbeats;
mod idle_probe;
mod one_shot;
mod rounds;

/// Bytes of a request of the default size.
const REQUEST_BYTES: usize = 64 + 26;

struct Fixture {
    context: Context<FakeNet>,
    traffic: TcpTraffic<FakeNet>,
}

impl Fixture {
    /// `count` open connections.
    fn open(count: usize, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = plan();
        change(&mut plan);
        let Some(ClientSide::Stream(client)) = service::named("message").map(Definition::client_side) else {
            panic!("message is on TCP")
        };
        Self::open_with(count, plan, MessageBuffers::new(client, 26))
    }

    /// `count` connections that are only held.
    fn hold(count: usize) -> Self {
        Self::open_with(count, Plan { active: 0, ..plan() }, MessageBuffers::default())
    }

    fn open_with(count: usize, plan: Plan, messages: MessageBuffers) -> Self {
        let one_shot = plan.one_shot;
        let traffic = TcpTraffic::new(plan, messages, count);
        let context = Context { net: FakeNet::default(), tally: Tally::new(0, true) };
        let mut it = Self { context, traffic };
        if !one_shot {
            for pipe in 0..count {
                assert_eq!(it.with(TcpTraffic::open_next), None);
                it.ready(it.context.net.event(pipe));
            }
        }
        it
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut TcpTraffic<FakeNet>, &mut Context<FakeNet>) -> T) -> T {
        let result = act(&mut self.traffic, &mut self.context);
        self.context.tally.counts().check();
        self.traffic.check(&self.context.tally);
        result
    }

    fn ready(&mut self, event: Event) {
        self.with(|traffic, context| traffic.on_event(context, event));
    }

    /// Sent, answered, failed.
    fn messages(&self) -> (u64, u64, u64) {
        let count = self.context.tally.counts();
        (count.sent, count.answered, count.failed)
    }
}

fn plan() -> Plan {
    let target = "127.0.0.1:9".parse().unwrap();
    Plan {
        target,
        sources: Sources::new(&[], target, 1, false),
        active: u32::MAX,
        pipeline: Some(1),
        one_shot: false,
        timeout_ns: 1000,
        introduction: Introduction::default(),
        silences_ns: Vec::new(),
        heartbeat_ns: None,
    }
}

fn acknowledgements(count: usize) -> Vec<u8> {
    let mut one = Vec::new();
    frame::append(ACKNOWLEDGEMENT, &mut one);
    one.repeat(count)
}

#[test]
fn a_write_cut_at_any_byte_is_continued_there() {
    let whole = {
        let mut it = Fixture::open(1, |plan| plan.pipeline = Some(3));
        it.with(TcpTraffic::start);
        it.context.net.pipes[0].written.clone()
    };
    assert_eq!(whole.len(), 3 * REQUEST_BYTES);
    for cut in 0..whole.len() {
        let mut it = Fixture::open(1, |plan| plan.pipeline = Some(3));
        it.context.net.pipes[0].room = cut;
        it.with(TcpTraffic::start);
        assert_eq!(it.context.net.pipes[0].written, whole[..cut]);
        // An event changes nothing while there is no room.
        it.ready(it.context.net.event(0));
        it.context.net.pipes[0].room = usize::MAX;
        it.ready(it.context.net.event(0));
        assert_eq!(it.context.net.pipes[0].written, whole, "cut at {cut}");
        assert_eq!((it.messages(), it.context.tally.counts().sent_bytes), ((3, 0, 0), whole.len() as u64));
        // The next messages are written at once, since no further event announces that there is room.
        it.context.net.deliver(0, &acknowledgements(3));
        it.ready(Event { writable: false, ..it.context.net.event(0) });
        assert_eq!(it.context.net.pipes[0].written.len(), 2 * whole.len());
    }
}

#[test]
fn replies_cut_at_any_byte_are_accepted() {
    let replies = acknowledgements(3);
    for cut in 1..replies.len() {
        let mut it = Fixture::open(1, |plan| plan.pipeline = Some(3));
        it.with(TcpTraffic::start);
        it.with(TcpTraffic::stop);
        for part in [&replies[..cut], &replies[cut..]] {
            it.context.net.deliver(0, part);
            it.ready(it.context.net.event(0));
        }
        assert_eq!(it.messages(), (3, 3, 0), "cut at {cut}");
        assert_eq!((it.context.tally.counts().lost, it.context.net.pipes[0].is_closed), (0, false));
    }
}

#[test]
fn a_wrong_byte_anywhere_ends_the_connection_and_fails_what_is_in_flight() {
    let mut replies = acknowledgements(2);
    for position in 0..replies.len() {
        replies[position] ^= 0x80;
        let mut it = Fixture::open(1, |plan| plan.pipeline = Some(5));
        it.with(TcpTraffic::start);
        it.context.net.deliver(0, &replies);
        it.ready(it.context.net.event(0));
        // A read is accepted or rejected as a whole.
        assert_eq!(it.messages(), (5, 0, 5), "wrong at {position}");
        assert_eq!(
            (
                it.context.tally.counts().lost,
                it.context.tally.counts().open,
                it.context.net.pipes[0].is_closed
            ),
            (1, 0, true)
        );
        replies[position] ^= 0x80;
    }
}

#[test]
fn an_event_of_an_ended_connection_does_not_reach_the_next_in_its_slot() {
    let mut it = Fixture::open(1, |plan| plan.one_shot = true);
    it.with(TcpTraffic::start);
    it.with(TcpTraffic::resume);
    it.ready(it.context.net.event(0));
    it.context.net.deliver(0, &acknowledgements(1));
    let stale = it.context.net.event(0);
    it.ready(stale);
    assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((1, 1, 0), true));
    it.with(TcpTraffic::resume);
    it.ready(it.context.net.event(1));
    it.context.net.deliver(1, b"not read for an event of the other");
    it.ready(Event { ended: true, ..stale });
    assert_eq!((it.messages(), it.context.net.pipes[1].incoming.len()), ((2, 1, 0), 1));
    it.ready(it.context.net.event(1));
    assert_eq!(it.messages(), (2, 1, 1));
}

#[test]
fn a_connection_reads_a_bounded_amount_in_a_turn() {
    let mut it = Fixture::open(1, |plan| plan.pipeline = Some(50_000));
    it.with(TcpTraffic::start);
    it.with(TcpTraffic::stop);
    it.context.net.deliver(0, &acknowledgements(50_000));
    it.ready(it.context.net.event(0));
    let (_, answered, _) = it.messages();
    assert!((5000..15_000).contains(&answered), "{answered}");
    assert!(it.traffic.has_pending_work());
    for _ in 0..10 {
        it.with(TcpTraffic::resume);
    }
    assert_eq!((it.messages(), it.traffic.has_pending_work()), ((50_000, 50_000, 0), false));
}

#[test]
fn unread_bytes_of_an_ended_connection_are_discarded() {
    let mut it = Fixture::open(1, |plan| plan.pipeline = Some(20_000));
    it.with(TcpTraffic::start);
    it.context.net.deliver(0, &acknowledgements(20_000));
    it.context.net.pipes[0].room = 0;
    it.ready(it.context.net.event(0));
    assert!(it.traffic.has_pending_work());
    it.context.net.pipes[0].broken = Some(io::ErrorKind::BrokenPipe);
    it.context.net.pipes[0].incoming.clear();
    it.ready(it.context.net.event(0));
    assert!(it.context.net.pipes[0].is_closed);
    it.with(TcpTraffic::resume);
    assert!(!it.traffic.has_pending_work());
    assert_eq!(it.context.tally.counts().in_flight(), 0);
}

#[test]
fn the_last_reply_of_a_server_is_read_although_writing_fails() {
    let mut it = Fixture::open(1, |plan| plan.pipeline = Some(2));
    it.with(TcpTraffic::start);
    let mut last = acknowledgements(1);
    frame::append("Error: no more", &mut last);
    it.context.net.deliver(0, &last[..97]);
    it.context.net.deliver(0, &last[97..]);
    it.context.net.deliver(0, b"");
    it.context.net.pipes[0].broken = Some(io::ErrorKind::BrokenPipe);
    // The first reply triggers the next message, whose write fails.
    it.ready(Event { ended: true, ..it.context.net.event(0) });
    let count = it.context.tally.counts();
    assert_eq!((count.answered, count.in_flight(), count.lost), (1, 0, 1));
    let (.., failures) = it.context.tally.into_parts();
    assert_eq!((failures.len(), failures[0].reason), (1, ErrorKind::ServerRefuses));
    assert!(failures[0].first.ends_with("the server refused: no more"), "{failures:?}");
}

#[test]
fn what_a_server_sent_before_it_closed_a_held_connection_is_reported() {
    for is_started in [false, true] {
        let mut it = Fixture::hold(2);
        if is_started {
            it.with(TcpTraffic::start);
        }
        let reason = [b"-DENIED in protected mode\r\n", &b"x".repeat(200)[..]].concat();
        it.context.net.deliver(1, &reason);
        it.context.net.deliver(1, b"");
        it.ready(Event { ended: true, ..it.context.net.event(1) });
        it.context.net.deliver(0, b"");
        it.ready(it.context.net.event(0));
        let (.., failures) = it.context.tally.into_parts();
        let expected = format!(
            "connection 2: the server ended the stream; it sent \"-DENIED in protected mode\\r\\n{}…\" (227 bytes)",
            "x".repeat(80 - 29)
        );
        assert_eq!((failures[0].count, &*failures[0].first), (2, &*expected));
    }
}

#[test]
fn messages_are_distributed_over_the_open_connections() {
    let mut it = Fixture::open(3, |plan| plan.pipeline = None);
    it.with(TcpTraffic::start);
    it.context.net.deliver(1, b"");
    it.ready(it.context.net.event(1));
    for due_ns in 0..4 {
        it.with(|traffic, context| traffic.send_due(context, due_ns, due_ns));
    }
    let written: Vec<usize> =
        it.context.net.pipes.iter().map(|pipe| pipe.written.len() / REQUEST_BYTES).collect();
    assert_eq!(written, [2, 0, 2]);
    for pipe in [0, 2] {
        it.context.net.deliver(pipe, b"");
        it.ready(it.context.net.event(pipe));
    }
    assert!(!it.traffic.can_send());
    it.with(|traffic, context| traffic.send_due(context, 9, 9));
    assert_eq!(it.messages(), (4, 0, 4));
    let (.., failures) = it.context.tally.into_parts();
    assert!(
        failures.iter().any(|failure| (failure.reason, failure.count) == (ErrorKind::NoFreeConnection, 1))
    );
}

#[test]
fn a_connection_times_out_by_its_own_start_and_not_by_an_earlier_one() {
    let mut it = Fixture::open(2, |plan| plan.one_shot = true);
    it.with(TcpTraffic::start);
    // One message waits for its connection while the other slot has 256 others.
    it.with(TcpTraffic::start_messages);
    let first = 0;
    for number in 1..=256 {
        it.context.net.now_ns = 1;
        it.ready(it.context.net.event(number));
        it.context.net.deliver(number, &acknowledgements(1));
        it.ready(it.context.net.event(number));
        it.with(TcpTraffic::resume);
    }
    assert_eq!((it.messages(), it.context.net.pipes[first].is_closed), ((258, 256, 0), false));
    it.context.net.now_ns = 1000;
    let next_ns = it.with(|traffic, context| traffic.expire(context, 1000));
    assert_eq!((it.messages(), it.context.net.pipes[first].is_closed), ((258, 256, 1), true));
    assert_eq!(next_ns, Some(1001), "the last was requested later");
}

#[test]
fn the_time_to_connect_runs_from_the_request() {
    let mut it = Fixture::open(0, |_| {});
    it.context.net.now_ns = 100;
    assert_eq!(it.with(TcpTraffic::open_next), None);
    it.context.net.now_ns = 600;
    it.ready(it.context.net.event(0));
    let (_, times) = it.context.tally.close_interval(600);
    assert_eq!((times.connect.len(), times.connect.max()), (1, 500));
}

#[test]
fn a_source_without_ports_is_passed_over_and_any_other_error_is_not() {
    let sources = ["127.0.0.5/32", "127.0.0.6/32"].map(|source| source.parse().unwrap());
    let tried_after = |kind: io::ErrorKind| {
        let mut it = Fixture::open(0, |plan| plan.sources = Sources::new(&sources, plan.target, 1, false));
        it.context.net.connect_errors.push_back(kind);
        it.with(TcpTraffic::open_next);
        (it.context.net.tried_sources.len(), it.context.tally.counts().open_failed)
    };
    assert_eq!(tried_after(io::ErrorKind::AddrNotAvailable), (2, 0));
    assert_eq!(tried_after(io::ErrorKind::ConnectionRefused), (1, 1));
}
