//! A simulated network: sockets that are queues, a poller that tells as little as a real one may, a clock
//! that moves when nothing else does, a record that takes what it likes, and peers that follow a script.
//! All of it is driven by one seed.
//!
//! What the real network promises is kept: no edge is lost, and a short read without a further edge has
//! drained the socket. All else is made as bad as it can be: reads and writes are cut anywhere and
//! interrupted, events come late, twice, for nothing, and for connections that are long closed.

pub mod datagrams;
pub mod peer;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loopline::journal::Sink;
use loopline::net::{
    Clock, Datagram, DatagramIo, Event, Listen, Poller, StopRequests, StreamIo, Tick, Token, unbatched,
};

use datagrams::SimSocket;
use peer::Peer;

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to and without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and the checks want them all")]
/// A connection as the network between the two ends has it.
#[derive(Default)]
pub struct Wire {
    pub listener: usize,
    /// Bytes that fit between server and peer, in each direction.
    pub room: usize,
    pub address: Option<SocketAddr>,
    /// Sent by the peer, not read by the server.
    pub to_server: VecDeque<u8>,
    pub peer_ended: bool,
    /// Sent by the server, not read by the peer.
    pub to_peer: VecDeque<u8>,
    /// All that the server has ever sent.
    pub sent: Vec<u8>,
    pub server_ended: bool,
    pub closed: bool,
    /// By either side: nothing gets through any more.
    pub reset: bool,
    token: Option<Token>,
    readable: bool,
    writable: bool,
    /// An event has told the end of the peer's side; no other will.
    end_told: bool,
    /// The server was told that it can write no more.
    blocked: bool,
}

impl Wire {
    pub fn reset(&mut self) {
        self.reset = true;
        self.to_server.clear();
        self.to_peer.clear();
        (self.readable, self.writable) = (true, true);
    }

    /// The peer sends up to all of `bytes`; returns how many.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if self.closed || self.reset {
            // Who closed answers with a reset, and what was under way to the peer is gone.
            self.reset();
            return bytes.len();
        }
        let taken = bytes.len().min(self.room - self.to_server.len());
        self.to_server.extend(&bytes[..taken]);
        self.readable |= taken > 0;
        taken
    }

    /// Nothing more will come to the peer.
    pub fn is_over(&self) -> bool {
        (self.server_ended || self.closed || self.reset) && self.to_peer.is_empty()
    }

    pub fn end(&mut self) {
        self.peer_ended = true;
        self.readable = true;
    }

    /// The peer reads up to `bytes` bytes.
    pub fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let taken: Vec<u8> = self.to_peer.drain(..bytes.min(self.to_peer.len())).collect();
        if !taken.is_empty() && self.blocked {
            (self.blocked, self.writable) = (false, true);
        }
        taken
    }
}

/// Where the simulated server records.
#[derive(Default)]
pub struct Disk {
    pub lines: Vec<u8>,
    /// It takes nothing until then.
    stuck_until_ms: u64,
    stuck: bool,
}

pub struct SimSink {
    disk: Arc<Mutex<Disk>>,
    random: Random,
}

impl Sink for SimSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock().unwrap();
        if disk.stuck {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.random.below(12) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            1 => {
                disk.stuck = true;
                disk.stuck_until_ms = u64::MAX;
                Err(io::ErrorKind::WouldBlock.into())
            }
            2 => {
                let taken = 1 + self.random.below(bytes.len());
                disk.lines.extend_from_slice(&bytes[..taken.min(bytes.len())]);
                Ok(taken.min(bytes.len()))
            }
            _ => {
                disk.lines.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listener, of which the server has the other half.
struct SimListener {
    token: Token,
    waiting: VecDeque<usize>,
    /// An event of those that wait is due.
    edge: bool,
    server: Weak<usize>,
}

impl SimListener {
    fn has_edge(&self) -> bool {
        self.edge && !self.waiting.is_empty() && self.server.strong_count() > 0
    }
}

pub struct SimNet {
    pub random: Random,
    pub now_ms: u64,
    pub wires: Vec<Wire>,
    pub peers: Vec<Peer>,
    pub disk: Arc<Mutex<Disk>>,
    pub stop_requests: u32,
    /// Nothing can happen any more, in the network or at the peers.
    pub is_still: bool,
    listeners: Vec<SimListener>,
    pub sockets: Vec<SimSocket>,
    /// The network knows batches.
    batches: bool,
    /// What a turn may take of each.
    pub datagrams_per_turn_max: usize,
    closed_tokens: Vec<Token>,
    /// Polls in a row that did not wait, and after which nothing was done.
    idle_polls: usize,
    /// Bytes that the server holds for a peer that does not read.
    pub unsent_bytes_max: usize,
    /// What a peer is told for which there is no room.
    pub refusal: Vec<u8>,
    /// One in so many connections is not taken by the poller.
    pub register_fails_one_in: usize,
}

impl SimNet {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now_ms: 0,
            wires: Vec::new(),
            peers: Vec::new(),
            disk: Arc::default(),
            stop_requests: 0,
            is_still: false,
            listeners: Vec::new(),
            sockets: Vec::new(),
            batches: Random(seed).one_in(2),
            datagrams_per_turn_max: 0,
            closed_tokens: Vec::new(),
            idle_polls: 0,
            unsent_bytes_max: 0,
            refusal: Vec::new(),
            register_fails_one_in: usize::MAX,
        }
    }

    pub fn sink(&mut self) -> SimSink {
        SimSink { disk: self.disk.clone(), random: Random(self.random.next()) }
    }

    /// A peer connects to the listener made as the `listener`th.
    pub fn connect(&mut self, listener: usize) -> usize {
        let place = self.wires.len();
        let [high, low] = u16::try_from(place).unwrap().to_be_bytes();
        let address = SocketAddr::from(([10, 0, high, low], 4000));
        // From less than a header to more than all that is ever sent.
        let room = 20 + self.random.below([50, 500, 5000][self.random.clone().below(3)]);
        self.wires.push(Wire { listener, room, address: Some(address), ..Wire::default() });
        self.listeners[listener].waiting.push_back(place);
        self.listeners[listener].edge = true;
        place
    }

    /// Some of the peers, or all, do a step of their script; whether any could.
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

    fn collect(&mut self, events: &mut Vec<Event>, events_max: usize) {
        for place in 0..self.wires.len() {
            let wire = &mut self.wires[place];
            let Some(token) = wire.token else { continue };
            // Late: it comes with a later poll.
            if (!wire.readable && !wire.writable) || self.random.one_in(4) || events.len() >= events_max {
                continue;
            }
            let event = Event {
                token,
                readable: wire.readable,
                writable: wire.writable,
                ended: wire.peer_ended || wire.reset,
            };
            (wire.readable, wire.writable) = (false, false);
            wire.end_told |= event.ended;
            events.push(event);
            // Twice, and for nothing.
            if self.random.one_in(8) && events.len() < events_max {
                events.push(Event { readable: true, writable: true, ..event });
            }
        }
        for listener in &mut self.listeners {
            let spurious = self.random.one_in(16) && listener.server.strong_count() > 0;
            if (listener.has_edge() || spurious) && events.len() < events_max {
                listener.edge = false;
                events.push(Event { token: listener.token, readable: true, writable: false, ended: false });
            }
        }
        for socket in &mut self.sockets {
            if (socket.has_edge() || self.random.one_in(16)) && events.len() < events_max {
                socket.edge = false;
                events.push(Event { token: socket.token, readable: true, writable: false, ended: false });
            }
        }
        // For connections that are gone, whoever has their slot now.
        if !self.closed_tokens.is_empty() && self.random.one_in(2) && events.len() < events_max {
            let token = self.closed_tokens[self.random.below(self.closed_tokens.len())];
            events.push(Event { token, readable: true, writable: true, ended: true });
        }
        let disk = &mut self.disk.lock().unwrap();
        if disk.stuck {
            if disk.stuck_until_ms == u64::MAX {
                let longest_ms = if self.random.one_in(20) { 5000 } else { 50 };
                disk.stuck_until_ms = self.now_ms + self.random.next() % longest_ms;
            } else if disk.stuck_until_ms <= self.now_ms {
                disk.stuck = false;
                events.push(Event { token: Token::JOURNAL, readable: false, writable: true, ended: false });
            }
        }
        if self.stop_requests > 0 {
            events.push(Event { token: Token::STOP, readable: true, writable: false, ended: false });
        }
    }

    fn has_edges(&self) -> bool {
        self.wires.iter().any(|wire| wire.token.is_some() && (wire.readable || wire.writable))
            || self.listeners.iter().any(SimListener::has_edge)
            || self.sockets.iter().any(SimSocket::has_edge)
    }
}

impl StreamIo for SimNet {
    type Stream = usize;

    fn read(&mut self, stream: &usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.idle_polls = 0;
        let wire = &mut self.wires[*stream];
        if self.random.one_in(10) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if wire.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if wire.to_server.is_empty() {
            return if wire.peer_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let all = buffer.len().min(wire.to_server.len());
        let taken = if self.random.one_in(2) { 1 + self.random.below(all) } else { all };
        for (to, from) in buffer.iter_mut().zip(wire.to_server.drain(..taken)) {
            *to = from;
        }
        let end_untold = wire.peer_ended && !wire.end_told;
        if taken < buffer.len() && (!wire.to_server.is_empty() || end_untold) {
            // As if the rest had come just after.
            wire.readable = true;
        }
        Ok(taken)
    }

    fn write(&mut self, stream: &usize, bytes: &[u8]) -> io::Result<usize> {
        self.idle_polls = 0;
        assert!(!bytes.is_empty(), "writing nothing is a wasted system call");
        let wire = &mut self.wires[*stream];
        assert!(!wire.server_ended && !wire.closed, "nothing is written after the end");
        if self.random.one_in(10) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if wire.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = wire.room - wire.to_peer.len();
        let all = bytes.len().min(room);
        let taken = if self.random.one_in(4) { self.random.below(all + 1) } else { all };
        if taken < bytes.len() {
            // Room that is left after all opens up again soon; else when the peer reads.
            (wire.blocked, wire.writable) = (true, taken < room);
        }
        wire.to_peer.extend(&bytes[..taken]);
        wire.sent.extend(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn half_close(&mut self, stream: &usize) -> io::Result<()> {
        let wire = &mut self.wires[*stream];
        assert!(!wire.server_ended, "our side is ended once");
        wire.server_ended = true;
        if wire.reset { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn take_error(&mut self, stream: &usize) -> Option<io::Error> {
        self.wires[*stream].reset.then(|| io::ErrorKind::ConnectionReset.into())
    }

    fn close(&mut self, stream: usize) {
        let wire = &mut self.wires[stream];
        assert!(!wire.closed, "a stream is closed once");
        wire.closed = true;
        if !wire.to_server.is_empty() {
            wire.reset();
        }
        self.closed_tokens.extend(wire.token.take());
    }
}

impl DatagramIo for SimNet {
    type Socket = usize;

    fn receive(&mut self, socket: &usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.idle_polls = 0;
        let Datagram { bytes, peer, .. } = self.sockets[*socket].receive(&mut self.random, buffer)?;
        Ok((bytes.len(), peer))
    }

    fn send(&mut self, socket: &usize, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        let to = Datagram { bytes: 0..datagram.len(), peer, local: None };
        self.sockets[*socket].send(&mut self.random, &self.disk.lock().unwrap(), datagram, &to)
    }

    fn receive_batch(
        &mut self,
        socket: &usize,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> bool {
        assert!(received.is_empty() && buffer.len() >= slot_bytes, "a batch has room");
        if !self.batches {
            return unbatched::receive(self, socket, buffer, slot_bytes, received);
        }
        self.idle_polls = 0;
        for (place, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
            match self.sockets[*socket].receive(&mut self.random, slot) {
                Ok(datagram) => {
                    let start = place * slot_bytes;
                    received.push(Datagram { bytes: start..start + datagram.bytes.len(), ..datagram });
                }
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn send_batch(&mut self, socket: &usize, datagrams: &[Datagram], bytes: &[u8]) -> io::Result<usize> {
        assert!(!datagrams.is_empty(), "sending nothing is a wasted system call");
        if !self.batches {
            return unbatched::send(self, socket, datagrams, bytes);
        }
        for (sent, datagram) in datagrams.iter().enumerate() {
            assert!(datagram.local.is_some(), "an answer leaves from where it was asked");
            let disk = self.disk.lock().unwrap();
            let answer = &bytes[datagram.bytes.clone()];
            match self.sockets[*socket].send(&mut self.random, &disk, answer, datagram) {
                Ok(()) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(datagrams.len())
    }
}

impl Listen for SimNet {
    type Listener = Rc<usize>;

    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(Rc<usize>, SocketAddr)> {
        let handle = Rc::new(self.listeners.len());
        let server = Rc::downgrade(&handle);
        self.listeners.push(SimListener { token, waiting: VecDeque::new(), edge: false, server });
        Ok((handle, address))
    }

    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(usize, SocketAddr)> {
        self.sockets.push(SimSocket::new(token));
        Ok((self.sockets.len() - 1, address))
    }

    fn accept(&mut self, listener: &Rc<usize>) -> io::Result<(usize, SocketAddr)> {
        self.idle_polls = 0;
        match self.random.below(16) {
            0 => return Err(io::Error::from_raw_os_error(libc_number::ECONNABORTED)),
            1 => return Err(io::Error::from_raw_os_error(libc_number::EMFILE)),
            2 => return Err(io::ErrorKind::Interrupted.into()),
            _ => {}
        }
        let place = self.listeners[**listener].waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((place, self.wires[place].address.unwrap()))
    }

    fn register(&mut self, stream: &mut usize, token: Token) -> io::Result<()> {
        if self.random.one_in(self.register_fails_one_in) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let wire = &mut self.wires[*stream];
        wire.token = Some(token);
        wire.writable = true;
        Ok(())
    }
}

impl Poller for SimNet {
    fn poll(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
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
            // A turn takes time, too.
            self.now_ms += self.random.next() % 2;
            return Ok(());
        }
        // Nothing stirs: to the next moment at which something will.
        let wakes_ms = self.peers.iter().filter_map(|peer| peer.wakes_ms(self)).min();
        let disk = self.disk.lock().unwrap();
        let record_ms = disk.stuck.then_some(disk.stuck_until_ms);
        drop(disk);
        let timeout_ms = timeout.map(|timeout| self.now_ms + u64::try_from(timeout.as_millis()).unwrap());
        match wakes_ms.into_iter().chain(record_ms).chain(timeout_ms).min() {
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

/// As on Linux.
mod libc_number {
    pub const EMFILE: i32 = 24;
    pub const ECONNABORTED: i32 = 103;
}
