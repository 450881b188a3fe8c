//! A server on the simulated network, and what must hold after each of its turns and in the end.

use std::net::SocketAddr;

use loopline::event_loop::{EventLoop, LoopError};
use loopline::journal::{Ack, Journal};
use loopline::limits::Limits;
use loopline::service::message::Message;
use loopline::service::{greeting::Greeting, reply::Reply};

use super::SimNet;
use super::datagrams::Echo;
use super::faults::{Faults, Random};
use super::peer::Peer;

pub struct Run {
    pub server: EventLoop<SimNet>,
    turns: usize,
}

impl Run {
    pub fn new(random: &mut Random, limits: &Limits, faults: Faults, ack: Ack) -> Self {
        let mut net = SimNet::new(random.next(), limits, faults, ack);
        let journal = Journal::to(Box::new(net.sink()), ack);
        let mut server = EventLoop::new(net, limits.clone());
        server.set_journal(journal);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        server.listen(address, Box::new(Message::new(4000))).unwrap();
        server.listen(address, Box::new(Greeting)).unwrap();
        server.listen(address, Box::new(Reply)).unwrap();
        server.bind(address, Box::new(Echo)).unwrap();
        Self { server, turns: 0 }
    }

    /// Turns once, after which `more_to_come` says whether a still network is not the end.
    pub fn turn(&mut self, more_to_come: bool) -> Result<(), LoopError> {
        self.server.net().is_still = false;
        let outcome = self.server.turn();
        let has_failed = self.server.net().disk.lock().unwrap().has_failed;
        assert!(outcome.is_err() || !has_failed, "the loop goes on after its journal has failed");
        assert!(!self.server.net().is_still || more_to_come, "a peer waits forever");
        self.turns += 1;
        assert!(self.turns < 100_000, "the run never ends");
        outcome
    }

    pub fn is_done(&mut self) -> bool {
        self.server.connections() == 0 && self.server.net().peers.iter().all(Peer::is_done)
    }

    /// Returns how many peers are served: they have received exactly what is theirs.
    pub fn check_end(&mut self) -> usize {
        let counters = self.server.counters().clone();
        assert_eq!(counters.opened, counters.closed.iter().sum::<u64>());
        let net = self.server.net();
        let disk = net.disk.lock().unwrap();
        let mut served = 0;
        for (peer, wire) in net.peers.iter().zip(&net.wires) {
            let is_served = peer.is_served() && !peer.leaves_early;
            served += usize::from(is_served);
            peer.check_records(disk.records(wire.address), is_served && disk.ack != Ack::Received);
        }
        served
    }
}
