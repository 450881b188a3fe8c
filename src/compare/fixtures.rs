//! A comparison that a test makes up: threads do more with few connections, the loop with many.

use super::cores::Split;
use super::measure::Sample;
use super::options::{CompareOptions, Workload};
use super::plan::{Load, steps};
use super::result::{Comparison, Machine};
use crate::compare::analysis::findings;
use crate::compare::limiting::Limits;
use crate::compare::runner::Course;
use crate::doctor::{Role, Verdict};
use crate::server::options::Model;

/// With all that one can have: marks, a limit, a server that was killed.
pub(super) fn comparison() -> Comparison {
    let options = CompareOptions::full("loopline".into());
    let connections = [1, 10, 100, 1000, 10_000, 19_899];
    let steps = steps(&options, &connections);
    let mut course = Course { planned: steps.len(), done: steps.len(), ..Course::default() };
    for (number, step) in (0u32..).zip(&steps) {
        let sample = sample(step.cell.connections, step.model, step.cell.workload, f64::from(number % 5));
        course.samples.entry((step.cell, step.model)).or_default().push(sample);
        match step.cell.load {
            Load::Open => drop(course.rates.insert(step.cell, 20_000)),
            Load::Percent(percent) => drop(course.rates.insert(step.cell, 900 * u64::from(percent))),
            Load::Closed | Load::Stack(_) => {}
        }
    }
    let all = Workload::AllActive;
    for ((cell, model), samples) in &mut course.samples {
        if cell.workload == all && cell.connections == 10 && *model == Model::Threads {
            samples[0] =
                Sample { ended: Some("killed from outside by signal 9".into()), ..Sample::default() };
        }
        if cell.workload == all && cell.connections == 100 && *model == Model::Loop {
            let why = "the generator was busy 97 % of the time";
            samples.iter_mut().for_each(|sample| sample.generator_was_the_limit = Some(why.into()));
        }
    }
    let split = Split { server: vec![0], generator: 1 };
    let machine = Machine { processors: Some(2), ..Machine::default() };
    findings::comparison(&options, machine, &connections, &course, Some(&split), &limits())
}

fn limits() -> Limits {
    let verdict = |connections, name| Verdict {
        connections: Some(connections),
        limited_by: Some(name),
        fits: None,
        lifts: Vec::new(),
    };
    let verdicts = [
        (Role::Serve, verdict(19_899, "descriptors of a process")),
        (Role::ServeThreads, verdict(16_278, "memory maps of a process")),
        (Role::Drive, verdict(19_968, "descriptors of a process")),
    ];
    Limits { verdicts: verdicts.into() }
}

fn sample(connections: u32, model: Model, workload: Workload, noise: f64) -> Sample {
    let n = f64::from(connections);
    let (lambda, sigma, kappa, bytes, threads) = match model {
        Model::Loop => (20_000.0, 0.15, 1e-7, 44.0, 1.0),
        Model::Threads => (26_000.0, 0.25, 3e-6, 11_000.0, n + 3.0),
    };
    let heavier = if workload == Workload::LargeBodies { 8.0 } else { 1.0 };
    let rate =
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)) / heavier * (1.0 + noise / 200.0);
    let is_over = model == Model::Threads && connections > 16_278;
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
        opened: if is_over { 16_278 } else { connections.into() },
        limited_by: is_over.then_some("server_cap"),
        generator_busy: 0.7,
        generator_cpu_seconds: 0.3,
        lag_p99: Some(12.0),
        ..Sample::default()
    }
}
