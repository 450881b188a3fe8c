//! The runs of a comparison, their order, and an estimate of their time. This file runs nothing.

use std::fmt;
use std::time::Duration;

use super::options::{CompareOptions, Workload};
use crate::compare::server::Server;
use crate::report::format;

/// What the servers are compared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scenario {
    pub(super) workload: Workload,
    pub(super) connections: u32,
    pub(super) load: Load,
}

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    /// Each message after the reply to the one before.
    Closed,
    /// On schedule, at the same rate to all servers.
    Open,
    /// On schedule, at this percentage of the rate of the slowest server in the closed loop.
    Percent(u32),
    /// As [`Closed`](Self::Closed), to threads with stacks of this number of bytes.
    Stack(usize),
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) scenario: Scenario,
    pub(super) server: Server,
    /// The number of runs of each server before this one.
    pub(super) repeat: u32,
}

/// Shares of the rate of the slowest server, in percent, at which latency is measured.
pub(super) const PERCENTS: [u32; 5] = [20, 40, 60, 80, 100];

/// Stack sizes of threads, in bytes: the default of `serve`, defaults of other languages, the default of Linux.
pub(super) const STACKS: [usize; 4] = [64 << 10, 256 << 10, 2 << 20, 8 << 20];

/// Connections with which latency is measured at [`PERCENTS`]; the largest number up to this one.
const LATENCY_CONNECTIONS_MAX: u32 = 100;

/// Connections with which [`STACKS`] are measured.
const STACK_CONNECTIONS: u32 = 1000;

/// All runs in their order, the most important ones first: what does not fit into the time limit is left out from the
/// end. The servers alternate, A B B A …, so that a change in the speed of the machine affects all. There is a round of
/// each scenario before the second of any, so that the runs of a scenario differ by as much as the machine does during
/// the comparison, and not by what it does in a second.
pub(super) fn steps(options: &CompareOptions, connections: &[u32]) -> Vec<Step> {
    let servers = options.servers();
    let scenarios = |load| {
        let workloads = options.workloads.iter().copied();
        workloads.flat_map(move |workload| {
            let connections = connections.iter().copied().filter(move |it| workload.allows(*it));
            connections.map(move |connections| Scenario { workload, connections, load })
        })
    };
    let mut steps = Vec::new();
    let closed: Vec<Scenario> = scenarios(Load::Closed).collect();
    steps.extend(rounds(&closed, options.repeats, &servers));
    let open: Vec<Scenario> = scenarios(Load::Open).filter(|it| it.workload != Workload::Pipelined).collect();
    steps.extend(rounds(&open, options.open_repeats, &servers));
    if !options.workloads.contains(&Workload::AllActive) {
        return steps;
    }
    let workload = Workload::AllActive;
    if let Some(connections) = latency_connections(connections) {
        let at = |percent| Scenario { workload, connections, load: Load::Percent(percent) };
        steps.extend(rounds(&PERCENTS.map(at), options.open_repeats.min(2), &servers));
    }
    if connections.contains(&STACK_CONNECTIONS) {
        for bytes in STACKS {
            let scenario = Scenario { workload, connections: STACK_CONNECTIONS, load: Load::Stack(bytes) };
            steps.push(Step { scenario, server: Server::Threads, repeat: 0 });
        }
    }
    steps
}

/// The number of connections for latency by rate.
fn latency_connections(connections: &[u32]) -> Option<u32> {
    connections.iter().copied().filter(|connections| *connections <= LATENCY_CONNECTIONS_MAX).max()
}

fn rounds(scenarios: &[Scenario], repeats: u32, servers: &[Server]) -> impl Iterator<Item = Step> {
    (0..repeats).flat_map(move |repeat| scenarios.iter().flat_map(move |it| round(*it, repeat, servers)))
}

/// A run of each of `servers`: in their order, then in the opposite one. With more than two, the next two rounds begin
/// with the next server, so that each is as often at each place.
pub(super) fn round(scenario: Scenario, repeat: u32, servers: &[Server]) -> Vec<Step> {
    let mut order = servers.to_vec();
    if order.len() > 2 {
        let first = repeat as usize / 2 % order.len();
        order.rotate_left(first);
    }
    if repeat % 2 == 1 {
        order.reverse();
    }
    order.into_iter().map(|server| Step { scenario, server, repeat }).collect()
}

impl Step {
    /// The estimated time.
    pub(super) fn estimate(&self, options: &CompareOptions) -> Duration {
        let opening = match self.scenario.workload {
            Workload::Churn => Duration::ZERO,
            Workload::AllActive | Workload::FewActive | Workload::LargeBodies | Workload::Pipelined => {
                CONNECTION_OVERHEAD * self.scenario.connections
            }
        };
        RUN_OVERHEAD + opening + options.warmup + options.duration
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, connections, load } = self;
        write!(f, "{}, {}{load}", workload.name(), format::connections((*connections).into()))
    }
}

/// What follows the number of connections; nothing for a closed loop.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Ok(()),
            Self::Open => f.write_str(", open loop"),
            Self::Percent(percent) => write!(f, ", at {percent} %"),
            Self::Stack(bytes) => write!(f, ", stacks of {}", format::bytes(*bytes as u64)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { workload, connections, load } = self.scenario;
        let (connections, server) = (format::connections(connections.into()), self.server.name());
        write!(f, "{}, {connections}, {server}{load}", workload.name())
    }
}

/// Time to start and stop a server, and to wait for outstanding replies.
const RUN_OVERHEAD: Duration = Duration::from_millis(100);

/// Time to open a connection, read the statistics of its thread, and close it.
const CONNECTION_OVERHEAD: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::server::{MODELS, With};

    fn options() -> CompareOptions {
        CompareOptions::full("loopline".into())
    }

    #[test]
    fn models_alternate() {
        let scenario = Scenario { workload: Workload::AllActive, connections: 1, load: Load::Closed };
        let order = |servers: &[Server], repeats| -> Vec<Server> {
            rounds(&[scenario], repeats, servers).map(|step| step.server).collect()
        };
        let [a, b] = MODELS;
        assert_eq!(order(&MODELS, 3), [a, b, b, a, a, b]);
        let with = With::list(vec!["c=server {port}".parse().unwrap()]).unwrap();
        let c = Server::With(with[0]);
        let rounds = [[a, b, c], [c, b, a], [b, c, a], [a, c, b], [c, a, b], [b, a, c]];
        assert_eq!(order(&[a, b, c], 6), rounds.concat());
    }

    #[test]
    fn each_scenario_has_a_round_before_the_second_of_any() {
        let steps = steps(&options(), &[1, 10]);
        let of = |load: Load| -> Vec<Step> {
            let first = |step: &&Step| step.scenario.load == load && step.server == Server::Loop;
            steps.iter().filter(first).copied().collect()
        };
        for (load, scenarios, repeats) in [(Load::Closed, 8, 3), (Load::Open, 6, 3)] {
            let rounds: Vec<u32> = of(load).iter().map(|step| step.repeat).collect();
            let expected: Vec<u32> = (0..repeats).flat_map(|repeat| vec![repeat; scenarios]).collect();
            assert_eq!(rounds, expected, "{load:?}");
        }
        let percents: Vec<Step> = PERCENTS.map(Load::Percent).into_iter().flat_map(of).collect();
        assert_eq!(percents.len(), 2 * PERCENTS.len());
        let position = |repeat, percent| {
            let is = |it: &Step| it.repeat == repeat && it.scenario.load == Load::Percent(percent);
            steps.iter().position(is).unwrap()
        };
        assert!(position(0, PERCENTS[4]) < position(1, PERCENTS[0]));
    }

    #[test]
    fn both_models_run_equally_often_in_each_scenario() {
        let steps = steps(&options(), &[1, 10, 100, 1000, 10_000]);
        for step in &steps {
            let runs =
                |model| steps.iter().filter(|it| it.scenario == step.scenario && it.server == model).count();
            match step.scenario.load {
                Load::Stack(_) => assert_eq!((runs(Server::Loop), runs(Server::Threads)), (0, 1)),
                Load::Percent(_) => assert_eq!((runs(Server::Loop), runs(Server::Threads)), (2, 2)),
                Load::Closed | Load::Open => assert_eq!((runs(Server::Loop), runs(Server::Threads)), (3, 3)),
            }
        }
    }

    #[test]
    fn a_rate_is_measured_before_it_is_needed() {
        let steps = steps(&options(), &[1, 100]);
        let position = |load| steps.iter().position(|step| step.scenario.load == load).unwrap();
        assert!(
            position(Load::Closed) < position(Load::Open)
                && position(Load::Open) < position(Load::Percent(20))
        );
        assert!(steps.iter().all(|step| step.scenario.load != Load::Stack(STACKS[0])), "too few connections");
    }

    #[test]
    fn the_default_takes_less_than_ten_minutes_and_a_quick_one_less_than_one() {
        let total = |options: &CompareOptions, connections: &[u32]| -> Duration {
            steps(options, connections).iter().map(|step| step.estimate(options)).sum()
        };
        let all = total(&options(), &[1, 10, 100, 1000, 10_000, 20_000]);
        assert!(all < Duration::from_secs(540), "{all:?}");
        let quick = total(&CompareOptions::quick("loopline".into()), &[1, 10, 100, 1000]);
        assert!(quick < Duration::from_secs(50), "{quick:?}");
    }
}
