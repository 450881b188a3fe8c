//! A regular file as the journal: opened by its path, or standard output.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::journal::ack::Ack;
use crate::journal::file::{adopt_stdout, is_at, open_file};
use crate::journal::lock;
use crate::journal::sink::Sink;

/// A file that this process alone writes to.
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    /// Where it was opened. Standard output has no path, and cannot be opened again.
    path: Option<PathBuf>,
    /// Another descriptor of standard output. Closing it would release the lock.
    _reader: Option<File>,
    ack: Ack,
    /// The length of the file if no other program has changed it, which the lock cannot prevent.
    bytes: u64,
    /// The limit on the size of files (`ulimit -f`) when the file was opened, or last reached it.
    #[cfg(not(feature = "signals"))]
    bytes_max: u64,
}

impl RegularFile {
    /// Opens the file at `path`, see [`open_file`].
    pub(super) fn open(path: PathBuf, ack: Ack) -> io::Result<Self> {
        Self::new(open_file(&path, ack)?, Some(path), None, ack)
    }

    /// A file that is open as standard output, see [`adopt_stdout`]. It is written to by this descriptor: the process
    /// that has opened it may write behind the journal, from where this one ends.
    pub(super) fn stdout(file: File, ack: Ack) -> io::Result<Self> {
        let reader = adopt_stdout(&file, ack)?;
        Self::new(file, None, reader, ack)
    }

    fn new(file: File, path: Option<PathBuf>, reader: Option<File>, ack: Ack) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self {
            file,
            path,
            _reader: reader,
            ack,
            bytes,
            #[cfg(not(feature = "signals"))]
            bytes_max: file_bytes_max(),
        })
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

/// Without a handler, the kernel ends a process that writes beyond the limit (SIGXFSZ).
#[cfg(not(feature = "signals"))]
impl RegularFile {
    /// Fails as that write would with a handler.
    fn check_limit(&mut self) -> io::Result<()> {
        if self.bytes >= self.bytes_max {
            self.bytes_max = file_bytes_max();
        }
        if self.bytes >= self.bytes_max { Err(io::Error::from_raw_os_error(libc::EFBIG)) } else { Ok(()) }
    }
}

#[cfg(not(feature = "signals"))]
fn file_bytes_max() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

impl Sink for RegularFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(not(feature = "signals"))]
        self.check_limit()?;
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
        match Self::open(path.clone(), self.ack) {
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
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == self.bytes) {
            // If it fails, the next start does it.
            let _ = self.file.set_len(self.bytes - torn_bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_renamed_file_is_written_to_until_it_is_reopened() {
        let directory = tempfile::tempdir().unwrap();
        let [path, renamed] = ["journal", "journal.1"].map(|name| directory.path().join(name));
        let mut journal = RegularFile::open(path.clone(), Ack::Written).unwrap();
        assert!(journal.is_in_place());
        fs::rename(&path, &renamed).unwrap();
        assert!(!journal.is_in_place());
        journal.write(b"old\n").unwrap();
        journal.reopen().unwrap();
        assert!(journal.is_in_place());
        journal.write(b"new\n").unwrap();
        assert_eq!([&renamed, &path].map(|path| fs::read_to_string(path).unwrap()), ["old\n", "new\n"]);
    }

    #[test]
    fn a_torn_line_is_removed_unless_another_program_has_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        for (other, after) in [("", "old\nwhole\n"), ("x", "old\nwhole\n[1.x")] {
            fs::write(&path, "old\n").unwrap();
            let mut journal = RegularFile::open(path.clone(), Ack::Written).unwrap();
            for part in [&b"whole\n"[..], b"[1."] {
                assert_eq!(journal.write(part).unwrap(), part.len());
            }
            File::options().append(true).open(&path).unwrap().write_all(other.as_bytes()).unwrap();
            journal.remove_torn_line(3);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn standard_output_has_no_path_and_stays_in_place() {
        let mut journal = RegularFile::stdout(tempfile::tempfile().unwrap(), Ack::Written).unwrap();
        assert!(journal.is_in_place());
        journal.reopen().unwrap();
        #[cfg(feature = "signals")]
        {
            assert!(!journal.has_path());
            let path = tempfile::NamedTempFile::new().unwrap().into_temp_path().to_path_buf();
            assert!(RegularFile::open(path, Ack::Written).unwrap().has_path());
        }
    }

    #[test]
    fn a_failed_sync_is_an_error() {
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let file = File::from(writer);
        let mut journal = RegularFile::new(file, None, None, Ack::Synced).unwrap();
        assert_eq!(journal.sync().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
