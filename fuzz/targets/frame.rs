//! Any bytes are judged by the parser as by a naive reading of the grammar.

#![no_main]

#[path = "../../tests/frame_grammar/mod.rs"]
mod frame_grammar;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| frame_grammar::check(bytes, 100));
