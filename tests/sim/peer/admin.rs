//! Peers of the admin endpoint: they look at the server, and nothing that they do may show in it.

use super::{Peer, Step};
use crate::sim::random::Random;
use crate::sim::status::{BAD, LAST, REQUEST, STATUS};

impl Peer {
    /// A peer of the admin endpoint that does anything.
    pub fn admin(wire: usize, random: &mut Random) -> Self {
        let mut peer = Self { answer_bytes: STATUS.len(), ..Self::new(wire) };
        match random.below(8) {
            // It is closed when it has been idle for long enough.
            0 => {}
            1 => {
                // As many requests as it likes at once, and it reads the answers later.
                peer.reads = false;
                let requests = 1 + random.below(60);
                (0..requests).for_each(|_| peer.expect_status());
                peer.script.push_back(Step::Send(REQUEST.repeat(requests)));
                peer.script.extend([Step::Pause(random.below_u64(500)), Step::Read]);
            }
            2 => {
                // It would stay for ever, if no time is set for a frame.
                peer.is_hostile = true;
                peer.script.push_back(Step::Send(REQUEST[..=random.below(REQUEST.len() - 1)].to_vec()));
            }
            3 => {
                peer.plan_requests(random);
                peer.script.push_back(Step::Send(BAD.to_vec()));
            }
            4 => {
                peer.plan_requests(random);
                peer.script.push_back(Step::Send(LAST.to_vec()));
                peer.expected.extend_from_slice(STATUS);
            }
            5 => {
                peer.plan_requests(random);
                peer.leaves_early = true;
                peer.script.push_back(if random.one_in(2) { Step::Reset } else { Step::Close });
            }
            6 => {
                peer.plan_requests(random);
                peer.script.push_back(Step::End);
            }
            // A connection that is kept alive.
            _ => peer.plan_requests(random),
        }
        peer.script.extend([Step::AwaitEnd, Step::Close]);
        peer
    }

    /// A peer of the admin endpoint that asks once, and then is silent.
    pub fn admin_newcomer(wire: usize) -> Self {
        let mut peer = Self { answer_bytes: STATUS.len(), ..Self::new(wire) };
        peer.plan_request(0);
        peer.script.extend([Step::AwaitEnd, Step::Close]);
        peer
    }

    fn plan_requests(&mut self, random: &mut Random) {
        for _ in 0..random.below(6) {
            self.plan_request(random.below(REQUEST.len()));
            if random.one_in(2) {
                self.script.push_back(Step::Pause(random.below_u64(900)));
            }
        }
    }

    /// A request in two pieces, and the wait for its answer.
    fn plan_request(&mut self, cut: usize) {
        let (head, tail) = REQUEST.split_at(cut);
        self.script.extend([Step::Send(head.to_vec()), Step::Send(tail.to_vec())]);
        self.expect_status();
        self.script.push_back(Step::AwaitBytes(self.expected.len()));
    }

    fn expect_status(&mut self) {
        self.expected.extend_from_slice(STATUS);
        self.end_frame(REQUEST.len());
    }
}
