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

use std::fmt;
use std::path::{Path, PathBuf};

use crate::report::format::count;
use crate::report::output_file::{Json, WriteError};

pub(crate) use diagnosis::{Capacity, Diagnosis, diagnose};
pub(crate) use limit::Role;
pub(crate) use machine::Machine;
pub(crate) use threads::fit as fit_threads;

/// The arguments of `doctor`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Check whether this number of connections fits.
    pub connections: Option<usize>,
    /// The file for the result as JSON; `-` is standard output, instead of the text.
    pub json: Option<PathBuf>,
}

/// Prints how many connections this machine allows.
///
/// # Errors
/// The connections asked for do not fit, in which case the result is printed all the same; or the result cannot
/// be written.
pub(crate) fn run(options: &Options) -> Result<(), DoctorError> {
    let json = Json::open(options.json.as_deref()).map_err(DoctorError::WriteError)?;
    let asked = options.connections.map(|connections| connections as u64);
    let diagnosis = diagnose(&Machine::read(Path::new("/")), asked);
    json.write(&diagnosis, || diagnosis.to_string()).map_err(DoctorError::WriteError)?;
    match diagnosis.misfit() {
        Some(why) => Err(DoctorError::DoesNotFit(why)),
        None => Ok(()),
    }
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

/// Why `doctor` fails.
#[derive(Debug)]
pub(crate) enum DoctorError {
    /// The connections asked for do not fit; one line with the reason.
    DoesNotFit(String),
    /// The result could not be written.
    WriteError(WriteError),
}

impl DoctorError {
    /// Whether the reader of the result has gone, which needs no error message.
    #[must_use]
    pub(crate) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::WriteError(error) if error.is_reader_gone())
    }
}

impl fmt::Display for DoctorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotFit(why) => f.write_str(why),
            Self::WriteError(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DoctorError {}
