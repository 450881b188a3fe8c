//! Where the journal is written to, opened so that writing never waits.
//!
//! A pipe or a terminal without a reader would otherwise stop the loop for every peer. Setting it non-blocking
//! would do so for every process that shares it, such as the user's shell. So pipes and terminals are opened a
//! second time, and sockets are written to with a flag. Regular files take what they are given.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use socket2::SockRef;

use crate::journal::file::open_file;

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
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // A pipe or a terminal has nothing that could be lost.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

/// Where messages are recorded, as users choose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JournalTarget {
    /// Standard output, `-`.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
    /// Nowhere, `none`.
    None,
}

impl From<&str> for JournalTarget {
    fn from(text: &str) -> Self {
        match text {
            "-" => Self::Stdout,
            "none" => Self::None,
            path => Self::File(path.into()),
        }
    }
}

impl fmt::Display for JournalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}

/// The open journal of the program.
#[derive(Debug)]
pub(crate) struct JournalSink {
    file: File,
    is_socket: bool,
}

impl JournalSink {
    /// Whether what is written to it can survive a loss of power: a pipe or a terminal does not.
    pub(crate) fn survives(&self) -> bool {
        let kind = self.file.metadata().map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_file() || kind.is_block_device())
    }
}

/// Opens the journal; `None` for none.
///
/// # Errors
/// It cannot be opened, or it is a named pipe without a reader.
pub(crate) fn open(target: &JournalTarget) -> io::Result<Option<JournalSink>> {
    let file = match target {
        JournalTarget::None => return Ok(None),
        JournalTarget::Stdout => reopen_stdout()?,
        JournalTarget::File(path) => match fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_char_device() => {
                open_nonblocking(path)?
            }
            Ok(_) | Err(_) => open_file(path)?,
        },
    };
    let is_socket = file.metadata()?.file_type().is_socket();
    Ok(Some(JournalSink { file, is_socket }))
}

fn reopen_stdout() -> io::Result<File> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let kind = stdout.metadata()?.file_type();
    // A regular file is not opened again: writing would begin at its start.
    if !kind.is_fifo() && !kind.is_char_device() {
        return Ok(stdout);
    }
    Ok(open_nonblocking("/proc/self/fd/1".as_ref()).unwrap_or(stdout))
}

fn open_nonblocking(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

impl Sink for JournalSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_socket {
            SockRef::from(&self.file).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        } else {
            Sink::write(&mut self.file, bytes)
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

impl AsFd for JournalSink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
