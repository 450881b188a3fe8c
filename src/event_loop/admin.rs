//! The admin endpoint: a few connections of their own, for those who operate the server.
//!
//! They are served while the server is full and are in no counter, so that looking at a server does not change what is
//! seen.

use std::net::SocketAddr;

use crate::conn::token::ConnToken;
use crate::conn::{CloseReason, Flags};
use crate::event_loop::EventLoop;
use crate::net::Net;

/// The connections of the admin endpoint.
#[derive(Debug, Default)]
pub(super) struct AdminConns {
    /// The index of the endpoint, if there is one.
    endpoint: Option<usize>,
    ids: Vec<ConnToken>,
}

impl AdminConns {
    pub(super) fn endpoint(&self) -> Option<usize> {
        self.endpoint
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

impl<N: Net> EventLoop<N> {
    /// The endpoint of streams that was added last, and after which none is, is the admin endpoint: its connections have
    /// limits of their own. Its service waits for requests.
    #[doc(hidden)]
    pub fn serve_admin_at_last_endpoint(&mut self) {
        self.admin.endpoint = self.listeners.len().checked_sub(1);
    }

    pub(super) fn is_admin_endpoint(&self, endpoint: usize) -> bool {
        self.admin.endpoint == Some(endpoint)
    }

    /// Opens an admin connection. If there are as many as there may be, another is closed: the peer of a
    /// new one has just asked for something.
    pub(super) fn open_admin(&mut self, endpoint: usize, stream: N::Stream, peer: SocketAddr) {
        if self.admin.len() >= self.limits.admin_connections_max {
            self.evict_admin();
        }
        #[expect(clippy::cast_possible_truncation, reason = "the index of a listener has eight bits")]
        let id = self.table.insert(stream, peer, endpoint as u8);
        self.table.conn_mut(id.key).flags.insert(Flags::ADMIN);
        self.admin.ids.push(id);
        self.table.restart_idle(id.key, self.now);
        // Its service waits for a request.
        self.register(id);
    }

    /// Closes the admin connection that is needed least: one that has had its last answer, or else that
    /// which has been idle for the longest time.
    fn evict_admin(&mut self) {
        let keys = self.admin.ids.iter().filter_map(|id| self.table.find(*id));
        let lingering = keys.into_iter().find(|key| self.table.conn(*key).session().is_lingering());
        if let Some(key) = lingering.or_else(|| self.table.longest_idle_admin()) {
            self.close_admin(key, CloseReason::IdleTimeout);
        }
    }

    /// Closes an admin connection, which is not counted and not worth a warning.
    pub(super) fn close_admin(&mut self, key: u32, reason: CloseReason) {
        log::debug!("{}: admin connection closed: {reason}", self.table.peer(key));
        let id = self.table.conn(key).id(key);
        self.admin.ids.retain(|other| *other != id);
        self.remove(key);
    }
}
