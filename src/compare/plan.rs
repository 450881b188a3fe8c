//! What is run in which order, and how long that takes. Nothing here runs anything.

use std::fmt;
use std::time::Duration;

use super::options::{CompareOptions, Workload};
use crate::server::options::Model;

/// A place of the comparison, where the models stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) workload: Workload,
    pub(super) connections: u32,
    pub(super) load: Load,
}

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    /// As much as is answered.
    Closed,
    /// The same rate to both models.
    Open,
    /// So many percent of what the slower model does in the closed loop, to both.
    Percent(u32),
    /// As much as is answered, by threads with stacks of so many bytes.
    Stack(usize),
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) cell: Cell,
    pub(super) model: Model,
    /// How often both models have been there before.
    pub(super) repeat: u32,
}

/// Both models, in the order in which they stand in tables.
pub(super) const MODELS: [Model; 2] = [Model::Loop, Model::Threads];

/// Shares of the rate of the slower model, in percent, at which latency is measured.
pub(super) const PERCENTS: [u32; 5] = [20, 40, 60, 80, 100];

/// Stacks of the threads, in bytes: what `serve` gives them, what other languages give, and what Linux does.
pub(super) const STACKS: [usize; 4] = [64 << 10, 256 << 10, 2 << 20, 8 << 20];

/// The number of connections of the two above, or the largest below it.
const EXEMPLARY: u32 = 100;

/// Connections with which stacks are weighed.
const WEIGHED: u32 = 1000;

/// All runs in their order. Models take turns, A B B A …, so that a machine that grows faster or slower
/// meanwhile does so for both.
pub(super) fn steps(options: &CompareOptions, connections: &[u32]) -> Vec<Step> {
    let mut steps = Vec::new();
    for workload in &options.workloads {
        for connections in connections.iter().copied().filter(|connections| workload.takes(*connections)) {
            let loads: &[Load] =
                if *workload == Workload::Pipelined { &[Load::Closed] } else { &[Load::Closed, Load::Open] };
            for load in loads {
                steps
                    .extend(in_turn(Cell { workload: *workload, connections, load: *load }, options.repeats));
            }
        }
    }
    if !options.workloads.contains(&Workload::AllActive) {
        return steps;
    }
    let workload = Workload::AllActive;
    if let Some(connections) = exemplary(connections) {
        for percent in PERCENTS {
            let cell = Cell { workload, connections, load: Load::Percent(percent) };
            steps.extend(in_turn(cell, options.repeats.min(2)));
        }
    }
    if connections.contains(&WEIGHED) {
        for bytes in STACKS {
            let cell = Cell { workload, connections: WEIGHED, load: Load::Stack(bytes) };
            steps.push(Step { cell, model: Model::Threads, repeat: 0 });
        }
    }
    steps
}

/// The number of connections at which latency is held against the rate.
fn exemplary(connections: &[u32]) -> Option<u32> {
    connections.iter().copied().filter(|connections| *connections <= EXEMPLARY).max()
}

fn in_turn(cell: Cell, repeats: u32) -> impl Iterator<Item = Step> {
    (0..repeats).flat_map(move |repeat| {
        let order = if repeat % 2 == 0 { MODELS } else { [MODELS[1], MODELS[0]] };
        order.map(|model| Step { cell, model, repeat })
    })
}

impl Step {
    /// About how long it takes.
    pub(super) fn estimate(&self, options: &CompareOptions) -> Duration {
        let opening = match self.cell.workload {
            Workload::Churn => Duration::ZERO,
            Workload::AllActive | Workload::FewActive | Workload::LargeBodies | Workload::Pipelined => {
                EACH_CONNECTION * self.cell.connections
            }
        };
        AROUND + opening + options.warmup + options.duration
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { workload, connections, load } = self.cell;
        write!(f, "{}, {connections} connections, {}", workload.name(), model_name(self.model))?;
        match load {
            Load::Closed => Ok(()),
            Load::Open => f.write_str(", open loop"),
            Load::Percent(percent) => write!(f, ", at {percent} %"),
            Load::Stack(bytes) => write!(f, ", stacks of {} KiB", bytes >> 10),
        }
    }
}

/// As `serve --model` has it.
pub(super) fn model_name(model: Model) -> &'static str {
    match model {
        Model::Loop => "loop",
        Model::Threads => "threads",
    }
}

/// To start a server and to end it, to let connections settle and replies come in.
const AROUND: Duration = Duration::from_millis(100);

/// To open a connection, look at its thread, and close it.
const EACH_CONNECTION: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CompareOptions {
        CompareOptions::full("loopline".into())
    }

    #[test]
    fn models_take_turns() {
        let cell = Cell { workload: Workload::AllActive, connections: 1, load: Load::Closed };
        let order: Vec<Model> = in_turn(cell, 3).map(|step| step.model).collect();
        let [a, b] = MODELS;
        assert_eq!(order, [a, b, b, a, a, b]);
    }

    #[test]
    fn every_model_runs_equally_often_in_every_cell() {
        let steps = steps(&options(), &[1, 10, 100, 1000, 10_000]);
        for step in &steps {
            let runs = |model| steps.iter().filter(|it| it.cell == step.cell && it.model == model).count();
            match step.cell.load {
                Load::Stack(_) => assert_eq!((runs(Model::Loop), runs(Model::Threads)), (0, 1)),
                Load::Percent(_) => assert_eq!((runs(Model::Loop), runs(Model::Threads)), (2, 2)),
                Load::Closed | Load::Open => assert_eq!((runs(Model::Loop), runs(Model::Threads)), (5, 5)),
            }
        }
    }

    #[test]
    fn what_a_rate_depends_on_runs_before_it() {
        let steps = steps(&options(), &[1, 100]);
        let place = |load| steps.iter().position(|step| step.cell.load == load).unwrap();
        assert!(place(Load::Closed) < place(Load::Open) && place(Load::Open) < place(Load::Percent(20)));
        assert!(steps.iter().all(|step| step.cell.load != Load::Stack(STACKS[0])), "there are too few");
    }

    #[test]
    fn the_default_takes_less_than_ten_minutes_and_a_quick_one_less_than_one() {
        let takes = |options: &CompareOptions, connections: &[u32]| -> Duration {
            steps(options, connections).iter().map(|step| step.estimate(options)).sum()
        };
        let all = takes(&options(), &[1, 10, 100, 1000, 10_000, 20_000]);
        assert!(all < Duration::from_secs(540), "{all:?}");
        let quick = takes(&CompareOptions::quick("loopline".into()), &[1, 10, 100, 1000]);
        assert!(quick < Duration::from_secs(50), "{quick:?}");
    }
}
