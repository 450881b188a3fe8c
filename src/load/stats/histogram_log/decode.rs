//! Decodes the histogram of a line: base64, a zlib stream, and the encoding of `HdrHistogram`.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// Decodes a histogram, or returns what is invalid.
///
/// ```text
/// base64 ─▶ cookie, length, zlib ─▶ cookie, length, header, counts
///             4       4               4       4       32
/// ```
/// The deserializer alone is not enough: it allocates memory by the inner length, and does not read the
/// checksum at the end of the zlib stream.
pub(crate) fn decode(encoded: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("the histogram is not base64: {error}"))?;
    let Some((COMPRESSED_V2, rest)) = split_u32(&bytes) else {
        return Err("the histogram is not compressed in version 2".into());
    };
    let Some((_, deflated)) = split_u32(rest).filter(|(length, rest)| is_length(*length, rest)) else {
        return Err("the histogram does not have the length it states".into());
    };
    let mut plain = Vec::new();
    let inflated = ZlibDecoder::new(deflated).take(HISTOGRAM_BYTES_MAX).read_to_end(&mut plain);
    inflated.map_err(|error| format!("the histogram is damaged: {error}"))?;
    let counts = plain.get(HEADER_BYTES..).unwrap_or_default();
    if !plain.get(4..).and_then(split_u32).is_some_and(|(length, _)| is_length(length, counts)) {
        return Err("the histogram does not have the length it states".into());
    }
    let histogram = Deserializer::new().deserialize(&mut plain.as_slice());
    histogram.map_err(|error| format!("the histogram is damaged: {error}"))
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (u32::from_be_bytes(*first), rest))
}

fn is_length(length: u32, bytes: &[u8]) -> bool {
    usize::try_from(length) == Ok(bytes.len())
}

/// The first bytes of a compressed histogram of version 2.
const COMPRESSED_V2: u32 = 0x1c84_9314;

/// Bytes before the counts.
const HEADER_BYTES: usize = 40;

/// Larger than any histogram: six million counts of nine bytes.
const HISTOGRAM_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

    fn histogram() -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        (0..100).for_each(|n| histogram.record(n * n * 1000).unwrap());
        histogram
    }

    fn encoded(histogram: &Histogram<u64>) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(histogram, &mut bytes).unwrap();
        STANDARD.encode(bytes)
    }

    #[test]
    fn a_changed_bit_is_detected() {
        let whole = encoded(&histogram());
        assert!(histogram() == decode(&whole).unwrap());
        for at in 0..whole.len() {
            for bit in 0..7 {
                let mut changed = whole.clone().into_bytes();
                changed[at] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                if let Ok(read) = decode(&changed) {
                    // The last byte of the stream has unused bits.
                    assert!(read == histogram(), "{changed}");
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_detected() {
        let whole = encoded(&histogram());
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_inner_length_is_not_trusted() {
        use flate2::{Compression, read::ZlibEncoder};
        let mut plain = vec![0; 40];
        plain[..8].copy_from_slice(&[0x1c, 0x84, 0x93, 0x13, 0xff, 0xff, 0xff, 0xff]);
        let mut deflated = Vec::new();
        ZlibEncoder::new(plain.as_slice(), Compression::fast()).read_to_end(&mut deflated).unwrap();
        let length = u32::try_from(deflated.len()).unwrap();
        let bytes = [&COMPRESSED_V2.to_be_bytes(), &length.to_be_bytes(), &deflated[..]].concat();
        let error = decode(&STANDARD.encode(bytes)).unwrap_err();
        assert_eq!(error, "the histogram does not have the length it states");
    }
}
