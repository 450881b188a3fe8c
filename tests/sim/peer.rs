//! Scripted peers of the simulated network, and what each of them must have read in the end.

use std::collections::VecDeque;

use loopline::frame;
use loopline::service::greeting::GREETING;
use loopline::service::message::{ACKNOWLEDGEMENT, DISCONNECT};
use loopline::service::reply::REPLY;

use super::{Random, SimNet};

/// What a peer does next.
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
    pub wire: usize,
    pub got: Vec<u8>,
    /// Bytes that must have come when the script is over, and no others before them.
    pub expected: Vec<u8>,
    /// The script may be over before all of it has come.
    pub may_miss_some: bool,
    /// Messages that were sent whole.
    pub messages: Vec<String>,
    script: VecDeque<Step>,
    reads: bool,
    paused_until_ms: Option<u64>,
}

impl Peer {
    /// A peer with a script of its own making, which connects at once.
    pub fn random(net: &mut SimNet) -> Self {
        let random = &mut Random(net.random.next());
        let listener = random.below(3);
        let mut peer = Self {
            wire: net.connect(listener),
            got: Vec::new(),
            expected: Vec::new(),
            may_miss_some: false,
            messages: Vec::new(),
            script: VecDeque::new(),
            reads: true,
            paused_until_ms: None,
        };
        match listener {
            0 => {
                // All answers fit on the way, or the server would rightly wait for some to be read.
                let room = net.wires[peer.wire].room + net.unsent_bytes_max;
                peer.reads = room < 2000 || !random.one_in(4);
                peer.plan_messages(random);
            }
            1 => peer.plan_greeting(random),
            _ => peer.plan_reply(random),
        }
        peer
    }

    pub fn is_done(&self) -> bool {
        self.script.is_empty()
    }

    /// Whether it is being told that there is no room for it.
    pub fn is_refused(&self, net: &SimNet) -> bool {
        let sent = &net.wires[self.wire].sent;
        !self.expected.starts_with(sent) && net.refusal.starts_with(sent)
    }

    /// When a pause of the peer is over.
    pub fn wakes_ms(&self, net: &SimNet) -> Option<u64> {
        self.paused_until_ms.filter(|ms| *ms >= net.now_ms)
    }

    /// Does a step of the script, or a part of one; whether it could.
    pub fn step(&mut self, net: &mut SimNet) -> bool {
        let bytes = 1 + net.random.below(4096);
        let now_ms = net.now_ms;
        let wire = &mut net.wires[self.wire];
        let mut moved = false;
        if self.reads && !wire.to_peer.is_empty() {
            self.got.extend(wire.receive(bytes));
            moved = true;
        }
        let Some(step) = self.script.front_mut() else { return moved };
        let over = match step {
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
                // What the peer has not read makes its kernel reset the connection.
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
            Step::AwaitBytes(bytes) => self.got.len() >= *bytes || wire.is_over(),
            Step::AwaitEnd => wire.is_over(),
        };
        if over {
            self.script.pop_front();
        }
        moved || over
    }

    fn plan_messages(&mut self, random: &mut Random) {
        let awaits_each = random.one_in(2);
        for number in 0..random.below(12) {
            let fill = if random.one_in(6) { random.below(3000) } else { random.below(60) };
            let body = format!("{number} {}", "ä".repeat(fill / 2));
            self.send_message(&body, random);
            if awaits_each {
                self.script.push_back(Step::Read);
                self.script.push_back(Step::AwaitBytes(self.expected.len()));
            }
            if random.one_in(5) {
                self.script.push_back(Step::Pause(random.next() % 900));
            }
        }
        self.script.push_back(Step::Read);
        match random.below(8) {
            0 => self.send_message(DISCONNECT, random),
            1 => self.script.push_back(Step::End),
            2 => {
                let mut bytes = b"12x".to_vec();
                bytes.resize(3 + random.below(200), b'?');
                self.refused(bytes, "Error: header byte 2 is 'x', expected a digit or a space");
            }
            3 => {
                let mut bytes = frame::header(4).to_vec();
                bytes.extend_from_slice(b"ab\xff!");
                self.refused(bytes, "Error: body byte 2 begins no UTF-8 character");
            }
            4 => self.refused(
                frame::header(5000).to_vec(),
                "Error: the header announces 5000 bytes, the limit is 4000",
            ),
            5 => {
                // Ends inside a frame.
                let whole = frame::header(10);
                self.script.push_back(Step::Send(whole[..=random.below(63)].to_vec()));
                self.script.push_back(Step::End);
            }
            6 => {
                self.may_miss_some = true;
                return self.script.push_back(Step::Reset);
            }
            _ => {
                self.may_miss_some = true;
                return self.script.push_back(Step::Close);
            }
        }
        self.script.push_back(Step::AwaitEnd);
        self.script.push_back(Step::Close);
    }

    fn send_message(&mut self, body: &str, random: &mut Random) {
        let mut bytes = Vec::new();
        frame::append(body, &mut bytes);
        let tail = bytes.split_off(random.below(bytes.len()));
        self.script.extend([Step::Send(bytes), Step::Send(tail)]);
        frame::append(ACKNOWLEDGEMENT, &mut self.expected);
        self.messages.push(body.into());
    }

    fn refused(&mut self, bytes: Vec<u8>, reason: &str) {
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
        let request = vec![b'a'; 1 + random.below(100)];
        self.script.push_back(if random.one_in(3) { Step::End } else { Step::Send(request) });
        self.script.extend([Step::AwaitEnd, Step::Close]);
    }
}
