//! Requests of signals and of other threads: to stop, to open the journal again, to log the counters.

use std::io;
#[cfg(feature = "signals")]
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mio::Waker;
#[cfg(feature = "signals")]
use mio::{Interest, unix::SourceFd};

use super::KernelNet;
use crate::net::StopRequests;
#[cfg(feature = "signals")]
use crate::net::{Token, signals::Signals};

/// Stops a running server from another thread: the first request drains, the second stops at once.
#[derive(Debug, Clone)]
pub struct Stopper {
    waker: Arc<Waker>,
    stop_requests: Arc<AtomicU32>,
}

impl Stopper {
    /// Requests a stop.
    ///
    /// # Errors
    /// The poller cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.stop_requests.fetch_add(1, Ordering::SeqCst);
        self.waker.wake()
    }
}

impl KernelNet {
    /// A handle that stops the loop from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { waker: self.waker.clone(), stop_requests: self.stop_requests.clone() }
    }

    /// Turns SIGINT and SIGTERM into requests to stop.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    #[cfg(feature = "signals")]
    pub fn take_signals(&mut self) -> io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        self.signals = Some(self.watch_signals(&[SIGINT, SIGTERM])?);
        Ok(())
    }

    /// Turns SIGHUP into requests to open the journal again.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    #[cfg(feature = "signals")]
    pub fn take_hangups(&mut self) -> io::Result<()> {
        self.hangups = Some(self.watch_signals(&[signal_hook::consts::SIGHUP])?);
        Ok(())
    }

    /// Turns SIGUSR1 into requests to log the counters.
    #[cfg(feature = "cli")]
    pub(crate) fn take_summary_requests(&mut self) -> io::Result<()> {
        self.summary_requests = Some(self.watch_signals(&[signal_hook::consts::SIGUSR1])?);
        Ok(())
    }

    #[cfg(feature = "signals")]
    fn watch_signals(&self, signals: &[i32]) -> io::Result<Signals> {
        let signals = Signals::new(signals)?;
        let token = mio::Token(Token::STOP.0);
        let descriptor = signals.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        Ok(signals)
    }
}

impl StopRequests for KernelNet {
    fn stop_requests(&mut self) -> u32 {
        let asked = self.stop_requests.swap(0, Ordering::SeqCst);
        #[cfg(feature = "signals")]
        if let Some(signals) = &mut self.signals {
            let hangups = self.hangups.as_mut().map_or(0, Signals::take);
            self.was_reopen_requested |= hangups > 0;
            return asked + signals.take();
        }
        asked
    }

    #[cfg(feature = "signals")]
    fn was_reopen_requested(&mut self) -> bool {
        std::mem::take(&mut self.was_reopen_requested)
    }

    #[cfg(feature = "cli")]
    fn was_summary_requested(&mut self) -> bool {
        self.summary_requests.as_mut().is_some_and(|signals| signals.take() > 0)
    }
}
