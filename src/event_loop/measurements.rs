//! What a server measures of itself, for those who operate it.

mod histogram;
mod samples;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::conn::counters::Counters;

pub(crate) use histogram::Histogram;
pub(crate) use samples::{Sample, Samples};

/// What is known of a server, for any model.
#[derive(Debug)]
pub(crate) struct Measurements {
    /// When the server was started, in seconds since the epoch.
    pub(crate) started: i64,
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
    /// Nothing is measured yet of a server that has `memory_budget`.
    pub(crate) fn new(memory_budget: usize, now_ns: u64, unix_seconds: i64) -> Self {
        let times = || Histogram::new(histogram::TIME_BOUNDS);
        Self(Arc::new(Mutex::new(Measurements {
            started: unix_seconds,
            counters: Counters::default(),
            connections_open: 0,
            datagram_sessions: 0,
            memory_used: 0,
            memory_budget,
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
            let state = self.sample();
            self.samples.take(state, now_ns, unix_seconds());
        }
    }

    /// The present state.
    fn sample(&self) -> Sample {
        let counters = &self.counters;
        Sample {
            open: self.connections_open as u64,
            accepted: counters.opened,
            refused: counters.refused(),
            closed: counters.closed.iter().sum::<u64>() - counters.refused(),
            messages: counters.messages,
            received_bytes: counters.read_bytes,
            datagrams: counters.datagrams,
            datagrams_dropped: counters.datagrams_dropped
                + counters.datagrams_limited
                + counters.datagrams_unsent,
            memory_used: self.memory_used as u64,
            memory_budget: self.memory_budget as u64,
            turns: self.turn_ns.count(),
            ..Sample::default()
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
