//! Reports to a service manager, if it has asked for them.

use super::KernelNet;
use crate::net::Supervision;
#[cfg(feature = "cli")]
use crate::net::notify::Notifier;
#[cfg(feature = "cli")]
use crate::net::{Clock, Tick};

#[cfg(feature = "cli")]
impl KernelNet {
    /// Reports to a service manager from now on, first that the server is ready.
    pub(crate) fn report_ready(&mut self, mut notifier: Notifier) {
        notifier.ready(self.now());
        self.notifier = Some(Box::new(notifier));
    }
}

impl Supervision for KernelNet {
    #[cfg(feature = "cli")]
    fn supervision_wait_ms(&self, now: Tick) -> Option<u32> {
        self.notifier.as_ref()?.wait_ms(now)
    }

    #[cfg(feature = "cli")]
    fn turn_ended(&mut self, now: Tick, connections: usize, messages: u64) {
        if let Some(notifier) = &mut self.notifier {
            notifier.alive(now, connections, Some(messages));
        }
    }

    #[cfg(feature = "cli")]
    fn stop_began(&mut self) {
        if let Some(notifier) = &self.notifier {
            notifier.stopping();
        }
    }

    #[cfg(feature = "cli")]
    fn journal_reopened(&mut self) {
        if let Some(notifier) = &self.notifier {
            notifier.reloaded();
        }
    }
}
