//! What a run asks of its connections, whatever they are made of.

use crate::load::error_kind::ErrorKind;
use crate::load::stats::tally::Tally;
use crate::net::{ClientNet, Event};

/// What the parts of a run are done with: the network, and the counts.
pub(crate) struct Context<'a, N> {
    pub(crate) net: &'a mut N,
    pub(crate) tally: &'a mut Tally,
}

/// What a run does with its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Of the connections, how many send: the first ones.
    pub(crate) active: u32,
    /// Closed loop: messages in flight on a connection. Open loop: none, the schedule decides.
    pub(crate) pipeline: Option<u32>,
    /// Each message has a connection of its own.
    pub(crate) one_shot: bool,
    /// How long a connection may take to be there, or the answer to a datagram, in nanoseconds.
    pub(crate) timeout_ns: u64,
}

/// The connections of a run.
pub(crate) trait Traffic<N: ClientNet> {
    /// Asks for one more connection. Returns the reason if there can be no further one either.
    fn open_next(&mut self, context: &mut Context<'_, N>) -> Option<ErrorKind>;

    /// Connections asked for that are not there yet.
    fn connecting(&self) -> u32;

    /// Failures to connect since the last success.
    fn consecutive_failures(&self) -> u32;

    /// Messages may be sent from now on; in a closed loop the first are.
    fn start(&mut self, context: &mut Context<'_, N>);

    /// No message is sent any more.
    fn stop(&mut self, context: &mut Context<'_, N>);

    /// Whether a message can still be sent, now or later.
    fn can_send(&self) -> bool;

    /// Sends a message that was due at `due_ns`, on the connection whose turn it is.
    fn send_due(&mut self, context: &mut Context<'_, N>, due_ns: u64, now_ns: u64);

    /// Something has happened to a connection.
    fn on_event(&mut self, context: &mut Context<'_, N>, event: Event);

    /// Whether there is something to do that no event will tell of.
    fn has_pending_work(&self) -> bool {
        false
    }

    /// Does what was left of the turn before.
    fn resume(&mut self, context: &mut Context<'_, N>) {
        let _ = context;
    }

    /// Gives up what has taken too long, and says when the next will have.
    fn expire(&mut self, context: &mut Context<'_, N>, now_ns: u64) -> Option<u64>;

    /// Whether no answer is waited for.
    fn is_drained(&self, tally: &Tally) -> bool {
        tally.counts().in_flight() == 0
    }

    /// Asserts, in debug builds, that the connections agree with each other and with what is counted.
    fn check(&self, tally: &Tally);
}
