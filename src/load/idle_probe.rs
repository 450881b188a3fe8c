//! Groups of connections that are silent for a time, then send once. It reads no clock.
//!
//! A connection is checked by a message, so that it is known to work, and is silent from the reply on:
//!
//! ```text
//!  Unused ──▶ Checked ──▶ Silent ──▶ Awaiting ──▶ Over
//! ```
//!
//! All connections of a group are silent for the same time, so these times end in the order in which they began. One
//! index into that order is enough to know which connection sends next: none has a timer.

use hdrhistogram::Histogram;

use super::error_kind::ErrorKind;
use super::stats::times::{histogram, record};

/// The groups, and where each connection is.
#[derive(Debug)]
pub(crate) struct IdleProbe {
    began_ns: u64,
    groups: Vec<Group>,
    /// The state of each connection, and its group: that of its number, so that the groups are equally affected by what
    /// limits the number of connections.
    states: Vec<Packed>,
    has_begun: bool,
    /// Connections that are checked, silent or awaiting.
    unfinished: u32,
}

/// Connections that are silent for the same time.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) silence_ns: u64,
    pub(crate) counts: GroupCounts,
    /// The connections in the order in which they fell silent.
    silent: Vec<u32>,
    /// The next of these to send.
    next: usize,
}

/// What became of the connections of a group.
#[derive(Debug, Default)]
pub(crate) struct GroupCounts {
    /// Connections that fell silent.
    pub(crate) probed: u64,
    /// After the silence, the message was answered.
    pub(crate) alive: u64,
    /// Reset or rejected when the message was sent.
    pub(crate) reset_on_sending: u64,
    /// Closed when the message was sent.
    pub(crate) closed_on_sending: u64,
    /// The message was not answered.
    pub(crate) unanswered: u64,
    /// Answered as the first datagram of a new peer.
    pub(crate) new_session: u64,
    /// Ended in another way, as by a wrong reply.
    pub(crate) other: u64,
    /// Reads of bytes that the server sent in a silence.
    pub(crate) received_in_silence: u64,
    /// How long those were silent that were reset or closed in the silence, in nanoseconds.
    pub(crate) reset_after: Option<Histogram<u64>>,
    pub(crate) closed_after: Option<Histogram<u64>>,
    /// The longest time until the message was sent.
    pub(crate) longest_ns: u64,
}

/// How a connection died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Reset,
    Closed,
    Unanswered,
    NewSession,
    Other,
}

impl From<ErrorKind> for Death {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            // Over UDP, a rejected datagram is reported as one of the others.
            ErrorKind::Reset | ErrorKind::Refused | ErrorKind::Unreachable => Self::Reset,
            ErrorKind::Closed => Self::Closed,
            ErrorKind::ReplyTimeout | ErrorKind::ConnectTimeout => Self::Unanswered,
            ErrorKind::NewSession => Self::NewSession,
            ErrorKind::Descriptors
            | ErrorKind::Ports
            | ErrorKind::Source
            | ErrorKind::Memory
            | ErrorKind::ServerCap
            | ErrorKind::WrongReply
            | ErrorKind::ServerRefuses
            | ErrorKind::NoFreeConnection
            | ErrorKind::Network => Self::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is not open, or not checked yet.
    Unused,
    /// It has sent the first message.
    Checked,
    /// It has been silent since then, in milliseconds from the beginning.
    Silent { since_ms: u32 },
    /// It has sent the message after the silence.
    Awaiting,
    /// It has died, or the message was answered.
    Over,
}

impl IdleProbe {
    /// Groups of `connections`, one for each of `silences_ns`, ascending.
    pub(crate) fn new(silences_ns: &[u64], connections: usize) -> Self {
        let group = |silence_ns: &u64| Group {
            silence_ns: *silence_ns,
            counts: GroupCounts::default(),
            silent: Vec::new(),
            next: 0,
        };
        Self {
            began_ns: 0,
            groups: silences_ns.iter().map(group).collect(),
            states: vec![State::Unused.into(); connections],
            has_begun: false,
            unfinished: 0,
        }
    }

    /// The first messages are sent from `now_ns` on.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        (self.began_ns, self.has_begun) = (now_ns, true);
    }

    /// The first message is sent on a connection.
    pub(crate) fn check(&mut self, key: u32) {
        self.unfinished += 1;
        self.set(key, State::Checked);
    }

    /// A message was answered: the silence begins, or the connection is alive.
    pub(crate) fn answered(&mut self, key: u32, now_ns: u64) {
        match self.state(key) {
            State::Checked => {
                // Rounded up, so that no silence is too short.
                let since_ms = now_ns.saturating_sub(self.began_ns).div_ceil(MS);
                let since_ms = u32::try_from(since_ms).unwrap_or(u32::MAX).min(SILENT_MAX);
                self.set(key, State::Silent { since_ms });
                let group = self.group(key);
                group.silent.push(key);
                group.counts.probed += 1;
            }
            State::Awaiting => {
                self.finish(key);
                self.group(key).counts.alive += 1;
            }
            State::Unused | State::Silent { .. } | State::Over => {}
        }
    }

    /// The next connection whose silence is over at `now_ns`; it sends now.
    ///
    /// # Errors
    /// When the next silence will be over; `None` if there is none.
    pub(crate) fn take(&mut self, now_ns: u64) -> Result<u32, Option<u64>> {
        let mut next_ns: Option<u64> = None;
        for index in 0..self.groups.len() {
            while let Some(key) = self.groups[index].silent.get(self.groups[index].next).copied() {
                let State::Silent { since_ms } = self.state(key) else {
                    // It died.
                    self.groups[index].next += 1;
                    continue;
                };
                let since_ns = self.began_ns + u64::from(since_ms) * MS;
                let due_ns = since_ns.saturating_add(self.groups[index].silence_ns);
                if now_ns < due_ns {
                    next_ns = Some(next_ns.map_or(due_ns, |next_ns| next_ns.min(due_ns)));
                    break;
                }
                let group = &mut self.groups[index];
                group.next += 1;
                group.counts.longest_ns = group.counts.longest_ns.max(now_ns - since_ns);
                self.set(key, State::Awaiting);
                return Ok(key);
            }
        }
        Err(next_ns)
    }

    /// A connection has ended. Returns how long it had been silent, if it died in the silence.
    pub(crate) fn died(&mut self, key: u32, death: Death, now_ns: u64) -> Option<u64> {
        let state = self.state(key);
        if matches!(state, State::Unused | State::Over) {
            return None;
        }
        self.finish(key);
        let since_ns = match state {
            State::Silent { since_ms } => Some(self.began_ns + u64::from(since_ms) * MS),
            State::Unused | State::Checked | State::Awaiting | State::Over => None,
        };
        let silent_ns = since_ns.map(|since_ns| now_ns.saturating_sub(since_ns));
        let counts = &mut self.group(key).counts;
        match (state, death, silent_ns) {
            (_, Death::Reset, Some(ns)) => {
                record(counts.reset_after.get_or_insert_with(histogram), ns, 1);
            }
            (_, Death::Closed, Some(ns)) => {
                record(counts.closed_after.get_or_insert_with(histogram), ns, 1);
            }
            (State::Awaiting, Death::Reset, _) => counts.reset_on_sending += 1,
            (State::Awaiting, Death::Closed, _) => counts.closed_on_sending += 1,
            (State::Awaiting, Death::Unanswered, _) => counts.unanswered += 1,
            (State::Awaiting, Death::NewSession, _) => counts.new_session += 1,
            (State::Silent { .. } | State::Awaiting, ..) => counts.other += 1,
            // It never fell silent, so it is not probed.
            (State::Unused | State::Checked | State::Over, ..) => {}
        }
        silent_ns
    }

    /// Whether a connection is silent.
    pub(crate) fn is_silent(&self, key: u32) -> bool {
        matches!(self.state(key), State::Silent { .. })
    }

    /// Whether a connection has sent the message after the silence, which is not answered.
    pub(crate) fn is_awaiting(&self, key: u32) -> bool {
        self.state(key) == State::Awaiting
    }

    /// Bytes were received on a silent connection.
    pub(crate) fn received(&mut self, key: u32) {
        self.group(key).counts.received_in_silence += 1;
    }

    /// Whether nothing is left to send or to await.
    pub(crate) fn is_over(&self) -> bool {
        self.has_begun && self.unfinished == 0
    }

    /// The groups, with the number of connections of each.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group, u64)> {
        let (connections, groups) = (self.states.len(), self.groups.len());
        let size = move |index: usize| (connections + groups - 1 - index) / groups;
        self.groups.iter().enumerate().map(move |(index, group)| (group, size(index) as u64))
    }

    fn finish(&mut self, key: u32) {
        self.unfinished -= 1;
        self.set(key, State::Over);
    }

    fn group(&mut self, key: u32) -> &mut Group {
        let index = key as usize % self.groups.len();
        &mut self.groups[index]
    }

    fn state(&self, key: u32) -> State {
        self.states[key as usize].into()
    }

    fn set(&mut self, key: u32, state: State) {
        self.states[key as usize] = state.into();
    }
}

/// A state in four bytes: with the order of its group, a connection has eight bytes in addition.
#[derive(Debug, Clone, Copy)]
struct Packed(u32);

const _: () = assert!(size_of::<Packed>() == 4);

impl From<State> for Packed {
    fn from(state: State) -> Self {
        Self(match state {
            State::Silent { since_ms } => since_ms,
            State::Unused => UNUSED,
            State::Checked => CHECKED,
            State::Awaiting => AWAITING,
            State::Over => OVER,
        })
    }
}

impl From<Packed> for State {
    fn from(Packed(packed): Packed) -> Self {
        match packed {
            UNUSED => Self::Unused,
            CHECKED => Self::Checked,
            AWAITING => Self::Awaiting,
            OVER => Self::Over,
            since_ms => Self::Silent { since_ms },
        }
    }
}

const UNUSED: u32 = u32::MAX;
const CHECKED: u32 = u32::MAX - 1;
const AWAITING: u32 = u32::MAX - 2;
const OVER: u32 = u32::MAX - 3;

/// The latest beginning of a silence, after 49 days.
const SILENT_MAX: u32 = OVER - 1;

const MS: u64 = 1_000_000;

/// Messages sent after their silence in one turn, before replies are read.
pub(crate) const PROBES_PER_TURN_MAX: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// Four connections in groups of 10 ms and 30 ms, of which all fell silent, number `n` at `n` ms.
    fn silent() -> IdleProbe {
        let mut probe = IdleProbe::new(&[10 * MS, 30 * MS], 4);
        probe.begin(0);
        (0..4).for_each(|key| probe.check(key));
        (0..4).for_each(|key| probe.answered(key, u64::from(key) * MS));
        probe
    }

    #[test]
    fn the_connections_of_a_group_send_one_after_the_other_when_their_silence_is_over() {
        let mut probe = silent();
        assert_eq!(probe.take(9 * MS), Err(Some(10 * MS)));
        assert_eq!([probe.take(10 * MS), probe.take(10 * MS)], [Ok(0), Err(Some(12 * MS))]);
        assert_eq!(probe.take(13 * MS), Ok(2));
        assert_eq!(probe.take(13 * MS), Err(Some(31 * MS)));
        assert_eq!([(); 3].map(|()| probe.take(40 * MS)), [Ok(1), Ok(3), Err(None)]);
        (0..4).for_each(|key| probe.answered(key, 41 * MS));
        assert!(probe.is_over());
        let counts: Vec<_> =
            probe.groups().map(|(group, _)| (group.counts.alive, group.counts.longest_ns)).collect();
        assert_eq!(counts, [(2, 11 * MS), (2, 39 * MS)]);
    }

    #[test]
    fn a_silence_is_never_shorter_than_planned() {
        let mut probe = IdleProbe::new(&[10 * MS], 1);
        probe.begin(500);
        probe.check(0);
        probe.answered(0, 501);
        assert_eq!(probe.take(10 * MS + 501), Err(Some(11 * MS + 500)));
    }

    #[test]
    fn connections_fall_silent_in_any_order() {
        let mut probe = IdleProbe::new(&[10 * MS], 3);
        probe.begin(0);
        (0..3).for_each(|key| probe.check(key));
        for (key, at_ms) in [(2, 1), (0, 5), (1, 7)] {
            probe.answered(key, at_ms * MS);
        }
        assert_eq!([(); 3].map(|()| probe.take(15 * MS)), [Ok(2), Ok(0), Err(Some(17 * MS))]);
    }

    #[test]
    fn each_way_to_die_is_counted_with_its_time_in_the_silence() {
        let mut probe = silent();
        assert_eq!(probe.died(0, Death::Closed, 4 * MS), Some(4 * MS));
        assert_eq!(probe.died(0, Death::Reset, 5 * MS), None, "it has died once");
        assert_eq!(probe.died(2, Death::Reset, 5 * MS), Some(3 * MS));
        assert_eq!(probe.take(50 * MS), Ok(1));
        assert_eq!(probe.died(1, Death::Unanswered, 60 * MS), None);
        assert_eq!((probe.take(50 * MS), probe.died(3, Death::Reset, 60 * MS)), (Ok(3), None));
        assert!(probe.is_over());
        let groups: Vec<_> = probe.groups().map(|(group, _)| &group.counts).collect();
        assert_eq!(groups[0].closed_after.as_ref().unwrap().max() / 100_000, 40);
        assert_eq!(groups[0].reset_after.as_ref().unwrap().max() / 100_000, 30);
        assert_eq!((groups[0].alive, groups[0].reset_on_sending, groups[0].probed), (0, 0, 2));
        assert_eq!((groups[1].unanswered, groups[1].reset_on_sending, groups[1].probed), (1, 1, 2));
    }

    #[test]
    fn a_connection_that_is_not_answered_before_the_silence_is_not_probed() {
        let mut probe = IdleProbe::new(&[10 * MS, 20 * MS], 3);
        assert!(!probe.is_over(), "it has not begun");
        probe.begin(0);
        probe.check(0);
        assert_eq!(probe.died(0, Death::Unanswered, MS), None);
        assert!(probe.is_over());
        let groups: Vec<_> = probe.groups().map(|(group, size)| (group.counts.probed, size)).collect();
        assert_eq!(groups, [(0, 2), (0, 1)]);
        assert_eq!(probe.take(u64::MAX), Err(None));
    }
}
