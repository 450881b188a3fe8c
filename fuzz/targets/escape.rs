//! Any bytes become one printable line and come back from it; any text is unescaped without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loopline::journal::escape::{escape, unescape};

fuzz_target!(|bytes: &[u8]| {
    let mut line = Vec::new();
    escape(bytes, &mut line);
    let line = String::from_utf8(line).expect("a line is text");
    assert!(line.chars().all(|character| !character.is_control()), "{line:?}");
    assert_eq!(unescape(&line).as_deref(), Some(bytes));
    let _ = std::str::from_utf8(bytes).map(unescape);
});
