//! One line of text for any bytes, and the bytes back from the line.
//!
//! The journal is read on terminals and by scripts, line by line, and its bytes come from untrusted peers. So
//! everything that could end the line, move the cursor or reorder the text is written as an escape:
//!
//! | bytes | written |
//! |---|---|
//! | `\` | `\\` |
//! | tab, line feed, carriage return | `\t` `\n` `\r` |
//! | other control characters, invisible characters, line and paragraph separators | `\u{202e}` |
//! | bytes that are not UTF-8 | `\xff` |
//!
//! Everything else is unchanged. [`unescape`] is the exact inverse.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

/// Appends the escaped form of `bytes` to `line`.
#[expect(clippy::inline_always, reason = "it runs for every message")]
#[inline(always)]
pub fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    // Nearly every message is printable ASCII: one pass to check it, one copy.
    if all(bytes, |byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        line.extend_from_slice(bytes);
    } else {
        escape_characters(bytes, line);
    }
}

/// The same, for bytes of which some are commonly escaped.
#[cold]
pub(crate) fn escape_characters(bytes: &[u8], line: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(character, line);
        }
        for byte in chunk.invalid() {
            line.extend_from_slice(b"\\x");
            append_hex((*byte).into(), 2, line);
        }
    }
}

/// Whether [`escape_json`] escapes none of `bytes`, as nearly always.
#[cfg(feature = "cli")]
#[inline]
pub(crate) fn is_plain_json(bytes: &[u8]) -> bool {
    all(bytes, |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'"'))
}

/// Appends `text` to `line` as the inside of a JSON string. What [`escape`] escapes is escaped here too.
#[cfg(feature = "cli")]
pub(crate) fn escape_json(text: &str, line: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '\\' => line.extend_from_slice(b"\\\\"),
            '"' => line.extend_from_slice(b"\\\""),
            '\t' => line.extend_from_slice(b"\\t"),
            '\n' => line.extend_from_slice(b"\\n"),
            '\r' => line.extend_from_slice(b"\\r"),
            _ if character.is_control() || misleads(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    std::io::Write::write_fmt(line, format_args!("\\u{unit:04x}"))
                        .expect("writing to a Vec cannot fail");
                }
            }
            _ => line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The escaped form of `bytes`.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut line = Vec::new();
    escape(bytes, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}

/// The bytes that were escaped as `line`; `None` if a backslash in it does not begin an escape of the table above.
#[must_use]
pub fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut characters = escaped.chars();
        match characters.next()? {
            '\\' => bytes.push(b'\\'),
            't' => bytes.push(b'\t'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            'x' => {
                bytes.push(u8::from_str_radix(escaped.get(1..3)?, 16).ok()?);
                characters = escaped[3..].chars();
            }
            'u' => {
                let (code, after) = escaped[1..].strip_prefix('{')?.split_once('}')?;
                let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                characters = after.chars();
            }
            _ => return None,
        }
        rest = characters.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Whether every byte is `plain`. A block is looked at as a whole, which needs no branch for each byte: the compiler
/// makes vectors of it.
#[expect(clippy::inline_always, reason = "it runs for every message")]
#[inline(always)]
fn all(bytes: &[u8], plain: impl Fn(u8) -> bool) -> bool {
    let is_plain = |block: &[u8]| block.iter().fold(true, |all, byte| all & plain(*byte));
    match bytes.last_chunk::<BLOCK_BYTES>() {
        // The last block overlaps the one before it.
        Some(last) => bytes.chunks_exact(BLOCK_BYTES).all(is_plain) && is_plain(last),
        None => is_plain(bytes),
    }
}

const BLOCK_BYTES: usize = 16;

fn escape_character(character: char, line: &mut Vec<u8>) {
    match character {
        '\\' => line.extend_from_slice(b"\\\\"),
        '\t' => line.extend_from_slice(b"\\t"),
        '\n' => line.extend_from_slice(b"\\n"),
        '\r' => line.extend_from_slice(b"\\r"),
        _ if character.is_control() || misleads(character) => {
            line.extend_from_slice(b"\\u{");
            append_hex(character.into(), 1, line);
            line.push(b'}');
        }
        _ => line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends `number` in hexadecimal digits, at least `digits_min`. By `core::fmt`, each would need a text of its own first.
#[expect(clippy::arithmetic_side_effects, reason = "a number has at most eight digits")]
fn append_hex(number: u32, digits_min: u32, line: &mut Vec<u8>) {
    let digits = (number.checked_ilog2().unwrap_or(0) / 4 + 1).max(digits_min);
    for place in (0..digits).rev() {
        let digit = char::from_digit((number >> (4 * place)) & 0xf, 16).unwrap_or_default();
        line.extend_from_slice(digit.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Characters that are invisible, or change how the rest of the line is shown: Unicode category Cf (format), the
/// characters that are ignorable by default (both of Unicode 16: bidirectional marks, joiners, tags, fillers, variation
/// selectors), and the two separators that some programs take for the end of a line.
fn misleads(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stands_as_it_is() {
        assert_eq!(escaped(b"hello ~ world"), "hello ~ world");
        assert_eq!(escaped("grüße, 世界".as_bytes()), "grüße, 世界");
    }

    #[test]
    fn what_would_end_or_disturb_the_line_is_escaped() {
        assert_eq!(escaped(b"a\r\nb\tc\\n"), "a\\r\\nb\\tc\\\\n");
        assert_eq!(escaped(b"\x1b[2J\x00\x7f"), "\\u{1b}[2J\\u{0}\\u{7f}");
        assert_eq!(escaped("a\u{202e}b\u{85}c\u{2028}".as_bytes()), "a\\u{202e}b\\u{85}c\\u{2028}");
        assert_eq!(escaped(b"a\xffb\xe2\x82"), "a\\xffb\\xe2\\x82");
    }

    #[test]
    fn invisible_characters_are_escaped_and_read_back_either_way() {
        // Soft hyphen, zero-width space and joiner, word joiner, filler, variation selector, annotation, musical and tag
        // characters.
        for character in
            "\u{ad}\u{200b}\u{200d}\u{2060}\u{2065}\u{3164}\u{fe0f}\u{fff9}\u{1d173}\u{e0041}".chars()
        {
            let plain = format!("a{character}b");
            let line = escaped(plain.as_bytes());
            assert_eq!(line, format!("a\\u{{{:x}}}b", u32::from(character)));
            // Journals of earlier versions have them as they are.
            assert_eq!(unescape(&line), unescape(&plain));
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_inside_of_a_json_string_has_the_short_escapes_and_code_units() {
        for (text, expected) in [
            ("hello ~ world", "hello ~ world"),
            ("\"", "\\\""),
            ("\\\"", "\\\\\\\""),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[2J\0\u{7f}ü", "\\u001b[2J\\u0000\\u007fü"),
            ("\u{202e}\u{e0041}", "\\u202e\\udb40\\udc41"),
        ] {
            let mut line = b"> ".to_vec();
            escape_json(text, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), format!("> {expected}"));
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escaped(&all)).as_deref(), Some(&all[..]));
        for byte in 0..=255 {
            assert_eq!(unescape(&escaped(&[byte])).as_deref(), Some(&[byte][..]));
        }
    }

    #[test]
    fn a_byte_is_escaped_wherever_it_stands() {
        for bytes in 1..70 {
            assert_eq!(escaped(&vec![b'~'; bytes]), "~".repeat(bytes));
            for position in 0..bytes {
                for byte in [b'\\', 0x1f, 0x7f, 0x80, 0xff] {
                    let mut text = vec![b' '; bytes];
                    text[position] = byte;
                    let line = escaped(&text);
                    assert!(line.len() > bytes && line[position..].starts_with('\\'), "{line}");
                    assert_eq!(unescape(&line), Some(text));
                }
            }
        }
    }

    #[test]
    fn what_no_escape_wrote_is_not_read_back() {
        for line in ["\\", "\\q", "\\x1", "\\xzz", "\\u{}", "\\u{110000}", "\\u{41", "\\xé"] {
            assert_eq!(unescape(line), None, "{line}");
        }
    }
}
