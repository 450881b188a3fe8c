//! The sockets of a run over UDP, against `month`.
//!
//! An answer carries nothing that says which question it is to. So the questions go round the twelve
//! numbers, and the name of the month tells: twelve messages in flight on a socket can be told apart, and an
//! answer that comes late, or twice, is known for what it is. Where an open loop has more in flight, those
//! with one number are taken to be answered in order.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::sources::Sources;
use super::traffic::{Context, Plan, Traffic};
use crate::conn::token::{ConnId, Source};
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::load::stats::tally::Tally;
use crate::net::{ClientNet, Event};
use crate::service::month::{ERROR_PREFIX, INTRODUCTION, MONTHS};

/// A socket of the generator. It is larger than a connection, since answers come in any order.
struct Peer<S> {
    socket: Option<S>,
    state: State,
    /// The number of the last question, from 0.
    last: u8,
    /// What has become of the last question with each number.
    questions: [Question; MONTHS.len()],
    /// Questions, in order, with a number whose answer is waited for already.
    later: VecDeque<(u8, Batch)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has asked for a session so many times.
    Greeting { tries: u8 },
    /// It has one, and may hear of it so many times more.
    Open { introductions: u8 },
    /// It has given up.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Answered,
    Asked(Batch),
    /// Its time is over. An answer would be late.
    Overdue(Batch),
}

/// What the time of a datagram is measured for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Introduction,
    Month(u8),
}

/// The sockets of a run.
pub(crate) struct UdpTraffic<N: ClientNet> {
    plan: Plan,
    target: SocketAddr,
    sources: Sources,
    peers: Vec<Peer<N::Socket>>,
    /// What was sent, in order, as long as it may be waited for: when, on which socket, and for what.
    awaited: VecDeque<(u64, u32, Awaited)>,
    greeting: u32,
    turn_of: u32,
    sending: bool,
    consecutive_failures: u32,
}

impl<S> Peer<S> {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// The next number whose answer is not waited for, as long as there is one.
    fn next_place(&self) -> u8 {
        let after = |steps: u8| (self.last + steps) % MONTHS_COUNT;
        let is_free = |place: &u8| !matches!(self.questions[usize::from(*place)], Question::Asked(_));
        (1..=MONTHS_COUNT).map(after).find(is_free).unwrap_or(after(1))
    }

    /// The question with this number is done with; if there is a later one, its answer is waited for now.
    /// Returns whether there is.
    fn take_later(&mut self, place: u8) -> bool {
        let Some(first) = self.later.iter().position(|(later, _)| *later == place) else { return false };
        let Some((_, batch)) = self.later.remove(first) else { return false };
        self.questions[usize::from(place)] = Question::Asked(batch);
        true
    }
}

impl<N: ClientNet> UdpTraffic<N> {
    pub(crate) fn new(plan: Plan, target: SocketAddr, sources: Sources) -> Self {
        Self {
            plan,
            target,
            sources,
            peers: Vec::new(),
            awaited: VecDeque::new(),
            greeting: 0,
            turn_of: 0,
            sending: false,
            consecutive_failures: 0,
        }
    }

    fn active(&self) -> u32 {
        self.plan.active.min(u32::try_from(self.peers.len()).unwrap_or(u32::MAX))
    }

    fn peer(&mut self, key: u32) -> &mut Peer<N::Socket> {
        &mut self.peers[key as usize]
    }

    /// Asks for a session. The service answers whatever comes first from a new peer.
    fn greet(&mut self, context: &mut Context<'_, N>, key: u32) {
        let now_ns = context.net.now_ns();
        self.awaited.push_back((now_ns, key, Awaited::Introduction));
        self.transmit(context, key, b"hello");
    }

    fn transmit(&mut self, context: &mut Context<'_, N>, key: u32, datagram: &[u8]) {
        let target = self.target;
        let Some(socket) = &self.peer(key).socket else { return };
        match context.net.send(socket, datagram, target) {
            Ok(()) => context.tally.wrote(datagram.len()),
            // It was not sent, and will not be answered. Nothing is wrong with the socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                context.tally.error(ErrorKind::Memory, 1, || {
                    format!("socket {}: there was no room to send", u64::from(key) + 1)
                });
            }
            Err(error) => self.broken(context, key, &error),
        }
    }

    /// Asks for the next month.
    fn ask(&mut self, context: &mut Context<'_, N>, key: u32, batch: Batch) {
        let peer = self.peer(key);
        let place = peer.next_place();
        peer.last = place;
        match &mut peer.questions[usize::from(place)] {
            Question::Asked(_) => peer.later.push_back((place, batch)),
            question @ (Question::Answered | Question::Overdue(_)) => *question = Question::Asked(batch),
        }
        context.tally.sent(1);
        self.awaited.push_back((batch.sent_ns, key, Awaited::Month(place)));
        let number = place + 1;
        let digits = [b'0' + number / 10, b'0' + number % 10];
        self.transmit(context, key, if number < 10 { &digits[1..] } else { &digits });
    }

    fn ask_now(&mut self, context: &mut Context<'_, N>, key: u32) {
        let sent_ns = context.net.now_ns();
        self.ask(context, key, Batch::on_time(sent_ns, 1));
    }

    /// Receives all that has come.
    fn receive(&mut self, context: &mut Context<'_, N>, key: u32) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..RECEIVED_PER_TURN_MAX {
            let Some(socket) = &self.peers[key as usize].socket else { return };
            match context.net.receive(socket, &mut buffer) {
                Ok((bytes, _)) => {
                    context.tally.read(bytes);
                    self.received(context, key, &buffer[..bytes]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken(context, key, &error);
                }
            }
        }
    }

    fn received(&mut self, context: &mut Context<'_, N>, key: u32, datagram: &[u8]) {
        let now_ns = context.net.now_ns();
        if datagram == INTRODUCTION.as_bytes() || self.is_greeting(key) {
            if self.is_greeting(key) {
                // A session that somebody before had at this port answers with an error, and is as good.
                let is_ours = datagram.starts_with(ERROR_PREFIX.as_bytes()) || is_month(datagram).is_some();
                if datagram == INTRODUCTION.as_bytes() || is_ours {
                    self.introduced(context, key, now_ns);
                } else {
                    Self::wrong(context, key, datagram);
                }
            } else {
                context.tally.duplicate();
            }
            return;
        }
        if let State::Open { introductions: introductions @ 1.. } = &mut self.peer(key).state {
            // What asked for a session a second time was no number.
            if datagram.starts_with(ERROR_PREFIX.as_bytes()) {
                *introductions -= 1;
                context.tally.duplicate();
                return;
            }
        }
        let Some(place) = is_month(datagram) else { return Self::wrong(context, key, datagram) };
        let peer = self.peer(key);
        match std::mem::replace(&mut peer.questions[usize::from(place)], Question::Answered) {
            Question::Answered => context.tally.duplicate(),
            Question::Overdue(batch) => {
                context.tally.answered_late(batch, now_ns);
            }
            Question::Asked(batch) => {
                peer.take_later(place);
                context.tally.answered(batch, now_ns);
                if self.sending && self.plan.pipeline.is_some() {
                    self.ask_now(context, key);
                }
            }
        }
    }

    fn is_greeting(&self, key: u32) -> bool {
        matches!(self.peers[key as usize].state, State::Greeting { .. })
    }

    fn introduced(&mut self, context: &mut Context<'_, N>, key: u32, now_ns: u64) {
        let peer = self.peer(key);
        let introductions = match peer.state {
            State::Greeting { tries } => tries - 1,
            State::Open { .. } | State::Closed => 0,
        };
        peer.state = State::Open { introductions };
        let begun_ns = match peer.questions[0] {
            Question::Asked(batch) => batch.sent_ns,
            Question::Answered | Question::Overdue(_) => now_ns,
        };
        peer.questions[0] = Question::Answered;
        self.greeting -= 1;
        self.consecutive_failures = 0;
        context.tally.opened(now_ns.saturating_sub(begun_ns));
    }

    fn wrong(context: &mut Context<'_, N>, key: u32, datagram: &[u8]) {
        let text = String::from_utf8_lossy(&datagram[..datagram.len().min(TEXT_SHOWN_BYTES)]).into_owned();
        context.tally.error(ErrorKind::WrongReply, 1, || {
            format!("socket {}: expected the name of a month, got {text:?}", u64::from(key) + 1)
        });
    }

    /// The kernel tells of an earlier datagram, or of this one: what it is about will not be answered.
    fn broken(&mut self, context: &mut Context<'_, N>, key: u32, error: &io::Error) {
        let kind = ErrorKind::of(error);
        if self.is_greeting(key) {
            self.open_failed(context, key, kind, &error.to_string());
        } else {
            context.tally.error(kind, 1, || format!("socket {}: {error}", u64::from(key) + 1));
        }
    }

    fn open_failed(&mut self, context: &mut Context<'_, N>, key: u32, kind: ErrorKind, what: &str) {
        let peer = self.peer(key);
        peer.state = State::Closed;
        peer.socket = None;
        self.greeting -= 1;
        self.consecutive_failures += 1;
        context.tally.open_failed(kind, || format!("socket {}: {what}", u64::from(key) + 1));
    }

    /// The time of what was sent at `sent_ns` is over.
    fn overdue(&mut self, context: &mut Context<'_, N>, key: u32, awaited: Awaited, sent_ns: u64) {
        match awaited {
            Awaited::Introduction => match self.peer(key).state {
                State::Greeting { tries } if tries < GREETINGS_MAX => {
                    self.peer(key).state = State::Greeting { tries: tries + 1 };
                    self.greet(context, key);
                }
                State::Greeting { tries } => {
                    let what = format!("no answer after {tries} tries");
                    self.open_failed(context, key, ErrorKind::ReplyTimeout, &what);
                }
                State::Open { .. } | State::Closed => {}
            },
            Awaited::Month(place) => {
                let peer = self.peer(key);
                if let Question::Asked(batch) = peer.questions[usize::from(place)] {
                    // With the same number, a later question may be under way.
                    if batch.sent_ns == sent_ns {
                        if !peer.take_later(place) {
                            peer.questions[usize::from(place)] = Question::Overdue(batch);
                        }
                        context.tally.overdue();
                        if self.sending && self.plan.pipeline.is_some() {
                            self.ask_now(context, key);
                        }
                    }
                }
            }
        }
    }
}

impl<N: ClientNet> Traffic<N> for UdpTraffic<N> {
    fn open_next(&mut self, context: &mut Context<'_, N>) -> Option<ErrorKind> {
        let key = u32::try_from(self.peers.len()).expect("sockets are counted in 32 bits");
        let now_ns = context.net.now_ns();
        let source = self.sources.next_address();
        let token = Source::Conn(ConnId { key, generation: 0 }).into();
        let mut questions = [Question::Answered; MONTHS.len()];
        questions[0] = Question::Asked(Batch::on_time(now_ns, 1));
        let mut peer = Peer {
            socket: None,
            state: State::Greeting { tries: 1 },
            last: 0,
            questions,
            later: VecDeque::new(),
        };
        self.greeting += 1;
        match context.net.connect_socket(source, self.target, token) {
            Ok(socket) => {
                peer.socket = Some(socket);
                self.peers.push(peer);
                self.greet(context, key);
                None
            }
            Err(error) => {
                self.peers.push(peer);
                let kind = ErrorKind::of(&error);
                self.open_failed(context, key, kind, &error.to_string());
                kind.is_final().then_some(kind)
            }
        }
    }

    fn connecting(&self) -> u32 {
        self.greeting
    }

    fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    fn start(&mut self, context: &mut Context<'_, N>) {
        self.sending = true;
        // What went wrong with opening says nothing of what comes now.
        self.consecutive_failures = 0;
        let Some(pipeline) = self.plan.pipeline else { return };
        for key in 0..self.active() {
            for _ in 0..pipeline {
                if self.peer(key).is_open() {
                    self.ask_now(context, key);
                }
            }
        }
    }

    fn stop(&mut self, _: &mut Context<'_, N>) {
        self.sending = false;
    }

    fn can_send(&self) -> bool {
        let active = self.active() as usize;
        self.peers[..active].iter().any(Peer::is_open)
    }

    fn send_due(&mut self, context: &mut Context<'_, N>, due_ns: u64, now_ns: u64) {
        for _ in 0..self.active() {
            let key = self.turn_of % self.active();
            self.turn_of = key + 1;
            if self.peer(key).is_open() {
                return self.ask(context, key, Batch::due(due_ns, now_ns));
            }
        }
        context
            .tally
            .error(ErrorKind::NoFreeConnection, 1, || "a message was due, and no socket was left".into());
    }

    fn on_event(&mut self, context: &mut Context<'_, N>, event: Event) {
        if let Source::Conn(id) = event.token.into() {
            self.receive(context, id.key);
        }
    }

    fn expire(&mut self, context: &mut Context<'_, N>, now_ns: u64) -> Option<u64> {
        while let Some((sent_ns, key, awaited)) = self.awaited.front().copied() {
            let over_ns = sent_ns + self.plan.timeout_ns;
            if now_ns < over_ns {
                return Some(over_ns);
            }
            self.awaited.pop_front();
            self.overdue(context, key, awaited, sent_ns);
        }
        None
    }

    fn is_drained(&self, tally: &Tally) -> bool {
        tally.counts().in_flight() <= tally.counts().overdue
    }

    fn check(&self, tally: &Tally) {
        let count = |is: fn(State) -> bool| self.peers.iter().filter(|peer| is(peer.state)).count() as u64;
        let greeting = count(|state| matches!(state, State::Greeting { .. }));
        debug_assert_eq!(greeting, u64::from(self.greeting));
        debug_assert_eq!(count(|state| matches!(state, State::Open { .. })), tally.counts().open);
    }
}

/// Which month, from 0, a datagram names.
fn is_month(datagram: &[u8]) -> Option<u8> {
    (0..).zip(MONTHS).find(|(_, month)| month.as_bytes() == datagram).map(|(place, _)| place)
}

#[expect(clippy::cast_possible_truncation, reason = "it is twelve")]
const MONTHS_COUNT: u8 = MONTHS.len() as u8;

/// Messages in flight on a socket that can be told apart.
pub(crate) const IN_FLIGHT_MAX: u32 = MONTHS_COUNT as u32;

/// How often a session is asked for.
const GREETINGS_MAX: u8 = 3;

/// UdpTraffic received from one socket at once: more than the kernel keeps for it.
const RECEIVED_PER_TURN_MAX: usize = 4096;

/// Bytes of the longest answer, and one more.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// Bytes of an unexpected answer that are shown.
const TEXT_SHOWN_BYTES: usize = 80;
