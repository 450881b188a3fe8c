//! Sockets that are not active, and send now and then.

use super::UdpTraffic;
use crate::load::batch::Batch;
use crate::load::heartbeats::Heartbeat;
use crate::load::traffic::Context;
use crate::net::ClientNet;

impl<N: ClientNet> UdpTraffic<N> {
    /// Sends the heartbeats that are due. Returns when the next will be.
    pub(super) fn send_heartbeats(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let mut heartbeats = self.heartbeats.filter(|_| self.is_sending)?;
        let active = self.active();
        let idle = u32::try_from(self.peers.len()).unwrap_or(u32::MAX) - active;
        let next_ns = heartbeats.send_due(idle, now_ns, |Heartbeat { due_ns, index }| {
            let key = active + index;
            if self.peer(key).session.is_open() {
                context.tally.heartbeat_sent();
                let now_ns = context.net.now_ns();
                self.request(context, key, Batch::due(due_ns, now_ns));
            }
        });
        self.heartbeats = Some(heartbeats);
        next_ns
    }
}
