//! Deadlines: one queue for each kind of timeout, linked through the slab of its items.
//!
//! All deadlines of a kind are a constant after the moment of arming, and arming appends an item to the tail, so
//! a queue is always sorted: arm, cancel and expire touch the item and its two neighbors, without a heap or a
//! wheel. Time is an argument.

use std::time::Duration;

use slab::Slab;

/// A moment: milliseconds since some fixed point, in 32 bits. It wraps after 49.7 days, so two moments are
/// only ever compared by their difference, which no timeout brings near that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    /// The moment `elapsed` after the fixed point.
    #[must_use]
    pub fn after(elapsed: Duration) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a tick wraps")]
        Self(elapsed.as_millis() as u32)
    }

    /// Milliseconds from `earlier` to this moment.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The moment `ms` milliseconds later.
    #[cfg(feature = "handlers")]
    pub(crate) fn later_by(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms))
    }

    /// Whether `later` is this moment or after it; the other way round if they are 25 days apart.
    pub(crate) fn is_by(self, later: Self) -> bool {
        later.ms_since(self) < 1 << 31
    }
}

/// An item's links to its neighbors in a queue; it is a field of the item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    previous: u32,
    next: u32,
    armed_at: Tick,
}

impl Link {
    /// In no queue.
    pub(crate) const UNLINKED: Self = Self { previous: UNLINKED, next: UNLINKED, armed_at: Tick(0) };

    pub(crate) fn is_linked(&self) -> bool {
        self.previous != UNLINKED
    }

    /// In no queue, with the time of something that concerns the item.
    pub(crate) fn unlinked_at(now: Tick) -> Self {
        Self { armed_at: now, ..Self::UNLINKED }
    }

    /// The time that it was armed at, or that of [`unlinked_at`](Self::unlinked_at).
    pub(crate) fn since(&self) -> Tick {
        self.armed_at
    }

    /// The time since it was armed, in milliseconds, if it is in a queue.
    pub(crate) fn age_ms(&self, now: Tick) -> Option<u32> {
        self.is_linked().then(|| if self.armed_at.is_by(now) { now.ms_since(self.armed_at) } else { 0 })
    }
}

/// The items of a slab that wait for one kind of timeout, the first to expire first.
#[derive(Debug)]
pub(crate) struct DeadlineQueue<T> {
    /// `None`: off, the queue stays empty.
    timeout_ms: Option<u32>,
    /// See [`DeadlineQueue::renewed`].
    granularity_ms: u32,
    head: u32,
    tail: u32,
    link: fn(&mut T) -> &mut Link,
}

impl<T> DeadlineQueue<T> {
    /// Deadlines that hold from the moment they are armed, whatever comes.
    pub(crate) fn absolute(timeout: Option<Duration>, link: fn(&mut T) -> &mut Link) -> Self {
        let timeout_ms = timeout.map(|timeout| milliseconds(timeout).clamp(1, TIMEOUT_MS_MAX));
        Self { timeout_ms, granularity_ms: 0, head: END, tail: END, link }
    }

    /// Deadlines that activity renews. An item moves to the tail only when a sixteenth of the timeout has
    /// passed since it last did; between, activity costs a comparison. For that an item expires up to a
    /// sixteenth late, and never early.
    pub(crate) fn renewed(timeout: Option<Duration>, link: fn(&mut T) -> &mut Link) -> Self {
        let mut queue = Self::absolute(timeout, link);
        queue.granularity_ms = queue.timeout_ms.unwrap_or(0) / 16;
        queue
    }

    /// Starts the item's deadline anew, from now.
    pub(crate) fn arm(&mut self, items: &mut Slab<T>, key: u32, now: Tick) {
        if self.timeout_ms.is_none() {
            return;
        }
        self.cancel(items, key);
        *self.link(items, key) = Link { previous: self.tail, next: END, armed_at: now };
        match self.tail {
            END => self.head = key,
            tail => self.link(items, tail).next = key,
        }
        self.tail = key;
    }

    /// Renews the deadline after activity.
    #[inline]
    pub(crate) fn renew(&mut self, items: &mut Slab<T>, key: u32, now: Tick) {
        if self.timeout_ms.is_some() {
            self.arm_if_old(items, key, now);
        }
    }

    fn arm_if_old(&mut self, items: &mut Slab<T>, key: u32, now: Tick) {
        let link = self.link(items, key);
        if !link.is_linked() || now.ms_since(link.armed_at) >= self.granularity_ms {
            self.arm(items, key, now);
        }
    }

    /// Removes the item from the queue, if it is in it.
    pub(crate) fn cancel(&mut self, items: &mut Slab<T>, key: u32) {
        let link = std::mem::replace(self.link(items, key), Link::UNLINKED);
        if !link.is_linked() {
            return;
        }
        match link.previous {
            END => self.head = link.next,
            previous => self.link(items, previous).next = link.next,
        }
        match link.next {
            END => self.tail = link.previous,
            next => self.link(items, next).previous = link.previous,
        }
    }

    /// The first item, if its time was over at `now`, which may be before it was armed. It stays in the queue.
    pub(crate) fn due(&self, items: &mut Slab<T>, now: Tick) -> Option<u32> {
        (self.wait_ms(items, now) == Some(0)).then_some(self.head)
    }

    /// Milliseconds until the first item is due; `None` when nothing waits.
    pub(crate) fn wait_ms(&self, items: &mut Slab<T>, now: Tick) -> Option<u32> {
        let timeout_ms = self.timeout_ms?;
        if self.head == END {
            return None;
        }
        let armed_at = self.link(items, self.head).armed_at;
        let age_ms = if armed_at.is_by(now) { now.ms_since(armed_at) } else { 0 };
        Some((timeout_ms + self.granularity_ms).saturating_sub(age_ms))
    }

    /// The first item in the queue, due or not.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != END).then_some(self.head)
    }

    /// Whether there is a timeout.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.timeout_ms.is_some()
    }

    /// Panics unless the queue is linked in both directions and sorted; returns its length.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, items: &mut Slab<T>) -> usize {
        let (mut length, mut previous, mut key) = (0, END, self.head);
        let mut armed_at = None;
        while key != END {
            let link = *self.link(items, key);
            assert_eq!(link.previous, previous, "item {key} and its neighbor refer to each other");
            assert!(armed_at.is_none_or(|before: Tick| before.is_by(link.armed_at)), "the queue is sorted");
            (previous, key, armed_at) = (key, link.next, Some(link.armed_at));
            length += 1;
            assert!(length <= items.len(), "the queue has an end");
        }
        assert_eq!(self.tail, previous, "the tail is the last item");
        length
    }

    fn link<'a>(&self, items: &'a mut Slab<T>, key: u32) -> &'a mut Link {
        (self.link)(&mut items[key as usize])
    }
}

/// Whole milliseconds of `duration`, or as many as 32 bits hold.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// 24 days; with a sixteenth on top still far from where ticks wrap.
const TIMEOUT_MS_MAX: u32 = 24 * 24 * 60 * 60 * 1000;

/// No neighbor on this side.
const END: u32 = u32::MAX;

/// As the previous neighbor: in no queue.
const UNLINKED: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    fn items(count: u32) -> Slab<Link> {
        (0..count as usize).map(|key| (key, Link::UNLINKED)).collect()
    }

    fn absolute(ms: u64) -> DeadlineQueue<Link> {
        DeadlineQueue::absolute(Some(Duration::from_millis(ms)), |link| link)
    }

    fn expire(queue: &mut DeadlineQueue<Link>, items: &mut Slab<Link>, now: Tick) -> Vec<u32> {
        let mut expired = Vec::new();
        while let Some(key) = queue.due(items, now) {
            queue.cancel(items, key);
            expired.push(key);
        }
        expired
    }

    #[test]
    fn items_expire_in_the_order_they_were_armed() {
        let (mut queue, mut items) = (absolute(100), items(3));
        for (key, ms) in [(2, 0), (0, 10), (1, 20)] {
            queue.arm(&mut items, key, at(ms));
        }
        assert_eq!(queue.wait_ms(&mut items, at(30)), Some(70));
        assert!(expire(&mut queue, &mut items, at(99)).is_empty());
        assert_eq!(expire(&mut queue, &mut items, at(110)), [2, 0]);
        assert_eq!(expire(&mut queue, &mut items, at(500)), [1]);
        assert_eq!(queue.wait_ms(&mut items, at(500)), None);
    }

    #[test]
    fn a_canceled_item_never_expires_wherever_it_stood() {
        for canceled in 0..3 {
            let (mut queue, mut items) = (absolute(100), items(3));
            for key in 0..3 {
                queue.arm(&mut items, key, at(0));
            }
            queue.cancel(&mut items, canceled);
            queue.cancel(&mut items, canceled);
            let left: Vec<u32> = (0..3).filter(|key| *key != canceled).collect();
            assert_eq!(expire(&mut queue, &mut items, at(100)), left);
        }
    }

    #[test]
    fn activity_renews_a_deadline_and_never_shortens_it() {
        let mut queue = DeadlineQueue::renewed(Some(Duration::from_millis(160)), |link: &mut Link| link);
        let mut items = items(2);
        queue.renew(&mut items, 0, at(0));
        queue.renew(&mut items, 1, at(1));
        queue.renew(&mut items, 0, at(9)); // within a sixteenth: the item stays where it is
        queue.renew(&mut items, 1, at(50));
        assert!(expire(&mut queue, &mut items, at(169)).is_empty());
        assert_eq!(expire(&mut queue, &mut items, at(170)), [0]);
        assert!(expire(&mut queue, &mut items, at(219)).is_empty());
        assert_eq!(expire(&mut queue, &mut items, at(220)), [1]);
    }

    #[test]
    fn a_timeout_that_is_off_keeps_no_item() {
        let mut queue = DeadlineQueue::absolute(None, |link: &mut Link| link);
        let mut items = items(1);
        queue.arm(&mut items, 0, at(0));
        queue.renew(&mut items, 0, at(0));
        assert_eq!(queue.wait_ms(&mut items, at(u64::from(u32::MAX))), None);
        assert!(!items[0].is_linked());
    }

    #[test]
    fn what_is_armed_after_a_moment_is_not_due_then() {
        let (mut queue, mut items) = (absolute(100), items(1));
        queue.arm(&mut items, 0, at(1000));
        assert!(expire(&mut queue, &mut items, at(999)).is_empty());
        assert_eq!(queue.wait_ms(&mut items, at(0)), Some(100));
        assert_eq!(expire(&mut queue, &mut items, at(1100)), [0]);
    }

    #[test]
    fn ticks_wrap_without_notice() {
        let before = at(u64::from(u32::MAX) - 49);
        let (mut queue, mut items) = (absolute(100), items(1));
        queue.arm(&mut items, 0, before);
        assert_eq!(queue.wait_ms(&mut items, at(u64::from(u32::MAX) + 1)), Some(50));
        assert_eq!(expire(&mut queue, &mut items, at(u64::from(u32::MAX) + 51)), [0]);
    }

    #[test]
    fn a_moment_is_after_another_for_half_of_all_ticks() {
        let is_by = |ms: u64| at(7).is_by(at(7 + ms));
        assert_eq!(
            [0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1].map(is_by),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn a_timeout_is_between_a_millisecond_and_24_days() {
        for (timeout, ms) in [(Duration::ZERO, 1), (Duration::MAX, 2_073_600_000)] {
            let mut queue = DeadlineQueue::absolute(Some(timeout), |link: &mut Link| link);
            let mut items = items(1);
            queue.arm(&mut items, 0, at(0));
            assert_eq!(queue.wait_ms(&mut items, at(0)), Some(ms));
        }
    }

    #[test]
    fn an_item_in_a_queue_has_an_age() {
        let (mut queue, mut items) = (absolute(100), items(1));
        assert_eq!(items[0].age_ms(at(70)), None);
        queue.arm(&mut items, 0, at(50));
        assert_eq!([40, 50, 70].map(|ms| items[0].age_ms(at(ms))), [Some(0), Some(0), Some(20)]);
        assert_eq!(queue.first(), Some(0));
        queue.cancel(&mut items, 0);
        assert_eq!((items[0].age_ms(at(70)), queue.first()), (None, None));
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_check_returns_the_length_of_the_queue() {
        let (mut queue, mut items) = (absolute(100), items(3));
        for key in 0..3 {
            assert_eq!(queue.check(&mut items), key as usize);
            queue.arm(&mut items, key, at(key.into()));
        }
        assert_eq!(queue.check(&mut items), 3);
        assert!(queue.is_on());
        assert!(!DeadlineQueue::absolute(None, |link: &mut Link| link).is_on());
    }
}
