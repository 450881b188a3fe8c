//! Searches whose steps are functions of the number.

use proptest::prelude::*;

use super::*;

const FAILED: Verdict = Verdict::Failed { reached: None };

/// Searches with the outcomes of `step`, which is given the number and how often it was tried. Returns the numbers in
/// order.
fn search(boundary: &mut Boundary, mut step: impl FnMut(u64, usize) -> Verdict) -> Vec<u64> {
    let mut tried = Vec::new();
    while let Some(value) = boundary.next() {
        let times = tried.iter().filter(|it| **it == value).count();
        tried.push(value);
        boundary.add(value, step(value, times));
    }
    tried
}

fn held_up_to(capacity: u64) -> impl Fn(u64, usize) -> Verdict {
    move |value, _| if value <= capacity { Verdict::Held } else { FAILED }
}

fn sides(boundary: &Boundary) -> (Option<u64>, Option<u64>) {
    (boundary.answer().map(|side| side.value), boundary.above().map(|side| side.value))
}

#[test]
fn it_doubles_then_halves_the_rest_then_repeats_both_sides() {
    let mut boundary = Boundary::new(4, 1, 1000);
    let tried = search(&mut boundary, held_up_to(11));
    assert_eq!(tried, [4, 8, 16, 16, 12, 12, 10, 11, 11, 11, 12]);
    let answer = Side { value: 11, standing: Standing::Held, steps: 3, agreed: 3 };
    let above = Side { value: 12, standing: Standing::Failed, steps: 3, agreed: 3 };
    assert_eq!((boundary.answer(), boundary.above()), (Some(answer), Some(above)));
    assert!(boundary.is_consistent() && boundary.is_repeated() && !boundary.is_exhausted());
}

#[test]
fn a_start_that_fails_is_halved() {
    let mut boundary = Boundary::new(1000, 1, 100_000);
    search(&mut boundary, held_up_to(3));
    assert_eq!(sides(&boundary), (Some(3), Some(4)));
}

#[test]
fn without_a_number_that_holds_there_is_no_answer() {
    let mut boundary = Boundary::new(10, 5, 1000);
    let tried = search(&mut boundary, |_, _| FAILED);
    assert_eq!(tried, [10, 10, 7, 7, 5, 5, 5]);
    assert_eq!(sides(&boundary), (None, Some(5)));
}

#[test]
fn the_largest_number_is_repeated_and_has_nothing_above() {
    let mut boundary = Boundary::new(300, 1, 1000);
    assert_eq!(search(&mut boundary, |_, _| Verdict::Held), [300, 600, 1000, 1000, 1000]);
    assert_eq!(sides(&boundary), (Some(1000), None));
    assert!(boundary.is_repeated());
}

#[test]
fn a_start_out_of_the_range_is_its_nearest_number() {
    assert_eq!([4, 5, 1000, 1001].map(|start| Boundary::new(start, 5, 1000).start), [5, 5, 1000, 1000]);
}

#[test]
fn what_a_step_has_reached_is_tried_and_the_number_after_it() {
    let mut boundary = Boundary::new(50, 1, 1_000_000);
    let step = |value, _| if value <= 4137 { Verdict::Held } else { Verdict::Failed { reached: Some(4137) } };
    let tried = search(&mut boundary, step);
    assert_eq!(tried[7..], [6400, 6400, 4137, 4138, 4138, 4137, 4137, 4138]);
    assert_eq!(sides(&boundary), (Some(4137), Some(4138)), "exactly, above a precision of 82");
}

#[test]
fn what_a_step_has_reached_is_tried_also_just_below_the_start() {
    let mut boundary = Boundary::new(301, 1, 1_000_000);
    let step = |value, _| if value <= 300 { Verdict::Held } else { Verdict::Failed { reached: Some(300) } };
    assert_eq!(search(&mut boundary, step), [301, 301, 300, 300, 300, 301]);
    assert_eq!(sides(&boundary), (Some(300), Some(301)));
}

#[test]
fn a_number_that_was_reached_and_does_not_hold_is_only_a_hint() {
    let mut boundary = Boundary::new(64, 1, 1_000_000);
    // Each step claims that the number before its own can be reached.
    let step =
        |value, _| if value <= 11 { Verdict::Held } else { Verdict::Failed { reached: Some(value - 1) } };
    let tried = search(&mut boundary, step);
    assert_eq!(sides(&boundary), (Some(11), Some(12)));
    assert!(tried.len() < 30, "{tried:?}");
}

#[test]
fn a_step_that_fails_by_chance_does_not_end_the_growth() {
    let mut boundary = Boundary::new(10, 1, 1_000_000);
    let capacity = held_up_to(1000);
    let tried =
        search(
            &mut boundary,
            |value, times| if (value, times) == (40, 0) { FAILED } else { capacity(value, times) },
        );
    assert_eq!(tried[..6], [10, 20, 40, 40, 40, 80]);
    assert!((990..=1000).contains(&sides(&boundary).0.unwrap()), "{boundary:?}");
    assert!(!boundary.is_consistent(), "a step contradicts the answer");
}

#[test]
fn a_boundary_that_varies_is_not_consistent() {
    let mut boundary = Boundary::new(8, 1, 1000);
    // 11 holds in two of three steps.
    let step = |value, times| match value {
        11 if times == 1 => FAILED,
        _ if value <= 11 => Verdict::Held,
        _ => FAILED,
    };
    search(&mut boundary, step);
    let answer = Side { value: 11, standing: Standing::Held, steps: 3, agreed: 2 };
    assert_eq!(boundary.answer(), Some(answer));
    assert!(boundary.is_repeated() && !boundary.is_consistent());
}

#[test]
fn a_number_that_holds_at_first_and_fails_when_repeated_is_no_answer() {
    let mut boundary = Boundary::new(8, 1, 1000);
    let step = |value, times| if value < 11 || (value, times) == (11, 0) { Verdict::Held } else { FAILED };
    search(&mut boundary, step);
    assert_eq!(sides(&boundary), (Some(10), Some(11)));
    assert_eq!(boundary.above().map(|side| (side.agreed, side.steps)), Some((2, 3)));
    assert!(!boundary.is_consistent());
}

#[test]
fn a_generator_that_is_the_limit_is_repeated_and_bounds_the_answer() {
    let mut boundary = Boundary::new(100, 1, 1_000_000);
    let tried = search(&mut boundary, |value, _| if value <= 500 { Verdict::Held } else { Verdict::Invalid });
    assert_eq!(tried[..6], [100, 200, 400, 800, 800, 800]);
    let (answer, above) = (boundary.answer().unwrap(), boundary.above().unwrap());
    assert!(answer.value <= 500 && above.value > 500 && above.value - answer.value <= 10, "{boundary:?}");
    assert_eq!((above.standing, above.steps, answer.steps), (Standing::Unreached, 0, 3));
    assert!(boundary.is_repeated());
}

#[test]
fn a_step_that_cannot_count_is_repeated_and_changes_nothing() {
    let mut boundary = Boundary::new(4, 1, 1000);
    let capacity = held_up_to(11);
    let tried = search(
        &mut boundary,
        |value, times| if times == 0 { Verdict::Invalid } else { capacity(value, times) },
    );
    assert_eq!(tried[..5], [4, 4, 8, 8, 16]);
    assert_eq!(sides(&boundary), (Some(11), Some(12)));
    assert!(boundary.is_consistent());
    // A number that held once and then cannot count is not repeated until the steps are used up.
    let mut boundary = Boundary::new(4, 1, 1000);
    let tried = search(&mut boundary, |value, times| match value {
        11 if times > 0 => Verdict::Invalid,
        _ => capacity(value, times),
    });
    assert_eq!(tried.iter().filter(|value| **value == 11).count(), 4, "{tried:?}");
    assert_eq!(boundary.answer().map(|side| (side.value, side.steps)), Some((11, 1)));
    assert!(!boundary.is_exhausted() && !boundary.is_repeated());
}

#[test]
fn a_limit_of_the_host_is_not_repeated() {
    let mut boundary = Boundary::new(1000, 1, 1_000_000);
    let step = |value, _| {
        if value <= 19_968 { Verdict::Held } else { Verdict::Unreachable { reached: Some(19_968) } }
    };
    let tried = search(&mut boundary, step);
    assert_eq!(tried, [1000, 2000, 4000, 8000, 16_000, 32_000, 19_968, 19_969, 19_968, 19_968]);
    assert_eq!(boundary.above().map(|side| side.standing), Some(Standing::Unreached));
}

#[test]
fn numbers_that_are_too_small_to_be_judged_are_passed_over() {
    let mut boundary = Boundary::new(10, 1, 1_000_000);
    let step = |value, _| match value {
        ..=200 => Verdict::Unjudged,
        201..=1000 => Verdict::Held,
        _ => FAILED,
    };
    let tried = search(&mut boundary, step);
    assert_eq!(tried[..6], [10, 20, 40, 80, 160, 320]);
    assert!((980..=1000).contains(&sides(&boundary).0.unwrap()), "{boundary:?}");
    // None is judged before one fails.
    let mut boundary = Boundary::new(10, 1, 1_000_000);
    search(&mut boundary, |value, _| if value <= 200 { Verdict::Unjudged } else { FAILED });
    assert_eq!(sides(&boundary), (None, Some(240)), "200 cannot be judged, and is close enough");
}

#[test]
fn a_number_that_cannot_be_judged_beside_one_that_was_has_failed() {
    // With a smaller number, more was measured.
    let mut boundary = Boundary::new(10, 1, 1000);
    search(&mut boundary, |value, _| if value <= 10 { Verdict::Held } else { Verdict::Unjudged });
    assert_eq!(sides(&boundary), (Some(10), Some(11)));
    // As in the first step with the same number.
    let mut boundary = Boundary::new(8, 1, 1000);
    let capacity = held_up_to(11);
    search(&mut boundary, |value, times| match (value, times) {
        (11, 1) => Verdict::Unjudged,
        _ => capacity(value, times),
    });
    assert_eq!(boundary.answer().map(|side| (side.value, side.agreed, side.steps)), Some((11, 2, 3)));
}

#[test]
fn a_search_that_is_interrupted_has_what_is_known_so_far() {
    let mut boundary = Boundary::new(10, 1, 1000);
    assert_eq!(sides(&boundary), (None, None));
    for (value, verdict) in [(10, Verdict::Held), (20, Verdict::Held), (40, FAILED)] {
        boundary.add(value, verdict);
    }
    assert_eq!(sides(&boundary), (Some(20), Some(40)));
    assert_eq!(boundary.above().map(|side| side.standing), Some(Standing::Undecided));
    assert!(!boundary.is_repeated());
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let reached = || prop::option::of(0u64..10_000);
    prop_oneof![
        4 => Just(Verdict::Held),
        4 => reached().prop_map(|reached| Verdict::Failed { reached }),
        1 => Just(Verdict::Invalid),
        1 => reached().prop_map(|reached| Verdict::Unreachable { reached }),
        1 => Just(Verdict::Unjudged),
    ]
}

proptest! {
    #[test]
    fn a_capacity_is_found_within_the_precision(capacity in 0u64..1_000_000, start in 1u64..1_000_000) {
        let mut boundary = Boundary::new(start, 1, 2_000_000);
        let tried = search(&mut boundary, held_up_to(capacity));
        let (answer, above) = sides(&boundary);
        let (answer, above) = (answer.unwrap_or(0), above.unwrap());
        prop_assert!(answer <= capacity && capacity < above);
        prop_assert!(above - answer <= precision(above), "{answer} {above}");
        prop_assert!(boundary.is_consistent() && boundary.is_repeated());
        prop_assert!(tried.len() <= 65, "{} steps", tried.len());
    }

    #[test]
    fn any_outcomes_end_the_search_below_each_number_that_has_failed(
        verdicts in prop::collection::vec(verdict(), STEPS_MAX as usize),
        start in 1u64..10_000,
        min in 1u64..100,
    ) {
        let mut boundary = Boundary::new(start, min, 10_000);
        let mut verdicts_left = verdicts.iter();
        let tried = search(&mut boundary, |_, _| *verdicts_left.next().unwrap());
        prop_assert!(tried.len() <= STEPS_MAX as usize);
        prop_assert!(tried.iter().all(|value| (min..=10_000).contains(value)), "{tried:?}");
        let of = |value: u64, is: fn(&Verdict) -> bool| {
            let steps = tried.iter().zip(&verdicts).filter(|(tried, verdict)| **tried == value && is(verdict));
            steps.count()
        };
        let is_failed = |it: &Verdict| matches!(it, Verdict::Failed { .. });
        let answer = boundary.answer().map(|side| side.value);
        for value in &tried {
            let (held, failed) = (of(*value, |it| *it == Verdict::Held), of(*value, is_failed));
            if failed > held && failed > 1 {
                prop_assert!(answer.is_none_or(|answer| answer < *value), "{answer:?} {value}");
            }
            if Some(*value) == answer {
                prop_assert!(held > failed);
            }
            prop_assert!(held + failed <= 3);
        }
    }

    #[test]
    fn a_step_that_contradicts_the_answer_makes_it_uncertain(
        capacity in 10u64..10_000,
        liar in 0usize..30,
    ) {
        let mut boundary = Boundary::new(10, 1, 100_000);
        let (truth, mut number) = (held_up_to(capacity), 0);
        let mut lied = None;
        search(&mut boundary, |value, times| {
            number += 1;
            let verdict = truth(value, times);
            if number != liar + 1 {
                return verdict;
            }
            lied = Some(value);
            if verdict == FAILED { Verdict::Held } else { FAILED }
        });
        prop_assert_eq!(boundary.is_consistent(), lied.is_none(), "{:?}", boundary);
    }
}
