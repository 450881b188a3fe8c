//! Why serving did not begin, or ended.

use std::fmt;

use crate::event_loop::LoopError;

/// Why serving did not begin, or ended.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// It did not begin; one line that says why.
    Start(String),
    /// It ended.
    Run(LoopError),
}

impl ServeError {
    /// The exit status of the process: 74 (`EX_IOERR`) when messages can no longer be recorded.
    #[must_use]
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Run(LoopError::Journal(_)) => 74,
            Self::Run(LoopError::Poll(_)) | Self::Start(_) => 1,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(line) => f.write_str(line),
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}
