//! Machines that stop at any moment while a server writes its journal, one after the other on the same file. All that
//! was acknowledged is in the file afterwards, once and in order for each connection, and the next server goes on.
//!
//! `LOOPLINE_LOSSES=N` stops N machines.

use std::collections::HashMap;
use std::env;
use std::io;
use std::net::SocketAddr;
use std::panic;
use std::sync::{Arc, Mutex};

use loopline::journal::{Ack, JournalFile, Sink, prepare};
use loopline::limits::Limits;

use crate::sim::disk::{SimSink, parse_line};
use crate::sim::faults::Faults;
use crate::sim::lossy_file::LossyFile;
use crate::sim::peer::ACKNOWLEDGEMENT_BYTES;
use crate::sim::random::Random;
use crate::sim::run::{Listeners, Run};

/// What is promised: after a kill everything that was written, after a loss of power everything that was synced.
#[derive(Clone, Copy)]
enum Stop {
    Kill,
    PowerLoss,
}

/// What one connection has sent, and how much of it the server has acknowledged.
struct Sender {
    address: SocketAddr,
    messages: Vec<String>,
    acknowledged: usize,
}

/// Writes to the lossy file what the simulated disk takes of it.
struct LossySink {
    disk: SimSink,
    file: Arc<Mutex<LossyFile>>,
}

impl Sink for LossySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.disk.write(bytes)?;
        self.file.lock().unwrap().append(&bytes[..taken])?;
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.lock().unwrap().sync()?;
        self.disk.sync()
    }
}

#[derive(Default)]
struct Outcome {
    machines: usize,
    acknowledged: usize,
    /// Times that the file ended in what no journal can end in, and was not opened before it was cut by hand.
    refusals: usize,
}

/// Some machines stop, one after the other, with the same file.
fn stop_machines(seed: u64, stop: Stop) -> Outcome {
    let mut random = Random::new(seed);
    let file = Arc::new(Mutex::new(LossyFile::new(&mut random)));
    let mut senders = Vec::new();
    let mut outcome = Outcome::default();
    for machine in 0..=random.below(10) {
        file.lock().unwrap().stop_within(40);
        let ack = match stop {
            Stop::Kill => [Ack::Written, Ack::Synced][random.below(2)],
            Stop::PowerLoss => Ack::Synced,
        };
        let is_ready = prepare(&mut *file.lock().unwrap(), ack).is_ok();
        if is_ready {
            senders.extend(serve(&mut random, &file, ack, machine));
        }
        let mut file = file.lock().unwrap();
        match stop {
            Stop::Kill => file.kill(),
            Stop::PowerLoss => file.lose_power(),
        }
        // A server that starts now, on a machine that goes on, finds all there is.
        outcome.refusals += usize::from(open(&mut file, ack));
        check(file.content(), &senders);
        outcome.machines += 1;
    }
    outcome.acknowledged = senders.iter().map(|sender| sender.acknowledged).sum();
    outcome
}

/// Opens the file, and does what a refusal to open it says. Returns whether it was refused.
fn open(file: &mut LossyFile, ack: Ack) -> bool {
    let Err(error) = prepare(file, ack) else { return false };
    let error = error.to_string();
    let (_, bytes) = error.split_once("'truncate --size ").expect("the error says what to do");
    file.truncate(bytes.trim_end_matches('\'').parse().unwrap()).unwrap();
    prepare(file, ack).unwrap();
    true
}

/// Serves a few peers until the machine stops.
fn serve(random: &mut Random, file: &Arc<Mutex<LossyFile>>, ack: Ack, machine: usize) -> Vec<Sender> {
    let limits = Limits { visits_per_commit_max: 1 + random.below(8), ..Limits::default() };
    let faults = Faults { failed_accepts: 0, ..Faults::draw(random) };
    let mut run = Run::with_sink(random, &limits, faults, ack, Listeners::Own, |disk| {
        Box::new(LossySink { disk, file: file.clone() })
    });
    run.server.net().first_peer = machine * 100;
    for _ in 0..=random.below(4) {
        run.server.net().connect_peer();
    }
    for _ in 0..random.below(100) {
        if run.turn(true).is_err() {
            break;
        }
    }
    let net = run.server.net();
    let senders = net.peers.iter().zip(&net.wires).map(|(peer, wire)| {
        // A request of `reply` counts as a message too: it is recorded before it is answered.
        let is_answered = !peer.request.is_empty() && !wire.sent.is_empty();
        let requests = is_answered.then(|| net.disk.lock().unwrap().records(wire.address).to_vec());
        let messages = requests.unwrap_or_else(|| peer.messages.clone());
        let acknowledged = (wire.sent.len() / ACKNOWLEDGEMENT_BYTES).min(peer.messages.len());
        Sender { address: wire.address, messages, acknowledged: acknowledged + usize::from(is_answered) }
    });
    senders.collect()
}

/// What was acknowledged is there, and nothing that was not sent; a line that the loss has damaged holds a NUL.
fn check(content: &[u8], senders: &[Sender]) {
    let mut found: HashMap<SocketAddr, Vec<String>> = HashMap::new();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("the last line is whole");
        if !line.contains(&0) {
            let (peer, text) = parse_line(line);
            found.entry(peer).or_default().push(text);
        }
    }
    for sender in senders {
        let found = found.remove(&sender.address).unwrap_or_default();
        let acknowledged = &sender.messages[..sender.acknowledged];
        assert!(
            found.starts_with(acknowledged),
            "of {}, {} messages are acknowledged, and {found:?} are in the file",
            sender.address,
            acknowledged.len()
        );
    }
}

fn stop_many(stop: Stop, machines_max: usize) {
    let machines_max = env::var("LOOPLINE_LOSSES").map_or(machines_max, |text| text.parse().unwrap());
    let mut all = Outcome::default();
    for seed in 0.. {
        let outcome = panic::catch_unwind(|| stop_machines(seed, stop)).unwrap_or_else(|panic| {
            eprintln!("the seed is {seed}");
            panic::resume_unwind(panic)
        });
        all.machines += outcome.machines;
        all.acknowledged += outcome.acknowledged;
        all.refusals += outcome.refusals;
        if all.machines >= machines_max {
            break;
        }
    }
    let Outcome { machines, acknowledged, refusals } = all;
    println!("{machines} machines stopped, {acknowledged} messages acknowledged, {refusals} files refused");
    assert!(acknowledged >= machines, "{acknowledged} messages acknowledged");
    assert!(refusals * 20 <= machines, "{refusals} files refused");
}

#[test]
fn a_power_loss_at_any_moment_loses_nothing_that_was_acknowledged_as_synced() {
    stop_many(Stop::PowerLoss, 1500);
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged_as_written() {
    stop_many(Stop::Kill, 1500);
}
