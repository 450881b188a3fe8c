//! `doctor`: how many connections this machine can serve and drive, which limit is lowest, how to raise it.
//!
//! It changes nothing. `machine.rs` reads the settings, each file of limits converts a setting into connections
//! and knows the command that changes it, `diagnosis.rs` combines them.

mod burst_limits;
mod cgroup;
mod descriptors;
mod diagnosis;
mod fact;
#[cfg(test)]
pub(crate) mod fixtures;
mod limit;
mod machine;
mod memory;
mod ports;
mod report;
mod text;
mod threads;

use std::path::Path;

use serde::Serialize;

use crate::report::format::count;
use crate::report::output_file::{Json, WriteError};
use crate::report::record::{Command, Record};
use crate::report::run_info::RunInfo;

pub(crate) use diagnosis::{Capacity, Diagnosis, diagnose};
pub(crate) use limit::Role;
pub(crate) use machine::Machine;
pub(crate) use memory::available as available_memory;
pub(crate) use threads::fit as fit_threads;

/// Prints how many connections this machine allows. `json` is a file for the result, or `-` for standard output instead
/// of the text. Returns why the `asked` connections do not fit, if so.
///
/// # Errors
/// The result cannot be written.
pub(crate) fn run(asked: Option<usize>, json: Option<&Path>) -> Result<Option<String>, WriteError> {
    let json = Json::open(json)?;
    let diagnosis = diagnose(&Machine::read(Path::new("/")), asked.map(|connections| connections as u64));
    let (info, options) = (RunInfo::now(), DoctorOptions { connections: asked });
    json.write(&Record::new(Command::Doctor, &info, options, &diagnosis), || diagnosis.to_string())?;
    Ok(diagnosis.misfit())
}

/// The options of `doctor`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DoctorOptions {
    /// Number of connections to check; null: none.
    connections: Option<usize>,
}

impl Diagnosis {
    /// Why the connections asked for cannot be served by the event loop, or driven on loopback. An unknown limit
    /// does not count.
    fn misfit(&self) -> Option<String> {
        let asked = count(self.asked?);
        let no = [(Role::Serve, "serve"), (Role::Drive, "drive")].into_iter().filter_map(|(role, verb)| {
            let Capacity { connections, limited_by, fits: Some(false), .. } = self.capacities.get(&role)?
            else {
                return None;
            };
            Some(format!(
                "cannot {verb} {asked} connections, at most {} ({})",
                count((*connections)?),
                (*limited_by)?
            ))
        });
        let no: Vec<String> = no.collect();
        (!no.is_empty()).then(|| format!("this machine {}", no.join(", and ")))
    }
}
