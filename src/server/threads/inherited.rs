//! Waiting for a socket that another process has too. Whether its calls block is a property of the socket, and not of
//! a process, so it is never changed: these sockets are non-blocking in both models, and a thread polls before each
//! call. Nor can such a socket be shut down to wake the thread, since the other process would lose it.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits for a socket until the server stops.
#[derive(Clone)]
pub(super) struct Wait(Arc<UnixStream>);

/// Ends all waits.
pub(super) struct EndOfWaits(UnixStream);

impl EndOfWaits {
    /// Ends all waits, at once and for good, and waits until no thread has a [`Wait`] any more: a connection that a
    /// thread has accepted is then among those that are served.
    pub(super) fn end(self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)?;
        self.0.set_read_timeout(Some(THREADS_END_MAX))?;
        // It is written to by none, so this is the end of the stream.
        (&self.0).read(&mut [0]).map(drop)
    }
}

/// How long a thread may take that still answers a datagram.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

impl Wait {
    pub(super) fn new() -> io::Result<(Self, EndOfWaits)> {
        let (watched, end) = UnixStream::pair()?;
        Ok((Self(Arc::new(watched)), EndOfWaits(end)))
    }

    /// Waits until something can be received from `socket`, for `timeout` at most. It may return early.
    pub(super) fn until_readable(&self, socket: impl AsFd, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut sources = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&*self.0, PollFlags::IN)];
        let _ = poll(&mut sources, timeout.as_ref());
    }
}
