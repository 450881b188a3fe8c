//! Connections of proxies, which begin with a header that names the peer.

use std::net::SocketAddr;

use super::ConnTable;
use crate::conn::deadlines::{Link, Tick};
use crate::conn::stream_session::StreamSession;

impl<S> ConnTable<S> {
    /// A connection that was just inserted begins with a header. Its deadline starts now.
    pub(crate) fn await_header(&mut self, key: u32, now: Tick) {
        self.conn_mut(key).session = StreamSession::behind_proxy();
        self.headers.arm(&mut self.conns, key, now);
    }

    /// The header is complete, or refused: it has no deadline any more. The connection is one of `peer`.
    pub(crate) fn end_header(&mut self, key: u32, peer: SocketAddr) {
        let accepted_at = self.conn(key).link.since();
        self.headers.cancel(&mut self.conns, key);
        let peer = self.peers.intern(peer);
        let conn = self.conn_mut(key);
        // It remains a new connection for as long as one without a header.
        conn.link = Link::unlinked_at(accepted_at);
        let former = std::mem::replace(&mut conn.peer, peer);
        self.peers.release(former);
    }
}
