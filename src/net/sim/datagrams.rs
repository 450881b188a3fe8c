//! Datagrams of the simulated network. None is lost: what a service does with a datagram is what a test looks at.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::SimNet;
use super::stream::event;
use crate::net::{DatagramIo, Event, Token};

/// The server's side of a socket for datagrams.
#[derive(Debug)]
pub struct SimSocket(SocketAddr);

#[derive(Debug, Default)]
pub(super) struct Sockets(BTreeMap<SocketAddr, Socket>);

#[derive(Debug)]
struct Socket {
    token: Token,
    /// Datagrams that wait, with their senders.
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Datagrams that the server has sent, with their receivers.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    edge: bool,
}

impl Sockets {
    pub(super) fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(SimSocket, SocketAddr)> {
        if self.0.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.0.insert(address, Socket { token, waiting: VecDeque::new(), sent: Vec::new(), edge: false });
        Ok((SimSocket(address), address))
    }

    pub(super) fn take_events(&mut self) -> impl Iterator<Item = Event> {
        self.0.values_mut().filter_map(|socket| {
            std::mem::take(&mut socket.edge).then(|| event(socket.token, true, false, false))
        })
    }

    pub(super) fn put_back(&mut self, event: Event) {
        self.0
            .values_mut()
            .filter(|socket| socket.token == event.token)
            .for_each(|socket| socket.edge = true);
    }

    fn at(&mut self, address: SocketAddr) -> &mut Socket {
        self.0.get_mut(&address).unwrap_or_else(|| panic!("no server receives datagrams at {address}"))
    }
}

impl SimNet {
    /// A peer sends a datagram to `to`.
    ///
    /// # Panics
    /// The server receives none there.
    pub fn send_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let socket = self.sockets.at(to);
        socket.waiting.push_back((from, bytes.to_vec()));
        socket.edge = true;
    }

    /// The datagrams that the server has sent from `from` since the last call, with their receivers.
    ///
    /// # Panics
    /// The server receives none there.
    pub fn take_datagrams(&mut self, from: SocketAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.sockets.at(from).sent)
    }
}

impl DatagramIo for SimNet {
    type Socket = SimSocket;

    fn receive(&mut self, socket: &SimSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (from, datagram) = self.sockets.at(socket.0).waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let bytes = datagram.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&datagram[..bytes]);
        Ok((bytes, from))
    }

    fn send(&mut self, socket: &SimSocket, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        self.sockets.at(socket.0).sent.push((peer, datagram.to_vec()));
        Ok(())
    }
}
