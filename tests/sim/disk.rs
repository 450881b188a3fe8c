//! The journal of the simulated server: a disk that blocks, takes a part of what is written, or fails.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use loopline::journal::escape::unescape;
use loopline::journal::{Ack, Sink};
use loopline::limits::Limits;

use super::bounds::Bounds;
use super::datagrams::is_datagram_peer;
use super::faults::Faults;
use super::random::Random;
use super::trace::Trace;

/// What is written, and what of it is recorded: with [`Ack::Synced`] only what was synced is.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Disk {
    pub ack: Ack,
    pub random: Random,
    pub faults: Faults,
    pub trace: Trace,
    limits: Limits,
    pub has_failed: bool,
    /// Its file was renamed.
    pub is_renamed: bool,
    /// Times that another file was opened.
    pub reopened: usize,
    pub written: Vec<u8>,
    recorded_bytes: usize,
    /// The recorded messages of each peer.
    records: HashMap<SocketAddr, Vec<String>>,
    /// The server has passed lines to it this many times.
    pub writes: u64,
    /// It has taken or synced something since the last poll.
    pub has_progressed: bool,
    pub is_blocked: bool,
    /// When it is writable again; drawn once the loop has polled.
    pub blocked_until_ms: Option<u64>,
}

impl Disk {
    pub fn new(ack: Ack, limits: &Limits, faults: &Faults, random: Random) -> Self {
        Self {
            ack,
            random,
            faults: faults.clone(),
            trace: Trace::new(),
            limits: limits.clone(),
            has_failed: false,
            is_renamed: false,
            reopened: 0,
            written: Vec::new(),
            recorded_bytes: 0,
            records: HashMap::new(),
            writes: 0,
            has_progressed: false,
            is_blocked: false,
            blocked_until_ms: None,
        }
    }

    pub fn records(&self, peer: SocketAddr) -> &[String] {
        self.records.get(&peer).map_or(&[], Vec::as_slice)
    }

    /// Only `peers`, and those that send datagrams, have lines.
    pub fn check_peers(&self, peers: &HashSet<SocketAddr>) {
        for peer in self.records.keys() {
            assert!(
                peers.contains(peer) || is_datagram_peer(*peer),
                "{peer} has lines, and no right to them"
            );
        }
    }

    /// Whole lines of all that is written are recorded from now on.
    fn record(&mut self) {
        while let Some(end) = self.written[self.recorded_bytes..].iter().position(|byte| *byte == b'\n') {
            let line = &self.written[self.recorded_bytes..self.recorded_bytes + end];
            let (peer, text) = parse_line(line);
            self.records.entry(peer).or_default().push(text);
            self.recorded_bytes += end + 1;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.has_failed, "a journal that has failed is written to");
        self.writes += 1;
        self.check_bound(bytes);
        if self.is_blocked {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Self { random, faults, .. } = self;
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.blocked_journal_writes) {
            (self.is_blocked, self.blocked_until_ms) = (true, None);
            return Err(ErrorKind::WouldBlock.into());
        }
        if random.fails(faults.failed_journal_writes) {
            self.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        let is_short = random.fails(faults.short_journal_writes);
        let taken = if is_short { 1 + random.below(bytes.len()) } else { bytes.len() };
        self.written.extend_from_slice(&bytes[..taken]);
        self.trace.bytes(&bytes[..taken]);
        self.has_progressed = true;
        if self.ack != Ack::Synced {
            self.record();
        }
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        assert!(!self.has_failed, "a journal that has failed is synced again");
        if self.random.fails(self.faults.failed_journal_syncs) {
            self.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        self.record();
        Ok(())
    }

    /// What follows goes to another file: no line is divided between the two, and none waits for a sync.
    fn reopen(&mut self) {
        assert!(!self.has_failed, "a journal that has failed is opened again");
        assert!(self.has_whole_lines(), "a line is divided between two files");
        assert_eq!(self.recorded_bytes, self.written.len(), "a file is left with lines that are not synced");
        self.reopened += 1;
    }

    /// Whether the file ends with the end of a line.
    pub fn has_whole_lines(&self) -> bool {
        self.written.last().is_none_or(|byte| *byte == b'\n')
    }

    /// Datagrams are received whether the journal takes their lines or not: they are bounded for each turn.
    fn check_bound(&self, lines: &[u8]) {
        let of_datagram = |line: &[u8]| {
            line.ends_with(b"\n") && line.starts_with(b"[") && {
                let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
                let peer = std::str::from_utf8(&line[1..end - 1]).unwrap_or_default();
                peer.parse().is_ok_and(is_datagram_peer)
            }
        };
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        let bytes = lines.filter(|line| !of_datagram(line)).map(<[u8]>::len).sum();
        Bounds::on_journal_write(&self.limits, bytes);
    }
}

/// The peer and the message of a line.
pub fn parse_line(line: &[u8]) -> (SocketAddr, String) {
    let line = std::str::from_utf8(line).unwrap();
    let (peer, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
    (peer.parse().unwrap(), String::from_utf8(unescape(text).unwrap()).unwrap())
}

/// The server's end of the disk.
pub struct SimSink(pub Arc<Mutex<Disk>>);

impl Sink for SimSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let outcome = disk.write(bytes);
        disk.trace.call("journal write", bytes.len(), &outcome);
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let outcome = disk.sync();
        disk.trace.call("journal sync", 0, &Ok(usize::from(outcome.is_ok())));
        outcome
    }

    fn is_in_place(&self) -> bool {
        !self.0.lock().unwrap().is_renamed
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().reopen();
        Ok(())
    }

    fn remove_torn_line(&mut self, torn_bytes: usize) {
        let mut disk = self.0.lock().unwrap();
        let bytes = disk.written.len() - torn_bytes;
        disk.written.truncate(bytes);
    }
}
