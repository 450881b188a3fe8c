//! What a journal needs of the place that it is written to.

use std::fs::File;
use std::io::{self, Write};

/// Where lines are written.
pub trait Sink: Send {
    /// Writes some of `bytes` and returns how many. [`io::ErrorKind::WouldBlock`] means that nothing can be
    /// written at the moment, and that an event for [`Token::JOURNAL`](crate::net::Token::JOURNAL) will follow
    /// when it can.
    ///
    /// # Errors
    /// Any other error is final: nothing more can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when everything written survives a loss of power.
    ///
    /// # Errors
    /// Final, as for `write`: after a failure no system promises that a second sync is true.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether it is still what its path names. Otherwise it was renamed, deleted or replaced.
    fn is_in_place(&self) -> bool {
        true
    }

    /// Opens its path again, if it has one and another file is there. If that fails, what is open stays in use.
    ///
    /// # Errors
    /// Final, as for `write`.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Removes the last `torn_bytes` that were written, the beginning of a line, after an error. It is the last call,
    /// and may do nothing.
    fn remove_torn_line(&mut self, _torn_bytes: usize) {}
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // A pipe or a terminal has nothing that could be lost. A file has.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && !self.metadata()?.is_file() => {
                Ok(())
            }
            other => other,
        }
    }
}
