//! Which seeds a test runs, and what is reported of one that fails.

use std::cell::Cell;
use std::env;
use std::fs;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use crate::sim::plan::{Plan, Source};
use crate::sim::whole;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seeds(default_count: u64) -> Range<u64> {
    match (number("LOOPLINE_SEED"), number("LOOPLINE_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..default_count,
    }
}

/// Runs seeds. 100 of them must serve at least `served_min` of what `run` counts: a loop that closes every
/// connection would break few other rules.
pub(crate) fn for_each_seed(default_count: u64, served_min: usize, run: fn(u64) -> usize) {
    let seeds = seeds(default_count);
    let mut served = 0;
    for seed in seeds.clone() {
        match panic::catch_unwind(|| run(seed)) {
            Ok(count) => served += count,
            Err(panic) => {
                eprintln!("failed with LOOPLINE_SEED={seed}");
                panic::resume_unwind(panic);
            }
        }
    }
    let count = usize::try_from(seeds.end - seeds.start).unwrap();
    assert!(count < 100 || served * 100 >= count * served_min, "{served} served in {count} runs");
}

/// Each seed is run twice, and does the same both times. `LOOPLINE_STEPS` runs seeds until their servers have turned
/// that often.
#[test]
fn a_whole_server_keeps_its_promises_and_serves_all_when_the_faults_end() {
    if let Some(file) = env::var_os("LOOPLINE_SCRIPT") {
        run_script(file.into());
        return;
    }
    let steps = number("LOOPLINE_STEPS").map(|steps| usize::try_from(steps).unwrap());
    let seeds = if steps.is_some() { 0..u64::MAX } else { seeds(300) };
    let (mut served, mut answered, mut turns, mut runs) = (0, 0, 0, 0);
    for seed in seeds {
        let plan = whole::plan(Source::Seed(seed)).limited_by_environment();
        let outcome = run_twice(&plan, whole::run).unwrap_or_else(|failure| report(&plan, failure));
        served += outcome.served;
        answered += outcome.answered;
        turns += outcome.turns;
        runs += 1;
        if steps.is_some_and(|steps| turns >= steps) {
            break;
        }
    }
    println!(
        "{runs} runs, each of them twice: {turns} turns, {served} peers and {answered} datagrams served"
    );
    assert!(runs < 100 || (served >= runs * 5 && answered >= runs as u64 * 20), "too few are served");
}

/// Runs what a fuzzer has found (`fuzz/targets/simulation.rs`).
fn run_script(file: PathBuf) -> usize {
    let bytes = fs::read(&file).unwrap();
    let plan = whole::plan(Source::Script { file, bytes }).limited_by_environment();
    run_twice(&plan, whole::run).unwrap_or_else(|failure| report(&plan, failure)).served
}

#[test]
fn a_whole_server_keeps_its_promises_with_every_script_of_the_fuzz_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/simulation");
    let mut scripts: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    let served: usize = scripts.iter().cloned().map(run_script).sum();
    assert!(scripts.len() >= 20 && served >= scripts.len(), "{served} served in {} runs", scripts.len());
}

/// What is wrong with two runs of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    BothPanic,
    /// One of them panics, or they do different things: something is random that the seed does not draw.
    Differ,
}

fn run_twice<T: PartialEq>(plan: &Plan, run: impl Fn(&Plan) -> T) -> Result<T, Failure> {
    let run = || panic::catch_unwind(AssertUnwindSafe(|| run(plan))).ok();
    match (run(), run()) {
        (Some(first), Some(second)) if first == second => Ok(first),
        (None, None) => Err(Failure::BothPanic),
        _ => Err(Failure::Differ),
    }
}

/// The smallest plan that fails as well.
fn shrink<T: PartialEq>(plan: &Plan, failure: Failure, run: impl Fn(&Plan) -> T) -> Plan {
    let tries = if failure == Failure::Differ { DIFFERENCE_TRIES } else { 1 };
    plan.shrink(|fewer| (0..tries).any(|_| run_twice(fewer, &run).is_err()))
}

/// Pairs of runs in which a difference that depends on chance is looked for.
const DIFFERENCE_TRIES: usize = 50;

/// Runs the smallest plan that fails once more, so that its panic is what the test ends with.
fn report(plan: &Plan, failure: Failure) -> ! {
    let source = &plan.source;
    match failure {
        Failure::BothPanic => eprintln!("{source} fails"),
        Failure::Differ => eprintln!("two runs of {source} differ"),
    }
    assert!(env::var_os("LOOPLINE_NO_SHRINK").is_none(), "{source} fails");
    eprintln!("looking for the fewest peers and faults that it takes");
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let least = shrink(plan, failure, whole::run);
    panic::set_hook(hook);
    eprintln!("to replay it:\n  {least}");
    let _ = whole::run(&least);
    panic!("two runs of {source} differ: this one did not fail");
}

#[test]
fn a_plan_that_fails_shrinks_to_the_peers_and_faults_that_it_needs() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let plan = Plan { source: Source::Seed(17), peers: (0..30).collect(), faults: names(&["a", "b", "c"]) };
    let needs = |plan: &Plan| plan.has_peer(3) && plan.has_peer(22) && plan.faults.contains("b");
    let least = plan.shrink(needs);
    assert_eq!(least, Plan { source: Source::Seed(17), peers: [3, 22].into(), faults: names(&["b"]) });
    let command = "LOOPLINE_SEED=17 LOOPLINE_PEERS=3,22 LOOPLINE_FAULTS=b cargo test --test simulation whole";
    assert_eq!(least.to_string(), command);
}

#[test]
fn a_plan_whose_runs_differ_shrinks_too() {
    let plan = Plan { source: Source::Seed(17), peers: (0..30).collect(), faults: ["a".to_owned()].into() };
    // One run in seven differs from the others, if this peer comes.
    let runs = Cell::new(0);
    let run = |plan: &Plan| {
        runs.set(runs.get() + 1);
        plan.has_peer(3) && runs.get() % 7 == 0
    };
    let failures = (0..7).filter_map(|_| run_twice(&plan, run).err());
    assert_eq!(failures.collect::<Vec<_>>(), [Failure::Differ; 2]);
    assert_eq!(shrink(&plan, Failure::Differ, run), Plan { peers: [3].into(), faults: [].into(), ..plan });
}

#[test]
fn two_seeds_have_different_traces() {
    let trace = |seed| whole::run(&whole::plan(Source::Seed(seed))).trace;
    assert_ne!(trace(0), trace(1));
    assert_eq!(trace(0), trace(0));
}
