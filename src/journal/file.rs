//! Opening a journal file, and removing the incomplete line that a crash can leave at its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;

/// Opens the file at `path` for appending, and creates it if it does not exist. An incomplete last line, which a
/// crash can leave, is removed: its message was not acknowledged.
///
/// # Errors
/// The file cannot be opened, read or truncated, or it ends in text that is not the beginning of a journal line:
/// then it is not a journal, and is not changed.
pub fn open_file(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.is_file() {
        remove_torn_line(&mut file)?;
    }
    Ok(file)
}

fn remove_torn_line(file: &mut File) -> io::Result<()> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut end = bytes;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(end - start).expect("at most a block")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(index) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + index as u64 + 1;
            break;
        }
        end = start;
    }
    if end == bytes {
        return Ok(());
    }
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(end))?;
    (&*file).take(PEER_BYTES_MAX).read_to_end(&mut beginning)?;
    if !begins_a_line(&String::from_utf8_lossy(&beginning)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its last line is incomplete and is not a line of a journal",
        ));
    }
    log::warn!("the last line of the journal was incomplete: its {} bytes are removed", bytes - end);
    file.set_len(end)
}

/// Whether `beginning` can be that of a journal line, `[peer-address:port] `.
fn begins_a_line(beginning: &str) -> bool {
    let Some(text) = beginning.strip_prefix('[') else { return false };
    if let Some((peer, _)) = text.split_once("] ") {
        return peer.parse::<SocketAddr>().is_ok();
    }
    match text.strip_suffix(']') {
        Some(peer) if !peer.starts_with('[') => peer.parse::<SocketAddr>().is_ok(),
        _ => text.chars().all(|it| it.is_ascii_hexdigit() || ".:%[]".contains(it)),
    }
}

/// An upper bound on the bytes of a peer address with its brackets.
const PEER_BYTES_MAX: u64 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Sink;

    #[test]
    fn an_incomplete_last_line_is_removed_and_complete_lines_stay() {
        let directory = tempfile::tempdir().unwrap();
        let long = format!("{}\n", "x".repeat(9000));
        for (before, after) in [
            (String::new(), String::new()),
            ("one\ntwo\n".into(), "one\ntwo\n".into()),
            ("one\n[127.0.".into(), "one\n".into()),
            ("[".into(), String::new()),
            ("[127.0.0.1:80]".into(), String::new()),
            ("[[::1]:80] to".into(), String::new()),
            (format!("{long}[10.0.0.1:80] {}", "ä".repeat(9000)), long.clone()),
            (format!("{long}[10.0.0.1:8] {}", "ä".repeat(9000)), long.clone()),
        ] {
            let path = directory.path().join("journal");
            std::fs::write(&path, &before).unwrap();
            Sink::write(&mut open_file(&path).unwrap(), b"new\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}new\n"));
        }
    }

    #[test]
    fn a_file_that_is_not_a_journal_is_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        for text in
            ["notes without a line break", "one\ntwo", "[1, 2, 3]", "# notes\n[section]", "[1]", "[a] b"]
        {
            let path = directory.path().join("notes");
            std::fs::write(&path, text).unwrap();
            assert_eq!(open_file(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
