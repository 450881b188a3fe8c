//! A round of a closed loop, in one pass: one read has brought the replies to all messages in flight on a connection,
//! and the same number of messages is sent with one write. It is what nearly all messages of a closed loop need, so it
//! looks at the connection once, and neither queues messages nor divides bytes into them. All else is left to
//! [`on_bytes`](TcpTraffic::on_bytes).

use super::TcpTraffic;
use super::writing::write;
use crate::load::batch::Batch;
use crate::load::conn::{ConnEvent, State};
use crate::load::traffic::Context;
use crate::net::ClientNet;

impl<N: ClientNet> TcpTraffic<N> {
    /// Sets which connections may have rounds: those that send in a closed loop, if messages are all equal.
    pub(super) fn set_rounds(&mut self) {
        let is_closed_loop = self.is_sending && self.plan.pipeline.is_some() && !self.plan.one_shot;
        let has_rounds = is_closed_loop && !self.is_held && self.messages.are_repeated();
        self.rounds_before = if has_rounds { self.sending() } else { 0 };
    }

    /// Ends a round with the first `bytes` of the buffer, and begins the next. Returns whether the connection is still
    /// open; `None` if they are not what ends a round, and nothing was done.
    #[inline]
    pub(super) fn begin_round(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> Option<bool> {
        if key >= self.rounds_before {
            return None;
        }
        let conn = self.conns.get_mut(key);
        let is_whole = (conn.reply_bytes | conn.unsent) == 0 && conn.has_one_batch();
        if conn.state != State::Open || !is_whole {
            return None;
        }
        let count = conn.oldest.count;
        let requests = self.messages.next_round(count, &self.buffer[..bytes])?;
        let stream = conn.stream.as_ref()?;
        let now_ns = context.net.now_ns();
        let answered = std::mem::replace(&mut conn.oldest, Batch::on_time(now_ns, count));
        context.tally.answered(answered, now_ns);
        context.tally.sent(&conn.oldest);
        match write(context, stream, requests) {
            Ok(taken) if taken == requests.len() => {}
            Ok(taken) => {
                (conn.unsent, conn.written) = self.messages.left(count, 0, taken);
                self.conns.apply(key, ConnEvent::SendBufferFull);
            }
            Err(error) => {
                conn.unsent = count;
                self.on_write_error(context, key, &error);
                return Some(false);
            }
        }
        Some(true)
    }
}
