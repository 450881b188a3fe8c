//! Verdicts on results that are made up.

use std::time::Duration;

use super::*;
use crate::load::error_kind::ErrorKind;
use crate::load::options::LoadOptions;
use crate::load::stats::ending::Failed;
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::{Failure, Heartbeats, LoadModel};
use crate::load::stats::times::Times;

/// The options of a search with conditions.
fn options(find: Quantity, until: &[&str]) -> SearchOptions {
    let until = until.iter().map(|it| it.parse().unwrap()).collect();
    SearchOptions::new(find, until, Duration::from_secs(10), LoadOptions::of("message".parse().unwrap()))
}

/// A step of ten seconds at 5,000 messages per second.
fn outcome(change: impl FnOnce(&mut Summary)) -> Outcome {
    let mut summary = Summary::sample();
    summary.load_model = LoadModel::Open;
    summary.messages.offered_rate = Some(5000.0);
    change(&mut summary);
    Outcome { summary, seconds: Vec::new(), times: Times::new() }
}

fn judged(
    find: Quantity,
    until: &[&str],
    change: impl FnOnce(&mut Summary),
) -> (StepEnd, String, Option<u64>) {
    let Judged { end, why, reached, .. } = judge(&options(find, until), &outcome(change));
    (end, why.unwrap_or_default(), reached)
}

fn end_of_rate(until: &[&str], change: impl FnOnce(&mut Summary)) -> StepEnd {
    judged(Quantity::Rate, until, change).0
}

fn busy(summary: &mut Summary) {
    (summary.valid, summary.why_invalid) = (false, Some(InvalidReason::Busy(0.97)));
}

fn opened(summary: &mut Summary, opened: u64, limit: OpenLimit, kind: ErrorKind) {
    let of = &mut summary.connections;
    (of.opened, of.failed, of.limited_by) = (opened, of.asked - opened, Some(limit));
    summary.failures = vec![Failure { reason: kind, count: of.failed, first: String::new() }];
}

#[test]
fn a_condition_that_holds_fails_the_step_with_its_value() {
    let slow = |summary: &mut Summary| summary.latency_us.response.p99 = Some(7200.0);
    assert_eq!(
        judged(Quantity::Rate, &["errors>0", "p99>5ms"], slow),
        (StepEnd::Condition, "p99 is 7.2 ms, over 5ms".into(), None)
    );
    assert_eq!(end_of_rate(&["errors>0", "p99>8ms"], slow), StepEnd::Held);
}

#[test]
fn a_metric_with_too_few_samples_makes_the_step_unknown_unless_another_condition_holds() {
    assert_eq!(end_of_rate(&["p99.99>1s"], |_| {}), StepEnd::Unknown);
    assert_eq!(end_of_rate(&["p99.99>1s", "p50>1us"], |_| {}), StepEnd::Condition);
    let behind = |summary: &mut Summary| summary.messages.rate = 100.0;
    assert_eq!(end_of_rate(&["p99.99>1s"], behind), StepEnd::NotKeptUp);
}

#[test]
fn a_generator_that_is_not_ok_counts_neither_for_nor_against_a_rate() {
    assert_eq!(end_of_rate(&["p99>1s"], busy), StepEnd::Generator);
    assert_eq!(end_of_rate(&["p99>1us"], busy), StepEnd::Generator);
    let behind = |summary: &mut Summary| {
        busy(summary);
        summary.messages.rate = 100.0;
    };
    assert_eq!(end_of_rate(&["p99>1s"], behind), StepEnd::Generator);
}

#[test]
fn a_server_that_failed_fails_the_step_whatever_the_generator_did() {
    let gone = |summary: &mut Summary| {
        busy(summary);
        summary.failed = Some(Failed::StoppedReplying);
    };
    assert_eq!(end_of_rate(&["p99>1s"], gone), StepEnd::ServerFailed);
    assert_eq!(judged(Quantity::Connections, &[], gone).0, StepEnd::ServerFailed);
}

#[test]
fn connections_that_are_open_count_even_if_the_generator_is_busy() {
    let of_connections = |until: &[&str]| judged(Quantity::Connections, until, busy).0;
    assert_eq!(of_connections(&[]), StepEnd::Held);
    assert_eq!(of_connections(&["errors>0", "lost_connections>5"]), StepEnd::Held);
    assert_eq!(of_connections(&["p99>1s"]), StepEnd::Generator);
    // It was too busy for its rate.
    let behind = |summary: &mut Summary| {
        busy(summary);
        summary.messages.rate = 100.0;
    };
    assert_eq!(judged(Quantity::Connections, &[], behind).0, StepEnd::Held);
    // The generator may have left them unanswered.
    let unanswered = |summary: &mut Summary| {
        busy(summary);
        summary.messages.unanswered = 1;
    };
    assert_eq!(judged(Quantity::Connections, &["errors>0"], unanswered).0, StepEnd::Generator);
}

#[test]
fn connections_that_the_server_refuses_or_loses_show_how_many_it_holds() {
    let refused = |summary: &mut Summary| opened(summary, 37, OpenLimit::ServerCap, ErrorKind::ServerCap);
    let why = "37 of 10,000 connections opened, limited by server_cap";
    assert_eq!(judged(Quantity::Connections, &[], refused), (StepEnd::Connections, why.into(), Some(37)));
    let lost = judged(Quantity::Connections, &[], |summary| summary.connections.lost = 9990);
    assert_eq!(lost, (StepEnd::Connections, "9,990 of 10,000 connections lost".into(), Some(10)));
    // Of a rate, they are a matter of the conditions.
    assert_eq!(end_of_rate(&["p99>1s"], refused), StepEnd::Held);
    assert_eq!(end_of_rate(&["errors>0"], refused), StepEnd::Condition);
}

#[test]
fn a_limit_of_this_host_is_not_that_of_the_server() {
    let ports = |summary: &mut Summary| opened(summary, 9000, OpenLimit::Ports, ErrorKind::Ports);
    let why = "9,000 of 10,000 connections opened, limited by ports";
    assert_eq!(judged(Quantity::Connections, &[], ports), (StepEnd::Host, why.into(), Some(9000)));
    assert_eq!(judged(Quantity::Rate, &["errors>0"], ports), (StepEnd::Host, why.into(), None));
    let memory = |summary: &mut Summary| opened(summary, 9000, OpenLimit::Memory, ErrorKind::Memory);
    assert_eq!(judged(Quantity::Connections, &[], memory).0, StepEnd::Host);
    // Not even one was opened.
    let none = |summary: &mut Summary| {
        opened(summary, 0, OpenLimit::Source, ErrorKind::Source);
        summary.failed = Some(Failed::NoConnection);
    };
    assert_eq!(judged(Quantity::Connections, &[], none).0, StepEnd::Host);
    // The descriptors are used up, and the server refuses the last.
    let both = |summary: &mut Summary| opened(summary, 9000, OpenLimit::Descriptors, ErrorKind::ServerCap);
    assert_eq!(judged(Quantity::Connections, &[], both).0, StepEnd::Connections);
}

#[test]
fn a_server_keeps_up_with_a_rate_if_it_acknowledges_nearly_all_in_time() {
    let acknowledged = |rate: f64, fastest_ns: Option<u64>| {
        let mut outcome = outcome(|summary| summary.messages.rate = rate);
        fastest_ns.into_iter().for_each(|ns| outcome.times.response.record(ns).unwrap());
        let Judged { end, why, .. } = judge(&options(Quantity::Rate, &["errors>0"]), &outcome);
        (end, why)
    };
    let why = "4,700/s of 5,000/s offered were acknowledged";
    assert_eq!(acknowledged(4700.0, Some(1000)), (StepEnd::NotKeptUp, Some(why.into())));
    assert_eq!(acknowledged(4760.0, Some(1000)), (StepEnd::Held, None));
    // Half a second's messages are outstanding if each reply takes that long.
    assert_eq!(acknowledged(4550.0, Some(500_000_000)), (StepEnd::Held, None));
    assert_eq!(acknowledged(4400.0, Some(500_000_000)).0, StepEnd::NotKeptUp);
    let unsent = judged(Quantity::Rate, &["errors>0"], |summary| summary.messages.never_sent = 3);
    let why = "3 messages were due and never sent: no connection was free";
    assert_eq!(unsent, (StepEnd::NotKeptUp, why.into(), None));
}

#[test]
fn a_closed_loop_has_no_rate_to_keep_up_with() {
    let closed = |summary: &mut Summary| {
        summary.load_model = LoadModel::Closed;
        (summary.messages.rate, summary.messages.offered_rate) = (1.0, None);
    };
    assert_eq!(judged(Quantity::Connections, &["errors>0"], closed).0, StepEnd::Held);
}

#[test]
fn a_step_that_a_signal_ended_has_no_verdict() {
    let interrupted = |summary: &mut Summary| {
        summary.interrupted = true;
        summary.latency_us.response.p99 = Some(1e9);
    };
    let judged = judge(&options(Quantity::Rate, &["p99>1s"]), &outcome(interrupted));
    assert_eq!((judged.end, judged.verdict()), (StepEnd::Interrupted, None));
}

#[test]
fn heartbeats_do_not_make_up_for_messages_that_were_not_acknowledged() {
    let step = |rate: f64| {
        end_of_rate(&["errors>1000000"], |it| {
            (it.duration_seconds, it.messages.rate) = (10.0, rate);
            (it.messages.sent, it.messages.acknowledged) = (550_000, 500_000 + 45_000);
            it.heartbeats =
                Some(Heartbeats { sent: 500_000, acknowledged: 500_000, ..Heartbeats::default() });
        })
    };
    assert_eq!((step(4500.0), step(4900.0)), (StepEnd::NotKeptUp, StepEnd::Held));
}
