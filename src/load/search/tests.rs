//! Searches whose runs are made up.

use std::time::Duration;

use super::fixtures::{options, searched, slow_above};
use super::options::Quantity;
use super::*;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::output::search::answer;
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::{Failure, Summary};

#[test]
fn the_answer_is_the_largest_rate_without_a_condition() {
    let options = options(Quantity::Rate, &["p99>5ms"], |_| {});
    let result = searched(&options, slow_above(12_345));
    let (answer_value, above) = (result.answer.unwrap(), result.above.as_ref().unwrap());
    assert!(answer_value <= 12_345 && 12_345 < above.value && above.value - answer_value <= above.value / 50);
    assert_eq!((above.end, above.steps, above.failed), (StepEnd::Condition, 3, 3));
    assert_eq!((result.answer_steps, result.answer_held), (3, 3));
    assert_eq!((result.certainty, result.ended_early), (Some(Certainty::Repeated), None));
    assert_eq!(result.steps[0].value, 1000, "the default start");
    let failed = result.steps.iter().find(|row| row.end != StepEnd::Held).unwrap();
    assert_eq!((failed.value, failed.thresholds[0].value), (16_000, Some(9000.0)));
    assert_eq!(
        answer(&result),
        "12,250/s held in 3 of 3 steps; 12,500/s failed in 3 of 3 steps: p99 is 9 ms, over 5ms"
    );
}

#[test]
fn a_generator_at_its_limit_is_the_end_and_not_the_answer() {
    let options = options(Quantity::Rate, &["p99>5ms"], |_| {});
    let result = searched(&options, |_, value, summary| {
        summary.latency_us.response.p99 = Some(1000.0);
        if value > 4000 {
            (summary.valid, summary.why_invalid) = (false, Some(InvalidReason::Busy(0.97)));
        }
        Some(())
    });
    let above = result.above.as_ref().unwrap();
    assert_eq!((result.answer, above.end, above.steps), (Some(4000), StepEnd::Generator, 0));
    let words = answer(&result);
    assert!(words.starts_with("at least 4,000/s held in 3 of 3 steps; at 4,0"), "{words}");
    assert!(words.contains("/s, the generator was the limit: the generator was busy 97 %"), "{words}");
}

#[test]
fn the_connections_that_this_host_allows_are_found_exactly() {
    let options = options(Quantity::Connections, &[], |it| it.target = "hold=1".parse().unwrap());
    let result = searched(&options, |_, value, summary| {
        if value > 19_968 {
            (summary.connections.opened, summary.connections.not_tried) = (19_968, value - 19_968);
            summary.connections.limited_by = Some(OpenLimit::Descriptors);
        }
        Some(())
    });
    assert_eq!(
        answer(&result),
        "at least 19,968 connections held in 3 of 3 steps; at 19,969 connections, this host was the limit: \
         19,968 of 19,969 connections opened, limited by descriptors"
    );
    assert_eq!(result.certainty, Some(Certainty::Repeated));
}

#[test]
fn an_interrupted_search_has_what_it_knows() {
    let options = options(Quantity::Rate, &["p99>5ms"], |_| {});
    let mut slow = slow_above(5000);
    // The signal arrives between two runs, or in one, which then has no verdict.
    let between =
        searched(&options, |number, value, summary| (number < 5).then(|| slow(number, value, summary))?);
    let mut slow = slow_above(5000);
    let within = searched(&options, |number, value, summary| {
        summary.interrupted = number == 5;
        slow(number, value, summary)
    });
    for (result, steps) in [(between, 4), (within, 5)] {
        assert_eq!((result.ended_early, result.steps.len()), (Some(SearchEnd::Interrupted), steps));
        assert_eq!(result.certainty, Some(Certainty::Once));
        assert_eq!(
            answer(&result),
            "interrupted: 4,000/s held in 1 of 1 step; 8,000/s failed in 1 of 1 step: p99 is 9 ms, over 5ms"
        );
    }
}

fn refuse(summary: &mut Summary) {
    let of = &mut summary.connections;
    (of.opened, of.failed, of.limited_by) = (0, of.asked, Some(OpenLimit::Refused));
    summary.failed = Some(Failed::NoConnection);
    let first = String::from("connection 1: refused");
    summary.failures = vec![Failure { reason: ErrorKind::Refused, count: of.asked, first }];
}

#[test]
fn a_server_that_is_not_there_ends_the_search_at_once() {
    let options = options(Quantity::Connections, &[], |_| {});
    let result = searched(&options, |_, _, summary| {
        refuse(summary);
        Some(())
    });
    assert_eq!((result.answer, result.steps.len()), (None, 1));
    assert_eq!(result.ended_early, Some(SearchEnd::ServerGone));
    // One that fails later may bear fewer connections.
    let result = searched(&options, |_, value, summary| {
        summary.failed = (value > 10).then_some(Failed::StoppedReplying);
        Some(())
    });
    assert_eq!((result.answer, result.ended_early), (Some(10), None));
}

#[test]
fn a_server_that_does_not_come_back_ends_the_search_with_what_is_known() {
    let options = options(Quantity::Connections, &[], |_| {});
    let result = searched(&options, |number, _, summary| {
        if number > 3 {
            refuse(summary);
        }
        Some(())
    });
    assert_eq!((result.answer, result.steps.len()), (Some(200), 5));
    assert_eq!(result.ended_early, Some(SearchEnd::ServerGone));
    // One that restarts is searched further, also if it does so twice.
    let mut of_answer = 0;
    let result = searched(&options, |number, value, summary| {
        of_answer += u32::from(value == 1000);
        if number == 4 || (value == 1000 && of_answer == 2) {
            refuse(summary);
        } else if value > 1000 {
            summary.connections.lost = value - 1000;
        }
        Some(())
    });
    assert_eq!((result.answer, result.ended_early), (Some(1000), None));
    assert_eq!((result.answer_held, result.answer_steps), (2, 3));
    assert_eq!(result.certainty, Some(Certainty::Varied));
}

#[test]
fn steps_that_contradict_each_other_end_the_search() {
    let options = options(Quantity::Rate, &["p99>5ms"], |_| {});
    let mut state = 1u64;
    let result = searched(&options, |_, _, summary| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        summary.latency_us.response.p99 = Some(if state >> 63 == 0 { 9000.0 } else { 1000.0 });
        Some(())
    });
    assert!(result.steps.len() <= 100);
    assert_ne!(result.certainty, Some(Certainty::Repeated));
}

#[test]
fn a_search_whose_steps_mostly_cannot_count_ends_after_a_hundred() {
    let options = options(Quantity::Rate, &["p99>5ms"], |it| it.rate = Some(1));
    let (mut slow, mut last, mut times) = (slow_above(60_000_000), 0, 0);
    let result = searched(&options, |number, value, summary| {
        times = if value == last { times + 1 } else { 0 };
        last = value;
        if times < 2 {
            (summary.valid, summary.why_invalid) = (false, Some(InvalidReason::Busy(0.97)));
        }
        slow(number, value, summary)
    });
    assert_eq!((result.steps.len(), result.ended_early), (100, Some(SearchEnd::TooManySteps)));
}

#[test]
fn a_search_changes_only_the_number_and_begins_with_that_of_the_options() {
    let of_rate = options(Quantity::Rate, &["p99>5ms"], |it| it.rate = Some(70));
    let of_connections = options(Quantity::Connections, &[], |it| (it.connections, it.rate) = (9, Some(70)));
    assert_eq!((of_rate.start(), of_connections.start()), (70, 9));
    let (one, other) = (of_rate.at(140), of_connections.at(18));
    assert_eq!((one.rate, one.connections, other.rate, other.connections), (Some(140), 50, Some(70), 18));
    assert!(one.awaits_close && other.awaits_close);
}

#[test]
fn connections_are_never_fewer_than_those_that_send() {
    let of = |change| options(Quantity::Connections, &[], change).min();
    assert_eq!((of(|_| {}), of(|it| it.active = Some(5))), (1, 5));
    let idle = |it: &mut LoadOptions| (it.active, it.heartbeat) = (Some(5), Some(Duration::from_secs(1)));
    assert_eq!(of(idle), 6);
}
