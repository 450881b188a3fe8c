//! Opening connections, and failures to open them.

use super::TcpTraffic;
use crate::conn::token::Source;
use crate::load::batch::Batch;
use crate::load::error_kind::ErrorKind;
use crate::load::traffic::Context;
use crate::net::{ClientNet, Event};

/// One-shot connections requested in one turn.
const CONNECTS_PER_TURN_MAX: u32 = 256;

impl<N: ClientNet> TcpTraffic<N> {
    /// Requests a connection for the slot `key`. Returns the error if it fails at once.
    pub(super) fn connect(&mut self, context: &mut Context<N>, key: u32, now_ns: u64) -> Option<ErrorKind> {
        self.conns.request(key, now_ns);
        self.messages.begin(key);
        context.tally.requested();
        let (token, target) = (Source::Conn(self.conns.id(key)).into(), self.plan.target);
        let connect = |source| context.net.connect(source, target, token);
        match self.plan.sources.open(connect, N::local_address) {
            Ok(stream) => {
                self.conns.get_mut(key).stream = Some(stream);
                self.requested.push_back((now_ns, self.conns.id(key)));
                None
            }
            Err(error) => {
                let kind = ErrorKind::of(&error);
                self.open_failed(context, key, kind, &error.to_string());
                Some(kind)
            }
        }
    }

    /// Handles the first event of a requested connection. Returns whether it is established and still open.
    pub(super) fn finish_connecting(&mut self, context: &mut Context<N>, key: u32, event: Event) -> bool {
        let Some(stream) = &self.conns.get(key).stream else { return false };
        match context.net.connected(stream) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(error) => {
                // The kernel connected the socket to itself.
                let is_itself = error.kind() == std::io::ErrorKind::AddrInUse;
                let what = if is_itself { "nothing listens there".into() } else { error.to_string() };
                self.open_failed(context, key, ErrorKind::of(&error), &what);
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
