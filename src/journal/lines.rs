//! Lines of the journal, in one of its formats.
//!
//! | format | a line |
//! |---|---|
//! | text | `[192.0.2.1:4000] hello` |
//! | JSON | `{"time":"2026-11-22T06:04:30.123Z","peer":"192.0.2.1:4000","service":"message","text":"hello"}` |
//!
//! Either way, everything in a message that could end the line, move the cursor or reorder the text is
//! [escaped](crate::journal::escape). In a line of JSON, `base64` takes the place of `text` if the message is not UTF-8.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::journal::escape::escape;
#[cfg(feature = "cli")]
use crate::journal::escape::{escape_json, is_plain_json};
use crate::journal::sender::Sender;
#[cfg(feature = "cli")]
use crate::journal::time_stamp::TimeStamp;

/// Whether this build has a journal; without one, nothing of it is compiled.
pub(crate) const HAS_JOURNAL: bool = cfg!(any(feature = "journal", not(feature = "only")));

/// The format of the journal's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The sender in brackets, and the message, escaped.
    #[default]
    Text,
    /// An object with time, sender, service and message. The minimal build does not have it.
    Json,
}

/// Lines that are not written yet.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// That of the last line.
    sender: Sender,
    /// The time of lines in JSON; `None`: they are text.
    #[cfg(feature = "cli")]
    time: Option<TimeStamp>,
}

impl Lines {
    /// No lines yet, to be added in `format`.
    #[must_use]
    pub fn new(format: Format) -> Self {
        #[cfg(not(feature = "cli"))]
        let _ = format;
        Self {
            bytes: Vec::new(),
            sender: Sender::new((Ipv4Addr::UNSPECIFIED, 0).into()),
            #[cfg(feature = "cli")]
            time: (format == Format::Json).then(TimeStamp::default),
        }
    }

    /// Whether lines have a time.
    #[must_use]
    pub fn have_time(&self) -> bool {
        #[cfg(feature = "cli")]
        return self.time.is_some();
        #[cfg(not(feature = "cli"))]
        false
    }

    /// The format of the lines.
    #[cfg(feature = "cli")]
    pub(crate) fn format(&self) -> Format {
        if self.have_time() { Format::Json } else { Format::Text }
    }

    /// Sets the time of the lines that are added from now on, in milliseconds since the epoch. Without effect if lines
    /// have none.
    pub fn set_time(&mut self, unix_ms: i64) {
        #[cfg(feature = "cli")]
        if let Some(time) = &mut self.time {
            time.set(unix_ms);
        }
        #[cfg(not(feature = "cli"))]
        let _ = unix_ms;
    }

    /// Adds the line of a message that `peer` has sent to `service`.
    pub fn add(&mut self, peer: SocketAddr, service: &str, message: &[u8]) {
        self.set_sender(peer);
        self.add_next(service, message);
    }

    /// The next lines are of messages that `peer` has sent.
    #[inline(never)]
    pub(crate) fn set_sender(&mut self, peer: SocketAddr) {
        self.sender.set(peer);
    }

    /// The same for an IPv4 address, which most peers have.
    #[inline]
    pub(crate) fn set_short_sender(&mut self, peer: SocketAddrV4) {
        self.sender.set_short(peer);
    }

    /// Adds the line of another message of the same sender.
    #[inline]
    pub(crate) fn add_next(&mut self, service: &str, message: &[u8]) {
        #[cfg(feature = "cli")]
        if let Some(time) = &self.time {
            return add_json(time, self.sender.address(), service, message, &mut self.bytes);
        }
        let _ = service;
        self.sender.append_to(&mut self.bytes);
        escape(message, &mut self.bytes);
        self.bytes.push(b'\n');
    }

    /// Moves the lines of `others` behind these.
    #[cfg(feature = "cli")]
    pub(crate) fn append(&mut self, others: &mut Self) {
        self.bytes.append(&mut others.bytes);
    }

    /// The lines, each with its line break.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of the lines.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The memory of the lines, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(Format::Text)
    }
}

#[cfg(feature = "cli")]
#[inline(never)]
fn add_json(time: &TimeStamp, peer: &[u8], service: &str, message: &[u8], line: &mut Vec<u8>) {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(time.as_bytes());
    line.extend_from_slice(b"\",\"peer\":\"");
    line.extend_from_slice(peer);
    line.extend_from_slice(b"\",\"service\":\"");
    line.extend_from_slice(service.as_bytes());
    if is_plain_json(message) {
        line.extend_from_slice(b"\",\"text\":\"");
        line.extend_from_slice(message);
    } else if let Ok(text) = std::str::from_utf8(message) {
        line.extend_from_slice(b"\",\"text\":\"");
        escape_json(text, line);
    } else {
        line.extend_from_slice(b"\",\"base64\":\"");
        let start = line.len();
        line.resize(start + message.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(message, &mut line[start..]).expect("four bytes for three");
    }
    line.extend_from_slice(b"\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: Format, messages: &[&[u8]]) -> String {
        let mut lines = Lines::new(format);
        lines.set_time(1_795_327_470_123);
        for message in messages {
            lines.add(([192, 0, 2, 1], 4000).into(), "message", message);
        }
        String::from_utf8(lines.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_line_of_text_has_the_sender_and_the_message() {
        assert_eq!(
            lines(Format::Text, &[b"one\ntwo", b"\xff"]),
            "[192.0.2.1:4000] one\\ntwo\n[192.0.2.1:4000] \\xff\n"
        );
        assert!(!Lines::new(Format::Text).have_time());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_line_of_json_has_time_sender_service_and_the_message() {
        let head = r#"{"time":"2026-11-22T06:04:30.123Z","peer":"192.0.2.1:4000","service":"message","#;
        assert_eq!(
            lines(Format::Json, &[b"one\ntwo", b"", b"\xff\0"]),
            format!("{head}\"text\":\"one\\ntwo\"}}\n{head}\"text\":\"\"}}\n{head}\"base64\":\"/wA=\"}}\n")
        );
        assert!(Lines::new(Format::Json).have_time());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn lines_of_others_are_moved_behind_these() {
        let one_line = || {
            let mut lines = Lines::new(Format::Text);
            lines.add(([192, 0, 2, 1], 4000).into(), "message", b"x");
            lines
        };
        let (mut lines, mut others) = (one_line(), one_line());
        lines.append(&mut others);
        assert_eq!(lines.as_bytes(), b"[192.0.2.1:4000] x\n[192.0.2.1:4000] x\n");
        assert_eq!(others.as_bytes(), b"");
        assert_eq!(
            [Format::Text, Format::Json].map(|it| Lines::new(it).format()),
            [Format::Text, Format::Json]
        );
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_line_of_json_is_one_line_of_json_for_any_message() {
        let all: Vec<u8> = (0..=127).collect();
        for message in
            [&all[..], "\u{85}\u{2028}\u{202e}\u{e0041}grüße\"\\".as_bytes(), b"\xe2\x82", b"a\xffbc"]
        {
            let text = lines(Format::Json, &[message]);
            let line = text.strip_suffix('\n').unwrap();
            assert!(
                !line.chars().any(char::is_control) && !line.contains(['\u{2028}', '\u{202e}', '\u{e0041}'])
            );
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            match std::str::from_utf8(message) {
                Ok(text) => assert_eq!(value["text"], text),
                Err(_) => assert!(value["base64"].is_string() && value.get("text").is_none()),
            }
        }
    }
}
