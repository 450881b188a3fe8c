//! Waiting for a socket that another process has too. Whether its calls block is a property of the socket, and not of
//! a process, so it is never changed: these sockets are non-blocking in both models, and a thread polls before each
//! call. Nor can such a socket be shut down to wake the thread, since the other process would lose it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits for a socket until the server stops.
#[derive(Clone)]
pub(super) struct Wait(Arc<UnixStream>);

/// Dropping it ends all waits, at once and for good.
pub(super) struct EndOfWaits(#[expect(dead_code, reason = "its end is what matters")] UnixStream);

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
