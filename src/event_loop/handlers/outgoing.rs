//! Connections that handlers open to other servers.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::context::Dial;
use crate::conn::table::ConnTable;
use crate::conn::token::{ConnToken, Source};
use crate::conn::{CloseReason, Flags};
use crate::event_loop::EventLoop;
use crate::event_loop::outbox::Answer;
use crate::net::Net;

/// The parts of the loop that beginning a connection needs.
pub(super) struct Dialer<'a, N: Net> {
    pub(super) net: &'a mut N,
    pub(super) table: &'a mut ConnTable<N::Stream>,
    /// The endpoint of each handler for these connections.
    pub(super) endpoints: &'a [u8],
    /// As many as may be in the table; `None` once the server has stopped.
    pub(super) table_max: Option<usize>,
    /// The count of connections that were opened.
    pub(super) opened: &'a mut u64,
}

impl<N: Net> Dial for Dialer<'_, N> {
    fn dial(&mut self, handler: u8, address: SocketAddr) -> io::Result<ConnToken> {
        let table_max = self.table_max.ok_or_else(|| io::Error::other("the server has stopped"))?;
        if self.table.len() >= table_max {
            return Err(io::Error::other("the server has as many connections as it may have"));
        }
        let stream = self.net.dial(address)?;
        let token = self.table.insert_connecting(stream, address, self.endpoints[usize::from(handler)]);
        let stream = &mut self.table.conn_mut(token.key).stream;
        if let Err(error) = self.net.register(stream, Source::Conn(token).into()) {
            self.net.close(self.table.remove(token.key));
            return Err(error);
        }
        *self.opened += 1;
        Ok(token)
    }
}

impl<N: Net> fmt::Debug for Dialer<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl<N: Net> EventLoop<N> {
    /// Goes on with connections that are open now, or have failed.
    pub(super) fn finish_connecting(&mut self) {
        for token in std::mem::take(&mut self.handlers.connecting_ready) {
            let Some(key) = self.table.find(token) else { continue };
            let conn = self.table.conn(key);
            if !conn.session().is_connecting() {
                continue;
            }
            match self.net.connected(&conn.stream) {
                Ok(true) => {
                    self.table.session_parts(key).session.connected();
                    self.table.start_idle(key, self.now);
                    self.handlers.registry.cancel_timer(token);
                    self.end_sending_if_due(token);
                    self.call_opened(token);
                }
                Ok(false) => self.table.conn_mut(key).flags.remove(Flags::WRITABLE),
                Err(error) => self.fail_connecting(key, error),
            }
        }
    }

    /// Ends our side, if that was asked for before there was a connection.
    fn end_sending_if_due(&mut self, token: ConnToken) {
        let entry = self.handlers.registry.entry(token.key);
        if entry.is_some_and(|entry| entry.ends_sending) && self.end_sending(token) {
            let end = self.outbox.bytes.len();
            self.outbox.answers.push(Answer { to: token, bytes: end..end, needs_commit: false });
        }
    }

    /// Gives up a connection that is not open yet.
    pub(super) fn fail_connecting(&mut self, key: u32, error: io::Error) {
        self.note_not_connected(key, error);
        self.close(key, CloseReason::NotConnected);
    }

    /// Notes for the handler that a connection will not be opened.
    pub(super) fn note_not_connected(&mut self, key: u32, error: io::Error) {
        if let Some((id, entry)) = self.handlers.registry.remove(key) {
            self.handlers.list[usize::from(entry.handler)].note_not_connected(id, error);
        }
    }
}
