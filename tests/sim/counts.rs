//! What the server counts, compared with what the network has seen: connections of the admin endpoint are in no
//! counter, are never more than their limit, and wait for each other only.

use loopline::CloseReason;

use super::peer::{Meaning, Peer};
use super::run::Run;

impl Run {
    /// After each turn.
    pub fn check_counts(&mut self) {
        let counters = self.server.counters().clone();
        let net = self.server.net();
        let (mut opened, mut closed, mut admin) = (0, 0, 0);
        let (mut read, mut sent) = (Range::default(), Range::default());
        for (index, (peer, wire)) in net.peers.iter().zip(&mut net.wires).enumerate() {
            if wire.accepted_ms.is_none() {
                continue;
            }
            if wire.is_admin() {
                admin += usize::from(wire.is_open());
                // With answers unsent it is not read, nor, while memory is short, if it holds much.
                let is_answered = peer.answers_bytes(wire.read_bytes) == wire.sent.len();
                let is_due = wire.is_open()
                    && wire.awaits_read
                    && is_answered
                    && wire.server_ended.is_none()
                    && net.limits.memory_bytes_max >= 16 << 20;
                wire.turns_due = if is_due { wire.turns_due + 1 } else { 0 };
                // One of them is visited in a turn. The last request may have been sent in the turn after the event.
                let turns_max = net.limits.admin_connections_max;
                assert!(
                    wire.turns_due <= turns_max,
                    "admin connection {index} waits {} turns",
                    wire.turns_due
                );
                continue;
            }
            opened += 1;
            closed += u64::from(wire.closed_ms.is_some());
            // What is sent to one that is refused at once is not counted, and that may be one of a proxy's client.
            let is_counted = !wire.was_refused_at_once();
            let may_be_refused = wire.header_bytes > 0
                && net.limits.connections_per_source_max.is_some()
                && wire.closed_ms.is_some();
            if is_counted {
                read.add(wire.read_bytes, may_be_refused);
                sent.add(wire.sent.len(), may_be_refused);
            }
        }
        assert_eq!(
            (counters.opened, counters.closed.iter().sum::<u64>()),
            (opened, closed),
            "opened and closed"
        );
        assert!(read.contains(counters.read_bytes), "{} bytes read, of {read:?}", counters.read_bytes);
        assert!(sent.contains(counters.sent_bytes), "{} bytes sent, of {sent:?}", counters.sent_bytes);
        assert!(admin <= net.limits.admin_connections_max, "{admin} admin connections");
    }

    /// In the end: connections behind a proxy were closed for the reason that their header is.
    pub fn check_closed(&mut self) {
        let counters = self.server.counters().clone();
        let net = self.server.net();
        let (mut bad, mut none, mut late) = (Range::default(), Range::default(), Range::default());
        let timeout_ms = u64::try_from(net.limits.proxy_header_timeout.as_millis()).unwrap();
        // Another reason may come first.
        let is_calm = !net.stop.was_requested() && net.limits.memory_bytes_max >= 16 << 20;
        for (peer, wire) in net.peers.iter().zip(&net.wires) {
            let has_header = wire.read_bytes >= wire.header_bytes;
            if wire.header_bytes == 0 || wire.closed_ms.is_none() || has_header {
                continue;
            }
            let is_silent = wire.is_message() && wire.was_registered && wire.sent.is_empty() && !wire.reset;
            let has_ended = wire.end_read || wire.reset;
            if is_wrong(peer) || wire.read_bytes > 0 && wire.end_read {
                let is_refused = wire.is_message() && wire.sent == peer.expected;
                bad.add(1, !(is_calm && is_wrong(peer) && is_refused && !wire.reset));
            }
            if has_ended {
                none.add(1, !(is_calm && is_silent && wire.end_read && wire.read_bytes == 0));
            }
            if wire.lifetime_ms().is_some_and(|ms| ms >= timeout_ms) {
                late.add(1, !(is_calm && is_silent && !has_ended));
            }
        }
        for (reason, range) in [
            (CloseReason::BadProxyHeader, bad),
            (CloseReason::NoProxyHeader, none),
            (CloseReason::ProxyHeaderTimeout, late),
        ] {
            let count = counters.closed(reason);
            assert!(
                range.contains(count),
                "{count} connections are closed because of '{reason}', of {range:?}"
            );
        }
    }
}

fn is_wrong(peer: &Peer) -> bool {
    peer.header.as_ref().is_some_and(|header| matches!(header.meaning, Meaning::Wrong(_)))
}

/// A number that is known, or known to be between two.
#[derive(Debug, Default)]
struct Range {
    min: u64,
    max: u64,
}

impl Range {
    /// Adds `count`, or, if it `may_be_less`, up to that.
    fn add(&mut self, count: usize, may_be_less: bool) {
        self.max += count as u64;
        self.min += if may_be_less { 0 } else { count as u64 };
    }

    fn contains(&self, count: u64) -> bool {
        (self.min..=self.max).contains(&count)
    }
}
