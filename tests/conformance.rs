//! The same random scripts in the simulated network and on loopback: the event loop on the one, the program with
//! either model on the other. What a peer receives, how its stream ends, and what is in the journal must be equal, or
//! the simulation would show nothing of the program.
//!
//! A script is drawn so that its result does not depend on time. `LOOPLINE_SCRIPTS=N` draws more of them, and
//! `LOOPLINE_SEED=N` others.

#![allow(clippy::duplicate_mod, reason = "both parts of the tests have the list of the months")]
#![allow(
    clippy::disallowed_methods,
    clippy::incompatible_msrv,
    reason = "the tests wait for a real process; they may need a newer compiler"
)]

mod common;
#[allow(dead_code, reason = "the simulation uses the rest")]
mod sim;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use loopline::event_loop::EventLoop;
use loopline::journal::escape::unescape;
use loopline::journal::{Ack, Journal};
use loopline::limits::Limits;
use loopline::service::message::Message;
use loopline::service::{greeting::Greeting, reply::Reply};

use socket2::{Domain, Socket, Type};

use common::{End, MODELS, Peer, Server, acknowledgement, frame};
use sim::SimNet;
use sim::faults::Faults;
use sim::peer::Peer as SimPeer;
use sim::random::Random;

/// Scripts without `LOOPLINE_SCRIPTS`.
const SCRIPTS: u64 = 500;

/// Scripts that are run at once, a step of each in turn.
const SCRIPTS_AT_ONCE: usize = 10;

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4000;

const SERVICES: [&str; 3] = ["message", "greeting", "reply"];

/// What a peer does on its connection. At the end, it receives all that is still sent to it.
#[derive(Debug, Clone)]
struct Script {
    /// An index of `SERVICES`.
    service: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    /// Waits until the server has looked at what was sent.
    Pause,
    /// Receives until it has this many bytes in all.
    Receive(usize),
    HalfClose,
    Reset,
}

/// What can be observed of a script.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    received: String,
    /// `None` if the peer has reset the connection itself.
    end: Option<End>,
    /// The messages in the journal.
    recorded: Vec<String>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", SERVICES[self.service])?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Send(bytes) => write!(f, " Send({} bytes)", bytes.len()),
            Step::Pause | Step::Receive(_) | Step::HalfClose | Step::Reset => write!(f, " {step:?}"),
        })
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, end, recorded } = self;
        let last = &received[received.len().saturating_sub(100)..];
        write!(f, "{} bytes, the last are {last:?}, end {end:?}, {} messages", received.len(), recorded.len())
    }
}

#[test]
fn scripts_have_the_same_result_in_the_simulated_network_and_on_loopback_with_both_models() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("LOOPLINE_SEED").unwrap_or(1);
    let mut random = Random::new(seed);
    let scripts: Vec<Script> =
        (0..number("LOOPLINE_SCRIPTS").unwrap_or(SCRIPTS)).map(|_| Script::draw(&mut random)).collect();

    let simulated = simulate(&scripts, &mut random);
    for model in MODELS {
        for ((script, simulated), real) in scripts.iter().zip(&simulated).zip(run(&scripts, model)) {
            assert!(
                *simulated == real,
                "LOOPLINE_SEED={seed}, {script}\nsimulated: {simulated}\n{model} on loopback: {real}"
            );
        }
    }
    // The scripts reach what they are drawn for.
    let count = |is: fn(&Observed) -> bool| simulated.iter().filter(|it| is(it)).count();
    let counts = [
        count(|it| it.recorded.len() > 3),
        count(|it| it.received.contains("Error: ")),
        count(|it| it.end.is_none()),
        count(|it| it.recorded.last().is_some_and(|text| text == "Disconnect !")),
    ];
    assert!(counts.iter().all(|count| *count * 100 >= scripts.len()), "too few of a kind: {counts:?}");
}

impl Script {
    fn draw(random: &mut Random) -> Self {
        match random.below(20) {
            0 => Self::draw_other(1, b"ignored", random),
            // How the bytes of a longer request are divided decides what is recorded.
            1 => Self::draw_other(2, b"?", random),
            _ => Self::draw_messages(random),
        }
    }

    /// A service that answers once.
    fn draw_other(service: usize, request: &[u8], random: &mut Random) -> Self {
        let mut steps = vec![Step::Send(request.to_vec())];
        if random.one_in(2) {
            steps.push(Step::HalfClose);
        }
        Self { service, steps }
    }

    /// Some messages, and one of the ways to end.
    fn draw_messages(random: &mut Random) -> Self {
        let messages = random.below(12);
        let mut bytes: Vec<u8> = (0..messages).flat_map(|_| frame(draw_text(random))).collect();
        // Not divided: the server may have closed before the rest of it is sent.
        let mut bad_input = None;
        let end: &[Step] = match random.below(6) {
            0 => {
                bytes.extend(frame("Disconnect !"));
                &[]
            }
            1 => {
                bad_input = Some(Step::Send(draw_bad_input(random)));
                if random.one_in(2) { &[] } else { &[Step::HalfClose] }
            }
            2 => {
                let last = frame("cut off");
                bytes.extend(&last[..=random.below(last.len() - 1)]);
                &[Step::HalfClose]
            }
            3 => &[Step::Reset],
            _ => &[Step::HalfClose],
        };
        let mut steps = split(&bytes, random);
        steps.extend(bad_input);
        if let [Step::Reset] = end {
            // A reset discards what is on its way: it must have arrived.
            steps.push(Step::Receive(messages * acknowledgement().len()));
            if random.one_in(2) {
                steps.push(Step::Send(frame("cut off")[..=random.below(70)].to_vec()));
            }
        } else if random.one_in(2) {
            steps.push(Step::Receive(random.below(messages + 1) * acknowledgement().len()));
        }
        steps.extend_from_slice(end);
        Self { service: 0, steps }
    }
}

fn draw_text(random: &mut Random) -> String {
    const PARTS: [&str; 5] = ["plain", "\n\r\t\\", "\u{1b}[2J\0", "\u{202e}\u{feff}", "grüße, 世界 🙂"];
    let parts = if random.one_in(8) { random.below(300) } else { random.below(4) };
    (0..parts).map(|_| PARTS[random.below(PARTS.len())]).collect()
}

/// What is refused, and what its sender has sent behind it.
fn draw_bad_input(random: &mut Random) -> Vec<u8> {
    let mut bytes = match random.below(6) {
        0 => format!("{:<64}", "+5").into_bytes(),
        1 => format!("{:<64}", MESSAGE_BYTES_MAX + 1).into_bytes(),
        2 => frame(b"not UTF-8: \xff"),
        3 => frame(b"cut off: \xe2\x82"),
        4 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        _ => vec![b' '; 64],
    };
    bytes.extend(frame("never read").repeat(random.below(100)));
    bytes
}

/// The bytes in pieces, with pauses between some of them.
fn split(bytes: &[u8], random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    let piece_bytes_max = [1 + bytes.len(), 300, 20][random.below(3)].max(bytes.len() / 20);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(piece_bytes_max)));
        steps.push(Step::Send(piece.to_vec()));
        if random.one_in(3) {
            steps.push(Step::Pause);
        }
        rest = after;
    }
    steps
}

/// Calls `step` for each step: the first of each script, then the second of each, and so on.
fn in_turn(scripts: &[Script], mut step: impl FnMut(usize, &Step)) {
    let steps_max = scripts.iter().map(|script| script.steps.len()).max().unwrap_or(0);
    for place in 0..steps_max {
        for (index, script) in scripts.iter().enumerate() {
            if let Some(next) = script.steps.get(place) {
                step(index, next);
            }
        }
    }
}

/// Runs the scripts in simulated networks, each with faults of its own.
fn simulate(scripts: &[Script], random: &mut Random) -> Vec<Observed> {
    scripts.chunks(SCRIPTS_AT_ONCE).flat_map(|scripts| Simulation::new(random).run(scripts)).collect()
}

struct Simulation {
    server: EventLoop<SimNet>,
}

impl Simulation {
    fn new(random: &mut Random) -> Self {
        // A script may have more steps than there are milliseconds in the timeouts of the program.
        let linger_timeout = Duration::from_secs(3600);
        let limits = Limits { frame_timeout: None, write_timeout: None, linger_timeout, ..Limits::default() };
        let faults = Faults::draw(random);
        let mut net = SimNet::new(random.fork(0), &limits, faults, Ack::Written);
        net.clock_stands = true;
        let journal = Journal::to(Box::new(net.sink()), Ack::Written);
        let mut server = EventLoop::new(net, limits);
        server.set_journal(journal);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        server.listen(address, Box::new(Message::new(MESSAGE_BYTES_MAX))).unwrap();
        server.listen(address, Box::new(Greeting)).unwrap();
        server.listen(address, Box::new(Reply)).unwrap();
        Self { server }
    }

    fn run(mut self, scripts: &[Script]) -> Vec<Observed> {
        for script in scripts {
            let net = self.server.net();
            let capacity = 20 + net.random.below(5000);
            net.connect(SimPeer::new(net.wires.len()), script.service, capacity);
        }
        in_turn(scripts, |index, step| self.step(index, step));
        // A peer that has received the end closes.
        while self.server.net().wires.iter().any(|wire| wire.closed_ms.is_none()) {
            self.turn();
            self.server.net().wires.iter_mut().filter(|wire| wire.is_over()).for_each(sim::wire::Wire::end);
        }
        let net = self.server.net();
        for (peer, wire) in net.peers.iter_mut().zip(&mut net.wires) {
            peer.received.extend(wire.receive(usize::MAX));
        }
        let disk = net.disk.lock().unwrap();
        let results = scripts.iter().zip(&net.wires).zip(&net.peers);
        results
            .map(|((script, wire), peer)| Observed {
                received: String::from_utf8(peer.received.clone()).unwrap(),
                end: match script.steps.last() {
                    Some(Step::Reset) => None,
                    _ if wire.reset => Some(End::Reset),
                    _ => Some(End::Closed),
                },
                recorded: disk.records(wire.address).to_vec(),
            })
            .collect()
    }

    fn step(&mut self, index: usize, step: &Step) {
        match step {
            Step::Send(bytes) => {
                let mut sent = 0;
                while sent < bytes.len() {
                    sent += self.server.net().wires[index].send(&bytes[sent..]);
                    self.turn();
                }
            }
            Step::Pause => (0..3).for_each(|_| self.turn()),
            Step::Receive(bytes) => {
                while self.server.net().peers[index].received.len() < *bytes {
                    self.turn();
                }
            }
            Step::HalfClose => self.server.net().wires[index].end(),
            Step::Reset => self.server.net().wires[index].reset(),
        }
    }

    /// A turn of the server, in a millisecond. The network lets the peers receive.
    fn turn(&mut self) {
        self.server.net().now_ms += 1;
        self.server.turn().unwrap();
    }
}

/// Runs the scripts on loopback, with the program.
fn run(scripts: &[Script], model: &str) -> Vec<Observed> {
    let endpoints = "message=0 greeting=0 reply=0";
    let server = Server::start(&format!("{endpoints} --model {model} --max-message {MESSAGE_BYTES_MAX}"));
    let mut pacer = server.connect("message");
    let mut ended = Vec::new();
    for scripts in scripts.chunks(SCRIPTS_AT_ONCE) {
        let sources = (ended.len()..).map(source).take(scripts.len());
        let mut peers: Vec<(Option<Peer>, Vec<u8>)> = scripts
            .iter()
            .zip(sources)
            .map(|(script, source)| {
                (Some(connect(source, server.address(SERVICES[script.service]))), Vec::new())
            })
            .collect();
        in_turn(scripts, |index, step| {
            let (peer, received) = &mut peers[index];
            match step {
                Step::Send(bytes) => peer.as_mut().unwrap().send(bytes),
                Step::Pause => pacer.exchange("pause"),
                Step::Receive(bytes) => {
                    received.extend(peer.as_mut().unwrap().receive(bytes - received.len()));
                }
                Step::HalfClose => peer.as_mut().unwrap().half_close(),
                Step::Reset => peer.take().unwrap().reset(),
            }
        });
        for (peer, mut received) in peers {
            let end = peer.map(|mut peer| {
                let (rest, end) = peer.receive_all();
                received.extend(rest);
                end
            });
            ended.push((received, end));
        }
    }
    let journal = server.stop_cleanly().journal;
    let mut recorded: HashMap<IpAddr, Vec<String>> = HashMap::new();
    for line in journal.lines() {
        let (peer, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
        let text = String::from_utf8(unescape(text).unwrap()).unwrap();
        recorded.entry(peer.parse::<SocketAddr>().unwrap().ip()).or_default().push(text);
    }
    ended
        .into_iter()
        .enumerate()
        .map(|(index, (received, end))| Observed {
            received: String::from_utf8(received).unwrap(),
            end,
            recorded: recorded.remove(&source(index)).unwrap_or_default(),
        })
        .collect()
}

/// The address of a script's peer. No two have the same, whichever ports they have.
fn source(index: usize) -> IpAddr {
    let [high, low] = u16::try_from(index).expect("at most 65,536 scripts").to_be_bytes();
    [127, 7, high, low].into()
}

fn connect(source: IpAddr, address: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Peer::on(socket.into())
}
