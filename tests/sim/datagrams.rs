//! Datagrams of the simulated network: sockets that are queues, batches that end anywhere, and replies that
//! fail to be sent. What the peers ask, and which replies are right, is up to the service's own file.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use loopline::net::{Datagram, Token};

use super::disk::Disk;
use super::echo::EchoPeers;
use super::faults::Faults;
use super::month::MonthPeers;
use super::random::Random;

/// A datagram on its way to the server.
struct Request {
    bytes: Vec<u8>,
    peer: SocketAddr,
    local: IpAddr,
}

/// A socket; the server has the other half.
pub struct SimSocket {
    pub token: Token,
    address: SocketAddr,
    queue: VecDeque<Request>,
    /// An event for those that wait is due.
    pub edge: bool,
    /// Number received by the server since the last poll.
    received_this_turn: usize,
    /// Number of errors on receiving since the last poll.
    pub failed_this_turn: usize,
    /// Number of replies that the network did not take.
    pub failed: u64,
    pub requests: u64,
    pub echo: EchoPeers,
    pub month: MonthPeers,
}

impl SimSocket {
    pub fn new(token: Token, address: SocketAddr) -> Self {
        Self {
            token,
            address,
            queue: VecDeque::new(),
            edge: false,
            received_this_turn: 0,
            failed_this_turn: 0,
            failed: 0,
            requests: 0,
            echo: EchoPeers::default(),
            month: MonthPeers::default(),
        }
    }

    /// Ends a turn, which may receive `datagrams_max`.
    pub fn end_turn(&mut self, datagrams_max: usize) {
        assert!(self.received_this_turn <= datagrams_max, "a turn receives a bounded number of datagrams");
        (self.received_this_turn, self.failed_this_turn) = (0, 0);
    }

    pub fn has_edge(&self) -> bool {
        self.edge && !self.queue.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn is_month(&self) -> bool {
        self.address.port() == MONTH_PORT
    }

    /// A peer sends a datagram.
    pub fn send_request(&mut self, random: &mut Random) {
        let bytes = if self.is_month() { MonthPeers::request(random) } else { self.echo.request(random) };
        let [host, local] = [(); 2].map(|()| u8::try_from(1 + random.below(4)).unwrap());
        self.send_from(datagram_peer(host, random.one_in(2)), bytes, local);
    }

    /// The peer `host` sends `text`.
    pub fn send_text(&mut self, host: u8, text: &str) {
        self.send_from(datagram_peer(host, true), text.into(), 1);
    }

    fn send_from(&mut self, peer: SocketAddr, bytes: Vec<u8>, local: u8) {
        self.requests += 1;
        self.queue.push_back(Request { bytes, peer, local: IpAddr::from([10, 9, 9, local]) });
        self.edge = true;
    }

    /// The server receives the next datagram. No event reports that more are left.
    pub fn receive(
        &mut self,
        random: &mut Random,
        faults: &Faults,
        buffer: &mut [u8],
    ) -> io::Result<Datagram> {
        if random.fails(faults.interrupted_calls) {
            self.failed_this_turn += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_receives) {
            self.failed_this_turn += 1;
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let Request { bytes, peer, local } = self.queue.pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.received_this_turn += 1;
        let bytes = &bytes[..bytes.len().min(buffer.len())];
        buffer[..bytes.len()].copy_from_slice(bytes);
        if self.is_month() {
            self.month.received(peer, bytes);
        } else {
            self.echo.received(bytes, peer, local);
        }
        Ok(Datagram { bytes: 0..bytes.len(), peer, local: Some(local) })
    }

    /// The server sends a reply.
    pub fn send(
        &mut self,
        random: &mut Random,
        faults: &Faults,
        disk: &Disk,
        reply: &[u8],
        to: &Datagram,
    ) -> io::Result<()> {
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_sends) {
            self.failed += 1;
            return Err([ErrorKind::WouldBlock, ErrorKind::PermissionDenied][random.below(2)].into());
        }
        if self.is_month() {
            self.month.replied(reply, to.peer);
        } else {
            self.echo.replied(reply, to, disk);
        }
        Ok(())
    }
}

/// The port of `month` in the simulation; the other service has another.
pub const MONTH_PORT: u16 = 8091;

/// The address of a peer that sends datagrams.
pub fn datagram_peer(host: u8, is_v4: bool) -> SocketAddr {
    if is_v4 {
        SocketAddr::from(([10, 7, 7, host], DATAGRAM_PEER_PORT))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 7, 0, 0, 0, 0, u16::from(host)], DATAGRAM_PEER_PORT))
    }
}

/// Whether `peer` sends datagrams; the others connect.
pub fn is_datagram_peer(peer: SocketAddr) -> bool {
    peer.port() == DATAGRAM_PEER_PORT
}

const DATAGRAM_PEER_PORT: u16 = 4001;
