//! The event loop on a simulated network (`tests/sim/`).
//!
//! `seeds.rs` runs whole servers: each seed draws the peers, the limits, and which faults occur and how often. A
//! failure prints the command that replays it, with the fewest peers and faults that still fail.
//!
//! | | |
//! |---|---|
//! | `LOOPLINE_SEEDS=N` | runs N seeds |
//! | `LOOPLINE_STEPS=N` | runs seeds until their servers have turned N times |
//! | `LOOPLINE_NO_SHRINK=1` | does not look for the fewest peers and faults when a seed fails |
//! | `LOOPLINE_SCRIPT=FILE` | runs what the fuzz target `simulation` has written to a file |
//! | `LOOPLINE_SEED=…` | runs one seed, with `LOOPLINE_PEERS` and `LOOPLINE_FAULTS` a part of it |
//!
//! The other files are scenes: a few peers that do what the test says, and the outcome of one rule.

#[path = "../common/proxy_headers.rs"]
mod proxy_headers;
#[path = "../sim/mod.rs"]
mod sim;

mod accepting;
mod admin;
mod calls;
mod connections;
mod datagrams;
mod fairness;
mod header_and_body;
mod journal;
mod log;
mod memory;
mod power_loss;
mod proxied;
mod seeds;
mod stopping;
mod strict;
mod timeouts;
