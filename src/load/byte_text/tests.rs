//! Bytes as text: what is read, and what is refused.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::journal::escape::escaped;

fn parsed(text: &str) -> ByteText {
    text.parse().unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    parsed(text).fixed().unwrap().to_vec()
}

fn error(text: &str) -> String {
    text.parse::<ByteText>().unwrap_err()
}

fn rendered(text: &str, conn: u32, seq: u32) -> Vec<u8> {
    let mut out = Vec::new();
    parsed(text).render(Numbers { conn, seq }, &mut out);
    out
}

#[test]
fn an_escape_stands_for_its_bytes() {
    assert_eq!(bytes("PING\\r\\n"), b"PING\r\n");
    assert_eq!(bytes("\\t\\0\\\\\\{seq}\\x0a\\xFf"), b"\t\0\\{seq}\n\xff");
    assert_eq!(bytes("\\u{e9}\\u{1F600}\\u{0}"), "é😀\0".as_bytes());
    assert_eq!(bytes(""), b"");
    assert_eq!(bytes("naïve"), "naïve".as_bytes());
}

#[test]
fn hexadecimal_digits_may_have_spaces_between_bytes() {
    assert_eq!(bytes("hex:0d 0A\t00ff"), [0x0d, 0x0a, 0, 0xff]);
    assert_eq!(bytes("hex:"), b"");
    assert_eq!(rendered("hex:c0{seq:u16}00", 1, 0x102), [0xc0, 1, 2, 0]);
}

#[test]
fn a_file_stands_for_each_of_its_bytes() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\\r{seq}\xff\n").unwrap();
    assert_eq!(bytes(&format!("@{}", file.path().display())), b"\\r{seq}\xff\n");
    assert_eq!(error("@/no/such"), "cannot read '/no/such': No such file or directory (os error 2)");
    assert!(error("@/").starts_with("cannot read '/': Is a directory"));
}

#[test]
fn numbers_stand_for_the_request_and_the_connection() {
    assert_eq!(rendered("{conn}/{seq}{seq}", 7, 4_294_967_295), b"7/42949672954294967295");
    assert_eq!(
        rendered("{seq:u16}{seq:u32}{conn:u16}{conn:u32}", 1, 0x1_0203),
        [2, 3, 0, 1, 2, 3, 0, 1, 0, 0, 0, 1]
    );
    assert!(parsed("a{seq:u16}").has_seq() && !parsed("a{conn}").has_seq());
    assert_eq!(parsed("a{conn}").fixed(), None);
}

#[test]
fn any_other_brace_is_itself() {
    for text in ["{\"seq\":1,\"of\":{}}", "{", "}", "{se", "{ seq}", "{{SEQ}}", "{\"{con}"] {
        assert_eq!(bytes(text), text.as_bytes());
    }
    assert_eq!(bytes("\\{seq:u8}"), b"{seq:u8}");
    assert_eq!(rendered("{\"id\":{seq}}", 1, 9), b"{\"id\":9}");
}

#[test]
fn a_number_that_is_not_known_is_refused_and_not_sent_as_it_is() {
    const EXPECTED: &str = "expected one of {seq}, {seq:u16}, {seq:u32}, {conn}, {conn:u16}, {conn:u32}; '\\{' is the \
                            brace itself";
    for (text, position, shown) in [
        ("é{seq}{seq:u8}\\r", 7, "{seq:u8}"),
        ("{conn:U16}", 1, "{conn:U16}"),
        ("{sequence}", 1, "{sequence}"),
        ("{{seq", 2, "{seq"),
        ("hex:00 {seq:8}", 8, "{seq:8}"),
        ("{connection: 1, of: 2, and: 3}", 1, "{connection: 1, of: "),
    ] {
        assert_eq!(
            error(text),
            format!("character {position}: unknown number '{shown}', {EXPECTED}"),
            "{text}"
        );
    }
}

#[test]
fn an_error_names_the_position_and_what_is_there() {
    for (text, expected) in [
        (
            "PING\\q",
            "character 5: unknown escape '\\q', expected \\r, \\n, \\t, \\0, \\\\, \\{, \\xNN or \\u{…}",
        ),
        ("é\\", "character 2: an escape is cut off after '\\'"),
        ("a\\x4", "character 2: '\\x4': expected two hexadecimal digits after '\\x'"),
        ("\\x+1", "character 1: '\\x+1': expected two hexadecimal digits after '\\x'"),
        ("\\xé1", "character 1: '\\xé1': expected two hexadecimal digits after '\\x'"),
        ("\\u41", "character 1: expected '{', a hexadecimal number and '}' after '\\u'"),
        ("\\u{41", "character 1: expected '{', a hexadecimal number and '}' after '\\u'"),
        ("\\u{}", "character 1: '\\u{}' is no Unicode character"),
        ("\\u{d800}", "character 1: '\\u{d800}' is no Unicode character"),
        ("\\u{+1}", "character 1: '\\u{+1}' is no Unicode character"),
        ("hex:0d 0", "character 8: '0' is half a byte, expected two digits"),
        ("hex:0 d", "character 5: '0' is half a byte, expected two digits"),
        ("hex:0x0d", "character 5: '0' is half a byte, expected two digits"),
        ("hex:00gg", "character 7: 'g' is not a hexadecimal digit"),
        ("hex:é0", "character 5: 'é' is not a hexadecimal digit"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn the_number_of_a_request_is_read_back() {
    for (text, bytes, expected) in [
        ("PONG", &b"PONG"[..], Some(0)),
        ("PONG", b"PONG ", None),
        ("<{seq}>", b"<4294967295>", Some(u32::MAX)),
        ("<{seq}>", b"<4294967296>", None),
        ("<{seq}>", b"<07>", None),
        ("<{seq}>", b"<>", None),
        ("{seq}5{seq}", b"1512515", None),
        ("{seq}5{seq}", b"12512", Some(12)),
        ("{conn}{seq}", b"712", Some(12)),
        ("{conn}{seq}", b"812", None),
        ("{seq:u16}x", b"\x01\x02x", Some(0x102)),
        ("{seq:u16}x", b"\x01", None),
        ("{seq:u16}x", b"\x01\x02y", None),
        ("{seq:u32}x", b"\0\0\x01\x02y", None),
        ("{seq:u16}{seq:u32}", b"\x03\x04\x01\x02\x03\x04", Some(0x0102_0304)),
        ("{seq:u16}{seq:u32}", b"\x03\x05\x01\x02\x03\x04", None),
    ] {
        assert_eq!(parsed(text).seq_of(7, bytes), expected, "{text}");
    }
    assert_eq!(
        ["a{seq:u16}", "{seq}", "{conn}"].map(|text| parsed(text).seq_mask()),
        [Some(0xffff), Some(u32::MAX), None]
    );
}

proptest! {
    #[test]
    fn any_number_of_a_request_is_read_back(seq: u32, conn: u32, form in 0..3usize) {
        let text = ["a{conn}{seq}{seq:u16}", "{seq:u16}1{seq:u32}", "1{seq:u16}2"][form];
        let wanted = if form == 2 { seq & 0xffff } else { seq };
        prop_assert_eq!(parsed(text).seq_of(conn, &rendered(text, conn, seq)), Some(wanted));
    }

    #[test]
    fn any_bytes_can_be_written_as_an_excerpt_shows_them_and_are_read_back(wanted: Vec<u8>) {
        // An excerpt in an error message can be given as an option again.
        let parts: Vec<String> = wanted.split(|byte| *byte == b'{').map(escaped).collect();
        let mut text = parts.join("\\{");
        if text.starts_with(['@', 'h']) {
            text = format!("\\x{:02x}{}", wanted[0], &text[1..]);
        }
        prop_assert_eq!(bytes(&text), &wanted[..]);
        let hex: Vec<String> = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(bytes(&format!("hex:{}", hex.join(" "))), wanted);
    }

    #[test]
    fn no_text_panics(text in "(hex:)?[\\\\xu{}seqconu16230-9a-f: \\PC]{0,30}") {
        let parsed = text.parse::<ByteText>();
        if let Ok(parsed) = parsed {
            let mut out = Vec::new();
            parsed.render(Numbers { conn: 1, seq: u32::MAX }, &mut out);
            prop_assert_eq!(parsed.to_string(), text);
        }
    }
}
