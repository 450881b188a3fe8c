//! What the loop counts.

use crate::conn::CloseReason;

/// Counts since the start.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    /// Connections accepted.
    pub opened: u64,
    /// Connections closed, by [`CloseReason`] in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Bytes read from connections.
    pub read_bytes: u64,
    /// Bytes written to connections.
    pub sent_bytes: u64,
    /// Messages and requests written to the journal, or discarded where there is none.
    pub messages: u64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams that were ignored, by the reply rules.
    pub datagrams_dropped: u64,
    /// Datagrams that were not answered because their network or peer was over its rate.
    pub datagrams_limited: u64,
    /// Answers to datagrams that were sent.
    pub datagrams_sent: u64,
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

    /// The main counters in a line, with the number of `open` connections.
    #[cfg(feature = "cli")]
    pub(crate) fn summary(&self, open: usize) -> String {
        let refused = self.refused();
        let closed = self.closed.iter().sum::<u64>() - refused;
        format!(
            "{open} connections open, {} accepted, {refused} refused, {closed} closed; {} messages; {} bytes received, \
             {} sent; {} datagrams received, {} sent, {} dropped",
            self.opened,
            self.messages,
            self.read_bytes,
            self.sent_bytes,
            self.datagrams,
            self.datagrams_sent,
            self.datagrams_dropped + self.datagrams_limited + self.datagrams_unsent
        )
    }

    /// How many connections were refused and are closed.
    #[cfg(feature = "cli")]
    pub(crate) fn refused(&self) -> u64 {
        CloseReason::ALL
            .into_iter()
            .filter(|reason| reason.is_refusal())
            .map(|reason| self.closed(reason))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_connections_are_counted_by_their_reason() {
        let mut counters = Counters::default();
        counters.closed[CloseReason::Reset as usize] = 7;
        assert_eq!([CloseReason::Reset, CloseReason::Served].map(|reason| counters.closed(reason)), [7, 0]);
    }
}
