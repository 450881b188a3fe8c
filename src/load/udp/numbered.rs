//! The requests in flight on one socket whose answers have their numbers. It knows no socket.

use std::collections::VecDeque;

use super::requests::{Matched, Slot};
use crate::load::batch::Batch;

/// The requests in flight on a socket, by their numbers.
#[derive(Debug)]
pub(super) struct Numbered {
    /// The number of the first slot, from 1. Requests before it are answered, or were lost long ago.
    first: u32,
    slots: VecDeque<Slot>,
    /// The bits of a number that an answer has.
    mask: u32,
}

impl Numbered {
    pub(super) fn new(mask: u32) -> Self {
        Self { first: 1, slots: VecDeque::new(), mask }
    }

    /// The number of the next request, for which `batch` waits from now on.
    pub(super) fn begin(&mut self, batch: Batch) -> u32 {
        self.slots.push_back(Slot::Waiting(batch));
        self.forget();
        self.number_at(self.slots.len() - 1)
    }

    /// Matches an answer with this number; `None` if no request had it.
    pub(super) fn answer(&mut self, number: u32) -> Option<Matched> {
        let offset = number.wrapping_sub(self.first) & self.mask;
        let Some(slot) = self.slots.get_mut(offset as usize) else {
            // Counted back from the first slot; with few bits, the same numbers come again.
            let back = u64::from(self.first.wrapping_sub(number).wrapping_sub(1) & self.mask) + 1;
            return (back < u64::from(self.first)).then_some(Matched::Duplicate);
        };
        let matched = match std::mem::replace(slot, Slot::Answered) {
            Slot::Answered => Matched::Duplicate,
            Slot::Waiting(batch) => Matched::InTime(batch),
            Slot::Overdue(batch) => Matched::Late(batch),
        };
        self.forget();
        Some(matched)
    }

    /// The timeout of the request with this number has passed. Returns whether it was still waiting.
    pub(super) fn expire(&mut self, number: u32) -> bool {
        let Some(slot) = self.slots.get_mut(number.wrapping_sub(self.first) as usize) else { return false };
        let Slot::Waiting(batch) = *slot else { return false };
        *slot = Slot::Overdue(batch);
        true
    }

    /// Requests whose timeout has not passed and that are not answered.
    pub(super) fn waiting(&self) -> u32 {
        let waiting = self.slots.iter().filter(|slot| matches!(slot, Slot::Waiting(_))).count();
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// The number of the oldest request that waits.
    pub(super) fn oldest(&self) -> Option<u32> {
        let index = self.slots.iter().position(|slot| matches!(slot, Slot::Waiting(_)))?;
        Some(self.number_at(index))
    }

    #[expect(clippy::cast_possible_truncation, reason = "numbers wrap")]
    fn number_at(&self, index: usize) -> u32 {
        self.first.wrapping_add(index as u32)
    }

    /// Removes the first slots that are answered, and those that were lost long ago.
    fn forget(&mut self) {
        while let Some(slot) = self.slots.front() {
            let is_over = match slot {
                Slot::Answered => true,
                Slot::Overdue(_) => self.slots.len() > OVERDUE_MAX,
                Slot::Waiting(_) => false,
            };
            if !is_over {
                return;
            }
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}

/// A lost request is remembered for this number of further ones on its socket. Then an answer counts as a duplicate.
const OVERDUE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64) -> Batch {
        Batch::on_time(sent_ns, 1)
    }

    fn begun(mask: u32, count: u64) -> Numbered {
        let mut requests = Numbered::new(mask);
        (1..=count).for_each(|ns| assert_eq!(u64::from(requests.begin(batch(ns))), ns));
        requests
    }

    #[test]
    fn answers_in_any_order_are_matched_by_their_numbers() {
        let mut requests = begun(u32::MAX, 3);
        assert_eq!(requests.oldest(), Some(1));
        assert_eq!(requests.answer(3), Some(Matched::InTime(batch(3))));
        assert_eq!(requests.answer(1), Some(Matched::InTime(batch(1))));
        assert_eq!(requests.oldest(), Some(2));
        assert_eq!([3, 1].map(|number| requests.answer(number)), [Some(Matched::Duplicate); 2]);
        assert_eq!(requests.answer(2), Some(Matched::InTime(batch(2))));
        assert_eq!(requests.answer(2), Some(Matched::Duplicate));
        assert_eq!((requests.slots.len(), requests.oldest()), (0, None));
        assert_eq!([0, 4, u32::MAX].map(|number| requests.answer(number)), [None; 3], "they were never sent");
        assert_eq!(requests.begin(batch(4)), 4);
    }

    #[test]
    fn an_answer_after_the_timeout_is_late_once() {
        let mut requests = begun(u32::MAX, 2);
        assert!(requests.expire(1) && !requests.expire(1) && !requests.expire(3));
        assert_eq!(requests.answer(2), Some(Matched::InTime(batch(2))));
        assert_eq!(requests.answer(1), Some(Matched::Late(batch(1))));
        assert_eq!(requests.answer(1), Some(Matched::Duplicate));
        assert!(!requests.expire(2), "it is answered");
    }

    #[test]
    fn a_number_of_sixteen_bits_is_that_of_the_latest_request() {
        let mut requests = begun(0xffff, 1);
        for number in 1..=70_000 {
            assert_eq!(requests.answer(number & 0xffff), Some(Matched::InTime(batch(number.into()))));
            requests.begin(batch(u64::from(number) + 1));
        }
        assert_eq!(requests.answer(70_000 - 65_536), Some(Matched::Duplicate));
        assert_eq!(
            requests.answer(70_002 - 65_536),
            Some(Matched::Duplicate),
            "an earlier one had that number"
        );
        let mut requests = begun(0xffff, 5);
        assert_eq!([0, 6].map(|number| requests.answer(number)), [None; 2]);
    }

    #[test]
    fn lost_requests_take_a_bounded_amount_of_memory() {
        let mut requests = begun(u32::MAX, 1);
        for ns in 2..10_000 {
            assert!(requests.expire(requests.oldest().unwrap()));
            requests.begin(batch(ns));
        }
        assert_eq!(requests.slots.len(), OVERDUE_MAX);
        assert_eq!(requests.answer(9000), Some(Matched::Late(batch(9000))));
        assert_eq!(requests.answer(7), Some(Matched::Duplicate));
    }
}
