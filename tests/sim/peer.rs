//! Scripted peers of the simulated network, and what each of them must have read in the end.

mod admin;
mod header;
mod hostile;
mod proxied;

use std::collections::VecDeque;
use std::fmt;

use loopline::frame;
use loopline::service::greeting::GREETING;
use loopline::service::message::{ACKNOWLEDGEMENT, DISCONNECT};
use loopline::service::reply::REPLY;

use super::SimNet;
use super::random::Random;
use super::run::{LISTENERS, SERVICES};
use super::wire::Wire;
use header::Header;
pub use header::Meaning;

/// The next action of a peer.
#[derive(Debug, Clone)]
pub enum Step {
    Send(Vec<u8>),
    End,
    Reset,
    Close,
    Pause(u64),
    /// Reads from now on.
    Read,
    AwaitBytes(usize),
    AwaitEnd,
}

pub struct Peer {
    wire: usize,
    pub received: Vec<u8>,
    /// What the peer has received when its script is over, unless it leaves early.
    pub expected: Vec<u8>,
    /// It stays without need: it waits, holds what it could send, does not read, or sends without end.
    pub is_hostile: bool,
    /// The script ends with a reset or a close that does not wait for the answers.
    pub leaves_early: bool,
    /// The messages that the peer sends in whole frames.
    pub messages: Vec<String>,
    /// How many bytes of the stream end with each of them, or with each request of an admin peer.
    frame_ends: Vec<usize>,
    /// Bytes of the answer to each.
    answer_bytes: usize,
    /// What its proxy sends first.
    pub header: Option<Header>,
    /// Bytes of the stream that are a header; `usize::MAX` if it is never complete.
    pub header_bytes: usize,
    /// The request of the service `reply`, if the peer sends any.
    pub request: Vec<u8>,
    script: VecDeque<Step>,
    pub reads: bool,
    paused_until_ms: Option<u64>,
}

impl Peer {
    /// A peer without a script.
    pub fn new(wire: usize) -> Self {
        Self {
            wire,
            received: Vec::new(),
            expected: Vec::new(),
            is_hostile: false,
            leaves_early: false,
            messages: Vec::new(),
            frame_ends: Vec::new(),
            answer_bytes: ACKNOWLEDGEMENT_BYTES,
            header: None,
            header_bytes: 0,
            request: Vec::new(),
            script: VecDeque::new(),
            reads: true,
            paused_until_ms: None,
        }
    }

    /// A peer of the service on `listener`. `unread_bytes_max` bytes of answers fit into the network and the
    /// server while the peer does not read.
    pub fn of_service(wire: usize, listener: usize, unread_bytes_max: usize, random: &mut Random) -> Self {
        if listener == LISTENERS {
            return Self::admin(wire, random);
        }
        let header = (listener >= SERVICES).then(|| Header::draw(client_port(wire), random));
        let mut peer = match &header {
            None => Self::new(wire),
            Some(Header { meaning: Meaning::Wrong(_) | Meaning::Cut, .. }) => {
                return Self::unannounced(wire, listener, header.as_ref().unwrap(), random);
            }
            Some(header) => Self::announced(wire, header),
        };
        match listener % SERVICES {
            0 => {
                // All answers fit, or the server would rightly wait until some are read.
                peer.reads = unread_bytes_max < 2000 || !random.one_in(4);
                peer.plan_messages(random);
            }
            1 => peer.plan_greeting(random),
            _ => peer.plan_reply(random),
        }
        if let Some(header) = header {
            peer.precede(&header.bytes, random);
        }
        peer
    }

    /// A peer of `message` that sends a few messages and takes its leave, behind a proxy or not.
    pub fn newcomer(wire: usize, is_proxied: bool, random: &mut Random) -> Self {
        let header = is_proxied.then(|| Header::complete(10 + wire % 200, client_port(wire), random));
        let mut peer = header.as_ref().map_or_else(|| Self::new(wire), |it| Self::announced(wire, it));
        for number in 0..=random.below(3) {
            peer.plan_message(&format!("newcomer {number}"), random);
            peer.script.push_back(Step::AwaitBytes(peer.expected.len()));
        }
        peer.plan_message(DISCONNECT, random);
        peer.script.extend([Step::AwaitEnd, Step::Close]);
        if let Some(header) = header {
            peer.script.push_front(Step::Send(header.bytes));
        }
        peer
    }

    pub fn is_done(&self) -> bool {
        self.script.is_empty()
    }

    /// Whether the peer has received everything.
    pub fn is_served(&self) -> bool {
        self.received == self.expected
    }

    /// Each answer that has begun to leave belongs to a message that is recorded.
    pub fn check_answers(&self, wire: &Wire, records: &[String]) {
        if !self.expected.starts_with(&wire.sent) {
            return; // The reason of a refusal. That nothing else is sent is checked in the end.
        }
        let acknowledged = wire.sent.len().min(self.messages.len() * ACKNOWLEDGEMENT_BYTES);
        let acknowledged = acknowledged.div_ceil(ACKNOWLEDGEMENT_BYTES);
        let answered = usize::from(!self.request.is_empty() && !wire.sent.is_empty());
        assert!(
            acknowledged + answered <= records.len(),
            "{} bytes are sent to peer {}, of which {} messages are recorded",
            wire.sent.len(),
            self.wire,
            records.len()
        );
    }

    /// What is recorded is what the peer has sent, all of it unless the peer leaves early.
    pub fn check_records(&self, records: &[String], is_served: bool) {
        if self.request.is_empty() {
            assert!(self.messages.starts_with(records), "the records of peer {}: {records:?}", self.wire);
            assert!(!is_served || self.messages.len() == records.len(), "peer {} lacks records", self.wire);
        } else {
            // A request is what the first read brings.
            let is_request =
                |record: &String| !record.is_empty() && self.request.starts_with(record.as_bytes());
            assert!(records.len() <= 1 && records.iter().all(is_request), "the record of peer {}", self.wire);
            assert!(!is_served || records.len() == 1, "peer {} lacks its record", self.wire);
        }
    }

    /// Messages of which the server has read at least a byte.
    pub fn begun_messages(&self, wire: &Wire) -> usize {
        let starts = std::iter::once(&self.header_bytes).chain(&self.frame_ends).take(self.messages.len());
        starts.filter(|start| **start < wire.read_bytes).count()
    }

    /// Frames that are whole in the first `read_bytes` bytes.
    pub fn whole_frames(&self, read_bytes: usize) -> usize {
        self.frame_ends.partition_point(|end| *end <= read_bytes)
    }

    /// Bytes of the answers to these.
    pub fn answers_bytes(&self, read_bytes: usize) -> usize {
        self.whole_frames(read_bytes) * self.answer_bytes
    }

    /// A test moves it: what it sends and awaits is not known here.
    pub fn is_unscripted(&self) -> bool {
        self.header.is_none() && self.frame_ends.is_empty() && self.expected.is_empty()
    }

    /// Whether the first `read_bytes` bytes end inside a header or a frame, or what answers them is not all in
    /// `sent_bytes`: the server has something left to do.
    pub fn is_unfinished(&self, read_bytes: usize, sent_bytes: usize) -> bool {
        if self.is_unscripted() {
            return false;
        }
        let begins = if read_bytes < self.header_bytes { 0 } else { self.header_bytes };
        let is_between = read_bytes == begins || self.frame_ends.contains(&read_bytes);
        !is_between || sent_bytes < self.answers_bytes(read_bytes)
    }

    /// When a pause of the peer is over.
    pub fn wakes_ms(&self, now_ms: u64) -> Option<u64> {
        self.paused_until_ms.filter(|ms| *ms >= now_ms)
    }

    /// Does a step of the script, or a part of one. Returns whether it could.
    pub fn step(&mut self, net: &mut SimNet) -> bool {
        let bytes = 1 + net.random.below(4096);
        let now_ms = net.now_ms;
        let wire = &mut net.wires[self.wire];
        let mut moved = false;
        if self.reads && !wire.to_peer.is_empty() {
            self.received.extend(wire.receive(bytes));
            moved = true;
        }
        let Some(step) = self.script.front_mut() else { return moved };
        let is_over = match step {
            Step::Send(rest) => {
                let cut = 1 + bytes % rest.len().max(1);
                let taken = wire.send(&rest[..cut.min(rest.len())]);
                rest.drain(..taken);
                moved |= taken > 0;
                rest.is_empty()
            }
            Step::End => {
                wire.end();
                true
            }
            Step::Reset => {
                wire.reset();
                true
            }
            Step::Close => {
                // Unread bytes make the peer's kernel reset the connection.
                if wire.to_peer.is_empty() {
                    wire.end();
                } else {
                    wire.reset();
                }
                true
            }
            Step::Pause(ms) => match self.paused_until_ms {
                None => {
                    self.paused_until_ms = Some(now_ms + *ms);
                    false
                }
                Some(until_ms) => now_ms >= until_ms && self.paused_until_ms.take().is_some(),
            },
            Step::Read => {
                self.reads = true;
                true
            }
            Step::AwaitBytes(bytes) => self.received.len() >= *bytes || wire.is_over(),
            Step::AwaitEnd => wire.is_over(),
        };
        if is_over {
            self.script.pop_front();
        }
        moved || is_over
    }

    fn plan_messages(&mut self, random: &mut Random) {
        let awaits_each = random.one_in(2);
        for number in 0..random.below(12) {
            let fill = if random.one_in(6) { random.below(3000) } else { random.below(60) };
            let body = format!("{number} {}", "ä".repeat(fill / 2));
            self.plan_message(&body, random);
            if awaits_each {
                self.script.push_back(Step::Read);
                self.script.push_back(Step::AwaitBytes(self.expected.len()));
            }
            if random.one_in(5) {
                self.script.push_back(Step::Pause(random.below_u64(900)));
            }
        }
        self.script.push_back(Step::Read);
        match random.below(8) {
            0 => self.plan_message(DISCONNECT, random),
            1 => self.script.push_back(Step::End),
            2 => {
                let mut bytes = b"12x".to_vec();
                bytes.resize(3 + random.below(200), b'?');
                self.plan_bad_frame(bytes, "Error: header byte 2 is 'x', expected a digit or a space");
            }
            3 => {
                let mut bytes = frame::header(4).to_vec();
                bytes.extend_from_slice(b"ab\xff!");
                self.plan_bad_frame(bytes, "Error: body byte 2 begins no UTF-8 character");
            }
            4 => self.plan_bad_frame(
                frame::header(5000).to_vec(),
                "Error: the header announces 5000 bytes, the limit is 4000",
            ),
            5 => {
                // Ends inside a header.
                let header = frame::header(10);
                self.script.push_back(Step::Send(header[..=random.below(63)].to_vec()));
                self.script.push_back(Step::End);
            }
            6 => {
                self.leaves_early = true;
                return self.script.push_back(Step::Reset);
            }
            _ => {
                self.leaves_early = true;
                return self.script.push_back(Step::Close);
            }
        }
        self.script.push_back(Step::AwaitEnd);
        self.script.push_back(Step::Close);
    }

    fn plan_message(&mut self, body: &str, random: &mut Random) {
        let mut bytes = Vec::new();
        frame::append(body, &mut bytes);
        let tail = bytes.split_off(random.below(bytes.len()));
        self.script.extend([Step::Send(bytes), Step::Send(tail)]);
        self.expect_answer(body);
    }

    fn expect_answer(&mut self, body: &str) {
        frame::append(ACKNOWLEDGEMENT, &mut self.expected);
        self.end_frame(frame::HEADER_BYTES + body.len());
        self.messages.push(body.into());
    }

    fn end_frame(&mut self, bytes: usize) {
        let start = self.frame_ends.last().copied().unwrap_or(self.header_bytes);
        self.frame_ends.push(start + bytes);
    }

    fn plan_bad_frame(&mut self, bytes: Vec<u8>, reason: &str) {
        self.script.push_back(Step::Send(bytes));
        frame::append(reason, &mut self.expected);
    }

    fn plan_greeting(&mut self, random: &mut Random) {
        self.expected = GREETING.into();
        if random.one_in(2) {
            self.script.push_back(Step::Send(vec![b'?'; 1 + random.below(3000)]));
        }
        self.script.extend([Step::AwaitEnd, Step::Close]);
    }

    fn plan_reply(&mut self, random: &mut Random) {
        self.expected = REPLY.into();
        if random.one_in(3) {
            self.script.push_back(Step::End);
        } else {
            self.request = vec![b'a'; 1 + random.below(100)];
            self.script.push_back(Step::Send(self.request.clone()));
        }
        self.script.extend([Step::AwaitEnd, Step::Close]);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wire, received, expected, header_bytes, script, .. } = self;
        write!(f, "peer {wire} with {} of {} bytes", received.len(), expected.len())?;
        write!(f, ", {header_bytes} bytes of a header, frames until {:?}", self.frame_ends)?;
        write!(f, ", {} steps left, the next {:?}", script.len(), script.front())
    }
}

/// No two clients of proxies have the same port.
fn client_port(wire: usize) -> u16 {
    10_000 + u16::try_from(wire).unwrap()
}

/// The longest message that the server accepts.
pub const MESSAGE_BYTES_MAX: usize = 4000;

pub const ACKNOWLEDGEMENT_BYTES: usize = frame::HEADER_BYTES + ACKNOWLEDGEMENT.len();
