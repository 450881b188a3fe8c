//! The grammar of a frame, read as naively as possible, to compare the parser with.

use loopline::frame::{self, BadFrame, Frame, HEADER_BYTES, Known};

/// What a header announces, byte by byte, from the words of the grammar: digits without a leading zero,
/// then spaces, 64 bytes in all. `Err` is the index of the first byte that does not fit.
fn read_header(header: &[u8]) -> Result<u128, usize> {
    #[derive(PartialEq)]
    enum Had {
        Nothing,
        Zero,
        Digits,
        Space,
    }
    let mut had = Had::Nothing;
    let mut value: u128 = 0;
    for (place, byte) in header.iter().enumerate() {
        had = match (&had, byte) {
            (Had::Nothing, b'0') => Had::Zero,
            (Had::Nothing, b'1'..=b'9') | (Had::Digits, b'0'..=b'9') => {
                value = value.saturating_mul(10).saturating_add(u128::from(byte - b'0'));
                Had::Digits
            }
            (Had::Zero | Had::Digits | Had::Space, b' ') => Had::Space,
            _ => return Err(place),
        };
    }
    Ok(value)
}

/// Compares the parser with the grammar, also for bytes that come in parts.
pub fn check(bytes: &[u8], body_bytes_max: usize) {
    let outcome = frame::parse(bytes, body_bytes_max);
    check_parts(bytes, body_bytes_max, outcome);
    let header = &bytes[..bytes.len().min(HEADER_BYTES)];
    match (read_header(header), outcome) {
        (Err(place), Err(BadFrame::Header { position, byte, .. })) => {
            assert_eq!((position, byte), (place, bytes[place]));
        }
        (Err(place), other) => panic!("byte {place} is bad, but {other:?}"),
        (Ok(_), outcome) if bytes.len() < HEADER_BYTES => assert_eq!(outcome, Ok(None)),
        (Ok(announced), outcome) if announced > body_bytes_max as u128 => {
            assert!(matches!(outcome, Err(BadFrame::TooLong { .. })), "{announced}: {outcome:?}");
        }
        (Ok(announced), outcome) => {
            let announced = usize::try_from(announced).unwrap();
            match (bytes[HEADER_BYTES..].get(..announced), outcome) {
                (None, outcome) => assert_eq!(outcome, Ok(None)),
                (Some(body), Ok(Some(frame))) => assert_eq!(frame.body, body),
                (Some(body), Err(BadFrame::NotUtf8 { position })) => {
                    let text = String::from_utf8_lossy(body);
                    assert_eq!(text.find('\u{fffd}'), Some(position), "{body:?}");
                }
                (Some(body), other) => panic!("{body:?} is there, but {other:?}"),
            }
        }
    }
}

/// In parts, bytes have the outcome that they have as a whole. The last bytes come one by one: most decide there.
fn check_parts(bytes: &[u8], body_bytes_max: usize, whole: Result<Option<Frame<'_>>, BadFrame>) {
    let mut known = Known::default();
    let last = bytes.len().saturating_sub(8);
    for end in (0..last).step_by(13).chain(last..=bytes.len()) {
        match frame::parse_more(&bytes[..end], &mut known, body_bytes_max) {
            Ok(None) if end < bytes.len() => {}
            outcome => return assert_eq!(outcome, whole, "at {end}"),
        }
    }
}
