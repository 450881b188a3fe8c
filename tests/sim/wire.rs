//! A connection of the simulated network: two bounded queues of bytes, the readiness of the server's end, and
//! what the server has done with it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use loopline::limits::Limits;
use loopline::net::Token;

use super::run::{LISTENERS, SERVICES};

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and the checks want them all")]
pub struct Wire {
    pub listener: usize,
    /// The first bytes of the peer that are a PROXY header; `usize::MAX`: it is never complete, or not known.
    pub header_bytes: usize,
    pub address: SocketAddr,
    /// Bytes that fit between server and peer, in each direction.
    pub capacity: usize,
    pub connected_ms: u64,
    /// When the server accepted it.
    pub accepted_ms: Option<u64>,
    /// An event has reported bytes, or an end, and no read has followed.
    pub awaits_read: bool,
    /// Turns for which that is so, without a reason.
    pub turns_due: usize,
    /// Sent by the peer, not read by the server.
    pub to_server: VecDeque<u8>,
    /// Number of bytes that the server has read.
    pub read_bytes: usize,
    pub last_read_ms: u64,
    pub peer_ended: bool,
    /// The server has read the end of the peer's side.
    pub end_read: bool,
    /// Sent by the server, not read by the peer.
    pub to_peer: VecDeque<u8>,
    /// All bytes that the server has sent.
    pub sent: Vec<u8>,
    pub last_sent_ms: u64,
    /// When the server ended its side, and how much it had read by then.
    pub server_ended: Option<(u64, usize)>,
    pub closed_ms: Option<u64>,
    /// The server closed while both sides were open.
    pub is_cut: bool,
    /// By either side: no byte is delivered any more.
    pub reset: bool,
    pub registration_failed: bool,
    pub was_registered: bool,
    pub token: Option<Token>,
    pub readable: bool,
    /// An event reports bytes when this many have arrived.
    pub low_water_mark: usize,
    pub writable: bool,
    /// An event has reported the end of the peer's side; no other will.
    pub end_reported: bool,
    /// The last write of the server would have blocked.
    pub write_blocked: bool,
    /// A read, or a write, cannot bring anything before the next event. Trying is a wasted system call.
    pub read_awaits_event: bool,
    pub write_awaits_event: bool,
}

impl Wire {
    pub fn new(listener: usize, address: SocketAddr, capacity: usize, connected_ms: u64) -> Self {
        Self {
            listener,
            header_bytes: 0,
            address,
            capacity,
            connected_ms,
            accepted_ms: None,
            awaits_read: false,
            turns_due: 0,
            to_server: VecDeque::new(),
            read_bytes: 0,
            last_read_ms: connected_ms,
            peer_ended: false,
            end_read: false,
            to_peer: VecDeque::new(),
            sent: Vec::new(),
            last_sent_ms: connected_ms,
            server_ended: None,
            closed_ms: None,
            is_cut: false,
            reset: false,
            registration_failed: false,
            was_registered: false,
            token: None,
            readable: false,
            low_water_mark: 1,
            writable: false,
            end_reported: false,
            write_blocked: false,
            read_awaits_event: true,
            write_awaits_event: false,
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
        self.readable |= taken > 0 && self.is_above_low_water();
        taken
    }

    /// Whether bytes are reported: enough have arrived, or no more fit.
    pub fn is_above_low_water(&self) -> bool {
        let bytes = self.to_server.len();
        bytes >= self.low_water_mark || bytes >= self.capacity
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
        (self.server_ended.is_some() || self.closed_ms.is_some() || self.reset) && self.to_peer.is_empty()
    }

    /// Milliseconds from the connect until the server closed.
    pub fn lifetime_ms(&self) -> Option<u64> {
        self.closed_ms.map(|ms| ms - self.connected_ms)
    }

    /// An event for this connection has been reported.
    pub fn report(&mut self, readable: bool, writable: bool, ended: bool) {
        self.read_awaits_event &= !(readable || ended);
        self.awaits_read |= readable || ended;
        self.write_awaits_event &= !writable;
    }

    /// Whether it is open at the server.
    pub fn is_open(&self) -> bool {
        self.accepted_ms.is_some() && self.closed_ms.is_none()
    }

    /// Whether it was refused before the poller knew it.
    pub fn was_refused_at_once(&self) -> bool {
        self.accepted_ms.is_some() && !self.was_registered && !self.registration_failed
    }

    /// Whether it is one of `message`, which says why it refuses a peer.
    pub fn is_message(&self) -> bool {
        self.listener != LISTENERS && self.listener % SERVICES == 0
    }

    pub fn is_admin(&self) -> bool {
        self.listener == LISTENERS
    }

    /// Whether a server that is not stopping has a reason to close the connection at `now_ms`: the end of both
    /// sides, an error, or a deadline that has passed, and never the delay of the server itself.
    pub fn may_be_closed(&self, now_ms: u64, limits: &Limits) -> bool {
        let passed = |since_ms: u64, timeout: Option<std::time::Duration>| {
            timeout.is_some_and(|timeout| u128::from(now_ms - since_ms) >= timeout.as_millis())
        };
        // Without a token it is refused at once.
        if self.reset || self.registration_failed || self.end_read || self.token.is_none() {
            return true;
        }
        if let Some((ended_ms, read_before)) = self.server_ended {
            return passed(ended_ms, Some(limits.linger_timeout))
                || self.read_bytes - read_before > limits.linger_bytes_max;
        }
        // Which connection holds most is not known here.
        if limits.memory_bytes_max < 16 << 20 {
            return true;
        }
        let is_header_unknown = self.header_bytes == usize::MAX;
        if self.read_bytes < self.header_bytes && passed(self.connected_ms, Some(limits.proxy_header_timeout))
        {
            return true;
        }
        // It may be refused by the client that its header names.
        let has_client = self.header_bytes > 0 && (is_header_unknown || self.read_bytes >= self.header_bytes);
        if has_client && limits.connections_per_source_max.is_some() {
            return true;
        }
        let idle_timeout =
            if self.is_admin() { Some(limits.admin_idle_timeout) } else { limits.idle_timeout };
        // Any byte counts as activity. A frame, or bytes that are not taken, begin with it at the latest.
        passed(self.connected_ms, limits.frame_timeout)
            || passed(self.last_read_ms, idle_timeout)
            || passed(self.last_sent_ms, limits.write_timeout)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to_server, to_peer, read_bytes, sent, .. } = self;
        write!(f, "{} bytes to the server, {} to the peer, ", to_server.len(), to_peer.len())?;
        write!(f, "{read_bytes} read, {} sent, reset: {}, ", sent.len(), self.reset)?;
        write!(f, "listener {}, accepted: {:?}, ", self.listener, self.accepted_ms)?;
        write!(f, "edges: {} {}, closed: {:?}", self.readable, self.writable, self.closed_ms)
    }
}
