//! Signals as bytes of a socket, one byte for each: two that arrive at once count as two.
//!
//! The kernel itself merges a signal with an earlier one of the same kind that the process has not received yet. That
//! takes a process that does not run at all, such as a stopped one.

use std::ffi::c_int;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::SigId;
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::low_level::{pipe, unregister};

/// Receives signals instead of their default action, until it is dropped. They are then ignored.
#[derive(Debug)]
pub(crate) struct Signals {
    received: UnixStream,
    /// The other end, which the handlers have too. Without any handler, it stays open as well.
    _written: UnixStream,
    handlers: Vec<SigId>,
}

impl Signals {
    /// Receives `signals`.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(crate) fn new(signals: &[c_int]) -> io::Result<Self> {
        let (received, written) = UnixStream::pair()?;
        let mut handlers = Vec::new();
        for signal in signals {
            handlers.push(pipe::register(*signal, written.try_clone()?)?);
        }
        received.set_nonblocking(true)?;
        Ok(Self { received, _written: written, handlers })
    }

    /// The number of signals since the last call. It does not wait for one.
    pub(crate) fn take(&mut self) -> u32 {
        let mut signals = 0;
        let mut bytes = [0; 16];
        loop {
            match self.received.read(&mut bytes) {
                Ok(count @ 1..) => signals += u32::try_from(count).unwrap_or(u32::MAX),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return signals,
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.received.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}

/// While this lives, signals end the process. That is their default action, except for the first process of a
/// container, which ignores signals that it has no handler for.
#[derive(Debug)]
pub(crate) struct EndedBySignals(Vec<SigId>);

impl EndedBySignals {
    /// Makes `signals` end the process with the status that shells report for them.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(crate) fn new(signals: &[c_int]) -> io::Result<Self> {
        let mut handlers = Vec::new();
        if std::process::id() == FIRST_PROCESS {
            let always = Arc::new(AtomicBool::new(true));
            for signal in signals {
                handlers.push(register_conditional_shutdown(*signal, 128 + signal, always.clone())?);
            }
        }
        Ok(Self(handlers))
    }
}

impl Drop for EndedBySignals {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|handler| _ = unregister(handler));
    }
}

const FIRST_PROCESS: u32 = 1;

#[cfg(test)]
mod tests {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn two_identical_signals_at_once_count_as_two() {
        let mut signals = Signals::new(&[SIGUSR1, SIGUSR2]).unwrap();
        assert_eq!(signals.take(), 0);
        for signal in [SIGUSR1, SIGUSR1, SIGUSR2] {
            raise(signal).unwrap();
        }
        assert_eq!(signals.take(), 3);
        for _ in 0..40 {
            raise(SIGUSR1).unwrap();
        }
        assert_eq!(signals.take(), 40);
        assert_eq!(signals.take(), 0);
    }
}
