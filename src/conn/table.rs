//! The table of connections: their slab, the slab of their buffers, and the queues of their deadlines.
//!
//! It keeps these together so that a connection that is removed is gone from all of them. It knows neither the
//! network nor the services.

#[cfg(feature = "cli")]
mod headers;
#[cfg(debug_assertions)]
mod invariants;
mod memory;
mod timeouts;

use std::net::SocketAddr;

use slab::Slab;

use super::{Conn, Flags, NO_BUFFERS};
use crate::conn::buffers::ConnBuffers;
use crate::conn::deadlines::{DeadlineQueue, Link, Tick};
use crate::conn::memory::MemoryBudget;
use crate::conn::peer_addr::{PeerAddrs, StoredPeer};
use crate::conn::spare_maps::SpareMaps;
use crate::conn::stream_session::{Effect, StreamSession};
use crate::conn::token::{ConnToken, GENERATION_MASK};
use crate::conn::unread::Unread;
use crate::limits::Limits;

pub(crate) use timeouts::TimeoutKind;

/// The connections of the server.
#[derive(Debug)]
pub(crate) struct ConnTable<S> {
    conns: Slab<Conn<S>>,
    buffers: Slab<ConnBuffers>,
    /// The memory of all buffers, in bytes.
    stored_bytes: usize,
    /// The memory of long frames that are complete.
    pub(crate) spare_maps: SpareMaps,
    peers: PeerAddrs,
    headers: DeadlineQueue<Conn<S>>,
    idle: DeadlineQueue<Conn<S>>,
    /// Idle connections of the admin endpoint.
    admin_idle: DeadlineQueue<Conn<S>>,
    lingering: DeadlineQueue<Conn<S>>,
    frames: DeadlineQueue<ConnBuffers>,
    writes: DeadlineQueue<ConnBuffers>,
    generation: u16,
}

/// The parts of a connection that a step of its session needs.
pub(crate) struct SessionParts<'a, S> {
    pub(crate) stream: &'a S,
    pub(crate) flags: &'a mut Flags,
    pub(crate) session: &'a mut StreamSession,
    pub(crate) peer: StoredPeer<'a>,
    pub(crate) endpoint: u8,
}

impl<S> ConnTable<S> {
    pub(crate) fn new(limits: &Limits) -> Self {
        // Address space for all of them at once, so that the table never moves; memory comes with the
        // connections. Without a sensible limit it grows as it must.
        let capacity = (limits.connections_max.saturating_add(limits.refusals_max)).min(CAPACITY_AT_START);
        Self {
            conns: Slab::with_capacity(capacity),
            buffers: Slab::new(),
            stored_bytes: 0,
            spare_maps: SpareMaps::new(MemoryBudget::new(limits.memory_bytes_max).spare_bytes_max()),
            peers: PeerAddrs::default(),
            headers: DeadlineQueue::absolute(Some(limits.proxy_header_timeout), |conn: &mut Conn<S>| {
                &mut conn.link
            }),
            idle: DeadlineQueue::renewed(limits.idle_timeout, |conn: &mut Conn<S>| &mut conn.link),
            admin_idle: DeadlineQueue::absolute(Some(limits.admin_idle_timeout), |conn: &mut Conn<S>| {
                &mut conn.link
            }),
            lingering: DeadlineQueue::absolute(Some(limits.linger_timeout), |conn: &mut Conn<S>| {
                &mut conn.link
            }),
            frames: DeadlineQueue::absolute(limits.frame_timeout, |buffers| &mut buffers.frame_link),
            writes: DeadlineQueue::renewed(limits.write_timeout, |buffers| &mut buffers.write_link),
            generation: 0,
        }
    }

    /// Allocates all that `connections` need, but for the buffers of `spare_maps`.
    pub(crate) fn allocate(&mut self, connections: usize) {
        self.conns.reserve_exact(connections);
        self.buffers.reserve_exact(connections);
        self.peers.allocate(connections);
    }

    pub(crate) fn len(&self) -> usize {
        self.conns.len()
    }

    /// The number of connections with stored bytes.
    pub(crate) fn busy_len(&self) -> usize {
        self.buffers.len()
    }

    /// The slots of all connections.
    #[expect(clippy::cast_possible_truncation, reason = "connections are counted in 32 bits")]
    pub(crate) fn keys(&self) -> Vec<u32> {
        self.conns.iter().map(|(key, _)| key as u32).collect()
    }

    /// Adds a connection in state `Open`, in no queue.
    pub(crate) fn insert(&mut self, stream: S, peer: SocketAddr, endpoint: u8) -> ConnToken {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MASK;
        let key = self.conns.insert(Conn {
            stream,
            peer: self.peers.intern(peer),
            generation: self.generation,
            endpoint,
            session: StreamSession::new(),
            flags: Flags::new(),
            buffers: NO_BUFFERS,
            link: Link::UNLINKED,
        });
        ConnToken {
            key: u32::try_from(key).expect("connections are counted in 32 bits"),
            generation: self.generation,
        }
    }

    /// Adds a connection in state `Connecting`, which takes no writes, in no queue.
    #[cfg(feature = "handlers")]
    pub(crate) fn insert_connecting(&mut self, stream: S, peer: SocketAddr, endpoint: u8) -> ConnToken {
        let token = self.insert(stream, peer, endpoint);
        let conn = self.conn_mut(token.key);
        conn.session = StreamSession::connecting();
        conn.flags.remove(Flags::WRITABLE);
        token
    }

    /// Stops or continues reading from a connection, whose handler has asked for it. Returns whether that changes
    /// anything.
    #[cfg(feature = "handlers")]
    pub(crate) fn set_paused(&mut self, key: u32, is_paused: bool, now: Tick) -> bool {
        if !is_paused && !self.is_paused(self.conn(key)) {
            return false;
        }
        let was_paused =
            self.with_buffers(key, |buffers, _| std::mem::replace(&mut buffers.is_paused, is_paused));
        // The peer is not late while nobody reads.
        if is_paused {
            self.stop_frame(key);
        } else if self.has_unread(key) {
            self.start_frame(key, now);
        }
        self.release_if_empty(key);
        was_paused != is_paused
    }

    /// Whether its handler has asked to read nothing from it.
    #[cfg(feature = "handlers")]
    pub(crate) fn is_paused(&self, conn: &Conn<S>) -> bool {
        conn.session.is_received()
            && conn.buffers != NO_BUFFERS
            && self.buffers[conn.buffers as usize].is_paused()
    }

    /// Whether bytes were received that are not consumed.
    #[cfg(feature = "handlers")]
    pub(crate) fn has_unread(&self, key: u32) -> bool {
        let index = self.conn(key).buffers;
        index != NO_BUFFERS && self.buffers[index as usize].is_in_frame()
    }

    /// Removes the connection from the table and from every queue, and returns its stream.
    pub(crate) fn remove(&mut self, key: u32) -> S {
        self.drop_buffers(key);
        let session = self.conn(key).session;
        // It entered the queue of lingering connections with the state.
        if session.is_lingering() {
            self.lingering.cancel(&mut self.conns, key);
        } else if session.is_awaiting() {
            self.headers.cancel(&mut self.conns, key);
        } else {
            self.cancel_idle(key);
        }
        let conn = self.conns.remove(key as usize);
        self.peers.release(conn.peer);
        conn.stream
    }

    /// The slot of `id`, if it is still that connection's. A late event of a closed connection finds its slot
    /// empty or used again, and must have no effect.
    pub(crate) fn find(&self, id: ConnToken) -> Option<u32> {
        let conn = self.conns.get(id.key as usize)?;
        (conn.generation == id.generation).then_some(id.key)
    }

    /// The connection `id`; see [`find`](Self::find).
    #[inline]
    pub(crate) fn find_mut(&mut self, id: ConnToken) -> Option<&mut Conn<S>> {
        self.conns.get_mut(id.key as usize).filter(|conn| conn.generation == id.generation)
    }

    pub(crate) fn conn(&self, key: u32) -> &Conn<S> {
        &self.conns[key as usize]
    }

    pub(crate) fn conn_mut(&mut self, key: u32) -> &mut Conn<S> {
        &mut self.conns[key as usize]
    }

    pub(crate) fn peer(&self, key: u32) -> SocketAddr {
        self.peers.address(self.conn(key).peer)
    }

    /// The parts of a connection that a step of its session needs.
    #[expect(
        clippy::inline_always,
        reason = "it runs for every message, which costs a tenth more without inlining"
    )]
    #[inline(always)]
    pub(crate) fn session_parts(&mut self, key: u32) -> SessionParts<'_, S> {
        let conn = &mut self.conns[key as usize];
        SessionParts {
            peer: StoredPeer { key: &conn.peer, addrs: &self.peers },
            endpoint: conn.endpoint,
            stream: &conn.stream,
            flags: &mut conn.flags,
            session: &mut conn.session,
        }
    }

    #[inline]
    pub(crate) fn unsent(&self, key: u32) -> &[u8] {
        match self.conn(key).buffers {
            NO_BUFFERS => &[],
            index => self.buffers[index as usize].unsent(),
        }
    }

    /// The number of bytes in [`unsent`](Self::unsent), for a connection at hand.
    #[inline]
    pub(crate) fn unsent_bytes_of(&self, conn: &Conn<S>) -> usize {
        match conn.buffers {
            NO_BUFFERS => 0,
            index => self.buffers[index as usize].unsent().len(),
        }
    }

    /// Discards the beginning of a frame, and returns whether there was one.
    pub(crate) fn discard_unread(&mut self, key: u32) -> bool {
        let unread = self.take_unread(key);
        self.recount_unread(key);
        let was_in_frame = !unread.is_empty();
        unread.give_back(&mut self.spare_maps);
        was_in_frame
    }

    /// Stores the beginning of a frame; does nothing if it is empty. Returns false if the memory plan has no space for
    /// it: then the connection must be closed.
    #[inline(never)]
    pub(crate) fn store_unread(&mut self, key: u32, unread: &[u8]) -> bool {
        if unread.is_empty() {
            return true;
        }
        let Some(stored) = Unread::stored(unread, &mut self.spare_maps) else { return false };
        self.with_buffers(key, |buffers, _| *buffers.unread() = stored);
        true
    }

    /// Takes the stored beginning of a frame, or of a header, to append to it. [`put_unread`](Self::put_unread) it
    /// back.
    pub(crate) fn take_unread(&mut self, key: u32) -> Unread {
        match self.conn(key).buffers {
            NO_BUFFERS => Unread::new(),
            index => std::mem::replace(self.buffers[index as usize].unread(), Unread::new()),
        }
    }

    /// Stores what is left of it; memory that it does not need is left to others. `is_other`: it is not the frame
    /// that was taken.
    pub(crate) fn put_unread(&mut self, key: u32, mut unread: Unread, is_other: bool, now: Tick) {
        unread.release_memory(is_other, &mut self.spare_maps, now);
        if unread.is_empty() {
            self.recount_unread(key);
        } else {
            self.with_buffers(key, |buffers, _| *buffers.unread() = unread);
        }
    }

    /// Appends `answer` to what is unsent; does nothing if it is empty. Returns false if the memory plan has no space
    /// for it: then the connection must be closed.
    pub(crate) fn push_unsent(&mut self, key: u32, answer: &[u8]) -> bool {
        answer.is_empty() || self.with_buffers(key, |buffers, maps| buffers.push_unsent(answer, maps))
    }

    /// `bytes` of what was unsent are sent.
    pub(crate) fn advance_unsent(&mut self, key: u32, bytes: usize) {
        if bytes > 0 {
            self.with_buffers(key, |buffers, maps| buffers.advance(bytes, maps));
        }
    }

    /// Counts bytes that were discarded while lingering, and returns how many there are now.
    pub(crate) fn add_discarded(&mut self, key: u32, bytes: usize) -> usize {
        self.with_buffers(key, |buffers, _| buffers.add_discarded(bytes))
    }

    /// Releases the connection's buffers if they are empty.
    pub(crate) fn release_if_empty(&mut self, key: u32) {
        let index = self.conn(key).buffers;
        if index != NO_BUFFERS && self.buffers[index as usize].is_empty() {
            self.drop_buffers(key);
        }
    }

    /// Goes on after everything was sent. A connection that lingers from now on has until the linger timeout to
    /// end its side.
    pub(crate) fn flushed(&mut self, key: u32, now: Tick) -> Effect {
        let effect = self.conn_mut(key).session.flushed();
        self.follow(key, effect, now)
    }

    /// Ends a connection that is between two frames, because the server stops.
    pub(crate) fn stop(&mut self, key: u32, now: Tick) -> Effect {
        let effect = self.conn_mut(key).session.stop();
        self.follow(key, effect, now)
    }

    /// A connection is in the queue of lingering ones exactly while its state is `Lingering`.
    fn follow(&mut self, key: u32, effect: Effect, now: Tick) -> Effect {
        if effect == Effect::HalfClose && self.conn(key).session.is_lingering() {
            self.cancel_idle(key);
            self.lingering.arm(&mut self.conns, key, now);
        }
        effect
    }

    /// Changes the connection's buffers, of which it may have none yet.
    fn with_buffers<T>(&mut self, key: u32, change: impl FnOnce(&mut ConnBuffers, &mut SpareMaps) -> T) -> T {
        let conn = &mut self.conns[key as usize];
        if conn.buffers == NO_BUFFERS {
            let index = self.buffers.insert(ConnBuffers::new(key));
            conn.buffers = u32::try_from(index).expect("connections are counted in 32 bits");
        }
        let index = conn.buffers;
        let outcome = change(&mut self.buffers[index as usize], &mut self.spare_maps);
        self.recount(index);
        outcome
    }

    fn drop_buffers(&mut self, key: u32) {
        let index = std::mem::replace(&mut self.conn_mut(key).buffers, NO_BUFFERS);
        if index != NO_BUFFERS {
            self.frames.cancel(&mut self.buffers, index);
            self.writes.cancel(&mut self.buffers, index);
            let buffers = self.buffers.remove(index as usize);
            self.stored_bytes -= buffers.counted_bytes();
            buffers.give_back(&mut self.spare_maps);
            let is_kept = self.spare_maps.planned_bytes().is_some();
            if self.buffers.is_empty() && self.buffers.capacity() > SPARE_BUFFERS_MAX && !is_kept {
                self.buffers = Slab::new();
            }
        }
    }
}

/// Without connections that hold bytes, the slab of buffers is freed if it has room for more than these.
const SPARE_BUFFERS_MAX: usize = 64;

/// 32 MiB of address space.
const CAPACITY_AT_START: usize = 1 << 20;

#[cfg(test)]
mod tests;
