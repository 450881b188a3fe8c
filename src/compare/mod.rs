//! `compare`: the event loop and a thread per connection on this machine: throughput, cost, and limits.
//!
//! Each run starts a server as a child process and runs the load generator in this process. The models alternate,
//! so that other work on the machine affects both.

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
mod plan;
mod process_stats;
pub(crate) mod result;
mod runner;
mod stop_request;

use procfs::{CpuInfo, Current, Meminfo};

use self::capacities::Capacities;
use self::cores::Cores;
use self::error::CompareError;
use self::options::{CompareOptions, Count};
pub(crate) use self::output::page::{page, pictures};
pub(crate) use self::output::table::table;
use self::result::{Comparison, Machine};
pub(crate) use self::runner::Progress;

/// Compares the models, until that is done or SIGINT, SIGTERM or SIGHUP ends it early, with the result so far. Calls
/// `show` before each run.
///
/// # Errors
/// See [`CompareError`]. Nothing is left running.
pub(crate) fn run(options: &CompareOptions, show: impl FnMut(Progress)) -> Result<Comparison, CompareError> {
    let capacities = Capacities::read();
    let connections = counts(options, &capacities);
    let steps = plan::steps(options, &connections);
    if steps.is_empty() {
        return Err(CompareError::Usage(NOTHING_TO_DO.into()));
    }
    // Before this process is pinned to one processor.
    let machine = machine();
    let cores = Cores::assign(options.server_cores).map_err(CompareError::Affinity)?;
    let runs = runner::run(&steps, options, &cores, show)?;
    Ok(analysis::findings::comparison(
        options,
        machine,
        &connections,
        &runs,
        cores.split.as_ref(),
        &capacities,
    ))
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

/// The numbers of connections, each once and in order.
fn counts(options: &CompareOptions, capacities: &Capacities) -> Vec<u32> {
    let count = |count: &Count| match count {
        Count::Exactly(connections) => Some(*connections),
        Count::Max => capacities.connections_max(),
    };
    let mut connections: Vec<u32> = options.connections.iter().filter_map(count).collect();
    connections.sort_unstable();
    connections.dedup();
    connections
}

const NOTHING_TO_DO: &str = "nothing to compare: few-active needs 100 connections or more, churn, large-bodies and pipelined 1,000 or \
     fewer";
