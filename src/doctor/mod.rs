//! `doctor`: how many connections this machine can serve and drive, which limit binds first, what lifts it.
//!
//! It reads, reckons and prints; it changes nothing. `machine.rs` reads the facts, each file of limits says
//! what a fact means for connections and which command changes it, `diagnosis.rs` puts them together.

mod bursts;
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
use crate::report::output_file::{Json, Unwritten};

pub(crate) use diagnosis::{Diagnosis, Verdict, diagnose};
pub(crate) use limit::Role;
pub(crate) use machine::Machine;
pub(crate) use threads::fit as fit_threads;

/// What to tell, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Whether so many connections fit.
    pub connections: Option<usize>,
    /// Where the result is written as JSON; `-` is standard output, instead of the text.
    pub json: Option<PathBuf>,
}

/// Tells on standard output what this machine can hold.
///
/// # Errors
/// The connections asked for do not fit, which is told only after the rest; or the result cannot be written.
pub(crate) fn run(options: &Options) -> Result<(), DoctorError> {
    let json = Json::open(options.json.as_deref()).map_err(DoctorError::Unwritten)?;
    let asked = options.connections.map(|connections| connections as u64);
    let diagnosis = diagnose(&Machine::read(Path::new("/")), asked);
    json.tell(&diagnosis, || diagnosis.to_string()).map_err(DoctorError::Unwritten)?;
    match diagnosis.misfit() {
        Some(why) => Err(DoctorError::DoesNotFit(why)),
        None => Ok(()),
    }
}

impl Diagnosis {
    /// Why as many connections as were asked for cannot be served by the event loop, or driven on loopback.
    /// What is not known to bind does not count.
    fn misfit(&self) -> Option<String> {
        let asked = count(self.asked?);
        let no = [(Role::Serve, "serve"), (Role::Drive, "drive")].into_iter().filter_map(|(role, verb)| {
            let Verdict { connections, limited_by, fits: Some(false), .. } = self.verdicts.get(&role)? else {
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
    /// The connections asked for do not fit; one line that says why.
    DoesNotFit(String),
    /// The result could not be written.
    Unwritten(Unwritten),
}

impl DoctorError {
    /// Whether nobody reads the result any more.
    #[must_use]
    pub(crate) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Unwritten(unwritten) if unwritten.is_reader_gone())
    }
}

impl fmt::Display for DoctorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotFit(why) => f.write_str(why),
            Self::Unwritten(unwritten) => unwritten.fmt(f),
        }
    }
}

impl std::error::Error for DoctorError {}
