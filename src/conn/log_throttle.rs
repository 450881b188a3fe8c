//! Keeps the log from repeating itself: one line of a kind in 30 seconds.

use std::fmt;

use crate::conn::CloseReason;
use crate::conn::deadlines::Tick;

/// What is worth a line in the log, but not a line each time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogKind {
    Closed(CloseReason),
    AcceptPaused,
    ReceivePaused,
    DatagramUnsent,
    RepliesLimited,
}

impl LogKind {
    const COUNT: usize = Self::Closed(CloseReason::ProxyHeaderTimeout).index() + 1;

    const fn index(self) -> usize {
        match self {
            Self::AcceptPaused => 0,
            Self::ReceivePaused => 1,
            Self::DatagramUnsent => 2,
            Self::RepliesLimited => 3,
            Self::Closed(reason) => 4 + reason as usize,
        }
    }
}

/// Admits one line of a kind in 30 s, and counts the others into the next.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    /// Of each kind, when a line was last admitted, and how many were suppressed since.
    admitted: [Option<(Tick, u64)>; LogKind::COUNT],
}

/// From one line of a kind to the next, in milliseconds.
const INTERVAL_MS: u32 = 30_000;

impl LogThrottle {
    pub(crate) fn new() -> Self {
        Self { admitted: [None; LogKind::COUNT] }
    }

    /// Whether to log a line now; if so, how many were suppressed before it.
    pub(crate) fn admit(&mut self, kind: LogKind, now: Tick) -> Option<Suppressed> {
        match &mut self.admitted[kind.index()] {
            Some((since, suppressed)) if now.ms_since(*since) < INTERVAL_MS => {
                *suppressed += 1;
                None
            }
            admitted => {
                let suppressed = admitted.map_or(0, |(_, suppressed)| suppressed);
                *admitted = Some((now, 0));
                Some(Suppressed(suppressed))
            }
        }
    }
}

/// The number of lines of a kind that were suppressed, as the end of the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} similar messages suppressed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_kind_is_logged_once_in_thirty_seconds_with_a_count() {
        let mut throttle = LogThrottle::new();
        let mut admit = |seconds, kind| {
            let admitted = throttle.admit(kind, Tick::after(Duration::from_secs(seconds)));
            admitted.map(|suppressed| suppressed.to_string())
        };
        let bad = LogKind::Closed(CloseReason::BadInput);
        assert_eq!(admit(0, bad).as_deref(), Some(""));
        assert_eq!(admit(1, bad), None);
        assert_eq!(admit(29, bad), None);
        assert_eq!(admit(29, LogKind::AcceptPaused).as_deref(), Some(""));
        assert_eq!(admit(30, bad).as_deref(), Some(" (2 similar messages suppressed)"));
    }

    #[test]
    fn every_reason_has_its_index() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn no_kind_suppresses_another() {
        let mut throttle = LogThrottle::new();
        let others =
            [LogKind::AcceptPaused, LogKind::ReceivePaused, LogKind::DatagramUnsent, LogKind::RepliesLimited];
        for kind in CloseReason::ALL.map(LogKind::Closed).into_iter().chain(others) {
            assert_eq!(throttle.admit(kind, Tick::default()), Some(Suppressed(0)), "{kind:?}");
            assert_eq!(throttle.admit(kind, Tick::default()), None, "{kind:?}");
        }
    }
}
