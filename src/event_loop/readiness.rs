//! Readiness: what the events of a poll report, and which connections are to be visited.

use std::io;
use std::time::Duration;

use crate::conn::table::ConnTable;
use crate::conn::token::Source;
use crate::conn::{CloseReason, Conn, Flags};
use crate::event_loop::EventLoop;
use crate::event_loop::run_queue::RunQueue;
use crate::net::{Event, Net};

impl<N: Net> EventLoop<N> {
    /// Waits for events, which set flags and fill the run queue. Nothing is read or closed before all events are seen.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Self { net, table, run_queue, events_polled, other_events, limits, .. } = self;
        *events_polled = 0;
        net.poll(limits.events_per_poll_max, timeout, |event| {
            *events_polled += 1;
            if !mark_ready(table, run_queue, event) {
                other_events.push(event);
            }
        })
    }

    /// Handles the events that [`poll`](Self::poll) has left.
    pub(super) fn mark_others_ready(&mut self) {
        let mut events = std::mem::take(&mut self.other_events);
        for event in events.drain(..) {
            match Source::from(event.token) {
                Source::Conn(id) => {
                    if let Some(key) = self.table.find(id) {
                        self.mark_other_ready(key, event);
                    }
                }
                Source::Listener(index) => {
                    if let Some(listener) = self.listeners.get_mut(usize::from(index)) {
                        listener.ready = true;
                    }
                }
                Source::Socket(index) => {
                    if let Some(socket) = self.sockets.get_mut(usize::from(index)) {
                        socket.ready = true;
                    }
                }
                Source::Stop => {
                    self.stop();
                    if self.net.was_reopen_requested() {
                        self.journal.reopen();
                        self.net.journal_reopened();
                    }
                    #[cfg(feature = "cli")]
                    if self.net.was_summary_requested() {
                        log::info!("counters: {}", self.counters.summary(self.served()));
                    }
                }
                // The journal is written to once per turn anyway, and a timer has only to end the wait.
                Source::Journal | Source::Timer => {}
                #[cfg(feature = "handlers")]
                Source::Own(source) => self.note_source(source, event),
            }
        }
        self.other_events = events;
    }

    /// Queues a connection that the limits may keep from reading, if they do not.
    fn mark_other_ready(&mut self, key: u32, event: Event) {
        let conn = self.table.conn(key);
        let is_starved = conn.flags.contains(Flags::STARVED);
        #[cfg(feature = "handlers")]
        if conn.session().is_connecting() {
            return self.handlers.connecting_ready.push(conn.id(key));
        }
        let is_waiting = conn.flags.contains(Flags::HELD | Flags::STARVED) || conn.session().is_half_open();
        #[cfg(feature = "handlers")]
        let is_waiting = is_waiting || self.table.is_paused(conn);
        if self.can_continue(key) {
            self.enqueue(key);
        } else if event.ended && is_waiting {
            // It is not read until the journal or the memory allows it, so nothing else would show that the
            // connection is broken, and its slot would be lost to others.
            if let Some(error) = self.net.take_error(&self.table.conn(key).stream) {
                self.close(key, CloseReason::of(&error));
            } else if is_starved {
                self.starve(key);
            }
        } else if self.waits_for_memory(self.table.conn(key)) {
            self.starve(key);
        }
    }

    /// Whether a visit would read or write.
    pub(super) fn can_continue(&self, key: u32) -> bool {
        let conn = self.table.conn(key);
        self.can_read(conn) || self.can_write(conn)
    }

    /// Whether a visit would read.
    pub(super) fn can_read(&self, conn: &Conn<N::Stream>) -> bool {
        self.would_read(conn) && self.room_of(conn) > 0
    }

    /// Whether a visit would read, if memory allows it.
    pub(super) fn would_read(&self, conn: &Conn<N::Stream>) -> bool {
        #[cfg(feature = "handlers")]
        if self.table.is_paused(conn) {
            return false;
        }
        conn.flags.contains(Flags::READABLE)
            && conn.wants_read(self.table.unsent_bytes_of(conn), self.limits.unsent_bytes_max)
    }

    /// Whether unsent bytes can be sent.
    pub(super) fn can_write(&self, conn: &Conn<N::Stream>) -> bool {
        self.table.unsent_bytes_of(conn) > 0 && conn.takes_writes()
    }

    /// Queues a visit, once.
    pub(super) fn enqueue(&mut self, key: u32) {
        let conn = self.table.conn_mut(key);
        self.run_queue.push(conn.id(key), conn);
    }
}

/// Notes an event of a connection, and queues the connection if it reads whatever the limits are. Returns false if
/// there is more to do, and for events of other sources.
#[inline]
fn mark_ready<S>(table: &mut ConnTable<S>, run_queue: &mut RunQueue, event: Event) -> bool {
    let Source::Conn(id) = Source::from(event.token) else { return false };
    let Some(conn) = table.find_mut(id) else { return true };
    conn.flags.note(event.readable, event.writable, event.ended);
    let reads_freely = conn.reads_freely();
    if reads_freely {
        run_queue.push(id, conn);
    }
    reads_freely
}
