//! A line of the journal, read back.

use std::fmt;
use std::net::SocketAddr;

use crate::journal::escape::unescape;

/// A message of a journal, the inverse of [`Output::record`](crate::service::Output::record).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The sender.
    pub peer: SocketAddr,
    /// Its bytes, as they were received.
    pub message: Vec<u8>,
}

impl Entry {
    /// Reads a line, without its line break.
    ///
    /// # Errors
    /// It is not a line of a journal.
    pub fn parse(line: &[u8]) -> Result<Self, BadEntry> {
        let line = std::str::from_utf8(line).map_err(|_| BadEntry::NotUtf8)?;
        let (peer, text) =
            line.strip_prefix('[').and_then(|line| line.split_once("] ")).ok_or(BadEntry::NoPeer)?;
        let peer = peer.parse().map_err(|_| BadEntry::NoPeer)?;
        let message = unescape(text).ok_or(BadEntry::BadEscape)?;
        Ok(Self { peer, message })
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
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "it is not UTF-8",
            Self::NoPeer => "it does not begin with the address of a sender, as in '[192.0.2.1:4000] '",
            Self::BadEscape => "a backslash in it does not begin an escape",
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
        let texts = [BadEntry::NotUtf8, BadEntry::NoPeer, BadEntry::BadEscape].map(|error| error.to_string());
        for (text, part) in texts.iter().zip(["UTF-8", "address of a sender", "backslash"]) {
            assert!(text.contains(part), "{text}");
        }
    }
}
