//! From measured runs to the result: medians, slopes, sentences.

use std::collections::BTreeSet;

use super::cells::cell;
use super::crossover::crossover;
use super::pairs;
use super::scalability::Fit;
use super::sentence::sentence;
use super::statistics::Estimate;
use super::verdict::{Measure, Verdict};
use crate::compare::capacities::Capacities;
use crate::compare::cores::Split;
use crate::compare::options::{CompareOptions, Workload};
use crate::compare::plan::{Load, Scenario};
use crate::compare::quietness::Quietness;
use crate::compare::result::{
    Cell, Comparison, Further, Machine, Memory, NotMeasured, Scalability, Settings, Stack, WorkloadVerdict,
};
use crate::compare::runner::Runs;
use crate::compare::server::{MODELS, Server, With};
use crate::load::stats::summary::LoadModel;
use crate::report::format;
use crate::units::float;

/// The result of `runs`.
pub(in crate::compare) fn comparison(
    options: &CompareOptions,
    machine: Machine,
    quietness: Quietness,
    connections: &[u32],
    runs: &Runs,
    pinned: Option<&Split>,
    capacities: &Capacities,
) -> Comparison {
    let cells = |is_wanted: fn(Load) -> bool| -> Vec<Cell> {
        let samples = runs.samples.iter().filter(|((scenario, _), _)| is_wanted(scenario.load));
        samples
            .map(|((scenario, model), samples)| {
                cell(*scenario, *model, samples, runs, capacities, quietness.kernel_noise_bytes)
            })
            .collect()
    };
    let measured = cells(|load| matches!(load, Load::Closed | Load::Open));
    let by_rate = cells(|load| matches!(load, Load::Percent(_)));
    let further = options.with.iter().map(|with| further(with, options, runs, &measured, &by_rate)).collect();
    let stacks = runs.samples.iter().filter_map(|((scenario, model), samples)| match scenario.load {
        Load::Stack(bytes) => {
            let noise = quietness.kernel_noise_bytes;
            let cell = cell(*scenario, *model, samples, runs, capacities, noise);
            Some(stack(&cell, bytes, &measured))
        }
        Load::Closed | Load::Open | Load::Percent(_) => None,
    });
    let not_measured = runs.not_measured.iter().map(|(scenario, why)| NotMeasured {
        workload: scenario.workload,
        connections: scenario.connections,
        scenario: scenario.to_string(),
        why: *why,
    });
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
        more_pairs: runs.more_pairs,
        not_measured: not_measured.collect(),
        interrupted: runs.is_interrupted,
        elapsed_seconds: runs.elapsed.as_secs_f64(),
        verdicts: verdicts(options, Server::Threads, runs, &measured),
        memory: MODELS.map(|model| memory(model, &measured)).into(),
        stacks: stacks.collect(),
        latency_by_rate: of_servers(&by_rate, &MODELS),
        scalability: MODELS.map(|model| scalability(model, &measured)).into(),
        cells: of_servers(&measured, &MODELS),
        further,
        changes: None,
        quietness,
    }
}

/// The results of one of the further servers. `cells` and `by_rate` are those of all servers.
fn further(
    with: &'static With,
    options: &CompareOptions,
    runs: &Runs,
    cells: &[Cell],
    by_rate: &[Cell],
) -> Further {
    let server = Server::With(with);
    Further {
        name: server,
        command: with.command.clone(),
        verdicts: verdicts(options, server, runs, cells),
        cells: of_servers(cells, &[server]),
        memory: memory(server, cells),
        latency_by_rate: of_servers(by_rate, &[server]),
        scalability: scalability(server, cells),
    }
}

fn of_servers(cells: &[Cell], servers: &[Server]) -> Vec<Cell> {
    cells.iter().filter(|cell| servers.contains(&cell.model)).cloned().collect()
}

/// The cells of a workload by number of connections, for each of `servers` in their order.
pub(crate) fn sides<'a>(
    workload: Workload,
    load: LoadModel,
    servers: &[Server],
    cells: &[&'a Cell],
) -> Vec<(u32, Vec<Option<&'a Cell>>)> {
    let of = |cell: &&&Cell| cell.workload == workload && cell.load == load;
    let mut counts: Vec<u32> = cells.iter().filter(of).map(|cell| cell.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let find = |n, server| {
        cells.iter().filter(of).find(|cell| cell.connections == n && cell.model == server).copied()
    };
    counts.into_iter().map(|n| (n, servers.iter().map(|server| find(n, *server)).collect())).collect()
}

fn verdicts(options: &CompareOptions, rival: Server, runs: &Runs, cells: &[Cell]) -> Vec<WorkloadVerdict> {
    options.workloads.iter().map(|workload| verdict(*workload, rival, runs, cells)).collect()
}

fn verdict(workload: Workload, rival: Server, runs: &Runs, cells: &[Cell]) -> WorkloadVerdict {
    let scenarios: BTreeSet<Scenario> = runs.samples.keys().map(|(scenario, _)| *scenario).collect();
    let closed = scenarios.into_iter().filter(|it| it.workload == workload && it.load == Load::Closed);
    let compared: Vec<Scenario> = closed
        .filter(|scenario| {
            let [by_loop, by_rival] = runs.beside_loop(*scenario, rival);
            pairs::is_compared(*scenario, by_loop, by_rival)
        })
        .collect();
    let verdicts = |measure| {
        let compared = compared.iter().filter_map(move |scenario| {
            pairs::verdict(measure, *scenario, rival, runs.beside_loop(*scenario, rival), runs.looks)
        });
        compared.collect::<Vec<Verdict>>()
    };
    let [cpu, rate] = pairs::MEASURES.map(verdicts);
    let connections: Vec<u32> = compared.iter().map(|scenario| scenario.connections).collect();
    let sentence_of = |measure, verdicts: &[Verdict]| {
        sentence(measure, rival, &verdicts.iter().collect::<Vec<_>>(), &connections)
    };
    let ends = [Server::Loop, rival].into_iter().filter_map(|model| {
        cells.iter().filter(|it| it.workload == workload && it.model == model).find_map(stop)
    });
    let throughput: Vec<String> = [sentence_of(Measure::Rate, &rate)].into_iter().chain(ends).collect();
    WorkloadVerdict {
        workload,
        sentence: throughput.join("; "),
        crossover: crossover(&rate.iter().collect::<Vec<_>>()).map(|(_, connections)| connections),
        cost: (!cpu.is_empty()).then(|| sentence_of(Measure::CpuPerMessage, &cpu)),
        by_connections: cpu.into_iter().chain(rate).collect(),
    }
}

/// The number of connections at which a server stopped, and the limit.
fn stop(cell: &Cell) -> Option<String> {
    let limit = cell.limited_by.as_ref()?;
    let opened = format::rounded(cell.opened?);
    let subject = cell.model.does("stop");
    Some(format!("{subject} at {opened} connections ({limit})"))
}

/// The cells of a server in the closed loop of `workloads`.
fn closed_loop<'a>(
    model: Server,
    workloads: &[Workload],
    cells: &'a [Cell],
) -> impl Iterator<Item = &'a Cell> {
    cells.iter().filter(move |cell| {
        cell.model == model && cell.load == LoadModel::Closed && workloads.contains(&cell.workload)
    })
}

fn memory(model: Server, cells: &[Cell]) -> Memory {
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
    // A negative slope is noise: memory does not shrink with connections.
    (is_wide && across > 0.0).then(|| along / across).filter(|each| *each >= 0.0)
}

fn stack(cell: &Cell, stack_bytes: usize, cells: &[Cell]) -> Stack {
    // The memory of the process itself is nearly that with the fewest connections.
    let fewest = closed_loop(Server::Threads, &[Workload::AllActive], cells).min_by_key(|it| it.connections);
    let base = fewest.and_then(|cell| cell.user_bytes);
    let each = |all: Estimate| {
        let each = (all.median - base?.median) / cell.opened.filter(|opened| *opened > 0.0)?;
        (each >= 0.0).then_some(each)
    };
    Stack {
        stack_bytes,
        connections: cell.connections,
        user_bytes_per_connection: cell.user_bytes.and_then(each),
        rate: cell.rate.map(|rate| rate.median),
        marks: cell.marks.clone(),
    }
}

fn scalability(model: Server, cells: &[Cell]) -> Scalability {
    let counted = closed_loop(model, &[Workload::AllActive], cells);
    let points: Vec<(f64, f64)> =
        counted.filter_map(|cell| Some((cell.opened?, cell.rate?.median))).collect();
    let fit = Fit::of(&points);
    let sentence = match &fit {
        Err(why) => format!("not fitted: {why}"),
        Ok(fit) if !fit.is_good() => format!(
            "not fitted: the law explains {} of the variance of {} points",
            format::share(fit.r_squared.max(0.0)),
            fit.points
        ),
        Ok(fit) => {
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
    Scalability { model, fit: fit.ok(), sentence }
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
