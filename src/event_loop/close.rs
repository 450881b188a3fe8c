//! Ending our side of a connection, and closing it.

use std::net::SocketAddr;

use crate::conn::log_throttle::LogKind;
use crate::conn::stream_session::Effect;
use crate::conn::{CloseReason, Conn};
use crate::event_loop::EventLoop;
use crate::event_loop::accept::Accepting;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Does what a new state of the connection requires. Returns whether the connection is still open.
    pub(super) fn apply(&mut self, key: u32, effect: Effect) -> bool {
        match effect {
            Effect::Nothing => true,
            Effect::HalfClose if self.net.half_close(&self.table.conn(key).stream).is_ok() => true,
            Effect::HalfClose => {
                self.close(key, CloseReason::Reset);
                false
            }
            Effect::Close => {
                self.close(key, self.table.conn(key).session().reason());
                false
            }
        }
    }

    /// Closes a connection. No other place does.
    pub(super) fn close(&mut self, key: u32, reason: CloseReason) {
        let peer = self.table.peer(key);
        let conn = self.table.conn(key);
        #[cfg(feature = "cli")]
        if conn.is_admin() {
            return self.close_admin(key, reason);
        }
        // However a refused connection ends, the operator should know that it was refused.
        let refusal = Some(conn.session().reason()).filter(|reason| reason.is_refusal());
        let reason = refusal.unwrap_or(reason);
        self.counters.closed[reason as usize] += 1;
        if refusal.is_some() {
            self.refusals -= 1;
        } else if self.counts_for_source(conn) {
            self.admissions.remove(peer);
        }
        let address = self.listeners[usize::from(conn.endpoint)].name;
        #[cfg(feature = "handlers")]
        self.close_for_handler(key, reason);
        log::debug!("{address}: {peer} closed: {reason}");
        if reason.is_logged() {
            self.warn(LogKind::Closed(reason), &format_args!("{address}: {peer}: {reason}"));
        }
        self.remove(key);
    }

    /// Whether it counts as a connection of its source.
    #[cfg_attr(not(feature = "handlers"), expect(clippy::unused_self, reason = "there are no handlers"))]
    pub(super) fn counts_for_source(&self, conn: &Conn<N::Stream>) -> bool {
        #[cfg(feature = "handlers")]
        if self.listeners[usize::from(conn.endpoint)].name.is_outgoing() {
            return false;
        }
        conn.session().is_admitted()
    }

    /// Removes a connection from the table, and closes its socket.
    pub(super) fn remove(&mut self, key: u32) {
        let stream = self.table.remove(key);
        self.net.close(stream);
        self.accepting = Accepting::Running;
    }

    /// Closes a connection that is not in the table. A connection that is closed with bytes unread is reset, and the
    /// reset may overtake what was sent last, so those that have arrived are read.
    pub(super) fn close_unserved(
        &mut self,
        endpoint: usize,
        stream: N::Stream,
        peer: SocketAddr,
        reason: CloseReason,
    ) {
        self.counters.closed[reason as usize] += 1;
        let address = self.listeners[endpoint].name;
        log::debug!("{address}: {peer} closed: {reason}");
        self.warn(LogKind::Closed(reason), &format_args!("{address}: {peer}: {reason}"));
        let _ = self.net.read(&stream, &mut self.read_buffer);
        self.net.close(stream);
    }
}
