//! `compare`: the event loop, a thread per connection, and servers of other commands on this machine: throughput,
//! cost, and limits.
//!
//! Each run starts a server as a child process and runs the load generator in this process. The servers alternate,
//! so that other work on the machine affects all.

pub(crate) mod analysis;
mod capacities;
mod child;
mod cores;
pub(crate) mod error;
#[cfg(test)]
mod fixtures;
mod measure;
pub(crate) mod options;
mod output;
mod pace;
mod plan;
mod process_stats;
pub(crate) mod quietness;
pub(crate) mod result;
mod runner;
pub(crate) mod server;
mod stop_request;

use procfs::{CpuInfo, Current, Meminfo};

use self::capacities::Capacities;
pub(crate) use self::child::guard;
use self::child::{Child, StartError};
use self::cores::Cores;
use self::error::CompareError;
use self::measure::TIMEOUT_MAX;
use self::options::{CompareOptions, Count};
pub(crate) use self::output::page::{page, pictures};
pub(crate) use self::output::table::table;
use self::quietness::Quietness;
use self::result::{Comparison, Machine};
pub(crate) use self::runner::Progress;
use self::server::Server;

/// Compares the models, until that is done or SIGINT, SIGTERM or SIGHUP ends it early, with the result so far. Calls
/// `show` before each run.
///
/// # Errors
/// See [`CompareError`]. Nothing is left running.
pub(crate) fn run(options: &CompareOptions, show: impl FnMut(Progress)) -> Result<Comparison, CompareError> {
    let clock = runner::Clock::start();
    let capacities = Capacities::read();
    let connections = counts(options, &capacities).map_err(CompareError::Usage)?;
    let steps = plan::steps(options, &connections);
    if steps.is_empty() {
        return Err(CompareError::Usage(NOTHING_TO_DO.into()));
    }
    // Before this process is pinned to one processor.
    let machine = machine();
    let cores = Cores::assign(options.server_cores)?;
    check_commands(options, &cores)?;
    let quietness = Quietness::measure(&cores, options.repeats, options.looks());
    let runs = runner::run(&steps, options, &cores, clock, show)?;
    let pinned = cores.split.as_ref();
    Ok(analysis::findings::comparison(options, machine, quietness, &connections, &runs, pinned, &capacities))
}

/// Starts each of the further servers once, so that one that does not work is known before the first run.
fn check_commands(options: &CompareOptions, cores: &Cores) -> Result<(), CompareError> {
    for server in options.servers().into_iter().filter(|server| matches!(server, Server::With(_))) {
        let start = || Child::start(&options.program, options.service, server, None, TIMEOUT_MAX);
        let started = cores.as_server(start);
        if let Err(StartError::Ended(line) | StartError::Failed(line)) = started {
            return Err(CompareError::NoServer(format!("--with {line}")));
        }
    }
    Ok(())
}

/// The machine that this process runs on.
fn machine() -> Machine {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    Machine {
        processor: CpuInfo::current().ok().and_then(|info| Some(info.model_name(0)?.to_owned())),
        processors: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        memory_bytes: Meminfo::current().ok().map(|memory| memory.mem_total),
        kernel: release.ok().map(|release| release.trim().to_owned()),
    }
}

/// The numbers of connections, each once and in order. One is always tried: the failure then states the cause.
fn counts(options: &CompareOptions, capacities: &Capacities) -> Result<Vec<u32>, String> {
    let max = capacities.connections_max();
    let mut connections = Vec::new();
    for count in &options.connections {
        match *count {
            Count::Exactly(asked) if asked > max.unwrap_or(u32::MAX).max(1) => {
                return Err(capacities.excess(asked));
            }
            Count::Exactly(asked) => connections.push(asked),
            Count::UpTo(most) => connections.push(most.min(max.unwrap_or(most)).max(1)),
            Count::Max => connections.extend(max),
        }
    }
    connections.sort_unstable();
    connections.dedup();
    Ok(connections)
}

const NOTHING_TO_DO: &str = "nothing to compare: few-active needs 100 connections or more, churn, large-bodies and \
     pipelined 1,000 or fewer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_the_machine_allows_are_rejected_with_the_reason() {
        let capacities = fixtures::capacities();
        let counts = |connections: &[Count]| {
            let options = CompareOptions {
                connections: connections.to_vec(),
                ..CompareOptions::full("loopline".into())
            };
            counts(&options, &capacities)
        };
        assert_eq!(counts(&[Count::Exactly(19_899), Count::Max, Count::Exactly(1)]), Ok(vec![1, 19_899]));
        assert_eq!(counts(&[Count::UpTo(100_000), Count::UpTo(10)]), Ok(vec![10, 19_899]));
        assert_eq!(
            counts(&[Count::Exactly(99_999_999)]),
            Err("--connections 99999999: at most 19,899 on this machine (descriptors of a process); `loopline doctor` \
                 shows how to raise it"
                .into())
        );
    }
}
