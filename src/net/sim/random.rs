//! The random numbers of the simulated network.

/// A sequence of numbers that one seed decides: `SplitMix64`.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `max`; 0 if that is 0. Half of the time it is `max`.
    pub(super) fn part(&mut self, max: usize) -> usize {
        if max == 0 || self.next() % 2 == 0 {
            return max;
        }
        1 + usize::try_from(self.next() % max as u64).unwrap_or(0)
    }
}
