//! Connections of proxies: the header that names the peer, and admission by that.

use std::net::SocketAddr;

use crate::conn::Flags;
use crate::conn::admission::Refusal;
use crate::conn::stream_session::HeaderStep;
use crate::conn::table::SessionParts;
use crate::event_loop::EventLoop;
use crate::event_loop::read::ReadOutcome;
use crate::net::Net;
use crate::service::Output;

impl<N: Net> EventLoop<N> {
    /// Accepts a connection of `proxy`. The limit of its source is that of the peer, who is not known yet.
    pub(super) fn open_behind_proxy(&mut self, endpoint: usize, stream: N::Stream, proxy: SocketAddr) {
        let refusal = self.admissions.server_refusal(self.served() - self.refusals);
        if let Some(refusal) = refusal.filter(|_| self.refusals >= self.limits.refusals_max) {
            return self.refuse_at_once(endpoint, stream, proxy, refusal);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the index of a listener has eight bits")]
        let id = self.table.insert(stream, proxy, endpoint as u8);
        self.table.await_header(id.key, self.now);
        if !self.register(id) {
            return;
        }
        let Some(refusal) = refusal else { return };
        let start = self.outbox.bytes.len();
        self.refusals += 1;
        self.table.end_header(id.key, proxy);
        let mut out = Output::new(proxy, &mut self.outbox.bytes, None);
        let SessionParts { session, .. } = self.table.session_parts(id.key);
        let step = session.refuse(self.listeners[endpoint].service.as_ref(), refusal, &mut out);
        let journal_lines = self.apply_step(id.key, step);
        self.queue_answer(id, start, journal_lines);
    }

    /// Handles bytes of a header, and those behind it.
    pub(super) fn on_header_bytes(&mut self, key: u32, bytes: usize) -> ReadOutcome {
        let proxy = self.table.peer(key);
        let mut received = self.table.take_unread(key);
        if !received.append(&self.read_buffer[..bytes], &mut self.table.spare_maps) {
            self.table.put_unread(key, received, false, self.now);
            return self.close_full(key, 0);
        }
        let SessionParts { session, endpoint, .. } = self.table.session_parts(key);
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::new(proxy, &mut self.outbox.bytes, None);
        let header =
            match session.receive_header(service, &received, self.limits.proxy_header_bytes_max, &mut out) {
                HeaderStep::Incomplete => {
                    self.table.put_unread(key, received, false, self.now);
                    self.shed_over_high_mark(Some(key));
                    return ReadOutcome::Open { journal_lines: 0 };
                }
                HeaderStep::Refused(step) => {
                    received.give_back(&mut self.table.spare_maps);
                    self.table.recount_unread(key);
                    self.table.end_header(key, proxy);
                    return ReadOutcome::Open { journal_lines: self.apply_step(key, step) };
                }
                HeaderStep::Complete(header) => header,
            };
        let peer = header.source.unwrap_or(proxy);
        log::debug!("{}: {peer} connects through {proxy}", self.listeners[usize::from(endpoint)].name);
        let outcome = self.identify(key, peer, &received[header.bytes..]);
        received.give_back(&mut self.table.spare_maps);
        outcome
    }

    /// Serves the connection, or refuses it: its header names `peer`, who has sent `fresh` already.
    fn identify(&mut self, key: u32, peer: SocketAddr, fresh: &[u8]) -> ReadOutcome {
        self.table.end_header(key, peer);
        let refusal = self.admissions.source_refusal(peer);
        if let Some(refusal) = refusal.filter(|_| self.refusals >= self.limits.refusals_max) {
            return self.refuse_and_close(key, refusal);
        }
        match refusal {
            Some(_) => self.refusals += 1,
            None => self.admissions.add(peer),
        }
        #[cfg(feature = "handlers")]
        if let Some(handler) = self.handler_of(key).filter(|_| refusal.is_none()) {
            return self.identify_for_handler(key, handler, fresh);
        }
        let unix_seconds = self.net.unix_seconds();
        let SessionParts { session, endpoint, .. } = self.table.session_parts(key);
        let service = self.listeners[usize::from(endpoint)].service.as_ref();
        let mut out = Output::new(peer, &mut self.outbox.bytes, self.journal.lines());
        let mut step = session.identified(service, refusal, unix_seconds, &mut out);
        let mut left = &[][..];
        if session.is_open() && !fresh.is_empty() {
            // It counts the lines of both steps.
            (step, left) = session.receive_first(service, fresh, &mut out);
        }
        self.table.renew_idle(key, self.now);
        self.table.recount_unread(key);
        if !self.table.store_unread(key, left) {
            return self.close_full(key, step.journal_lines);
        }
        self.shed_over_high_mark(Some(key));
        ReadOutcome::Open { journal_lines: self.apply_step(key, step) }
    }

    /// Sends the reason, which the empty buffer of a new connection takes, and closes the connection.
    fn refuse_and_close(&mut self, key: u32, refusal: Refusal) -> ReadOutcome {
        let start = self.outbox.bytes.len();
        let conn = self.table.conn(key);
        let mut out = Output::new(self.table.peer(key), &mut self.outbox.bytes, None);
        self.listeners[usize::from(conn.endpoint)].service.refused(&refusal.to_string(), &mut out);
        if self.outbox.bytes.len() > start {
            let _ = self.net.write(&conn.stream, &self.outbox.bytes[start..]);
        }
        self.outbox.bytes.truncate(start);
        // Bytes that are unread when it is closed would make the kernel send a reset, which may overtake the reason.
        if conn.flags.contains(Flags::READABLE) {
            let _ = self.net.read(&conn.stream, &mut self.read_buffer);
        }
        self.close(key, refusal.close_reason());
        ReadOutcome::Done
    }
}
