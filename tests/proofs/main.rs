//! Proofs, with the program itself, that a message whose acknowledgement was read is in the journal: after SIGKILL
//! under load and at each system call, and in the order of the system calls.
//!
//! Each has a short form, which is the default, and a long one:
//!
//! | variable | |
//! |---|---|
//! | `LOOPLINE_KILLS=300` | kills under load |
//! | `LOOPLINE_TRACED_MESSAGES=100000` | messages whose system calls are traced, in each run |
//! | `LOOPLINE_EVERY_CALL=1` | a kill at every system call of a session, instead of a part of them |
//! | `LOOPLINE_SOAK_SECONDS=3600` | the soak, with `LOOPLINE_SOAK_CONNECTIONS=10000` and `LOOPLINE_SOAK_VISITS=1000` a second |
//! | `LOOPLINE_PROOF_SEED=N` | what is drawn, for both |
//! | `LOOPLINE_PROOF_PROGRAM=PATH` | another server than the one that was built with the tests |

#![allow(
    clippy::disallowed_methods,
    clippy::incompatible_msrv,
    reason = "the tests wait for a real process; they may need a newer compiler"
)]

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod each_call;
mod kills;
mod order;
mod records;
mod soak;

use std::path::Path;

use common::Serve;

/// The modes in which an acknowledgement promises a line of the journal.
const ACKS: [&str; 2] = ["written", "synced"];

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seed() -> u64 {
    number("LOOPLINE_PROOF_SEED").unwrap_or(1)
}

/// The server of the proofs, with a journal file.
fn server(model: &str, ack: &str, journal: &Path) -> Serve {
    Serve::new(&format!("message=0 --model {model} --ack {ack} --journal")).arg(journal)
}
