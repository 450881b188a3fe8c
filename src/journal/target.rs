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
        JournalTarget::Stdout => {
            let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            adopt(stdout, ack).map(Some)
        }
        JournalTarget::File(path) => {
            let kind = fs::metadata(path).map(|metadata| metadata.file_type());
            let sink = match kind {
                Ok(kind) if kind.is_fifo() || kind.is_char_device() => {
                    JournalSink::File(open_nonblocking(path)?)
                }
                Ok(_) | Err(_) => JournalSink::Regular(RegularFile::open(path.clone(), ack)?),
            };
            Ok(Some(sink))
        }
    }
}

/// The journal that is written to `stdout`, which the process has been given open.
fn adopt(stdout: File, ack: Ack) -> io::Result<JournalSink> {
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn opened(path: &Path) -> JournalSink {
        open(&JournalTarget::File(path.into()), Ack::Written).unwrap().unwrap()
    }

    fn file_of(fd: impl Into<OwnedFd>) -> File {
        File::from(fd.into())
    }

    fn is_nonblocking(sink: &JournalSink) -> bool {
        fcntl_getfl(sink).unwrap().contains(OFlags::NONBLOCK)
    }

    #[test]
    fn a_target_is_shown_as_what_it_is() {
        for (text, shown) in [("-", "standard output"), ("none", "none"), ("a/b", "a/b")] {
            assert_eq!(JournalTarget::from(text).to_string(), shown);
        }
        assert!(open(&JournalTarget::None, Ack::Written).unwrap().is_none());
    }

    #[test]
    fn a_path_is_opened_as_what_it_names_and_never_makes_the_writer_wait() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal");
        for _ in 0..2 {
            let sink = opened(&file);
            assert!(matches!(sink, JournalSink::Regular(_)) && sink.survives());
            #[cfg(feature = "signals")]
            assert!(sink.is_reopened());
        }
        let device = opened(Path::new("/dev/null"));
        assert!(matches!(device, JournalSink::File(_)) && is_nonblocking(&device) && !device.survives());
        #[cfg(feature = "signals")]
        assert!(!device.is_reopened());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_named_pipe_needs_a_reader() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let target = JournalTarget::File(fifo.clone());
        let error = open(&target, Ack::Written).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "it has no reader");
        let _reader = File::options().read(true).write(true).open(&fifo).unwrap();
        assert!(is_nonblocking(&opened(&fifo)));
    }

    #[test]
    fn standard_output_of_each_kind_never_makes_the_writer_wait() {
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let pipe = adopt(file_of(writer), Ack::Written).unwrap();
        assert!(matches!(pipe, JournalSink::File(_)) && is_nonblocking(&pipe));
        let device = adopt(File::options().write(true).open("/dev/null").unwrap(), Ack::Written).unwrap();
        assert!(matches!(device, JournalSink::File(_)) && is_nonblocking(&device));
        let file = adopt(tempfile::tempfile().unwrap(), Ack::Written).unwrap();
        assert!(matches!(file, JournalSink::Regular(_)));

        let (mut peer, socket) = UnixStream::pair().unwrap();
        let mut socket = adopt(file_of(socket), Ack::Written).unwrap();
        assert!(matches!(socket, JournalSink::Socket(_)));
        let mut written = 0;
        let mut write = || socket.write(b"line\n").map(|bytes| written += bytes);
        let error = (0..1_000_000).find_map(|_| write().err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        peer.read_exact(&mut vec![0; written]).unwrap();
    }

    #[test]
    fn only_the_null_device_is_the_null_device() {
        for (path, is_null) in [("/dev/null", true), ("/dev/zero", false), ("/", false)] {
            assert_eq!(is_null_device(&File::open(path).unwrap()), is_null, "{path}");
        }
    }

    #[test]
    fn a_regular_file_is_asked_for_its_place_reopened_and_rid_of_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let [path, renamed] = ["journal", "journal.1"].map(|name| directory.path().join(name));
        let mut sink = opened(&path);
        assert!(sink.is_in_place());
        fs::rename(&path, renamed).unwrap();
        assert!(!sink.is_in_place());
        sink.reopen().unwrap();
        assert!(sink.is_in_place());
        sink.write(b"whole\n[1.").unwrap();
        sink.remove_torn_line(3);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\n");
    }

    #[test]
    fn a_failed_sync_is_an_error() {
        let device = RegularFile::open("/dev/null".into(), Ack::Synced).unwrap();
        assert_eq!(JournalSink::Regular(device).sync().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
