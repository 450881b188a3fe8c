//! Why a server ends without a request to stop.

use std::fmt;
use std::io;

/// Why a server ended without a request to stop.
#[derive(Debug)]
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_names_what_failed_and_has_its_cause() {
        let error = LoopError::Journal(io::ErrorKind::StorageFull.into());
        assert_eq!(error.to_string(), "cannot write to the journal: no storage space");
        assert_eq!(error.source().unwrap().to_string(), "no storage space");
        let error = LoopError::Poll(io::ErrorKind::Unsupported.into());
        assert_eq!(error.to_string(), "cannot poll: unsupported");
    }
}
