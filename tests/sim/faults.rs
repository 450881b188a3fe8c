//! The seeded generator, and which faults a run has.

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Whether a fault occurs that does so once in `times` calls, or never for 0.
    pub fn fails(&mut self, times: usize) -> bool {
        times > 0 && self.one_in(times)
    }
}

/// How often each fault occurs: once in this many calls on average; 0 is never.
#[derive(Clone, Default)]
pub struct Faults {
    /// System calls that fail with EINTR.
    pub interrupted_calls: usize,
    pub short_reads: usize,
    pub short_writes: usize,
    pub late_events: usize,
    pub duplicate_events: usize,
    pub spurious_events: usize,
    /// Events of connections that are closed.
    pub stale_events: usize,
    pub failed_accepts: usize,
    pub failed_registrations: usize,
    /// The peer resets the connection just before our side ends.
    pub failed_half_closes: usize,
    pub failed_receives: usize,
    pub failed_sends: usize,
    pub blocked_journal_writes: usize,
    pub short_journal_writes: usize,
    pub failed_journal_writes: usize,
    pub failed_journal_syncs: usize,
}

impl Faults {
    /// Draws which of the faults that every peer survives occur, and how often. Faults that always occur
    /// together hide each other, so some runs have few of them, and some none.
    pub fn draw(random: &mut Random) -> Self {
        let mut faults = Self::default();
        if random.one_in(8) {
            return faults;
        }
        for times in [
            &mut faults.interrupted_calls,
            &mut faults.short_reads,
            &mut faults.short_writes,
            &mut faults.late_events,
            &mut faults.duplicate_events,
            &mut faults.spurious_events,
            &mut faults.stale_events,
            &mut faults.failed_accepts,
            &mut faults.failed_receives,
            &mut faults.failed_sends,
            &mut faults.blocked_journal_writes,
            &mut faults.short_journal_writes,
        ] {
            if random.one_in(2) {
                *times = 2 << random.below(5);
            }
        }
        faults
    }
}
