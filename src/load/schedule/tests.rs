//! Tests of schedules, against a slow reference.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::load::profile::stages;

fn due(schedule: &mut Schedule, messages: usize) -> Vec<u64> {
    let mut moments = Vec::new();
    for _ in 0..messages {
        moments.push(schedule.next_ns());
        schedule.advance();
    }
    moments
}

#[test]
fn uniform_messages_are_due_at_equal_intervals_and_rounding_errors_do_not_add_up() {
    let moments = due(&mut Schedule::new(100, 3, Arrivals::Uniform), 3_000_001);
    assert_eq!(moments[..4], [100, 333_333_433, 666_666_766, 1_000_000_100]);
    assert_eq!(moments[3_000_000], 1_000_000 * SECOND_NS + 100);
}

#[test]
fn an_interval_has_as_many_messages_as_rate_times_length_wherever_it_begins() {
    for (rate, seconds) in [(5000, 30), (3, 1), (7000, 2), (49_999, 1)] {
        for begin_ns in [0, 1, 333_333_333, 700_000_017] {
            let mut schedule = Schedule::new(0, rate, Arrivals::Uniform);
            let mut count_before = |end_ns| {
                let mut count = 0;
                while schedule.next_ns() < end_ns {
                    schedule.advance();
                    count += 1;
                }
                count
            };
            count_before(begin_ns);
            // A message that is due at the end is due in the next interval.
            assert_eq!(count_before(begin_ns + seconds * SECOND_NS), rate * seconds, "{rate}, {begin_ns}");
        }
    }
}

#[test]
fn skipped_messages_are_as_many_as_are_due() {
    for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
        for (rate, end_ns) in [(3, 2 * SECOND_NS), (7, 1_000_000_101), (49_999, 3_333_333), (1, 50), (5, 100)]
        {
            let [mut skipping, mut counting] = [(); 2].map(|()| Schedule::new(100, rate, arrivals));
            skipping.advance();
            counting.advance();
            let mut count = 0;
            while counting.next_ns() < end_ns {
                counting.advance();
                count += 1;
            }
            assert_eq!(skipping.skip_until(end_ns), count, "{rate} until {end_ns}");
            assert_eq!(skipping.next_ns(), counting.next_ns());
        }
    }
}

#[test]
fn any_number_of_messages_is_skipped_at_once() {
    let (rate, day_ns) = (100_000_000, 86_400 * SECOND_NS);
    let count = rate * 86_400;
    assert_eq!(Schedule::new(0, rate, Arrivals::Uniform).skip_until(day_ns), count);
    let poisson = Schedule::new(0, rate, Arrivals::Poisson).skip_until(day_ns);
    assert!(poisson.abs_diff(count) < count / 1000, "{poisson}");
}

#[test]
fn poisson_messages_have_the_requested_mean_rate_and_exponential_intervals() {
    let moments = due(&mut Schedule::new(0, 1000, Arrivals::Poisson), 100_000);
    // The start is no arrival: the first message is as far from it as from the next.
    assert_ne!(moments[0], 0);
    let seconds = float(moments[99_999]) / 1e9;
    assert!((99.0..101.0).contains(&seconds), "{seconds}");
    // Of exponential intervals, 1/e or 36.8 % are longer than the mean.
    let long = moments.windows(2).filter(|pair| pair[1] - pair[0] > 1_000_000).count();
    assert!((36_000..37_600).contains(&long), "{long}");
}

/// The parts of messages before each millisecond of a stage and at its end, as multiples of its length in
/// milliseconds: the trapezoids of each millisecond, added up.
fn added_up(stage: &LoadStage) -> Vec<u128> {
    let length = stage.length.as_millis();
    let level = |ms: u128| (u128::from(stage.from) * (length - ms)) + u128::from(stage.to) * ms;
    let mut sums = vec![0];
    for ms in 0..length {
        sums.push(sums[sums.len() - 1] + level(ms) + level(ms + 1));
    }
    sums
}

/// The number of messages that are due before each millisecond, and the last millisecond.
fn counts_of_reference(stages: &[LoadStage]) -> Vec<u64> {
    let (mut counts, mut before) = (vec![0], 0);
    for stage in stages {
        let length = stage.length.as_millis();
        let sums = added_up(stage);
        let messages = |sum: &u128| (before * length + sum).div_ceil(u128::from(PARTS) * length);
        counts.extend(sums[1..].iter().map(|sum| u64::try_from(messages(sum)).unwrap()));
        before += sums[sums.len() - 1] / length;
    }
    counts
}

fn any_stages() -> impl Strategy<Value = Vec<LoadStage>> {
    let stage = (0u64..3000, 0u64..3000, any::<bool>(), 1u64..300);
    let stage = stage.prop_map(|(from, to, is_ramp, ms)| LoadStage {
        from,
        to: if is_ramp { to } else { from },
        length: Duration::from_millis(ms),
    });
    prop::collection::vec(stage, 1..6)
}

proptest! {
    #[test]
    fn as_many_messages_are_due_as_the_integral_of_the_rate_at_any_time(
        stages in any_stages(), start_ns in 0u64..3, skipped in 0usize..600
    ) {
        let counts = counts_of_reference(&stages);
        let of_stages = || Schedule::of_stages(start_ns, &stages, 7, Arrivals::Uniform);
        let end_ns = |ms: usize| start_ns + ms as u64 * 1_000_000;
        let mut schedule = of_stages();
        let mut count = 0;
        for (ms, expected) in counts.iter().enumerate() {
            while schedule.next_ns() < end_ns(ms) {
                let due_ns = schedule.next_ns();
                schedule.advance();
                prop_assert!(schedule.next_ns() >= due_ns);
                count += 1;
            }
            prop_assert_eq!(count, *expected, "{} ms of {:?}", ms, &stages);
        }
        // Any part is skipped at once, with the same messages after it.
        let skipped = skipped.min(counts.len() - 1);
        let mut skipping = of_stages();
        prop_assert_eq!(skipping.skip_until(end_ns(skipped)), counts[skipped]);
        let last = counts.len() - 1;
        prop_assert_eq!(skipping.skip_until(end_ns(last)), counts[last] - counts[skipped]);
        prop_assert_eq!(skipping.next_ns(), schedule.next_ns());
    }
}

#[test]
fn stages_and_ramps_have_exactly_the_messages_of_their_area() {
    let stages = stages("1000@30s,1000..5000@1m,0@10s,5000..0@7d,100000000@7d");
    let mut schedule = Schedule::of_stages(0, &stages, 0, Arrivals::Uniform);
    let mut end_ns = 0;
    for (stage, expected) in stages.iter().zip([30_000, 180_000, 0, 1_512_000_000, 60_480_000_000_000]) {
        end_ns += stage.length_ns();
        assert_eq!(schedule.skip_until(end_ns), expected, "{stage}");
    }
    assert_eq!(schedule.next_ns(), u64::MAX, "the rate is zero");
}

#[test]
fn a_ramp_begins_slowly_and_a_pause_has_no_message() {
    let stages = stages("0..1000@1s,0@1s,1000@1s");
    let moments = due(&mut Schedule::of_stages(0, &stages, 0, Arrivals::Uniform), 502);
    // Message n of the ramp is due at the square root of n / 500.
    assert_eq!(moments[..3], [0, 44_721_359, 63_245_553]);
    assert_eq!(moments[499..], [998_999_499, 2 * SECOND_NS, 2_001_000_000]);
}

#[test]
fn poisson_messages_have_the_mean_of_each_stage() {
    let stages = stages("10000@5s,0@5s,0..40000@5s,40000..0@5s");
    let mut schedule = Schedule::of_stages(0, &stages, 0, Arrivals::Poisson);
    let mut counts = Vec::new();
    for half in 1..=8 {
        let mut count = 0;
        while schedule.next_ns() < half * 5 * SECOND_NS / 2 {
            schedule.advance();
            count += 1;
        }
        counts.push(count);
    }
    // Within about five standard deviations.
    for (count, expected) in counts.iter().zip([25_000, 25_000, 0, 0, 25_000, 75_000, 75_000, 25_000_i64]) {
        let deviation = 5.0 * float(expected.unsigned_abs()).sqrt();
        assert!(float((count - expected).unsigned_abs()) <= deviation, "{counts:?}");
    }
}
