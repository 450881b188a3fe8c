//! A server on the simulated network in the hands of a test: nothing fails, peers do what they are told, and only
//! the test moves the clock.

use std::time::Duration;

use loopline::CloseReason;
use loopline::frame;
use loopline::journal::Ack;
use loopline::limits::Limits;
use loopline::service::message::ACKNOWLEDGEMENT;

use super::SimNet;
use super::datagrams::SimSocket;
use super::faults::Faults;
use super::peer::Peer;
use super::random::Random;
use super::run::{LISTENERS, Run};
use super::wire::Wire;

pub struct Scene {
    pub run: Run,
}

/// The listeners, in the order in which a server of the simulation has them.
pub const MESSAGE: usize = 0;
pub const ADMIN: usize = LISTENERS;

impl Scene {
    pub fn new(limits: &Limits) -> Self {
        Self::with_ack(limits, Ack::Written)
    }

    pub fn with_ack(limits: &Limits, ack: Ack) -> Self {
        let mut run = Run::new(&mut Random::new(1), limits, Faults::default(), ack);
        run.server.net().clock_stands = true;
        Self { run }
    }

    pub fn net(&mut self) -> &mut SimNet {
        self.run.server.net()
    }

    pub fn wire(&mut self, peer: usize) -> &mut Wire {
        &mut self.net().wires[peer]
    }

    /// A peer connects to `listener`; `capacity` bytes fit into the network in each direction.
    pub fn connect_with(&mut self, listener: usize, capacity: usize) -> usize {
        let net = self.net();
        let index = net.peers.len();
        net.connect(Peer::new(index), listener, capacity);
        index
    }

    /// A peer of `message` connects, and is accepted.
    pub fn connect(&mut self) -> usize {
        let peer = self.connect_with(MESSAGE, 1 << 20);
        self.turns(2);
        peer
    }

    pub fn send(&mut self, peer: usize, bytes: &[u8]) {
        assert_eq!(self.wire(peer).send(bytes), bytes.len(), "the network has room");
    }

    pub fn stop_reading(&mut self, peer: usize) {
        self.net().peers[peer].reads = false;
    }

    /// The socket of `month`.
    pub fn month(&mut self) -> &mut SimSocket {
        &mut self.net().sockets[1]
    }

    /// The journal takes nothing from now on.
    pub fn block_journal(&mut self) {
        let mut disk = self.net().disk.lock().unwrap();
        (disk.is_blocked, disk.blocked_until_ms) = (true, Some(u64::MAX));
    }

    pub fn release_journal(&mut self) {
        self.net().disk.lock().unwrap().blocked_until_ms = Some(0);
    }

    pub fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.run.turn(true).unwrap();
        }
    }

    /// Some time goes by, and the server sees it: a deadline is kept one turn after the poll that saw all that had
    /// arrived by then.
    pub fn pass(&mut self, time: Duration) {
        self.net().now_ms += u64::try_from(time.as_millis()).unwrap();
        self.turns(3);
    }

    pub fn is_closed(&mut self, peer: usize) -> bool {
        self.wire(peer).closed_ms.is_some()
    }

    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.run.server.counters().closed(reason)
    }

    /// The number of acknowledgements that the server has sent to a peer, before anything else.
    pub fn acknowledged(&mut self, peer: usize) -> usize {
        let acknowledgement = framed(ACKNOWLEDGEMENT);
        let answers = self.wire(peer).sent.chunks_exact(acknowledgement.len());
        answers.take_while(|answer| *answer == acknowledgement).count()
    }
}

/// `body` in a frame.
pub fn framed(body: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(body, &mut bytes);
    bytes
}
