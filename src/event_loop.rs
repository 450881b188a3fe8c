//! The event loop: one thread, one poll, and the turn.
//!
//! A turn is the unit of batching, of fairness, of time and of durability:
//!
//! ```text
//!   poll      wait for the kernel; note what became ready; read the clock, once
//!   gather    accept, receive, and visit connections: read each once, let its service answer   ┐ again, until
//!   commit    record the messages of all of them with one write                                │ nothing that was
//!   scatter   send the answers, one write a connection                                         ┘ ready is left
//!   expire    close what is over its deadline
//! ```
//!
//! This file owns everything and is the only one that acts on it; what is done in each step stands in a
//! file of its own below `event_loop/`. What a connection is, is written in `conn.rs`, and what answers it
//! in `service/`.

mod accept;
mod commit;
mod datagrams;
mod ending;
mod outbox;
mod read;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::conn::counters::{Counters, Notice, Notices};
use crate::conn::sessions::Sessions;
use crate::conn::table::ConnTable;
use crate::conn::token::{CONNECTIONS_MAX, ConnId, Source};
use crate::conn::{CloseReason, Conn, Flags};
use crate::journal::Journal;
use crate::limits::Limits;
use crate::net::{Datagram, Event, Net, Tick};
use crate::service::{DatagramService, StreamService};

use accept::Accepting;
use ending::Phase;
use outbox::Outbox;

/// A server: endpoints, their services and their connections, on the network `N`.
pub struct EventLoop<N: Net> {
    net: N,
    limits: Limits,
    journal: Journal,
    listeners: Vec<Listener<N>>,
    sockets: Vec<DatagramSocket<N>>,
    accepting: Accepting,
    /// Of the connections, those that are only being told that the server is full.
    refusals: usize,
    table: ConnTable<N::Stream>,
    /// Connections that have something to do without another event: those that this turn's events are
    /// about, and those that the budget of the last turn left with bytes in the kernel.
    run_queue: Vec<ConnId>,
    /// Connections that wait for the record; each has [`Flags::HELD`].
    held: Vec<ConnId>,
    outbox: Outbox,
    /// All reads share it. What is left of a read when the visit is over moves to the connection.
    read_buffer: Box<[u8]>,
    /// Datagrams that lie in it.
    received: Vec<Datagram>,
    happened: Vec<Event>,
    now: Tick,
    phase: Phase,
    /// Turns in a row that put expiring off.
    expiries_deferred: usize,
    counters: Counters,
    notices: Notices,
}

/// A stream endpoint.
struct Listener<N: Net> {
    /// Gone once the server is stopping.
    socket: Option<N::Listener>,
    address: SocketAddr,
    service: Box<dyn StreamService>,
    /// Connections may wait to be accepted.
    ready: bool,
    /// Its service has recorded something: without room on record there is no use in reading for it.
    records: bool,
}

/// A datagram endpoint.
struct DatagramSocket<N: Net> {
    socket: N::Socket,
    address: SocketAddr,
    service: Box<dyn DatagramService>,
    sessions: Sessions,
    /// Datagrams may wait.
    ready: bool,
}

/// Why a server ended that nobody asked to.
#[derive(Debug)]
pub enum LoopError {
    /// Messages can no longer be recorded. Those that were not are not acknowledged either.
    Journal(io::Error),
    /// The poller is broken.
    Poll(io::Error),
}

impl<N: Net> EventLoop<N> {
    /// A server without endpoints, which records nothing.
    #[must_use]
    pub fn new(net: N, mut limits: Limits) -> Self {
        limits.refusals_max = limits.refusals_max.clamp(1, REFUSALS_MAX);
        limits.connections_max = limits.connections_max.min(CONNECTIONS_MAX - limits.refusals_max);
        limits.visits_per_turn_max = limits.visits_per_turn_max.max(1);
        Self {
            net,
            journal: Journal::none(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            accepting: Accepting::Running,
            refusals: 0,
            table: ConnTable::new(&limits),
            run_queue: Vec::new(),
            held: Vec::new(),
            outbox: Outbox::default(),
            read_buffer: vec![0; limits.read_bytes_max.max(1)].into_boxed_slice(),
            received: Vec::new(),
            happened: Vec::with_capacity(limits.events_per_poll_max),
            now: Tick::default(),
            phase: Phase::Serving,
            expiries_deferred: 0,
            counters: Counters::default(),
            notices: Notices::new(),
            limits,
        }
    }

    /// Serves `service` on connections to `address`; returns the address with the port that was taken.
    ///
    /// # Errors
    /// The address can not be listened at, or there are 255 endpoints already.
    pub fn listen(&mut self, address: SocketAddr, service: Box<dyn StreamService>) -> io::Result<SocketAddr> {
        let place = place(self.listeners.len())?;
        let (listener, address) = self.net.listen(address, Source::Listener(place).into())?;
        self.listeners.push(Listener {
            socket: Some(listener),
            address,
            service,
            ready: false,
            records: false,
        });
        Ok(address)
    }

    /// Serves `service` on datagrams to `address`; returns the address with the port that was taken.
    ///
    /// # Errors
    /// The address can not be bound, or there are 255 endpoints already.
    pub fn bind(&mut self, address: SocketAddr, service: Box<dyn DatagramService>) -> io::Result<SocketAddr> {
        let place = place(self.sockets.len())?;
        let (socket, address) = self.net.bind(address, Source::Datagrams(place).into())?;
        // A datagram over the limit is seen as such by the one byte more that is read of it.
        let read_bytes = self.read_buffer.len().max(service.datagram_bytes_max() + 1);
        self.read_buffer = vec![0; read_bytes].into_boxed_slice();
        let sessions = Sessions::new(&self.limits);
        self.sockets.push(DatagramSocket { socket, address, service, sessions, ready: false });
        Ok(address)
    }

    /// Records messages to `journal` from now on.
    pub fn record_to(&mut self, journal: Journal) {
        self.journal = journal;
    }

    /// Serves until it is asked to stop, then until what has begun is over.
    ///
    /// # Errors
    /// See [`LoopError`].
    pub fn run(&mut self) -> Result<(), LoopError> {
        while !self.is_over() {
            self.turn()?;
        }
        Ok(())
    }

    /// Turns once. [`run`](Self::run) does nothing else.
    ///
    /// # Errors
    /// See [`LoopError`].
    pub fn turn(&mut self) -> Result<(), LoopError> {
        let timeout = self.poll_timeout();
        self.happened.clear();
        // What has come before this moment, the poll tells of.
        let heard_until = self.now;
        self.net
            .poll(&mut self.happened, self.limits.events_per_poll_max, timeout)
            .map_err(LoopError::Poll)?;
        self.now = self.net.now();
        self.note_events();

        self.accept();
        self.receive_datagrams();
        // Those that come to the queue during the turn are visited in the next.
        let visits = self.run_queue.len().min(self.limits.visits_per_turn_max);
        for place in 0..visits {
            if let Some(key) = self.table.find(self.run_queue[place]) {
                self.visit(key);
            }
            let records_wait = self.record_is_behind() && self.held.is_empty();
            if records_wait || self.outbox.is_full(&self.limits) {
                self.commit_and_scatter()?;
            }
        }
        self.run_queue.drain(..visits);
        self.commit_and_scatter()?;

        self.expire(heard_until);
        self.end_by_phase()
    }

    /// Whether the server has stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// What has happened so far.
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
        let accepts = self.accepting == Accepting::Running && self.listeners.iter().any(|one| one.ready);
        if !self.run_queue.is_empty() || accepts || self.sockets.iter().any(|one| one.ready) {
            return Some(Duration::ZERO);
        }
        let now = self.now;
        let sessions = self.sockets.iter_mut().filter_map(|one| one.sessions.wait_ms(now)).min();
        let waits = [self.table.wait_ms(now), sessions, self.accept_wait_ms(), self.phase_wait_ms()];
        waits.into_iter().flatten().min().map(|ms| Duration::from_millis(ms.into()))
    }

    /// Events set flags and fill the run queue; nothing is read or closed before all are looked at.
    fn note_events(&mut self) {
        for place in 0..self.happened.len() {
            let event = self.happened[place];
            match Source::from(event.token) {
                Source::Conn(id) => self.note_conn_event(id, event),
                Source::Listener(place) => {
                    if let Some(listener) = self.listeners.get_mut(usize::from(place)) {
                        listener.ready = true;
                    }
                }
                Source::Datagrams(place) => {
                    if let Some(socket) = self.sockets.get_mut(usize::from(place)) {
                        socket.ready = true;
                    }
                }
                Source::Stop => self.stop(),
                // The record is written to once a turn anyway, and a timer has only to end the wait.
                Source::Journal | Source::Timer => {}
            }
        }
    }

    fn note_conn_event(&mut self, id: ConnId, event: Event) {
        let Some(key) = self.table.find(id) else { return };
        let conn = self.table.conn_mut(key);
        conn.flags.note(event.readable, event.writable, event.ended);
        let is_held = conn.flags.contains(Flags::HELD);
        if self.can_go_on(key) {
            self.enqueue(key);
        } else if event.ended && is_held {
            // Nothing is read or written of it until the record goes on, so nothing else would tell that
            // the connection is broken, and its slot would be lost to others.
            if let Some(error) = self.net.take_error(&self.table.conn(key).stream) {
                self.close(key, CloseReason::of(&error));
            }
        }
    }

    /// Whether a visit would read or write.
    fn can_go_on(&self, key: u32) -> bool {
        let conn = self.table.conn(key);
        self.can_read(conn) || self.can_write(conn)
    }

    /// Whether a visit would read.
    fn can_read(&self, conn: &Conn<N::Stream>) -> bool {
        conn.flags.contains(Flags::READABLE)
            && conn.wants_read(self.table.unsent_bytes_of(conn), self.limits.unsent_bytes_max)
    }

    /// Whether what is unsent can leave.
    fn can_write(&self, conn: &Conn<N::Stream>) -> bool {
        self.table.unsent_bytes_of(conn) > 0
            && conn.flags.contains(Flags::WRITABLE)
            && !conn.flags.contains(Flags::HELD)
    }

    fn enqueue(&mut self, key: u32) {
        let conn = self.table.conn_mut(key);
        if !conn.flags.contains(Flags::QUEUED) {
            conn.flags.insert(Flags::QUEUED);
            self.run_queue.push(ConnId { key, generation: conn.generation });
        }
    }

    /// Whether more waits for the record than is good.
    fn record_is_behind(&self) -> bool {
        self.journal.unwritten_bytes() > self.limits.journal_bytes_max
    }

    fn warn(&mut self, notice: Notice, text: &dyn fmt::Display) {
        if let Some(unsaid) = self.notices.admit(notice, self.now) {
            log::warn!("{text}{unsaid}");
        }
    }
}

/// More would only be held back from being served.
const REFUSALS_MAX: usize = 1024;

fn place(taken: usize) -> io::Result<u8> {
    match u8::try_from(taken) {
        Ok(place) if place < u8::MAX => Ok(place),
        _ => Err(io::Error::other("255 endpoints are the most that one server has")),
    }
}

impl fmt::Display for LoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => write!(f, "messages can no longer be recorded: {error}"),
            Self::Poll(error) => write!(f, "the poller failed: {error}"),
        }
    }
}

impl std::error::Error for LoopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Journal(error) | Self::Poll(error) => Some(error),
        }
    }
}

impl<N: Net> fmt::Debug for EventLoop<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("connections", &self.table.len())
            .field("phase", &self.phase)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// What an idle connection costs, as a fact of the layout: itself, and in the slab nothing on top, since a
/// vacant slot is told by a value that no state has. (With assertions on, mio's sockets are larger.)
#[cfg(not(debug_assertions))]
const _: () = {
    type Conn = crate::conn::Conn<<crate::net::kernel::KernelNet as crate::net::StreamIo>::Stream>;
    enum SlabEntry {
        #[expect(dead_code, reason = "the layout is what matters")]
        Vacant(usize),
        #[expect(dead_code, reason = "the layout is what matters")]
        Occupied(Conn),
    }
    assert!(size_of::<Conn>() <= 32 && size_of::<SlabEntry>() <= 32);
};
