//! Opening connections, and what may come instead of one.

use super::TcpTraffic;
use crate::load::conn_table::{Batch, State};
use crate::load::error_kind::ErrorKind;
use crate::load::traffic::Context;
use crate::net::ClientNet;

/// Connections that are begun in one turn where each message has its own.
const BEGUN_PER_TURN_MAX: u32 = 256;

impl<N: ClientNet> TcpTraffic<N> {
    /// Asks for a connection at the place `key`; says what is wrong if that is known at once.
    pub(super) fn ask(&mut self, context: &mut Context<'_, N>, key: u32, now_ns: u64) -> Option<ErrorKind> {
        self.conns.begin(key, now_ns);
        let (token, target) = (self.token(key), self.target);
        // A source may be short of ports, for whatever else it is used; the next may not.
        let tries = self.sources.count().min(SOURCES_TRIED_MAX);
        for further in (0..tries).rev() {
            match context.net.connect(self.sources.next_address(), target, token) {
                Ok(stream) => {
                    self.conns.get_mut(key).stream = Some(stream);
                    self.opening.push_back((now_ns, self.conns.id(key)));
                    self.connecting += 1;
                    return None;
                }
                Err(error) if further > 0 && ErrorKind::of(&error) == ErrorKind::Ports => {}
                Err(error) => {
                    let kind = ErrorKind::of(&error);
                    self.open_failed(context, key, kind, &error.to_string());
                    return Some(kind);
                }
            }
        }
        None
    }

    /// An event has come for a connection that was asked for. Returns whether it is there.
    pub(super) fn finish_connecting(&mut self, context: &mut Context<'_, N>, key: u32) -> bool {
        let Some(stream) = &self.conns.get(key).stream else { return false };
        match context.net.connected(stream) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(error) => {
                self.connecting -= 1;
                let kind = ErrorKind::of(&error);
                // Whoever has reached itself has found nobody.
                let is_itself = error.kind() == std::io::ErrorKind::AddrInUse;
                let what = if is_itself { "nobody listens there".into() } else { error.to_string() };
                self.open_failed(context, key, kind, &what);
                return false;
            }
        }
        self.connecting -= 1;
        self.consecutive_failures = 0;
        let now_ns = context.net.now_ns();
        context.tally.opened(now_ns.saturating_sub(self.conns.begun_ns(key)));
        let conn = self.conns.get_mut(key);
        conn.state = State::Open;
        conn.unsent == 0 || self.flush(context, key)
    }

    /// Gives up connections that have taken too long, and says when the next one will have.
    pub(super) fn expire_opening(&mut self, context: &mut Context<'_, N>, now_ns: u64) -> Option<u64> {
        while let Some((begun_ns, id)) = self.opening.front().copied() {
            let over_ns = begun_ns + self.plan.timeout_ns;
            // A place that has had many connections meanwhile may have one of the same name.
            let key = self.conns.find(id).filter(|key| {
                self.conns.get(*key).state == State::Connecting && self.conns.begun_ns(*key) == begun_ns
            });
            match key {
                Some(_) if now_ns < over_ns => return Some(over_ns),
                Some(key) => {
                    self.connecting -= 1;
                    let what = format!("nothing came back from {}", self.target);
                    self.open_failed(context, key, ErrorKind::ConnectTimeout, &what);
                }
                None => {}
            }
            self.opening.pop_front();
        }
        // What a storm of connections has taken is given back.
        self.opening.shrink_to(BEGUN_PER_TURN_MAX as usize);
        None
    }

    /// The connection will not be there, nor the message that was to have it.
    fn open_failed(&mut self, context: &mut Context<'_, N>, key: u32, kind: ErrorKind, what: &str) {
        let (stream, in_flight) = self.conns.end(key);
        if let Some(stream) = stream {
            context.net.close(stream);
        }
        self.consecutive_failures += 1;
        let what = || format!("connection {}: {what}", u64::from(key) + 1);
        if self.plan.one_shot {
            // It is the message that has failed, and the next one may have the place.
            context.tally.failed(in_flight);
            context.tally.message_unconnected(kind, what);
            self.free.push(key);
        } else {
            context.tally.open_failed(kind, what);
        }
    }

    /// Whether a message can take a place now.
    pub(super) fn can_begin(&self) -> bool {
        !self.free.is_empty() && (self.plan.pipeline.is_some() || !self.waiting.is_empty())
    }

    /// Lets messages take free places: those that wait, or, in a closed loop, the next.
    pub(super) fn begin_messages(&mut self, context: &mut Context<'_, N>) {
        for _ in 0..BEGUN_PER_TURN_MAX {
            let now_ns = context.net.now_ns();
            let due_ns = match self.plan.pipeline {
                Some(_) => now_ns,
                None if self.free.is_empty() => return,
                None => match self.waiting.pop_front() {
                    Some(due_ns) => due_ns,
                    None => return,
                },
            };
            let Some(key) = self.free.pop() else { return };
            let batch = Batch::due(due_ns, now_ns, 1);
            context.tally.sent(1);
            // The message is in flight from when its connection is asked for.
            self.conns.reserve(key, batch);
            self.ask(context, key, now_ns);
        }
    }
}

/// Sources that are tried for one connection before it counts as failed.
const SOURCES_TRIED_MAX: usize = 8;
