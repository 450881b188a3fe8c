//! The traffic of a run over TCP: opens connections, sends messages, checks replies.
//!
//! Connections are used in one of two ways. Persistent connections are opened first and carry messages until
//! the end of the run. With one-shot connections, each message takes a free slot, opens a connection in it,
//! and frees it with the reply: for services that end the stream after their reply, and on request.

mod first_bytes;
mod idle_probe;
mod introduction;
mod opening;
mod replies;
mod rounds;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::VecDeque;

use self::first_bytes::FirstBytes;
use super::batch::Batch;
use super::conn::{ConnEvent, State};
use super::conn_table::ConnTable;
use super::error_kind::ErrorKind;
use super::heartbeats::{Heartbeat, Heartbeats};
use super::idle_probe::IdleProbe;
use super::message_buffers::{MessageBuffers, READ_BYTES_MAX};
use super::sources::Sources;
use super::stats::tally::Tally;
use super::traffic::{Context, Plan, Traffic};
use crate::conn::token::{ConnToken, Source};
use crate::net::{ClientNet, Event};

/// The connections of a run.
pub(crate) struct TcpTraffic<N: ClientNet> {
    plan: Plan,
    messages: MessageBuffers,
    conns: ConnTable<N::Stream>,
    /// Requested connections and when they were requested, oldest first; some are established by now.
    requested: VecDeque<(u64, ConnToken)>,
    /// Connections in a row that were not open when connecting returned, up to a limit.
    opened_later: u8,
    /// One-shot: slots without a connection.
    free: Vec<u32>,
    /// One-shot: when the messages were due that wait for a free slot.
    waiting: VecDeque<u64>,
    /// Connections that send now, of those that can.
    sending: u32,
    /// Open loop: the connection that sends next.
    next_sender: u32,
    /// The connections before this one cannot send any more.
    first_sender: u32,
    /// Whether messages may be sent now.
    is_sending: bool,
    /// Whether sending has started: opening is over.
    is_started: bool,
    /// Events of connections that had more to read than one turn allows.
    unfinished: Vec<Event>,
    /// Those of the connections that are not active.
    heartbeats: Option<Heartbeats>,
    /// The connections that are silent, if they are probed.
    probe: Option<IdleProbe>,
    /// Messages of a probe that were sent, in order, for as long as one may be waiting: when, and on which connection.
    awaited: VecDeque<(u64, u32)>,
    /// Whether what a connection receives is not just replies: it is only held, or probed.
    is_held: bool,
    /// Connections before this one may have [`rounds`].
    rounds_before: u32,
    /// Without requests, or in a silence: what the server sent.
    first_bytes: FirstBytes,
    buffer: Box<[u8]>,
}

impl<N: ClientNet> TcpTraffic<N> {
    pub(crate) fn new(plan: Plan, messages: MessageBuffers, connections: usize) -> Self {
        let mut conns = ConnTable::new(connections);
        let free = if plan.one_shot { (0..connections).map(|_| conns.add()).collect() } else { Vec::new() };
        let is_probe = !plan.silences_ns.is_empty();
        let probe = is_probe.then(|| IdleProbe::new(&plan.silences_ns, connections));
        Self {
            sending: plan.active,
            plan,
            conns,
            requested: VecDeque::new(),
            opened_later: 0,
            free,
            waiting: VecDeque::new(),
            next_sender: 0,
            first_sender: 0,
            is_sending: false,
            is_started: false,
            unfinished: Vec::new(),
            heartbeats: None,
            is_held: messages.accept_anything() || probe.is_some(),
            rounds_before: 0,
            messages,
            probe,
            awaited: VecDeque::new(),
            first_bytes: FirstBytes::default(),
            buffer: vec![0; READ_BYTES_MAX].into(),
        }
    }
}

impl<N: ClientNet> Traffic<N> for TcpTraffic<N> {
    fn open_next(&mut self, context: &mut Context<N>) -> Option<ErrorKind> {
        let key = self.conns.add();
        let now_ns = context.net.now_ns();
        self.connect(context, key, now_ns).filter(|kind| kind.is_final())
    }

    fn expire(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let opening_ns = self.expire_opening(context, now_ns);
        if self.heartbeats.is_none() && self.probe.is_none() {
            return opening_ns;
        }
        let next_ns =
            [opening_ns, self.send_heartbeats(context, now_ns), self.continue_probe(context, now_ns)];
        next_ns.into_iter().flatten().min()
    }

    fn start(&mut self, context: &mut Context<N>) {
        (self.is_sending, self.is_started) = (true, true);
        let began_ns = context.net.now_ns();
        self.heartbeats = self.plan.heartbeat_ns.map(|period_ns| Heartbeats::new(began_ns, period_ns));
        self.set_rounds();
        self.begin_closed_loop(context, 0);
        self.begin_probe(context);
    }

    fn set_active(&mut self, context: &mut Context<N>, active: u32) {
        let before = std::mem::replace(&mut self.sending, active.min(self.plan.active));
        self.set_rounds();
        if self.is_sending {
            self.begin_closed_loop(context, before);
        }
    }

    fn stop(&mut self, context: &mut Context<N>) {
        // Messages that have become due in this turn may still find a free slot.
        while !self.waiting.is_empty() && !self.free.is_empty() {
            self.start_messages(context);
        }
        self.is_sending = false;
        self.set_rounds();
        let unsent = std::mem::take(&mut self.waiting).len() as u64;
        if unsent > 0 {
            let slots = self.conns.len();
            let what = || format!("messages were due while all {slots} connections were in use");
            context.tally.never_sent(unsent, what);
        }
    }

    fn can_send(&mut self) -> bool {
        // A connection that is lost stays so: earlier ones are not looked at again.
        while self.first_sender < self.active() && !self.conns.get(self.first_sender).state.can_send() {
            self.first_sender += 1;
        }
        self.plan.one_shot || self.first_sender < self.active()
    }

    fn send_due(&mut self, context: &mut Context<N>, due_ns: u64, now_ns: u64) {
        if self.plan.one_shot {
            self.waiting.push_back(due_ns);
            return;
        }
        for _ in 0..self.sending() {
            let key = self.next_sender % self.sending();
            self.next_sender = key + 1;
            if self.conns.get(key).state.can_send() {
                self.send(context, key, Batch::due(due_ns, now_ns));
                return;
            }
        }
        let what = || "a message was due, and no connection was left".into();
        context.tally.never_sent(1, what);
    }

    fn on_event(&mut self, context: &mut Context<N>, event: Event) {
        let Source::Conn(id) = event.token.into() else { return };
        let Some(key) = self.conns.find(id) else { return };
        let is_open = self.conns.get(key).state == State::Open || self.go_on(context, key, event);
        if is_open && (event.readable || event.ended) {
            self.read(context, key, event);
        }
    }

    fn has_pending_work(&self) -> bool {
        !self.unfinished.is_empty() || (self.is_sending && self.plan.one_shot && self.can_start_message())
    }

    fn resume(&mut self, context: &mut Context<N>) {
        for event in std::mem::take(&mut self.unfinished) {
            self.on_event(context, event);
        }
        if self.plan.one_shot && self.is_sending {
            self.start_messages(context);
        }
    }

    fn idle_probe(&mut self) -> &mut Option<IdleProbe> {
        &mut self.probe
    }

    fn sources(&mut self) -> &mut Sources {
        &mut self.plan.sources
    }

    fn into_streams(self) -> Vec<Option<N::Stream>> {
        self.conns.into_streams()
    }

    fn check(&self, tally: &Tally) {
        self.conns.check();
        let connecting = self.conns.count(|state| matches!(state, State::Connecting | State::Introducing));
        let closed = self.conns.count(|state| state == State::Closed);
        debug_assert_eq!(connecting, tally.counts().connecting);
        debug_assert_eq!(u64::from(self.conns.len()) - connecting - closed, tally.counts().open);
        debug_assert_eq!(self.conns.in_flight(), tally.counts().in_flight());
        debug_assert!(!self.plan.one_shot || self.free.len() as u64 == closed);
    }
}

impl<N: ClientNet> TcpTraffic<N> {
    /// What an event means for a connection in another state than `Open`. Returns whether it can be read.
    #[inline(never)]
    fn go_on(&mut self, context: &mut Context<N>, key: u32, event: Event) -> bool {
        match self.conns.get(key).state {
            State::Closed => false,
            State::Connecting => self.finish_connecting(context, key, event),
            State::Introducing => self.introduce(context, key, event),
            State::Blocked if event.writable => {
                self.conns.apply(key, ConnEvent::Writable);
                self.flush(context, key)
            }
            State::Open | State::Blocked | State::Broken => true,
        }
    }

    fn active(&self) -> u32 {
        self.plan.active.min(self.conns.len())
    }

    fn sending(&self) -> u32 {
        self.sending.min(self.active())
    }

    /// In a closed loop, sends the first messages on the connections from `first` on.
    fn begin_closed_loop(&mut self, context: &mut Context<N>, first: u32) {
        let Some(pipeline) = self.plan.pipeline.filter(|_| !self.plan.one_shot) else { return };
        for key in first..self.sending() {
            // Replies to messages of an earlier stage may be outstanding.
            let missing = pipeline.saturating_sub(self.conns.in_flight_on(key));
            if missing > 0 && self.conns.get(key).state.can_send() {
                let now_ns = context.net.now_ns();
                self.send(context, key, Batch::on_time(now_ns, missing));
            }
        }
    }

    /// Whether the messages of a connection are heartbeats.
    fn has_heartbeats(&self, key: u32) -> bool {
        self.heartbeats.is_some() && key >= self.active()
    }

    /// Sends the heartbeats that are due. Returns when the next will be.
    fn send_heartbeats(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let mut heartbeats = self.heartbeats.filter(|_| self.is_sending)?;
        let active = self.active();
        let idle = self.conns.len() - active;
        let next_ns = heartbeats.send_due(idle, now_ns, |Heartbeat { due_ns, index }| {
            let key = active + index;
            if self.conns.get(key).state.can_send() {
                context.tally.heartbeat_sent();
                let now_ns = context.net.now_ns();
                self.send(context, key, Batch::due(due_ns, now_ns));
            }
        });
        self.heartbeats = Some(heartbeats);
        next_ns
    }

    /// Sends messages after those in flight.
    fn send(&mut self, context: &mut Context<N>, key: u32, batch: Batch) {
        context.tally.sent(&batch);
        self.conns.push(key, batch);
        let conn = self.conns.get_mut(key);
        conn.unsent += batch.count;
        if conn.state == State::Open {
            self.flush(context, key);
        }
    }

    /// Ends a connection because of an error; the messages in flight on it have failed.
    #[cold]
    fn fail(&mut self, context: &mut Context<N>, key: u32, kind: ErrorKind, what: impl FnOnce() -> String) {
        let sent = self.first_bytes.take(self.conns.id(key));
        let silence = self.died(context, key, kind);
        let in_flight = self.close(context, key);
        let what = || {
            let sent = sent.map_or_else(String::new, |sent| format!("; it sent {sent}"));
            format!("connection {}: {}{silence}{sent}", u64::from(key) + 1, what())
        };
        if self.plan.one_shot {
            context.tally.closed();
            context.tally.error(kind, in_flight, what);
        } else if self.is_started || kind == ErrorKind::WrongReply {
            context.tally.lost(kind, in_flight);
            context.tally.error(kind, in_flight.max(1), what);
        } else {
            let is_closed = matches!(kind, ErrorKind::Closed | ErrorKind::Reset);
            context.tally.rejected(if is_closed { ErrorKind::ServerCap } else { kind }, what);
        }
    }

    /// Closes a connection, established or not. The messages in flight on it have failed; returns how many.
    fn close(&mut self, context: &mut Context<N>, key: u32) -> u64 {
        let (stream, in_flight) = self.conns.end(key);
        if let Some(stream) = stream {
            context.net.close(stream);
        }
        if self.plan.one_shot {
            self.free.push(key);
        }
        context.tally.failed(in_flight);
        if self.has_heartbeats(key) {
            context.tally.heartbeats_failed(in_flight);
        }
        in_flight
    }
}
