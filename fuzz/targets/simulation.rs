//! A whole server in the simulated network of the tests: the input draws its limits, its peers and what they do, and
//! which calls fail. All that `tests/sim` checks of a run holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::plan::Source;
use sim::whole;

#[allow(dead_code, reason = "the tests of the simulation use all of it")]
#[path = "../../tests/sim/mod.rs"]
mod sim;

fuzz_target!(|input: &[u8]| {
    let source = Source::Script { file: "its input".into(), bytes: input.into() };
    whole::run(&whole::plan(source));
});
