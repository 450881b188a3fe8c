//! What the loop keeps of the connections of handlers: which they are, their timers and their groups.

use std::time::Duration;

use super::groups::{Group, Groups, Memberships};
use crate::conn::deadlines::Tick;
use crate::conn::timers::{TimerKey, Timers};
use crate::conn::token::ConnToken;

/// A connection of a handler. It can be kept and passed on: after the connection is closed, it stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// It never recurs.
    serial: u64,
    key: u32,
}

/// What it costs a connection, besides its own entry and its state.
const _: () = assert!(size_of::<Option<Entry>>() <= 40);

/// The connections of all handlers.
#[derive(Debug)]
pub(super) struct Registry {
    /// By the keys of the connections.
    entries: Vec<Option<Entry>>,
    last_serial: u64,
    pub(super) timers: Timers<ConnToken>,
    pub(super) groups: Groups,
    /// Connections that handlers have asked to pause, or to resume.
    pub(super) pauses: Vec<(ConnToken, Pause)>,
    /// How often handlers have asked the server to stop.
    pub(super) stop_requests: u32,
}

/// What a handler asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    Begins,
    Ends,
}

/// The index of no state.
pub(super) const NOT_OPENED: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Entry {
    id: ConnId,
    generation: u16,
    /// Which handler.
    pub(super) handler: u8,
    /// Bytes that were sent to it are unsent: the handler is told when they have been sent.
    pub(super) is_slow: bool,
    /// Our side is to end when it is connected.
    pub(super) ends_sending: bool,
    /// The index of its state in the slab of the handler; [`NOT_OPENED`] if the handler was not told of it.
    pub(super) state: u32,
    timer: Option<TimerKey>,
    memberships: Memberships,
}

#[cfg(debug_assertions)]
impl Entry {
    pub(super) fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    pub(super) fn memberships(&self) -> Memberships {
        self.memberships
    }
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            last_serial: 0,
            timers: Timers::new(),
            groups: Groups::default(),
            pauses: Vec::new(),
            stop_requests: 0,
        }
    }

    /// The identity of a connection that is about to be opened.
    pub(super) fn next_id(&mut self, token: ConnToken) -> ConnId {
        self.last_serial += 1;
        ConnId { serial: self.last_serial, key: token.key }
    }

    /// Adds a connection, whose state is not known yet.
    pub(super) fn insert(&mut self, id: ConnId, token: ConnToken, handler: u8) {
        let place = id.key as usize;
        if self.entries.len() <= place {
            self.entries.resize_with(place + 1, || None);
        }
        self.entries[place] = Some(Entry {
            id,
            generation: token.generation,
            handler,
            is_slow: false,
            ends_sending: false,
            state: NOT_OPENED,
            timer: None,
            memberships: Memberships::NONE,
        });
    }

    /// Removes a connection, with its timer and its memberships.
    pub(super) fn remove(&mut self, key: u32) -> Option<(ConnId, Entry)> {
        let mut entry = self.entries.get_mut(key as usize)?.take()?;
        if let Some(timer) = entry.timer.take() {
            self.timers.cancel(timer);
        }
        self.groups.leave_all(&mut entry.memberships);
        Some((entry.id, entry))
    }

    pub(super) fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    /// The connection of a slot.
    pub(super) fn id(&self, key: u32) -> Option<ConnId> {
        self.entries.get(key as usize)?.as_ref().map(|entry| entry.id)
    }

    /// The connection, if it is open.
    pub(super) fn find(&self, id: ConnId) -> Option<ConnToken> {
        let entry = self.entries.get(id.key as usize)?.as_ref().filter(|entry| entry.id == id)?;
        Some(ConnToken { key: id.key, generation: entry.generation })
    }

    /// Whether bytes for it are unsent.
    pub(super) fn is_slow(&self, id: ConnId) -> bool {
        let entry = self.entries.get(id.key as usize).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.id == id && entry.is_slow)
    }

    pub(super) fn join(&mut self, id: ConnId, group: Group) -> bool {
        let Some(token) = self.find(id) else { return false };
        let Self { entries, groups, .. } = self;
        let entry = entries[id.key as usize].as_mut();
        entry.is_some_and(|entry| groups.join(group, token, &mut entry.memberships))
    }

    pub(super) fn leave(&mut self, id: ConnId, group: Group) -> bool {
        if self.find(id).is_none() {
            return false;
        }
        let Self { entries, groups, .. } = self;
        let entry = entries[id.key as usize].as_mut();
        entry.is_some_and(|entry| groups.leave(group, &mut entry.memberships))
    }

    pub(super) fn set_timer(&mut self, token: ConnToken, now: Tick, duration: Duration) {
        self.cancel_timer(token);
        let timer = self.timers.arm(now, duration, token);
        if let Some(entry) = self.entry(token.key) {
            entry.timer = Some(timer);
        }
    }

    pub(super) fn cancel_timer(&mut self, token: ConnToken) {
        let timer = self.entry(token.key).and_then(|entry| entry.timer.take());
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
    }

    #[cfg(debug_assertions)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnToken, &Entry)> {
        self.entries.iter().flatten().map(|entry| {
            let token = ConnToken { key: entry.id.key, generation: entry.generation };
            (token, entry)
        })
    }

    /// The next connection whose timer is due.
    pub(super) fn expire(&mut self, now: Tick) -> Option<ConnToken> {
        let token = self.timers.expire(now)?;
        if let Some(entry) = self.entry(token.key) {
            entry.timer = None;
        }
        Some(token)
    }
}
