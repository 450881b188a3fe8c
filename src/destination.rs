//! Opening what messages are recorded to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use crate::journal::open_file;
use crate::options::JournalTo;

/// What messages are written to.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The file, pipe or terminal.
    pub(crate) file: File,
    /// Writing to it may say "would block", and the poller can tell when it no longer would.
    pub(crate) is_nonblocking: bool,
}

/// Opens the destination for writers that may wait; `None` where nothing is recorded.
///
/// # Errors
/// It can not be opened.
pub(crate) fn open_blocking(to: &JournalTo) -> io::Result<Option<Destination>> {
    let file = match to {
        JournalTo::Nowhere => return Ok(None),
        JournalTo::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        JournalTo::File(path) => open_file(path)?,
    };
    Ok(Some(Destination { file, is_nonblocking: false }))
}

/// Opens the destination for a loop that must not wait: a pipe or a terminal that nobody reads from would
/// stop it for everybody.
///
/// Setting a pipe non-blocking would do so for every process that has it, the user's shell among them. So
/// it is opened a second time, through `/proc`. Where that can not be (a socket, no `/proc`), it blocks.
///
/// # Errors
/// It can not be opened.
pub(crate) fn open_nonblocking(to: &JournalTo) -> io::Result<Option<Destination>> {
    let Some(blocking) = open_blocking(to)? else { return Ok(None) };
    let kind = blocking.file.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_char_device() {
        return Ok(Some(blocking));
    }
    let path = match to {
        JournalTo::File(path) => path.as_path(),
        JournalTo::Stdout | JournalTo::Nowhere => "/proc/self/fd/1".as_ref(),
    };
    match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => Ok(Some(Destination { file, is_nonblocking: true })),
        Err(_) => Ok(Some(blocking)),
    }
}
