//! Connections that become active and idle with the stages of `--active`.

use super::*;

fn set_active(it: &mut Fixture, active: u32) {
    it.with(|traffic, context| traffic.set_active(context, active));
}

/// Requests on each connection.
fn sent(it: &Fixture) -> Vec<usize> {
    it.context.net.pipes.iter().map(|pipe| pipe.written.len() / REQUEST_BYTES).collect()
}

#[test]
fn a_connection_that_becomes_active_again_sends_what_is_missing_in_its_pipeline() {
    let mut it = Fixture::open(2, |plan| plan.pipeline = Some(3));
    set_active(&mut it, 1);
    assert_eq!(sent(&it), [0, 0], "sending has not started");
    it.with(TcpTraffic::start);
    assert_eq!(sent(&it), [3, 0]);
    set_active(&mut it, 2);
    assert_eq!(sent(&it), [3, 3]);
    set_active(&mut it, 0);
    for pipe in 0..2 {
        it.context.net.deliver(pipe, &acknowledgements(pipe + 1));
        it.ready(it.context.net.event(pipe));
    }
    assert_eq!(sent(&it), [3, 3]);
    set_active(&mut it, 2);
    assert_eq!(sent(&it), [4, 5]);
}

#[test]
fn connections_that_are_active_take_the_messages_of_an_open_loop_in_turn() {
    let mut it = Fixture::open(3, |plan| plan.pipeline = None);
    it.with(TcpTraffic::start);
    for (active, expected) in [(2, [2, 2, 0]), (3, [3, 3, 2]), (1, [7, 3, 2])] {
        set_active(&mut it, active);
        for _ in 0..4 {
            it.with(|traffic, context| traffic.send_due(context, 0, 0));
        }
        assert_eq!(sent(&it), expected);
    }
}
