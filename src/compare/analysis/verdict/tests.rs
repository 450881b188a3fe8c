//! Verdicts, and simulations of how often they are right.

use fastrand::Rng;

use super::*;

fn verdict(ratios: &[f64]) -> Verdict {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    Verdict::of(Measure::CpuPerMessage, Server::Threads, 100, &logs, Looks::Once).unwrap()
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
    assert_eq!(Verdict::of(Measure::Rate, Server::Threads, 1, &[2.0], Looks::Once), None);
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
fn a_further_server_that_is_better_is_the_winner() {
    let with = crate::compare::server::With::list(vec!["c=serve {port}".parse().unwrap()]).unwrap();
    let rival = Server::With(with[0]);
    let logs = [0.5f64, 0.501, 0.499].map(f64::ln);
    let it = Verdict::of(Measure::CpuPerMessage, rival, 100, &logs, Looks::Once).unwrap();
    assert_eq!((it.decision, it.winner()), (Decision::Further, Some(rival)));
    assert!(it.to_string().starts_with("c needs 2 times less CPU a message "), "{it}");
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
    rate.qualifications = vec![Qualification::GeneratorLimited(Server::Threads)];
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
    assert!(mean - Looks::Once.half_width(deviation, 3 + more) >= MARGIN.ln());
    assert!(mean - Looks::Once.half_width(deviation, 2 + more) < MARGIN.ln());
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
                let it = Verdict::of(Measure::Rate, Server::Threads, 1, &logs, Looks::Once).unwrap();
                (it.low..=it.high).contains(&truth)
            });
            let share = small(contains.count()) / small(TRIALS);
            assert!(share > 0.94, "{share} with {pairs} pairs, seed {seed}");
        }
    }
}

/// Adds pairs to `planned` until the verdict is decided, as the runner does.
fn decide(truth: f64, planned: usize, noise: fn(&mut Rng) -> f64, random: &mut Rng) -> Verdict {
    let looks = Looks::Repeated { planned };
    let mut logs: Vec<f64> = (0..planned).map(|_| truth.ln() + noise(random)).collect();
    loop {
        let it = Verdict::of(Measure::CpuPerMessage, Server::Threads, 1, &logs, looks).unwrap();
        if it.decision != Decision::Undecided || logs.len() == PAIRS_ADDED_MAX {
            return it;
        }
        logs.push(truth.ln() + noise(random));
    }
}

fn loud(random: &mut Rng) -> f64 {
    0.3 * normal(random)
}

#[test]
fn the_interval_holds_and_the_decision_is_right_if_pairs_are_added_until_it_is_decided() {
    for (noise, seed) in [(quiet as fn(&mut Rng) -> f64, 3), (busy, 4), (loud, 5)] {
        let mut random = Rng::with_seed(seed);
        for (planned, truth) in [2, 3].into_iter().flat_map(|it| [1.0, 1.03, 1.06, 1.5].map(|n| (it, n))) {
            let (mut wrong, mut contains) = (0, 0);
            for _ in 0..TRIALS {
                let it = decide(truth, planned, noise, &mut random);
                wrong += usize::from(match it.decision {
                    // At the margin itself, both answers are right.
                    Decision::Loop => truth < MARGIN,
                    Decision::Threads | Decision::Further => true,
                    Decision::Same => truth > MARGIN,
                    Decision::Undecided => false,
                });
                contains += usize::from((it.low..=it.high).contains(&truth));
            }
            let [wrong, contains] = [wrong, contains].map(|count| small(count) / small(TRIALS));
            let what = format!("{planned} planned, {truth}, seed {seed}");
            assert!(wrong < 0.06 && contains > 0.94, "{wrong} wrong, {contains} contained: {what}");
        }
    }
}

#[test]
fn pairs_after_the_last_look_wait_for_the_next_one() {
    let of = |pairs: usize, planned| {
        let logs: Vec<f64> = [0.2, 0.9, 0.1, 0.7, 0.4].iter().copied().cycle().take(pairs).collect();
        Verdict::of(Measure::Rate, Server::Threads, 1, &logs, Looks::Repeated { planned })
    };
    assert_eq!(of(1, 2), None);
    for (pairs, used) in [(2, 2), (3, 3), (4, 3), (5, 5), (7, 5), (8, 8), (12, 8), (19, 13), (20, 20)] {
        assert_eq!(of(pairs, 3).unwrap().pairs, used);
    }
    // The planned look is the widest part of the 5 %.
    assert!(of(3, 3).unwrap().high < of(3, 2).unwrap().high);
    let (three, four) = (of(3, 3).unwrap(), of(4, 3).unwrap());
    assert_eq!(
        (three.low.to_bits(), three.more_pairs),
        (four.low.to_bits(), four.more_pairs.map(|it| it + 1))
    );
}

const TRIALS: usize = 4000;
