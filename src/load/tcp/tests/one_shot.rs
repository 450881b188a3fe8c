//! A connection for each message.

use super::*;

/// One message, whose connection is requested.
fn begin(change: impl FnOnce(&mut FakeNet)) -> Fixture {
    let mut it = Fixture::open(1, |plan| plan.one_shot = true);
    change(&mut it.context.net);
    it.with(TcpTraffic::start);
    it.with(TcpTraffic::resume);
    it
}

fn readable(it: &Fixture, pipe: usize) -> Event {
    Event { writable: false, ..it.context.net.event(pipe) }
}

#[test]
fn a_request_is_sent_at_once_if_the_connection_is_open_when_connecting_returns() {
    let mut it = begin(|net| net.connects_at_once = true);
    assert_eq!(it.context.net.pipes[0].written.len(), REQUEST_BYTES);
    assert!(!it.context.net.pipes[0].is_watched_for_writing);
    let count = *it.context.tally.counts();
    assert_eq!((count.opened, count.connecting, it.traffic.requested.len()), (1, 0, 0));
    it.context.net.deliver(0, &acknowledgements(1));
    it.context.net.now_ns = 700;
    it.ready(readable(&it, 0));
    assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((1, 1, 0), true));
    let (_, times) = it.context.tally.close_interval(700);
    assert_eq!((times.connect.len(), times.service.len(), times.service.max()), (1, 1, 700));
}

#[test]
fn a_request_that_is_sent_in_part_at_once_is_continued_there() {
    let mut it = begin(|net| {
        net.connects_at_once = true;
        net.first_room = Some(10);
    });
    assert_eq!(it.context.net.pipes[0].written.len(), 10);
    assert!(it.context.net.pipes[0].is_watched_for_writing);
    it.context.net.pipes[0].room = usize::MAX;
    it.ready(Event { readable: false, ..it.context.net.event(0) });
    assert_eq!(it.context.net.pipes[0].written.len(), REQUEST_BYTES);
    it.context.net.deliver(0, &acknowledgements(1));
    it.ready(readable(&it, 0));
    assert_eq!(it.messages(), (1, 1, 0));
}

#[test]
fn a_request_waits_for_a_connection_that_is_not_open_at_once() {
    let mut it = begin(|_| {});
    assert_eq!((it.context.net.pipes[0].written.len(), it.context.tally.counts().connecting), (0, 1));
    it.ready(it.context.net.event(0));
    assert_eq!(it.context.net.pipes[0].written.len(), REQUEST_BYTES);
    // When none of some connections was open at once, that is not tried again.
    let mut pipe = 0;
    let mut next = |it: &mut Fixture| {
        it.context.net.deliver(pipe, &acknowledgements(1));
        it.ready(readable(it, pipe));
        pipe += 1;
        it.with(TcpTraffic::resume);
        let written = it.context.net.pipes[pipe].written.len();
        it.ready(it.context.net.event(pipe));
        written
    };
    for later in [14, 15] {
        it.context.net.connects_at_once = false;
        (0..later).for_each(|_| assert_eq!(next(&mut it), 0));
        it.context.net.connects_at_once = true;
        assert_eq!(next(&mut it), REQUEST_BYTES, "one that was open at once forgets those before it");
    }
    it.context.net.connects_at_once = false;
    (0..16).for_each(|_| assert_eq!(next(&mut it), 0));
    it.context.net.connects_at_once = true;
    assert_eq!(next(&mut it), 0);
}

#[test]
fn a_connection_that_fails_at_once_fails_its_message() {
    let it = begin(|net| net.broken_from_ns = Some(0));
    let count = *it.context.tally.counts();
    let failed = it.context.net.pipes.len() as u64;
    assert_eq!((it.messages(), count.unconnected), ((failed, 0, failed), failed));
    assert_eq!((count.connecting, count.opened, count.sent_bytes), (0, 0, 0));
    assert!(failed > 0 && it.context.net.pipes.iter().all(|pipe| pipe.is_closed));
}
