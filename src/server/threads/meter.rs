//! What the threads count, without a lock, and how long the journal takes.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::clock::unix_seconds;
use super::shared::Shared;
use crate::conn::CloseReason;
use crate::conn::counters::Counters;
use crate::event_loop::measurements::SharedMeasurements;
use crate::journal::{Committed, Journal};
use crate::server::metrics::Metrics;
use crate::service::{Output, Progress, StreamService};

/// The instruments of the threads.
#[derive(Debug)]
pub(super) struct ThreadMeter {
    pub(super) counts: Counts,
    pub(super) measured: SharedMeasurements,
    started: Instant,
}

/// The [`Counters`] of all threads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    pub(super) read_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) datagrams: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
    pub(super) datagrams_limited: AtomicU64,
    pub(super) datagrams_sent: AtomicU64,
    pub(super) datagrams_unsent: AtomicU64,
    pub(super) accepts_failed: AtomicU64,
    /// Sessions that were opened, and those that were closed.
    pub(super) sessions: [AtomicU64; 2],
}

impl Counts {
    pub(super) fn closed(&self, reason: CloseReason) -> &AtomicU64 {
        &self.closed[reason as usize]
    }

    fn counters(&self) -> Counters {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            opened: load(&self.opened),
            closed: self.closed.each_ref().map(load),
            read_bytes: load(&self.read_bytes),
            sent_bytes: load(&self.sent_bytes),
            messages: load(&self.messages),
            datagrams: load(&self.datagrams),
            datagrams_dropped: load(&self.datagrams_dropped),
            datagrams_limited: load(&self.datagrams_limited),
            datagrams_sent: load(&self.datagrams_sent),
            datagrams_unsent: load(&self.datagrams_unsent),
            accepts_failed: load(&self.accepts_failed),
        }
    }
}

impl ThreadMeter {
    pub(super) fn new(memory_budget: usize) -> Self {
        let measured = SharedMeasurements::new(memory_budget, 0, unix_seconds());
        Self { counts: Counts::default(), measured, started: Instant::now() }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Commits the journal, and records how long that took.
    pub(super) fn commit(&self, journal: &mut Journal) -> io::Result<Committed> {
        let (unwritten_bytes, began_ns) = (journal.unwritten_bytes(), self.now_ns());
        let mut synced_from_ns = None;
        let committed = journal.commit_observed(&mut || synced_from_ns = Some(self.now_ns()));
        if unwritten_bytes > 0 {
            let bytes = unwritten_bytes - journal.unwritten_bytes();
            self.measured.lock().record_commit(bytes, began_ns, synced_from_ns, self.now_ns());
        }
        committed
    }

    /// Shows the present state of `shared`, and keeps the samples that are due.
    pub(super) fn publish(&self, shared: &Shared) {
        let connections_open = shared.connections_served();
        let mut measured = self.measured.lock();
        measured.counters = self.counts.counters();
        measured.connections_open = connections_open;
        let [opened, closed] = self.counts.sessions.each_ref().map(|count| count.load(Ordering::Relaxed));
        measured.datagram_sessions = usize::try_from(opened.saturating_sub(closed)).unwrap_or(0);
        measured.memory_used = shared.memory.used();
        measured.keep_samples(self.now_ns(), unix_seconds);
    }
}

impl Shared {
    /// Measures with `meter` from now on.
    pub(super) fn measure(&mut self, meter: ThreadMeter) {
        self.own_threads += 1 + self.limits.admin_connections_max;
        self.meter = Some(meter);
    }

    pub(super) fn is_measured(&self) -> bool {
        self.meter.is_some()
    }

    pub(super) fn measured(&self) -> Option<SharedMeasurements> {
        self.meter.as_ref().map(|meter| meter.measured.clone())
    }

    /// Adds `number` to a count.
    pub(super) fn count(&self, count: fn(&Counts) -> &AtomicU64, number: u64) {
        if let Some(meter) = &self.meter {
            count(&meter.counts).fetch_add(number, Ordering::Relaxed);
        }
    }

    pub(super) fn count_closed(&self, reason: CloseReason) {
        if let Some(meter) = &self.meter {
            meter.counts.closed(reason).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows what is measured.
    pub(super) fn publish(&self) {
        if let Some(meter) = &self.meter {
            meter.publish(self);
        }
    }

    /// The main counters in a line. Without a meter, nothing is counted but the open connections.
    pub(super) fn summary(&self) -> String {
        let open = self.connections_served();
        match &self.meter {
            Some(meter) => meter.counts.counters().summary(open),
            None => format!("{open} connections open (all others need --metrics)"),
        }
    }

    /// A stop was requested.
    pub(super) fn show_stopping(&self) {
        if let Some(meter) = &self.meter {
            meter.measured.lock().is_stopping = true;
        }
    }
}

/// The admin endpoint of the threads.
pub(super) struct ThreadMetrics {
    pub(super) metrics: Metrics,
    pub(super) shared: Arc<Shared>,
}

impl StreamService for ThreadMetrics {
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress {
        self.shared.publish();
        self.metrics.received(unread, ended, out)
    }
}
