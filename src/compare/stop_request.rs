//! The signals that end a comparison early.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether SIGINT, SIGTERM or SIGHUP has arrived since [`listen`](Self::listen).
pub(super) struct StopRequest {
    requested: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl StopRequest {
    pub(super) fn listen() -> io::Result<Self> {
        let mut this = Self { requested: Arc::default(), handlers: Vec::new() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            this.handlers.push(signal_hook::flag::register(signal, this.requested.clone())?);
        }
        Ok(this)
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}

impl Drop for StopRequest {
    fn drop(&mut self) {
        for id in self.handlers.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
