//! The requests in flight on one socket, matched with answers by what these say. It knows no socket.
//!
//! A socket sends the requests of the service in rotation. So as many as the service has can be in flight
//! and be matched exactly, and an answer that is late or duplicated is recognized. If an open loop has more
//! in flight, equal requests are taken to be answered in order.

use std::collections::VecDeque;

use crate::load::batch::Batch;

/// The requests in flight on a socket.
#[derive(Debug)]
pub(super) struct Requests {
    /// The last request of each kind, by its index.
    slots: Box<[Slot]>,
    /// The index of the request that was sent last.
    last: u8,
    /// Requests sent while an equal one was waiting, in order.
    queued: VecDeque<(u8, Batch)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// No answer is expected; one that comes is a duplicate.
    Answered,
    Waiting(Batch),
    /// Its timeout has passed; an answer is late.
    Overdue(Batch),
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    InTime(Batch),
    Late(Batch),
    Duplicate,
}

impl Requests {
    /// None in flight, of a service with `count` requests.
    pub(super) fn new(count: u8) -> Self {
        Self { slots: vec![Slot::Answered; count.into()].into(), last: 0, queued: VecDeque::new() }
    }

    /// The index of the request to send next, for which `batch` waits from now on: if possible one that no
    /// other waits for.
    pub(super) fn begin(&mut self, batch: Batch) -> u8 {
        let index = self.next();
        self.last = index;
        match self.slot(index) {
            Slot::Waiting(_) => self.queued.push_back((index, batch)),
            slot @ (Slot::Answered | Slot::Overdue(_)) => *slot = Slot::Waiting(batch),
        }
        index
    }

    /// Matches an answer to the request at `index`.
    pub(super) fn answer(&mut self, index: u8) -> Matched {
        match std::mem::replace(self.slot(index), Slot::Answered) {
            Slot::Answered => Matched::Duplicate,
            Slot::Overdue(batch) => Matched::Late(batch),
            Slot::Waiting(batch) => {
                self.begin_queued(index);
                Matched::InTime(batch)
            }
        }
    }

    /// The timeout of the request at `index` that was sent at `sent_ns` has passed. Returns whether it was
    /// still waiting.
    pub(super) fn expire(&mut self, index: u8, sent_ns: u64) -> bool {
        match *self.slot(index) {
            // A later request at this index may be waiting.
            Slot::Waiting(batch) if batch.sent_ns == sent_ns => {
                if !self.begin_queued(index) {
                    *self.slot(index) = Slot::Overdue(batch);
                }
                true
            }
            Slot::Waiting(_) | Slot::Answered | Slot::Overdue(_) => false,
        }
    }

    /// Requests whose timeout has not passed and that are not answered.
    pub(super) fn waiting(&self) -> u32 {
        let waiting = self.slots.iter().filter(|slot| matches!(slot, Slot::Waiting(_))).count();
        u32::try_from(waiting + self.queued.len()).unwrap_or(u32::MAX)
    }

    /// The next index that no request waits at, or else the next.
    fn next(&self) -> u8 {
        let count = self.slots.len();
        let after = |steps: usize| (usize::from(self.last) + steps) % count;
        let is_free = |index: &usize| !matches!(self.slots[*index], Slot::Waiting(_));
        let index = (1..=count).map(after).find(is_free).unwrap_or(after(1));
        u8::try_from(index).expect("the count is eight bits")
    }

    /// Lets the first queued request at `index` wait. Returns whether there is one.
    fn begin_queued(&mut self, index: u8) -> bool {
        let Some(first) = self.queued.iter().position(|(queued, _)| *queued == index) else { return false };
        let Some((_, batch)) = self.queued.remove(first) else { return false };
        *self.slot(index) = Slot::Waiting(batch);
        true
    }

    fn slot(&mut self, index: u8) -> &mut Slot {
        &mut self.slots[usize::from(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sent_ns: u64) -> Batch {
        Batch { sent_ns, lag_us: 0, count: 1 }
    }

    #[test]
    fn requests_rotate_past_those_that_wait() {
        let mut requests = Requests::new(3);
        assert_eq!([1, 2, 3].map(|ns| requests.begin(batch(ns))), [1, 2, 0]);
        assert_eq!(requests.answer(0), Matched::InTime(batch(3)));
        assert_eq!(requests.begin(batch(4)), 0);
        assert_eq!(requests.answer(1), Matched::InTime(batch(1)));
    }

    #[test]
    fn equal_requests_are_answered_in_order() {
        let mut requests = Requests::new(1);
        assert_eq!([1, 2].map(|ns| requests.begin(batch(ns))), [0, 0]);
        assert_eq!(
            [(); 3].map(|()| requests.answer(0)),
            [Matched::InTime(batch(1)), Matched::InTime(batch(2)), Matched::Duplicate]
        );
    }

    #[test]
    fn an_answer_after_the_timeout_is_late_once() {
        let mut requests = Requests::new(2);
        let index = requests.begin(batch(1));
        assert!(!requests.expire(index, 7) && requests.expire(index, 1) && !requests.expire(index, 1));
        assert_eq!(requests.answer(index), Matched::Late(batch(1)));
        assert_eq!(requests.answer(index), Matched::Duplicate);
    }

    #[test]
    fn a_timeout_lets_the_next_equal_request_wait() {
        let mut requests = Requests::new(1);
        assert_eq!([1, 2].map(|ns| requests.begin(batch(ns))), [0, 0]);
        assert!(requests.expire(0, 1));
        assert_eq!(requests.answer(0), Matched::InTime(batch(2)));
    }
}
