//! The sockets of a run over UDP, each with a session of its own.

mod dialect;
mod heartbeats;
mod idle_probe;
mod numbered;
mod requests;
mod session;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

pub(crate) use self::dialect::{Dialect, in_flight_max};
use self::requests::Matched;
use self::session::{Begun, HELLOS_MAX, Received, Session};
use super::idle_probe::IdleProbe;
use super::traffic::{Context, Plan, Traffic};
use crate::conn::token::{ConnToken, Source};
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::load::heartbeats::Heartbeats;
use crate::load::sources::Sources;
use crate::load::stats::tally::Tally;
use crate::net::{ClientNet, Event};
use crate::service::Answer;

/// The sockets of a run.
pub(crate) struct UdpTraffic<N: ClientNet> {
    dialect: Dialect,
    plan: Plan,
    peers: Vec<Peer<N::Socket>>,
    /// Datagrams sent, in order, for as long as one may be waiting: when, on which socket, and what for.
    sent: VecDeque<(u64, u32, Purpose)>,
    /// Sockets that send now, of those that can.
    sending_sockets: u32,
    next_sender: u32,
    /// The sockets before this one have no session.
    first_sender: u32,
    is_sending: bool,
    /// Those of the sockets that are not active.
    heartbeats: Option<Heartbeats>,
    /// The sockets that are silent, if they are probed.
    probe: Option<IdleProbe>,
    /// The datagram that is received.
    received: Box<[u8]>,
    /// The datagram that is sent.
    sending: Vec<u8>,
}

/// A socket of the generator. It is larger than a connection, because answers come in any order.
struct Peer<S> {
    socket: Option<S>,
    session: Session,
}

/// What a datagram was sent for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Hello,
    /// The request of this name.
    Request(u32),
}

impl<N: ClientNet> UdpTraffic<N> {
    pub(crate) fn new(plan: Plan, dialect: Dialect, sockets: usize) -> Self {
        let is_probe = !plan.silences_ns.is_empty();
        Self {
            probe: is_probe.then(|| IdleProbe::new(&plan.silences_ns, sockets)),
            dialect,
            sending_sockets: plan.active,
            plan,
            peers: Vec::new(),
            sent: VecDeque::new(),
            next_sender: 0,
            first_sender: 0,
            is_sending: false,
            heartbeats: None,
            received: vec![0; DATAGRAM_BYTES_MAX].into(),
            sending: Vec::new(),
        }
    }

    fn active(&self) -> u32 {
        self.plan.active.min(u32::try_from(self.peers.len()).unwrap_or(u32::MAX))
    }

    fn sending(&self) -> u32 {
        self.sending_sockets.min(self.active())
    }

    /// In a closed loop, sends the first requests on the sockets from `first` on.
    fn begin_closed_loop(&mut self, context: &mut Context<N>, first: u32) {
        let Some(pipeline) = self.plan.pipeline else { return };
        for key in first..self.sending() {
            // Answers to requests of an earlier stage may be outstanding.
            for _ in self.peer(key).session.waiting()..pipeline {
                if self.peer(key).session.is_open() {
                    self.request_now(context, key);
                }
            }
        }
    }

    fn peer(&mut self, key: u32) -> &mut Peer<N::Socket> {
        &mut self.peers[key as usize]
    }

    /// Sends a datagram that opens a session.
    fn greet(&mut self, context: &mut Context<N>, key: u32, now_ns: u64) {
        self.sent.push_back((now_ns, key, Purpose::Hello));
        self.send_hello(context, key);
    }

    fn send_hello(&mut self, context: &mut Context<N>, key: u32) {
        self.sending.clear();
        if self.dialect.hello(key, &mut self.sending) {
            self.transmit(context, key);
        }
    }

    /// Sends the datagram that was prepared.
    fn transmit(&mut self, context: &mut Context<N>, key: u32) {
        let Some(socket) = &self.peers[key as usize].socket else { return };
        match context.net.send(socket, &self.sending, self.plan.target) {
            Ok(()) => context.tally.wrote(self.sending.len()),
            // It was not sent, and will not be answered. Nothing is wrong with the socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                context.tally.error(ErrorKind::Memory, 1, || of_socket(key, "there was no room to send"));
            }
            Err(error) => self.broken(context, key, &error),
        }
    }

    /// Sends the next request.
    fn request(&mut self, context: &mut Context<N>, key: u32, batch: Batch) {
        let Begun { name, seq } = self.peer(key).session.begin(batch);
        context.tally.sent(&batch);
        self.sent.push_back((batch.sent_ns, key, Purpose::Request(name)));
        self.sending.clear();
        self.dialect.request(key, name, seq, &mut self.sending);
        self.transmit(context, key);
    }

    fn request_now(&mut self, context: &mut Context<N>, key: u32) {
        let sent_ns = context.net.now_ns();
        self.request(context, key, Batch::on_time(sent_ns, 1));
    }

    /// Receives the datagrams that have come.
    fn receive(&mut self, context: &mut Context<N>, key: u32) {
        for _ in 0..RECEIVED_PER_TURN_MAX {
            let Some(socket) = &self.peers[key as usize].socket else { return };
            match context.net.receive(socket, &mut self.received) {
                Ok((bytes, _)) => {
                    context.tally.read(bytes);
                    self.on_datagram(context, key, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.broken(context, key, &error),
            }
        }
    }

    /// Handles the first `bytes` of the buffer.
    fn on_datagram(&mut self, context: &mut Context<N>, key: u32, bytes: usize) {
        let (session, datagram) = (&self.peers[key as usize].session, &self.received[..bytes]);
        let answer = self.dialect.classify(key, session, datagram);
        let is_hello_answered = matches!(answer, Answer::Opened);
        let now_ns = context.net.now_ns();
        match self.peer(key).session.on_answer(answer) {
            Received::Opened { begun_ns } => {
                context.tally.opened(now_ns.saturating_sub(begun_ns));
            }
            Received::Answer(Matched::Duplicate) if is_hello_answered && self.is_probed(key) => {
                self.on_new_session(context, key);
            }
            Received::Answer(Matched::Duplicate) => context.tally.duplicate(),
            Received::Answer(Matched::Late(batch)) => {
                context.tally.late();
                self.answered(context, key, batch, now_ns);
            }
            Received::Answer(Matched::InTime(batch)) => {
                self.answered(context, key, batch, now_ns);
                self.request_in_closed_loop(context, key);
            }
            Received::Unexpected => {
                let (session, datagram) = (&self.peers[key as usize].session, &self.received[..bytes]);
                let what = || of_socket(key, &self.dialect.describe(key, session, datagram));
                context.tally.error(ErrorKind::WrongReply, 1, what);
            }
        }
    }

    /// Whether the requests of a socket are heartbeats.
    fn has_heartbeats(&self, key: u32) -> bool {
        self.heartbeats.is_some() && key >= self.active()
    }

    /// A request is answered.
    fn answered(&mut self, context: &mut Context<N>, key: u32, batch: Batch, now_ns: u64) {
        if self.has_heartbeats(key) {
            context.tally.heartbeat_answered(batch, now_ns);
        } else {
            context.tally.answered(batch, now_ns);
        }
        if let Some(probe) = &mut self.probe {
            probe.answered(key, now_ns);
        }
    }

    /// In a closed loop, a request follows the answer to the one before, or its timeout.
    fn request_in_closed_loop(&mut self, context: &mut Context<N>, key: u32) {
        if self.is_sending && self.plan.pipeline.is_some() && key < self.sending() {
            self.request_now(context, key);
        }
    }

    /// The kernel reports an error of an earlier datagram or of this one, which will not be answered.
    fn broken(&mut self, context: &mut Context<N>, key: u32, error: &io::Error) {
        let kind = ErrorKind::of(error);
        if self.peer(key).session.is_opening() {
            self.open_failed(context, key, kind, &error.to_string());
        } else {
            context.tally.error(kind, 1, || of_socket(key, &error.to_string()));
            self.died(context, key, kind);
        }
    }

    fn open_failed(&mut self, context: &mut Context<N>, key: u32, kind: ErrorKind, what: &str) {
        let peer = self.peer(key);
        peer.session.close();
        peer.socket = None;
        context.tally.open_failed(kind, || of_socket(key, what));
    }

    /// The timeout of a datagram sent at `sent_ns` has passed.
    fn timed_out(&mut self, context: &mut Context<N>, key: u32, purpose: Purpose, sent_ns: u64) {
        match purpose {
            Purpose::Hello => match self.peer(key).session.retries_hello() {
                None => {}
                Some(true) => {
                    let now_ns = context.net.now_ns();
                    self.greet(context, key, now_ns);
                }
                Some(false) => {
                    let what = format!("no answer after {HELLOS_MAX} tries");
                    self.open_failed(context, key, ErrorKind::ReplyTimeout, &what);
                }
            },
            Purpose::Request(name) => {
                if self.peer(key).session.expire(name, sent_ns) {
                    context.tally.overdue();
                    self.died(context, key, ErrorKind::ReplyTimeout);
                    self.request_in_closed_loop(context, key);
                }
            }
        }
    }
}

impl<N: ClientNet> Traffic<N> for UdpTraffic<N> {
    fn open_next(&mut self, context: &mut Context<N>) -> Option<ErrorKind> {
        let key = u32::try_from(self.peers.len()).expect("sockets are counted in 32 bits");
        let now_ns = context.net.now_ns();
        let token = Source::Conn(ConnToken { key, generation: 0 }).into();
        let session = self.dialect.session(now_ns);
        self.peers.push(Peer { socket: None, session });
        context.tally.requested();
        let target = self.plan.target;
        let connect = |source| context.net.connect_socket(source, target, token);
        match self.plan.sources.open(connect, N::local_address_of_socket) {
            Ok(socket) => {
                self.peer(key).socket = Some(socket);
                if self.peer(key).session.is_opening() {
                    self.greet(context, key, now_ns);
                } else {
                    let begun_ns = now_ns;
                    context.tally.opened(context.net.now_ns().saturating_sub(begun_ns));
                    self.send_hello(context, key);
                }
                None
            }
            Err(error) => {
                let kind = ErrorKind::of(&error);
                self.open_failed(context, key, kind, &error.to_string());
                kind.is_final().then_some(kind)
            }
        }
    }

    fn start(&mut self, context: &mut Context<N>) {
        self.is_sending = true;
        let began_ns = context.net.now_ns();
        self.heartbeats = self.plan.heartbeat_ns.map(|period_ns| Heartbeats::new(began_ns, period_ns));
        self.begin_closed_loop(context, 0);
        self.begin_probe(context);
    }

    fn set_active(&mut self, context: &mut Context<N>, active: u32) {
        let before = std::mem::replace(&mut self.sending_sockets, active.min(self.plan.active));
        if self.is_sending {
            self.begin_closed_loop(context, before);
        }
    }

    fn stop(&mut self, _: &mut Context<N>) {
        self.is_sending = false;
    }

    fn can_send(&mut self) -> bool {
        // A session that could not be opened stays so: earlier ones are not looked at again.
        while self.first_sender < self.active() && !self.peer(self.first_sender).session.is_open() {
            self.first_sender += 1;
        }
        self.first_sender < self.active()
    }

    fn send_due(&mut self, context: &mut Context<N>, due_ns: u64, now_ns: u64) {
        for _ in 0..self.sending() {
            let key = self.next_sender % self.sending();
            self.next_sender = key + 1;
            if self.peer(key).session.is_open() {
                return self.request(context, key, Batch::due(due_ns, now_ns));
            }
        }
        let what = || "a message was due, and no socket was left".into();
        context.tally.never_sent(1, what);
    }

    fn on_event(&mut self, context: &mut Context<N>, event: Event) {
        if let Source::Conn(id) = event.token.into() {
            self.receive(context, id.key);
        }
    }

    fn expire(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        let next_ns = [self.send_heartbeats(context, now_ns), self.continue_probe(context, now_ns)];
        let next_ns = next_ns.into_iter().flatten().min();
        while let Some((sent_ns, key, purpose)) = self.sent.front().copied() {
            let over_ns = sent_ns + self.plan.timeout_ns;
            if now_ns < over_ns {
                return Some(next_ns.map_or(over_ns, |next_ns| next_ns.min(over_ns)));
            }
            self.sent.pop_front();
            self.timed_out(context, key, purpose, sent_ns);
        }
        next_ns
    }

    fn is_drained(&self, tally: &Tally) -> bool {
        tally.counts().in_flight() <= tally.counts().overdue
    }

    fn idle_probe(&mut self) -> &mut Option<IdleProbe> {
        &mut self.probe
    }

    fn sources(&mut self) -> &mut Sources {
        &mut self.plan.sources
    }

    fn into_streams(self) -> Vec<Option<N::Stream>> {
        Vec::new()
    }

    fn check(&self, tally: &Tally) {
        let count =
            |is: fn(&Session) -> bool| self.peers.iter().filter(|peer| is(&peer.session)).count() as u64;
        debug_assert_eq!(count(Session::is_opening), tally.counts().connecting);
        debug_assert_eq!(count(Session::is_open), tally.counts().open);
    }
}

fn of_socket(key: u32, what: &str) -> String {
    format!("socket {}: {what}", u64::from(key) + 1)
}

/// Maximum number of datagrams received from one socket in a turn: more than its receive buffer holds.
const RECEIVED_PER_TURN_MAX: usize = 4096;

/// Size of the receive buffer: more than the largest datagram has.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
