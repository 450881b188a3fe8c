//! From the runs of a model in a scenario to a cell: medians, limits and marks.

use super::baseline::CellRuns;
use super::statistics::Estimate;
use crate::compare::capacities::Capacities;
use crate::compare::measure::Sample;
use crate::compare::options::Workload;
use crate::compare::plan::{Load, Scenario};
use crate::compare::result::{Cell, Generator, Mark};
use crate::compare::runner::Runs;
use crate::compare::server::Server;
use crate::load::stats::summary::LoadModel;
use crate::units::float;

/// The values of `server` in `scenario`, from the runs `samples`.
pub(super) fn cell(
    scenario: Scenario,
    server: Server,
    samples: &[Sample],
    runs: &Runs,
    capacities: &Capacities,
    kernel_noise_bytes: f64,
) -> Cell {
    let completed: Vec<&Sample> = samples.iter().filter(|sample| sample.server_failed.is_none()).collect();
    let answered: Vec<&Sample> = completed.iter().copied().filter(|sample| sample.rate > 0.0).collect();
    let of = |pick: fn(&Sample) -> Option<f64>| of_every(&completed, pick);
    let of_messages = |pick: fn(&Sample) -> Option<f64>| of_every(&answered, pick);
    let of_kernel = |pick: fn(&Sample) -> Option<f64>| {
        of_every(&completed, |sample| pick(sample).filter(|bytes| *bytes >= kernel_noise_bytes))
    };
    let median = |pick: fn(&Sample) -> Option<f64>| of(pick).map(|estimate| estimate.median);
    let invalid = || completed.iter().filter_map(|sample| sample.invalid);
    let generator_limit = invalid().next().filter(|_| invalid().count() * 2 > completed.len());
    let ended = samples.iter().filter_map(|sample| sample.server_failed.clone());
    let mut marks: Vec<Mark> = ended.map(Mark::ServerFailed).collect();
    marks.dedup();
    if answered.len() < completed.len() {
        marks.push(Mark::NoReplies { runs: completed.len() - answered.len(), of: completed.len() });
    }
    let lost = completed.iter().filter(|sample| sample.limited_by.is_none()).map(|sample| sample.lost).sum();
    if lost > 0 && scenario.workload != Workload::Churn {
        marks.push(Mark::ConnectionsLost(lost));
    }
    marks.extend(generator_limit.map(Mark::GeneratorLimited));
    Cell {
        workload: scenario.workload,
        connections: scenario.connections,
        model: server,
        load: match scenario.load {
            Load::Open | Load::Percent(_) => LoadModel::Open,
            Load::Closed | Load::Stack(_) => LoadModel::Closed,
        },
        offered_rate: runs.rates.get(&scenario).copied(),
        rate: of(|sample| Some(sample.rate)),
        cpu_us_per_message: of_messages(|sample| sample.cpu_us_per_message),
        p50_us: of_messages(|sample| sample.p50),
        p99_us: of_messages(|sample| sample.p99),
        p99_9_us: of_messages(|sample| sample.p99_9),
        user_bytes: of(|sample| sample.user_bytes),
        kernel_stack_bytes: of_kernel(|sample| sample.kernel_stack_bytes),
        slab_bytes: of_kernel(|sample| sample.slab_bytes),
        threads: of(|sample| sample.threads),
        voluntary_switches: of(|sample| sample.voluntary),
        involuntary_switches: of(|sample| sample.involuntary),
        opened: median(|sample| Some(float(sample.opened))),
        failed: completed.iter().map(|sample| sample.failed).sum(),
        // With a connection per message, a failed connection is a failed message.
        limited_by: completed
            .iter()
            .find_map(|sample| sample.limited_by)
            .filter(|_| scenario.workload != Workload::Churn)
            .map(|limit| capacities.limit_name(server, limit)),
        runs: CellRuns {
            cpu_us_per_message: of_run(&answered, |sample| sample.cpu_us_per_message),
            rate: of_run(&completed, |sample| Some(sample.rate)),
        },
        generator: Generator {
            busy: median(|sample| Some(sample.generator_busy)),
            cpu_seconds: median(|sample| Some(sample.generator_cpu_seconds)),
            lag_p99_us: median(|sample| sample.lag_p99),
            was_the_limit: generator_limit.is_some(),
            why: generator_limit,
        },
        marks,
    }
}

/// What each of `samples` has.
fn of_run(samples: &[&Sample], pick: fn(&Sample) -> Option<f64>) -> Vec<f64> {
    samples.iter().filter_map(|sample| pick(sample)).collect()
}

/// The estimate over `samples`; `None` if one of them has no value.
fn of_every(samples: &[&Sample], pick: impl Fn(&Sample) -> Option<f64>) -> Option<Estimate> {
    let values: Option<Vec<f64>> = samples.iter().map(|sample| pick(sample)).collect();
    Estimate::of(values?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixtures;

    fn of(samples: &[Sample]) -> Cell {
        let scenario = Scenario { workload: Workload::AllActive, connections: 10, load: Load::Closed };
        cell(scenario, Server::Loop, samples, &Runs::default(), &fixtures::capacities(), 1000.0)
    }

    fn run(p99: f64, p99_9: Option<f64>) -> Sample {
        Sample { rate: 500.0, p50: Some(5.0), p99: Some(p99), p99_9, ..Sample::default() }
    }

    #[test]
    fn the_percentiles_of_a_row_are_those_of_the_same_runs() {
        // The run with few messages is the slow one: a median without it would be below the p99.
        let it = of(&[run(10.0, Some(20.0)), run(90.0, None), run(95.0, None)]);
        assert_eq!((it.p99_us.unwrap().median, it.p99_9_us), (90.0, None));
        let it = of(&[run(10.0, Some(20.0)), run(90.0, Some(95.0))]);
        assert_eq!((it.p99_us.unwrap().runs, it.p99_9_us.unwrap().runs), (2, 2));
    }

    #[test]
    fn a_run_without_replies_is_marked_and_leaves_the_times_of_the_others() {
        let silent = Sample { cpu_us_per_message: None, ..Sample::default() };
        let it = of(&[run(10.0, None), silent.clone()]);
        assert_eq!(it.marks, [Mark::NoReplies { runs: 1, of: 2 }]);
        assert_eq!(it.marks[0].to_string(), "no message was answered in 1 of 2 runs");
        assert_eq!((it.p99_us.unwrap().runs, it.rate.unwrap().runs), (1, 2));
        assert_eq!(of(&[silent]).marks, [Mark::NoReplies { runs: 1, of: 1 }]);
        assert_eq!(of(&[run(10.0, None)]).marks, []);
    }

    #[test]
    fn only_completed_runs_are_compared_with_a_baseline() {
        let failed = Sample { server_failed: Some("killed by signal 9".into()), ..run(10.0, None) };
        let silent = Sample { cpu_us_per_message: Some(1.0), ..Sample::default() };
        let measured = Sample { cpu_us_per_message: Some(2.0), ..run(10.0, None) };
        let runs = of(&[failed, silent, measured]).runs;
        assert_eq!((runs.cpu_us_per_message, runs.rate), (vec![2.0], vec![0.0, 500.0]));
    }

    #[test]
    fn lost_connections_are_marked() {
        let losing = |lost| Sample { lost, ..run(10.0, None) };
        let it = of(&[losing(1), losing(0), losing(1200)]);
        assert_eq!(it.marks, [Mark::ConnectionsLost(1201)]);
        assert_eq!(it.marks[0].to_string(), "1,201 connections were lost in runs that are not compared");
        let one = Mark::ConnectionsLost(1).to_string();
        assert_eq!(one, "1 connection was lost in runs that are not compared");
    }

    #[test]
    fn kernel_memory_below_the_noise_is_not_known() {
        let with = |stacks, slab| Sample { kernel_stack_bytes: stacks, slab_bytes: slab, ..run(1.0, None) };
        let it = of(&[with(Some(999.0), Some(5000.0)), with(Some(4000.0), Some(7000.0))]);
        assert_eq!((it.kernel_stack_bytes, it.slab_bytes.unwrap().median), (None, 6000.0));
        assert_eq!(of(&[with(Some(4000.0), None)]).slab_bytes, None);
    }
}
