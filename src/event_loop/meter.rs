//! What the loop measures of itself, for those who operate the server: times of turns and of the journal, and each turn
//! a copy of the counters.
//!
//! Without a meter, this costs a comparison each turn and each commit.

mod histogram;
mod samples;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::conn::counters::Counters;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::Phase;
use crate::journal::{Committed, Journal};
use crate::net::Net;

pub(crate) use histogram::Histogram;
pub(crate) use samples::{Sample, Samples};

/// What is known of a server, for any model.
#[derive(Debug)]
pub(crate) struct Measurements {
    pub(crate) counters: Counters,
    pub(crate) connections_open: usize,
    pub(crate) datagram_sessions: usize,
    pub(crate) memory_used: usize,
    pub(crate) memory_budget: usize,
    /// A stop was requested.
    pub(crate) is_stopping: bool,
    /// From the return of a poll to the end of its turn.
    pub(crate) turn_ns: Histogram,
    pub(crate) turn_events: Histogram,
    pub(crate) journal_bytes: u64,
    /// Writing the lines of a commit.
    pub(crate) journal_commit_ns: Histogram,
    /// Syncing them.
    pub(crate) journal_sync_ns: Histogram,
    pub(crate) samples: Samples,
}

/// Measurements that are shared between a server and what shows them.
#[derive(Debug, Clone)]
pub(crate) struct SharedMeasurements(Arc<Mutex<Measurements>>);

impl SharedMeasurements {
    /// Nothing is measured yet.
    pub(crate) fn new(now_ns: u64, unix_seconds: i64) -> Self {
        let times = || Histogram::new(histogram::TIME_BOUNDS);
        Self(Arc::new(Mutex::new(Measurements {
            counters: Counters::default(),
            connections_open: 0,
            datagram_sessions: 0,
            memory_used: 0,
            memory_budget: 0,
            is_stopping: false,
            turn_ns: times(),
            turn_events: Histogram::new(histogram::EVENT_BOUNDS),
            journal_bytes: 0,
            journal_commit_ns: times(),
            journal_sync_ns: times(),
            samples: Samples::new(now_ns, unix_seconds),
        })))
    }

    /// A thread that panics leaves nothing half-done in them.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Measurements> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measurements {
    /// Keeps the samples that are due. `unix_seconds` is called for them alone.
    pub(crate) fn keep_samples(&mut self, now_ns: u64, unix_seconds: impl FnOnce() -> i64) {
        if self.samples.is_due(now_ns) {
            let state = Sample::of(self);
            self.samples.take(state, now_ns, unix_seconds());
        }
    }

    /// Counts a commit that has written `bytes` and has begun, ended its writes and ended at these moments.
    pub(crate) fn record_commit(
        &mut self,
        bytes: usize,
        began_ns: u64,
        synced_from_ns: Option<u64>,
        ended_ns: u64,
    ) {
        self.journal_bytes += bytes as u64;
        self.journal_commit_ns.record(synced_from_ns.unwrap_or(ended_ns) - began_ns);
        if let Some(from_ns) = synced_from_ns {
            self.journal_sync_ns.record(ended_ns - from_ns);
        }
    }
}

/// The instruments of a loop.
#[derive(Debug)]
pub(super) struct Meter {
    shared: SharedMeasurements,
    /// When the poll of this turn has returned.
    began_ns: u64,
}

impl Meter {
    /// Commits the journal, and records how long that took.
    pub(super) fn commit(&self, net: &mut impl Net, journal: &mut Journal) -> io::Result<Committed> {
        let unwritten_bytes = journal.unwritten_bytes();
        if unwritten_bytes == 0 {
            return journal.commit();
        }
        let began_ns = net.monotonic_ns();
        let mut synced_from_ns = None;
        let committed = journal.commit_observed(&mut || synced_from_ns = Some(net.monotonic_ns()));
        let bytes = unwritten_bytes - journal.unwritten_bytes();
        self.shared.lock().record_commit(bytes, began_ns, synced_from_ns, net.monotonic_ns());
        committed
    }
}

impl<N: Net> EventLoop<N> {
    /// Measures from now on, into what is returned.
    pub(crate) fn measure(&mut self) -> SharedMeasurements {
        let shared = SharedMeasurements::new(self.net.monotonic_ns(), self.net.unix_seconds());
        self.meter = Some(Box::new(Meter { shared: shared.clone(), began_ns: 0 }));
        shared
    }

    /// A poll has returned.
    pub(super) fn begin_measuring(&mut self) {
        if let Some(meter) = &mut self.meter {
            let net = &mut self.net;
            meter.began_ns = net.monotonic_ns();
            meter.shared.lock().keep_samples(meter.began_ns, || net.unix_seconds());
        }
    }

    /// The turn is over.
    pub(super) fn measure_turn(&mut self) {
        if self.meter.is_some() {
            self.publish();
        }
    }

    #[inline(never)]
    fn publish(&mut self) {
        let Some(meter) = &self.meter else { return };
        let turn_ns = self.net.monotonic_ns().saturating_sub(meter.began_ns);
        let mut measured = meter.shared.lock();
        measured.turn_ns.record(turn_ns);
        measured.turn_events.record(self.events.len() as u64);
        measured.samples.record_turn(turn_ns);
        measured.counters.clone_from(&self.counters);
        measured.connections_open = self.table.len() - self.admin.len();
        measured.datagram_sessions = self.sockets.iter().map(|socket| socket.rules.sessions.len()).sum();
        measured.memory_used = self.memory_used();
        measured.memory_budget = self.limits.memory_bytes_max;
        measured.is_stopping = self.phase != Phase::Serving;
    }

    /// A stop was requested: what is served in this turn shows it.
    pub(super) fn show_stopping(&self) {
        if let Some(meter) = &self.meter {
            meter.shared.lock().is_stopping = true;
        }
    }
}
