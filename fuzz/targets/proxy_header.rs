//! A PROXY header is judged in the same way, however it is cut: what a part of it gives is incomplete, or final.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loopline::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let whole = fuzzing::parse_proxy_header(bytes);
    for end in 0..bytes.len() {
        match fuzzing::parse_proxy_header(&bytes[..end]) {
            Ok(None) => {}
            Ok(header) => {
                assert!(
                    header.is_some_and(|(header_bytes, _)| header_bytes <= end),
                    "it is longer than it is"
                );
                return assert_eq!(Ok(header), whole);
            }
            // The text may show more of the bytes when there are more.
            Err(_) => return assert!(whole.is_err(), "more bytes make a bad header good: {whole:?}"),
        }
    }
    assert!(bytes.len() < 1024 || whole != Ok(None), "a header has at most as many bytes as may be");
});
