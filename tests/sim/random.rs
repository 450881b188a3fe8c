//! What a run draws: the numbers of a seed, or the bytes of a script and then numbers that depend on them.

use std::collections::VecDeque;

/// `SplitMix64` (Steele, Lea, Flood 2014). As long as it has a script, its numbers are those of the script.
#[derive(Clone)]
pub struct Random {
    state: u64,
    script: VecDeque<u8>,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, script: VecDeque::new() }
    }

    pub fn of_script(script: &[u8]) -> Self {
        Self { state: 0, script: script.iter().copied().collect() }
    }

    /// A generator for a part of the run, which draws the same whatever the other parts do. It takes up to
    /// `script_bytes` bytes of the script with it.
    pub fn fork(&mut self, script_bytes: usize) -> Self {
        if self.script.is_empty() || script_bytes == 0 {
            return Self::new(self.next());
        }
        let rest = self.script.split_off(script_bytes.min(self.script.len()));
        Self { state: 0, script: std::mem::replace(&mut self.script, rest) }
    }

    /// Bytes of the script that are left.
    pub fn script_bytes(&self) -> usize {
        self.script.len()
    }

    pub fn next(&mut self) -> u64 {
        self.number(u64::MAX)
    }

    /// A number from 0 to `end`, without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.below_u64(end as u64)).unwrap()
    }

    pub fn below_u64(&mut self, end: u64) -> u64 {
        let end = end.max(1);
        self.number(end - 1) % end
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Whether a fault occurs that does so once in `times` calls, or never for 0.
    pub fn fails(&mut self, times: usize) -> bool {
        times > 0 && self.one_in(times)
    }

    /// A number of the script, of as few bytes as `max` has, or any number.
    fn number(&mut self, max: u64) -> u64 {
        if self.script.is_empty() {
            return self.mix();
        }
        let bytes = (u64::BITS - max.leading_zeros()).div_ceil(8);
        let mut number = 0;
        for byte in (0..bytes).map_while(|_| self.script.pop_front()) {
            number = number << 8 | u64::from(byte);
        }
        // What is drawn after the script depends on what was taken from it.
        self.state ^= number;
        self.mix();
        number
    }

    fn mix(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
