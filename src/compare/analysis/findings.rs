//! From runs to findings: medians, slopes, sentences.

use procfs::{CpuInfo, Current, Meminfo};

use super::crossover::{Place, crossover};
use crate::compare::analysis::scalability::Fit;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::cores::Split;
use crate::compare::limiting::Limits;
use crate::compare::measure::Sample;
use crate::compare::options::{CompareOptions, Workload};
use crate::compare::plan::{self, Load, MODELS, model_name};
use crate::compare::result::{
    Cell, Comparison, Generator, Machine, Memory, Scalability, Settings, Stack, Verdict,
};
use crate::compare::runner::Course;
use crate::report::format;
use crate::server::options::Model;

/// What `course` comes to.
pub(crate) fn comparison(
    options: &CompareOptions,
    machine: Machine,
    connections: &[u32],
    course: &Course,
    pinned: Option<&Split>,
    limits: &Limits,
) -> Comparison {
    let cells = |wanted: fn(Load) -> bool| -> Vec<Cell> {
        let samples = course.samples.iter().filter(|((cell, _), _)| wanted(cell.load));
        samples.map(|((place, model), samples)| cell(*place, *model, samples, course, limits)).collect()
    };
    let measured = cells(|load| matches!(load, Load::Closed | Load::Open));
    let stacks = cells(|load| matches!(load, Load::Stack(_)));
    Comparison {
        loopline: env!("CARGO_PKG_VERSION"),
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
        planned: course.planned,
        done: course.done,
        left_out: course.left_out,
        interrupted: course.is_interrupted,
        took_seconds: course.took.as_secs_f64(),
        verdicts: options.workloads.iter().map(|workload| verdict(*workload, &measured)).collect(),
        memory: MODELS.map(|model| memory(model_name(model), &measured)).into(),
        stacks: stacks.iter().zip(plan::STACKS).map(|(cell, bytes)| stack(cell, bytes, course)).collect(),
        latency_by_rate: cells(|load| matches!(load, Load::Percent(_))),
        scalability: MODELS.map(|model| scalability(model_name(model), &measured)).into(),
        cells: measured,
    }
}

fn cell(place: plan::Cell, model: Model, samples: &[Sample], course: &Course, limits: &Limits) -> Cell {
    let lived = || samples.iter().filter(|sample| sample.ended.is_none());
    let of = |pick: fn(&Sample) -> Option<f64>| Estimate::of(lived().filter_map(pick));
    let median = |pick: fn(&Sample) -> Option<f64>| of(pick).map(|estimate| estimate.median);
    let limited: Vec<&'static str> = lived().filter_map(|sample| sample.limited_by).collect();
    let complaints: Vec<&String> =
        lived().filter_map(|sample| sample.generator_was_the_limit.as_ref()).collect();
    let was_the_limit = complaints.len() * 2 > lived().count();
    let ended = samples.iter().filter_map(|sample| sample.ended.clone());
    let mut marks: Vec<String> = ended.collect();
    marks.dedup();
    if was_the_limit {
        marks.extend(complaints.first().map(|why| (*why).clone()));
    }
    Cell {
        workload: place.workload,
        connections: place.connections,
        model: model_name(model),
        load: if matches!(place.load, Load::Open | Load::Percent(_)) { "open" } else { "closed" },
        offered_rate: course.rates.get(&place).copied(),
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
        opened: median(|sample| Some(number(sample.opened))),
        failed: lived().map(|sample| sample.failed).sum(),
        // Where each message has a connection of its own, what failed once is a failed message.
        limited_by: limited
            .first()
            .filter(|_| place.workload != Workload::Churn)
            .map(|limited_by| limits.name(model, limited_by)),
        generator: Generator {
            busy: median(|sample| Some(sample.generator_busy)),
            cpu_seconds: median(|sample| Some(sample.generator_cpu_seconds)),
            lag_p99_us: median(|sample| sample.lag_p99),
            was_the_limit,
            why: complaints.first().map(|why| (*why).clone()).filter(|_| was_the_limit),
        },
        marks,
    }
}

/// The cells of a workload in the closed loop, both models side by side: loop, then threads.
pub(crate) fn pairs<'a>(
    workload: Workload,
    load: &str,
    cells: &'a [Cell],
) -> Vec<(u32, [Option<&'a Cell>; 2])> {
    let of = |model: &str| -> Vec<&Cell> {
        let is = |cell: &&Cell| cell.workload == workload && cell.model == model && cell.load == load;
        cells.iter().filter(is).collect()
    };
    let [by_loop, by_threads] = MODELS.map(|model| of(model_name(model)));
    let mut counts: Vec<u32> = by_loop.iter().chain(&by_threads).map(|cell| cell.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let find = |cells: &[&'_ Cell], n| cells.iter().position(|cell: &&Cell| cell.connections == n);
    let side =
        |n: u32| [find(&by_loop, n).map(|at| by_loop[at]), find(&by_threads, n).map(|at| by_threads[at])];
    counts.into_iter().map(|n| (n, side(n))).collect()
}

fn verdict(workload: Workload, cells: &[Cell]) -> Verdict {
    let pairs = pairs(workload, "closed", cells);
    // A model with fewer connections than were asked for has not done what the other has.
    let whole_rate = |cell: Option<&Cell>| cell.filter(|cell| cell.limited_by.is_none())?.rate;
    let places: Vec<Place> = pairs
        .iter()
        .map(|(connections, [by_loop, by_threads])| Place {
            connections: *connections,
            by_loop: whole_rate(*by_loop),
            by_threads: whole_rate(*by_threads),
            loop_is_limited: by_loop.is_some_and(|cell| cell.generator.was_the_limit),
            threads_are_limited: by_threads.is_some_and(|cell| cell.generator.was_the_limit),
        })
        .collect();
    let found = crossover(&places);
    let stops = pairs.iter().flat_map(|(_, sides)| sides).flatten().filter_map(|cell| stop(cell));
    let mut stops: Vec<String> = stops.collect();
    stops.dedup_by_key(|stop| stop.split(' ').next().map(str::to_owned));
    let sentence = [vec![found.sentence], stops].concat().join("; ");
    Verdict { workload, sentence, crossover: found.connections, cost: cost(&pairs) }
}

/// Where a model could have no more connections, and why.
fn stop(cell: &Cell) -> Option<String> {
    let why = cell.limited_by.as_ref()?;
    let name = if cell.model == "loop" { "the loop" } else { "threads" };
    let opened = format::count(whole_number(cell.opened?));
    Some(format!("{name} end at {opened} connections ({why})").replace("loop end", "loop ends"))
}

/// Processor time for a message, where both can be had with the most connections and with the fewest.
fn cost(pairs: &[(u32, [Option<&Cell>; 2])]) -> Option<String> {
    let known: Vec<(u32, f64, f64)> = pairs
        .iter()
        .filter_map(|(n, [a, b])| {
            let us = |cell: Option<&Cell>| Some(cell?.cpu_us_per_message?.median);
            Some((*n, us(*a)?, us(*b)?))
        })
        .collect();
    let said = |(n, by_loop, by_threads): &(u32, f64, f64)| {
        let [by_loop, by_threads] = [by_loop, by_threads].map(|us| format::time_us(*us));
        format!("{by_loop} by the loop and {by_threads} by threads at {}", format::count((*n).into()))
    };
    let (first, last) = (known.first()?, known.last()?);
    let rest = if first.0 == last.0 { String::new() } else { format!(", {}", said(last)) };
    Some(format!("processor time of a message: {}{rest}", said(first)))
}

fn memory(model: &'static str, cells: &[Cell]) -> Memory {
    let of = |pick: fn(&Cell) -> Option<Estimate>| {
        let is = |cell: &&Cell| {
            cell.model == model
                && matches!(cell.workload, Workload::AllActive | Workload::FewActive)
                && cell.load == "closed"
                && cell.connections >= WEIGHED_MIN
        };
        let points = cells.iter().filter(is).filter_map(|cell| Some((cell.opened?, pick(cell)?.median)));
        slope(&points.collect::<Vec<_>>())
    };
    Memory {
        model,
        user_bytes: of(|cell| cell.user_bytes),
        kernel_stack_bytes: of(|cell| cell.kernel_stack_bytes),
        slab_bytes: of(|cell| cell.slab_bytes),
    }
}

/// Least squares; `None` when the points are too close to each other to tell.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = number(points.len() as u64);
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let far = points.iter().any(|point| (point.0 - x).abs() >= APART_MIN);
    let across: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (far && across > 0.0).then(|| along / across)
}

fn stack(cell: &Cell, stack_bytes: usize, course: &Course) -> Stack {
    let same = |(place, model): &(plan::Cell, Model)| {
        *model == Model::Threads && place.workload == Workload::AllActive && place.load == Load::Closed
    };
    // What the process has without connections is what it has with one, nearly.
    let few =
        course.samples.iter().filter(|(key, _)| same(key)).min_by_key(|((place, _), _)| place.connections);
    let few =
        few.and_then(|(_, samples)| Estimate::of(samples.iter().filter_map(|sample| sample.user_bytes)));
    let each = |all: Estimate| Some((all.median - few?.median) / cell.opened.filter(|opened| *opened > 0.0)?);
    Stack {
        stack_bytes,
        connections: cell.connections,
        user_bytes_per_connection: cell.user_bytes.and_then(each),
        rate: cell.rate.map(|rate| rate.median),
        marks: cell.marks.clone(),
    }
}

fn scalability(model: &'static str, cells: &[Cell]) -> Scalability {
    let is =
        |cell: &&Cell| cell.workload == Workload::AllActive && cell.model == model && cell.load == "closed";
    let points = cells.iter().filter(is).filter_map(|cell| Some((cell.opened?, cell.rate?.median)));
    let fit = Fit::of(&points.collect::<Vec<_>>());
    let sentence = match &fit {
        None => "too little was measured for a law".into(),
        Some(fit) if !fit.is_good() => {
            format!(
                "no claim: the law explains {} of {} points",
                format::share(fit.r_squared.max(0.0)),
                fit.points
            )
        }
        Some(fit) => {
            let Fit { lambda, sigma, kappa, r_squared, .. } = fit;
            let peak = fit.peak().map_or_else(
                || "it has no peak".into(),
                |peak| format!("its peak is at about {} connections", format::count(whole_number(peak))),
            );
            format!(
                "{} alone, contention {sigma:.4}, coherence {kappa:.2e}, {peak}; it explains {}",
                format::rate(*lambda),
                format::share(*r_squared)
            )
        }
    };
    Scalability { model, fit, sentence }
}

/// The machine that this process runs on.
pub(crate) fn machine() -> Machine {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    Machine {
        processor: CpuInfo::current().ok().and_then(|info| Some(info.model_name(0)?.to_owned())),
        processors: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        memory_bytes: Meminfo::current().ok().map(|memory| memory.mem_total),
        kernel: release.ok().map(|release| release.trim().to_owned()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and a small one")]
fn whole_number(number: f64) -> u64 {
    number.round() as u64
}

/// With fewer connections, what they cost is lost in pages that are only partly used.
const WEIGHED_MIN: u32 = 100;

/// How far from their mean some connections must be.
const APART_MIN: f64 = 400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_what_each_costs() {
        let each = slope(&[(100.0, 5_000.0), (1000.0, 14_000.0), (10_000.0, 104_000.0)]).unwrap();
        assert!((each - 10.0).abs() < 1e-9);
        assert_eq!(slope(&[(100.0, 5_000.0), (200.0, 6_000.0)]), None, "too close to tell");
        assert_eq!((slope(&[]), slope(&[(1000.0, 1.0)])), (None, None));
    }
}
