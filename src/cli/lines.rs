//! Lines on standard error: error messages, and the messages of the log.

use std::fmt;

use crate::journal::escape::escaped;
use crate::net::stderr;

/// A message of the log as one line of text. It may contain what a peer sent. Backslashes stay as they are: escapes
/// in a message are not escaped again.
pub(super) fn one_line(message: &fmt::Arguments<'_>) -> String {
    let text = message.to_string();
    let parts: Vec<String> = text.split('\\').map(|part| escaped(part.as_bytes())).collect();
    parts.join("\\")
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
        assert_eq!(one_line(&format_args!("{hostile}")), "a\\nb\\r\\u{1b}[2J\\u{202e}c\\d \\x1b");
    }
}
