//! A histogram log of any bytes is read or refused.
//!
//! A mutated log fails at its encoding and its checksum. So the input is read twice: as a log, and as the plain
//! bytes of a histogram, which are encoded here.

#![no_main]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use libfuzzer_sys::fuzz_target;
use loopline::fuzzing;

/// The first bytes of a compressed histogram of version 2.
const COMPRESSED_V2: u32 = 0x1c84_9314;

fuzz_target!(|bytes: &[u8]| {
    let _ = fuzzing::read_histogram_log(bytes);

    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(bytes).expect("a vector takes all bytes");
    let deflated = zlib.finish().expect("a vector takes all bytes");
    let mut encoded = COMPRESSED_V2.to_be_bytes().to_vec();
    encoded.extend(u32::try_from(deflated.len()).expect("an input is short").to_be_bytes());
    encoded.extend(deflated);
    let log = format!("0.000,1.000,2.000,{}\n", STANDARD.encode(encoded));
    let _ = fuzzing::read_histogram_log(log.as_bytes());
});
