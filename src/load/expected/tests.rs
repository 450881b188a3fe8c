//! Replies in parts, and datagrams as a whole.

use proptest::prelude::*;

use super::*;

fn expected(text: &str) -> Expected {
    text.parse().unwrap()
}

fn error(text: &str) -> String {
    text.parse::<Expected>().unwrap_err()
}

fn advance(expected: &Expected, progress: u32, bytes: &[u8]) -> Result<Progress, Wrong> {
    expected.advance(progress, bytes, Numbers { conn: 7, seq: 12 }, &mut Vec::new())
}

/// How many of `bytes`, which come in two parts, are the reply; `None` if more must come.
fn taken(expected: &Expected, bytes: &[u8], cut: usize) -> Option<usize> {
    match advance(expected, 0, &bytes[..cut]).unwrap() {
        Progress::Whole { taken } => Some(taken),
        Progress::Partial(progress) => {
            assert_eq!(expected.bytes_of(progress) as usize, cut);
            match advance(expected, progress, &bytes[cut..]).unwrap() {
                Progress::Whole { taken } => Some(cut + taken),
                Progress::Partial(_) => None,
            }
        }
    }
}

#[test]
fn a_reply_cut_at_any_byte_ends_where_it_should() {
    for (reply, bytes, wanted) in [
        ("+PONG\\r\\n", &b"+PONG\r\n+P"[..], 7),
        ("no {seq} of {conn}", b"no 12 of 7", 10),
        ("bytes:5", b"123456", 5),
        ("until:\\r\\n\\r\\n", b"a\r\n\r\r\n\r\n\r\nb", 8),
        ("until:aab", b"aaaab", 5),
        ("until:abab", b"abaabab", 7),
    ] {
        for cut in 0..=bytes.len() {
            assert_eq!(taken(&expected(reply), bytes, cut), Some(wanted), "{reply} cut at {cut}");
        }
    }
}

#[test]
fn a_wrong_byte_is_found_at_each_position() {
    let reply = expected("+PONG {seq:u16}");
    for position in 0..8 {
        let mut bytes = *b"+PONG \x00\x0c";
        bytes[position] ^= 0x80;
        for cut in 0..position {
            let Progress::Partial(progress) = advance(&reply, 0, &bytes[..cut]).unwrap() else { panic!() };
            let wrong = advance(&reply, progress, &bytes[cut..]).unwrap_err();
            let expected = bytes[position] ^ 0x80;
            assert_eq!(wrong, Wrong::Byte { position, byte: bytes[position], expected });
        }
    }
    let wrong = advance(&reply, 0, b"+POMG").unwrap_err();
    assert_eq!(reply.describe(wrong, "the reply"), "byte 3 of the reply is 'M', expected 'N'");
}

#[test]
fn a_delimiter_that_does_not_come_is_given_up_after_a_mebibyte() {
    let reply = expected("until:\\r\\n");
    let Progress::Partial(progress) = advance(&reply, 0, &vec![b'a'; UNTIL_BYTES_MAX]).unwrap() else {
        panic!()
    };
    assert_eq!(advance(&reply, progress, b"\n"), Err(Wrong::Endless));
    let what = reply.describe(Wrong::Endless, "the reply");
    assert_eq!(what, "\"\\r\\n\" is not in the first MiB of the reply");
}

#[test]
fn a_reply_without_bytes_or_with_too_many_is_refused() {
    assert_eq!(error(""), "it must be at least one byte");
    assert_eq!(error("bytes:0"), "it must be at least one byte");
    assert_eq!(error("bytes:2GiB"), "it must be at most 1GiB");
    assert!(error("bytes:x").starts_with("expected a whole number of bytes"));
    assert_eq!(error("until:"), "expected 1 to 1024 bytes that end a reply, found 0");
    let long = format!("until:{}", "a".repeat(1025));
    assert_eq!(error(&long), "expected 1 to 1024 bytes that end a reply, found 1025");
    assert_eq!(error("until:{conn}"), "numbers cannot stand in bytes that end a reply");
    assert!(error("until:\\q").starts_with("character 1: unknown escape"));
    for text in ["+PONG\\r\\n", "bytes:5", "until:\\r\\n"] {
        assert_eq!(expected(text).to_string(), text);
    }
}

#[test]
fn a_datagram_is_an_answer_as_a_whole() {
    for (reply, datagram, seq, why) in [
        ("PONG", &b"PONG"[..], Some(0), None),
        ("PONG", b"PONG?", None, Some("the answer has 5 bytes, expected 4")),
        ("PONG", b"PON", None, Some("the answer ends after 3 bytes")),
        ("PONG", b"PING", None, Some("byte 1 of the answer is 'I', expected 'O'")),
        ("{seq}", b"13", Some(13), Some("byte 1 of the answer is '3', expected '2'")),
        ("bytes:2", b"ab", Some(0), None),
        ("bytes:2", b"abc", None, Some("the answer has 3 bytes, expected 2")),
        ("until:.", b"a.b.", Some(0), None),
        ("until:.", b"a.b", None, Some("the answer does not end in \".\"")),
    ] {
        assert_eq!(expected(reply).seq_of(7, datagram), seq, "{reply}");
        let numbers = Numbers { conn: 7, seq: 12 };
        assert_eq!(expected(reply).describe_datagram(datagram, numbers).as_deref(), why, "{reply}");
    }
}

proptest! {
    #[test]
    fn a_delimiter_is_found_where_a_search_finds_it(
        delimiter in proptest::collection::vec(0..3u8, 1..6),
        bytes in proptest::collection::vec(0..3u8, 0..60),
        cut in 0..60usize,
    ) {
        let text: Vec<String> = delimiter.iter().map(|byte| format!("{byte:02x}")).collect();
        let reply = expected(&format!("until:hex:{}", text.join(" ")));
        let found = bytes.windows(delimiter.len()).position(|window| window == delimiter);
        let found = found.map(|begin| begin + delimiter.len());
        prop_assert_eq!(taken(&reply, &bytes, cut.min(bytes.len())), found);
    }
}
