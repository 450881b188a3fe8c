//! A simulated network: connections that are queues, a poller that reports as little as a real one may, a
//! clock that moves when nothing else does, a journal, and peers that follow scripts. One seed, or a file of bytes, draws all.
//!
//! What a real network guarantees is kept: no edge is lost, and a short read without a further edge has
//! drained the socket. All else fails as often as `faults.rs` draws: reads and writes are short or
//! interrupted, events come late, twice, without cause, and for connections that are closed.

pub mod bounds;
pub mod counts;
pub mod datagrams;
pub mod descriptors;
pub mod dialect;
pub mod disk;
pub mod echo;
pub mod faults;
mod io;
pub mod lossy_file;
pub mod month;
#[path = "../common/months.rs"]
mod months;
pub mod peer;
pub mod plan;
pub mod random;
pub mod run;
pub mod scene;
pub mod status;
pub mod stop;
pub mod trace;
pub mod whole;
pub mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Weak;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loopline::journal::Ack;
use loopline::limits::Limits;
use loopline::net::{Clock, Event, HashKey, Poller, Secrets, StopRequests, Supervision, Tick, Token};

use bounds::Bounds;
use datagrams::SimSocket;
use descriptors::Descriptors;
use dialect::Dialect;
use disk::{Disk, SimSink};
use faults::Faults;
use peer::Peer;
use random::Random;
use stop::StopModel;
use trace::Trace;
use wire::Wire;

/// A listener; the server has the other half.
struct SimListener {
    token: Token,
    /// Wires of the connections that wait to be accepted.
    backlog: VecDeque<usize>,
    /// An event for those that wait is due.
    edge: bool,
    /// Accepting cannot bring any before the next event. Trying is a wasted system call.
    awaits_event: bool,
    server: Weak<usize>,
    /// Another process has it too.
    is_inherited: bool,
}

impl SimListener {
    fn has_edge(&self) -> bool {
        self.edge && !self.backlog.is_empty() && self.server.strong_count() > 0
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct SimNet {
    pub random: Random,
    pub faults: Faults,
    pub limits: Limits,
    pub now_ms: u64,
    pub trace: Trace,
    pub wires: Vec<Wire>,
    /// One for each wire.
    pub peers: Vec<Peer>,
    pub descriptors: Descriptors,
    pub disk: Arc<Mutex<Disk>>,
    /// The number of the first peer, for its address.
    pub first_peer: usize,
    pub stop_requests: u32,
    /// It was requested to open the journal again.
    pub reopen_request: bool,
    pub stop: StopModel,
    /// Only the test moves the clock.
    pub clock_stands: bool,
    /// Nothing can happen any more, neither in the network nor at the peers.
    pub is_still: bool,
    listeners: Vec<SimListener>,
    /// How the next accepts fail, by number.
    pub accept_errors: VecDeque<i32>,
    /// Number of accepts so far.
    pub accepts: usize,
    pub sockets: Vec<SimSocket>,
    dialect: Dialect,
    /// Whether the network supports batches.
    batches: bool,
    bounds: Bounds,
    closed_tokens: Vec<Token>,
    /// How long the last poll might have waited.
    pub timeout: Option<Duration>,
    /// Polls in a row that did not wait, and after which no byte was moved.
    pub fruitless_polls: usize,
}

impl SimNet {
    pub fn new(mut random: Random, limits: &Limits, faults: Faults, ack: Ack) -> Self {
        let journal_bytes = random.script_bytes() / 6;
        let disk = Disk::new(ack, limits, &faults, random.fork(journal_bytes));
        Self {
            batches: random.one_in(2),
            dialect: Dialect::draw(&mut random),
            random,
            faults,
            limits: limits.clone(),
            now_ms: 0,
            trace: Trace::new(),
            wires: Vec::new(),
            peers: Vec::new(),
            descriptors: Descriptors::new(usize::MAX),
            disk: Arc::new(Mutex::new(disk)),
            first_peer: 0,
            stop_requests: 0,
            reopen_request: false,
            stop: StopModel::new(limits),
            clock_stands: false,
            is_still: false,
            listeners: Vec::new(),
            accept_errors: VecDeque::new(),
            accepts: 0,
            sockets: Vec::new(),
            bounds: Bounds::new(limits),
            closed_tokens: Vec::new(),
            timeout: None,
            fruitless_polls: 0,
        }
    }

    pub fn sink(&self) -> SimSink {
        SimSink(self.disk.clone())
    }

    /// From now on nothing fails.
    pub fn end_faults(&mut self) {
        self.faults = Faults::default();
        let mut disk = self.disk.lock().unwrap();
        disk.faults = Faults::default();
        disk.blocked_until_ms = Some(0);
    }

    /// Requests a stop, as SIGTERM does.
    pub fn request_stop(&mut self) {
        self.stop_requests += 1;
    }

    /// A peer with a script of its own connects.
    pub fn connect_peer(&mut self) {
        let listener = self.random.below(run::SERVICES);
        // From less than a header to more than all that is ever sent.
        let capacity = 20 + self.random.below([50, 500, 5000][self.random.clone().below(3)]);
        let mut random = self.random.fork(0);
        let unread_bytes_max = capacity + self.limits.unsent_bytes_max;
        let peer = Peer::of_service(self.wires.len(), listener, unread_bytes_max, &mut random);
        self.connect(peer, listener, capacity);
    }

    /// `peer` connects; its address is of either family.
    pub fn connect(&mut self, peer: Peer, listener: usize, capacity: usize) {
        let index = self.wires.len();
        let number = u16::try_from(self.first_peer + index).unwrap();
        let [high, low] = number.to_be_bytes();
        let address = if index % 2 == 0 {
            SocketAddr::from(([10, 0, high, low], 4000))
        } else {
            SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 4000))
        };
        let is_proxied = (run::SERVICES..run::LISTENERS).contains(&listener);
        let mut wire = Wire::new(listener, address, capacity, self.now_ms);
        wire.header_bytes = if is_proxied && peer.header.is_none() { usize::MAX } else { peer.header_bytes };
        self.wires.push(wire);
        self.listeners[listener].backlog.push_back(index);
        self.listeners[listener].edge = true;
        self.peers.push(peer);
    }

    /// The listeners are those of another process too.
    pub fn share_listeners(&mut self) {
        self.listeners.iter_mut().for_each(|listener| listener.is_inherited = true);
    }

    /// Whether connections wait to be accepted.
    pub fn has_backlog(&self) -> bool {
        self.listeners.iter().any(|listener| !listener.backlog.is_empty())
    }

    /// Some or all of the peers do a step of their script. Returns whether any could.
    fn move_peers(&mut self, all: bool) -> bool {
        let mut moved = false;
        let mut peers = std::mem::take(&mut self.peers);
        for peer in &mut peers {
            if all || !self.random.one_in(3) {
                moved |= peer.step(self);
            }
        }
        self.peers = peers;
        moved
    }

    /// What the server has just sent answers only what is recorded.
    fn check_sent_is_recorded(&self, stream: usize) {
        let disk = self.disk.lock().unwrap();
        if disk.ack == Ack::Received {
            return;
        }
        let (peer, wire) = (&self.peers[stream], &self.wires[stream]);
        let records = peer.journal_address(wire).map_or(&[][..], |address| disk.records(address));
        peer.check_answers(wire, records);
    }

    fn collect(&mut self, events: &mut Vec<Event>, events_max: usize) {
        let Self { random, faults, .. } = self;
        // No poller promises an order.
        let first = random.below(self.wires.len());
        let (before, after) = self.wires.split_at_mut(first);
        for wire in after.iter_mut().chain(before) {
            let is_due = wire.token.is_some() && (wire.readable || wire.writable);
            if !is_due || random.fails(faults.late_events) {
                continue;
            }
            let reported = self.dialect.events(wire);
            if events.len() + reported.len() > events_max.max(reported.len()) {
                continue;
            }
            (wire.readable, wire.writable) = (false, false);
            for event in reported {
                wire.end_reported |= event.ended;
                wire.report(event.readable, event.writable, event.ended);
                events.push(event);
            }
            if random.fails(faults.duplicate_events) && events.len() < events_max {
                wire.report(true, true, false);
                let last = *events.last().expect("at least one was reported");
                events.push(Event { readable: true, writable: true, ..last });
            }
        }
        for listener in &mut self.listeners {
            let is_spurious = random.fails(faults.spurious_events) && listener.server.strong_count() > 0;
            if (listener.has_edge() || is_spurious) && events.len() < events_max {
                (listener.edge, listener.awaits_event) = (false, false);
                events.push(readable(listener.token));
            }
        }
        for socket in &mut self.sockets {
            let is_spurious = random.fails(faults.spurious_events);
            if (socket.has_edge() || is_spurious) && events.len() < events_max {
                socket.edge = false;
                events.push(readable(socket.token));
            }
        }
        // By now another connection may have the slot.
        let is_stale = !self.closed_tokens.is_empty() && random.fails(faults.stale_events);
        if is_stale && events.len() < events_max {
            let token = self.closed_tokens[random.below(self.closed_tokens.len())];
            events.push(Event { token, readable: true, writable: true, ended: true });
        }
        let mut disk = self.disk.lock().unwrap();
        if disk.is_blocked {
            let longest_ms = if random.one_in(20) { 5000 } else { 50 };
            let drawn_ms = self.now_ms + random.below_u64(longest_ms);
            if *disk.blocked_until_ms.get_or_insert(drawn_ms) <= self.now_ms {
                disk.is_blocked = false;
                events.push(Event { token: Token::JOURNAL, readable: false, writable: true, ended: false });
            }
        }
        drop(disk);
        if self.stop_requests > 0 || self.reopen_request {
            events.push(readable(Token::STOP));
        }
    }

    /// A poll that does not wait says that something is left to do: it must be done within a few turns.
    fn check_spinning(&mut self, timeout: Option<Duration>) {
        let has_progressed = std::mem::take(&mut self.disk.lock().unwrap().has_progressed);
        let is_fruitless = timeout == Some(Duration::ZERO) && !has_progressed;
        self.fruitless_polls = if is_fruitless { self.fruitless_polls + 1 } else { 0 };
        assert!(self.fruitless_polls < FRUITLESS_POLLS_MAX, "the loop spins");
    }

    fn has_edges(&self) -> bool {
        self.wires.iter().any(|wire| wire.token.is_some() && (wire.readable || wire.writable))
            || self.listeners.iter().any(SimListener::has_edge)
            || self.sockets.iter().any(SimSocket::has_edge)
    }
}

/// Every other call may be interrupted, and every event be without cause.
const FRUITLESS_POLLS_MAX: usize = 300;

fn readable(token: Token) -> Event {
    Event { token, readable: true, writable: false, ended: false }
}

impl Poller for SimNet {
    fn poll(
        &mut self,
        events_max: usize,
        timeout: Option<Duration>,
        on_event: impl FnMut(Event),
    ) -> std::io::Result<()> {
        self.timeout = timeout;
        self.stop.begin_poll(self.now_ms);
        self.check_spinning(timeout);
        self.sockets.iter_mut().for_each(|socket| socket.end_turn(self.limits.datagrams_per_turn_max));
        let moved = self.move_peers(false);
        let mut events = Vec::new();
        self.collect(&mut events, events_max);
        self.trace.call("poll", events.len(), &Ok(0));
        events.iter().for_each(|event| self.trace.word(event.token.0 as u64));
        let is_empty = events.is_empty();
        events.into_iter().for_each(on_event);
        if !is_empty || moved || timeout == Some(Duration::ZERO) || self.has_edges() || self.move_peers(true)
        {
            // A turn takes time too.
            self.now_ms += if self.clock_stands { 0 } else { self.random.below_u64(2) };
            return Ok(());
        }
        if self.clock_stands {
            return Ok(());
        }
        // Nothing happens until the next moment that a peer, the journal or the server waits for.
        let wakes_ms = self.peers.iter().filter_map(|peer| peer.wakes_ms(self.now_ms)).min();
        let disk = self.disk.lock().unwrap();
        let journal_ms = disk.blocked_until_ms.filter(|_| disk.is_blocked);
        drop(disk);
        let timeout_ms = timeout.map(|timeout| self.now_ms + u64::try_from(timeout.as_millis()).unwrap());
        match wakes_ms.into_iter().chain(journal_ms).chain(timeout_ms).min() {
            Some(ms) => self.now_ms = self.now_ms.max(ms),
            None => self.is_still = true,
        }
        Ok(())
    }
}

impl Supervision for SimNet {}

impl StopRequests for SimNet {
    fn stop_requests(&mut self) -> u32 {
        let requests = std::mem::take(&mut self.stop_requests);
        self.stop.receive(requests, self.now_ms);
        requests
    }

    fn was_reopen_requested(&mut self) -> bool {
        std::mem::take(&mut self.reopen_request)
    }
}

impl Clock for SimNet {
    fn now(&mut self) -> Tick {
        // Near the end of what a tick counts, so that it wraps in every run.
        Tick::after(Duration::from_millis(u64::from(u32::MAX) - 3000 + self.now_ms))
    }

    fn monotonic_ns(&mut self) -> u64 {
        self.now_ms * 1_000_000
    }

    fn unix_ms(&mut self) -> i64 {
        0
    }
}

impl Secrets for SimNet {
    fn hash_key(&mut self) -> HashKey {
        HashKey([self.random.clone().next(), 0])
    }
}
