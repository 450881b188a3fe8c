//! Lines on standard error: error messages, and the messages of the log.

use std::fmt::{self, Write};

use crate::journal::escape::escape_characters;
use crate::net::stderr;

/// Appends a message of the log as one line of text. It may contain what a peer sent. Backslashes stay as they are:
/// escapes in a message are not escaped again.
pub(super) fn append_line(message: &fmt::Arguments<'_>, line: &mut Vec<u8>) {
    let _ = Escaped(line).write_fmt(*message);
}

/// Escapes what is written to it.
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, part) in text.split('\\').enumerate() {
            if index > 0 {
                self.0.push(b'\\');
            }
            escape_characters(part.as_bytes(), self.0);
        }
        Ok(())
    }
}

/// Prints an error message to standard error, whatever the level of the log.
pub(crate) fn print_error(error: &dyn fmt::Display) {
    stderr::lock().write_error(&format!("loopline: {error}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_sent_cannot_end_a_line_or_control_a_terminal() {
        let hostile = "a\nb\r\u{1b}[2J\u{202e}c\\d \\x1b";
        let mut line = Vec::new();
        append_line(&format_args!("{hostile}|{}", '\n'), &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), "a\\nb\\r\\u{1b}[2J\\u{202e}c\\d \\x1b|\\n");
    }
}
