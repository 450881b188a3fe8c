//! A hash of all system calls and their outcomes: two runs of a seed must have the same.

use std::io;

/// FNV-1a over words.
#[derive(Clone)]
pub struct Trace {
    hash: u64,
    pub calls: u64,
    /// The calls by name, and what each was made for, if they are to be listed.
    pub list: Option<Vec<(String, usize)>>,
}

impl Trace {
    pub fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, calls: 0, list: None }
    }

    /// A call, what it was made for, and its outcome: bytes, or the kind of the error.
    pub fn call(&mut self, name: &str, of: usize, outcome: &io::Result<usize>) {
        self.calls += 1;
        if let Some(list) = &mut self.list {
            list.push((name.to_owned(), of));
        }
        self.bytes(name.as_bytes());
        self.word(of as u64);
        self.word(match outcome {
            Ok(count) => *count as u64,
            Err(error) => u64::MAX - error.kind() as u64,
        });
    }

    pub fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.word(u64::from(*byte)));
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }
}
