//! A line of the journal, read back.

use std::fmt;
use std::net::SocketAddr;

use crate::journal::escape::unescape;
#[cfg(feature = "cli")]
use crate::journal::json_line::JournalMessage;

/// A message of a journal, the inverse of [`Lines::add`](crate::journal::Lines::add).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was received, as in `2026-11-22T06:04:30.123Z`. A line of text does not have it.
    pub time: Option<String>,
    /// The sender.
    pub peer: SocketAddr,
    /// The service that has received it. A line of text does not have it.
    pub service: Option<String>,
    /// Its bytes, as they were received.
    pub message: Vec<u8>,
}

impl Entry {
    /// Reads a line in either [`Format`](crate::journal::Format), without its line break. A line of text begins with `[`,
    /// one of JSON, which the minimal build does not read, with `{`.
    ///
    /// # Errors
    /// It is not a line of a journal.
    pub fn parse(line: &[u8]) -> Result<Self, BadEntry> {
        let line = std::str::from_utf8(line).map_err(|_| BadEntry::NotUtf8)?;
        #[cfg(feature = "cli")]
        if line.starts_with('{') {
            let (time, peer, service, message) = JournalMessage::parse(line).ok_or(BadEntry::BadJson)?;
            return Ok(Self { time: Some(time), peer, service: Some(service), message });
        }
        let (peer, text) =
            line.strip_prefix('[').and_then(|line| line.split_once("] ")).ok_or(BadEntry::NoPeer)?;
        let peer = peer.parse().map_err(|_| BadEntry::NoPeer)?;
        let message = unescape(text).ok_or(BadEntry::BadEscape)?;
        Ok(Self { time: None, peer, service: None, message })
    }

    /// The message as `journal cat --json` prints it.
    #[cfg(feature = "cli")]
    pub(crate) fn to_json(&self) -> JournalMessage<'_> {
        JournalMessage::new(self.time.as_deref(), self.peer, self.service.as_deref(), &self.message)
    }
}

/// Why a line is not one of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEntry {
    /// It is not UTF-8.
    NotUtf8,
    /// It does not begin with an address and a port in brackets, and a space.
    NoPeer,
    /// A backslash in it does not begin an escape.
    BadEscape,
    /// It begins as an object, but is not one of a journal in JSON.
    BadJson,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "it is not UTF-8",
            Self::NoPeer => "it does not begin with the address of a sender, as in '[192.0.2.1:4000] '",
            Self::BadEscape => "a backslash in it does not begin an escape",
            Self::BadJson => {
                "it is not an object of JSON with 'time', 'peer', 'service', and either 'text' or 'base64'"
            }
        })
    }
}

impl std::error::Error for BadEntry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_sender_and_its_message() {
        for peer in ["192.0.2.1:4000", "[2001:db8::1]:4000", "[fe80::1%3]:4000"] {
            for (text, message) in [
                ("", &b""[..]),
                ("hello] [1] ", b"hello] [1] "),
                (r"a\n\xff\u{202e}", b"a\n\xff\xe2\x80\xae"),
            ] {
                let entry = Entry::parse(format!("[{peer}] {text}").as_bytes()).unwrap();
                assert_eq!((entry.peer, &entry.message[..]), (peer.parse().unwrap(), message));
            }
        }
    }

    #[test]
    fn a_line_of_another_file_is_not_one_of_a_journal() {
        for (line, error) in [
            (&b""[..], BadEntry::NoPeer),
            (b"hello", BadEntry::NoPeer),
            (b"[hello] world", BadEntry::NoPeer),
            (b"[1.2.3.4:5]", BadEntry::NoPeer),
            (b"[1.2.3.4:5] \\q", BadEntry::BadEscape),
            (b"[1.2.3.4:5] \xff", BadEntry::NotUtf8),
            (b"\0\0\0", BadEntry::NoPeer),
        ] {
            assert_eq!(Entry::parse(line), Err(error));
        }
    }

    #[test]
    fn each_error_names_what_is_wrong_with_the_line() {
        let texts = [BadEntry::NotUtf8, BadEntry::NoPeer, BadEntry::BadEscape, BadEntry::BadJson]
            .map(|error| error.to_string());
        for (text, part) in texts.iter().zip(["UTF-8", "address of a sender", "backslash", "'service'"]) {
            assert!(text.contains(part), "{text}");
        }
    }
}
