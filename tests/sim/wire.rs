//! A connection of the simulated network: two bounded queues of bytes, and the readiness of the server's end.

use std::collections::VecDeque;
use std::net::SocketAddr;

use loopline::net::Token;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and the checks want them all")]
pub struct Wire {
    pub listener: usize,
    pub address: SocketAddr,
    /// Bytes that fit between server and peer, in each direction.
    pub capacity: usize,
    pub connected_ms: u64,
    /// Sent by the peer, not read by the server.
    pub to_server: VecDeque<u8>,
    /// Number of bytes that the server has read.
    pub read_bytes: usize,
    pub peer_ended: bool,
    /// Sent by the server, not read by the peer.
    pub to_peer: VecDeque<u8>,
    /// All bytes that the server has sent.
    pub sent: Vec<u8>,
    pub server_ended: bool,
    pub closed_ms: Option<u64>,
    /// The server closed while both sides were open.
    pub is_cut: bool,
    /// By either side: no byte is delivered any more.
    pub reset: bool,
    pub registration_failed: bool,
    pub token: Option<Token>,
    pub readable: bool,
    pub writable: bool,
    /// An event has reported the end of the peer's side; no other will.
    pub end_reported: bool,
    /// The last write of the server would have blocked.
    pub write_blocked: bool,
}

impl Wire {
    pub fn new(listener: usize, address: SocketAddr, capacity: usize, connected_ms: u64) -> Self {
        Self {
            listener,
            address,
            capacity,
            connected_ms,
            to_server: VecDeque::new(),
            read_bytes: 0,
            peer_ended: false,
            to_peer: VecDeque::new(),
            sent: Vec::new(),
            server_ended: false,
            closed_ms: None,
            is_cut: false,
            reset: false,
            registration_failed: false,
            token: None,
            readable: false,
            writable: false,
            end_reported: false,
            write_blocked: false,
        }
    }

    pub fn reset(&mut self) {
        self.reset = true;
        self.to_server.clear();
        self.to_peer.clear();
        (self.readable, self.writable) = (true, true);
    }

    /// The peer sends up to all of `bytes`; returns how many.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if self.closed_ms.is_some() || self.reset {
            // A closed socket answers with a reset, which discards what is on its way to the peer.
            self.reset();
            return bytes.len();
        }
        let taken = bytes.len().min(self.capacity - self.to_server.len());
        self.to_server.extend(&bytes[..taken]);
        self.readable |= taken > 0;
        taken
    }

    /// The peer ends its side.
    pub fn end(&mut self) {
        self.peer_ended = true;
        self.readable = true;
    }

    /// The peer reads up to `bytes` bytes.
    pub fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let taken: Vec<u8> = self.to_peer.drain(..bytes.min(self.to_peer.len())).collect();
        if !taken.is_empty() && self.write_blocked {
            (self.write_blocked, self.writable) = (false, true);
        }
        taken
    }

    /// Whether the peer has read all it will ever receive.
    pub fn is_over(&self) -> bool {
        (self.server_ended || self.closed_ms.is_some() || self.reset) && self.to_peer.is_empty()
    }

    /// Milliseconds from the connect until the server closed.
    pub fn lifetime_ms(&self) -> Option<u64> {
        self.closed_ms.map(|ms| ms - self.connected_ms)
    }
}
