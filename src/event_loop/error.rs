//! Why a server ends without a request to stop.

use std::fmt;
use std::io;

/// Why a server ended without a request to stop.
#[derive(Debug)]
pub enum LoopError {
    /// Messages can no longer be written to the journal. Those that were not are not acknowledged.
    Journal(io::Error),
    /// The poller is broken.
    Poll(io::Error),
}

impl fmt::Display for LoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => write!(f, "cannot write to the journal: {error}"),
            Self::Poll(error) => write!(f, "cannot poll: {error}"),
        }
    }
}

impl std::error::Error for LoopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Journal(error) | Self::Poll(error) => Some(error),
        }
    }
}
