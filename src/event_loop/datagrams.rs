//! Datagrams: received in batches, and answered in batches after the commit.

use std::io;

use crate::conn::deadlines::milliseconds;
use crate::conn::log_throttle::LogKind;
use crate::conn::reply_rules::{DatagramOutcome, Received};
use crate::event_loop::{DatagramEndpoint, EventLoop};
use crate::journal::Committed;
use crate::net::{Datagram, HAS_UDP, Net};

impl<N: Net> DatagramEndpoint<N> {
    /// Whether a turn receives from it.
    pub(super) fn receives(&self) -> bool {
        self.ready && self.paused_since.is_none()
    }
}

impl<N: Net> EventLoop<N> {
    /// Milliseconds until a pause is over.
    pub(super) fn receive_wait_ms(&self) -> Option<u32> {
        let pause_ms = milliseconds(self.limits.accept_pause);
        let paused = self.sockets.iter().filter_map(|socket| socket.paused_since);
        paused.map(|since| pause_ms.saturating_sub(self.now.ms_since(since))).min()
    }

    /// Receives up to the limit of datagrams on each socket, and lets the services answer.
    pub(super) fn receive_datagrams(&mut self) {
        let pause_ms = milliseconds(self.limits.accept_pause);
        for index in 0..self.sockets.len() {
            let socket = &mut self.sockets[index];
            if socket.paused_since.is_some_and(|since| self.now.ms_since(since) >= pause_ms) {
                socket.paused_since = None;
            }
            let mut left = self.limits.datagrams_per_turn_max;
            while left > 0 && self.sockets[index].receives() {
                left -= self.receive_batch(index, left);
            }
        }
    }

    /// Receives up to `datagrams_max` datagrams, and returns how many have arrived, at least one: an empty batch
    /// counts too, so that endless errors are not read for ever.
    fn receive_batch(&mut self, index: usize, datagrams_max: usize) -> usize {
        let DatagramEndpoint { socket, service, ready, failed_receives, .. } = &mut self.sockets[index];
        // A datagram over the limit is recognized by the one byte more that is read of it.
        let slot_bytes = service.datagram_bytes_max() + 1;
        let slots = datagrams_max.min(self.read_buffer.len() / slot_bytes);
        let buffer = &mut self.read_buffer[..slots * slot_bytes];
        match self.net.receive_batch(socket, buffer, slot_bytes, &mut self.received) {
            Ok(more) => (*ready, *failed_receives) = (more, 0),
            // It concerns a datagram that was sent earlier: the next may be fine. An error that stays would be
            // read for ever.
            Err(error) => {
                *failed_receives += 1;
                if *failed_receives >= self.limits.datagrams_per_turn_max {
                    self.pause_receiving(index, &error);
                }
            }
        }
        let mut received = std::mem::take(&mut self.received);
        let count = received.len();
        for datagram in received.drain(..) {
            self.on_datagram(index, datagram);
        }
        self.received = received;
        count.max(1)
    }

    fn pause_receiving(&mut self, index: usize, why: &io::Error) {
        let socket = &mut self.sockets[index];
        socket.paused_since = Some(self.now);
        let address = socket.address;
        self.warn(LogKind::ReceivePaused, &format_args!("{address}: receiving is paused: {why}"));
    }

    fn on_datagram(&mut self, index: usize, datagram: Datagram) {
        let DatagramEndpoint { service, rules, .. } = &mut self.sockets[index];
        let Datagram { bytes, peer, local } = datagram;
        self.counters.datagrams += 1;
        let (answers, journal) = (&mut self.outbox.bytes, self.journal.lines());
        let start = answers.len();
        let received = Received { bytes: &self.read_buffer[bytes], peer, local };
        match rules.answer(service.as_ref(), received, answers, journal, self.now) {
            DatagramOutcome::Received { journal_lines } => {
                self.counters.messages += journal_lines;
                let bytes = start..self.outbox.bytes.len();
                if !bytes.is_empty() {
                    self.outbox.push_datagram(index, journal_lines > 0, Datagram { bytes, peer, local });
                }
            }
            DatagramOutcome::Dropped => self.counters.datagrams_dropped += 1,
            DatagramOutcome::Limited => {
                self.counters.datagrams_limited += 1;
                let line = rules.limited(peer);
                self.warn(LogKind::RepliesLimited, &line);
            }
        }
    }

    /// Sends the answers of the turn. One that would have to wait for the journal is lost, as datagrams may be:
    /// the peer asks again.
    pub(super) fn send_datagrams(&mut self, committed: Committed) {
        if !HAS_UDP {
            return;
        }
        let answers = std::mem::take(&mut self.outbox.datagrams);
        let runs = std::mem::take(&mut self.outbox.runs);
        let mut start = 0;
        for run in &runs {
            let of_run = &answers[start..run.end];
            start = run.end;
            if run.needs_commit && committed == Committed::Waiting {
                let waits = io::ErrorKind::WouldBlock.into();
                of_run.iter().for_each(|answer| self.count_unsent(run.socket, answer, &waits));
            } else {
                self.send_run(run.socket, of_run);
            }
        }
        (self.outbox.datagrams, self.outbox.runs) = (answers, runs);
    }

    fn send_run(&mut self, index: usize, mut answers: &[Datagram]) {
        while let Some(first) = answers.first() {
            match self.net.send_batch(&self.sockets[index].socket, answers, &self.outbox.bytes) {
                Ok(sent) => {
                    self.counters.datagrams_sent += sent as u64;
                    answers = &answers[sent..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It concerns that datagram alone.
                Err(error) => {
                    self.count_unsent(index, first, &error);
                    answers = &answers[1..];
                }
            }
        }
    }

    fn count_unsent(&mut self, index: usize, answer: &Datagram, error: &io::Error) {
        let (address, peer) = (self.sockets[index].address, answer.peer);
        self.counters.datagrams_unsent += 1;
        self.warn(LogKind::DatagramUnsent, &format_args!("{address}: cannot answer {peer}: {error}"));
    }
}
