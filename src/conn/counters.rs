//! What happened, counted; and the log kept from repeating it.

use std::fmt;

use crate::conn::CloseReason;
use crate::conn::deadlines::Tick;

/// Counts since the start.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    /// Connections accepted.
    pub opened: u64,
    /// Connections closed, by [`CloseReason`] in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Messages and requests recorded, or to be recorded where nothing is.
    pub messages: u64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams that were not answered on purpose.
    pub datagrams_dropped: u64,
    /// Answers to datagrams that could not be sent.
    pub datagrams_unsent: u64,
    /// Connections that failed before they could be accepted.
    pub accepts_failed: u64,
}

impl Counters {
    /// How many connections were closed for `reason`.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}

/// What is worth a line in the log, but not a line each time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    Closed(CloseReason),
    AcceptPaused,
    DatagramUnsent,
}

impl Notice {
    const COUNT: usize = CloseReason::ALL.len() + 2;

    fn place(self) -> usize {
        match self {
            Self::Closed(reason) => reason as usize,
            Self::AcceptPaused => CloseReason::ALL.len(),
            Self::DatagramUnsent => CloseReason::ALL.len() + 1,
        }
    }
}

/// Lets through one line of a kind in 30 s, and counts the others into the next.
#[derive(Debug)]
pub(crate) struct Notices {
    said: [Option<(Tick, u64)>; Notice::COUNT],
}

/// From one line of a kind to the next.
const SILENCE_MS: u32 = 30_000;

impl Notices {
    pub(crate) fn new() -> Self {
        Self { said: [None; Notice::COUNT] }
    }

    /// Whether to say it now; if so, with how many unsaid ones before it.
    pub(crate) fn admit(&mut self, notice: Notice, now: Tick) -> Option<Unsaid> {
        match &mut self.said[notice.place()] {
            Some((since, unsaid)) if now.ms_since(*since) < SILENCE_MS => {
                *unsaid += 1;
                None
            }
            said => {
                let unsaid = said.map_or(0, |(_, unsaid)| unsaid);
                *said = Some((now, 0));
                Some(Unsaid(unsaid))
            }
        }
    }
}

/// How many alike were not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsaid(u64);

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more of this kind since the last such line)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_kind_is_said_once_in_thirty_seconds_with_a_count() {
        let mut notices = Notices::new();
        let mut admit = |seconds, notice| {
            let said = notices.admit(notice, Tick::after(Duration::from_secs(seconds)));
            said.map(|unsaid| unsaid.to_string())
        };
        let bad = Notice::Closed(CloseReason::BadInput);
        assert_eq!(admit(0, bad).as_deref(), Some(""));
        assert_eq!(admit(1, bad), None);
        assert_eq!(admit(29, bad), None);
        assert_eq!(admit(29, Notice::AcceptPaused).as_deref(), Some(""));
        assert_eq!(admit(30, bad).as_deref(), Some(" (2 more of this kind since the last such line)"));
    }

    #[test]
    fn every_reason_has_its_place() {
        for (place, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
