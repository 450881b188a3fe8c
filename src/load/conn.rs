//! A TCP connection of the generator: its state and what changes it.

use super::batch::Batch;

/// State of a connection. All changes are in [`State::after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no connection.
    Closed,
    /// The connection is requested and not established.
    Connecting,
    /// It is established, and what precedes the messages is not over.
    Introducing,
    /// The socket accepts bytes.
    Open,
    /// The send buffer is full.
    Blocked,
    /// A write has failed. Bytes that arrived before may still be unread.
    Broken,
}

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnEvent {
    /// It is requested.
    Requested,
    /// It is established, and something precedes the messages.
    Connected,
    /// Messages can be sent.
    Established,
    /// A write was short or would block.
    SendBufferFull,
    /// The poller reports that the socket accepts bytes.
    Writable,
    /// A write failed.
    WriteFailed,
    /// It was closed, or could not be established.
    Ended,
}

impl State {
    /// The state after `event`. An event that does not apply to a state leaves it unchanged.
    pub(crate) fn after(self, event: ConnEvent) -> Self {
        use ConnEvent::{Connected, Ended, Established, Requested, SendBufferFull, Writable, WriteFailed};
        match (self, event) {
            (Self::Closed | Self::Connecting, Requested)
            | (Self::Connecting, SendBufferFull | Writable | WriteFailed) => Self::Connecting,
            (Self::Connecting | Self::Introducing, Connected)
            | (Self::Introducing, Requested | SendBufferFull | Writable | WriteFailed) => Self::Introducing,
            (Self::Connecting | Self::Introducing | Self::Open, Established)
            | (Self::Open | Self::Blocked, Writable)
            | (Self::Open, Requested | Connected) => Self::Open,
            (Self::Open | Self::Blocked, SendBufferFull)
            | (Self::Blocked, Requested | Connected | Established) => Self::Blocked,
            (Self::Open | Self::Blocked, WriteFailed)
            | (Self::Broken, Requested | Connected | Established | SendBufferFull | Writable | WriteFailed) => {
                Self::Broken
            }
            (Self::Closed, Connected | Established | SendBufferFull | Writable | WriteFailed)
            | (
                Self::Closed
                | Self::Connecting
                | Self::Introducing
                | Self::Open
                | Self::Blocked
                | Self::Broken,
                Ended,
            ) => Self::Closed,
        }
    }

    /// Whether messages can be sent, now or once the send buffer has room.
    pub(crate) fn can_send(self) -> bool {
        matches!(self, Self::Open | Self::Blocked)
    }
}

/// A connection of the generator. What it has only for a time is kept in the table, so that an idle one
/// stays small.
#[derive(Debug)]
pub(crate) struct Conn<S> {
    pub(crate) stream: Option<S>,
    /// Distinguishes this connection from earlier ones of its slot.
    pub(super) generation: u8,
    pub(super) state: State,
    /// The oldest messages in flight; their count is 0 if there are none.
    pub(super) oldest: Batch,
    /// Index in the table of what it has only for a time.
    pub(super) extra: u32,
    /// Bytes received of the next reply, or its progress.
    pub(crate) reply_bytes: u32,
    /// Messages in flight that are not entirely written.
    pub(crate) unsent: u32,
    /// Bytes written of the first of them.
    pub(crate) written: u32,
}

/// Size limit of a connection: a million of them are held at once.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Conn<std::net::TcpStream>>() == 40);

#[cfg(test)]
mod tests {
    use super::ConnEvent::{Connected, Ended, Established, Requested, SendBufferFull, Writable, WriteFailed};
    use super::State::{Blocked, Broken, Closed, Connecting, Introducing, Open};

    #[test]
    fn every_state_has_one_successor_for_each_event() {
        let events = [Requested, Connected, Established, SendBufferFull, Writable, WriteFailed, Ended];
        for (state, successors) in [
            (Closed, [Connecting, Closed, Closed, Closed, Closed, Closed, Closed]),
            (Connecting, [Connecting, Introducing, Open, Connecting, Connecting, Connecting, Closed]),
            (Introducing, [Introducing, Introducing, Open, Introducing, Introducing, Introducing, Closed]),
            (Open, [Open, Open, Open, Blocked, Open, Broken, Closed]),
            (Blocked, [Blocked, Blocked, Blocked, Blocked, Open, Broken, Closed]),
            (Broken, [Broken, Broken, Broken, Broken, Broken, Broken, Closed]),
        ] {
            assert_eq!(events.map(|event| state.after(event)), successors, "{state:?}");
        }
    }
}
