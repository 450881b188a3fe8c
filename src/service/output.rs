//! Where a service puts its answers and its lines for the journal.

use std::net::SocketAddr;

use crate::conn::peer_addr::StoredPeer;
use crate::journal::{HAS_JOURNAL, Lines};

/// What a service has to send to its peer, and to record in the journal.
#[derive(Debug)]
pub struct Output<'a> {
    peer: Peer<'a>,
    answer: &'a mut Vec<u8>,
    journal: Option<&'a mut Lines>,
    journal_lines: u64,
}

impl<'a> Output<'a> {
    /// Appends answers to `peer` to `answer`, and journal lines to `journal`; with `None` the lines are
    /// counted and dropped.
    pub fn new(peer: SocketAddr, answer: &'a mut Vec<u8>, journal: Option<&'a mut Lines>) -> Self {
        Self { peer: Peer::Address(peer), answer, journal, journal_lines: 0 }
    }

    /// Does the same for a peer whose address is stored.
    #[inline]
    pub(crate) fn to_stored(
        peer: StoredPeer<'a>,
        answer: &'a mut Vec<u8>,
        journal: Option<&'a mut Lines>,
    ) -> Self {
        Self { peer: Peer::Stored(peer), answer, journal, journal_lines: 0 }
    }

    /// Sends `bytes` to the peer, after everything sent before. The server sends them after it has
    /// written the journal lines of the same turn.
    pub fn send(&mut self, bytes: &[u8]) {
        self.answer.extend_from_slice(bytes);
    }

    /// The buffer that answers are appended to, for services that format in place. Bytes in it may belong
    /// to other connections: append only.
    pub fn answer(&mut self) -> &mut Vec<u8> {
        self.answer
    }

    /// Records `text`, which was sent to `service`, in the journal as one [line](Lines).
    pub fn record(&mut self, service: &'static str, text: &[u8]) {
        if HAS_JOURNAL && self.journal.is_some() {
            self.write_line(service, text);
        } else {
            self.journal_lines += 1;
        }
    }

    /// It counts the line too: as it changes what `record` reads, a service that records in a loop keeps none of that in
    /// registers, which it needs for parsing.
    #[inline(never)]
    fn write_line(&mut self, service: &str, text: &[u8]) {
        if let Some(journal) = &mut self.journal {
            // Nothing else adds lines until this output is dropped.
            if self.journal_lines == 0 {
                match self.peer {
                    Peer::Address(address) => journal.set_sender(address),
                    Peer::Stored(stored) => match stored.key.short() {
                        Some(address) => journal.set_short_sender(address),
                        None => journal.set_sender(stored.address()),
                    },
                }
            }
            journal.add_next(service, text);
        }
        self.journal_lines += 1;
    }

    /// The number of calls of [`record`](Self::record).
    #[must_use]
    pub fn journal_lines(&self) -> u64 {
        self.journal_lines
    }
}

#[derive(Debug)]
enum Peer<'a> {
    Address(SocketAddr),
    Stored(StoredPeer<'a>),
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::run;
    use super::*;
    use crate::conn::peer_addr::PeerAddrs;

    #[test]
    fn a_recorded_text_is_one_line_that_names_the_peer() {
        let outcome = run(|out| {
            out.record("message", b"one\ntwo");
            out.record("message", b"");
            out.journal_lines()
        });
        assert_eq!(outcome.returned, 2);
        assert_eq!(outcome.journal, "[127.0.0.1:4000] one\\ntwo\n[127.0.0.1:4000] \n");
    }

    #[test]
    fn each_of_several_outputs_names_its_own_peer() {
        let mut lines = Lines::default();
        let mut addrs = PeerAddrs::default();
        for port in [1, 2, 2, 1] {
            let peer = SocketAddr::from(([192, 0, 2, 1], port));
            Output::new(peer, &mut Vec::new(), Some(&mut lines)).record("message", b"a");
            let key = addrs.intern(peer);
            let stored = StoredPeer { key: &key, addrs: &addrs };
            Output::to_stored(stored, &mut Vec::new(), Some(&mut lines)).record("message", b"b");
        }
        let expected = [1, 2, 2, 1].map(|port| format!("[192.0.2.1:{port}] a\n[192.0.2.1:{port}] b\n"));
        assert_eq!(String::from_utf8_lossy(lines.as_bytes()), expected.concat());
    }

    #[test]
    fn lines_are_counted_without_a_journal() {
        let mut answer = Vec::new();
        let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut answer, None);
        out.record("message", b"text");
        assert_eq!(out.journal_lines(), 1);
    }
}
