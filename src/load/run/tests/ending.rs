//! Runs that end early, and servers that stop replying.

use std::io;

use super::*;
use crate::load::stats::ending::Failed;
use crate::load::stats::threshold::Threshold;

#[test]
fn an_interrupted_schedule_is_not_behind() {
    let options = options(|it| it.rate = Some(1000));
    let (tally, measurements) = measurements(&options, FakeNet { stop_at_ns: Some(1050 * MS), ..net() });
    // The stop request arrives when the message of that moment is due and not sent.
    assert_eq!((tally.counts().sent, measurements.never_sent), (1000, 0));
    assert_eq!(measurements.ended_early, Some((EndedEarly::Interrupted, Stage::Measuring)));
}

#[test]
fn a_server_that_closes_all_connections_ends_the_run_at_once() {
    // The server replies just before it closes the connections.
    for (rate, answered) in [(None, 4), (Some(1000), 100)] {
        let options = options(|it| it.rate = rate);
        let net = FakeNet { ends_ns: [700 * MS; 4].into(), answers_max: Some(100), ..net() };
        let (tally, measurements) = measurements(&options, net);
        let count = *tally.counts();
        assert_eq!((count.open, count.lost, count.answered), (0, 4, answered), "{rate:?}");
        assert_eq!(measurements.ended_early, Some((EndedEarly::ServerGone, Stage::Measuring)));
        // Settling takes 50 ms.
        assert_eq!((measurements.drive_ns.div_ceil(MS), measurements.never_sent), (650, 0), "{rate:?}");
    }
}

#[test]
fn connections_none_of_which_is_active_are_held_for_the_duration() {
    let options = options(|it| it.active = Some(0));
    let (tally, measurements) = measurements(&options, net());
    assert_eq!((tally.counts().open, tally.counts().sent), (4, 0));
    assert_eq!((measurements.ended_early, measurements.drive_ns.div_ceil(MS)), (None, 2000));
}

#[test]
fn wrong_replies_on_all_connections_end_the_run() {
    let options = options(|_| {});
    let reply = b"HTTP/1.1 400 Bad Request".to_vec();
    let (tally, measurements) = measurements(&options, FakeNet { reply, ..net() });
    assert_eq!((tally.counts().lost, tally.counts().failed), (4, 4));
    assert_eq!(measurements.ended_early, Some((EndedEarly::WrongReplies, Stage::Measuring)));
}

#[test]
fn a_server_that_stops_replying_leaves_a_silence() {
    let options = options(|it| it.rate = Some(1000));
    let (tally, measurements) = measurements(&options, FakeNet { answers_max: Some(500), ..net() });
    assert_eq!((tally.counts().sent, tally.counts().answered), (2000, 500));
    assert_eq!(measurements.silence.began_ns.div_ceil(MS), 500);
    // The rest of the run, and the drain timeout of two seconds.
    assert_eq!((measurements.silence.ns / MS, measurements.silence.sent), (3500, 1500));
    assert_eq!(measurements.ended_early, None);
}

#[test]
fn what_is_in_flight_at_the_last_reply_belongs_to_the_silence_while_messages_are_sent() {
    let options = options(|_| {});
    let (tally, measurements) = measurements(&options, FakeNet { answers_max: Some(1), ..net() });
    assert_eq!((tally.counts().sent, tally.counts().answered), (5, 1));
    assert_eq!((measurements.silence.sent, measurements.silence.in_flight), (1, 3));
    // Two are answered after the end of sending, and the others are lost.
    let stalled = FakeNet { answers_max: Some(2), stall_ns: (0, 2500 * MS), ..net() };
    let (tally, measurements) = super::measurements(&options, stalled);
    assert_eq!((tally.counts().sent, tally.counts().answered), (4, 2));
    assert_eq!((measurements.silence.sent, measurements.silence.in_flight), (0, 0));
}

#[test]
fn a_limit_of_descriptors_ends_the_opening_early() {
    let options = options(|it| it.rate = Some(1000));
    let (_, measurements) = Run::new(&options, net(), traffic(&options), 3).run(&mut ()).unwrap();
    assert_eq!(measurements.ended_early, Some((EndedEarly::Descriptors, Stage::Opening)));
}

#[test]
fn a_hundred_consecutive_failures_end_the_opening() {
    let options = options(|it| (it.rate, it.connections) = (Some(1000), 500));
    let net = FakeNet { refused_from: Some(200), ..net() };
    let (tally, measurements) = measurements(&options, net);
    assert_eq!((tally.counts().opened, measurements.stopped_opening), (200, Some(ErrorKind::Refused)));
    assert!((100..300).contains(&tally.counts().open_failed), "{:?}", tally.counts());
    assert_eq!(measurements.ended_early, Some((EndedEarly::GaveUp, Stage::Opening)));
}

#[test]
fn a_server_that_refuses_one_shot_connections_is_gone_or_was_never_there() {
    for (refused_from, reason) in [(20, EndedEarly::ServerGone), (0, EndedEarly::GaveUp)] {
        let options = options(|it| (it.rate, it.one_shot) = (Some(1000), true));
        let net = FakeNet { refused_from: Some(refused_from), ..net() };
        let (tally, measurements) = measurements(&options, net);
        assert_eq!(tally.counts().answered, refused_from as u64);
        assert_eq!(measurements.ended_early, Some((reason, Stage::Measuring)));
        assert!(measurements.drive_ns < SECOND_NS);
    }
}

#[test]
fn a_server_that_goes_away_shortly_before_the_end_makes_a_run_fail() {
    // 40 of 100 messages are refused: less than a second, and fewer than a hundred.
    let options = options(|it| (it.rate, it.one_shot) = (Some(50), true));
    let result = result_of(&options, FakeNet { refused_from: Some(60), ..net() }).summary;
    assert_eq!((result.messages.acknowledged, result.messages.failed), (60, 40));
    assert_eq!((result.ended_early, result.failed), (None, Some(Failed::ServerGone)));
}

#[test]
fn errors_before_a_reply_and_local_errors_are_not_a_server_that_went_away() {
    let options = options(|it| (it.rate, it.one_shot) = (Some(50), true));
    let connect_errors = vec![io::ErrorKind::ConnectionRefused; 40].into();
    assert_eq!(result_of(&options, FakeNet { connect_errors, ..net() }).summary.failed, None);
    let last_40 = FakeNet { is_out_of_memory: Some(|number| number > 60), ..net() };
    assert_eq!(result_of(&options, last_40).summary.failed, None);
}

#[test]
fn a_limit_of_the_opening_is_reported_beside_an_interrupt() {
    let options = options(|it| it.rate = Some(1000));
    let net = FakeNet { stop_at_ns: Some(1050 * MS), ..net() };
    let (tally, measurements) = Run::new(&options, net, traffic(&options), 3).run(&mut ()).unwrap();
    assert_eq!(measurements.ended_early, Some((EndedEarly::Interrupted, Stage::Measuring)));
    let connections = outcome(&options, tally, &measurements, &Baseline::now(0)).summary.connections;
    assert_eq!((connections.not_tried, connections.why_not_tried), (1, Some(EndedEarly::Descriptors)));
}

#[test]
fn an_interrupt_while_replies_are_awaited_does_not_hide_why_sending_ended() {
    let options = options(|it| (it.rate, it.one_shot) = (Some(1000), true));
    // One message is never answered, so the run waits after a hundred failures.
    let net = FakeNet { refused_from: Some(20), answers_max: Some(19), stop_at_ns: Some(500 * MS), ..net() };
    let (_, measurements) = measurements(&options, net);
    assert!(measurements.is_interrupted);
    assert_eq!(measurements.ended_early, Some((EndedEarly::ServerGone, Stage::Measuring)));
}

#[test]
fn the_reason_of_a_one_shot_end_is_that_of_the_latest_failures() {
    // Errors of this machine, a connection now and then, and then a server that is gone.
    let options = options(|it| (it.rate, it.one_shot) = (Some(1000), true));
    let net = FakeNet {
        is_out_of_memory: Some(|number| number <= 200 && number % 4 != 0),
        refused_from: Some(50),
        ..net()
    };
    let (tally, measurements) = measurements(&options, net);
    assert_eq!(tally.main_open_error(), Some(ErrorKind::Memory));
    assert_eq!(measurements.ended_early, Some((EndedEarly::ServerGone, Stage::Measuring)));
}

#[test]
fn a_server_that_goes_away_at_the_end_of_the_warm_up_was_there() {
    let options = options(|it| {
        (it.rate, it.one_shot, it.warmup) = (Some(1000), true, Duration::from_millis(50));
    });
    let result = result_of(&options, FakeNet { refused_from: Some(45), ..net() }).summary;
    assert_eq!((result.connections.opened, result.messages.acknowledged), (0, 0));
    assert_eq!(result.ended_early, Some(EndedEarly::ServerGone));
    assert_eq!(result.failed, Some(Failed::NothingAcknowledged));
}

#[test]
fn a_run_ends_at_once_when_its_writes_end_the_last_connection() {
    for rate in [None, Some(4)] {
        let options = options(|it| it.rate = rate);
        let net = FakeNet { broken_from_ns: Some(0), ..net() };
        let (tally, measurements) = measurements(&options, net);
        assert_eq!(tally.counts().lost, 4);
        assert_eq!(measurements.ended_early, Some((EndedEarly::ServerGone, Stage::Measuring)));
        // Of four messages a second, the last is due after 750 ms.
        assert_eq!(measurements.drive_ns.div_ceil(MS), rate.map_or(0, |_| 751), "{rate:?}");
    }
}

#[test]
fn a_run_ends_at_once_when_no_connection_is_left_that_sends() {
    let options = options(|it| it.rate = Some(1000));
    let traffic = traffic_sending_on(&options, 2);
    let net = FakeNet { ends_ns: [700 * MS; 2].into(), ..net() };
    let (tally, measurements) = Run::new(&options, net, traffic, 4).run(&mut ()).unwrap();
    assert_eq!((tally.counts().open, tally.counts().lost), (2, 2));
    assert_eq!((measurements.drive_ns.div_ceil(MS), tally.counts().never_sent), (650, 0));
}

#[test]
fn one_shot_connections_that_were_not_opened_have_failed_with_their_messages() {
    let options = options(|it| (it.rate, it.one_shot) = (Some(50), true));
    let connect_errors = vec![io::ErrorKind::ConnectionRefused; 20].into();
    let result = result_of(&options, FakeNet { connect_errors, ..net() });
    let connections = &result.summary.connections;
    assert_eq!((connections.asked, connections.opened, connections.failed), (100, 80, 20));
    let is_met = |limit: &str| limit.parse::<Threshold>().unwrap().judge(&result.summary).met;
    assert!(!is_met("failed_connections>=20"));
    // Each fault counts once.
    assert!(!is_met("errors>=20") && is_met("errors>20"));
    assert_eq!(result.seconds.iter().map(|second| second.errors).sum::<u64>(), 20);
}

#[test]
fn the_end_of_the_warm_up_ends_an_interval() {
    #[derive(Default)]
    struct Intervals(Vec<(f64, u64)>);
    impl Observer for Intervals {
        fn second(&mut self, second: &Second, _: &Times) {
            self.0.push((second.length_seconds, second.sent));
        }
    }
    let options = options(|it| (it.rate, it.warmup) = (Some(1000), Duration::from_millis(700)));
    let mut seen = Intervals::default();
    measurements_seen_by(&mut seen, &options, net());
    seen.0.retain(|(_, sent)| *sent > 0);
    let expected = [(0.7, 700), (0.25, 250), (1.0, 1000), (0.75, 750)];
    assert_eq!(seen.0.len(), expected.len(), "{:?}", seen.0);
    for ((length_seconds, sent), (length_expected, sent_expected)) in seen.0.iter().zip(expected) {
        let is_length = (length_seconds - length_expected).abs() < 1e-3;
        assert!(is_length && sent.abs_diff(sent_expected) <= 1, "{:?}", seen.0);
    }
}
