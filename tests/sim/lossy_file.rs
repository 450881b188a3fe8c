//! A file behind a cache, on a disk that loses power. What was not synced is lost, kept or kept in part: each block
//! as it was at any moment since the last sync, and the length likewise.
//!
//! ```text
//!   synced          [10.0.0.1:4000] one
//!   written since                      .[10.0.0.1:4000] two...........[10.0.0.2:4000] three
//!   blocks          |               |               |               |               |
//!   after the loss  [10.0.0.1:4000] one.[10.0.0.1:40................00] three          (dots: NUL)
//! ```

use std::io::{self, ErrorKind};

use loopline::journal::JournalFile;

use super::random::Random;

pub struct LossyFile {
    block_bytes: usize,
    /// The content after each change since the last sync, the newest last; that one is what is read.
    versions: Vec<Vec<u8>>,
    /// Whether a loss of power leaves the entry in the directory.
    has_entry: bool,
    /// Changes and syncs until the machine stops.
    calls_left: usize,
    random: Random,
}

impl LossyFile {
    /// A file that has just been created.
    pub fn new(random: &mut Random) -> Self {
        Self {
            block_bytes: [512, 4096][random.below(2)],
            versions: vec![Vec::new()],
            has_entry: false,
            calls_left: usize::MAX,
            random: random.fork(0),
        }
    }

    /// The machine stops with one of the next `calls` calls.
    pub fn stop_within(&mut self, calls: usize) {
        self.calls_left = self.random.below(calls);
    }

    /// The machine goes on, with what was read before.
    pub fn go_on(&mut self) {
        self.calls_left = usize::MAX;
    }

    pub fn content(&self) -> &[u8] {
        self.versions.last().expect("there is a content")
    }

    /// The process was killed: the kernel keeps what it has.
    pub fn kill(&mut self) {
        self.go_on();
    }

    pub fn lose_power(&mut self) {
        self.go_on();
        if !self.has_entry && self.random.one_in(2) {
            self.versions = vec![Vec::new()];
            return;
        }
        let Self { block_bytes, versions, random, .. } = self;
        let mut content = vec![0; versions[random.below(versions.len())].len()];
        for (index, block) in content.chunks_mut(*block_bytes).enumerate() {
            let version = &versions[random.below(versions.len())];
            let stored = version.get(index * *block_bytes..).unwrap_or_default();
            let bytes = stored.len().min(block.len());
            block[..bytes].copy_from_slice(&stored[..bytes]);
        }
        (self.versions, self.has_entry) = (vec![content], true);
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content().to_vec();
        content.extend_from_slice(bytes);
        self.versions.push(content);
        self.count_call()
    }

    /// The call in which the machine stops may have been done or not, and never returns.
    fn count_call(&mut self) -> io::Result<()> {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                Ok(())
            }
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

impl JournalFile for LossyFile {
    fn lock(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self) -> io::Result<u64> {
        Ok(self.content().len() as u64)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.content()[start..start + buffer.len()]);
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let content = self.content()[..usize::try_from(bytes).unwrap()].to_vec();
        self.versions.push(content);
        self.count_call()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.count_call()?;
        self.versions.drain(..self.versions.len() - 1);
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.count_call()?;
        self.has_entry = true;
        Ok(())
    }
}
