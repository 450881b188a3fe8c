//! What is in a journal file, by connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use loopline::journal::Entry;

use crate::crowd::{Tally, Texts, text};

/// The messages of a journal, which may be several files.
#[derive(Default)]
pub(crate) struct Records {
    /// Of each connection: its sender, and the number of its messages.
    connections: HashMap<u64, (SocketAddr, u64)>,
}

impl Records {
    /// Reads the whole lines at `path`. Panics if a message is missing before another of its connection, is there
    /// twice, or is not what its connection has sent.
    pub(crate) fn read(path: &Path, texts: Texts) -> Self {
        let mut records = Self::default();
        records.read_next(path, texts);
        records
    }

    /// The same for a file that follows those that were read.
    pub(crate) fn read_next(&mut self, path: &Path, texts: Texts) {
        let file = std::fs::read(path).unwrap();
        for line in whole_lines(&file).split_inclusive(|byte| *byte == b'\n') {
            let line = str::from_utf8(line).expect("a journal is text").trim_end_matches('\n');
            let entry = Entry::parse(line.as_bytes());
            let entry = entry.unwrap_or_else(|error| panic!("not a journal line: {error}: {line}"));
            let (sender, message) = (entry.peer, String::from_utf8(entry.message).unwrap());
            let connection =
                message.split('/').next().unwrap().parse().expect("a message begins with its connection");
            let (first_sender, messages) = self.connections.entry(connection).or_insert((sender, 0));
            assert_eq!(*first_sender, sender, "the sender of connection {connection}");
            assert!(
                message == text(texts, connection, *messages),
                "not message {messages} of {connection}: {line}"
            );
            *messages += 1;
        }
    }

    /// The number of messages.
    pub(crate) fn messages(&self) -> u64 {
        self.connections.values().map(|(_, messages)| messages).sum()
    }

    /// Checks that what was acknowledged is there, and nothing that was not sent.
    pub(crate) fn check(&self, tallies: &[Tally]) {
        for tally in tallies {
            let recorded = self.connections.get(&tally.connection).map_or(0, |(_, messages)| *messages);
            assert!(recorded >= tally.acknowledged, "LOST: {tally:?}, {recorded} are in the journal");
            assert!(recorded <= tally.sent, "{tally:?}, but {recorded} are in the journal");
        }
    }
}

/// All bytes up to the last line break.
pub(crate) fn whole_lines(file: &[u8]) -> &[u8] {
    &file[..file.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)]
}
