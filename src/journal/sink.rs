//! Opening what messages are recorded to, so that writing to it never waits.
//!
//! A pipe or a terminal that nobody reads from would otherwise stop a loop for everybody. Setting it
//! non-blocking would do so for every process that has it, the user's shell among them. So pipes and
//! terminals are opened a second time, and sockets are told with every write. What is left are plain files,
//! which take what they are given.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use socket2::SockRef;

use crate::journal::{Sink, open_file};
use crate::server::options::JournalTo;

/// What messages are written to.
#[derive(Debug)]
pub(crate) struct Destination {
    file: File,
    is_socket: bool,
}

/// Opens the destination; `None` where nothing is recorded.
///
/// # Errors
/// It can not be opened, or it is a named pipe that nobody reads.
pub(crate) fn open(to: &JournalTo) -> io::Result<Option<Destination>> {
    let file = match to {
        JournalTo::Nowhere => return Ok(None),
        JournalTo::Stdout => reopen_stdout()?,
        JournalTo::File(path) => match fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_char_device() => {
                open_nonblocking(path)?
            }
            Ok(_) | Err(_) => open_file(path)?,
        },
    };
    let is_socket = file.metadata()?.file_type().is_socket();
    Ok(Some(Destination { file, is_socket }))
}

fn reopen_stdout() -> io::Result<File> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let kind = stdout.metadata()?.file_type();
    // A plain file is not opened again: that would begin to write at its beginning.
    if !kind.is_fifo() && !kind.is_char_device() {
        return Ok(stdout);
    }
    Ok(open_nonblocking("/proc/self/fd/1".as_ref()).unwrap_or(stdout))
}

fn open_nonblocking(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

impl Sink for Destination {
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

impl AsFd for Destination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
