//! The counters and times that a run adds up.

use super::*;

fn batch(sent_ns: u64, lag_us: u32, count: u32) -> Batch {
    Batch { sent_ns, lag_us, count }
}

/// A connection is requested and open after `connect_ns`.
fn open(tally: &mut Tally, connect_ns: u64) {
    tally.requested();
    tally.opened(connect_ns);
}

#[test]
fn response_runs_from_when_a_message_was_due_and_service_from_when_it_was_sent() {
    let mut tally = Tally::new(0, false);
    tally.counts.sent = 2;
    tally.answered(batch(5_000_000, 3000, 2), 6_000_000);
    tally.close_interval(SECOND);
    let (_, times, ..) = tally.into_parts();
    assert_eq!((times.service.len(), times.response.len()), (2, 2));
    assert!(times.service.equivalent(times.service.max(), 1_000_000));
    assert!(times.response.equivalent(times.response.max(), 4_000_000));
}

#[test]
fn in_a_closed_loop_response_and_service_are_the_same() {
    let mut tally = Tally::new(0, true);
    tally.counts.sent = 1;
    tally.answered(batch(5_000_000, 0, 1), 6_000_000);
    let (second, times) = tally.close_interval(SECOND);
    assert_eq!((second.answered, times.response.len()), (1, 1));
    assert_eq!(times.response, times.service);
}

#[test]
fn a_second_has_only_its_own_messages() {
    let mut tally = Tally::new(100, false);
    for (second, messages) in [(1, 5), (2, 7)] {
        open(&mut tally, 0);
        tally.counts.sent += messages + 1;
        tally.answered(batch(0, 0, u32::try_from(messages).unwrap()), 1000);
        tally.counts.failed += 1;
        let at_ns = 100 + second * SECOND;
        let (interval, times) = tally.close_interval(at_ns);
        assert_eq!(
            (interval.open, interval.sent, interval.answered, interval.errors),
            (second, messages + 1, messages, 1)
        );
        assert!((interval.length_seconds - 1.0).abs() < 1e-9, "{interval:?}");
        assert_eq!(times.response.len(), messages);
        tally.begin_interval();
    }
    let (seconds, times, _) = tally.into_parts();
    assert_eq!((seconds.len(), times.response.len(), times.connect.len()), (2, 12, 2));
}

#[test]
fn messages_in_flight_are_not_discarded() {
    let mut tally = Tally::new(0, false);
    (0..3).for_each(|_| open(&mut tally, 0));
    (tally.counts.sent, tally.counts.failed, tally.counts.lost) = (10, 2, 1);
    (tally.counts.overdue, tally.counts.duplicate, tally.counts.sent_bytes) = (2, 4, 900);
    tally.answered(batch(0, 0, 5), 1000);
    tally.record_lag(0, 1000);
    tally.close_interval(SECOND);
    tally.begin_interval();
    tally.record_lag(0, 1000);
    tally.discard_messages(5000);
    let count = tally.counts;
    assert_eq!((count.sent, count.answered, count.failed, count.in_flight()), (3, 0, 0, 3));
    assert_eq!((count.opened, count.lost, count.overdue), (3, 1, 2));
    assert_eq!((count.duplicate, count.sent_bytes), (0, 0));
    // They are answered later, which is no part of what is measured.
    tally.late();
    tally.answered(batch(4000, 0, 2), 6000);
    tally.late();
    tally.answered(batch(6000, 3, 1), 7000);
    tally.record_lag(4999, 6000);
    let (second, _) = tally.close_interval(2 * SECOND);
    assert_eq!((second.sent, second.answered), (0, 3));
    assert_eq!((tally.counts.answered, tally.counts.answered_backlog), (3, 3));
    let (_, times, ..) = tally.into_parts();
    assert_eq!((times.response.len(), times.service.len(), times.lag.len()), (0, 0, 0));
}

#[test]
fn in_a_closed_loop_replies_count_when_they_are_received() {
    let mut tally = Tally::new(0, true);
    tally.counts.sent = 3;
    tally.discard_messages(5000);
    tally.answered(batch(4000, 0, 3), 6000);
    assert_eq!((tally.counts.answered, tally.counts.answered_backlog), (3, 0));
    tally.close_interval(SECOND);
    assert_eq!(tally.into_parts().1.service.len(), 3);
}

#[test]
fn one_shot_connections_are_discarded_with_their_messages() {
    let mut tally = Tally::new(0, false);
    (0..9).for_each(|_| open(&mut tally, SECOND));
    tally.counts.open = 2;
    tally.discard_messages(5000);
    tally.discard_connections();
    assert_eq!((tally.counts.opened, tally.counts.open, tally.counts.slow), (2, 2, 0));
    assert_eq!(tally.into_parts().1.connect.len(), 0);
}

#[test]
fn errors_are_counted_by_kind_with_the_first_described() {
    let mut tally = Tally::new(0, false);
    tally.error(ErrorKind::Reset, 1, || "one".into());
    tally.error(ErrorKind::Closed, 5, || "two".into());
    tally.error(ErrorKind::Reset, 2, || unreachable!("only the first is described"));
    let (.., failures) = tally.into_parts();
    let found: Vec<_> = failures.iter().map(|it| (it.reason, it.count, it.first.as_str())).collect();
    assert_eq!(found, [(ErrorKind::Closed, 5, "two"), (ErrorKind::Reset, 3, "one")]);
}

#[test]
fn the_most_frequent_open_error_is_the_main_one() {
    let mut tally = Tally::new(0, false);
    assert_eq!(tally.main_open_error(), None);
    (0..6).for_each(|_| tally.requested());
    tally.open_failed(ErrorKind::Refused, String::new);
    (0..2).for_each(|_| tally.open_failed(ErrorKind::Ports, String::new));
    assert_eq!((tally.main_open_error(), tally.counts.open_failed), (Some(ErrorKind::Ports), 3));
    // The errors of one-shot connections count, the connections do not.
    (0..3).for_each(|_| tally.message_unconnected(ErrorKind::Refused, String::new));
    assert_eq!((tally.main_open_error(), tally.counts.open_failed), (Some(ErrorKind::Refused), 3));
}

#[test]
fn a_connection_that_is_lost_with_messages_in_flight_is_one_error() {
    let mut tally = Tally::new(0, false);
    (0..2).for_each(|_| open(&mut tally, 0));
    (tally.counts.sent, tally.counts.failed) = (1, 1);
    tally.lost(ErrorKind::Closed, 1);
    let (second, _) = tally.close_interval(SECOND);
    assert_eq!(second.errors, 1);
    tally.lost(ErrorKind::Closed, 0);
    let (second, _) = tally.close_interval(2 * SECOND);
    assert_eq!((second.errors, tally.counts.lost, tally.counts.lost_idle), (1, 2, 1));
}

#[test]
fn the_connections_of_an_interval_have_their_times() {
    let mut tally = Tally::new(0, true);
    (0..3).for_each(|_| open(&mut tally, 2000));
    let (second, times) = tally.close_interval(4_000_000);
    assert_eq!((second.opened, second.connect_us.max, times.connect.len()), (3, Some(2.0), 3));
    tally.begin_interval();
    // The warm-up ends in the next interval: connections of a run with persistent ones are not discarded.
    open(&mut tally, 1000);
    tally.discard_messages(5000);
    let (second, times) = tally.close_interval(SECOND);
    assert_eq!((second.opened, second.connect_us.max, times.connect.len()), (1, Some(1.0), 1));
    assert_eq!(tally.into_parts().1.connect.len(), 4);
}

#[test]
fn a_connection_that_opens_ends_a_series_of_failures() {
    let mut tally = Tally::new(0, false);
    (0..2).for_each(|_| tally.requested());
    (0..2).for_each(|_| tally.open_failed(ErrorKind::Refused, String::new));
    assert_eq!(tally.counts.consecutive_failures, 2);
    open(&mut tally, 0);
    assert_eq!(tally.counts.consecutive_failures, 0);
}

#[test]
fn messages_of_the_warm_up_that_get_no_reply_are_not_in_the_result() {
    let mut tally = Tally::new(0, false);
    tally.sent(&batch(1000, 0, 5));
    tally.discard_messages(5000);
    tally.answered(batch(1000, 0, 2), 6000);
    tally.sent(&batch(6000, 3, 1)); // it was due before
    tally.sent(&batch(6000, 0, 10));
    tally.answered(batch(6000, 0, 9), 7000);
    let counts = tally.counts().without_backlog();
    assert_eq!((counts.sent, counts.answered, counts.failed, counts.in_flight()), (10, 9, 0, 1));
    tally.failed(5);
    let counts = tally.counts().without_backlog();
    assert_eq!((counts.sent, counts.answered, counts.failed, counts.in_flight()), (10, 9, 1, 0));
}

#[test]
fn a_server_is_gone_if_it_refuses_after_its_last_reply_and_nothing_succeeds_since() {
    let mut tally = Tally::new(0, false);
    tally.error(ErrorKind::Refused, 1, String::new);
    assert!(!tally.is_refused_since_reply(true), "there was no reply");
    tally.counts.sent = 9;
    tally.answered(batch(0, 0, 1), 1000);
    assert!(!tally.is_refused_since_reply(true));
    tally.error(ErrorKind::Refused, 1, String::new);
    // A datagram is unanswered, and no message failed.
    assert_eq!([true, false].map(|udp| tally.is_refused_since_reply(udp)), [true, false]);
    tally.failed(1);
    tally.never_sent(1, String::new);
    assert!(tally.is_refused_since_reply(false));
    tally.error(ErrorKind::Reset, 1, String::new);
    assert_eq!([true, false].map(|udp| tally.is_refused_since_reply(udp)), [false, true]);
    tally.error(ErrorKind::Ports, 1, String::new);
    assert!(!tally.is_refused_since_reply(false));
    tally.error(ErrorKind::Refused, 1, String::new);
    open(&mut tally, 0);
    assert!(!tally.is_refused_since_reply(false), "a connection was opened");
}

#[test]
fn a_connection_whose_first_packet_was_lost_is_slow() {
    let mut tally = Tally::new(0, false);
    open(&mut tally, SYN_RETRY_NS - 1);
    open(&mut tally, SYN_RETRY_NS);
    assert_eq!(tally.counts.slow, 1);
}

const SECOND: u64 = 1_000_000_000;
