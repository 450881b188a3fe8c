//! Why input is refused, and texts that are formatted without memory of their own.

use std::fmt::{self, Display, Write};
use std::str;

use crate::frame::BadFrame;

/// Why input is refused: any text, or what is wrong with a frame.
#[derive(Debug, Clone)]
pub struct Reason(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Text(Box<str>),
    /// It is formatted when it is needed.
    BadFrame(BadFrame),
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self(Kind::Text(text.into()))
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self(Kind::Text(text.into()))
    }
}

impl From<BadFrame> for Reason {
    fn from(bad_frame: BadFrame) -> Self {
        Self(Kind::BadFrame(bad_frame))
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text(text) => f.write_str(text),
            Kind::BadFrame(bad_frame) => bad_frame.fmt(f),
        }
    }
}

/// Reasons are equal if their texts are.
impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Reason {}

/// Passes `what` to `use_text` as text. That of a line needs no memory but the stack's.
pub(crate) fn with_text(what: &dyn Display, use_text: &mut dyn FnMut(&str)) {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    match write!(line, "{what}").map(|()| str::from_utf8(&line.bytes[..line.len])) {
        Ok(Ok(text)) => use_text(text),
        _ => use_text(&what.to_string()),
    }
}

struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The size of a long line.
const LINE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::parse;

    fn text_of(what: &dyn Display) -> String {
        let mut text = String::new();
        with_text(what, &mut |part| text.push_str(part));
        text
    }

    #[test]
    fn a_text_of_any_length_is_passed_whole() {
        for chars in [0, 1, 255, 256, 257, 10_000] {
            let text = "x".repeat(chars);
            assert_eq!(text_of(&text), text);
        }
        assert_eq!(text_of(&format_args!("{} and {}", 1, "zwölf")), "1 and zwölf");
    }

    #[test]
    fn a_reason_is_its_text() {
        let bad_frame = Reason::from(parse(b"x", 1).unwrap_err());
        let text = "header byte 0 is 'x', expected a digit";
        assert_eq!((bad_frame.to_string().as_str(), &bad_frame), (text, &Reason::from(text)));
        assert_ne!(bad_frame, Reason::from(String::new()));
    }
}
