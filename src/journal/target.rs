//! Where the journal is written to, as users choose it, opened so that writing never waits.
//!
//! A pipe or a terminal that is not read would otherwise stop the loop for every peer. Pipes and terminals are opened a
//! second time, if possible (see `pipe.rs`), and sockets are written to with a flag. Regular files take what they are
//! given, and are locked (see `lock.rs`).

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use socket2::SockRef;

use crate::journal::ack::Ack;
use crate::journal::file::open_file;
use crate::journal::pipe::{self, Reopened, SharedPipe, open_nonblocking};
use crate::journal::regular_file::RegularFile;
use crate::journal::sink::Sink;

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
    /// A regular file.
    Regular(RegularFile),
    /// A device, or what was opened to be non-blocking.
    File(File),
    /// Written to with a flag.
    Socket(File),
    /// A pipe that is shared with other processes.
    Pipe(SharedPipe),
}

impl JournalSink {
    /// Whether what is written to it can survive a loss of power: a pipe or a terminal does not.
    pub(crate) fn survives(&self) -> bool {
        match self {
            Self::Regular(_) => true,
            Self::File(file) => file.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()),
            Self::Socket(_) | Self::Pipe(_) => false,
        }
    }

    /// Whether it can be opened again by its path.
    #[cfg(feature = "signals")]
    pub(crate) fn is_reopened(&self) -> bool {
        matches!(self, Self::Regular(file) if file.has_path())
    }
}

/// Opens the journal; `None` for none.
///
/// # Errors
/// It cannot be opened, another process writes to the file, or it is a named pipe without a reader.
pub(crate) fn open(target: &JournalTarget, ack: Ack) -> io::Result<Option<JournalSink>> {
    match target {
        JournalTarget::None => Ok(None),
        JournalTarget::Stdout => open_stdout(ack).map(Some),
        JournalTarget::File(path) => {
            let kind = fs::metadata(path).map(|metadata| metadata.file_type());
            let sink = match kind {
                Ok(kind) if kind.is_fifo() || kind.is_char_device() => {
                    JournalSink::File(open_nonblocking(path)?)
                }
                Ok(kind) if !kind.is_file() => JournalSink::File(open_file(path, ack)?),
                Ok(_) | Err(_) => JournalSink::Regular(RegularFile::open(path.clone(), ack)?),
            };
            Ok(Some(sink))
        }
    }
}

fn open_stdout(ack: Ack) -> io::Result<JournalSink> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let kind = stdout.metadata()?.file_type();
    if kind.is_socket() {
        return Ok(JournalSink::Socket(stdout));
    }
    if kind.is_fifo() || kind.is_char_device() {
        if is_null_device(&stdout) {
            log::warn!(
                "standard output is /dev/null, or was closed: messages are acknowledged, but not kept"
            );
        }
        return pipe::reopen(stdout).map(|reopened| match reopened {
            Reopened::File(file) => JournalSink::File(file),
            Reopened::Pipe(pipe) => JournalSink::Pipe(pipe),
        });
    }
    if kind.is_file() {
        return RegularFile::stdout(stdout, ack).map(JournalSink::Regular);
    }
    Ok(JournalSink::File(stdout))
}

/// Whether it is `/dev/null`, which a program has as standard output too if it is started without one.
fn is_null_device(file: &File) -> bool {
    match (file.metadata(), fs::metadata("/dev/null")) {
        (Ok(file), Ok(null)) => file.rdev() == null.rdev(),
        _ => false,
    }
}

impl Sink for JournalSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Regular(file) => file.write(bytes),
            Self::File(file) => Sink::write(file, bytes),
            Self::Socket(socket) => {
                SockRef::from(&*socket).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            }
            Self::Pipe(pipe) => pipe.write(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Regular(file) => file.sync(),
            Self::File(file) => file.sync(),
            Self::Socket(_) | Self::Pipe(_) => Ok(()),
        }
    }

    fn is_in_place(&self) -> bool {
        match self {
            Self::Regular(file) => file.is_in_place(),
            Self::File(_) | Self::Socket(_) | Self::Pipe(_) => true,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Regular(file) => file.reopen(),
            Self::File(_) | Self::Socket(_) | Self::Pipe(_) => Ok(()),
        }
    }

    fn remove_torn_line(&mut self, torn_bytes: usize) {
        if let Self::Regular(file) = self {
            file.remove_torn_line(torn_bytes);
        }
    }
}

impl AsFd for JournalSink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Regular(file) => file.file().as_fd(),
            Self::File(file) | Self::Socket(file) => file.as_fd(),
            Self::Pipe(pipe) => pipe.as_fd(),
        }
    }
}
