//! The incomplete last line that a crash can leave in a journal file.
//!
//! After a kill it is the beginning of a line. After a crash of the system, NUL bytes can follow it, or stand alone
//! after a whole line: the file system had stored the new length, but not the new content. Neither was acknowledged as
//! synced. A journal itself has no NUL bytes, since they are escaped.

use std::io;
use std::net::SocketAddr;

use crate::journal::file_access::JournalFile;
#[cfg(feature = "cli")]
use crate::journal::time_stamp::{TIME_FORM, begins_a_time};

/// Removes an incomplete last line, and returns whether there was one.
///
/// # Errors
/// The file cannot be read or truncated, or what follows its last line break is not the beginning of a journal line:
/// then the file is not changed.
pub(super) fn remove(file: &mut impl JournalFile) -> io::Result<bool> {
    let bytes = file.bytes()?;
    let end = after_last_line_break(file, bytes)?;
    if end == bytes {
        return Ok(false);
    }
    let beginning = read_beginning(file, end, bytes)?;
    let text = beginning.split(|byte| *byte == 0).next().unwrap_or_default();
    let has_nuls = text.len() < beginning.len();
    let is_torn = if text.is_empty() { follows_a_line(file, end)? } else { begins_a_line(text) };
    if !is_torn || has_nuls && !is_all_nul(file, end + text.len() as u64, bytes)? {
        let what = if text.is_empty() {
            "NUL bytes that follow no line of a journal"
        } else {
            "no line of a journal"
        };
        let error =
            format!("it ends in {what}; if it is a journal, remove them with 'truncate --size {end}'");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    log::warn!("the last line of the journal was incomplete: its {} bytes are removed", bytes - end);
    file.truncate(end)?;
    Ok(true)
}

/// Where the part of the file after the last line break before `bytes` begins.
fn after_last_line_break(file: &mut impl JournalFile, bytes: u64) -> io::Result<u64> {
    let mut end = bytes;
    let mut block = [0; BLOCK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..block_bytes(start, end)];
        file.read_at(start, part)?;
        if let Some(index) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + index as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The first bytes between `start` and `end`, enough for what is before the message of a line.
fn read_beginning(file: &mut impl JournalFile, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut beginning = vec![0; block_bytes(start, end).min(HEAD_BYTES_MAX)];
    file.read_at(start, &mut beginning)?;
    Ok(beginning)
}

/// Whether a whole journal line ends at `end`.
fn follows_a_line(file: &mut impl JournalFile, end: u64) -> io::Result<bool> {
    let Some(line_end) = end.checked_sub(1) else { return Ok(false) };
    let start = after_last_line_break(file, line_end)?;
    let beginning = read_beginning(file, start, line_end)?;
    #[cfg(feature = "cli")]
    if beginning.starts_with(b"{") {
        return Ok(begins_a_json_line(&beginning) && beginning.windows(SERVICE.len()).any(|it| it == SERVICE));
    }
    Ok(beginning.contains(&b' ') && begins_a_line(&beginning))
}

fn is_all_nul(file: &mut impl JournalFile, mut start: u64, end: u64) -> io::Result<bool> {
    let mut block = [0; BLOCK_BYTES];
    while start < end {
        let part = &mut block[..block_bytes(start, end)];
        file.read_at(start, part)?;
        if part.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        start += part.len() as u64;
    }
    Ok(true)
}

/// Whether `beginning` can be that of a journal line, `[peer-address:port] ` or its form in JSON. A build without JSON
/// journals does not change one that ends in an incomplete line.
fn begins_a_line(beginning: &[u8]) -> bool {
    #[cfg(feature = "cli")]
    if beginning.starts_with(b"{") {
        return begins_a_json_line(beginning);
    }
    let beginning = String::from_utf8_lossy(beginning);
    let Some(text) = beginning.strip_prefix('[') else { return false };
    if let Some((peer, _)) = text.split_once("] ") {
        return peer.parse::<SocketAddr>().is_ok();
    }
    match text.strip_suffix(']') {
        Some(peer) if !peer.starts_with('[') => peer.parse::<SocketAddr>().is_ok(),
        _ => begins_a_peer(text.as_bytes()),
    }
}

/// Whether `beginning` can be that of `{"time":"…","peer":"…","service":"`, or goes on after it.
#[cfg(feature = "cli")]
fn begins_a_json_line(beginning: &[u8]) -> bool {
    let Some(text) = rest_after(beginning, b"{\"time\":\"") else { return false };
    let (time, text) = text.split_at(text.len().min(TIME_FORM.len()));
    let Some(text) = rest_after(text, b"\",\"peer\":\"").filter(|_| begins_a_time(time)) else {
        return false;
    };
    let peer = text.split(|byte| *byte == b'"').next().unwrap_or_default();
    if peer.len() == text.len() {
        return begins_a_peer(peer);
    }
    let is_peer = std::str::from_utf8(peer).is_ok_and(|peer| peer.parse::<SocketAddr>().is_ok());
    is_peer && rest_after(&text[peer.len()..], SERVICE).is_some()
}

/// What follows `part` in `text`: nothing if it ends within it. `None` if it does not begin with it.
#[cfg(feature = "cli")]
fn rest_after<'a>(text: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    if part.starts_with(text) { Some(&[]) } else { text.strip_prefix(part) }
}

/// Whether `text` can be the beginning of a peer's address.
fn begins_a_peer(text: &[u8]) -> bool {
    text.iter().all(|it| it.is_ascii_hexdigit() || b".:%[]".contains(it))
}

/// The bytes from `start` to `end`, at most a block of them.
fn block_bytes(start: u64, end: u64) -> usize {
    usize::try_from(end - start).map_or(BLOCK_BYTES, |bytes| bytes.min(BLOCK_BYTES))
}

const BLOCK_BYTES: usize = 4096;

/// What follows the peer in a line of JSON.
#[cfg(feature = "cli")]
const SERVICE: &[u8] = b"\",\"service\":\"";

/// An upper bound on the bytes of a peer's address with its brackets, and in a line of JSON also with its time.
const HEAD_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::file::tests::Listed;

    fn removed(content: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = Listed { content: content.to_vec(), ..Listed::default() };
        let outcome = remove(&mut file);
        assert_eq!(outcome.as_ref().is_ok_and(|is_cut| *is_cut), file.content != content);
        assert!(outcome.is_ok() || file.content == content, "a file that is no journal is not changed");
        outcome.map(|_| file.content)
    }

    #[test]
    fn an_incomplete_last_line_is_removed_and_whole_lines_stay() {
        let long = format!("{}\n", "x".repeat(9000));
        for (before, after) in [
            (String::new(), String::new()),
            ("one\ntwo\n".into(), "one\ntwo\n".into()),
            ("one\n[127.0.".into(), "one\n".into()),
            ("[".into(), String::new()),
            ("[[::1]".into(), String::new()),
            ("[127.0.0.1:80]".into(), String::new()),
            ("[[::1]:80] to".into(), String::new()),
            (format!("{long}[10.0.0.1:80] {}", "ä".repeat(9000)), long.clone()),
            (format!("{long}[10.0.0.1:8] {}", "ä".repeat(9000)), long.clone()),
        ] {
            assert_eq!(removed(before.as_bytes()).unwrap(), after.as_bytes());
        }
    }

    #[test]
    fn nul_bytes_that_a_crash_of_the_system_has_left_are_removed() {
        for whole in ["[10.0.0.1:80] old\n", "[[::1]:80] \n"] {
            for torn in ["", "[10.0", "[10.0.0.1:80] new"] {
                for nuls in [1, 100, 10_000] {
                    let before = format!("{whole}{torn}{}", "\0".repeat(nuls));
                    assert_eq!(removed(before.as_bytes()).unwrap(), whole.as_bytes());
                }
            }
        }
    }

    #[cfg(feature = "cli")]
    const JSON: [&str; 2] = [
        r#"{"time":"2026-11-22T06:04:30.123Z","peer":"10.0.0.1:80","service":"message","text":"new"}"#,
        r#"{"time":"2026-11-22T06:04:30.123Z","peer":"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535","service":"reply","base64":"/wA="}"#,
    ];

    #[cfg(feature = "cli")]
    #[test]
    fn a_line_of_json_that_is_cut_anywhere_is_removed_after_lines_of_either_format() {
        for line in JSON {
            for whole in [String::new(), "[10.0.0.1:80] old\n".into(), format!("{line}\n")] {
                for end in 1..=line.len() {
                    let before = format!("{whole}{}", &line[..end]);
                    assert_eq!(removed(before.as_bytes()).unwrap(), whole.as_bytes(), "{before}");
                }
                for torn in [&b""[..], b"{\"time\":\"20", line.as_bytes(), b"[10.0"] {
                    if whole.is_empty() && torn.is_empty() {
                        continue;
                    }
                    let before = [whole.as_bytes(), torn, &[0; 5000]].concat();
                    assert_eq!(removed(&before).unwrap(), whole.as_bytes());
                }
            }
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_file_of_other_objects_is_not_changed() {
        for (part, other) in [
            ("time", "date"),
            ("2026-11", "2026/11"),
            ("Z", "+"),
            ("peer", "from"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("10.0.0.1:80\",\"service\":\"message\",\"text\":\"new\"}", "a host"),
            ("service", "level"),
        ] {
            let torn = JSON[0].replacen(part, other, 1);
            removed(torn.as_bytes()).unwrap_err();
            removed(format!("{torn}\n\0\0").as_bytes()).unwrap_err();
        }
        removed(b"{\"time\":\"2026-11-22T06:04:30.123Z\",\"peer\":\"10.0.0.1:80\n\0").unwrap_err();
    }

    #[test]
    fn a_file_that_is_not_a_journal_is_not_changed() {
        let nuls = "\0".repeat(5000);
        for text in [
            "notes without a line break",
            "one\ntwo",
            "[1, 2, 3]",
            "# notes\n[section]",
            "[1]",
            "[a] b",
            "\0",
            &nuls,
            &format!("some other file\n{nuls}"),
            &format!("[10.0.0.1:80]\n{nuls}"),
            &format!("[10.0.0.1:80] old\n{nuls}x"),
            &format!("[10.0.0.1:80] old\n[10.0{nuls}x"),
        ] {
            let error = removed(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let error = removed(format!("some other file\n{nuls}").as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("if it is a journal, remove them with 'truncate --size 16'"), "{error}");
    }
}
