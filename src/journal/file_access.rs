//! What opening a journal does to its file, as a trait.

use std::io;

/// What opening does to a file, so that a test can see the order.
#[expect(clippy::missing_errors_doc, reason = "each fails if it cannot be done")]
pub trait JournalFile {
    /// Makes this process the only writer.
    fn lock(&mut self) -> io::Result<()>;
    /// The length.
    fn bytes(&mut self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Removes everything after `bytes`.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
    /// Returns when its content and its length are on disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Returns when its entry in its directory is on disk.
    fn sync_directory(&mut self) -> io::Result<()>;
}
