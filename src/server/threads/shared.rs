//! What the threads share: the record, and the list of connections that draining goes through.

#![expect(clippy::disallowed_methods, reason = "blocking threads tell the time for themselves")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use slab::Slab;
use socket2::SockRef;

use super::Happening;
use crate::conn::CloseReason;
use crate::conn::counters::{Notice, Notices};
use crate::conn::deadlines::Tick;
use crate::journal::{Journal, unwritten_at_the_end};
use crate::limits::Limits;

/// A connection as others than its own thread see it.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    phase: AtomicU8,
}

/// Between two frames: draining may end it.
const IDLE: u8 = 0;
/// Something has come that is not answered yet: it is finished first.
const BUSY: u8 = 1;
/// Draining has ended it: what its thread reads now is the end of the stream.
const ENDED: u8 = 2;

impl Connection {
    /// Bytes have come. What draining has ended meanwhile stays ended.
    pub(super) fn begin(&self) {
        let _ = self.phase.compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// All that has come is answered.
    pub(super) fn finish(&self) {
        let _ = self.phase.compare_exchange(BUSY, IDLE, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn end_if_idle(&self) {
        // Its thread has not read yet what has come. It will, and end the connection after that.
        if self.has_bytes_waiting() {
            return;
        }
        if self.phase.compare_exchange(IDLE, ENDED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            // Wakes the thread that waits in read.
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }

    /// Whether bytes have come that its thread has not read yet.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = SockRef::from(&self.stream).recv_with_flags(&mut [MaybeUninit::uninit()], flags);
        peeked.is_ok_and(|bytes| bytes > 0)
    }
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    /// Whether anything is recorded at all.
    pub(super) records: bool,
    /// `None` once it has failed: what a second try would say is not to be trusted.
    journal: Mutex<Option<Journal>>,
    connections: Mutex<Slab<Arc<Connection>>>,
    open: AtomicUsize,
    /// Of the open ones, those that are only being told that the server is full.
    refusals: AtomicUsize,
    draining: AtomicBool,
    notices: Mutex<Notices>,
    happened: Sender<Happening>,
    started: Instant,
}

impl Shared {
    pub(super) fn new(limits: Limits, mut journal: Journal, happened: Sender<Happening>) -> Self {
        Self {
            limits,
            records: journal.lines().is_some(),
            journal: Mutex::new(Some(journal)),
            connections: Mutex::default(),
            open: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            notices: Mutex::new(Notices::new()),
            happened,
            started: Instant::now(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// From now on a connection ends when it is idle; those that are, now.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for (_, connection) in lock(&self.connections).iter() {
            connection.end_if_idle();
        }
    }

    /// Writes `lines` to the record and empties them; false when nothing can be recorded any more, and so
    /// nothing may be acknowledged.
    pub(super) fn record(&self, lines: &mut Vec<u8>) -> bool {
        if lines.is_empty() {
            return true;
        }
        let mut kept = lock(&self.journal);
        let Some(journal) = kept.as_mut() else { return false };
        let Some(unwritten) = journal.lines() else {
            lines.clear();
            return true;
        };
        unwritten.append(lines);
        match journal.commit() {
            Ok(_) => true,
            Err(error) => {
                *kept = None;
                let _ = self.happened.send(Happening::JournalFailed(error));
                false
            }
        }
    }

    /// An error if somebody still waits to write to the record.
    pub(super) fn record_is_free(&self) -> io::Result<()> {
        match self.journal.try_lock() {
            Err(TryLockError::WouldBlock) => Err(unwritten_at_the_end()),
            Ok(_) | Err(TryLockError::Poisoned(_)) => Ok(()),
        }
    }

    pub(super) fn warn(&self, reason: CloseReason, text: std::fmt::Arguments<'_>) {
        let now = Tick::after(self.started.elapsed());
        if let Some(unsaid) = lock(&self.notices).admit(Notice::Closed(reason), now) {
            log::warn!("{text}{unsaid}");
        }
    }
}

/// A connection's place among the open ones, which it has until this is dropped.
pub(super) struct Admitted {
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
    /// It is not served, only told that the server is full.
    pub(super) is_full: bool,
    place: usize,
}

impl Admitted {
    pub(super) fn to(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let connection = Arc::new(Connection { stream, peer, phase: AtomicU8::new(IDLE) });
        let refusals = shared.refusals.load(Ordering::SeqCst);
        let served = shared.open.fetch_add(1, Ordering::SeqCst) - refusals;
        let is_full = served >= shared.limits.connections_max;
        shared.refusals.fetch_add(usize::from(is_full), Ordering::SeqCst);
        let place = lock(&shared.connections).insert(connection.clone());
        // Too late to be seen by `drain`, or in time: one of the two ends it.
        if shared.is_draining() {
            connection.end_if_idle();
        }
        Self { connection, shared: shared.clone(), is_full, place }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Self { shared, .. } = self;
        lock(&shared.connections).try_remove(self.place);
        // In this order, for `to` must not find fewer open than refused.
        shared.refusals.fetch_sub(usize::from(self.is_full), Ordering::SeqCst);
        if shared.open.fetch_sub(1, Ordering::SeqCst) == 1 && shared.is_draining() {
            // The receiver is gone only when the process is about to be.
            let _ = shared.happened.send(Happening::Drained);
        }
    }
}

/// A thread that panicked has left nothing half-done in what these guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::journal::{Ack, Sink};

    /// A disk that fails to sync once and then claims that all is well.
    struct Forgetful {
        syncs: usize,
    }

    impl Sink for Forgetful {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.syncs += 1;
            if self.syncs == 1 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_record_that_has_failed_is_not_tried_again() {
        let (happened, happenings) = mpsc::channel();
        let journal = Journal::to(Box::new(Forgetful { syncs: 0 }), Ack::Synced);
        let shared = Shared::new(Limits::default(), journal, happened);
        assert!(!shared.record(&mut b"lost\n".to_vec()));
        assert!(!shared.record(&mut b"after it\n".to_vec()));
        assert!(matches!(happenings.try_recv(), Ok(Happening::JournalFailed(_))));
        assert!(happenings.try_recv().is_err(), "it is told once");
    }
}
