//! Any arguments are parsed or refused. Each line of the input is an argument.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loopline::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzzing::parse_arguments(text.lines());
    }
});
