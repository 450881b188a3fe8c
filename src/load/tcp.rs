//! The connections of a run over TCP: opened, written to, read from, judged.
//!
//! There are two ways to use them. Standing connections are opened first and stay; messages go over them.
//! With services that end the stream behind their reply, and where each connection is to carry one message
//! only, a message takes a free place, opens a connection there and gives the place back.

mod opening;
mod replies;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::sources::Sources;
use super::traffic::{Context, Plan, Traffic};
use crate::conn::token::{ConnId, Source};
use crate::load::conn_table::{Batch, ConnTable, State};
use crate::load::error_kind::ErrorKind;
use crate::load::protocol::{Exchange, READ_BYTES_MAX};
use crate::load::stats::tally::Tally;
use crate::net::{ClientNet, Event, Token};

/// The connections of a run.
pub(crate) struct TcpTraffic<N: ClientNet> {
    plan: Plan,
    target: SocketAddr,
    sources: Sources,
    exchange: Exchange,
    conns: ConnTable<N::Stream>,
    /// Connections that were asked for, the longest waiting first; some may be there by now.
    opening: VecDeque<(u64, ConnId)>,
    /// Of them, how many are not there.
    connecting: u32,
    /// Places without a connection, where each message has its own.
    free: Vec<u32>,
    /// When messages were due that wait for a free place.
    waiting: VecDeque<u64>,
    /// The connection that sent last, in an open loop.
    turn_of: u32,
    /// Messages may be sent.
    sending: bool,
    /// Messages might be sent at some time: opening is over.
    started: bool,
    /// Failures to connect in a row.
    consecutive_failures: u32,
    /// Connections that had more to read than one turn takes.
    unfinished: Vec<Event>,
    buffer: Box<[u8]>,
}

impl<N: ClientNet> TcpTraffic<N> {
    pub(crate) fn new(
        plan: Plan,
        target: SocketAddr,
        sources: Sources,
        exchange: Exchange,
        connections: usize,
    ) -> Self {
        let mut conns = ConnTable::new(connections);
        let free = if plan.one_shot { (0..connections).map(|_| conns.add()).collect() } else { Vec::new() };
        Self {
            plan,
            target,
            sources,
            exchange,
            conns,
            opening: VecDeque::new(),
            connecting: 0,
            free,
            waiting: VecDeque::new(),
            turn_of: 0,
            sending: false,
            started: false,
            consecutive_failures: 0,
            unfinished: Vec::new(),
            buffer: vec![0; READ_BYTES_MAX].into(),
        }
    }
}

impl<N: ClientNet> Traffic<N> for TcpTraffic<N> {
    fn open_next(&mut self, context: &mut Context<'_, N>) -> Option<ErrorKind> {
        let key = self.conns.add();
        let now_ns = context.net.now_ns();
        let kind = self.ask(context, key, now_ns)?;
        kind.is_final().then_some(kind)
    }

    fn expire(&mut self, context: &mut Context<'_, N>, now_ns: u64) -> Option<u64> {
        self.expire_opening(context, now_ns)
    }

    fn connecting(&self) -> u32 {
        self.connecting
    }

    fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    fn start(&mut self, context: &mut Context<'_, N>) {
        (self.sending, self.started) = (true, true);
        // What went wrong with opening says nothing of what comes now.
        self.consecutive_failures = 0;
        if self.plan.one_shot {
            return;
        }
        if let Some(pipeline) = self.plan.pipeline {
            for key in 0..self.active() {
                if self.conns.get(key).state == State::Closed {
                    continue;
                }
                let sent_ns = context.net.now_ns();
                self.send(context, key, Batch { sent_ns, lag_us: 0, count: pipeline });
            }
        }
    }

    fn stop(&mut self, context: &mut Context<'_, N>) {
        self.sending = false;
        let unsent = std::mem::take(&mut self.waiting).len() as u64;
        if unsent > 0 {
            let places = self.conns.len();
            let what = || format!("messages were due, and each of {places} connections had one already");
            context.tally.error(ErrorKind::NoFreeConnection, unsent, what);
        }
    }

    fn can_send(&self) -> bool {
        self.plan.one_shot || (0..self.active()).any(|key| self.conns.get(key).state != State::Closed)
    }

    fn send_due(&mut self, context: &mut Context<'_, N>, due_ns: u64, now_ns: u64) {
        if self.plan.one_shot {
            self.waiting.push_back(due_ns);
            return;
        }
        for _ in 0..self.active() {
            let key = self.turn_of % self.active();
            self.turn_of = key + 1;
            if self.conns.get(key).state != State::Closed {
                self.send(context, key, Batch::due(due_ns, now_ns, 1));
                return;
            }
        }
        context
            .tally
            .error(ErrorKind::NoFreeConnection, 1, || "a message was due, and no connection was left".into());
    }

    fn on_event(&mut self, context: &mut Context<'_, N>, event: Event) {
        let Source::Conn(id) = event.token.into() else { return };
        let Some(key) = self.conns.find(id) else { return };
        match self.conns.get(key).state {
            State::Closed => return,
            State::Connecting => {
                if !self.finish_connecting(context, key) {
                    return;
                }
            }
            State::Blocked if event.writable => {
                self.conns.get_mut(key).state = State::Open;
                if !self.flush(context, key) {
                    return;
                }
            }
            State::Open | State::Blocked | State::Broken => {}
        }
        if event.readable || event.ended {
            self.read(context, key, event);
        }
    }

    fn has_pending_work(&self) -> bool {
        !self.unfinished.is_empty() || (self.sending && self.plan.one_shot && self.can_begin())
    }

    fn resume(&mut self, context: &mut Context<'_, N>) {
        for event in std::mem::take(&mut self.unfinished) {
            self.on_event(context, event);
        }
        if self.plan.one_shot && self.sending {
            self.begin_messages(context);
        }
    }

    fn check(&self, tally: &Tally) {
        self.conns.check();
        let connecting = self.conns.count(|state| state == State::Connecting);
        let closed = self.conns.count(|state| state == State::Closed);
        debug_assert_eq!(connecting, u64::from(self.connecting));
        debug_assert_eq!(u64::from(self.conns.len()) - connecting - closed, tally.counts().open);
        debug_assert_eq!(self.conns.in_flight(), tally.counts().in_flight());
        debug_assert!(!self.plan.one_shot || self.free.len() as u64 == closed);
    }
}

impl<N: ClientNet> TcpTraffic<N> {
    fn active(&self) -> u32 {
        self.plan.active.min(self.conns.len())
    }

    /// Sends messages behind those in flight.
    fn send(&mut self, context: &mut Context<'_, N>, key: u32, batch: Batch) {
        context.tally.sent(batch.count);
        self.conns.push(key, batch);
        let conn = self.conns.get_mut(key);
        conn.unsent += batch.count;
        if conn.state == State::Open {
            self.flush(context, key);
        }
    }

    /// Hands to the kernel what it takes. Returns whether the connection is still there.
    fn flush(&mut self, context: &mut Context<'_, N>, key: u32) -> bool {
        loop {
            let conn = self.conns.get_mut(key);
            let bytes = self.exchange.to_write(conn.unsent, conn.written);
            let (Some(stream), false) = (&conn.stream, bytes.is_empty()) else {
                conn.unsent = 0;
                return true;
            };
            match context.net.write(stream, bytes) {
                Ok(taken) => {
                    context.tally.wrote(taken);
                    let is_short = taken < bytes.len();
                    (conn.unsent, conn.written) = self.exchange.left(conn.unsent, conn.written, taken);
                    if is_short {
                        conn.state = State::Blocked;
                    }
                    if is_short || conn.unsent == 0 {
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    conn.state = State::Blocked;
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken(context, key, &error);
                    return false;
                }
            }
        }
    }

    /// The connection takes no more bytes; what has come before may tell why.
    #[cold]
    fn broken(&mut self, context: &mut Context<'_, N>, key: u32, error: &io::Error) {
        self.conns.get_mut(key).state = State::Broken;
        if self.hear_out(context, key) {
            self.fail(context, key, ErrorKind::of(error), || error.to_string());
        }
    }

    /// Ends a connection because of an error; the messages in flight on it have failed.
    #[cold]
    fn fail(
        &mut self,
        context: &mut Context<'_, N>,
        key: u32,
        kind: ErrorKind,
        what: impl FnOnce() -> String,
    ) {
        let in_flight = self.close(context, key);
        context.tally.failed(in_flight);
        let what = || format!("connection {}: {}", u64::from(key) + 1, what());
        if self.plan.one_shot {
            context.tally.closed();
            context.tally.error(kind, in_flight, what);
        } else if self.started || kind == ErrorKind::WrongReply {
            context.tally.lost();
            context.tally.error(kind, in_flight.max(1), what);
        } else {
            let is_closing = matches!(kind, ErrorKind::Closed | ErrorKind::Reset);
            context.tally.rejected(if is_closing { ErrorKind::ServerCap } else { kind }, what);
        }
    }

    /// Closes an open connection. Returns the number of messages in flight on it.
    fn close(&mut self, context: &mut Context<'_, N>, key: u32) -> u64 {
        let (stream, in_flight) = self.conns.end(key);
        if let Some(stream) = stream {
            context.net.close(stream);
        }
        if self.plan.one_shot {
            self.free.push(key);
        }
        in_flight
    }

    fn token(&self, key: u32) -> Token {
        Source::Conn(self.conns.id(key)).into()
    }
}
