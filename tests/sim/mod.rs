//! A simulated network: connections that are queues, a poller that reports as little as a real one may, a
//! clock that moves when nothing else does, a journal, and peers that follow scripts. One seed draws all.
//!
//! What a real network guarantees is kept: no edge is lost, and a short read without a further edge has
//! drained the socket. All else fails as often as `faults.rs` draws: reads and writes are short or
//! interrupted, events come late, twice, without cause, and for connections that are closed.

pub mod datagrams;
pub mod disk;
pub mod faults;
mod io;
pub mod peer;
pub mod run;
pub mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Weak;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loopline::journal::Ack;
use loopline::limits::Limits;
use loopline::net::{Clock, Event, Poller, StopRequests, Tick, Token};

use datagrams::SimSocket;
use disk::{Disk, SimSink};
use faults::{Faults, Random};
use peer::Peer;
use wire::Wire;

/// A listener; the server has the other half.
struct SimListener {
    token: Token,
    /// Wires of the connections that wait to be accepted.
    backlog: VecDeque<usize>,
    /// An event for those that wait is due.
    edge: bool,
    server: Weak<usize>,
}

impl SimListener {
    fn has_edge(&self) -> bool {
        self.edge && !self.backlog.is_empty() && self.server.strong_count() > 0
    }
}

pub struct SimNet {
    pub random: Random,
    pub faults: Faults,
    pub now_ms: u64,
    pub wires: Vec<Wire>,
    /// One for each wire.
    pub peers: Vec<Peer>,
    pub disk: Arc<Mutex<Disk>>,
    pub stop_requests: u32,
    /// Nothing can happen any more, neither in the network nor at the peers.
    pub is_still: bool,
    listeners: Vec<SimListener>,
    pub sockets: Vec<SimSocket>,
    /// Whether the network supports batches.
    batches: bool,
    datagrams_per_turn_max: usize,
    /// Bytes that the server holds for a peer that does not read.
    pub unsent_bytes_max: usize,
    closed_tokens: Vec<Token>,
    /// Polls in a row that did not wait and after which nothing was done.
    idle_polls: usize,
}

impl SimNet {
    pub fn new(seed: u64, limits: &Limits, faults: Faults, ack: Ack) -> Self {
        let mut random = Random(seed);
        Self {
            batches: random.one_in(2),
            random,
            faults,
            now_ms: 0,
            wires: Vec::new(),
            peers: Vec::new(),
            disk: Arc::new(Mutex::new(Disk::new(ack))),
            stop_requests: 0,
            is_still: false,
            listeners: Vec::new(),
            sockets: Vec::new(),
            datagrams_per_turn_max: limits.datagrams_per_turn_max,
            unsent_bytes_max: limits.unsent_bytes_max,
            closed_tokens: Vec::new(),
            idle_polls: 0,
        }
    }

    pub fn sink(&mut self) -> SimSink {
        let random = Random(self.random.next());
        SimSink { disk: self.disk.clone(), random, faults: self.faults.clone() }
    }

    /// A peer with a script of its own connects.
    pub fn connect_peer(&mut self) {
        let index = self.wires.len();
        let [high, low] = u16::try_from(index).unwrap().to_be_bytes();
        let address = SocketAddr::from(([10, 0, high, low], 4000));
        let listener = self.random.below(self.listeners.len());
        // From less than a header to more than all that is ever sent.
        let capacity = 20 + self.random.below([50, 500, 5000][self.random.clone().below(3)]);
        self.wires.push(Wire::new(listener, address, capacity, self.now_ms));
        self.listeners[listener].backlog.push_back(index);
        self.listeners[listener].edge = true;
        let mut random = Random(self.random.next());
        self.peers.push(Peer::new(index, listener, capacity + self.unsent_bytes_max, &mut random));
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
        let records = disk.records(self.wires[stream].address);
        self.peers[stream].check_answers(&self.wires[stream], records);
    }

    fn collect(&mut self, events: &mut Vec<Event>, events_max: usize) {
        let Self { random, faults, .. } = self;
        for wire in &mut self.wires {
            let Some(token) = wire.token else { continue };
            let is_due = wire.readable || wire.writable;
            if !is_due || random.fails(faults.late_events) || events.len() >= events_max {
                continue;
            }
            let ended = wire.peer_ended || wire.reset;
            let event = Event { token, readable: wire.readable, writable: wire.writable, ended };
            (wire.readable, wire.writable) = (false, false);
            wire.end_reported |= ended;
            events.push(event);
            if random.fails(faults.duplicate_events) && events.len() < events_max {
                events.push(Event { readable: true, writable: true, ..event });
            }
        }
        for listener in &mut self.listeners {
            let is_spurious = random.fails(faults.spurious_events) && listener.server.strong_count() > 0;
            if (listener.has_edge() || is_spurious) && events.len() < events_max {
                listener.edge = false;
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
            let drawn_ms = self.now_ms + random.next() % longest_ms;
            if *disk.blocked_until_ms.get_or_insert(drawn_ms) <= self.now_ms {
                disk.is_blocked = false;
                events.push(Event { token: Token::JOURNAL, readable: false, writable: true, ended: false });
            }
        }
        if self.stop_requests > 0 {
            events.push(readable(Token::STOP));
        }
    }

    fn has_edges(&self) -> bool {
        self.wires.iter().any(|wire| wire.token.is_some() && (wire.readable || wire.writable))
            || self.listeners.iter().any(SimListener::has_edge)
            || self.sockets.iter().any(SimSocket::has_edge)
    }
}

fn readable(token: Token) -> Event {
    Event { token, readable: true, writable: false, ended: false }
}

impl Poller for SimNet {
    fn poll(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        timeout: Option<Duration>,
    ) -> std::io::Result<()> {
        self.idle_polls = if timeout == Some(Duration::ZERO) { self.idle_polls + 1 } else { 0 };
        assert!(self.idle_polls < 300, "the loop spins");
        self.sockets.iter_mut().for_each(|socket| socket.end_turn(self.datagrams_per_turn_max));
        let moved = self.move_peers(false);
        self.collect(events, events_max);
        if !events.is_empty()
            || moved
            || timeout == Some(Duration::ZERO)
            || self.has_edges()
            || self.move_peers(true)
        {
            // A turn takes time too.
            self.now_ms += self.random.next() % 2;
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

impl StopRequests for SimNet {
    fn stop_requests(&mut self) -> u32 {
        std::mem::take(&mut self.stop_requests)
    }
}

impl Clock for SimNet {
    fn now(&mut self) -> Tick {
        // Near the end of what a tick counts, so that it wraps in every run.
        Tick::after(Duration::from_millis(u64::from(u32::MAX) - 3000 + self.now_ms))
    }

    fn unix_seconds(&mut self) -> i64 {
        0
    }
}
