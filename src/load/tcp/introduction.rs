//! What precedes the messages on a connection: the greeting of the server, the hello, and the reply to it.
//!
//! While it lasts, `reply_bytes` of the connection is the progress of what the server sends, and `written` the bytes
//! of the hello that are written.

use std::io;

use super::TcpTraffic;
use super::replies::READS_PER_TURN_MAX;
use super::writing::write;
use crate::load::byte_text::Numbers;
use crate::load::conn::State;
use crate::load::conn_table::Awaited;
use crate::load::error_kind::ErrorKind;
use crate::load::excerpt::excerpt;
use crate::load::expected::{Expected, Progress};
use crate::load::traffic::Context;
use crate::net::{ClientNet, Event};

impl<N: ClientNet> TcpTraffic<N> {
    /// What the server sends first on a connection.
    pub(super) fn first_awaited(&self) -> Awaited {
        if self.plan.introduction.greeting.is_some() {
            Awaited::Greeting
        } else {
            self.awaited_after_greeting()
        }
    }

    fn awaited_after_greeting(&self) -> Awaited {
        if self.plan.introduction.reply.is_some() { Awaited::Reply } else { Awaited::Nothing }
    }

    /// Goes on with the introduction. Returns whether it is over and the connection open.
    pub(super) fn introduce(&mut self, context: &mut Context<N>, key: u32, event: Event) -> bool {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(is_hello_sent) = self.send_hello(context, key) else { return false };
            if is_hello_sent && self.conns.awaited(key) == Awaited::Nothing {
                return self.end_introduction(context, key);
            }
            let (Some(stream), true) = (&self.conns.get(key).stream, event.readable || event.ended) else {
                return false;
            };
            match context.net.read(stream, &mut self.buffer) {
                Ok(0) => {
                    self.ended_in_introduction(context, key);
                    return false;
                }
                Ok(bytes) => {
                    context.tally.read(bytes);
                    let Some(taken) = self.read_introduction(context, key, bytes) else { return false };
                    if taken < bytes {
                        self.buffer.copy_within(taken..bytes, 0);
                        return self.end_introduction_with(context, key, bytes - taken);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.open_failed(context, key, ErrorKind::of(&error), &error.to_string());
                    return false;
                }
            }
        }
        self.unfinished.push(event);
        false
    }

    /// Writes the hello after the greeting, as far as possible. Returns whether it is sent; `None` if that has failed.
    fn send_hello(&mut self, context: &mut Context<N>, key: u32) -> Option<bool> {
        if self.conns.awaited(key) == Awaited::Greeting {
            return Some(false);
        }
        let mut hello = Vec::new();
        if let Some(text) = &self.plan.introduction.hello {
            text.render(numbers(key), &mut hello);
        }
        let conn = self.conns.get_mut(key);
        let rest = &hello[conn.written as usize..];
        let (Some(stream), false) = (&conn.stream, rest.is_empty()) else { return Some(true) };
        match write(context, stream, rest) {
            Ok(taken) => {
                conn.written += u32::try_from(taken).expect("a hello is shorter than 4 GiB");
                Some(taken == rest.len())
            }
            Err(error) => {
                self.open_failed(context, key, ErrorKind::of(&error), &error.to_string());
                None
            }
        }
    }

    /// Checks the first `bytes` of the buffer. Returns how many of them belong to the introduction; `None` if they are
    /// wrong, which ends the connection.
    fn read_introduction(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> Option<usize> {
        let mut begin = 0;
        while begin < bytes {
            let awaited = self.conns.awaited(key);
            let Some((expected, name)) = self.expected(awaited) else { break };
            let rest = &self.buffer[begin..bytes];
            let progress = self.conns.get(key).reply_bytes;
            match expected.advance(progress, rest, numbers(key), &mut Vec::new()) {
                Ok(Progress::Partial(progress)) => {
                    self.conns.get_mut(key).reply_bytes = progress;
                    begin = bytes;
                }
                Ok(Progress::Whole { taken }) => {
                    begin += taken;
                    self.conns.get_mut(key).reply_bytes = 0;
                    let is_greeting = awaited == Awaited::Greeting;
                    let next = if is_greeting { self.awaited_after_greeting() } else { Awaited::Nothing };
                    self.conns.set_awaited(key, next);
                }
                Err(wrong) => {
                    let wrong = expected.describe(wrong, name);
                    let what = format!("{wrong}; received: {}", excerpt(rest));
                    self.open_failed(context, key, ErrorKind::WrongReply, &what);
                    return None;
                }
            }
        }
        Some(begin)
    }

    /// What the server must send next, and its name.
    fn expected(&self, awaited: Awaited) -> Option<(&Expected, &'static str)> {
        let introduction = &self.plan.introduction;
        match awaited {
            Awaited::Greeting => introduction.greeting.as_ref().map(|it| (it, GREETING)),
            Awaited::Reply => introduction.reply.as_ref().map(|it| (it, REPLY)),
            Awaited::Nothing => None,
        }
    }

    fn end_introduction(&mut self, context: &mut Context<N>, key: u32) -> bool {
        let conn = self.conns.get_mut(key);
        (conn.reply_bytes, conn.written) = (0, 0);
        self.establish(context, key)
    }

    /// The same if the first `bytes` of the buffer followed.
    fn end_introduction_with(&mut self, context: &mut Context<N>, key: u32, bytes: usize) -> bool {
        match self.send_hello(context, key) {
            Some(true) => self.end_introduction(context, key) && self.on_bytes(context, key, bytes),
            Some(false) => {
                let what = format!("received before the hello was sent: {}", excerpt(&self.buffer[..bytes]));
                self.open_failed(context, key, ErrorKind::WrongReply, &what);
                false
            }
            None => false,
        }
    }

    /// The server has ended the stream.
    fn ended_in_introduction(&mut self, context: &mut Context<N>, key: u32) {
        let awaited = self.conns.awaited(key);
        let (kind, what) = match (self.expected(awaited), self.conns.get(key).reply_bytes) {
            (None, _) => {
                (ErrorKind::ServerCap, "the server ended the stream before the hello was sent".into())
            }
            (Some((_, name)), 0) => {
                (ErrorKind::ServerCap, format!("the server ended the stream before {name}"))
            }
            (Some((expected, name)), progress) => {
                let bytes = expected.bytes_of(progress);
                (ErrorKind::Closed, format!("the server ended the stream {bytes} bytes into {name}"))
            }
        };
        self.open_failed(context, key, kind, &what);
    }

    /// What was missing when the time to open a connection was over.
    pub(super) fn why_not_opened(&self, key: u32) -> String {
        let (target, conn) = (self.plan.target, self.conns.get(key));
        if conn.state == State::Connecting {
            return format!("no answer from {target}");
        }
        match (self.expected(self.conns.awaited(key)), conn.reply_bytes) {
            (None, _) => format!("{target} did not read the hello"),
            (Some((_, name)), 0) => format!("no byte of {name} from {target}"),
            (Some((expected, name)), progress) => {
                format!("only {} bytes of {name} from {target}", expected.bytes_of(progress))
            }
        }
    }
}

/// No request precedes the introduction.
fn numbers(key: u32) -> Numbers {
    Numbers { conn: key + 1, seq: 0 }
}

const GREETING: &str = "the greeting";

const REPLY: &str = "the reply to the hello";
