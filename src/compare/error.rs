//! Why a comparison fails.

use std::fmt;
use std::io;

use crate::load::LoadError;

/// Why nothing was compared.
#[derive(Debug)]
pub(crate) enum CompareError {
    /// The options exclude each other.
    Usage(String),
    /// A server cannot be started.
    NoServer(String),
    /// The load generator cannot run.
    NoLoad(LoadError),
    /// The CPU affinity cannot be read.
    Affinity(io::Error),
    /// Signals cannot be handled.
    Signals(io::Error),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(line) | Self::NoServer(line) => f.write_str(line),
            Self::NoLoad(error) => error.fmt(f),
            Self::Affinity(error) => write!(f, "cannot read the CPU affinity: {error}"),
            Self::Signals(error) => write!(f, "cannot handle signals: {error}"),
        }
    }
}

impl std::error::Error for CompareError {}
