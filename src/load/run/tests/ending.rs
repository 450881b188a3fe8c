//! Runs that end early, and servers that stop replying.

use super::*;

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
