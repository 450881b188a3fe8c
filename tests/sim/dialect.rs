//! How the poller reports what has happened. Epoll merges all of a socket into one event, and reports with each
//! change everything that is true by then; kqueue has an event each for reading and writing, and reports what has
//! changed. Neither promises an order.

use loopline::net::Event;

use super::random::Random;
use super::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Epoll,
    Kqueue,
    /// One event for each socket, of what has changed.
    Changes,
}

impl Dialect {
    pub fn draw(random: &mut Random) -> Self {
        [Self::Epoll, Self::Kqueue, Self::Changes][random.below(3)]
    }

    /// The events of a wire that has an edge, one or two.
    pub fn events(self, wire: &Wire) -> Vec<Event> {
        let token = wire.token.expect("it is registered");
        let ended = wire.peer_ended || wire.reset;
        let (readable, writable) = (wire.readable, wire.writable);
        let event = Event { token, readable, writable, ended };
        match self {
            Self::Epoll => {
                let readable = readable || ended || !wire.to_server.is_empty();
                let has_room = wire.capacity > wire.to_peer.len() && !wire.write_blocked;
                vec![Event { readable, writable: writable || wire.reset || has_room, ..event }]
            }
            Self::Kqueue => {
                let read = Event { writable: false, ..event };
                let write = Event { readable: false, ended: wire.reset, ..event };
                let mut events = Vec::new();
                events.extend(readable.then_some(read));
                events.extend(writable.then_some(write));
                events
            }
            Self::Changes => vec![event],
        }
    }
}
