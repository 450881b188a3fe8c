//! Reading and checking replies.

use std::io;

use super::TcpTraffic;
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::load::excerpt::excerpt;
use crate::load::expected::WrongReply;
use crate::load::traffic::Context;
use crate::net::{ClientNet, Event};

/// Reads of one connection in one turn. The rest is read after the other connections' turns.
pub(super) const READS_PER_TURN_MAX: usize = 16;

impl<N: ClientNet> TcpTraffic<N> {
    /// Reads what has arrived, until nothing is left.
    pub(super) fn read(&mut self, context: &mut Context<N>, key: u32, event: Event) {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &self.conns.get(key).stream else { return };
            match context.net.read(stream, &mut self.buffer) {
                Ok(0) => return self.on_end_of_stream(context, key),
                Ok(bytes) => {
                    context.tally.read(bytes);
                    let is_round = self.begin_round(context, key, bytes);
                    let is_open = is_round.unwrap_or_else(|| self.on_bytes(context, key, bytes));
                    // A short read has emptied the socket, unless the end of the stream follows.
                    if !is_open || (bytes < self.buffer.len() && !event.ended) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(context, key, ErrorKind::of(&error), || error.to_string()),
            }
        }
        self.unfinished.push(event);
    }

    /// Reads what arrived before writing failed: it may contain the server's reason, which ends the
    /// connection. Returns whether the connection still has to be ended.
    pub(super) fn drain_reads(&mut self, context: &mut Context<N>, key: u32) -> bool {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &self.conns.get(key).stream else { return false };
            match context.net.read(stream, &mut self.buffer) {
                Ok(bytes @ 1..) => {
                    context.tally.read(bytes);
                    if !self.on_bytes(context, key, bytes) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return true,
            }
        }
        true
    }

    /// Checks the first `bytes` of the buffer. Returns whether the connection is still open.
    pub(super) fn on_bytes(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> bool {
        if self.is_held {
            return self.on_held_bytes(context, key, bytes);
        }
        let replies = match self.check(context, key, bytes) {
            None => return false,
            Some(0) => return true,
            Some(replies) => replies,
        };
        let now_ns = context.net.now_ns();
        if self.heartbeats.is_some() && self.has_heartbeats(key) {
            return self.on_heartbeat_replies(context, key, replies, now_ns);
        }
        let Some(answered) = self.answer(context, key, replies, now_ns) else { return false };
        if self.plan.one_shot {
            self.close(context, key);
            context.tally.closed();
            return false;
        }
        let sends = self.is_sending && key < self.sending && self.plan.pipeline.is_some();
        if sends && self.conns.get(key).state.can_send() {
            self.send(context, key, Batch::on_time(now_ns, answered));
        }
        true
    }

    /// Checks the first `bytes` of the buffer as replies. Returns how many are whole; `None` if they are wrong, which
    /// ends the connection.
    #[inline]
    pub(super) fn check(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> Option<u32> {
        let partial_bytes = self.conns.get(key).reply_bytes;
        match self.messages.check(key, partial_bytes, &self.buffer[..bytes]) {
            Ok(found) => {
                self.conns.get_mut(key).reply_bytes = found.partial_bytes;
                Some(found.replies)
            }
            Err(wrong) => {
                self.on_wrong_reply(context, key, &wrong, bytes);
                None
            }
        }
    }

    #[cold]
    fn on_wrong_reply(&mut self, context: &mut Context<N>, key: u32, wrong: &WrongReply, bytes: usize) {
        let reply = &self.buffer[wrong.reply_begins_at.unwrap_or(0)..bytes];
        let (kind, what) = match self.messages.refusal(reply) {
            Some(reason) => (ErrorKind::ServerRefuses, format!("the server refused: {}", excerpt(reason))),
            None => (ErrorKind::WrongReply, format!("{}; received: {}", wrong.what, excerpt(reply))),
        };
        self.fail(context, key, kind, || what);
    }

    /// Counts the oldest messages in flight as answered, one for each of `replies`, and returns these; `None` if there
    /// are fewer, which ends the connection.
    pub(super) fn answer(
        &mut self,
        context: &mut Context<N>,
        key: u32,
        replies: u32,
        now_ns: u64,
    ) -> Option<u32> {
        let mut answered = 0;
        while answered < replies {
            let Some(batch) = self.conns.pop(key, replies - answered) else {
                let what = || "received a reply without a request".into();
                self.fail(context, key, ErrorKind::WrongReply, what);
                return None;
            };
            answered += batch.count;
            context.tally.answered(batch, now_ns);
        }
        Some(answered)
    }

    /// Counts the oldest heartbeats in flight as answered. Returns whether the connection is still open. Outside
    /// [`on_bytes`](Self::on_bytes), which runs for each message.
    #[inline(never)]
    fn on_heartbeat_replies(
        &mut self,
        context: &mut Context<N>,
        key: u32,
        replies: u32,
        now_ns: u64,
    ) -> bool {
        let mut answered = 0;
        while answered < replies {
            let Some(batch) = self.conns.pop(key, replies - answered) else {
                let what = || "received a reply without a request".into();
                self.fail(context, key, ErrorKind::WrongReply, what);
                return false;
            };
            answered += batch.count;
            context.tally.heartbeat_answered(batch, now_ns);
        }
        true
    }

    /// The server has ended the stream: that completes a reply, or is an error.
    fn on_end_of_stream(&mut self, context: &mut Context<N>, key: u32) {
        let reply_bytes = self.conns.get(key).reply_bytes;
        if self.messages.is_whole(reply_bytes) {
            let now_ns = context.net.now_ns();
            if self.answer(context, key, 1, now_ns).is_some() {
                self.close(context, key);
                context.tally.closed();
            }
            return;
        }
        let reply_bytes = self.messages.bytes_of(reply_bytes);
        let what = || match reply_bytes {
            0 => String::from("the server ended the stream"),
            bytes => format!("the server ended the stream {bytes} bytes into a reply"),
        };
        self.fail(context, key, ErrorKind::Closed, what);
    }
}
