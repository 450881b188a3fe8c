//! Connections that are probed: a message before the silence, a message after it, and what arrives in it.

use super::TcpTraffic;
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::load::idle_probe::PROBES_PER_TURN_MAX;
use crate::load::traffic::Context;
use crate::net::ClientNet;
use crate::report::format::time_us;
use crate::units::float;

impl<N: ClientNet> TcpTraffic<N> {
    /// Sends the first message on each open connection.
    pub(super) fn begin_probe(&mut self, context: &mut Context<N>) {
        let now_ns = context.net.now_ns();
        let Some(probe) = &mut self.probe else { return };
        probe.begin(now_ns);
        for key in 0..self.conns.len() {
            if self.conns.get(key).state.can_send() {
                self.probe.as_mut().expect("connections are probed").check(key);
                self.send_and_await(context, key);
            }
        }
    }

    /// Sends on the connections whose silence is over, and closes those that were not answered in time. Returns when
    /// the next will be.
    pub(super) fn continue_probe(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let is_sending = self.is_sending;
        let mut next_ns = None;
        for _ in 0..PROBES_PER_TURN_MAX {
            let probe = self.probe.as_mut()?;
            if !is_sending {
                break;
            }
            match probe.take(now_ns) {
                Ok(key) => self.send_and_await(context, key),
                Err(due_ns) => {
                    next_ns = due_ns;
                    break;
                }
            }
            next_ns = Some(now_ns);
        }
        let unanswered_ns = self.expire_awaited(context, now_ns);
        next_ns.into_iter().chain(unanswered_ns).min()
    }

    fn send_and_await(&mut self, context: &mut Context<N>, key: u32) {
        let now_ns = context.net.now_ns();
        self.awaited.push_back((now_ns, key));
        self.send(context, key, Batch::on_time(now_ns, 1));
    }

    fn expire_awaited(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        while let Some((sent_ns, key)) = self.awaited.front().copied() {
            let oldest = self.conns.get(key).oldest;
            if oldest.count > 0 && oldest.sent_ns == sent_ns {
                let over_ns = sent_ns.saturating_add(self.plan.timeout_ns);
                if now_ns < over_ns {
                    return Some(over_ns);
                }
                let timeout = time_us(float(self.plan.timeout_ns) / 1e3);
                self.fail(context, key, ErrorKind::ReplyTimeout, || format!("no reply within {timeout}"));
            }
            self.awaited.pop_front();
        }
        // Checking many connections at once may have taken much memory.
        self.awaited.shrink_to(PROBES_PER_TURN_MAX as usize);
        None
    }

    /// What a connection receives that is only held, or probed. Returns whether it is still open.
    #[cold]
    pub(super) fn on_held_bytes(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> bool {
        let probe = self.probe.as_mut();
        let is_silent = probe.as_ref().is_none_or(|probe| probe.is_silent(key));
        if is_silent {
            // It may be the reason why the server closes the connection.
            self.first_bytes.add(self.conns.id(key), &self.buffer[..bytes]);
            probe.into_iter().for_each(|probe| probe.received(key));
            return true;
        }
        let Some(replies) = self.check(context, key, bytes) else { return false };
        let now_ns = context.net.now_ns();
        if self.answer(context, key, replies, now_ns).is_none() {
            return false;
        }
        if let Some(probe) = self.probe.as_mut().filter(|_| replies > 0) {
            probe.answered(key, now_ns);
        }
        true
    }

    /// A connection has ended. Returns after which silence, as text, if it was silent.
    pub(super) fn died(&mut self, context: &mut Context<N>, key: u32, kind: ErrorKind) -> String {
        let Some(probe) = &mut self.probe else { return String::new() };
        let now_ns = context.net.now_ns();
        let silent_ns = probe.died(key, kind.into(), now_ns);
        silent_ns.map_or_else(String::new, |ns| format!(" after a silence of {}", time_us(float(ns) / 1e3)))
    }
}
