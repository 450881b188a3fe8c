//! Peers behind a proxy: before all else they send a header, whole or in pieces.

use std::net::SocketAddr;

use super::header::{Header, Meaning};
use super::{Peer, Step, client_port};
use crate::sim::random::Random;
use crate::sim::run::SERVICES;
use crate::sim::scene::framed;
use crate::sim::wire::Wire;

impl Peer {
    /// A peer whose header is complete. Its script is still empty.
    pub(super) fn announced(wire: usize, header: &Header) -> Self {
        let mut peer = Self::new(wire);
        peer.header_bytes = header.bytes.len();
        peer.header = Some(header.clone());
        peer
    }

    /// A peer of the service on `listener` whose header is refused, or never complete.
    pub(super) fn unannounced(wire: usize, listener: usize, header: &Header, random: &mut Random) -> Self {
        let mut peer = Self { header_bytes: usize::MAX, header: Some(header.clone()), ..Self::new(wire) };
        match &header.meaning {
            Meaning::Wrong(reason) => {
                if listener % SERVICES == 0 {
                    peer.expected = framed(&format!("Error: {reason}"));
                }
                peer.script.push_back(Step::AwaitEnd);
            }
            Meaning::Peer(_) | Meaning::Cut => {
                peer.script.push_back([Step::End, Step::Reset, Step::AwaitEnd][random.below(3)].clone());
            }
        }
        peer.script.extend([Step::AwaitEnd, Step::Close]);
        peer.precede(&header.bytes, random);
        peer
    }

    /// A peer that completes its header when the time for it is over, and sends a message right behind.
    pub fn late(wire: usize, header_timeout_ms: u64, random: &mut Random) -> Self {
        let header = Header::complete(10 + wire % 200, client_port(wire), random);
        let mut peer = Self::announced(wire, &header);
        let pieces = 2 + random.below(5);
        let piece_bytes = header.bytes.len().div_ceil(pieces);
        let pause_ms = header_timeout_ms / (header.bytes.len().div_ceil(piece_bytes) as u64 - 1) + 100;
        for (number, piece) in header.bytes.chunks(piece_bytes).enumerate() {
            if number > 0 {
                peer.script.push_back(Step::Pause(pause_ms));
            }
            peer.script.push_back(Step::Send(piece.to_vec()));
        }
        peer.plan_message("too late", random);
        peer.script.extend([Step::AwaitEnd, Step::Close]);
        peer
    }

    /// Sends `header` before the rest of the script: alone, with what follows in one piece, or with pauses.
    pub(super) fn precede(&mut self, header: &[u8], random: &mut Random) {
        if let (Some(Step::Send(next)), true) = (self.script.front_mut(), random.one_in(2)) {
            next.splice(..0, header.iter().copied());
            return;
        }
        let pieces = [1, 1 + random.below(4)][random.below(2)];
        let mut steps = Vec::new();
        for piece in header.chunks(header.len().div_ceil(pieces).max(1)) {
            steps.push(Step::Send(piece.to_vec()));
            if pieces > 1 {
                steps.push(Step::Pause(random.below_u64(900)));
            }
        }
        steps.into_iter().rev().for_each(|step| self.script.push_front(step));
    }

    /// The address that stands in the journal for the peer; `None`: it has no right to a line.
    pub fn journal_address(&self, wire: &Wire) -> Option<SocketAddr> {
        match self.header.as_ref().map(|header| &header.meaning) {
            None => Some(wire.address),
            Some(Meaning::Peer(client)) => Some(client.unwrap_or(wire.address)),
            Some(Meaning::Wrong(_) | Meaning::Cut) => None,
        }
    }
}
