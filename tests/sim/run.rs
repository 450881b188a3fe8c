//! A server on the simulated network, and what must hold after each of its turns and in the end.

use std::collections::HashSet;
use std::net::SocketAddr;

use loopline::event_loop::{EventLoop, LoopError};
use loopline::journal::{Ack, Journal, Sink};
use loopline::limits::Limits;
use loopline::net::Listen;
use loopline::service::StreamService;
use loopline::service::message::Message;
use loopline::service::{greeting::Greeting, month::Month, reply::Reply};

use super::SimNet;
use super::datagrams::MONTH_PORT;
use super::disk::SimSink;
use super::echo::Echo;
use super::faults::Faults;
use super::peer::{MESSAGE_BYTES_MAX, Peer};
use super::random::Random;
use super::status::Status;
use super::wire::Wire;

pub struct Run {
    pub server: EventLoop<SimNet>,
    pub turns: usize,
}

/// Whose the listeners are, but for that of the admin endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listeners {
    Own,
    Inherited,
}

/// The services on connections: `message`, `greeting` and `reply`.
pub const SERVICES: usize = 3;

/// The same services again expect the header of a proxy. The admin endpoint follows.
pub const LISTENERS: usize = 2 * SERVICES;

/// A peer that sends and does not read can wait a minute for its timeout, in which spurious events make turns of less than
/// a millisecond.
const TURNS_MAX: usize = 500_000;

impl Run {
    pub fn new(random: &mut Random, limits: &Limits, faults: Faults, ack: Ack) -> Self {
        Self::with_sink(random, limits, faults, ack, Listeners::Own, |disk| Box::new(disk))
    }

    /// A run whose listeners another process has too.
    pub fn with_inherited_listeners(random: &mut Random, limits: &Limits, faults: Faults, ack: Ack) -> Self {
        Self::with_sink(random, limits, faults, ack, Listeners::Inherited, |disk| Box::new(disk))
    }

    /// A run whose journal is what `sink` makes of the simulated disk.
    pub fn with_sink(
        random: &mut Random,
        limits: &Limits,
        faults: Faults,
        ack: Ack,
        listeners: Listeners,
        sink: impl FnOnce(SimSink) -> Box<dyn Sink>,
    ) -> Self {
        // Most of what a script has left is about calls.
        let net_bytes = random.script_bytes() / 4 * 3;
        let net = SimNet::new(random.fork(net_bytes), limits, faults, ack);
        let journal = Journal::to(sink(net.sink()), ack);
        let mut server = EventLoop::new(net, limits.clone());
        server.set_journal(journal);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for is_proxied in [false, true] {
            let services: [Box<dyn StreamService>; SERVICES] =
                [Box::new(Message::new(MESSAGE_BYTES_MAX)), Box::new(Greeting), Box::new(Reply)];
            for service in services {
                let open = |net: &mut SimNet, token| net.listen(address, token);
                if listeners == Listeners::Inherited {
                    server.listen_inherited(service, open).unwrap();
                } else {
                    server.listen_with(service, open).unwrap();
                }
                if is_proxied {
                    server.expect_proxy_header();
                }
            }
        }
        if listeners == Listeners::Inherited {
            server.net().share_listeners();
        }
        server.bind(address, Box::new(Echo)).unwrap();
        server.bind(SocketAddr::new(address.ip(), MONTH_PORT), Box::new(Month)).unwrap();
        server.listen_with(Box::new(Status), |net, token| net.listen(address, token)).unwrap();
        server.serve_admin_at_last_endpoint();
        Self { server, turns: 0 }
    }

    /// Turns once, after which `more_to_come` says whether a still network is not the end.
    pub fn turn(&mut self, more_to_come: bool) -> Result<(), LoopError> {
        self.server.net().is_still = false;
        let outcome = self.server.turn();
        let has_failed = self.server.net().disk.lock().unwrap().has_failed;
        assert!(outcome.is_err() || !has_failed, "the loop goes on after its journal has failed");
        let (connections, is_stopped) = (self.server.connections(), self.server.is_stopped());
        let net = self.server.net();
        assert!(!net.is_still || more_to_come || is_stopped, "a peer waits forever");
        assert_eq!(
            net.descriptors.len(),
            connections,
            "each connection has a descriptor, and no other is open"
        );
        assert!(
            connections
                <= net.limits.connections_max.saturating_add(net.limits.refusals_max)
                    + net.limits.admin_connections_max,
            "{connections} connections"
        );
        net.stop.check(is_stopped, outcome.is_ok(), net.now_ms);
        if outcome.is_ok() {
            self.check_counts();
        }
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the run never ends: {}", self.left());
        outcome
    }

    pub fn is_done(&mut self) -> bool {
        let connections = self.server.connections();
        let net = self.server.net();
        connections == 0 && !net.has_backlog() && net.peers.iter().all(Peer::is_done)
    }

    /// The hash of all system calls of the run, of the network and of the disk, and what the server counted.
    pub fn trace(&mut self) -> u64 {
        let counters = format!("{:?}", self.server.counters());
        let net = self.server.net();
        let mut trace = net.trace.clone();
        trace.word(net.disk.lock().unwrap().trace.hash());
        trace.word(net.now_ms);
        trace.bytes(counters.as_bytes());
        trace.hash()
    }

    /// What is left to do, for a message.
    pub fn left(&mut self) -> String {
        let connections = self.server.connections();
        let net = self.server.net();
        let open = |(peer, wire): &(&Peer, &Wire)| !peer.is_done() || wire.closed_ms.is_none();
        let peers: Vec<String> = net
            .peers
            .iter()
            .zip(&net.wires)
            .filter(open)
            .map(|(peer, wire)| format!("{peer:?}; {wire:?}"))
            .collect();
        format!("{connections} connections, now {}, {:#?}", net.now_ms, peers)
    }

    /// Returns how many peers are served: they have received exactly what is theirs.
    pub fn check_end(&mut self) -> usize {
        let counters = self.server.counters().clone();
        let closed: u64 = counters.closed.iter().sum();
        let net = self.server.net();
        let left = net.wires.iter().filter(|wire| wire.is_open() && !wire.is_admin()).count();
        assert_eq!(counters.opened, closed + left as u64, "opened, and closed or left");
        let disk = net.disk.lock().unwrap();
        let (mut served, mut addresses) = (0, HashSet::new());
        for (peer, wire) in net.peers.iter().zip(&net.wires) {
            let is_served = peer.is_served() && !peer.leaves_early;
            served += usize::from(is_served);
            let Some(address) = peer.journal_address(wire) else { continue };
            addresses.insert(address);
            let records = disk.records(address);
            peer.check_records(records, is_served && disk.ack != Ack::Received);
        }
        disk.check_peers(&addresses);
        drop(disk);
        self.check_closed();
        served
    }
}
