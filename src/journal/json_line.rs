//! A line of the journal as JSON: read back, and printed by `journal cat --json`.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::journal::time_stamp::is_time;

/// A message of a journal: a line of `journal cat --json`, and of a journal in JSON.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct JournalMessage<'a> {
    /// When the turn of the server began in which it received the message, in UTC and in milliseconds (RFC 3339).
    /// Absent if the journal is text.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<Cow<'a, str>>,
    /// Address and port of the sender.
    peer: Cow<'a, str>,
    /// The service that received it. Absent if the journal is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Cow<'a, str>>,
    /// The message. Absent if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// The bytes of a message that is not UTF-8, in Base64. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
}

impl<'a> JournalMessage<'a> {
    /// The line of a message.
    pub(super) fn new(
        time: Option<&'a str>,
        peer: SocketAddr,
        service: Option<&'a str>,
        message: &'a [u8],
    ) -> Self {
        let text = std::str::from_utf8(message).ok();
        let base64 = text.is_none().then(|| STANDARD.encode(message));
        Self {
            time: time.map(Cow::from),
            peer: peer.to_string().into(),
            service: service.map(Cow::from),
            text: text.map(Cow::from),
            base64: base64.map(Cow::from),
        }
    }

    /// Reads a line of a journal in JSON: its time, peer, service and message. `None` if it is not one.
    pub(super) fn parse(line: &str) -> Option<(String, SocketAddr, String, Vec<u8>)> {
        let JournalMessage { time, peer, service, text, base64 } = serde_json::from_str(line).ok()?;
        let time = time.filter(|time| is_time(time.as_bytes()))?;
        let message = match (text, base64) {
            (Some(text), None) => text.into_owned().into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64.as_bytes()).ok()?,
            _ => return None,
        };
        Some((time.into_owned(), peer.parse().ok()?, service?.into_owned(), message))
    }
}

#[cfg(test)]
mod tests {
    use crate::journal::{BadEntry, Entry, Format, Lines};

    #[test]
    fn what_is_written_as_json_is_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        for peer in ["192.0.2.1:4000", "[2001:db8::1]:4000", "[fe80::1%3]:4000"] {
            for message in [&b""[..], b"a\"b\\\n", "\u{202e}\u{e0041}ü\u{7f}".as_bytes(), &all] {
                let mut lines = Lines::new(Format::Json);
                lines.set_time(1_795_327_470_123);
                lines.add(peer.parse().unwrap(), "reply", message);
                let line = lines.as_bytes().strip_suffix(b"\n").unwrap();
                let entry = Entry::parse(line).unwrap();
                assert_eq!((entry.peer, &entry.message[..]), (peer.parse().unwrap(), message));
                assert_eq!(entry.service.as_deref(), Some("reply"));
                assert_eq!(entry.time.as_deref(), Some("2026-11-22T06:04:30.123Z"));
            }
        }
    }

    #[test]
    fn an_object_that_is_no_line_of_a_journal_is_not_read() {
        let good = r#"{"time":"2026-11-22T06:04:30.123Z","peer":"1.2.3.4:5","service":"message","text":"x"}"#;
        Entry::parse(good.as_bytes()).unwrap();
        for (part, other) in [
            ("{", "{,"),
            ("}", ""),
            ("}", "}}"),
            (r#","service":"message""#, ""),
            (r#"{"time":"2026-11-22T06:04:30.123Z","#, "{"),
            ("06:04", "6:04"),
            ("1.2.3.4:5", "1.2.3.4"),
            (r#","text":"x""#, ""),
            (r#""text":"x""#, r#""text":"x","base64":"eA==""#),
            (r#""text":"x""#, r#""base64":"x""#),
            (r#""text":"x""#, r#""text":"x","level":"info""#),
            (r#""text":"x""#, r#""text":"x","text":"y""#),
            (r#""text":"x""#, r#""text":7"#),
        ] {
            let line = good.replacen(part, other, 1);
            assert_eq!(Entry::parse(line.as_bytes()), Err(BadEntry::BadJson), "{line}");
        }
    }
}
