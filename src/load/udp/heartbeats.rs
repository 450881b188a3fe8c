//! Sockets that are not active, and send now and then.

use super::UdpTraffic;
use crate::load::batch::Batch;
use crate::load::heartbeats::{HEARTBEATS_PER_TURN_MAX, Heartbeat};
use crate::load::traffic::Context;
use crate::net::ClientNet;

impl<N: ClientNet> UdpTraffic<N> {
    /// Sends the heartbeats that are due. Returns when the next will be.
    pub(super) fn send_heartbeats(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let active = self.active();
        let idle = u32::try_from(self.peers.len()).unwrap_or(u32::MAX) - active;
        for _ in 0..HEARTBEATS_PER_TURN_MAX {
            let heartbeats = self.heartbeats.as_mut().filter(|_| self.is_sending && idle > 0)?;
            let Heartbeat { due_ns, index } = match heartbeats.take(idle, now_ns) {
                Ok(heartbeat) => heartbeat,
                Err(next_ns) => return Some(next_ns),
            };
            let key = active + index;
            if self.peer(key).session.is_open() {
                context.tally.heartbeat_sent();
                let now_ns = context.net.now_ns();
                self.request(context, key, Batch::due(due_ns, now_ns));
            }
        }
        Some(now_ns)
    }
}
