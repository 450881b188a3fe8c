//! What must be true of the table at any time; debug builds check it.

use super::ConnTable;
use crate::conn::{Conn, Flags, NO_BUFFERS};

impl<S> ConnTable<S> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn<S>> {
        self.conns.iter().map(|(_, conn)| conn)
    }

    /// Panics if buffers have no owner, or two, if a queue is not sorted, or if a connection waits in a queue in
    /// which its state has no place.
    pub(crate) fn check(&mut self) {
        let (mut with_buffers, mut lingering, mut awaiting) = (0, 0, 0);
        let (mut in_frame, mut write_timed, mut admin_idle) = (0, 0, 0);
        let (mut stored_bytes, mut long_addresses, mut pooled_buffers) = (0, 0, 0);
        for (key, conn) in &self.conns {
            long_addresses += usize::from(conn.peer.is_long());
            lingering += usize::from(conn.session.is_lingering());
            admin_idle += usize::from(conn.is_admin() && !conn.session.is_lingering());
            awaiting += usize::from(conn.session.is_awaiting());
            if conn.buffers == NO_BUFFERS {
                continue;
            }
            with_buffers += 1;
            let buffers = &self.buffers[conn.buffers as usize];
            assert_eq!(buffers.conn as usize, key, "buffers belong to the connection that refers to them");
            assert_eq!(buffers.counted_bytes(), buffers.bytes(), "connection {key} is counted");
            stored_bytes += buffers.bytes();
            pooled_buffers += buffers.pooled_buffers();
            let is_timed = !conn.session.is_awaiting() && !buffers.is_paused();
            in_frame += usize::from(buffers.is_in_frame() && is_timed);
            if buffers.write_link.is_linked() {
                write_timed += 1;
                assert!(!buffers.unsent().is_empty(), "connection {key} is timed, and everything is sent");
                assert!(!conn.flags.contains(Flags::HELD), "connection {key} is timed, and held");
            }
        }
        assert_eq!(long_addresses, self.peers.long_len(), "each stored address has one connection");
        assert_eq!(with_buffers, self.buffers.len(), "each buffer has one connection");
        assert_eq!(stored_bytes, self.stored_bytes, "the sum of all buffers");
        if let Some(taken) = self.spare_maps.taken_buffers() {
            assert_eq!(
                taken, pooled_buffers,
                "each buffer of the memory plan that is taken has a connection"
            );
        }
        assert_eq!(self.lingering.check(&mut self.conns), lingering, "lingering connections");
        assert_eq!(self.admin_idle.check(&mut self.conns), admin_idle, "admin connections");
        assert_eq!(self.headers.check(&mut self.conns), awaiting, "connections that await a header");
        let timed = lingering + admin_idle + awaiting;
        assert!(self.idle.check(&mut self.conns) + timed <= self.conns.len(), "idle connections");
        if self.frames.is_on() {
            assert_eq!(self.frames.check(&mut self.buffers), in_frame, "connections inside a frame");
        }
        assert_eq!(self.writes.check(&mut self.buffers), write_timed, "connections timed for reading");
    }
}
