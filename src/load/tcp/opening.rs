//! Opening connections, and failures to open them.

use std::io;

use super::TcpTraffic;
use super::writing::write;
use crate::conn::token::Source;
use crate::load::batch::Batch;
use crate::load::conn::{ConnEvent, State};
use crate::load::error_kind::ErrorKind;
use crate::load::traffic::Context;
use crate::net::{ClientNet, Event};

/// One-shot connections requested in one turn.
const CONNECTS_PER_TURN_MAX: u32 = 256;

/// After this number of connections in a row that were not open at once, as to another machine, none is expected to be.
const OPENED_LATER_MAX: u8 = 16;

impl<N: ClientNet> TcpTraffic<N> {
    /// Requests a connection for the slot `key`. Returns the error if it fails at once.
    pub(super) fn connect(&mut self, context: &mut Context<N>, key: u32, now_ns: u64) -> Option<ErrorKind> {
        self.conns.request(key);
        self.messages.begin(key);
        context.tally.requested();
        let target = self.plan.target;
        let connect = |source| context.net.connect(source, target);
        let stream = self.plan.sources.open(connect, N::local_address);
        let error = stream.and_then(|stream| self.begin_opening(context, key, stream, now_ns)).err()?;
        let kind = ErrorKind::of(&error);
        self.open_failed(context, key, kind, &error.to_string());
        Some(kind)
    }

    fn begin_opening(
        &mut self,
        context: &mut Context<N>,
        key: u32,
        stream: N::Stream,
        now_ns: u64,
    ) -> io::Result<()> {
        self.conns.get_mut(key).stream = Some(stream);
        let is_sent = self.send_at_once(context, key, now_ns)?;
        let token = Source::Conn(self.conns.id(key)).into();
        let conn = self.conns.get_mut(key);
        let is_open = conn.state != State::Connecting;
        match &mut conn.stream {
            Some(stream) if is_sent => context.net.watch_reads(stream, token)?,
            Some(stream) => context.net.watch(stream, token)?,
            None => {}
        }
        if !is_open {
            self.conns.open_later(key, now_ns);
            self.requested.push_back((now_ns, self.conns.id(key)));
        }
        Ok(())
    }

    /// Sends the request of a one-shot connection if it is open already, as it mostly is on one machine: neither an
    /// event nor room for the request need be awaited then. Returns whether all of it is sent.
    fn send_at_once(&mut self, context: &mut Context<N>, key: u32, since_ns: u64) -> io::Result<bool> {
        let is_expected = self.opened_later < OPENED_LATER_MAX;
        if !self.plan.one_shot || !is_expected || !self.plan.introduction.is_empty() {
            return Ok(false);
        }
        let now_ns = context.net.now_ns();
        let conn = self.conns.get_mut(key);
        let bytes = self.messages.to_write(conn.unsent, conn.written);
        let (Some(stream), false) = (&conn.stream, bytes.is_empty()) else { return Ok(false) };
        let taken = write(context, stream, bytes)?;
        if taken == 0 {
            self.opened_later += 1;
            return Ok(false);
        }
        self.opened_later = 0;
        let is_sent = taken == bytes.len();
        (conn.unsent, conn.written) = self.messages.left(conn.unsent, conn.written, taken);
        self.conns.apply(key, ConnEvent::Established);
        if !is_sent {
            self.conns.apply(key, ConnEvent::SendBufferFull);
        }
        context.tally.opened(now_ns.saturating_sub(since_ns));
        Ok(is_sent)
    }

    /// Handles the first event of a requested connection. Returns whether it is established and still open.
    pub(super) fn finish_connecting(&mut self, context: &mut Context<N>, key: u32, event: Event) -> bool {
        let Some(stream) = &self.conns.get(key).stream else { return false };
        // A socket that is not connected is never writable without an error or its end.
        let is_connected = event.writable && !event.ended;
        match if is_connected { Ok(true) } else { context.net.connected(stream) } {
            Ok(false) => return false,
            Ok(true) => {}
            Err(error) => {
                self.open_failed(context, key, ErrorKind::of(&error), &error.to_string());
                return false;
            }
        }
        if !self.plan.introduction.is_empty() {
            let now_ns = context.net.now_ns();
            self.conns.introduce(key, now_ns, self.first_awaited());
            return self.introduce(context, key, event);
        }
        self.establish(context, key)
    }

    /// A connection is open. Returns whether it still is after what waits for it is sent.
    pub(super) fn establish(&mut self, context: &mut Context<N>, key: u32) -> bool {
        let now_ns = context.net.now_ns();
        context.tally.opened(self.conns.establish(key, now_ns));
        self.conns.get(key).unsent == 0 || self.flush(context, key)
    }

    /// Closes connections that were not opened in time. Returns when the next one will be.
    pub(super) fn expire_opening(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64> {
        while let Some((since_ns, id)) = self.requested.front().copied() {
            let deadline_ns = since_ns + self.plan.timeout_ns;
            // Ids repeat, so a later connection of the slot may have the same.
            let key = self.conns.find(id).filter(|key| self.conns.opening_since(*key) == Some(since_ns));
            match key {
                Some(_) if now_ns < deadline_ns => return Some(deadline_ns),
                Some(key) => {
                    let what = self.why_not_opened(key);
                    self.open_failed(context, key, ErrorKind::ConnectTimeout, &what);
                }
                None => {}
            }
            self.requested.pop_front();
        }
        // Opening many connections at once may have taken much memory.
        self.requested.shrink_to(CONNECTS_PER_TURN_MAX as usize);
        None
    }

    /// A requested connection is not opened. In one-shot use its message has failed.
    pub(super) fn open_failed(&mut self, context: &mut Context<N>, key: u32, kind: ErrorKind, what: &str) {
        self.close(context, key);
        let what = || format!("connection {}: {what}", u64::from(key) + 1);
        if self.plan.one_shot {
            context.tally.message_unconnected(kind, what);
        } else {
            context.tally.open_failed(kind, what);
        }
    }

    /// Whether a message can take a slot now.
    pub(super) fn can_start_message(&self) -> bool {
        !self.free.is_empty() && (self.plan.pipeline.is_some() || !self.waiting.is_empty())
    }

    /// Starts messages in free slots: those that wait, or in a closed loop the next.
    pub(super) fn start_messages(&mut self, context: &mut Context<N>) {
        for _ in 0..CONNECTS_PER_TURN_MAX {
            if !self.can_start_message() {
                return;
            }
            let now_ns = context.net.now_ns();
            let due_ns = self.waiting.pop_front().unwrap_or(now_ns);
            let Some(key) = self.free.pop() else { return };
            // The message is in flight from when its connection is requested.
            let batch = Batch::due(due_ns, now_ns);
            context.tally.sent(&batch);
            self.conns.push(key, batch);
            self.conns.get_mut(key).unsent = 1;
            self.connect(context, key, now_ns);
        }
    }
}
