//! Runs that probe idle connections.

use super::*;

fn probe(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
    options(|it| {
        (it.connections, it.timeout) = (6, Duration::from_secs(1));
        it.idle_probe = [1, 20, 300].map(Duration::from_secs).into();
        it.take_duration_of_probe(None).unwrap();
        change(it);
    })
}

#[test]
fn a_probe_lasts_as_long_as_its_longest_silence() {
    let options = probe(|_| {});
    let result = result_of(&options, net()).summary;
    assert_eq!(result.idle_probe.unwrap().answer, "no connection died up to 5 min");
    assert_eq!((result.messages.sent, result.messages.acknowledged, result.failed), (12, 12, None));
    assert!((result.duration_seconds - 300.0).abs() < 0.01, "{}", result.duration_seconds);
}

#[test]
fn a_probe_ends_early_if_all_connections_have_died_and_that_is_no_failure() {
    let options = probe(|_| {});
    let net = FakeNet { idle_timeout_ns: Some(5000 * MS), ..net() };
    let result = result_of(&options, net).summary;
    let probe = result.idle_probe.unwrap();
    assert_eq!((probe.dead, probe.alive_up_to_seconds, probe.dead_from_seconds), (4, Some(1.0), Some(20.0)));
    assert_eq!(probe.answer, "connections are closed after 5 s");
    assert_eq!((result.failed, result.ended_early, result.valid), (None, None, true));
    assert!((result.duration_seconds - 5.0).abs() < 0.01, "{}", result.duration_seconds);
}

#[test]
fn messages_that_are_not_answered_end_a_probe_after_the_timeout() {
    let options = probe(|_| {});
    // The first message on each, and the second on those of the first group.
    let result = result_of(&options, FakeNet { answers_max: Some(8), ..net() }).summary;
    let probe = result.idle_probe.unwrap();
    assert_eq!(probe.answer, "connections die silently after between 1 s and 20 s");
    assert!((result.duration_seconds - 301.0).abs() < 0.01, "{}", result.duration_seconds);
    assert_eq!(probe.groups.iter().map(|group| group.unanswered).sum::<u64>(), 4);
}

#[test]
fn an_interrupted_probe_has_what_is_known() {
    let options = probe(|_| {});
    let result = result_of(&options, FakeNet { stop_at_ns: Some(100_000 * MS), ..net() }).summary;
    let probe = result.idle_probe.unwrap();
    assert_eq!(probe.answer, "no connection died up to 20 s");
    assert_eq!(
        probe.groups.iter().map(|group| (group.alive, group.unfinished)).collect::<Vec<_>>(),
        [(2, 0), (2, 0), (0, 2)]
    );
    assert_eq!(result.ended_early, Some(EndedEarly::Interrupted));
}

#[test]
fn a_probe_without_any_reply_has_failed() {
    let options = probe(|_| {});
    let result = result_of(&options, FakeNet { answers_max: Some(0), ..net() }).summary;
    assert_eq!(result.failed, Some(crate::load::stats::ending::Failed::NothingAcknowledged));
    assert_eq!(result.idle_probe.unwrap().answer, "no silence was over");
}
