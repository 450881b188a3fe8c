//! Datagrams: each endpoint has a thread, which receives them and sends the answers.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::connection;
use super::inherited::Wait;
use super::shared::Shared;
use crate::conn::deadlines::Tick;
use crate::conn::hash_key::HashKey;
use crate::conn::log_throttle::LogKind;
use crate::conn::reply_rules::{DatagramOutcome, Received, ReplyRules};
use crate::net::Datagram;
use crate::net::kernel::batch::Unbatched;
use crate::net::kernel::bound_socket::BoundSocket;
use crate::service::DatagramService;

/// What a thread receives datagrams with.
pub(super) struct ReceivingSocket {
    pub(super) bound: BoundSocket,
    /// How to wait for them, if the socket does not.
    pub(super) wait: Option<Wait>,
    /// How long to wait for a datagram.
    pub(super) timeout: Duration,
}

/// Answers datagrams, until the process ends.
pub(super) fn answer(receiving: &ReceivingSocket, service: &dyn DatagramService, shared: &Shared) {
    let BoundSocket { socket, address, batches } = &receiving.bound;
    let started = Instant::now();
    let mut rules = ReplyRules::new(*address, &shared.limits, HashKey::random());
    let mut buffer = vec![0; service.datagram_bytes_max() + 1];
    let (mut received, mut answer, mut lines) = (Vec::new(), Vec::new(), shared.new_lines());
    let (mut failures_in_a_row, mut sessions) = (0, 0);
    loop {
        let Datagram { bytes, peer, local } = match receiving.receive(&mut buffer, &mut received) {
            Ok(datagram) => datagram,
            // No datagram has come for a while.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if receiving.wait.is_some() && shared.is_draining() {
                    return;
                }
                rules.sessions.expire(Tick::after(started.elapsed()));
                count_sessions(shared, &mut sessions, rules.sessions.len());
                failures_in_a_row = 0;
                continue;
            }
            // It concerns a datagram that was sent earlier: the next may be fine. An error that stays would be
            // read for ever.
            Err(error) => {
                failures_in_a_row += 1;
                if failures_in_a_row >= shared.limits.datagrams_per_turn_max {
                    shared.warn(
                        LogKind::ReceivePaused,
                        format_args!("{address}: receiving is paused: {error}"),
                    );
                    thread::sleep(shared.limits.accept_pause);
                }
                continue;
            }
        };
        failures_in_a_row = 0;
        let now = Tick::after(started.elapsed());
        let datagram = Received { bytes: &buffer[bytes], peer, local };
        connection::set_time(&mut lines);
        let journal = shared.has_journal.then_some(&mut lines);
        shared.count(|counts| &counts.datagrams, 1);
        match rules.answer(service, datagram, &mut answer, journal, now) {
            DatagramOutcome::Received { journal_lines } => {
                shared.count(|counts| &counts.messages, journal_lines);
            }
            DatagramOutcome::Dropped => shared.count(|counts| &counts.datagrams_dropped, 1),
            DatagramOutcome::Limited => {
                shared.count(|counts| &counts.datagrams_limited, 1);
                shared.warn(LogKind::RepliesLimited, format_args!("{}", rules.limited(peer)));
            }
        }
        if shared.commit(&mut lines) && !answer.is_empty() {
            let reply = Datagram { bytes: 0..answer.len(), peer, local };
            let by_batch = batches.send(socket, &[reply], &answer);
            let sent = by_batch.unwrap_or_else(|Unbatched| socket.send_to(&answer, peer));
            // A datagram that is not sent is lost, as datagrams may be.
            if let Err(error) = sent {
                shared.count(|counts| &counts.datagrams_unsent, 1);
                shared
                    .warn(LogKind::DatagramUnsent, format_args!("{address}: cannot answer {peer}: {error}"));
            } else {
                shared.count(|counts| &counts.datagrams_sent, 1);
            }
        }
        answer.clear();
        rules.sessions.expire(now);
        count_sessions(shared, &mut sessions, rules.sessions.len());
    }
}

/// Counts the sessions that were opened or closed since there were `before`.
fn count_sessions(shared: &Shared, before: &mut usize, now: usize) {
    shared.count(|counts| &counts.sessions[0], now.saturating_sub(*before) as u64);
    shared.count(|counts| &counts.sessions[1], before.saturating_sub(now) as u64);
    *before = now;
}

impl ReceivingSocket {
    /// The next datagram, with the address that it was sent to if the socket is bound to all of them.
    fn receive(&self, buffer: &mut [u8], received: &mut Vec<Datagram>) -> io::Result<Datagram> {
        let BoundSocket { socket, batches, .. } = &self.bound;
        if let Some(wait) = &self.wait {
            wait.until_readable(socket, Some(self.timeout));
        }
        let slot_bytes = buffer.len();
        let Ok(outcome) = batches.receive(socket, buffer, slot_bytes, received) else {
            let (bytes, peer) = socket.recv_from(buffer)?;
            return Ok(Datagram { bytes: 0..bytes, peer, local: None });
        };
        outcome?;
        received.pop().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}
