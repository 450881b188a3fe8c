//! Where the journal is written to, opened so that writing never waits.
//!
//! A pipe or a terminal that is not read would otherwise stop the loop for every peer. Pipes and terminals are opened a
//! second time, if possible (see `pipe.rs`), and sockets are written to with a flag. Regular files take what they are
//! given, and are locked (see `lock.rs`).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use socket2::SockRef;

use crate::journal::file::open_file;
use crate::journal::pipe::{self, Reopened, SharedPipe, open_nonblocking};
use crate::journal::{Ack, lock};

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
            // A pipe or a terminal has nothing that could be lost. A file has.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && !self.metadata()?.is_file() => {
                Ok(())
            }
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
pub(crate) enum JournalSink {
    /// What never makes a writer wait: a regular file, a device, or what was opened to be non-blocking.
    File(File),
    /// Written to with a flag.
    Socket(File),
    /// A pipe that is shared with other processes.
    Pipe(SharedPipe),
}

impl JournalSink {
    /// Whether what is written to it can survive a loss of power: a pipe or a terminal does not.
    pub(crate) fn survives(&self) -> bool {
        let Self::File(file) = self else { return false };
        let kind = file.metadata().map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_file() || kind.is_block_device())
    }
}

/// Opens the journal; `None` for none.
///
/// # Errors
/// It cannot be opened, another process writes to the file, or it is a named pipe without a reader.
pub(crate) fn open(target: &JournalTarget, ack: Ack) -> io::Result<Option<JournalSink>> {
    match target {
        JournalTarget::None => Ok(None),
        JournalTarget::Stdout => open_stdout().map(Some),
        JournalTarget::File(path) => match fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_char_device() => {
                open_nonblocking(path).map(|file| Some(JournalSink::File(file)))
            }
            Ok(_) | Err(_) => open_file(path, ack).map(|file| Some(JournalSink::File(file))),
        },
    }
}

fn open_stdout() -> io::Result<JournalSink> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let kind = stdout.metadata()?.file_type();
    if kind.is_socket() {
        return Ok(JournalSink::Socket(stdout));
    }
    if kind.is_fifo() || kind.is_char_device() {
        return pipe::reopen(stdout).map(|reopened| match reopened {
            Reopened::File(file) => JournalSink::File(file),
            Reopened::Pipe(pipe) => JournalSink::Pipe(pipe),
        });
    }
    // A regular file is not opened again: writing would begin at its start.
    lock::lock(&stdout)?;
    Ok(JournalSink::File(stdout))
}

impl Sink for JournalSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => Sink::write(file, bytes),
            Self::Socket(socket) => {
                SockRef::from(&*socket).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            }
            Self::Pipe(pipe) => pipe.write(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Socket(_) | Self::Pipe(_) => Ok(()),
        }
    }
}

impl AsFd for JournalSink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(file) | Self::Socket(file) => file.as_fd(),
            Self::Pipe(pipe) => pipe.as_fd(),
        }
    }
}
