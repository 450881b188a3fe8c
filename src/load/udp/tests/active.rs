//! Sockets that become active and idle with the stages of `--active`.

use super::*;
use crate::load::exchange::Exchange;

/// `count` sockets without hellos.
fn fixture(count: usize, pipeline: Option<u32>) -> Fixture {
    let exchange = Exchange { send: "q".parse().ok(), ..Exchange::default() };
    Fixture::of(count, plan(pipeline), Dialect::stated(&exchange))
}

fn set_active(it: &mut Fixture, active: u32) {
    it.with(|traffic, context| traffic.set_active(context, active));
}

/// Requests on each socket.
fn sent(it: &Fixture) -> Vec<usize> {
    it.context.net.sockets.iter().map(|socket| socket.sent.len()).collect()
}

#[test]
fn a_socket_that_becomes_active_again_sends_what_is_missing_of_its_requests_in_flight() {
    let mut it = fixture(2, Some(3));
    set_active(&mut it, 1);
    assert_eq!(sent(&it), [0, 0], "sending has not started");
    it.with(UdpTraffic::start);
    assert_eq!(sent(&it), [3, 0]);
    set_active(&mut it, 2);
    assert_eq!(sent(&it), [3, 3]);
    set_active(&mut it, 0);
    it.answer(0, "a");
    it.answer(1, "a");
    it.answer(1, "a");
    assert_eq!(sent(&it), [3, 3]);
    set_active(&mut it, 2);
    assert_eq!(sent(&it), [4, 5]);
}

#[test]
fn a_timeout_on_a_socket_that_is_idle_is_followed_by_no_request() {
    let mut it = fixture(2, Some(1));
    it.with(UdpTraffic::start);
    set_active(&mut it, 1);
    assert_eq!((it.expire(TIMEOUT_NS), sent(&it)), (Some(2 * TIMEOUT_NS), vec![2, 1]));
    assert_eq!(it.requests(), (3, 0, 0, 2));
}

#[test]
fn sockets_that_are_active_take_the_requests_of_an_open_loop_in_turn() {
    let mut it = fixture(3, None);
    it.with(UdpTraffic::start);
    for (active, expected) in [(2, [2, 2, 0]), (3, [3, 3, 2]), (1, [7, 3, 2])] {
        set_active(&mut it, active);
        (0..4).for_each(|_| it.send_due(0, 0));
        assert_eq!(sent(&it), expected);
    }
}
