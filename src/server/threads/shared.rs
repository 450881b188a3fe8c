//! What the threads share: the journal, and the list of connections for draining.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::collections::BinaryHeap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use slab::Slab;
use socket2::SockRef;

use crate::conn::admission::Admissions;
use crate::conn::deadlines::Tick;
use crate::conn::log_throttle::{LogKind, LogThrottle};
use crate::conn::spare_maps::SpareMaps;
use crate::conn::unread::Unread;
use crate::journal::{Format, Journal, Lines, unwritten_at_end};
use crate::limits::Limits;
use crate::server::threads::memory::{Held, Memory};
use crate::server::threads::meter::ThreadMeter;

/// The part of a connection that other threads see.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    phase: AtomicU8,
    pub(super) held: Held,
    pub(super) accepted_at: Instant,
}

/// Between two frames: draining may end it.
const IDLE: u8 = 0;
/// Bytes have arrived that are not answered yet: that is finished first.
const BUSY: u8 = 1;
/// Draining has ended it: its thread reads the end of the stream.
const ENDED: u8 = 2;
/// It held most when memory was short: its thread reads the end of the stream, and cannot write.
const EVICTED: u8 = 3;

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, phase: AtomicU8::new(IDLE), held: Held::default(), accepted_at: Instant::now() }
    }

    /// Bytes have arrived. A connection that draining has ended meanwhile stays ended.
    pub(super) fn mark_busy(&self) {
        let _ = self.phase.compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Everything that has arrived is answered.
    pub(super) fn mark_idle(&self) {
        let _ = self.phase.compare_exchange(BUSY, IDLE, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether draining has ended it.
    pub(super) fn is_ended(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == ENDED
    }

    /// Whether it was closed because it held most when memory was short.
    pub(super) fn is_evicted(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == EVICTED
    }

    fn evict(&self) {
        self.phase.store(EVICTED, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(super) fn end_if_idle(&self) {
        // Its thread will read what has arrived, and end the connection after that.
        if self.has_bytes_waiting() {
            return;
        }
        if self.phase.compare_exchange(IDLE, ENDED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            // Wakes the thread that waits in read.
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }

    /// Whether bytes have arrived that its thread has not read yet.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = SockRef::from(&self.stream).recv_with_flags(&mut [MaybeUninit::uninit()], flags);
        peeked.is_ok_and(|bytes| bytes > 0)
    }
}

/// What the main thread waits for.
pub(super) enum MainEvent {
    /// SIGINT or SIGTERM.
    Signal,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    Summary,
    /// Messages can no longer be recorded.
    JournalFailed(io::Error),
    /// The last connection has ended while draining.
    Drained,
}

/// The open connections.
pub(super) struct Open {
    pub(super) connections: Slab<Arc<Connection>>,
    /// Of the connections, those that are refused.
    pub(super) refusals: usize,
    /// And those of the admin endpoint.
    pub(super) admins: usize,
    pub(super) admissions: Admissions,
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    /// Whether messages are written to a journal.
    pub(super) has_journal: bool,
    journal_format: Format,
    /// `None` once it has failed: the result of a second try cannot be trusted.
    journal: Mutex<Option<Journal>>,
    /// Threads that serve no connection.
    pub(super) own_threads: usize,
    pub(super) memory: Memory,
    /// The memory of long frames that are complete, and the bytes of it.
    spare_maps: Mutex<(SpareMaps, Held)>,
    /// `None`: nothing is measured.
    pub(super) meter: Option<ThreadMeter>,
    pub(super) open: Mutex<Open>,
    draining: AtomicBool,
    /// Draining, and the linger timeout is over.
    finishing: AtomicBool,
    /// The journal is to be opened again.
    should_reopen: AtomicBool,
    log_throttle: Mutex<LogThrottle>,
    pub(super) events: Sender<MainEvent>,
    started: Instant,
}

impl Shared {
    pub(super) fn new(
        limits: Limits,
        mut journal: Journal,
        own_threads: usize,
        events: Sender<MainEvent>,
    ) -> Self {
        let admissions = Admissions::new(&limits);
        let memory = Memory::new(limits.memory_bytes_max);
        let spare_bytes_max = SPARE_BYTES_MAX.min(memory.spare_bytes_max());
        Self {
            limits,
            has_journal: journal.lines().is_some(),
            journal_format: journal.lines().map_or(Format::Text, |lines| lines.format()),
            journal: Mutex::new(Some(journal)),
            own_threads,
            memory,
            spare_maps: Mutex::new((SpareMaps::new(spare_bytes_max), Held::default())),
            meter: None,
            open: Mutex::new(Open { connections: Slab::new(), refusals: 0, admins: 0, admissions }),
            draining: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
            should_reopen: AtomicBool::new(false),
            log_throttle: Mutex::new(LogThrottle::new()),
            events,
            started: Instant::now(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.open).connections.len()
    }

    /// Open connections, but for those of the admin endpoint.
    pub(super) fn connections_served(&self) -> usize {
        let open = lock(&self.open);
        open.connections.len() - open.admins
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Ends idle connections, but for new ones, and from now on each connection as soon as it is answered.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for (_, connection) in &lock(&self.open).connections {
            // The first frame of a new one may be on its way.
            if connection.accepted_at.elapsed() >= self.limits.drain_linger_timeout {
                connection.end_if_idle();
            }
        }
    }

    /// The linger timeout is over: ends all idle connections.
    pub(super) fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
        for (_, connection) in &lock(&self.open).connections {
            connection.end_if_idle();
        }
    }

    /// Whether the linger timeout is over.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    /// The connections that are not ended.
    pub(super) fn unfinished(&self) -> usize {
        lock(&self.open).connections.iter().filter(|(_, connection)| !connection.is_ended()).count()
    }

    /// The connection holds `bytes` now. If that is too much for all together, those that hold most are closed.
    pub(super) fn hold(&self, connection: &Connection, bytes: usize) {
        // Its thread ends soon.
        if connection.is_evicted() {
            return;
        }
        self.memory.set(&connection.held, bytes);
        if self.memory.to_free() > 0 {
            self.with_spare_maps(SpareMaps::clear);
            self.evict_worst();
        }
    }

    /// Closes the connections that hold most, until enough is freed.
    fn evict_worst(&self) {
        let open = lock(&self.open);
        // Many threads can find the budget exceeded at once: the first of them has freed enough for all.
        let to_free = self.memory.to_free();
        if to_free == 0 {
            return;
        }
        let held = open.connections.iter().map(|(key, connection)| (connection.held.bytes(), key));
        let mut holders: BinaryHeap<(usize, usize)> = held.filter(|(bytes, _)| *bytes > 0).collect();
        let mut freed = 0;
        while freed < to_free {
            let Some((bytes, key)) = holders.pop() else { break };
            let connection = &open.connections[key];
            connection.evict();
            self.memory.set(&connection.held, 0);
            freed += bytes;
        }
    }

    /// Leaves memory to other threads that the frame does not need.
    pub(super) fn release_memory(&self, unread: &mut Unread, is_other: bool) {
        let now = Tick::after(self.started.elapsed());
        self.with_spare_maps(|maps| {
            unread.release_memory(is_other, maps, now);
            maps.expire(now);
        });
    }

    /// Changes what is kept for the frames that follow, which counts for the budget.
    pub(super) fn with_spare_maps<T>(&self, change: impl FnOnce(&mut SpareMaps) -> T) -> T {
        let (maps, held) = &mut *lock(&self.spare_maps);
        let result = change(maps);
        self.memory.set(held, maps.bytes());
        result
    }

    /// No lines yet, for a thread to add to.
    pub(super) fn new_lines(&self) -> Lines {
        Lines::new(self.journal_format)
    }

    /// Writes `lines` to the journal and clears them. Returns false once the journal has failed: then nothing may
    /// be acknowledged any more.
    pub(super) fn commit(&self, lines: &mut Lines) -> bool {
        if lines.as_bytes().is_empty() {
            return true;
        }
        let mut shared_journal = lock(&self.journal);
        let Some(journal) = shared_journal.as_mut() else { return false };
        let Some(unwritten) = journal.lines() else {
            lines.bytes_mut().clear();
            return true;
        };
        unwritten.append(lines);
        let is_written = self.write(&mut shared_journal);
        drop(shared_journal);
        self.reopen_if_free();
        is_written
    }

    /// Writes what the journal holds. `None` in place of a journal is one that has failed.
    fn write(&self, shared_journal: &mut Option<Journal>) -> bool {
        let should_reopen = self.should_reopen.swap(false, Ordering::SeqCst);
        let Some(journal) = shared_journal else { return false };
        if should_reopen {
            journal.reopen();
        }
        let committed = match &self.meter {
            Some(meter) => meter.commit(journal),
            None => journal.commit(),
        };
        match committed {
            Ok(_) => {
                journal.check_place(Tick::after(self.started.elapsed()));
                true
            }
            Err(error) => {
                *shared_journal = None;
                let _ = self.events.send(MainEvent::JournalFailed(error));
                false
            }
        }
    }

    /// Opens the journal again: at once, or if a thread is writing to it, after that write.
    pub(super) fn reopen_journal(&self) {
        self.should_reopen.store(true, Ordering::SeqCst);
        self.reopen_if_free();
    }

    /// Opens the journal again, if it should be. A thread that is writing to it does this when it has written.
    fn reopen_if_free(&self) {
        while self.should_reopen.load(Ordering::SeqCst) {
            let Ok(mut journal) = self.journal.try_lock() else { return };
            self.write(&mut journal);
        }
    }

    /// Returns an error if a thread still waits to write to the journal.
    pub(super) fn check_journal_is_idle(&self) -> io::Result<()> {
        match self.journal.try_lock() {
            Err(TryLockError::WouldBlock) => Err(unwritten_at_end()),
            Ok(_) | Err(TryLockError::Poisoned(_)) => Ok(()),
        }
    }

    pub(super) fn warn(&self, kind: LogKind, text: std::fmt::Arguments<'_>) {
        let now = Tick::after(self.started.elapsed());
        if let Some(suppressed) = lock(&self.log_throttle).admit(kind, now) {
            log::warn!("{text}{suppressed}");
        }
    }
}

/// The most that is kept for the frames that follow: no timer frees it, only the end of the next long frame.
const SPARE_BYTES_MAX: usize = 16 << 20;

/// A thread that panics leaves nothing half-done in what these guard.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
