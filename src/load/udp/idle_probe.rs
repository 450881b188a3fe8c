//! Sockets that are probed: a request before the silence, and one after it.

use super::{UdpTraffic, of_socket};
use crate::load::error_kind::ErrorKind;
use crate::load::idle_probe::PROBES_PER_TURN_MAX;
use crate::load::traffic::Context;
use crate::net::ClientNet;

impl<N: ClientNet> UdpTraffic<N> {
    /// Sends the first request in each open session: it also opens the mapping of a NAT.
    pub(super) fn begin_probe(&mut self, context: &mut Context<N>) {
        let now_ns = context.net.now_ns();
        let Some(probe) = &mut self.probe else { return };
        probe.begin(now_ns);
        for key in (0..).take(self.peers.len()) {
            if self.peer(key).session.is_open() {
                self.probe.as_mut().expect("sockets are probed").check(key);
                self.request_now(context, key);
            }
        }
    }

    /// Sends on the sockets whose silence is over. Returns when the next will be.
    pub(super) fn continue_probe(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        for _ in 0..PROBES_PER_TURN_MAX {
            let probe = self.probe.as_mut().filter(|_| self.is_sending)?;
            match probe.take(now_ns) {
                Ok(key) => self.request_now(context, key),
                Err(next_ns) => return next_ns,
            }
        }
        Some(now_ns)
    }

    /// Whether the request after the silence is not answered.
    pub(super) fn is_probed(&self, key: u32) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.is_awaiting(key))
    }

    /// The request after the silence was answered like a hello: the server has no session of this socket any more, or a
    /// NAT has given it another port.
    pub(super) fn on_new_session(&mut self, context: &mut Context<N>, key: u32) {
        let what = || of_socket(key, "the request after the silence was answered like that of a new peer");
        context.tally.error(ErrorKind::NewSession, 1, what);
        self.died(context, key, ErrorKind::NewSession);
    }

    pub(super) fn died(&mut self, context: &mut Context<N>, key: u32, kind: ErrorKind) {
        if let Some(probe) = &mut self.probe {
            probe.died(key, kind.into(), context.net.now_ns());
        }
    }
}
