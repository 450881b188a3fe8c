//! Connections that are not active, and send now and then.

use super::*;
use crate::load::stats::counts::Counts;

/// `count` connections, of which the first is active, and a period of 3000 ns for the others.
fn fixture(count: usize) -> Fixture {
    let mut it = Fixture::open(count, |plan| (plan.active, plan.heartbeat_ns) = (1, Some(3000)));
    it.with(TcpTraffic::start);
    it
}

fn expire(it: &mut Fixture, now_ns: u64) -> Option<u64> {
    it.context.net.now_ns = now_ns;
    it.with(|traffic, context| traffic.expire(context, now_ns))
}

/// Requests on each connection.
fn sent(it: &Fixture) -> Vec<usize> {
    it.context.net.pipes.iter().map(|pipe| pipe.written.len() / REQUEST_BYTES).collect()
}

#[test]
fn heartbeats_are_spread_evenly_over_time_and_connections() {
    let mut it = fixture(4);
    assert_eq!((expire(&mut it, 0), sent(&it)), (Some(1000), vec![1, 1, 0, 0]));
    assert_eq!((expire(&mut it, 999), sent(&it)), (Some(1000), vec![1, 1, 0, 0]));
    assert_eq!((expire(&mut it, 1000), sent(&it)), (Some(2000), vec![1, 1, 1, 0]));
    // A generator that is late sends what was due.
    assert_eq!((expire(&mut it, 3500), sent(&it)), (Some(4000), vec![1, 2, 1, 1]));
    it.with(TcpTraffic::stop);
    assert_eq!((expire(&mut it, 9000), sent(&it)), (None, vec![1, 2, 1, 1]));
}

#[test]
fn replies_to_heartbeats_are_counted_apart_and_followed_by_nothing() {
    let mut it = fixture(3);
    expire(&mut it, 0);
    it.context.net.now_ns = 400;
    for pipe in [0, 1] {
        it.context.net.deliver(pipe, &acknowledgements(1));
        it.ready(it.context.net.event(pipe));
    }
    assert_eq!(sent(&it), [2, 1, 0]);
    let (_, times) = it.context.tally.close_interval(400);
    assert_eq!((times.service.len(), times.heartbeat.len(), times.heartbeat.max()), (1, 1, 400));
    let Counts { sent, answered, heartbeats_sent, heartbeats_answered, .. } = *it.context.tally.counts();
    assert_eq!((sent, answered, heartbeats_sent, heartbeats_answered), (3, 2, 1, 1), "messages include them");
}

#[test]
fn the_time_of_a_heartbeat_runs_from_when_it_was_due() {
    let mut it = fixture(2);
    expire(&mut it, 0);
    expire(&mut it, 3700);
    it.context.net.now_ns = 4000;
    it.context.net.deliver(1, &acknowledgements(2));
    it.ready(it.context.net.event(1));
    let (_, times) = it.context.tally.close_interval(4000);
    // The lag of 700 ns is rounded up to a microsecond.
    assert_eq!((times.heartbeat.len(), times.heartbeat.min()), (2, 1300));
    assert!(times.heartbeat.max().abs_diff(4000) <= 1, "{}", times.heartbeat.max());
}

#[test]
fn a_connection_that_is_lost_sends_no_more_heartbeats_and_those_in_flight_have_failed() {
    let mut it = fixture(3);
    expire(&mut it, 0);
    it.context.net.deliver(1, b"");
    it.ready(it.context.net.event(1));
    expire(&mut it, 6000);
    assert_eq!(sent(&it), [1, 1, 2], "the last was due at 1500 and 4500");
    let Counts { failed, heartbeats_sent, heartbeats_failed, lost, .. } = *it.context.tally.counts();
    assert_eq!((failed, heartbeats_sent, heartbeats_failed, lost), (1, 3, 1, 1));
}

#[test]
fn a_warm_up_is_discarded() {
    let mut it = fixture(3);
    expire(&mut it, 1500);
    it.context.net.deliver(1, &acknowledgements(1));
    it.ready(it.context.net.event(1));
    it.context.tally.discard_messages(1600);
    let Counts { heartbeats_sent, heartbeats_answered, .. } = *it.context.tally.counts();
    assert_eq!((heartbeats_sent, heartbeats_answered), (1, 0), "the one in flight counts as sent now");
    it.context.net.deliver(2, &acknowledgements(1));
    it.ready(it.context.net.event(2));
    assert_eq!(it.context.tally.counts().heartbeats_in_flight(), 0);
}
