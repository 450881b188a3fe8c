//! A comparison for tests: threads are faster with few connections, the loop with many.

use super::cores::Split;
use super::measure::Sample;
use super::options::{CompareOptions, Workload};
use super::plan::{Load, steps};
use super::result::{Comparison, Machine};
use crate::compare::analysis::findings;
use crate::compare::capacities::Capacities;
use crate::compare::quietness::Quietness;
use crate::compare::runner::{Runs, SkipReason};
use crate::compare::server::{Server, With};
use crate::doctor::{Capacity, Role};
use crate::load::error_kind::OpenLimit;
use crate::load::stats::invalid::InvalidReason;

/// A result with all marks: the generator as a limit, a limit of connections, a server that was killed.
pub(super) fn comparison() -> Comparison {
    comparison_with(&[])
}

/// The same with the further servers `names`.
pub(super) fn comparison_with(names: &[&str]) -> Comparison {
    let commands = names.iter().map(|name| format!("{name}=serve-{name} {{port}}").parse().unwrap());
    let with = With::list(commands.collect()).unwrap();
    let options = CompareOptions { with, ..CompareOptions::full("loopline".into()) };
    let connections = [1, 10, 100, 1000, 10_000, 19_899];
    let steps = steps(&options, &connections);
    let mut runs = Runs { planned: steps.len(), done: steps.len(), ..Runs::default() };
    for (number, step) in (0u32..).zip(&steps) {
        let sample =
            sample(step.scenario.connections, step.server, step.scenario.workload, f64::from(number % 5));
        runs.samples.entry((step.scenario, step.server)).or_default().push(sample);
        match step.scenario.load {
            Load::Open => drop(runs.rates.insert(step.scenario, 20_000)),
            Load::Percent(percent) => drop(runs.rates.insert(step.scenario, 900 * u64::from(percent))),
            Load::Closed | Load::Stack(_) => {}
        }
    }
    let all = Workload::AllActive;
    for ((scenario, model), samples) in &mut runs.samples {
        if scenario.workload == all && scenario.connections == 10 && *model == Server::Threads {
            samples[0] = Sample { server_failed: Some("killed by signal 9".into()), ..Sample::default() };
        }
        if scenario.workload == all && scenario.connections == 100 && *model == Server::Loop {
            samples.iter_mut().for_each(|sample| sample.invalid = Some(InvalidReason::Busy(0.97)));
        }
    }
    let split = Split { server: vec![0], generator: 1 };
    let machine = Machine { processors: Some(2), ..Machine::default() };
    runs.more_pairs = 4;
    runs.not_measured.push((steps[steps.len() - 1].scenario, SkipReason::TimeLimit));
    findings::comparison(&options, machine, quietness(), &connections, &runs, Some(&split), &capacities())
}

fn quietness() -> Quietness {
    let sentence = "the machine is quiet: 3 pairs of runs decide differences from about 4 % in CPU time a message and 6 % \
                    in rate";
    Quietness { sentence: sentence.into(), kernel_noise_bytes: 131_072.0, ..Quietness::default() }
}

pub(super) fn capacities() -> Capacities {
    let capacity = |connections, name| Capacity {
        connections: Some(connections),
        limited_by: Some(name),
        fits: None,
        remedies: Vec::new(),
    };
    let by_role = [
        (Role::Serve, capacity(19_899, "descriptors of a process")),
        (Role::ServeThreads, capacity(16_278, "memory maps of a process")),
        (Role::Drive, capacity(19_968, "descriptors of a process")),
    ];
    Capacities { by_role: by_role.into() }
}

fn sample(connections: u32, model: Server, workload: Workload, noise: f64) -> Sample {
    let n = f64::from(connections);
    let (lambda, sigma, kappa, bytes, threads) = match model {
        Server::Loop => (20_000.0, 0.15, 1e-7, 44.0, 1.0),
        Server::Threads => (26_000.0, 0.25, 3e-6, 11_000.0, n + 3.0),
        Server::With(_) => (18_000.0, 0.13, 2e-7, 500.0, 2.0),
    };
    let slowdown = if workload == Workload::LargeBodies { 8.0 } else { 1.0 };
    let rate =
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)) / slowdown * (1.0 + noise / 200.0);
    let is_limited = model == Server::Threads && connections > 16_278;
    Sample {
        rate,
        cpu_us_per_message: Some(0.9e6 / rate),
        p50: Some(1e6 * n / rate),
        p99: Some(2e6 * n / rate),
        p99_9: (connections < 10_000).then_some(4e6 * n / rate),
        user_bytes: Some(340_000.0 + bytes * n),
        kernel_stack_bytes: Some(16_384.0 * (threads - 1.0)),
        slab_bytes: Some(8_260.0 * n),
        threads: Some(threads),
        voluntary: Some(rate / 2.0),
        involuntary: Some(20.0 + noise),
        opened: if is_limited { 16_278 } else { connections.into() },
        limited_by: is_limited.then_some(OpenLimit::ServerCap),
        generator_busy: 0.7,
        generator_cpu_seconds: 0.3,
        lag_p99: Some(12.0),
        ..Sample::default()
    }
}
