//! Measures the loop: the times of turns and of the journal, and each turn a copy of the counters.
//!
//! Without a meter, this costs a comparison each turn and each commit.

use std::io;

use crate::event_loop::EventLoop;
use crate::event_loop::drain::Phase;
use crate::event_loop::measurements::{Measurements, SharedMeasurements};
use crate::journal::{Committed, Journal};
use crate::net::Net;

/// The instruments of a loop.
#[derive(Debug)]
pub(super) struct Meter {
    shared: SharedMeasurements,
    /// When the poll of this turn has returned.
    began_ns: u64,
}

impl Meter {
    /// Commits the journal, and records how long that took.
    pub(super) fn commit(&self, net: &mut impl Net, journal: &mut Journal) -> io::Result<Committed> {
        let unwritten_bytes = journal.unwritten_bytes();
        if unwritten_bytes == 0 {
            return journal.commit();
        }
        let began_ns = net.monotonic_ns();
        let mut synced_from_ns = None;
        let committed = journal.commit_observed(&mut || synced_from_ns = Some(net.monotonic_ns()));
        let bytes = unwritten_bytes - journal.unwritten_bytes();
        self.shared.lock().record_commit(bytes, began_ns, synced_from_ns, net.monotonic_ns());
        committed
    }
}

impl<N: Net> EventLoop<N> {
    /// Measures from now on, into what is returned.
    pub(crate) fn measure(&mut self) -> SharedMeasurements {
        let (now_ns, unix_seconds) = (self.net.monotonic_ns(), self.net.unix_seconds());
        let shared = SharedMeasurements::new(self.limits.memory_bytes_max, now_ns, unix_seconds);
        // The first turn may take long to come, and the samples until then show this.
        self.show_state(&mut shared.lock());
        self.meter = Some(Box::new(Meter { shared: shared.clone(), began_ns: 0 }));
        shared
    }

    /// A poll has returned.
    pub(super) fn begin_measuring(&mut self) {
        if let Some(meter) = &mut self.meter {
            let net = &mut self.net;
            meter.began_ns = net.monotonic_ns();
            meter.shared.lock().keep_samples(meter.began_ns, || net.unix_seconds());
        }
    }

    /// The turn is over.
    pub(super) fn measure_turn(&mut self) {
        if self.meter.is_some() {
            self.publish();
        }
    }

    #[inline(never)]
    fn publish(&mut self) {
        let Some(meter) = &self.meter else { return };
        let turn_ns = self.net.monotonic_ns().saturating_sub(meter.began_ns);
        let mut measured = meter.shared.lock();
        measured.turn_ns.record(turn_ns);
        measured.turn_events.record(self.events_polled as u64);
        measured.samples.record_turn(turn_ns);
        self.show_state(&mut measured);
    }

    fn show_state(&self, measured: &mut Measurements) {
        measured.counters.clone_from(&self.counters);
        measured.connections_open = self.served();
        measured.datagram_sessions = self.sockets.iter().map(|socket| socket.rules.sessions.len()).sum();
        measured.memory_used = self.memory_used();
        measured.is_stopping = self.phase != Phase::Serving;
    }

    /// A stop was requested: what is served in this turn shows it.
    pub(super) fn show_stopping(&self) {
        if let Some(meter) = &self.meter {
            meter.shared.lock().is_stopping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::deadlines::Tick;
    use crate::journal::{Ack, Sink};
    use crate::limits::Limits;
    use crate::net::Clock;
    use crate::net::kernel::KernelNet;
    use crate::net::sockets::SocketOptions;

    /// A sink that takes a few bytes in each commit.
    struct Slow {
        has_room: bool,
    }

    impl Sink for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.has_room = !self.has_room;
            if self.has_room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(bytes.len().min(4)) }
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn server() -> EventLoop<KernelNet> {
        EventLoop::new(KernelNet::new(SocketOptions::default()).unwrap(), Limits::default())
    }

    #[test]
    fn bytes_are_counted_as_they_are_written_and_a_commit_of_nothing_is_not() {
        let mut net = KernelNet::new(SocketOptions::default()).unwrap();
        let meter = Meter { shared: SharedMeasurements::new(0, 0, 0), began_ns: 0 };
        let mut journal = Journal::to(Box::new(Slow { has_room: true }), Ack::Written);
        let mut commit = |journal: &mut Journal| {
            meter.commit(&mut net, journal).unwrap();
            let measured = meter.shared.lock();
            (measured.journal_bytes, measured.journal_commit_ns.count(), measured.journal_sync_ns.count())
        };
        assert_eq!(commit(&mut journal), (0, 0, 0));
        journal.lines().unwrap().bytes_mut().extend_from_slice(b"line 1\n");
        assert_eq!(commit(&mut journal), (4, 1, 0));
        assert_eq!(commit(&mut journal), (7, 2, 0));
    }

    #[test]
    fn a_turn_is_measured_from_its_poll_and_shows_the_state_of_the_server() {
        let mut server = server();
        let shared = server.measure();
        let before = server.net.monotonic_ns();
        server.begin_measuring();
        server.counters.messages = 7;
        server.measure_turn();
        let elapsed = server.net.monotonic_ns() - before;
        {
            let measured = shared.lock();
            assert_eq!((measured.turn_ns.count(), measured.turn_events.count()), (1, 1));
            assert!(measured.turn_ns.sum() <= elapsed, "{} of {elapsed}", measured.turn_ns.sum());
            assert_eq!((measured.counters.messages, measured.is_stopping), (7, false));
            assert_eq!(measured.memory_budget, server.limits.memory_bytes_max);
        }
        server.phase = Phase::Delaying { since: Tick::default() };
        server.measure_turn();
        assert!(shared.lock().is_stopping);
    }

    #[test]
    fn a_stop_is_shown_before_the_turn_is_over() {
        let mut server = server();
        let shared = server.measure();
        server.show_stopping();
        assert!(shared.lock().is_stopping);
    }

    #[test]
    fn a_sample_before_the_first_turn_shows_the_memory_and_its_budget() {
        let limits = Limits { memory_bytes_max: 9_000_000, ..Limits::default() };
        let mut server = EventLoop::new(KernelNet::new(SocketOptions::default()).unwrap(), limits);
        let shared = server.measure();
        let mut measured = shared.lock();
        measured.keep_samples(1_000_000_000_000, || 0);
        let sample = measured.samples.since(0).next().unwrap();
        assert_eq!((sample.memory_used, sample.memory_budget), (128 * 1024, 9_000_000));
    }
}
