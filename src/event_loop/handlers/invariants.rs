//! What must be true of handlers after each turn. Debug builds check it, and so do all tests.

use super::registry::{NOT_OPENED, Registry};
use crate::event_loop::EventLoop;
use crate::net::Net;

impl<N: Net> EventLoop<N> {
    /// Panics if the registry does not have each connection of a handler once, or has something of another one.
    pub(in crate::event_loop) fn check_handlers(&self) {
        let registry = &self.handlers.registry;
        registry.check();
        let mut states = vec![0; self.handlers.list.len()];
        let mut entries = 0;
        for (token, entry) in registry.iter() {
            let key = self.table.find(token);
            let handler = key.and_then(|key| self.handler_of(key));
            assert_eq!(handler, Some(entry.handler), "connection {} is in the registry", token.key);
            let is_connecting = key.is_some_and(|key| self.table.conn(key).session().is_connecting());
            assert_eq!(entry.state == NOT_OPENED, is_connecting, "connection {} has a state", token.key);
            states[usize::from(entry.handler)] += usize::from(!is_connecting);
            entries += 1;
        }
        let conns = self.table.iter().filter(|conn| {
            let is_of_handler = self.listeners[usize::from(conn.endpoint)].handler.is_some();
            is_of_handler && conn.session().is_admitted()
        });
        assert_eq!(conns.count(), entries, "connections of handlers, and those in the registry");
        for (handler, states) in self.handlers.list.iter().zip(states) {
            assert_eq!(handler.states(), states, "states of a handler, and connections that have one");
        }
    }
}

impl Registry {
    fn check(&self) {
        let (mut timed, mut memberships) = (0, 0);
        for (_, entry) in self.iter() {
            timed += usize::from(entry.has_timer());
            memberships += self.groups.count(entry.memberships());
        }
        assert_eq!(self.timers.len(), timed, "timers, and connections that have one");
        self.groups.check(memberships);
    }
}
