//! Many connections, driven by one thread, that pipeline numbered messages, leave, and come again. Some read so
//! slowly that their acknowledgements fill the buffers of the kernel and of the server.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::common::{acknowledgement, frame, is_reset};

/// What messages look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// A line is a few bytes long.
    Short,
    /// Up to 100 KB, with characters that are escaped in the journal.
    Mixed,
}

/// The text of a message: the connection, its number, and more that follows from these.
pub(crate) fn text(texts: Texts, connection: u64, number: u64) -> String {
    const PARTS: [&str; 4] = ["plain text ", "line\nbreak\r\t", "back\\slash \u{1b}[2J", "\u{202e}ü世界🙂 "];
    let mut text = format!("{connection}/{number}");
    if texts == Texts::Mixed {
        let mut random = Rng::with_seed(connection << 32 | number);
        let parts = if random.u8(..) == 0 { random.usize(..5000) } else { random.usize(..20) };
        text.push(' ');
        (0..parts).for_each(|_| text.push_str(PARTS[random.usize(..PARTS.len())]));
    }
    text
}

/// What one connection has sent, and what it has read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) connection: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
}

pub(crate) struct Crowd {
    address: SocketAddr,
    texts: Texts,
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    random: Rng,
    connections: u64,
    /// Of those that have left.
    tallies: Vec<Tally>,
    acknowledged: u64,
    /// Members that are done do not come again.
    is_ending: bool,
    style: Style,
}

struct Member {
    stream: TcpStream,
    tally: Tally,
    plan: Plan,
    /// Framed, and not sent yet.
    unsent: Vec<u8>,
    received_bytes: u64,
    readable: bool,
    writable: bool,
    /// By the server, for reading too slowly.
    is_closed: bool,
}

/// What a member does.
struct Plan {
    messages: u64,
    in_flight_max: u64,
    /// Bytes per read.
    read_bytes_max: usize,
}

/// What the members of a crowd do, and how many of eight read slowly.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// They send as much as they can.
    Busy { slow_in_8: u8 },
    /// A few messages at a time, for `Crowd::visit_some`.
    Calm,
}

impl Plan {
    fn draw(random: &mut Rng, style: Style) -> Self {
        let drawn = random.u8(..8);
        match style {
            // Sends whatever the kernel takes, and only then reads, little by little.
            Style::Busy { slow_in_8 } if drawn < slow_in_8 => {
                Self { messages: random.u64(1..6000), in_flight_max: u64::MAX, read_bytes_max: 1000 }
            }
            // One after the other, as the simplest client does.
            Style::Busy { .. } if drawn == 7 => {
                Self { messages: random.u64(1..200), in_flight_max: 1, read_bytes_max: 1 << 16 }
            }
            Style::Busy { .. } => {
                let in_flight_max = random.u64(1..100);
                Self { messages: random.u64(1..500), in_flight_max, read_bytes_max: 1 << 16 }
            }
            Style::Calm if drawn == 0 => {
                Self { messages: random.u64(1..600), in_flight_max: u64::MAX, read_bytes_max: 1000 }
            }
            Style::Calm => {
                let in_flight_max = random.u64(1..10);
                Self { messages: random.u64(1..100), in_flight_max, read_bytes_max: 1 << 16 }
            }
        }
    }

    fn is_slow(&self) -> bool {
        self.read_bytes_max < 1 << 16
    }
}

impl Crowd {
    /// Connects `members`, whose connections are numbered from `connections`.
    pub(crate) fn new(
        address: SocketAddr,
        members: usize,
        texts: Texts,
        connections: u64,
        seed: u64,
        style: Style,
    ) -> Self {
        let mut crowd = Self {
            address,
            texts,
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            members: Vec::with_capacity(members),
            random: Rng::with_seed(seed),
            connections,
            tallies: Vec::new(),
            acknowledged: 0,
            is_ending: false,
            style,
        };
        for index in 0..members {
            let member = crowd.connect(index);
            crowd.members.push(member);
        }
        crowd
    }

    /// Sends and receives until `acknowledged` acknowledgements have been read.
    pub(crate) fn run_until(&mut self, acknowledged: u64) {
        while self.acknowledged < acknowledged {
            self.step(Some(acknowledged));
        }
    }

    /// Reads what has arrived from a server that is dead.
    pub(crate) fn read_the_rest(mut self) -> Vec<Tally> {
        for member in &mut self.members {
            while member.read().is_some_and(|bytes| bytes > 0) {}
        }
        self.tallies.extend(self.members.iter().map(|member| member.tally));
        self.tallies
    }

    /// Lets every member finish its messages.
    pub(crate) fn finish(mut self) -> Vec<Tally> {
        self.is_ending = true;
        while !self.members.iter().all(Member::is_done) {
            self.step(None);
        }
        self.tallies.extend(self.members.iter().map(|member| member.tally));
        self.tallies
    }

    /// Lets every member finish, as fast as it can, with the messages that it has sent.
    pub(crate) fn finish_sent(mut self) -> Vec<Tally> {
        for member in &mut self.members {
            // No message is left to send, so that a slow reader reads.
            member.plan.messages = member.tally.sent;
        }
        self.finish()
    }

    /// Lets `visits` members, drawn at random, read once and send a little.
    pub(crate) fn visit_some(&mut self, visits: usize) {
        self.poll(Duration::ZERO);
        for _ in 0..visits {
            let index = self.random.usize(..self.members.len());
            self.visit(index);
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections
    }

    fn poll(&mut self, wait: Duration) {
        self.poll.poll(&mut self.events, Some(wait)).unwrap();
        for event in &self.events {
            let member = &mut self.members[event.token().0];
            member.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            member.writable |= event.is_writable();
        }
    }

    fn visit(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !member.can_move() {
            return;
        }
        let before = member.tally.acknowledged;
        member.visit(self.texts);
        self.acknowledged += member.tally.acknowledged - before;
        if member.is_done() && !self.is_ending {
            self.tallies.push(member.tally);
            self.members[index] = self.connect(index);
        }
    }

    fn step(&mut self, stop_at: Option<u64>) {
        let has_work = self.members.iter().any(Member::can_move);
        self.poll(if has_work { Duration::ZERO } else { crate::common::WAIT_MAX });
        assert!(has_work || !self.events.is_empty(), "the server acknowledges nothing any more");
        for index in 0..self.members.len() {
            self.visit(index);
            if stop_at.is_some_and(|stop_at| self.acknowledged >= stop_at) {
                return;
            }
        }
    }

    fn connect(&mut self, index: usize) -> Member {
        let plan = Plan::draw(&mut self.random, self.style);
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        if plan.is_slow() {
            socket.set_recv_buffer_size(2048).unwrap();
            // The kernel sizes the send buffer of the server by it.
            socket.set_tcp_mss(500).unwrap();
        }
        // Enough ephemeral ports for many connections, one after the other.
        let source = [127, 9, 0, 1 + u8::try_from(self.connections % SOURCES).unwrap()];
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&self.address.into()).expect("the server accepts connections");
        socket.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest).unwrap();
        let connection = self.connections;
        self.connections += 1;
        Member {
            stream,
            tally: Tally { connection, sent: 0, acknowledged: 0 },
            plan,
            unsent: Vec::new(),
            received_bytes: 0,
            readable: false,
            writable: true,
            is_closed: false,
        }
    }
}

impl Member {
    fn is_done(&self) -> bool {
        self.is_closed || self.tally.acknowledged == self.plan.messages
    }

    fn can_move(&self) -> bool {
        !self.is_done() && (self.may_read() || self.may_write())
    }

    fn may_read(&self) -> bool {
        self.readable && !(self.plan.is_slow() && self.may_write())
    }

    fn may_write(&self) -> bool {
        self.writable && self.has_more()
    }

    fn has_more(&self) -> bool {
        let in_flight = self.tally.sent - self.tally.acknowledged;
        !self.unsent.is_empty()
            || (self.tally.sent < self.plan.messages && in_flight < self.plan.in_flight_max)
    }

    /// Reads once, then sends what it may.
    fn visit(&mut self, texts: Texts) {
        if self.may_read() {
            self.is_closed = self.read() == Some(0);
            assert!(
                !self.is_closed || self.plan.is_slow(),
                "the server has closed connection {}",
                self.tally.connection
            );
        }
        while !self.is_closed && self.may_write() {
            while self.unsent.len() < UNSENT_BYTES && self.tally.sent < self.plan.messages {
                if self.tally.sent - self.tally.acknowledged >= self.plan.in_flight_max {
                    break;
                }
                self.unsent.extend(frame(text(texts, self.tally.connection, self.tally.sent)));
                self.tally.sent += 1;
            }
            match self.stream.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if is_reset(&error) && self.plan.is_slow() => self.is_closed = true,
                Err(error) => panic!("connection {}: {error}", self.tally.connection),
            }
        }
    }

    /// Reads once. Returns the number of bytes, 0 at the end, and `None` if there are none.
    fn read(&mut self) -> Option<usize> {
        let mut buffer = vec![0; self.plan.read_bytes_max];
        let bytes = match self.stream.read(&mut buffer) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return None;
            }
            Err(error) if is_reset(&error) => 0,
            Err(error) => panic!("connection {}: {error}", self.tally.connection),
        };
        let acknowledgement = acknowledgement();
        for byte in &buffer[..bytes] {
            let place = self.received_bytes % acknowledgement.len() as u64;
            assert_eq!(
                *byte,
                acknowledgement[usize::try_from(place).unwrap()],
                "only acknowledgements are sent"
            );
            self.received_bytes += 1;
        }
        self.tally.acknowledged = self.received_bytes / acknowledgement.len() as u64;
        assert!(self.tally.acknowledged <= self.tally.sent, "a message is acknowledged once");
        Some(bytes)
    }
}

/// How much a member frames ahead, in bytes.
const UNSENT_BYTES: usize = 16 * 1024;

/// Source addresses.
const SOURCES: u64 = 50;
