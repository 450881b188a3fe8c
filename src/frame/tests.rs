//! Tests of the frame.

use super::*;

fn padded(start: &[u8]) -> Vec<u8> {
    let mut header = start.to_vec();
    header.resize(HEADER_BYTES, b' ');
    header
}

fn refusal(start: &[u8]) -> String {
    parse(&padded(start), 100).expect_err("this header is bad").to_string()
}

#[test]
fn a_frame_is_its_header_and_its_body() {
    let mut wire = Vec::new();
    append("héllo", &mut wire);
    wire.extend_from_slice(b"next");
    let frame = parse(&wire, 100).unwrap().unwrap();
    assert_eq!(frame.text(), "héllo");
    assert_eq!(frame.wire_bytes(), 70);
}

#[test]
fn an_empty_body_is_a_frame() {
    assert_eq!(parse(&header(0), 100), Ok(Some(Frame { body: b"" })));
}

#[test]
fn a_body_of_the_maximum_size_is_accepted_and_one_byte_more_is_refused_at_the_header() {
    let mut wire = Vec::new();
    append(&"x".repeat(100), &mut wire);
    assert_eq!(parse(&wire, 100).unwrap().unwrap().body.len(), 100);
    assert_eq!(
        parse(&header(101), 100).unwrap_err().to_string(),
        "the header announces 101 bytes, the limit is 100"
    );
}

#[test]
fn numbers_over_64_bits_are_refused_as_too_long() {
    assert_eq!(
        refusal(b"18446744073709551615"),
        "the header announces at least 18446744073709551615 bytes, the limit is 100"
    );
    assert!(matches!(
        parse(&[b'9'; HEADER_BYTES], 1 << 30),
        Err(BadFrame::TooLong { announced: u64::MAX, .. })
    ));
}

#[test]
fn the_error_of_a_bad_header_has_position_byte_and_expectation() {
    assert_eq!(refusal(b""), "header byte 0 is ' ', expected a digit");
    assert_eq!(refusal(b"+5"), "header byte 0 is '+', expected a digit");
    assert_eq!(refusal(b"05"), "header byte 1 is '5', expected a space");
    assert_eq!(refusal(b"12x"), "header byte 2 is 'x', expected a digit or a space");
    assert_eq!(refusal(b"5 5"), "header byte 2 is '5', expected a space");
    assert_eq!(refusal(b"5\t"), "header byte 1 is 0x09, expected a digit or a space");
    assert_eq!(refusal(b"GET / HTTP/1.1"), "header byte 0 is 'G', expected a digit");
    assert_eq!(refusal("５".as_bytes()), "header byte 0 is 0xef, expected a digit");
}

#[test]
fn bytes_between_the_spaces_are_refused_also_where_they_are_alike() {
    for positions in [&[8][..], &[63], &[8, 16], &[1, 9, 17], &[7, 15, 23, 31]] {
        let mut header = header(5);
        positions.iter().for_each(|position| header[*position] = b'x');
        let expected = if positions[0] == 1 { Expected::DigitOrSpace } else { Expected::Space };
        let refusal = BadFrame::Header { position: positions[0], byte: b'x', expected };
        assert_eq!(parse(&header, 100), Err(refusal), "{positions:?}");
    }
}

#[test]
fn a_bad_byte_is_refused_before_the_header_is_complete() {
    assert_eq!(parse(b"12x", 100), parse(&padded(b"12x"), 100));
    assert_eq!(parse(b"12", 100), Ok(None));
    assert_eq!(parse(b"", 100), Ok(None));
}

#[test]
fn the_error_of_a_body_that_is_not_utf8_has_the_position_of_the_first_bad_byte() {
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        let mut wire = header(1 + bad.len()).to_vec();
        wire.push(b'a');
        wire.extend_from_slice(bad);
        assert_eq!(parse(&wire, 100), Err(BadFrame::NotUtf8 { position: 1 }), "{bad:x?}");
    }
}

#[test]
fn a_frame_that_comes_in_any_two_parts_is_judged_as_if_it_came_whole() {
    for body in ["größe €𝄞".as_bytes(), b"ab\xff", b"a\xe2\x82", b"\xf0\x9d\x84x", b""] {
        let wire = [&header(body.len()), body].concat();
        for cut in 0..wire.len() {
            let known = &mut Known::default();
            let outcome = match parse_more(&wire[..cut], known, 100) {
                Ok(None) => parse_more(&wire, known, 100),
                outcome => outcome,
            };
            assert_eq!(outcome, parse(&wire, 100), "{body:x?}, cut at {cut}");
        }
    }
}

#[test]
fn of_an_incomplete_frame_the_header_is_parsed_once_and_each_byte_checked_once() {
    let (mut wire, mut known) = ([&header(6)[..], "aé".as_bytes()].concat(), Known::default());
    assert_eq!((parse_more(&wire[..63], &mut known, 9), known), (Ok(None), Known::default()));
    assert_eq!(parse_more(&wire[..66], &mut known, 9), Ok(None));
    assert_eq!(known, Known { wire_bytes: 70, checked_bytes: 1 }, "the character is incomplete");
    // What has been looked at is not looked at again.
    (wire[0], wire[64]) = (b'x', 0xff);
    assert_eq!(parse_more(&wire, &mut known, 9), Ok(None));
    assert_eq!(known, Known { wire_bytes: 70, checked_bytes: 3 });
    wire.extend_from_slice(b"bcd");
    assert_eq!(parse_more(&wire, &mut known, 9).map(|frame| frame.unwrap().wire_bytes()), Ok(70));
}

#[test]
fn a_bad_byte_behind_four_kib_of_ascii_is_refused_at_its_position() {
    for before in [15, 16, 2047, 2048, 2049, 4096] {
        let mut wire = header(before + 1).to_vec();
        wire.resize(HEADER_BYTES + before, b'a');
        wire.push(0xff);
        assert_eq!(parse(&wire, 8192), Err(BadFrame::NotUtf8 { position: before }));
    }
}

#[test]
fn a_header_is_parsed_to_the_length_it_was_made_from() {
    for bytes in [0, 1, 9, 10, 99, 65_535, 1 << 20, 9_999_999, 10_000_000, usize::MAX] {
        assert_eq!(scan_header(&header(bytes)), Ok(bytes as u64));
        let plain = (bytes < 10_000_000).then_some(bytes as u64);
        assert_eq!(scan_plain(&header(bytes)), plain);
    }
}
