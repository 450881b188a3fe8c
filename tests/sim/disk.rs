//! The journal of the simulated server: a disk that blocks, takes a part of what is written, or fails.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use loopline::journal::escape::unescape;
use loopline::journal::{Ack, Sink};

use super::faults::{Faults, Random};

/// What is written, and what of it is recorded: with [`Ack::Synced`] only what was synced is.
pub struct Disk {
    pub ack: Ack,
    pub has_failed: bool,
    written: Vec<u8>,
    recorded_bytes: usize,
    /// The recorded messages of each peer.
    records: HashMap<SocketAddr, Vec<String>>,
    pub is_blocked: bool,
    /// When it is writable again; drawn once the loop has polled.
    pub blocked_until_ms: Option<u64>,
}

impl Disk {
    pub fn new(ack: Ack) -> Self {
        Self {
            ack,
            has_failed: false,
            written: Vec::new(),
            recorded_bytes: 0,
            records: HashMap::new(),
            is_blocked: false,
            blocked_until_ms: None,
        }
    }

    pub fn records(&self, peer: SocketAddr) -> &[String] {
        self.records.get(&peer).map_or(&[], Vec::as_slice)
    }

    /// Whole lines of all that is written are recorded from now on.
    fn record(&mut self) {
        while let Some(end) = self.written[self.recorded_bytes..].iter().position(|byte| *byte == b'\n') {
            let line = &self.written[self.recorded_bytes..self.recorded_bytes + end];
            let line = std::str::from_utf8(line).unwrap();
            let (peer, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
            let text = String::from_utf8(unescape(text).unwrap()).unwrap();
            self.records.entry(peer.parse().unwrap()).or_default().push(text);
            self.recorded_bytes += end + 1;
        }
    }
}

pub struct SimSink {
    pub disk: Arc<Mutex<Disk>>,
    pub random: Random,
    pub faults: Faults,
}

impl Sink for SimSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock().unwrap();
        assert!(!disk.has_failed, "a journal that has failed is written to");
        if disk.is_blocked {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Self { random, faults, .. } = self;
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.blocked_journal_writes) {
            (disk.is_blocked, disk.blocked_until_ms) = (true, None);
            return Err(ErrorKind::WouldBlock.into());
        }
        if random.fails(faults.failed_journal_writes) {
            disk.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        let is_short = random.fails(faults.short_journal_writes);
        let taken = if is_short { 1 + random.below(bytes.len()) } else { bytes.len() };
        disk.written.extend_from_slice(&bytes[..taken]);
        if disk.ack != Ack::Synced {
            disk.record();
        }
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        assert!(!disk.has_failed, "a journal that has failed is synced again");
        if self.random.fails(self.faults.failed_journal_syncs) {
            disk.has_failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        disk.record();
        Ok(())
    }
}
