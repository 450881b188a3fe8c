//! The beginning of bytes that a server sent, for an error message.

use crate::journal::escape::{escaped, unescape};

/// The beginning of `bytes` in one line, escaped once; if they are longer, with their number.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let (shown, count) = parts(bytes);
    shown + &count
}

/// The same with quotation marks, which enclose what was sent and not the number of bytes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let (shown, count) = parts(bytes);
    format!("\"{shown}\"{count}")
}

/// The beginning of `bytes`, escaped once, and their number if they are longer.
fn parts(bytes: &[u8]) -> (String, String) {
    let mut shown = escaped(&bytes[..bytes.len().min(CHARACTERS_MAX)]);
    let end = shown.char_indices().nth(CHARACTERS_MAX).map(|(end, _)| end);
    if let Some(end) = end {
        shown.truncate(end);
        // An escape that does not fit is left out.
        while unescape(&shown).is_none() {
            shown.pop();
        }
    }
    if end.is_some() || bytes.len() > CHARACTERS_MAX {
        (shown + "…", format!(" ({} bytes)", bytes.len()))
    } else {
        (shown, String::new())
    }
}

/// Maximum length of an excerpt, without the number of bytes.
const CHARACTERS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_escaped_once() {
        assert_eq!(excerpt(b"HTTP/1.1 400 Bad Request\r\n"), "HTTP/1.1 400 Bad Request\\r\\n");
        assert_eq!(excerpt("naïve\u{202e}\\".as_bytes()), "naïve\\u{202e}\\\\");
    }

    #[test]
    fn more_than_eighty_characters_are_cut_and_counted() {
        assert_eq!(excerpt(&[b'a'; 80]), "a".repeat(80));
        assert_eq!(excerpt(&[b'a'; 81]), format!("{}… (81 bytes)", "a".repeat(80)));
        assert_eq!(excerpt(&[b'\n'; 50]), format!("{}… (50 bytes)", "\\n".repeat(40)));
    }

    #[test]
    fn an_escape_at_the_cut_is_whole_or_left_out() {
        for before in 60..80 {
            for escape in ["\\", "\n", "\u{202e}", "\u{ff}"] {
                let sent = format!("{}{escape}{}", "a".repeat(before), "b".repeat(50));
                let text = excerpt(sent.as_bytes());
                let shown = unescape(text.split('…').next().unwrap()).unwrap();
                assert!(sent.as_bytes().starts_with(&shown), "{text}");
            }
        }
    }

    #[test]
    fn quotation_marks_enclose_what_was_sent_and_not_the_number_of_bytes() {
        assert_eq!(quoted(b"-DENIED\r\n"), "\"-DENIED\\r\\n\"");
        assert_eq!(quoted(&[b'a'; 227]), format!("\"{}…\" (227 bytes)", "a".repeat(80)));
    }

    #[test]
    fn no_excerpt_is_longer_than_its_limit() {
        for byte in 0..=255 {
            for length in [1, 10, 79, 80, 81, 5000] {
                let text = excerpt(&vec![byte; length]);
                let shown = text.split('…').next().unwrap();
                assert!(shown.chars().count() <= 80, "{text}");
            }
        }
    }
}
