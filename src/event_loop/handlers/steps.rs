//! The steps of a turn that concern handlers: what they are told before connections are read, and what they have sent to
//! others.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use super::adapter::{Adapter, AtEndpoint, Notice};
use super::handler::{Handler, SourceEvent, SourceId};
use super::mailbox::{Handle, Mailbox};
use super::registry::Pause;
use crate::conn::CloseReason;
use crate::conn::token::{ConnToken, Source};
use crate::event_loop::outbox::{Answer, Delivery, Recipients};
use crate::event_loop::{EventLoop, LoopError};
use crate::journal::Committed;
use crate::net::kernel::KernelNet;
use crate::net::{Event, Net};

impl<N: Net> EventLoop<N> {
    /// Adds a handler, which [`listen_for`](Self::listen_for) gives connections.
    ///
    /// # Errors
    /// There are 255 handlers or endpoints already.
    pub fn add_handler<H: Handler>(&mut self, handler: H) -> io::Result<Handle<H::Message>> {
        let index = u8::try_from(self.handlers.list.len()).ok().filter(|index| *index < u8::MAX);
        let index = index.ok_or_else(|| io::Error::other("a server has at most 255 handlers"))?;
        let outgoing = self.add_outgoing(index, Box::new(AtEndpoint::<H>::new()))?;
        let mailbox = Arc::new(Mailbox::new(H::POSTS_MAX, self.net.waker()));
        self.handlers.list.push(Box::new(Adapter::new(handler, mailbox.clone())));
        self.handlers.at_endpoints.push(|| Box::new(AtEndpoint::<H>::new()));
        self.handlers.outgoing.push(outgoing);
        Ok(Handle { mailbox, index })
    }

    /// Serves connections to `address` with a handler of this server; returns the address with the port that was taken.
    ///
    /// # Errors
    /// The address cannot be listened at, or there are 255 endpoints already.
    pub fn listen_for<M>(&mut self, handler: &Handle<M>, address: SocketAddr) -> io::Result<SocketAddr> {
        let make = self.handlers.at_endpoints.get(usize::from(handler.index));
        let make = make.ok_or_else(|| io::Error::other("the handler is one of another server"))?;
        let address = self.listen(address, make())?;
        if let Some(listener) = self.listeners.last_mut() {
            listener.handler = Some(handler.index);
        }
        Ok(address)
    }

    /// Whether a handler has something to do without an event.
    pub(in crate::event_loop) fn handlers_have_work(&self) -> bool {
        !self.handlers.drained.is_empty()
            || !self.handlers.registry.pauses.is_empty()
            || self.handlers.registry.stop_requests > 0
            || !self.handlers.events.is_empty()
            || self.handlers.list.iter().any(|handler| handler.has_closed() || handler.has_posts())
    }

    /// Milliseconds until a timer of a connection is due.
    pub(in crate::event_loop) fn timer_wait_ms(&self) -> Option<u32> {
        self.handlers.registry.timers.wait_ms(self.now)
    }

    /// Tells handlers what has happened since the last turn.
    pub(in crate::event_loop) fn run_handlers(&mut self) -> Result<(), LoopError> {
        if self.handlers.list.is_empty() {
            return Ok(());
        }
        for index in 0..self.handlers.list.len() {
            for _ in 0..self.handlers.list[index].take_stop_requests() {
                self.stop_once();
            }
        }
        for _ in 0..std::mem::take(&mut self.handlers.registry.stop_requests) {
            self.stop_once();
        }
        self.finish_connecting();
        self.tell_closed()?;
        for token in std::mem::take(&mut self.handlers.drained) {
            self.notify_if_used(token, Notice::Drained);
            self.commit_if_full()?;
        }
        // A timer that is set meanwhile is due in a millisecond at the earliest.
        while let Some(token) = self.handlers.registry.expire(self.now) {
            self.timer_expired(token);
            self.commit_if_full()?;
        }
        for event in std::mem::take(&mut self.handlers.events) {
            let handler = self.handlers.sources[usize::from(event.source.0)];
            self.call(handler, |handler, mut cx, _| handler.source_ready(event, &mut cx));
            self.commit_if_full()?;
        }
        for index in 0..self.handlers.list.len() {
            for _ in 0..self.limits.visits_per_turn_max {
                if !self.call(as_index(index), |handler, mut cx, _| handler.take_post(&mut cx)) {
                    break;
                }
                self.commit_if_full()?;
            }
        }
        self.pause_and_resume()
    }

    /// The timer of a connection has expired; that of one that is not open yet was set by the loop.
    fn timer_expired(&mut self, token: ConnToken) {
        let Some(key) = self.table.find(token) else { return };
        if self.table.conn(key).session().is_connecting() {
            self.fail_connecting(key, io::ErrorKind::TimedOut.into());
        } else {
            self.notify_if_used(token, Notice::Timer);
        }
    }

    /// Stops and continues reading from connections, as handlers have asked for.
    fn pause_and_resume(&mut self) -> Result<(), LoopError> {
        for (token, pause) in std::mem::take(&mut self.handlers.registry.pauses) {
            let Some(key) = self.table.find(token) else { continue };
            let begins = pause == Pause::Begins;
            if !self.table.conn(key).session().is_received() || !self.table.set_paused(key, begins, self.now)
            {
                continue;
            }
            if !begins && self.table.has_unread(key) {
                self.receive_for_handler(key, 0);
                self.commit_if_full()?;
            } else if self.can_continue(key) {
                self.enqueue(key);
            }
        }
        Ok(())
    }

    /// Tells handlers of connections that were closed.
    pub(in crate::event_loop) fn tell_closed(&mut self) -> Result<(), LoopError> {
        for index in 0..self.handlers.list.len() {
            while self.call(as_index(index), |handler, mut cx, _| handler.tell_closed(&mut cx)) {
                self.commit_if_full()?;
            }
        }
        Ok(())
    }

    /// The server has stopped: handlers are told of the last connections, and nothing more is posted to them.
    pub(in crate::event_loop) fn stop_handlers(&mut self) {
        for index in 0..self.handlers.list.len() {
            while self.call(as_index(index), |handler, mut cx, _| handler.tell_closed(&mut cx)) {}
            self.handlers.list[index].close_mailbox();
        }
        self.outbox.clear();
    }

    fn commit_if_full(&mut self) -> Result<(), LoopError> {
        if self.outbox.is_full(&self.limits) { self.commit_and_send() } else { Ok(()) }
    }

    /// An event of a handler's source.
    pub(in crate::event_loop) fn note_source(&mut self, source: u16, event: Event) {
        let Event { readable, writable, ended, .. } = event;
        if usize::from(source) < self.handlers.sources.len() {
            let source = SourceId(source);
            self.handlers.events.push(SourceEvent { source, readable: readable || ended, writable });
        }
    }

    /// Sends what a handler has sent to others.
    #[inline(never)]
    pub(in crate::event_loop) fn deliver_next(&mut self, committed: Committed) {
        let Some(Delivery { to, bytes, needs_commit }) = self.outbox.deliveries.pop_front() else { return };
        let mut answer = Answer { to: ConnToken::NOBODY, bytes, needs_commit };
        match to {
            Recipients::Conn(token) => {
                answer.to = token;
                self.deliver(&answer, committed);
            }
            Recipients::Ending(token) => {
                if self.end_for_other(token) {
                    answer.to = token;
                    self.send_delivery(&answer, committed);
                }
            }
            Recipients::SendingEnds(token) => {
                if self.end_sending(token) {
                    answer.to = token;
                    self.send_delivery(&answer, committed);
                }
            }
            Recipients::Aborted(token) => self.abort(token),
            Recipients::Group(places) => {
                for place in 0..places.count {
                    if let Some(token) = self.handlers.registry.groups.member(places, place) {
                        answer.to = token;
                        self.deliver(&answer, committed);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, answer: &Answer, committed: Committed) {
        let Some(key) = self.table.find(answer.to) else { return };
        let conn = self.table.conn(key);
        if !conn.session().takes_answers() {
            return;
        }
        if self.table.unsent_bytes_of(conn) > self.limits.unsent_bytes_max {
            return self.close(key, CloseReason::TooSlow);
        }
        self.send_delivery(answer, committed);
    }

    /// After everything was sent.
    pub(in crate::event_loop) fn settle_groups(&mut self) {
        self.handlers.registry.groups.settle();
    }
}

/// The index of a handler.
#[expect(clippy::cast_possible_truncation, reason = "there are at most 255 handlers")]
fn as_index(place: usize) -> u8 {
    place as u8
}

impl EventLoop<KernelNet> {
    /// Passes events of a descriptor that the poller can watch, such as a serial port, a pipe or a timer, to
    /// [`Handler::ready`]. The handler owns it, and makes it non-blocking; it is watched until it is closed.
    ///
    /// # Errors
    /// The poller cannot watch it (a regular file, for example), or 65,535 are watched already.
    pub fn watch<M>(&mut self, handler: &Handle<M>, descriptor: impl AsFd) -> io::Result<SourceId> {
        let index = u16::try_from(self.handlers.sources.len()).ok().filter(|index| *index < u16::MAX);
        let index = index.ok_or_else(|| io::Error::other("at most 65,535 descriptors are watched"))?;
        self.net.watch_source(descriptor.as_fd().as_raw_fd(), Source::Own(index).into())?;
        self.handlers.sources.push(handler.index);
        Ok(SourceId(index))
    }
}
