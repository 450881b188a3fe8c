//! A connection of the simulated network: what is on its way in both directions, and which events are due.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::random::Random;
use crate::net::{Event, Token};

/// Bytes that wait for a peer before a write is not taken.
const ROOM_BYTES: usize = 64 * 1024;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Stream {
    /// Of the peer.
    pub(super) address: SocketAddr,
    token: Option<Token>,
    answer: DialAnswer,
    to_server: VecDeque<u8>,
    /// Sent by the server, and not taken by the peer yet.
    to_peer: VecDeque<u8>,
    pub(super) received: Vec<u8>,
    /// Bytes that the peer takes per turn; `None`: all.
    pub(super) pace: Option<usize>,
    peer_ended: bool,
    server_ended: bool,
    pub(super) is_reset: bool,
    pub(super) is_closed: bool,
    readable: bool,
    writable: bool,
    /// The server was told that a write takes nothing, or not all.
    awaits_room: bool,
}

/// How a peer answers a connection that the server opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialAnswer {
    Accepts,
    Refuses,
    Never,
}

impl Stream {
    pub(super) fn new(address: SocketAddr, answer: DialAnswer) -> Self {
        Self {
            address,
            token: None,
            answer,
            to_server: VecDeque::new(),
            to_peer: VecDeque::new(),
            received: Vec::new(),
            pace: None,
            peer_ended: false,
            server_ended: false,
            is_reset: false,
            is_closed: false,
            readable: false,
            writable: false,
            awaits_room: false,
        }
    }

    pub(super) fn register(&mut self, token: Token) {
        self.token = Some(token);
        self.writable = self.answer != DialAnswer::Never;
    }

    pub(super) fn connected(&self) -> io::Result<bool> {
        match self.answer {
            DialAnswer::Accepts => Ok(true),
            DialAnswer::Refuses => Err(ErrorKind::ConnectionRefused.into()),
            DialAnswer::Never => Ok(false),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        assert!(!self.peer_ended, "the peer has ended its side");
        self.to_server.extend(bytes);
        self.readable |= !bytes.is_empty();
    }

    pub(super) fn end(&mut self) {
        self.peer_ended = true;
        self.readable = true;
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.readable = true;
        self.to_server.clear();
        self.to_peer.clear();
    }

    /// The peer takes what has been sent. Returns whether it took something.
    pub(super) fn take(&mut self) -> bool {
        let bytes = self.pace.unwrap_or(usize::MAX).min(self.to_peer.len());
        self.received.extend(self.to_peer.drain(..bytes));
        if bytes > 0 && std::mem::take(&mut self.awaits_room) {
            self.writable = true;
        }
        bytes > 0
    }

    pub(super) fn has_ended(&self) -> bool {
        (self.server_ended || self.is_closed) && self.to_peer.is_empty()
    }

    pub(super) fn take_event(&mut self) -> Option<Event> {
        let token = self.token.filter(|_| (self.readable || self.writable) && !self.is_closed)?;
        let ended = self.readable && (self.peer_ended || self.is_reset);
        Some(event(token, std::mem::take(&mut self.readable), std::mem::take(&mut self.writable), ended))
    }

    pub(super) fn put_back(&mut self, event: Event) {
        if self.token == Some(event.token) {
            self.readable |= event.readable;
            self.writable |= event.writable;
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8], random: &mut Random) -> io::Result<usize> {
        if self.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let bytes = self.to_server.len().min(buffer.len());
        if bytes == 0 {
            return if self.peer_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let part = random.part(bytes);
        for (place, byte) in buffer.iter_mut().zip(self.to_server.drain(..part)) {
            *place = byte;
        }
        // The rest arrives in a further packet, with an event of its own.
        self.readable |= part < bytes;
        Ok(part)
    }

    pub(super) fn write(&mut self, bytes: &[u8], random: &mut Random) -> io::Result<usize> {
        if self.is_reset || self.is_closed || self.server_ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = ROOM_BYTES.saturating_sub(self.to_peer.len()).min(bytes.len());
        let part = random.part(room);
        self.to_peer.extend(&bytes[..part]);
        self.awaits_room |= part < bytes.len();
        if part == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(part) }
    }

    pub(super) fn half_close(&mut self) -> io::Result<()> {
        if self.is_reset {
            return Err(ErrorKind::NotConnected.into());
        }
        self.server_ended = true;
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
        if !self.to_server.is_empty() {
            // Closing with bytes unread resets the connection.
            self.reset();
        }
    }
}

/// What the poller reports.
pub(super) fn event(token: Token, readable: bool, writable: bool, ended: bool) -> Event {
    Event { token, readable, writable, ended }
}
