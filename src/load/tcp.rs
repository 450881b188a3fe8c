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
use super::traffic::{Plan, Scene, Traffic};
use crate::conn::token::{ConnId, Source};
use crate::load::conn_table::{Batch, Conns, State};
use crate::load::error_kind::Trouble;
use crate::load::protocol::{Exchange, READ_BYTES_MAX};
use crate::net::{ClientNet, Event, Token};

/// The connections of a run.
pub(crate) struct Streams<N: ClientNet> {
    plan: Plan,
    target: SocketAddr,
    sources: Sources,
    exchange: Exchange,
    conns: Conns<N::Stream>,
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
    failed_in_a_row: u32,
    /// Connections that had more to read than one turn takes.
    unfinished: Vec<Event>,
    buffer: Box<[u8]>,
}

impl<N: ClientNet> Streams<N> {
    pub(crate) fn new(
        plan: Plan,
        target: SocketAddr,
        sources: Sources,
        exchange: Exchange,
        connections: usize,
    ) -> Self {
        let mut conns = Conns::new(connections);
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
            failed_in_a_row: 0,
            unfinished: Vec::new(),
            buffer: vec![0; READ_BYTES_MAX].into(),
        }
    }
}

impl<N: ClientNet> Traffic<N> for Streams<N> {
    fn open_next(&mut self, scene: &mut Scene<'_, N>) -> Option<Trouble> {
        let key = self.conns.add();
        let now_ns = scene.net.now_ns();
        let trouble = self.ask(scene, key, now_ns)?;
        trouble.is_final().then_some(trouble)
    }

    fn expire(&mut self, scene: &mut Scene<'_, N>, now_ns: u64) -> Option<u64> {
        self.expire_opening(scene, now_ns)
    }

    fn connecting(&self) -> u32 {
        self.connecting
    }

    fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row
    }

    fn start(&mut self, scene: &mut Scene<'_, N>) {
        (self.sending, self.started) = (true, true);
        // What went wrong with opening says nothing of what comes now.
        self.failed_in_a_row = 0;
        if self.plan.one_shot {
            return;
        }
        if let Some(pipeline) = self.plan.pipeline {
            for key in 0..self.active() {
                if self.conns.get(key).state == State::Closed {
                    continue;
                }
                let sent_ns = scene.net.now_ns();
                self.send(scene, key, Batch { sent_ns, lag_us: 0, count: pipeline });
            }
        }
    }

    fn stop(&mut self, scene: &mut Scene<'_, N>) {
        self.sending = false;
        let unsent = std::mem::take(&mut self.waiting).len() as u64;
        if unsent > 0 {
            let places = self.conns.len();
            let what = || format!("messages were due, and each of {places} connections had one already");
            scene.tally.trouble(Trouble::NoPlace, unsent, what);
        }
    }

    fn is_usable(&self) -> bool {
        self.plan.one_shot || (0..self.active()).any(|key| self.conns.get(key).state != State::Closed)
    }

    fn send_due(&mut self, scene: &mut Scene<'_, N>, due_ns: u64, now_ns: u64) {
        if self.plan.one_shot {
            self.waiting.push_back(due_ns);
            return;
        }
        for _ in 0..self.active() {
            let key = self.turn_of % self.active();
            self.turn_of = key + 1;
            if self.conns.get(key).state != State::Closed {
                self.send(scene, key, Batch::due(due_ns, now_ns, 1));
                return;
            }
        }
        scene.tally.trouble(Trouble::NoPlace, 1, || "a message was due, and no connection was left".into());
    }

    fn ready(&mut self, scene: &mut Scene<'_, N>, event: Event) {
        let Source::Conn(id) = event.token.into() else { return };
        let Some(key) = self.conns.find(id) else { return };
        match self.conns.get(key).state {
            State::Closed => return,
            State::Connecting => {
                if !self.finish_connecting(scene, key) {
                    return;
                }
            }
            State::Blocked if event.writable => {
                self.conns.get_mut(key).state = State::Open;
                if !self.flush(scene, key) {
                    return;
                }
            }
            State::Open | State::Blocked | State::Broken => {}
        }
        if event.readable || event.ended {
            self.read(scene, key, event);
        }
    }

    fn has_more(&self) -> bool {
        !self.unfinished.is_empty() || (self.sending && self.plan.one_shot && self.can_begin())
    }

    fn go_on(&mut self, scene: &mut Scene<'_, N>) {
        for event in std::mem::take(&mut self.unfinished) {
            self.ready(scene, event);
        }
        if self.plan.one_shot && self.sending {
            self.begin_messages(scene);
        }
    }
}

impl<N: ClientNet> Streams<N> {
    fn active(&self) -> u32 {
        self.plan.active.min(self.conns.len())
    }

    /// Sends messages behind those in flight.
    fn send(&mut self, scene: &mut Scene<'_, N>, key: u32, batch: Batch) {
        scene.tally.count.sent += u64::from(batch.count);
        self.conns.push(key, batch);
        let conn = self.conns.get_mut(key);
        conn.unsent += batch.count;
        if conn.state == State::Open {
            self.flush(scene, key);
        }
    }

    /// Hands to the kernel what it takes. Returns whether the connection is still there.
    fn flush(&mut self, scene: &mut Scene<'_, N>, key: u32) -> bool {
        loop {
            let conn = self.conns.get_mut(key);
            let bytes = self.exchange.to_write(conn.unsent, conn.written);
            let (Some(stream), false) = (&conn.stream, bytes.is_empty()) else {
                conn.unsent = 0;
                return true;
            };
            match scene.net.write(stream, bytes) {
                Ok(taken) => {
                    scene.tally.count.sent_bytes += taken as u64;
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
                    self.broken(scene, key, &error);
                    return false;
                }
            }
        }
    }

    /// The connection takes no more bytes; what has come before may tell why.
    #[cold]
    fn broken(&mut self, scene: &mut Scene<'_, N>, key: u32, error: &io::Error) {
        self.conns.get_mut(key).state = State::Broken;
        if self.hear_out(scene, key) {
            self.end(scene, key, Trouble::of(error), || error.to_string());
        }
    }

    /// The connection is over before it should be, and with it what is in flight on it.
    #[cold]
    fn end(&mut self, scene: &mut Scene<'_, N>, key: u32, trouble: Trouble, what: impl FnOnce() -> String) {
        let in_flight = self.close(scene, key);
        scene.tally.count.failed += in_flight;
        let what = || format!("connection {}: {}", u64::from(key) + 1, what());
        if self.plan.one_shot {
            scene.tally.trouble(trouble, in_flight, what);
        } else if self.started || trouble == Trouble::WrongReply {
            scene.tally.count.lost += 1;
            scene.tally.trouble(trouble, in_flight.max(1), what);
        } else {
            // Nothing was sent yet: the server does not want it.
            let is_closing = matches!(trouble, Trouble::Closed | Trouble::Reset);
            scene.tally.count.opened -= 1;
            scene.tally.not_opened(if is_closing { Trouble::ServerCap } else { trouble }, what);
        }
    }

    /// Closes a connection that is there. Returns how many messages were in flight on it.
    fn close(&mut self, scene: &mut Scene<'_, N>, key: u32) -> u64 {
        let (stream, in_flight) = self.conns.end(key);
        if let Some(stream) = stream {
            scene.net.close(stream);
        }
        scene.tally.count.open -= 1;
        if self.plan.one_shot {
            self.free.push(key);
        }
        in_flight
    }

    fn token(&self, key: u32) -> Token {
        Source::Conn(self.conns.id(key)).into()
    }
}
