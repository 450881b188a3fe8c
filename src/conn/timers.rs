//! Timers of any duration: a hierarchical timing wheel, in which arming and canceling take the same time however many
//! there are. Time is an argument.
//!
//! ```text
//!   level 0: 64 slots of 1 ms        a timer is on the level of the highest six bits in which its time
//!   level 1: 64 slots of 64 ms       differs from now, in the slot of these bits; when the time of the slot
//!   ...                              has come, it moves down
//!   level 5: 64 slots of 12.4 days
//! ```
//!
//! [`DeadlineQueue`](super::deadlines::DeadlineQueue) is smaller, and orders deadlines of one duration only.

use std::time::Duration;

use slab::Slab;

use super::deadlines::{Tick, milliseconds};

/// The timers that are armed. Each has a value, which is returned when its time has come.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    entries: Slab<Entry<T>>,
    /// Made with the first timer.
    levels: Vec<Level>,
    /// Milliseconds until `tick`, without wrapping.
    now_ms: u64,
    tick: Tick,
}

/// A timer that is armed. It must not be used after the timer was canceled or has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

#[derive(Debug)]
struct Entry<T> {
    value: T,
    due_ms: u64,
    previous: u32,
    next: u32,
}

#[derive(Debug, Clone)]
struct Level {
    /// A bit for each slot that has timers.
    occupied: u64,
    /// The first timer of each slot.
    heads: [u32; SLOTS],
}

const LEVELS: usize = LEVEL_MAX as usize + 1;
const LEVEL_MAX: u32 = 5;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
const NONE: u32 = u32::MAX;

/// The longest duration, in milliseconds: a tick cannot be compared with one that is further away. It is 24.8 days.
const DURATION_MS_MAX: u32 = (1 << 31) - 1;

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), levels: Vec::new(), now_ms: 0, tick: Tick::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Arms a timer, `now` being at or after all moments seen before. It is due when `duration`, in whole milliseconds
    /// and at least one, is over.
    pub(crate) fn arm(&mut self, now: Tick, duration: Duration, value: T) -> TimerKey {
        if self.levels.is_empty() {
            self.levels = vec![Level { occupied: 0, heads: [NONE; SLOTS] }; LEVELS];
        }
        if self.entries.is_empty() {
            // No timer depends on the time between.
            self.tick = now;
        }
        let since_ms = u64::from(now.ms_since(self.tick));
        let wait_ms = u64::from(milliseconds(duration).clamp(1, DURATION_MS_MAX));
        let due_ms = self.now_ms + since_ms + wait_ms;
        let key = self.entries.insert(Entry { value, due_ms, previous: NONE, next: NONE });
        let key = u32::try_from(key).expect("timers are counted in 32 bits");
        self.link(key);
        TimerKey(key)
    }

    /// Removes a timer, and returns its value.
    pub(crate) fn cancel(&mut self, TimerKey(key): TimerKey) -> T {
        self.unlink(key);
        self.entries.remove(key as usize).value
    }

    /// Removes a timer that is due at `now`, and returns its value. Of several, the one that was due first comes first.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let until_ms = self.now_ms + u64::from(now.ms_since(self.tick));
        while let Some((level, slot, begin_ms)) = self.first() {
            if begin_ms > until_ms {
                break;
            }
            // The slots before it are empty.
            self.advance_to(begin_ms.max(self.now_ms));
            let key = self.levels[level].heads[slot];
            if level == 0 {
                return Some(self.cancel(TimerKey(key)));
            }
            self.move_down(level, slot);
        }
        self.advance_to(until_ms);
        None
    }

    /// Milliseconds until [`expire`](Self::expire) has something to do; `None` when no timer is armed.
    pub(crate) fn wait_ms(&self, now: Tick) -> Option<u32> {
        let (_, _, begin_ms) = self.first()?;
        let now_ms = self.now_ms + u64::from(now.ms_since(self.tick));
        Some(u32::try_from(begin_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX))
    }

    fn advance_to(&mut self, ms: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "it is at most the 32 bits since `tick`")]
        let passed_ms = (ms - self.now_ms) as u32;
        self.tick = self.tick.later_by(passed_ms);
        self.now_ms = ms;
    }

    /// The first slot that has timers: its level, its index, and when its time begins. Slots of a lower level come
    /// before those of a higher one.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let shift = SLOT_BITS * u32::try_from(level).unwrap_or(0);
        let passed_slots = self.now_ms >> shift;
        let current = u32::try_from(passed_slots % SLOTS as u64).unwrap_or(0);
        let ahead = self.levels[level].occupied.rotate_right(current).trailing_zeros();
        let slot = (current + ahead) as usize % SLOTS;
        Some((level, slot, (passed_slots + u64::from(ahead)) << shift))
    }

    /// Moves the timers of a slot, whose time has come, to lower levels.
    fn move_down(&mut self, level: usize, slot: usize) {
        let mut key = std::mem::replace(&mut self.levels[level].heads[slot], NONE);
        self.levels[level].occupied &= !(1 << slot);
        // From the last to the first: each is linked before those that are there, so their order remains.
        let mut last = NONE;
        while key != NONE {
            last = key;
            key = self.entries[key as usize].next;
        }
        while last != NONE {
            let previous = self.entries[last as usize].previous;
            self.link(last);
            last = previous;
        }
    }

    /// The level and the slot of a time that is not before now.
    fn place(&self, due_ms: u64) -> (usize, usize) {
        let differing = (due_ms ^ self.now_ms) | 1;
        let level = (differing.ilog2() / SLOT_BITS).min(LEVEL_MAX);
        let slot = (due_ms >> (level * SLOT_BITS)) % SLOTS as u64;
        (level as usize, usize::try_from(slot).unwrap_or(0))
    }

    fn link(&mut self, key: u32) {
        let (level, slot) = self.place(self.entries[key as usize].due_ms);
        let level = &mut self.levels[level];
        let head = std::mem::replace(&mut level.heads[slot], key);
        level.occupied |= 1 << slot;
        (self.entries[key as usize].previous, self.entries[key as usize].next) = (NONE, head);
        if head != NONE {
            self.entries[head as usize].previous = key;
        }
    }

    fn unlink(&mut self, key: u32) {
        let Entry { due_ms, previous, next, .. } = self.entries[key as usize];
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
            return;
        }
        let (level, slot) = self.place(due_ms);
        let level = &mut self.levels[level];
        level.heads[slot] = next;
        if next == NONE {
            level.occupied &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// What is done with timers, beside a sorted map of them.
    #[derive(Debug, Clone)]
    enum Step {
        Arm(u64),
        Cancel(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Durations and pauses of all sizes.
        let any_ms = || (0_u32..31, any::<u64>()).prop_map(|(bits, number)| number % (1 << bits));
        prop_oneof![
            4 => any_ms().prop_map(Step::Arm),
            1 => any::<usize>().prop_map(Step::Cancel),
            3 => any_ms().prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn timers_expire_when_they_are_due_in_order_and_once(
            start in any::<u32>(),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut timers = Timers::new();
            // By the time they are due.
            let mut expected: BTreeMap<(u64, u64), TimerKey> = BTreeMap::new();
            let mut now_ms = u64::from(start);
            for (number, step) in (0_u64..).zip(steps) {
                let tick = |ms| Tick::after(Duration::from_millis(ms));
                match step {
                    Step::Arm(after) => {
                        let due_ms = now_ms + after.max(1);
                        let key = timers.arm(tick(now_ms), ms(after), (due_ms, number));
                        expected.insert((due_ms, number), key);
                    }
                    Step::Cancel(index) => {
                        let Some(value) = expected.keys().nth(index % expected.len().max(1)).copied() else { continue };
                        let key = expected.remove(&value).unwrap();
                        prop_assert_eq!(timers.cancel(key), value);
                    }
                    Step::Pass(pause) => {
                        // A poll wakes at each time that is reported, and no timer is due between.
                        let until_ms = now_ms + pause;
                        loop {
                            let wait_ms = timers.wait_ms(tick(now_ms)).map(u64::from);
                            let first = expected.keys().next().map(|(due_ms, _)| due_ms.saturating_sub(now_ms));
                            prop_assert_eq!(wait_ms.is_some(), first.is_some());
                            prop_assert!(wait_ms <= first || first.is_none(), "{:?} of {:?}", wait_ms, first);
                            now_ms = until_ms.min(now_ms + wait_ms.unwrap_or(u64::MAX / 2));
                            let mut last_ms = 0;
                            while let Some(value) = timers.expire(tick(now_ms)) {
                                prop_assert!(value.0 <= now_ms && value.0 >= last_ms, "{:?} at {}", value, now_ms);
                                prop_assert!(expected.remove(&value).is_some());
                                last_ms = value.0;
                            }
                            prop_assert!(expected.keys().next().is_none_or(|(due_ms, _)| *due_ms > now_ms));
                            if now_ms == until_ms {
                                break;
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(timers.is_empty(), expected.is_empty());
        }

        #[test]
        fn after_a_long_wait_without_a_turn_all_that_are_due_expire_in_order(
            waits in prop::collection::vec(1_u64..1 << 31, 1..100),
            passed in 1_u64..1 << 31,
        ) {
            let mut timers = Timers::new();
            for wait in &waits {
                timers.arm(Tick::default(), ms(*wait), *wait);
            }
            let now = Tick::after(ms(passed));
            let expired: Vec<u64> = std::iter::from_fn(|| timers.expire(now)).collect();
            let mut due: Vec<u64> = waits.into_iter().filter(|wait| *wait <= passed).collect();
            due.sort_unstable();
            prop_assert_eq!(expired, due);
        }
    }

    #[test]
    fn a_timer_is_reached_in_as_many_steps_as_there_are_levels() {
        let mut timers = Timers::new();
        timers.arm(Tick::default(), Duration::MAX, ());
        let (mut now, mut wakes) = (Tick::default(), 0);
        while !timers.is_empty() {
            now = now.later_by(timers.wait_ms(now).unwrap());
            wakes += 1;
            timers.expire(now);
        }
        assert_eq!(now, Tick::after(ms(u64::from(DURATION_MS_MAX))));
        assert!(wakes <= LEVELS, "{wakes}");
    }
}
