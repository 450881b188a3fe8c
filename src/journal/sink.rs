//! What a journal needs of the place that it is written to.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;

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
            Err(error) if is_unsupported(&error) && !is_stored(self)? => Ok(()),
            other => other,
        }
    }
}

/// Whether a sync that fails like this may be one of a file that has none, as `fsync(2)` says.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::ReadOnlyFilesystem)
}

/// Whether what is written to `file` is stored. A pipe or a terminal has nothing that could be lost.
fn is_stored(file: &File) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(!(kind.is_fifo() || kind.is_char_device() || kind.is_socket()))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn what_cannot_be_synced_and_stores_nothing_is_synced() {
        let mut null = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(null.sync_data().unwrap_err().kind(), ErrorKind::InvalidInput);
        Sink::sync(&mut null).unwrap();
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        Sink::sync(&mut File::from(writer)).unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        Sink::sync(&mut File::from(OwnedFd::from(socket))).unwrap();
    }

    #[test]
    fn what_is_written_to_a_pipe_is_read_from_it() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut sink = File::from(writer);
        assert_eq!(Sink::write(&mut sink, b"line").unwrap(), 4);
        assert!(sink.is_in_place());
        drop(sink);
        assert_eq!(io::read_to_string(File::from(reader)).unwrap(), "line");
    }

    #[test]
    fn only_the_errors_of_files_without_a_sync_are_excused() {
        let errors = [libc::EINVAL, libc::EROFS, libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EBADF];
        let excused = errors.map(|error| is_unsupported(&io::Error::from_raw_os_error(error)));
        assert_eq!(excused, [true, true, false, false, false, false]);
        assert!(
            is_stored(&tempfile::tempfile().unwrap()).unwrap(),
            "a regular file is synced, or has failed"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_error_of_sync_is_returned() {
        use std::os::unix::fs::OpenOptionsExt;

        // The kernel syncs no file that is open as a path only.
        let mut sink = File::options().read(true).custom_flags(libc::O_PATH).open("/dev/null").unwrap();
        assert_eq!(sink.sync().unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
