//! Closing connections whose deadline has passed.

use crate::conn::deadlines::Tick;
use crate::conn::table::TimeoutKind;
use crate::conn::{CloseReason, Flags};
use crate::event_loop::EventLoop;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Closes connections whose deadline had passed at `polled_at`, before this turn's poll.
    ///
    /// After this process was stopped for a while, or the machine was asleep, every peer would look idle although
    /// its bytes wait. So a deadline that is over when the poll returns waits for another poll, which reports
    /// everything that has arrived. A poll that returned as many events as it could may have left more behind: then
    /// expiring waits until a poll returns fewer, for at most as many turns as it takes to see every connection
    /// once.
    pub(super) fn expire(&mut self, polled_at: Tick) {
        let turns_max = self.table.len() / self.limits.events_per_poll_max.max(1) + 1;
        if self.events_polled >= self.limits.events_per_poll_max && self.expiries_deferred < turns_max {
            self.expiries_deferred += 1;
            return;
        }
        self.expiries_deferred = 0;
        let now = self.now;
        // After a poll that waited for weeks, without a deadline to end it, older ticks cannot be compared.
        let polled_at = if polled_at.is_by(now) { polled_at } else { now };
        while let Some((key, timeout)) = self.table.due(polled_at) {
            let conn = self.table.conn(key);
            match timeout {
                TimeoutKind::Linger => self.close(key, conn.session().reason()),
                // A connection that waits for memory does not wait for it forever.
                TimeoutKind::Frame | TimeoutKind::Header if conn.flags.contains(Flags::STARVED) => {
                    self.close(key, CloseReason::OutOfMemory);
                }
                // Bytes that have arrived and are not read yet are not the peer's delay, nor is the journal's.
                TimeoutKind::Frame if conn.flags.contains(Flags::READABLE | Flags::HELD) => {
                    self.table.start_frame(key, now);
                }
                TimeoutKind::Frame => self.close(key, CloseReason::FrameTimeout),
                TimeoutKind::Write => self.close(key, CloseReason::WriteTimeout),
                TimeoutKind::Header if conn.flags.contains(Flags::READABLE | Flags::HELD) => {
                    self.table.restart_header(key, now);
                }
                TimeoutKind::Header => self.close(key, CloseReason::ProxyHeaderTimeout),
                TimeoutKind::Idle if conn.is_idle() => self.close(key, CloseReason::IdleTimeout),
                TimeoutKind::Idle => self.table.restart_idle(key, now),
            }
        }
        for socket in self.sockets.iter_mut().filter(|socket| !socket.ready) {
            // A waiting datagram renews its session before the session expires.
            socket.rules.sessions.expire(polled_at);
        }
    }
}
