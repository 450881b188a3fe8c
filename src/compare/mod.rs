//! `compare`: which model wins where, at what cost, and which limit stops it, on this machine.
//!
//! Each run has a server of its own, as a child process, and the load generator in this process. Models take
//! turns, so that whatever else the machine does meets both.

pub(crate) mod analysis;
mod child;
mod cores;
pub(crate) mod error;
#[cfg(test)]
mod fixtures;
mod limiting;
mod measure;
pub(crate) mod options;
mod output;
mod plan;
mod process_stats;
pub(crate) mod result;
mod runner;
mod stop_request;

use self::cores::Cores;
use self::error::CompareError;
use self::limiting::Limits;
use self::options::{CompareOptions, Count};
pub(crate) use self::output::page::{page, pictures};
pub(crate) use self::output::table::table;
use self::result::Comparison;
pub(crate) use self::runner::Progress;

/// Compares the models as `options` say, until that is done or SIGINT, SIGTERM or SIGHUP ends it early. What is
/// done by then is the result.
///
/// # Errors
/// See [`CompareError`]. Nothing is left running.
pub(crate) fn run(options: &CompareOptions, progress: &mut dyn Progress) -> Result<Comparison, CompareError> {
    let limits = Limits::read();
    let connections = counts(options, &limits);
    let steps = plan::steps(options, &connections);
    if steps.is_empty() {
        return Err(CompareError::Usage(NOTHING_TO_DO.into()));
    }
    // Before this process is confined to one of its processors.
    let machine = analysis::findings::machine();
    let cores = Cores::share_out(options.server_cores).map_err(CompareError::Unpinned)?;
    let course = runner::go(&steps, options, &cores, progress)?;
    Ok(analysis::findings::comparison(options, machine, &connections, &course, cores.split(), &limits))
}

/// The numbers of connections, each once and in order.
fn counts(options: &CompareOptions, limits: &Limits) -> Vec<u32> {
    let count = |count: &Count| match count {
        Count::Exactly(connections) => Some(*connections),
        Count::Max => limits.most(),
    };
    let mut connections: Vec<u32> = options.connections.iter().filter_map(count).collect();
    connections.sort_unstable();
    connections.dedup();
    connections
}

const NOTHING_TO_DO: &str = "nothing to compare: few-active needs 100 connections or more, churn, large-bodies and pipelined 1,000 or \
     fewer";
