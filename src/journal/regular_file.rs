//! A regular file as the journal: opened by its path, or standard output.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::journal::ack::Ack;
use crate::journal::file::{is_at, open_file};
use crate::journal::lock;
use crate::journal::sink::Sink;

/// A file that this process alone writes to.
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    /// Where it was opened. Standard output has no path, and cannot be opened again.
    path: Option<PathBuf>,
    ack: Ack,
    /// The length of the file if no other program has changed it, which the lock cannot prevent.
    bytes: u64,
}

impl RegularFile {
    /// Opens the file at `path`, see [`open_file`].
    pub(super) fn open(path: PathBuf, ack: Ack) -> io::Result<Self> {
        #[cfg(feature = "signals")]
        catch_file_size_signal()?;
        let file = open_file(&path, ack)?;
        Self::new(file, Some(path), ack)
    }

    /// A file that is open as standard output. It is not opened again: writing would begin at its start.
    pub(super) fn stdout(file: File, ack: Ack) -> io::Result<Self> {
        #[cfg(feature = "signals")]
        catch_file_size_signal()?;
        lock::lock(&file)?;
        Self::new(file, None, ack)
    }

    fn new(file: File, path: Option<PathBuf>, ack: Ack) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, path, ack, bytes })
    }

    /// Whether it was opened by a path, and can be again.
    #[cfg(feature = "signals")]
    pub(super) fn has_path(&self) -> bool {
        self.path.is_some()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Sink for RegularFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = Write::write(&mut self.file, bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_in_place(&self) -> bool {
        self.path.as_ref().is_none_or(|path| is_at(&self.file, path))
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if is_at(&self.file, path) {
            return Ok(());
        }
        match open_file(path, self.ack).and_then(|file| Self::new(file, self.path.clone(), self.ack)) {
            Ok(opened) => {
                log::info!("the journal was reopened: {}", path.display());
                *self = opened;
            }
            Err(error) => log::error!("cannot reopen the journal, the open file stays in use: {error}"),
        }
        // If this was the same file after all, closing one of its descriptors has released the lock.
        lock::lock(&self.file)
    }

    fn remove_torn_line(&mut self, torn_bytes: usize) {
        let is_unchanged = self.file.metadata().is_ok_and(|metadata| metadata.len() == self.bytes);
        if is_unchanged && torn_bytes > 0 {
            // If it fails, the next start does it.
            let _ = self.file.set_len(self.bytes - torn_bytes as u64);
        }
    }
}

/// A write beyond the limit on the size of files (`ulimit -f`) then fails, instead of ending the process by SIGXFSZ.
#[cfg(feature = "signals")]
fn catch_file_size_signal() -> io::Result<()> {
    signal_hook::flag::register(libc::SIGXFSZ, std::sync::Arc::default()).map(drop)
}
