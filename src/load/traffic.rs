//! What a run requires of its connections, over TCP or UDP.

use std::net::SocketAddr;

use super::error_kind::ErrorKind;
use super::exchange::Introduction;
use super::idle_probe::IdleProbe;
use super::sources::Sources;
use super::stats::tally::Tally;
use crate::net::{ClientNet, Event};

/// The context of a run: the network, and the counters.
pub(crate) struct Context<N> {
    pub(crate) net: N,
    pub(crate) tally: Tally,
}

/// Where connections go, and how they are used.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) sources: Sources,
    /// Number of connections that can send: the first ones. The others only send heartbeats.
    pub(crate) active: u32,
    /// Closed loop: messages in flight on a connection. `None`: open loop.
    pub(crate) pipeline: Option<u32>,
    /// Each message has its own connection.
    pub(crate) one_shot: bool,
    /// Maximum time to open a connection, or to wait for the answer to a datagram.
    pub(crate) timeout_ns: u64,
    /// What precedes the messages on each connection.
    pub(crate) introduction: Introduction,
    /// How often each of the connections that are not active sends.
    pub(crate) heartbeat_ns: Option<u64>,
    /// Silences to probe, ascending; empty: connections are not probed.
    pub(crate) silences_ns: Vec<u64>,
}

/// The connections of a run.
pub(crate) trait Traffic<N: ClientNet> {
    /// Requests another connection. Returns the error if every further one would fail too.
    fn open_next(&mut self, context: &mut Context<N>) -> Option<ErrorKind>;

    /// Allows sending. In a closed loop, sends the first messages.
    fn start(&mut self, context: &mut Context<N>);

    /// Sets how many connections send: the first ones. At first it is all that can.
    fn set_active(&mut self, context: &mut Context<N>, active: u32);

    /// Ends sending.
    fn stop(&mut self, context: &mut Context<N>);

    /// Whether a message can still be sent, now or later. Opening is over.
    fn can_send(&mut self) -> bool;

    /// Sends a message that was due at `due_ns`, on the next connection.
    fn send_due(&mut self, context: &mut Context<N>, due_ns: u64, now_ns: u64);

    /// Handles an event of the poller.
    fn on_event(&mut self, context: &mut Context<N>, event: Event);

    /// Whether there is work that no event will announce.
    fn has_pending_work(&self) -> bool {
        false
    }

    /// Does such work.
    fn resume(&mut self, _context: &mut Context<N>) {}

    /// Handles timeouts that are over. Returns when the next will be.
    fn expire(&mut self, context: &mut Context<N>, now_ns: u64) -> Option<u64>;

    /// Whether no reply is outstanding.
    fn is_drained(&self, tally: &Tally) -> bool {
        tally.counts().in_flight() == 0
    }

    /// The groups of silent connections, if connections are probed.
    fn idle_probe(&mut self) -> &mut Option<IdleProbe>;

    /// The sources of the connections.
    fn sources(&mut self) -> &mut Sources;

    /// The streams that are open, each at the position of its key. Datagrams have none.
    fn into_streams(self) -> Vec<Option<N::Stream>>;

    /// Asserts, in debug builds, that the connections agree with each other and with the counters.
    fn check(&self, tally: &Tally);
}
