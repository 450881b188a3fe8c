//! Peers that stay without need.

use loopline::frame;

use super::header::Header;
use super::{Peer, Step, client_port};
use crate::sim::random::Random;
use crate::sim::wire::Wire;

impl Peer {
    /// A peer of `message` that would stay for ever, behind a proxy or not.
    pub fn hostile(wire: usize, is_proxied: bool, random: &mut Random) -> Self {
        let header = is_proxied.then(|| Header::complete(1 + random.below(3), client_port(wire), random));
        let mut peer = header.as_ref().map_or_else(|| Self::new(wire), |it| Self::announced(wire, it));
        peer.is_hostile = true;
        match random.below(5) {
            0 => {}
            1 => {
                let mut half = frame::header(1000).to_vec();
                half.resize(1 + random.below(1000), b'a');
                peer.script.push_back(Step::Send(half));
            }
            2 => {
                let mut bytes = Vec::new();
                frame::append("drop by drop", &mut bytes);
                peer.expect_answer("drop by drop");
                for byte in bytes {
                    peer.script.extend([Step::Send(vec![byte]), Step::Pause(random.below_u64(100))]);
                }
            }
            3 => {
                for number in 0..random.below(100) {
                    peer.plan_message(&format!("{number}"), random);
                }
                peer.reads = false;
            }
            _ => {
                peer.plan_bad_frame(b"?".to_vec(), "Error: header byte 0 is '?', expected a digit");
                peer.script.extend((0..20).map(|_| Step::Send(vec![b'?'; 500])));
            }
        }
        peer.script.push_back(Step::AwaitEnd);
        if let Some(header) = header {
            peer.precede(&header.bytes, random);
        }
        peer
    }

    /// A hostile peer is gone: its machine was switched off, and another one answers for it.
    pub fn vanish(&mut self, wire: &mut Wire) {
        self.script.clear();
        self.paused_until_ms = None;
        wire.reset();
    }
}
