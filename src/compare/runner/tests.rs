//! The runner on a machine of which a test sets the speed and the noise.

use fastrand::Rng;

use super::*;
use crate::compare::measure::timeout;
use crate::compare::options::Workload;
use crate::compare::server::With;

fn scenario(load: Load) -> Scenario {
    Scenario { workload: Workload::AllActive, connections: 10, load }
}

fn step(load: Load) -> Step {
    Step { scenario: scenario(load), server: Server::Loop, repeat: 0 }
}

fn measured(rates: [f64; 2]) -> Runs {
    let sample = |rate| vec![Sample { rate, ..Sample::default() }];
    let samples = MODELS.into_iter().zip(rates);
    let samples = samples.map(|(model, rate)| ((scenario(Load::Closed), model), sample(rate))).collect();
    Runs { samples, ..Runs::default() }
}

/// A machine: `takes` is how many times longer than estimated a run takes that begins at a time, `advantage` how much
/// better the loop is.
struct FakeBench<'a> {
    options: &'a CompareOptions,
    now: Duration,
    takes: fn(&mut Rng, Duration) -> f64,
    advantage: f64,
    noise: f64,
    random: Rng,
    stop_at: Duration,
    steps: Vec<Step>,
}

impl<'a> FakeBench<'a> {
    fn new(options: &'a CompareOptions) -> Self {
        Self {
            options,
            now: Duration::from_secs(1),
            takes: |_, _| 1.0,
            advantage: 1.5,
            noise: 0.0,
            random: Rng::with_seed(7),
            stop_at: Duration::MAX,
            steps: Vec::new(),
        }
    }

    fn compare(mut self, connections: &[u32]) -> (Runs, Vec<Step>) {
        let steps = plan::steps(self.options, connections);
        let options = self.options;
        let runs = Runner::new(&mut self, options).run(&steps, |_| {}).unwrap();
        (runs, self.steps)
    }
}

impl Bench for FakeBench<'_> {
    fn elapsed(&self) -> Duration {
        self.now
    }

    fn is_stopped(&self) -> bool {
        self.now >= self.stop_at
    }

    fn run(&mut self, step: &Step, _: Option<u64>, left: Duration) -> Result<Option<Sample>, CompareError> {
        let takes = (self.takes)(&mut self.random, self.now);
        let longest = self.options.warmup + self.options.duration + WAITS * timeout(left, self.options);
        self.now += step.estimate(self.options).mul_f64(takes).min(longest);
        self.steps.push(*step);
        let better = if step.server == Server::Loop { self.advantage } else { 1.0 };
        let better = better * (self.noise * (self.random.f64() - 0.5)).exp();
        Ok(Some(Sample {
            rate: 1000.0 * better,
            cpu_us_per_message: Some(10.0 / better),
            ..Sample::default()
        }))
    }
}

const QUICK: [u32; 4] = [1, 10, 100, 1000];

#[test]
fn a_quick_comparison_ends_within_a_minute_on_any_machine() {
    let options = CompareOptions::quick("loopline".into());
    let speeds: [fn(&mut Rng, Duration) -> f64; 8] = [
        |_, _| 1.0,
        |_, _| 1.6,
        |_, _| 4.0,
        |_, _| 12.0,
        |_, _| 30.0,
        |random, _| 0.8 + 8.0 * random.f64().powi(8),
        |_, now| if now < Duration::from_secs(50) { 1.0 } else { 100.0 },
        |_, now| if now < Duration::from_secs(55) { 0.9 } else { 100.0 },
    ];
    for (number, takes) in speeds.into_iter().enumerate() {
        for noise in [0.0, 0.2, 2.0] {
            let (runs, _) = FakeBench { takes, noise, ..FakeBench::new(&options) }.compare(&QUICK);
            assert!(runs.elapsed <= Duration::from_secs(58), "speed {number}: {:?}", runs.elapsed);
            assert!(runs.done > 0 && runs.done + runs.skipped == runs.planned, "{number}: {runs:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_left_out_from_the_end_and_listed() {
    let options = CompareOptions::quick("loopline".into());
    let (runs, steps) = FakeBench { takes: |_, _| 6.0, ..FakeBench::new(&options) }.compare(&QUICK);
    let planned = plan::steps(&options, &QUICK);
    assert_eq!(steps, planned[..steps.len()], "the first ones");
    assert!(!runs.not_measured.is_empty());
    let all: Vec<Scenario> = runs.not_measured.iter().map(|(scenario, _)| *scenario).collect();
    for (scenario, why) in &runs.not_measured {
        // The rate of an open loop is not known without the closed loop.
        let is_without_rate = all.contains(&Scenario { load: Load::Closed, ..*scenario });
        let expected = match scenario.load {
            Load::Open | Load::Percent(_) if is_without_rate => SkipReason::NoRate,
            Load::Closed | Load::Open | Load::Percent(_) | Load::Stack(_) => SkipReason::TimeLimit,
        };
        assert_eq!(*why, expected, "{scenario:?}");
        assert!(steps.iter().all(|step| step.scenario != *scenario));
    }
    assert!(all.contains(&planned.last().unwrap().scenario));
}

#[test]
fn a_machine_that_is_as_fast_as_estimated_measures_everything() {
    let options = CompareOptions::quick("loopline".into());
    let (runs, _) = FakeBench::new(&options).compare(&QUICK);
    assert_eq!((runs.skipped, runs.not_measured.len(), runs.more_pairs), (0, 0, 0), "{:?}", runs.elapsed);
}

#[test]
fn more_pairs_are_run_of_what_is_not_decided_until_it_is() {
    let options =
        CompareOptions { workloads: vec![Workload::AllActive], ..CompareOptions::full("loopline".into()) };
    let (runs, steps) = FakeBench { noise: 0.6, ..FakeBench::new(&options) }.compare(&[10]);
    assert!(runs.more_pairs > 0 && runs.elapsed < Duration::from_secs(570), "{:?}", runs.elapsed);
    assert_eq!(runs.missing_pairs(scenario(Load::Closed), &MODELS), None, "it is decided");
    let more = &steps[steps.len() - 2 * runs.more_pairs..];
    assert!(more.iter().all(|step| step.scenario == scenario(Load::Closed)));
    // Pairs go on alternating.
    assert!(more.chunks(2).all(|pair| pair[0].server != pair[1].server && pair[0].repeat == pair[1].repeat));
    assert_eq!(more[0].repeat, options.repeats);
}

#[test]
fn what_no_number_of_pairs_decides_ends_at_the_limit() {
    let options =
        CompareOptions { workloads: vec![Workload::AllActive], ..CompareOptions::full("loopline".into()) };
    let (runs, _) = FakeBench { noise: 9.0, advantage: 1.03, ..FakeBench::new(&options) }.compare(&[10]);
    assert_eq!(runs.pairs(scenario(Load::Closed)), PAIRS_ADDED_MAX);
}

#[test]
fn an_explicit_number_of_repeats_is_exact() {
    let options = CompareOptions { more_pairs_until: None, ..CompareOptions::full("loopline".into()) };
    let (runs, steps) = FakeBench { noise: 2.0, ..FakeBench::new(&options) }.compare(&[10]);
    assert_eq!((runs.more_pairs, steps.len()), (0, runs.planned));
}

#[test]
fn a_stop_ends_it_after_the_run() {
    let options = CompareOptions::quick("loopline".into());
    let (runs, steps) =
        FakeBench { stop_at: Duration::from_secs(2), ..FakeBench::new(&options) }.compare(&QUICK);
    assert!(runs.is_interrupted && steps.len() == runs.done && runs.done < 10);
    assert!(runs.not_measured.iter().all(|(_, why)| *why == SkipReason::Interrupted));
}

#[test]
fn the_rate_of_an_open_loop_is_half_that_of_the_slower_model() {
    let options = CompareOptions::full("loopline".into());
    let mut runs = measured([3000.0, 1000.0]);
    assert!(runs.find_rate(&step(Load::Open), &options));
    assert!(runs.find_rate(&step(Load::Percent(80)), &options));
    assert_eq!(runs.rates[&scenario(Load::Open)], 500);
    assert_eq!(runs.rates[&scenario(Load::Percent(80))], 800);
    let with_rate = CompareOptions { rate: Some(7), ..options };
    let mut runs = measured([3000.0, 1000.0]);
    assert!(runs.find_rate(&step(Load::Open), &with_rate));
    assert_eq!(runs.rates[&scenario(Load::Open)], 7);
}

fn further_server() -> Server {
    Server::With(With::list(vec!["c=serve {port}".parse().unwrap()]).unwrap()[0])
}

#[test]
fn a_further_server_that_is_slower_sets_the_rate_of_the_open_loop() {
    let c = further_server();
    let Server::With(with) = c else { unreachable!() };
    let options = CompareOptions { with: vec![with], ..CompareOptions::full("loopline".into()) };
    for (rate, expected) in [(400.0, 200), (9000.0, 500), (0.0, 500)] {
        let mut runs = measured([3000.0, 1000.0]);
        runs.samples.insert((scenario(Load::Closed), c), vec![Sample { rate, ..Sample::default() }]);
        assert!(runs.find_rate(&step(Load::Open), &options));
        assert_eq!(runs.rates[&scenario(Load::Open)], expected, "{rate}");
    }
}

#[test]
fn a_further_server_that_is_not_decided_gets_more_pairs() {
    let samples = |cpu: [f64; 3]| -> Vec<Sample> {
        let run = |cpu| Sample { rate: 1e3 / cpu, cpu_us_per_message: Some(cpu), ..Sample::default() };
        cpu.map(run).into()
    };
    let (all, c) = (scenario(Load::Closed), further_server());
    let mut runs = Runs::default();
    runs.samples.insert((all, Server::Loop), samples([1.0, 1.001, 0.999]));
    runs.samples.insert((all, Server::Threads), samples([2.0, 2.001, 1.999]));
    runs.samples.insert((all, c), samples([0.8, 1.0, 1.3]));
    assert_eq!(runs.missing_pairs(all, &MODELS), None);
    assert!(runs.missing_pairs(all, &[Server::Loop, Server::Threads, c]).is_some());
}

#[test]
fn an_open_loop_without_a_rate_is_skipped() {
    let options = CompareOptions::full("loopline".into());
    assert!(!measured([3000.0, 0.0]).find_rate(&step(Load::Open), &options));
    assert!(!Runs::default().find_rate(&step(Load::Open), &options));
}
