//! Many peers that make the server store bytes: its memory stays within the budget, others are served, and the memory
//! returns to the system when they have left.
//!
//! `LOOPLINE_ATTACKERS=15000 cargo test --release --test serve memory -- --nocapture --test-threads 1` is the full
//! version, which asserts the latency of the others; the machine must be quiet.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use crate::common::{Clock, Peer, Server, eventually, frame};

/// The memory budget, in MiB. A process without connections needs a tenth of it.
const BUDGET_MIB: u64 = 64;

/// Resident memory, in KiB: the budget and a tenth.
const RESIDENT_KIB_MAX: u64 = BUDGET_MIB * 1024 * 11 / 10;

/// The peers of an attack, each of which sends `bytes`, again and again if it `repeats`, and never reads.
struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
    repeats: bool,
    /// All of them together send more than the budget, so some are closed.
    exceeds_budget: bool,
}

fn attacks() -> [Attack; 4] {
    let most_of_a_frame = frame("x".repeat(1 << 20))[..900_000].to_vec();
    [
        Attack { name: "unfinished frames", bytes: most_of_a_frame, repeats: false, exceeds_budget: true },
        Attack {
            name: "pipelining without reading",
            bytes: frame("x").repeat(500),
            repeats: true,
            exceeds_budget: true,
        },
        Attack { name: "partial headers", bytes: vec![b'1'; 10], repeats: false, exceeds_budget: false },
        Attack {
            name: "announced and not sent",
            bytes: format!("{:<64}", 1 << 20).into(),
            repeats: false,
            exceeds_budget: false,
        },
    ]
}

/// A peer of an attack.
struct Attacker {
    peer: Peer,
    sent: usize,
}

impl Attacker {
    fn connect(server: &Server) -> Self {
        let peer = server.connect("message");
        peer.stream.set_nonblocking(true).unwrap();
        Self { peer, sent: 0 }
    }

    /// Sends what the network takes. Returns false if the server has closed the connection.
    fn send(&mut self, attack: &Attack) -> bool {
        for _ in 0..100 {
            if self.sent == attack.bytes.len() {
                if !attack.repeats {
                    return self.is_open();
                }
                self.sent = 0;
            }
            match self.peer.stream.write(&attack.bytes[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn is_open(&self) -> bool {
        match self.peer.stream.peek(&mut [0; 1]) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Of each kind of attack, if the environment asks for the full version.
fn requested_attackers() -> Option<usize> {
    std::env::var("LOOPLINE_ATTACKERS").ok().map(|count| count.parse().unwrap())
}

/// The 99th percentile of the latency of normal peers in the full version.
const P99_MAX: Duration = Duration::from_millis(10);

fn resident_kib(server: &Server) -> u64 {
    server.status("VmRSS")
}

#[test]
fn attackers_that_fill_the_memory_cost_no_more_than_the_budget_and_others_are_served() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let attackers_max = requested_attackers().unwrap_or(300);
    for attack in attacks() {
        let server = Server::start(&format!("message=0 --journal none --max-memory {BUDGET_MIB}MiB"));
        let before_kib = resident_kib(&server);
        let mut normal: Vec<Peer> = (0..100).map(|_| server.connect("message")).collect();
        let mut attackers: Vec<Attacker> = (0..attackers_max).map(|_| Attacker::connect(&server)).collect();
        let (mut resident_kib_max, mut closed) = (0, 0);
        let mut latencies = Vec::new();
        for round in 0..10 {
            for (index, attacker) in attackers.iter_mut().enumerate() {
                if !attacker.send(&attack) {
                    *attacker = Attacker::connect(&server);
                    closed += 1;
                }
                if index % 20 == 0 {
                    let clock = Clock::start();
                    normal[index / 20 % 100].exchange("normal");
                    latencies.push(clock.elapsed());
                }
                if index % 100 == 0 {
                    resident_kib_max = resident_kib_max.max(resident_kib(&server));
                }
            }
            assert!(
                resident_kib_max < RESIDENT_KIB_MAX,
                "{}: {resident_kib_max} KiB in round {round}",
                attack.name
            );
        }
        eventually("a long message of another is acknowledged", || long_message(&server).ok());
        let is_logged = server.log().contains("the memory budget was in use");
        assert_eq!(is_logged, attack.exceeds_budget, "{}", attack.name);
        drop(attackers);
        eventually("the memory is given back", || (resident_kib(&server) < before_kib + 8192).then_some(()));
        latencies.sort();
        let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        eprintln!(
            "{}: {before_kib} KiB before, {resident_kib_max} at most, {} after; {closed} closed; p50 {:?}, p99 {:?}, longest {:?}",
            attack.name,
            resident_kib(&server),
            percentile(50),
            percentile(99),
            percentile(100)
        );
        assert!(requested_attackers().is_none() || percentile(99) < P99_MAX, "{}: p99", attack.name);
        normal.iter_mut().for_each(|peer| peer.exchange("after it"));
        drop(normal);
        server.stop_cleanly();
    }
}

/// With a thread each, the budget bounds the bytes that wait. The stacks of the threads are in addition, and the memory of
/// closed connections whose threads have not ended yet, which takes longer on a busy machine. Without a budget, they
/// would take 174 MiB.
#[test]
fn attackers_that_fill_the_memory_of_threads_cost_a_bounded_amount_and_others_are_served() {
    const ATTACKERS: usize = 300;
    const RESIDENT_KIB_MAX: u64 = BUDGET_MIB * 1024 * 9 / 4 + ATTACKERS as u64 * 32;
    for attack in attacks() {
        let arguments = format!("message=0 --journal none --model threads --max-memory {BUDGET_MIB}MiB");
        let server = Server::start(&arguments);
        let before_kib = resident_kib(&server);
        let mut normal: Vec<Peer> = (0..ATTACKERS / 10).map(|_| server.connect("message")).collect();
        let mut attackers: Vec<Attacker> = (0..ATTACKERS).map(|_| Attacker::connect(&server)).collect();
        let mut resident_kib_max = 0;
        for _ in 0..20 {
            for (index, attacker) in attackers.iter_mut().enumerate() {
                if !attacker.send(&attack) {
                    *attacker = Attacker::connect(&server);
                }
                if index % 10 == 0 {
                    normal[index / 10].exchange("normal");
                    resident_kib_max = resident_kib_max.max(resident_kib(&server));
                }
            }
        }
        eprintln!("{}, threads: {before_kib} KiB before, {resident_kib_max} at most", attack.name);
        assert!(resident_kib_max < RESIDENT_KIB_MAX, "{}: {resident_kib_max} KiB", attack.name);
        drop(attackers);
        eventually("the memory is given back", || {
            (resident_kib(&server) < before_kib + 16_384).then_some(())
        });
        normal.iter_mut().for_each(|peer| peer.exchange("after it"));
        drop(normal);
        server.stop_cleanly();
    }
}

/// A message of the maximum size, which the attack may have closed.
fn long_message(server: &Server) -> io::Result<()> {
    let mut peer = server.connect("message");
    peer.try_send(&frame("y".repeat(1 << 20)))?;
    let mut first = [0; 1];
    peer.stream.read_exact(&mut first)
}

#[test]
fn a_budget_that_is_too_small_for_a_message_is_a_usage_error() {
    let exit = crate::common::Serve::new("message=0 --max-memory 4MiB").try_start().err().expect("it ends");
    assert_eq!(exit.status.code(), Some(2));
    assert!(exit.log.contains("--max-memory must be at least 9437184 bytes"), "{}", exit.log);
}
