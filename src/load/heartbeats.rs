//! When connections that are otherwise idle send their heartbeats. It reads no clock.
//!
//! Each sends once in a period: of N connections, number i (from 0) at i / N of it. So the heartbeats of all are due one
//! after the other at equal intervals, and one number is enough to know which is next.

/// The heartbeats of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeats {
    began_ns: u64,
    period_ns: u64,
    /// Heartbeats that were due.
    taken: u64,
}

/// A heartbeat that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) due_ns: u64,
    /// Which of the idle connections sends it, from 0.
    pub(crate) index: u32,
}

impl Heartbeats {
    /// The first is due at `began_ns`.
    pub(crate) fn new(began_ns: u64, period_ns: u64) -> Self {
        Self { began_ns, period_ns, taken: 0 }
    }

    /// Passes the heartbeats of `idle` connections that are due at `now_ns` to `send`, as many as a turn allows. Returns
    /// when the next will be due.
    pub(crate) fn send_due(
        &mut self,
        idle: u32,
        now_ns: u64,
        mut send: impl FnMut(Heartbeat),
    ) -> Option<u64> {
        if idle == 0 {
            return None;
        }
        for _ in 0..HEARTBEATS_PER_TURN_MAX {
            match self.take(idle, now_ns) {
                Ok(heartbeat) => send(heartbeat),
                Err(next_ns) => return Some(next_ns),
            }
        }
        Some(now_ns)
    }

    /// The next heartbeat of `idle` connections, at least one, if it is due at `now_ns`.
    ///
    /// # Errors
    /// When it will be.
    fn take(&mut self, idle: u32, now_ns: u64) -> Result<Heartbeat, u64> {
        let since_ns = u128::from(self.taken) * u128::from(self.period_ns) / u128::from(idle);
        let due_ns = self.began_ns.saturating_add(u64::try_from(since_ns).unwrap_or(u64::MAX));
        if now_ns < due_ns {
            return Err(due_ns);
        }
        let index = u32::try_from(self.taken % u64::from(idle)).expect("it is less than a number of 32 bits");
        self.taken += 1;
        Ok(Heartbeat { due_ns, index })
    }
}

/// Heartbeats sent in one turn, before replies are read.
const HEARTBEATS_PER_TURN_MAX: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_due_once_in_a_period_at_its_share_of_it() {
        let mut heartbeats = Heartbeats::new(100, 1000);
        let mut due = Vec::new();
        let next_ns = loop {
            match heartbeats.take(3, 1766) {
                Ok(Heartbeat { due_ns, index }) => due.push((due_ns, index)),
                Err(next_ns) => break next_ns,
            }
        };
        assert_eq!(due, [(100, 0), (433, 1), (766, 2), (1100, 0), (1433, 1), (1766, 2)]);
        assert_eq!(next_ns, 2100);
    }

    #[test]
    fn a_turn_sends_a_bounded_number_and_the_rest_is_due_at_once() {
        let mut heartbeats = Heartbeats::new(0, 300);
        let mut send = |idle| {
            let mut sent = 0;
            let next_ns = heartbeats.send_due(idle, 299, |_| sent += 1);
            (sent, next_ns)
        };
        assert_eq!([send(300), send(300), send(0)], [(256, Some(299)), (44, Some(300)), (0, None)]);
    }
}
