//! Reading replies, and what may come instead of one.

use std::io;

use super::TcpTraffic;
use crate::frame;
use crate::journal::escape::escape;
use crate::load::conn_table::{Batch, State};
use crate::load::error_kind::ErrorKind;
use crate::load::protocol::Wrong;
use crate::load::traffic::Context;
use crate::net::{ClientNet, Event};
use crate::service::message::REFUSAL_PREFIX;

/// Reads of one connection in one turn; what is left waits until others had theirs.
const READS_PER_TURN_MAX: usize = 16;

/// Bytes of an unexpected text that are shown.
const TEXT_SHOWN_BYTES: usize = 120;

impl<N: ClientNet> TcpTraffic<N> {
    /// Reads what has come, until nothing is left.
    pub(super) fn read(&mut self, context: &mut Context<'_, N>, key: u32, event: Event) {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &self.conns.get(key).stream else { return };
            match context.net.read(stream, &mut self.buffer) {
                Ok(0) => return self.ended(context, key),
                Ok(bytes) => {
                    context.tally.read(bytes);
                    let is_open = self.received(context, key, bytes);
                    // A short read has emptied the socket, unless the end of the stream is behind it.
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

    /// Judges what came before the connection broke: it may tell why. Returns whether it tells nothing, and
    /// the connection is still to be ended.
    pub(super) fn hear_out(&mut self, context: &mut Context<'_, N>, key: u32) -> bool {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &self.conns.get(key).stream else { return false };
            match context.net.read(stream, &mut self.buffer) {
                Ok(bytes @ 1..) => {
                    context.tally.read(bytes);
                    if !self.received(context, key, bytes) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return true,
            }
        }
        true
    }

    /// Judges the first `bytes` of the buffer. Returns whether the connection is still there.
    fn received(&mut self, context: &mut Context<'_, N>, key: u32, bytes: usize) -> bool {
        let partial_bytes = self.conns.get(key).reply_bytes;
        let found = match self.exchange.check(partial_bytes, &self.buffer[..bytes]) {
            Ok(found) => found,
            Err(wrong) => {
                self.wrong(context, key, &wrong, bytes);
                return false;
            }
        };
        self.conns.get_mut(key).reply_bytes = found.partial_bytes;
        if found.replies == 0 {
            return true;
        }
        let now_ns = context.net.now_ns();
        let answered = self.answered(context, key, found.replies, now_ns);
        if answered < found.replies {
            self.unasked(context, key);
            return false;
        }
        if self.plan.one_shot {
            self.close(context, key);
            context.tally.closed();
            return false;
        }
        let is_broken = self.conns.get(key).state == State::Broken;
        if self.sending && self.plan.pipeline.is_some() && !is_broken {
            self.send(context, key, Batch { sent_ns: now_ns, lag_us: 0, count: answered });
        }
        true
    }

    /// The first `bytes` of the buffer are not the reply that they should be.
    #[cold]
    fn wrong(&mut self, context: &mut Context<'_, N>, key: u32, wrong: &Wrong, bytes: usize) {
        let (kind, what) = explain(wrong, &self.buffer[..bytes]);
        self.fail(context, key, kind, || what);
    }

    #[cold]
    fn unasked(&mut self, context: &mut Context<'_, N>, key: u32) {
        self.fail(context, key, ErrorKind::WrongReply, || "a reply came that nobody has asked for".into());
    }

    /// The oldest messages in flight are answered; returns how many of `replies` there were messages for.
    fn answered(&mut self, context: &mut Context<'_, N>, key: u32, replies: u32, now_ns: u64) -> u32 {
        let mut answered = 0;
        while answered < replies {
            let Some(batch) = self.conns.pop(key, replies - answered) else { break };
            answered += batch.count;
            context.tally.answered(batch, now_ns);
        }
        answered
    }

    /// The server has ended the stream.
    fn ended(&mut self, context: &mut Context<'_, N>, key: u32) {
        let reply_bytes = self.conns.get(key).reply_bytes;
        if self.exchange.is_whole(reply_bytes) {
            let now_ns = context.net.now_ns();
            self.answered(context, key, 1, now_ns);
            self.close(context, key);
            context.tally.closed();
            return;
        }
        let what = || match reply_bytes {
            0 => String::from("the server ended the stream"),
            bytes => format!("the server ended the stream {bytes} bytes into a reply"),
        };
        self.fail(context, key, ErrorKind::Closed, what);
    }
}

/// What came instead of a reply, in words.
fn explain(wrong: &Wrong, bytes: &[u8]) -> (ErrorKind, String) {
    let begins = wrong.reply_begins_at.unwrap_or(0);
    let text = &bytes[begins..];
    if let Ok(Some(frame)) = frame::parse(text, TEXT_SHOWN_BYTES * 4) {
        if frame.body.starts_with(REFUSAL_PREFIX.as_bytes()) {
            return (ErrorKind::ServerRefuses, format!("the server said: {}", shown(frame.body)));
        }
    }
    (ErrorKind::WrongReply, format!("{wrong}; what came begins with: {}", shown(text)))
}

/// As much of `text` as fits on a line, escaped.
fn shown(text: &[u8]) -> String {
    let mut line = Vec::new();
    escape(&text[..text.len().min(TEXT_SHOWN_BYTES)], &mut line);
    String::from_utf8_lossy(&line).into_owned()
}
