//! Rounds of a closed loop: all replies in one read, then all messages in one write.

use super::*;

const PIPELINE: usize = 3;

fn begin() -> Fixture {
    let mut it = Fixture::open(2, |plan| plan.pipeline = Some(3));
    it.with(TcpTraffic::start);
    it
}

#[test]
fn a_round_sends_as_many_messages_as_were_answered_and_measures_each() {
    let mut it = begin();
    for round in 1..=2 {
        it.context.net.now_ns += 1000;
        it.context.net.deliver(0, &acknowledgements(PIPELINE));
        it.ready(it.context.net.event(0));
        assert_eq!(it.messages(), (6 + 3 * round, 3 * round, 0));
    }
    assert_eq!(it.context.net.pipes[0].written.len(), 3 * PIPELINE * REQUEST_BYTES);
    let count = *it.context.tally.counts();
    assert_eq!((count.sent_bytes, count.received_bytes), (12 * 90, 6 * 97));
    let last = it.context.tally.last_reply();
    assert_eq!((last.at_ns, last.sent, last.in_flight), (2000, 9, 3));
    let (_, times) = it.context.tally.close_interval(2000);
    assert_eq!((times.service.len(), times.service.min(), times.service.max()), (6, 1000, 1000));
}

#[test]
fn a_wrong_byte_anywhere_in_a_round_ends_the_connection() {
    let mut replies = acknowledgements(PIPELINE);
    for position in 0..replies.len() {
        replies[position] ^= 1;
        let mut it = begin();
        it.context.net.deliver(0, &replies);
        it.ready(it.context.net.event(0));
        assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((6, 0, 3), true), "{position}");
        replies[position] ^= 1;
    }
}

#[test]
fn whole_replies_in_the_middle_of_one_end_the_connection() {
    let mut it = begin();
    for replies in [&acknowledgements(1)[..10], &acknowledgements(PIPELINE)[..]] {
        it.context.net.deliver(0, replies);
        it.ready(it.context.net.event(0));
    }
    assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((6, 0, 3), true));
}

#[test]
fn messages_that_were_not_sent_together_are_measured_in_their_order() {
    let mut it = begin();
    // One message is sent at 1000, two at 2000; the first reply after these is that to the one.
    for replies in [1, 2, 1] {
        it.context.tally.begin_interval();
        it.context.net.now_ns += 1000;
        it.context.net.deliver(0, &acknowledgements(replies));
        it.ready(it.context.net.event(0));
    }
    let (_, times) = it.context.tally.close_interval(3000);
    assert_eq!((times.service.len(), times.service.max()), (1, 2000));
}

#[test]
fn a_reply_more_than_messages_ends_the_connection() {
    let mut it = begin();
    it.context.net.deliver(0, &acknowledgements(PIPELINE + 1));
    it.ready(it.context.net.event(0));
    assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((6, 3, 0), true));
}

#[test]
fn the_write_of_a_round_cut_at_any_byte_is_continued_there() {
    for cut in 0..PIPELINE * REQUEST_BYTES {
        let mut it = begin();
        it.context.net.pipes[0].room = cut;
        it.context.net.deliver(0, &acknowledgements(PIPELINE));
        it.ready(it.context.net.event(0));
        it.context.net.pipes[0].room = usize::MAX;
        it.ready(it.context.net.event(0));
        let (first, second) = it.context.net.pipes[0].written.split_at(PIPELINE * REQUEST_BYTES);
        assert!(first == second, "cut at {cut}");
    }
}

#[test]
fn the_messages_of_a_round_that_cannot_be_written_fail() {
    let mut it = begin();
    it.context.net.pipes[0].broken = Some(io::ErrorKind::BrokenPipe);
    it.context.net.deliver(0, &acknowledgements(PIPELINE));
    it.ready(it.context.net.event(0));
    assert_eq!((it.messages(), it.context.net.pipes[0].is_closed), ((9, 3, 3), true));
}

#[test]
fn no_round_follows_the_end_of_sending() {
    let mut it = begin();
    it.with(|traffic, context| traffic.set_active(context, 1));
    for pipe in [0, 1] {
        it.context.net.deliver(pipe, &acknowledgements(PIPELINE));
        it.ready(it.context.net.event(pipe));
    }
    assert_eq!(it.messages(), (9, 6, 0), "the second connection is not active any more");
    it.with(TcpTraffic::stop);
    it.context.net.deliver(0, &acknowledgements(PIPELINE));
    it.ready(it.context.net.event(0));
    assert_eq!(it.messages(), (9, 9, 0));
}
