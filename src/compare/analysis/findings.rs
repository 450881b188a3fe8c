//! From measured runs to the result: medians, slopes, sentences.

use std::collections::BTreeSet;

use super::crossover::crossover;
use super::pairs;
use super::scalability::Fit;
use super::sentence::sentence;
use super::statistics::Estimate;
use super::verdict::{Measure, Verdict};
use crate::compare::capacities::Capacities;
use crate::compare::cores::Split;
use crate::compare::measure::Sample;
use crate::compare::options::{CompareOptions, Workload};
use crate::compare::plan::{self, Load, MODELS, Scenario};
use crate::compare::result::{
    Cell, Comparison, Generator, Machine, Mark, Memory, Scalability, Settings, Stack, WorkloadVerdict,
};
use crate::compare::runner::Runs;
use crate::load::stats::summary::LoadModel;
use crate::report::format;
use crate::server::options::Model;
use crate::units::float;

/// The result of `runs`.
pub(crate) fn comparison(
    options: &CompareOptions,
    machine: Machine,
    connections: &[u32],
    runs: &Runs,
    pinned: Option<&Split>,
    capacities: &Capacities,
) -> Comparison {
    let cells = |is_wanted: fn(Load) -> bool| -> Vec<Cell> {
        let samples = runs.samples.iter().filter(|((scenario, _), _)| is_wanted(scenario.load));
        samples
            .map(|((scenario, model), samples)| cell(*scenario, *model, samples, runs, capacities))
            .collect()
    };
    let measured = cells(|load| matches!(load, Load::Closed | Load::Open));
    let stacks = cells(|load| matches!(load, Load::Stack(_)));
    let stacks = stacks.iter().zip(plan::STACKS);
    Comparison {
        machine,
        settings: Settings {
            workloads: options.workloads.clone(),
            connections: connections.to_vec(),
            duration_seconds: options.duration.as_secs_f64(),
            warmup_seconds: options.warmup.as_secs_f64(),
            repeats: options.repeats,
            pinned: pinned.cloned(),
            rate: options.rate,
        },
        planned: runs.planned,
        done: runs.done,
        skipped: runs.skipped,
        interrupted: runs.is_interrupted,
        elapsed_seconds: runs.elapsed.as_secs_f64(),
        verdicts: options.workloads.iter().map(|workload| verdict(*workload, runs, &measured)).collect(),
        memory: MODELS.map(|model| memory(model, &measured)).into(),
        stacks: stacks.map(|(cell, bytes)| stack(cell, bytes, &measured)).collect(),
        latency_by_rate: cells(|load| matches!(load, Load::Percent(_))),
        scalability: MODELS.map(|model| scalability(model, &measured)).into(),
        cells: measured,
    }
}

fn cell(scenario: Scenario, model: Model, samples: &[Sample], runs: &Runs, capacities: &Capacities) -> Cell {
    let completed = || samples.iter().filter(|sample| sample.server_ended.is_none());
    let of = |pick: fn(&Sample) -> Option<f64>| Estimate::of(completed().filter_map(pick));
    let median = |pick: fn(&Sample) -> Option<f64>| of(pick).map(|estimate| estimate.median);
    let invalid = || completed().filter_map(|sample| sample.invalid);
    let generator_limit = invalid().next().filter(|_| invalid().count() * 2 > completed().count());
    let ended = samples.iter().filter_map(|sample| sample.server_ended.clone());
    let mut marks: Vec<Mark> = ended.map(Mark::ServerEnded).collect();
    marks.dedup();
    marks.extend(generator_limit.map(Mark::GeneratorLimited));
    Cell {
        workload: scenario.workload,
        connections: scenario.connections,
        model,
        load: match scenario.load {
            Load::Open | Load::Percent(_) => LoadModel::Open,
            Load::Closed | Load::Stack(_) => LoadModel::Closed,
        },
        offered_rate: runs.rates.get(&scenario).copied(),
        rate: of(|sample| Some(sample.rate)),
        cpu_us_per_message: of(|sample| sample.cpu_us_per_message),
        p50_us: of(|sample| sample.p50),
        p99_us: of(|sample| sample.p99),
        p99_9_us: of(|sample| sample.p99_9),
        user_bytes: of(|sample| sample.user_bytes),
        kernel_stack_bytes: of(|sample| sample.kernel_stack_bytes),
        slab_bytes: of(|sample| sample.slab_bytes),
        threads: of(|sample| sample.threads),
        voluntary_switches: of(|sample| sample.voluntary),
        involuntary_switches: of(|sample| sample.involuntary),
        opened: median(|sample| Some(float(sample.opened))),
        failed: completed().map(|sample| sample.failed).sum(),
        // With a connection per message, a failed connection is a failed message.
        limited_by: completed()
            .find_map(|sample| sample.limited_by)
            .filter(|_| scenario.workload != Workload::Churn)
            .map(|limit| capacities.limit_name(model, limit)),
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

/// The cells of a workload by number of connections: the loop, then threads.
pub(crate) fn pairs(workload: Workload, load: LoadModel, cells: &[Cell]) -> Vec<(u32, [Option<&Cell>; 2])> {
    let of = |cell: &&Cell| cell.workload == workload && cell.load == load;
    let mut counts: Vec<u32> = cells.iter().filter(of).map(|cell| cell.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let find = |n, model| cells.iter().filter(of).find(|cell| cell.connections == n && cell.model == model);
    counts.into_iter().map(|n| (n, MODELS.map(|model| find(n, model)))).collect()
}

fn verdict(workload: Workload, runs: &Runs, cells: &[Cell]) -> WorkloadVerdict {
    let scenarios: BTreeSet<Scenario> = runs.samples.keys().map(|(scenario, _)| *scenario).collect();
    let closed = scenarios.into_iter().filter(|it| it.workload == workload && it.load == Load::Closed);
    let compared: Vec<Scenario> = closed
        .filter(|scenario| {
            let [by_loop, by_threads] = runs.of_models(*scenario);
            pairs::is_compared(*scenario, by_loop, by_threads)
        })
        .collect();
    let verdicts = |measure| {
        let compared = compared.iter().filter_map(move |scenario| {
            let [by_loop, by_threads] = runs.of_models(*scenario);
            pairs::verdict(measure, *scenario, by_loop, by_threads)
        });
        compared.collect::<Vec<Verdict>>()
    };
    let [cpu, rate] = pairs::MEASURES.map(verdicts);
    let connections: Vec<u32> = compared.iter().map(|scenario| scenario.connections).collect();
    let say =
        |measure, verdicts: &[Verdict]| sentence(measure, &verdicts.iter().collect::<Vec<_>>(), &connections);
    let ends = MODELS.into_iter().filter_map(|model| {
        cells.iter().filter(|it| it.workload == workload && it.model == model).find_map(stop)
    });
    let throughput: Vec<String> = [say(Measure::Rate, &rate)].into_iter().chain(ends).collect();
    WorkloadVerdict {
        workload,
        sentence: throughput.join("; "),
        crossover: crossover(&rate.iter().collect::<Vec<_>>()).map(|(_, connections)| connections),
        cost: (!cpu.is_empty()).then(|| say(Measure::CpuPerMessage, &cpu)),
        by_connections: cpu.into_iter().chain(rate).collect(),
    }
}

/// The number of connections at which a model stopped, and the limit.
fn stop(cell: &Cell) -> Option<String> {
    let limit = cell.limited_by.as_ref()?;
    let opened = format::rounded(cell.opened?);
    let subject = match cell.model {
        Model::Loop => "the loop stops",
        Model::Threads => "threads stop",
    };
    Some(format!("{subject} at {opened} connections ({limit})"))
}

/// The cells of a model in the closed loop of `workloads`.
fn closed_loop<'a>(
    model: Model,
    workloads: &[Workload],
    cells: &'a [Cell],
) -> impl Iterator<Item = &'a Cell> {
    cells.iter().filter(move |cell| {
        cell.model == model && cell.load == LoadModel::Closed && workloads.contains(&cell.workload)
    })
}

fn memory(model: Model, cells: &[Cell]) -> Memory {
    let of = |pick: fn(&Cell) -> Option<Estimate>| {
        let counted = closed_loop(model, &[Workload::AllActive, Workload::FewActive], cells)
            .filter(|cell| cell.connections >= SLOPE_CONNECTIONS_MIN);
        let points = counted.filter_map(|cell| Some((cell.opened?, pick(cell)?.median)));
        slope(&points.collect::<Vec<_>>())
    };
    Memory {
        model,
        user_bytes: of(|cell| cell.user_bytes),
        kernel_stack_bytes: of(|cell| cell.kernel_stack_bytes),
        slab_bytes: of(|cell| cell.slab_bytes),
    }
}

/// Least squares; `None` if the points are too close to each other.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = float(points.len() as u64);
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let is_wide = points.iter().any(|point| (point.0 - x).abs() >= SLOPE_DISTANCE_MIN);
    let across: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (is_wide && across > 0.0).then(|| along / across)
}

fn stack(cell: &Cell, stack_bytes: usize, cells: &[Cell]) -> Stack {
    // The memory of the process itself is nearly that with the fewest connections.
    let fewest = closed_loop(Model::Threads, &[Workload::AllActive], cells).min_by_key(|it| it.connections);
    let base = fewest.and_then(|cell| cell.user_bytes);
    let each =
        |all: Estimate| Some((all.median - base?.median) / cell.opened.filter(|opened| *opened > 0.0)?);
    Stack {
        stack_bytes,
        connections: cell.connections,
        user_bytes_per_connection: cell.user_bytes.and_then(each),
        rate: cell.rate.map(|rate| rate.median),
        marks: cell.marks.clone(),
    }
}

fn scalability(model: Model, cells: &[Cell]) -> Scalability {
    let counted = closed_loop(model, &[Workload::AllActive], cells);
    let points = counted.filter_map(|cell| Some((cell.opened?, cell.rate?.median)));
    let fit = Fit::of(&points.collect::<Vec<_>>());
    let sentence = match &fit {
        None => "no fit: too few points".into(),
        Some(fit) if !fit.is_good() => format!(
            "no fit: the law explains {} of the variance of {} points",
            format::share(fit.r_squared.max(0.0)),
            fit.points
        ),
        Some(fit) => {
            let Fit { lambda, sigma, kappa, r_squared, .. } = fit;
            let peak = fit.peak().map_or_else(
                || "no peak".into(),
                |peak| format!("peak at about {} connections", format::rounded(peak)),
            );
            format!(
                "{} with one connection, contention {sigma:.4}, coherence {kappa:.2e}, {peak}; it explains {} of \
                 the variance",
                format::rate(*lambda),
                format::share(*r_squared)
            )
        }
    };
    Scalability { model, fit, sentence }
}

/// With fewer connections, their memory is hidden by partly used pages.
const SLOPE_CONNECTIONS_MIN: u32 = 100;

/// The distance from the mean number of connections that at least one point must have.
const SLOPE_DISTANCE_MIN: f64 = 400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_the_cost_per_connection() {
        let each = slope(&[(100.0, 5_000.0), (1000.0, 14_000.0), (10_000.0, 104_000.0)]).unwrap();
        assert!((each - 10.0).abs() < 1e-9);
        assert_eq!(slope(&[(100.0, 5_000.0), (200.0, 6_000.0)]), None, "too close");
        assert_eq!((slope(&[]), slope(&[(1000.0, 1.0)])), (None, None));
    }
}
