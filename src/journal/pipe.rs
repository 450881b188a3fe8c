//! A pipe or a terminal that is not non-blocking, and writing to it all the same without waiting.
//!
//! Setting it non-blocking would do so for every process that shares it, such as the user's shell. So it is opened a
//! second time, where the kernel allows that: not for a pipe or a terminal of another user, and not without `/proc`. A
//! pipe is then written to with a flag (`RWF_NOWAIT`, Linux 6.4 or later), or after asking whether it has room.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use rustix::termios::{isatty, tcgetsid};

use crate::journal::file::link_of;

/// A pipe that other processes may have open too, in blocking mode.
#[derive(Debug)]
pub(crate) struct SharedPipe {
    pipe: File,
    /// Whether the kernel has been found not to know the flag for pipes.
    is_flag_unknown: bool,
}

impl SharedPipe {
    pub(super) fn new(pipe: File) -> Self {
        Self { pipe, is_flag_unknown: false }
    }

    /// Writes some of `bytes` and returns how many, or `WouldBlock` if the pipe is full.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_flag_unknown {
            match pwritev2(&self.pipe, &[IoSlice::new(bytes)], CURRENT_POSITION, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.is_flag_unknown = true,
                outcome => return Ok(outcome?),
            }
        }
        self.write_what_fits(bytes)
    }

    /// A pipe that is reported writable has room for `PIPE_BUF` bytes. Another process can take it before they are
    /// written: then this waits until the pipe is read. No older kernel has a way around that.
    fn write_what_fits(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut asked = [PollFd::new(&self.pipe, PollFlags::OUT)];
        poll(&mut asked, Some(&Timespec::default()))?;
        // An error, such as that of a pipe without a reader, is returned by the write.
        if !asked[0].revents().intersects(PollFlags::OUT | PollFlags::ERR) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.pipe.write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
    }
}

impl AsFd for SharedPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Standard output as what can be written to without waiting.
#[derive(Debug)]
pub(super) enum Reopened {
    /// It does not make a writer wait.
    File(File),
    Pipe(SharedPipe),
}

/// Makes `stdout`, a pipe or a device, writable without waiting.
///
/// # Errors
/// There is no way: it is a terminal that cannot be opened again.
pub(super) fn reopen(stdout: File) -> io::Result<Reopened> {
    let denied = match open_nonblocking(&link_of(&stdout)) {
        Ok(file) => return Ok(Reopened::File(file)),
        Err(error) => error,
    };
    if stdout.metadata()?.file_type().is_fifo() {
        return Ok(Reopened::Pipe(SharedPipe::new(stdout)));
    }
    if !isatty(&stdout) {
        // Devices such as /dev/null do not make a writer wait.
        return Ok(Reopened::File(stdout));
    }
    // The controlling terminal of a process has a name that every user can open.
    if let (Ok(_), Ok(file)) = (tcgetsid(&stdout), open_nonblocking(Path::new("/dev/tty"))) {
        return Ok(Reopened::File(file));
    }
    Err(io::Error::new(
        denied.kind(),
        format!(
            "this terminal cannot be opened again, and would stop the server whenever it stops reading ({denied}); \
             write to a file, or to a pipe, as in 'loopline serve | cat'"
        ),
    ))
}

/// Opens a pipe or a device so that writing to it does not wait, for this process only.
pub(super) fn open_nonblocking(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// The offset that stands for the current one in `pwritev2`.
const CURRENT_POSITION: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_blocking_pipe_is_filled_and_emptied_without_waiting() {
        for is_flag_unknown in [false, true] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let mut reader = File::from(reader);
            let mut pipe = SharedPipe { pipe: File::from(writer), is_flag_unknown };
            let mut written = vec![7; if is_flag_unknown { libc::PIPE_BUF } else { 10_000 }];
            assert_eq!(pipe.write(&[7; 10_000]).unwrap(), written.len());
            let message = |round: usize| vec![u8::try_from(round % 251).unwrap(); 1000 + round * 700];
            for round in 0..200 {
                let message = message(round);
                match pipe.write(&message) {
                    Ok(bytes) => written.extend_from_slice(&message[..bytes]),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        let mut block = vec![0; written.len()];
                        reader.read_exact(&mut block).unwrap();
                        assert_eq!(block, written);
                        written.clear();
                    }
                }
            }
            drop(reader);
            assert_eq!(pipe.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn a_full_pipe_without_a_reader_is_broken_and_not_full() {
        for is_flag_unknown in [false, true] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let mut pipe = SharedPipe { pipe: File::from(writer), is_flag_unknown };
            assert!((0..1000).any(|_| pipe.write(&[7; 4096]).is_err()));
            drop(reader);
            assert_eq!(pipe.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn what_cannot_be_opened_again_and_is_no_terminal_is_used_as_it_is() {
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(reopen(File::from(OwnedFd::from(socket))), Ok(Reopened::File(_))));
    }
}
