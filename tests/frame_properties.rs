//! The frame, compared with a second, naive reading of its grammar.

mod frame_grammar;

use loopline::frame::{self, HEADER_BYTES};
use loopline::journal::Entry;
use loopline::journal::escape::{escape, unescape};
#[cfg(feature = "cli")]
use loopline::journal::{Format, Lines};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use frame_grammar::check;

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
    fn a_frame_that_comes_in_any_parts_is_judged_as_the_grammar_says(
        body in "[^\u{fffd}\n]{0,40}", changed in any::<prop::sample::Index>(), byte in any::<u8>(), is_changed in any::<bool>(),
    ) {
        let mut wire = Vec::new();
        frame::append(&body, &mut wire);
        if is_changed && !body.is_empty() {
            let place = HEADER_BYTES + changed.index(body.len());
            wire[place] = byte;
        }
        check(&wire, 1000);
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
    fn any_bytes_make_one_printable_line_and_come_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        address in any::<std::net::IpAddr>(), port in any::<u16>(),
    ) {
        let mut line = Vec::new();
        escape(&bytes, &mut line);
        let line = String::from_utf8(line).unwrap();
        prop_assert!(line.chars().all(|character| !character.is_control()));
        prop_assert_eq!(unescape(&line), Some(bytes.clone()));
        let peer = std::net::SocketAddr::new(address, port);
        let entry = Entry::parse(format!("[{peer}] {line}").as_bytes()).unwrap();
        prop_assert_eq!(entry, Entry { time: None, peer, service: None, message: bytes });
    }

    #[cfg(feature = "cli")]
    #[test]
    fn any_bytes_make_one_printable_line_of_json_and_come_back(
        message in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            proptest::collection::vec(any::<char>(), 0..50).prop_map(|text| String::from_iter(text).into_bytes()),
        ],
        address in any::<std::net::IpAddr>(), port in any::<u16>(), unix_ms in any::<i64>(),
    ) {
        let peer = std::net::SocketAddr::new(address, port);
        let mut lines = Lines::new(Format::Json);
        lines.set_time(unix_ms);
        lines.add(peer, "message", &message);
        let line = std::str::from_utf8(lines.as_bytes()).unwrap().strip_suffix('\n').unwrap();
        prop_assert!(line.chars().all(|character| !character.is_control()));
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        prop_assert_eq!(value["text"].as_str(), std::str::from_utf8(&message).ok());
        let entry = Entry::parse(line.as_bytes()).unwrap();
        prop_assert_eq!((entry.peer, entry.service.as_deref(), entry.message), (peer, Some("message"), message));
        prop_assert_eq!(entry.time.map(|time| time.len()), Some(24));
    }
}
