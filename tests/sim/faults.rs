//! Which faults a run has.

use std::collections::BTreeSet;

use super::random::Random;

/// How often each fault occurs: once in this many calls on average; 0 is never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
        for (_, times) in faults.survivable() {
            if random.one_in(2) {
                *times = 2 << random.below(5);
            }
        }
        faults
    }

    /// Draws any of the faults, also those that end a connection or the server.
    pub fn draw_any(random: &mut Random) -> Self {
        let mut faults = Self::draw(random);
        for (_, times) in faults.fatal_to_a_connection() {
            if random.one_in(4) {
                *times = 5 << random.below(4);
            }
        }
        for (_, times) in faults.fatal_to_the_server() {
            if random.one_in(16) {
                *times = 10 << random.below(5);
            }
        }
        faults
    }

    /// Leaves only the faults with these names.
    pub fn keep_only(&mut self, names: &BTreeSet<String>) {
        for (name, times) in self.all() {
            if !names.contains(name) {
                *times = 0;
            }
        }
    }

    /// The names of the faults that occur.
    pub fn names(&self) -> BTreeSet<String> {
        let mut faults = self.clone();
        let occurring = faults.all().into_iter().filter(|(_, times)| **times > 0);
        occurring.map(|(name, _)| name.to_owned()).collect()
    }

    fn all(&mut self) -> Vec<(&'static str, &mut usize)> {
        let Self {
            interrupted_calls,
            short_reads,
            short_writes,
            late_events,
            duplicate_events,
            spurious_events,
            stale_events,
            failed_accepts,
            failed_registrations,
            failed_half_closes,
            failed_receives,
            failed_sends,
            blocked_journal_writes,
            short_journal_writes,
            failed_journal_writes,
            failed_journal_syncs,
        } = self;
        vec![
            ("interrupted_calls", interrupted_calls),
            ("short_reads", short_reads),
            ("short_writes", short_writes),
            ("late_events", late_events),
            ("duplicate_events", duplicate_events),
            ("spurious_events", spurious_events),
            ("stale_events", stale_events),
            ("failed_accepts", failed_accepts),
            ("failed_receives", failed_receives),
            ("failed_sends", failed_sends),
            ("blocked_journal_writes", blocked_journal_writes),
            ("short_journal_writes", short_journal_writes),
            ("failed_registrations", failed_registrations),
            ("failed_half_closes", failed_half_closes),
            ("failed_journal_writes", failed_journal_writes),
            ("failed_journal_syncs", failed_journal_syncs),
        ]
    }

    fn survivable(&mut self) -> Vec<(&'static str, &mut usize)> {
        let mut all = self.all();
        all.truncate(12);
        all
    }

    fn fatal_to_a_connection(&mut self) -> Vec<(&'static str, &mut usize)> {
        self.all().drain(12..14).collect()
    }

    fn fatal_to_the_server(&mut self) -> Vec<(&'static str, &mut usize)> {
        self.all().split_off(14)
    }
}
