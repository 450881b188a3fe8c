//! The frame against a second reading of its grammar, as naive as it can be.

use loopline::frame::{self, BadFrame, HEADER_BYTES};
use loopline::journal::escape::{escape, unescape};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What a header announces, byte by byte, from the words of the grammar: digits without a leading zero,
/// then spaces, 64 bytes in all. `Err` is the place of the first byte that fits nothing.
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

fn check(bytes: &[u8], body_bytes_max: usize) {
    let outcome = frame::parse(bytes, body_bytes_max);
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

#[test]
fn every_byte_at_every_place_of_a_header_is_judged_as_the_grammar_says() {
    for announced in [0, 1, 9, 10, 57, 100, 1_048_576, usize::MAX] {
        for place in 0..HEADER_BYTES {
            for byte in 0..=255 {
                let mut header = frame::header(announced);
                header[place] = byte;
                check(&header, 1_048_576);
                // The same as soon as the byte is there.
                check(&header[..=place], 1_048_576);
            }
        }
    }
}

#[test]
fn every_length_up_to_a_page_comes_back_from_its_frame() {
    let text = "x".repeat(4096);
    for bytes in 0..=text.len() {
        let mut wire = Vec::new();
        frame::append(&text[..bytes], &mut wire);
        let frame = frame::parse(&wire, 4096).unwrap().unwrap();
        assert_eq!((frame.body.len(), frame.wire_bytes()), (bytes, wire.len()));
        assert_eq!(frame::parse(&wire[..wire.len() - 1], 4096), Ok(None));
    }
}

#[test]
fn every_prefix_of_a_frame_is_not_yet_a_frame() {
    let mut wire = Vec::new();
    frame::append("ein schöner Tag", &mut wire);
    for cut in 0..wire.len() {
        assert_eq!(frame::parse(&wire[..cut], 100), Ok(None), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_judged_as_the_grammar_says(
        digits in "[0-9]{0,24}", junk in proptest::collection::vec(any::<u8>(), 0..8),
        pad in 0usize..70, body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = digits.into_bytes();
        bytes.extend(junk);
        bytes.resize(bytes.len().max(pad), b' ');
        bytes.extend(body);
        check(&bytes, 1000);
    }

    #[test]
    fn any_bodies_behind_each_other_come_back(bodies in proptest::collection::vec(".{0,50}", 0..10)) {
        let mut wire = Vec::new();
        bodies.iter().for_each(|body| frame::append(body, &mut wire));
        let mut rest = &wire[..];
        for body in &bodies {
            let frame = frame::parse(rest, 1000).unwrap().unwrap();
            prop_assert_eq!(frame.text(), body);
            rest = &rest[frame.wire_bytes()..];
        }
        prop_assert_eq!(frame::parse(rest, 1000), Ok(None));
    }

    #[test]
    fn any_bytes_make_one_printable_line_and_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut line = Vec::new();
        escape(&bytes, &mut line);
        let line = String::from_utf8(line).unwrap();
        prop_assert!(line.chars().all(|character| !character.is_control()));
        prop_assert_eq!(unescape(&line), Some(bytes));
    }
}
