//! Verdicts, and simulations of how often they are right.

use fastrand::Rng;

use super::*;

fn verdict(ratios: &[f64]) -> Verdict {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    Verdict::of(Measure::CpuPerMessage, 100, &logs).unwrap()
}

#[test]
fn a_verdict_is_the_geometric_mean_with_the_interval_of_student() {
    let it = verdict(&[2.0, 4.0, 8.0]);
    // The deviation of the logarithms is ln 2, and the quantile of two degrees of freedom 4.303.
    let half = 4.303 * std::f64::consts::LN_2 / 3f64.sqrt();
    assert!((it.ratio - 4.0).abs() < 1e-9, "{it:?}");
    assert!((it.low / (4.0 / half.exp()) - 1.0).abs() < 1e-9, "{it:?}");
    assert!((it.high / (4.0 * half.exp()) - 1.0).abs() < 1e-9, "{it:?}");
    assert_eq!((it.pairs, it.decision), (3, Decision::Undecided));
}

#[test]
fn a_single_pair_gives_no_verdict_and_two_give_a_wide_interval() {
    assert_eq!(Verdict::of(Measure::Rate, 1, &[2.0]), None);
    assert_eq!(verdict(&[3.0, 4.2]).decision, Decision::Undecided);
    assert_eq!(verdict(&[3.5, 3.7]).decision, Decision::Loop);
}

#[test]
fn a_difference_decides_only_if_the_whole_interval_is_beyond_the_margin() {
    for (ratios, decision) in [
        ([1.04, 1.041, 1.042], Decision::Loop),
        // Certain, and smaller than the margin.
        ([1.02, 1.021, 1.022], Decision::Same),
        ([0.98, 0.981, 0.982], Decision::Same),
        // The interval excludes 1, but not the margin.
        ([1.05, 1.06, 1.07], Decision::Loop),
        ([1.03, 1.04, 1.05], Decision::Undecided),
        ([0.95, 0.951, 0.952], Decision::Threads),
        ([0.9, 1.0, 1.1], Decision::Undecided),
    ] {
        assert_eq!(verdict(&ratios).decision, decision, "{:?}", verdict(&ratios));
    }
}

#[test]
fn a_sentence_has_the_ratio_the_interval_and_the_pairs() {
    let text = verdict(&[3.5, 3.6, 3.7]).to_string();
    assert_eq!(text, "the loop needs 3.6 times less CPU a message (95 % interval 3.36 to 3.86, 3 pairs)");
    let text = verdict(&[1.0 / 3.5, 1.0 / 3.6, 1.0 / 3.7]).to_string();
    assert_eq!(text, "threads need 3.6 times less CPU a message (95 % interval 3.36 to 3.86, 3 pairs)");
    let text = verdict(&[1.0, 1.001, 0.999]).to_string();
    assert_eq!(text, "the same CPU a message within 3 % (95 % interval 1 to 1, 3 pairs)");
    let mut rate = Verdict { measure: Measure::Rate, ..verdict(&[1.1, 1.2, 1.3]) };
    rate.qualifications = vec![Qualification::GeneratorLimited(Model::Threads)];
    assert_eq!(
        rate.to_string(),
        "not decided: the loop handles 1.2 times as many messages a second (95 % interval 0.97 to 1.47, 3 pairs; \
         about 1 more would decide it); the generator was the limit of threads, which may handle more"
    );
}

#[test]
fn the_pairs_that_an_undecided_verdict_needs_follow_from_its_width() {
    let open = verdict(&[1.05, 1.15, 1.25]);
    let more = open.more_pairs.unwrap();
    // The same spread with that many pairs decides, with one fewer it does not.
    let (mean, deviation) = (open.ratio.ln(), (open.high / open.ratio).ln() * 3f64.sqrt() / 4.303);
    assert!(mean - half_width(deviation, 3 + more) >= MARGIN.ln());
    assert!(mean - half_width(deviation, 2 + more) < MARGIN.ln());
    assert_eq!(verdict(&[3.5, 3.6, 3.7]).more_pairs, None, "nothing is open");
    assert_eq!(verdict(&[0.5, 1.03, 2.1]).more_pairs, None, "it is too close");
}

/// A normal deviate, by the method of Box and Muller.
fn normal(random: &mut Rng) -> f64 {
    let (one, other) = (1.0 - random.f64(), random.f64());
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// The logarithm of the ratio of two runs on a busy machine: some noise in each, and one run in ten is slowed down
/// by up to three times.
fn busy(random: &mut Rng) -> f64 {
    let run = |random: &mut Rng| {
        let slowed = if random.f64() < 0.1 { random.f64() * 3f64.ln() } else { 0.0 };
        0.05 * normal(random) + slowed
    };
    run(random) - run(random)
}

fn quiet(random: &mut Rng) -> f64 {
    0.03 * normal(random)
}

#[test]
fn the_interval_contains_the_true_ratio_as_often_as_it_claims() {
    for (noise, seed) in [(quiet as fn(&mut Rng) -> f64, 1), (busy, 2)] {
        let mut random = Rng::with_seed(seed);
        for pairs in [2, 3, 5, 10, 20] {
            let truth = 1.2f64;
            let contains = (0..TRIALS).filter(|_| {
                let logs: Vec<f64> = (0..pairs).map(|_| truth.ln() + noise(&mut random)).collect();
                let it = Verdict::of(Measure::Rate, 1, &logs).unwrap();
                (it.low..=it.high).contains(&truth)
            });
            let share = small(contains.count()) / small(TRIALS);
            assert!(share > 0.94, "{share} with {pairs} pairs, seed {seed}");
        }
    }
}

/// Adds pairs until the verdict is decided, as the runner does.
fn decide(truth: f64, noise: fn(&mut Rng) -> f64, random: &mut Rng) -> Decision {
    let mut logs: Vec<f64> = (0..2).map(|_| truth.ln() + noise(random)).collect();
    loop {
        let it = Verdict::of(Measure::CpuPerMessage, 1, &logs).unwrap();
        if it.decision != Decision::Undecided || logs.len() == 20 {
            return it.decision;
        }
        logs.push(truth.ln() + noise(random));
    }
}

#[test]
fn going_on_until_it_is_decided_seldom_decides_wrongly() {
    for (noise, seed) in [(quiet as fn(&mut Rng) -> f64, 3), (busy, 4)] {
        let mut random = Rng::with_seed(seed);
        for truth in [1.0, 1.03, 1.06, 1.5] {
            let wrong = (0..TRIALS).filter(|_| match decide(truth, noise, &mut random) {
                Decision::Loop => truth <= 1.0,
                Decision::Threads => truth >= 1.0,
                Decision::Same => truth > MARGIN,
                Decision::Undecided => false,
            });
            let share = small(wrong.count()) / small(TRIALS);
            println!("{share} wrong at {truth}, seed {seed}");
            assert!(share < 0.06, "{share} wrong at {truth}, seed {seed}");
        }
    }
}

const TRIALS: usize = 4000;
