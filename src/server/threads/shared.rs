//! What the threads share: the journal, and the list of connections for draining.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use slab::Slab;
use socket2::SockRef;

use crate::conn::admission::{Admissions, Refusal};
use crate::conn::deadlines::Tick;
use crate::conn::log_throttle::{LogKind, LogThrottle};
use crate::journal::{Format, Journal, Lines, unwritten_at_end};
use crate::limits::Limits;
use crate::server::threads::memory::{Held, Memory};

/// The part of a connection that other threads see.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    phase: AtomicU8,
    held: Held,
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

    fn end_if_idle(&self) {
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
    /// Messages can no longer be recorded.
    JournalFailed(io::Error),
    /// The last connection has ended while draining.
    Drained,
}

/// The open connections.
struct Open {
    connections: Slab<Arc<Connection>>,
    /// Of the connections, those that are refused.
    refusals: usize,
    admissions: Admissions,
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
    memory: Memory,
    open: Mutex<Open>,
    draining: AtomicBool,
    /// The journal is to be opened again.
    should_reopen: AtomicBool,
    log_throttle: Mutex<LogThrottle>,
    events: Sender<MainEvent>,
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
        Self {
            limits,
            has_journal: journal.lines().is_some(),
            journal_format: journal.lines().map_or(Format::Text, |lines| lines.format()),
            journal: Mutex::new(Some(journal)),
            own_threads,
            memory,
            open: Mutex::new(Open { connections: Slab::new(), refusals: 0, admissions }),
            draining: AtomicBool::new(false),
            should_reopen: AtomicBool::new(false),
            log_throttle: Mutex::new(LogThrottle::new()),
            events,
            started: Instant::now(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.open).connections.len()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Ends idle connections, and from now on each connection as soon as it is idle.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for (_, connection) in &lock(&self.open).connections {
            connection.end_if_idle();
        }
    }

    /// The connection holds `bytes` now. If that is too much for all together, those that hold most are closed.
    pub(super) fn hold(&self, connection: &Connection, bytes: usize) {
        // Its thread ends soon.
        if connection.is_evicted() {
            return;
        }
        self.memory.set(&connection.held, bytes);
        if self.memory.to_free() > 0 {
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
        match journal.commit() {
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

/// Keeps a connection in the list of the open ones until it is dropped.
pub(super) struct Admission {
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
    /// The client, or until its header is complete, the proxy.
    pub(super) peer: Cell<SocketAddr>,
    /// Why it is refused, if it is not served.
    pub(super) refusal: Cell<Option<Refusal>>,
    /// It begins with a PROXY header.
    pub(super) behind_proxy: bool,
    /// It counts as a connection of its source.
    is_counted: Cell<bool>,
    index: usize,
}

impl Admission {
    /// Admits a connection, or returns why it is to be refused without a thread.
    pub(super) fn new(
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        behind_proxy: bool,
    ) -> Result<Self, (TcpStream, Refusal)> {
        let mut open = lock(&shared.open);
        let served = open.connections.len() - open.refusals;
        let refusal = if behind_proxy {
            // The limit of its source is that of the peer, who is not known yet.
            open.admissions.server_refusal(served)
        } else {
            open.admissions.refusal(peer, served)
        };
        let is_counted = refusal.is_none() && !behind_proxy;
        match refusal {
            Some(refusal) if open.refusals >= shared.limits.refusals_max => return Err((stream, refusal)),
            Some(_) => open.refusals += 1,
            None if behind_proxy => {}
            None => open.admissions.add(peer),
        }
        let connection = Arc::new(Connection { stream, phase: AtomicU8::new(IDLE), held: Held::default() });
        let index = open.connections.insert(connection.clone());
        drop(open);
        // Either `drain` has seen it in the list, or this sees that the server drains.
        if shared.is_draining() {
            connection.end_if_idle();
        }
        Ok(Self {
            connection,
            shared: shared.clone(),
            peer: Cell::new(peer),
            refusal: Cell::new(refusal),
            behind_proxy,
            is_counted: Cell::new(is_counted),
            index,
        })
    }

    /// Admits or refuses a connection whose PROXY header names `peer`.
    ///
    /// # Errors
    /// Why it is to be refused and closed at once: as many others as may be are refused already.
    pub(super) fn identify(&self, peer: SocketAddr) -> Result<(), Refusal> {
        self.peer.set(peer);
        let mut open = lock(&self.shared.open);
        let refusal = open.admissions.source_refusal(peer);
        match refusal {
            Some(refusal) if open.refusals >= self.shared.limits.refusals_max => return Err(refusal),
            Some(_) => open.refusals += 1,
            None => open.admissions.add(peer),
        }
        self.is_counted.set(refusal.is_none());
        self.refusal.set(refusal);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.memory.set(&self.connection.held, 0);
        let mut open = lock(&self.shared.open);
        open.connections.try_remove(self.index);
        if self.refusal.get().is_some() {
            open.refusals -= 1;
        } else if self.is_counted.get() {
            open.admissions.remove(self.peer.get());
        }
        if open.connections.is_empty() && self.shared.is_draining() {
            // The receiver is gone only when the process is about to be.
            let _ = self.shared.events.send(MainEvent::Drained);
        }
    }
}

/// A thread that panics leaves nothing half-done in what these guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
