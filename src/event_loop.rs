//! The event loop: one thread, one poll, and the turn.
//!
//! A turn is the unit of batching, of fairness, of time and of durability:
//!
//! ```text
//!   poll      wait for events; mark what is ready; read the clock, once
//!   accept    accept connections; let services open them
//!   receive   receive datagrams; let services answer
//!   read      visit connections: read each once, let its service answer   ┐ again, until every ready
//!   commit    write the messages of all of them to the journal            │ connection is visited, or the
//!   send      send the answers, one write per connection                  ┘ limits of the turn are reached
//!   expire    close the connections whose deadline is over
//! ```
//!
//! An [`EventLoop`] owns its [network](crate::net), listeners, connections and [journal](crate::journal). Call
//! [`listen`](EventLoop::listen) or [`bind`](EventLoop::bind) for each endpoint, and then [`run`](EventLoop::run).

// This file owns the parts and calls the steps; each step has a file below `event_loop/`. The rules of a
// connection are in `conn/stream_session.rs`.

mod accept;
#[cfg(feature = "cli")]
mod admin;
mod close;
mod commit;
mod datagrams;
mod drain;
mod endpoints;
mod error;
mod expire;
#[cfg(feature = "handlers")]
pub mod handlers;
#[cfg(debug_assertions)]
mod invariants;
#[cfg(feature = "cli")]
pub(crate) mod measurements;
mod memory;
#[cfg(feature = "cli")]
mod meter;
mod outbox;
mod plan;
#[cfg(feature = "cli")]
mod proxied;
mod read;
mod readiness;
mod run_queue;
mod send;
#[cfg(feature = "sim")]
mod simulated;

use std::fmt;
use std::time::Duration;

use crate::conn::admission::Admissions;
use crate::conn::counters::Counters;
use crate::conn::deadlines::Tick;
use crate::conn::log_throttle::{LogKind, LogThrottle};
use crate::conn::memory::MemoryBudget;
use crate::conn::table::ConnTable;
use crate::conn::token::{CONNECTIONS_MAX, ConnToken};
use crate::journal::Journal;
use crate::limits::Limits;
use crate::net::{Datagram, Event, Net};

use accept::Accepting;
#[cfg(feature = "cli")]
use admin::AdminConns;
use drain::Phase;
pub(crate) use endpoints::ENDPOINTS_MAX;
use endpoints::{DatagramEndpoint, DatagramEndpoints, StreamEndpoint};
pub use error::LoopError;
#[cfg(feature = "handlers")]
use handlers::Handlers;
use memory::Starved;
#[cfg(feature = "cli")]
use meter::Meter;
use outbox::Outbox;
use run_queue::RunQueue;

/// A server: endpoints, their services and their connections, on the network `N`.
pub struct EventLoop<N: Net> {
    net: N,
    limits: Limits,
    journal: Journal,
    listeners: Vec<StreamEndpoint<N>>,
    sockets: DatagramEndpoints<N>,
    accepting: Accepting,
    /// Of these, accepting begins after a pause with this one.
    first_listener: usize,
    admissions: Admissions,
    /// Of the connections, those that are refused.
    refusals: usize,
    table: ConnTable<N::Stream>,
    /// Connections that have something to do without another event: those with an event in this turn, and
    /// those that the last turn left with bytes in the kernel. Each has [`Flags::QUEUED`].
    run_queue: RunQueue,
    /// Connections that wait for the journal. Each has [`Flags::HELD`].
    held: Vec<ConnToken>,
    memory: MemoryBudget,
    /// Connections that wait for memory.
    starved: Starved,
    outbox: Outbox,
    /// The buffer of all reads. What is unconsumed after a visit is copied to the connection's own buffer.
    read_buffer: Box<[u8]>,
    /// Datagrams that lie in `read_buffer`.
    received: Vec<Datagram>,
    /// The number of events of this turn.
    events_polled: usize,
    /// Those that are more than bytes to read.
    other_events: Vec<Event>,
    now: Tick,
    phase: Phase,
    /// While draining: connections that were idle, whose peers have not ended their side yet.
    ended_idle: Vec<ConnToken>,
    /// Turns in a row that put off expiring.
    expiries_deferred: usize,
    counters: Counters,
    log_throttle: LogThrottle,
    #[cfg(feature = "handlers")]
    handlers: Handlers,
    #[cfg(feature = "cli")]
    admin: AdminConns,
    /// `None`: nothing is measured.
    #[cfg(feature = "cli")]
    meter: Option<Box<Meter>>,
    /// Turns until the invariants are checked again.
    #[cfg(debug_assertions)]
    turns_to_check: usize,
}

impl<N: Net> EventLoop<N> {
    /// A server without endpoints and without a journal.
    #[must_use]
    pub fn new(net: N, mut limits: Limits) -> Self {
        limits.refusals_max = limits.refusals_max.clamp(1, REFUSALS_MAX);
        limits.connections_max = limits.connections_max.min(CONNECTIONS_MAX - limits.refusals_max);
        limits.fit_to_plan();
        limits.visits_per_turn_max = limits.visits_per_turn_max.max(1);
        let memory = MemoryBudget::new(limits.memory_bytes_max);
        limits.journal_bytes_max = memory.fit(limits.journal_bytes_max);
        limits.answer_bytes_per_commit_max = memory.fit(limits.answer_bytes_per_commit_max);
        limits.read_bytes_max = memory.fit(limits.read_bytes_max).max(1);
        limits.long_read_bytes_max = memory.fit(limits.long_read_bytes_max).max(limits.read_bytes_max);
        limits.light_read_bytes_max = limits.light_read_bytes_max.clamp(1, limits.read_bytes_max);
        limits.admin_read_bytes_max = limits.admin_read_bytes_max.clamp(1, limits.read_bytes_max);
        let mut server = Self {
            net,
            journal: Journal::none(),
            listeners: Vec::new(),
            sockets: DatagramEndpoints::new(),
            accepting: Accepting::Running,
            first_listener: 0,
            admissions: Admissions::new(&limits),
            refusals: 0,
            table: ConnTable::new(&limits),
            run_queue: RunQueue::default(),
            held: Vec::new(),
            memory,
            starved: Starved::default(),
            outbox: Outbox::default(),
            read_buffer: vec![0; limits.read_bytes_max].into_boxed_slice(),
            received: Vec::new(),
            events_polled: 0,
            other_events: Vec::new(),
            now: Tick::default(),
            phase: Phase::Serving,
            ended_idle: Vec::new(),
            expiries_deferred: 0,
            counters: Counters::default(),
            log_throttle: LogThrottle::new(),
            #[cfg(feature = "handlers")]
            handlers: Handlers::new(),
            #[cfg(feature = "cli")]
            admin: AdminConns::default(),
            #[cfg(feature = "cli")]
            meter: None,
            #[cfg(debug_assertions)]
            turns_to_check: 0,
            limits,
        };
        server.allocate();
        server
    }

    /// Writes messages to `journal` from now on.
    pub fn set_journal(&mut self, journal: Journal) {
        self.journal = journal;
        self.allocate_lines();
    }

    /// Serves until it is asked to stop and what has begun is finished.
    ///
    /// # Errors
    /// See [`LoopError`].
    pub fn run(&mut self) -> Result<(), LoopError> {
        while !self.is_stopped() {
            self.turn()?;
        }
        Ok(())
    }

    /// Runs one turn of the loop, which waits until there is something to do. [`run`](Self::run) does nothing else.
    ///
    /// # Errors
    /// See [`LoopError`].
    pub fn turn(&mut self) -> Result<(), LoopError> {
        self.turn_within(None)
    }

    /// Runs one turn of the loop, which waits for `wait_max` at most: for a program that has a loop of its own.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use loopline::event_loop::EventLoop;
    /// use loopline::limits::Limits;
    /// use loopline::net::kernel::KernelNet;
    /// use loopline::net::sockets::SocketOptions;
    /// use loopline::service::greeting::Greeting;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = KernelNet::new(SocketOptions::default())?;
    /// let mut server = EventLoop::new(net, Limits::default());
    /// server.listen("127.0.0.1:0".parse()?, Box::new(Greeting))?;
    /// let mut pictures = 0;
    /// while pictures < 3 {
    ///     server.turn_within(Some(Duration::from_millis(16)))?; // serves what there is
    ///     pictures += 1; // and this program does its own work
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It returns earlier if something has happened.
    ///
    /// # Errors
    /// See [`LoopError`].
    pub fn turn_within(&mut self, wait_max: Option<Duration>) -> Result<(), LoopError> {
        let timeout = [self.poll_timeout(), wait_max].into_iter().flatten().min();
        // The poll reports everything that has arrived before this moment.
        let polled_at = self.now;
        self.poll(timeout).map_err(LoopError::Poll)?;
        self.now = self.net.now();
        #[cfg(feature = "cli")]
        self.begin_measuring();
        self.journal.set_time(|| self.net.unix_ms());
        self.mark_others_ready();

        self.accept();
        self.receive_datagrams();
        #[cfg(feature = "handlers")]
        self.run_handlers()?;
        self.visit_ready()?;
        self.commit_and_send()?;

        self.expire(polled_at);
        self.keep_within_memory();
        let outcome = self.continue_draining();
        self.net.turn_ended(self.now, self.served(), self.counters.messages);
        #[cfg(feature = "cli")]
        self.measure_turn();
        #[cfg(debug_assertions)]
        self.check_invariants();
        outcome
    }

    /// Whether the server has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The network it runs on.
    pub fn net(&mut self) -> &mut N {
        &mut self.net
    }

    /// How long the next poll may wait: not at all while anything is left to do.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let accepts =
            self.accepting == Accepting::Running && self.listeners.iter().any(|listener| listener.ready);
        #[cfg(feature = "handlers")]
        let accepts = accepts || self.handlers_have_work();
        if !self.run_queue.is_empty() || accepts || self.sockets.iter().any(DatagramEndpoint::receives) {
            return Some(Duration::ZERO);
        }
        let now = self.now;
        // While datagrams wait, no session expires.
        let drained = self.sockets.iter_mut().filter(|socket| !socket.ready);
        let sessions = drained.filter_map(|socket| socket.rules.sessions.wait_ms(now)).min();
        let waits = [
            self.table.wait_ms(now),
            sessions,
            self.accept_wait_ms(),
            self.receive_wait_ms(),
            self.relief_wait_ms(),
            self.table.spare_maps.wait_ms(now),
            self.drain_wait_ms(),
            self.net.supervision_wait_ms(now),
            #[cfg(feature = "handlers")]
            self.timer_wait_ms(),
        ];
        waits.into_iter().flatten().min().map(|ms| Duration::from_millis(ms.into()))
    }

    /// Whether the journal has more unwritten bytes than its limit.
    fn journal_is_behind(&self) -> bool {
        self.journal.unwritten_bytes() > self.limits.journal_bytes_max
    }

    fn warn(&mut self, kind: LogKind, text: &dyn fmt::Display) {
        if let Some(suppressed) = self.log_throttle.admit(kind, self.now) {
            log::warn!("{text}{suppressed}");
        }
    }
}

/// A larger reserve would only take descriptors from connections that are served.
const REFUSALS_MAX: usize = 1024;

impl<N: Net> fmt::Debug for EventLoop<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("connections", &self.table.len())
            .field("phase", &self.phase)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// The cost of an idle connection, by the layout: the entry alone, and nothing on top in the slab, since a
/// value that no state has marks a vacant slot. (With debug assertions, mio's sockets are larger.)
#[cfg(not(debug_assertions))]
const _: () = {
    type Conn = crate::conn::Conn<<crate::net::kernel::KernelNet as crate::net::StreamIo>::Stream>;
    enum SlabEntry {
        #[allow(dead_code, reason = "the layout is what matters; Rust 1.85 has no such warning here")]
        Vacant(usize),
        #[allow(dead_code, reason = "the layout is what matters; Rust 1.85 has no such warning here")]
        Occupied(Conn),
    }
    assert!(size_of::<Conn>() <= 32 && size_of::<SlabEntry>() <= 32);
};
