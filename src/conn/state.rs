//! The states of a connection, and what leads from one to the next.

/// What is true of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A handler has asked for it, and the other server has not accepted it yet. What is sent to it is kept.
    #[cfg(any(test, feature = "handlers"))]
    Connecting,
    /// A proxy has connected, and its header, which names the peer, is not complete. The service knows nothing of it.
    Awaiting,
    /// The bytes of the peer go to the service, and the answers of the service go to the peer.
    Open,
    /// A handler sends nothing more: our side ends when everything is sent. The bytes of the peer still go to the handler.
    ReceiveOnly,
    /// The peer has ended its side, and the service, a handler, may send more.
    HalfOpen,
    /// The service has given its last answer, which is not sent yet. Nothing more is read.
    Ending,
    /// As `Ending`, and the peer has ended its side too: everything it sent is read.
    Finishing,
    /// Everything is sent and our side is ended. Bytes that still come are read and discarded: closing with
    /// bytes unread would make the kernel reset the connection, and the last answer would be lost.
    Lingering,
    /// Over; the slot is free for another connection.
    Closed,
}

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnEvent {
    /// The other server has accepted.
    #[cfg(any(test, feature = "handlers"))]
    Connected,
    /// The header of the proxy is complete: the peer is known.
    #[cfg_attr(not(any(test, feature = "cli")), expect(dead_code, reason = "this build parses no headers"))]
    Identified,
    /// The peer has ended its side, and everything it sent is read.
    PeerEnded,
    /// The same, and the service may go on to send.
    #[cfg_attr(
        not(any(test, feature = "handlers")),
        expect(dead_code, reason = "this build has no handlers")
    )]
    ReadEnded,
    /// The service, a handler, sends nothing more, and may go on to receive.
    #[cfg_attr(
        not(any(test, feature = "handlers")),
        expect(dead_code, reason = "this build has no handlers")
    )]
    WriteEnded,
    /// The service has given its last answer.
    ServiceEnded,
    /// Nothing is left unsent.
    Flushed,
}

impl State {
    /// The state after `event`; ARCHITECTURE.md has the diagram. Errors and deadlines are not in it: they close a
    /// connection in any state.
    pub(crate) fn after(self, event: ConnEvent) -> Self {
        match (self, event) {
            #[cfg(any(test, feature = "handlers"))]
            (Self::Connecting, ConnEvent::Connected) => Self::Open,
            (Self::Awaiting, ConnEvent::Identified) => Self::Open,
            (Self::Open, ConnEvent::WriteEnded) => Self::ReceiveOnly,
            (Self::Open, ConnEvent::ReadEnded) => Self::HalfOpen,
            (Self::Awaiting | Self::Open | Self::ReceiveOnly | Self::Ending, ConnEvent::ServiceEnded) => {
                Self::Ending
            }
            (
                Self::Awaiting | Self::Open | Self::ReceiveOnly | Self::HalfOpen | Self::Ending,
                ConnEvent::PeerEnded,
            )
            | (Self::HalfOpen, ConnEvent::WriteEnded | ConnEvent::ServiceEnded)
            | (Self::ReceiveOnly, ConnEvent::ReadEnded) => Self::Finishing,
            (Self::Ending, ConnEvent::Flushed) => Self::Lingering,
            (Self::Finishing, ConnEvent::Flushed) | (Self::Lingering, ConnEvent::PeerEnded) => Self::Closed,
            // It is of no consequence here.
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const STATES: [State; 9] = [
        State::Connecting,
        State::Awaiting,
        State::Open,
        State::ReceiveOnly,
        State::HalfOpen,
        State::Ending,
        State::Finishing,
        State::Lingering,
        State::Closed,
    ];
    const EVENTS: [ConnEvent; 7] = [
        ConnEvent::Connected,
        ConnEvent::Identified,
        ConnEvent::PeerEnded,
        ConnEvent::ReadEnded,
        ConnEvent::WriteEnded,
        ConnEvent::ServiceEnded,
        ConnEvent::Flushed,
    ];

    #[test]
    fn the_state_diagram_of_the_documentation_has_every_transition() {
        let documented: BTreeSet<String> = include_str!("../../ARCHITECTURE.md")
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| line.contains(" --> ") && line.contains(": "))
            .collect();
        let mut transitions = BTreeSet::new();
        for state in STATES {
            for event in EVENTS {
                let next = state.after(event);
                // The diagram leaves out that a state stays as it is.
                if next != state {
                    transitions.insert(format!("{state:?} --> {next:?}: {event:?}"));
                }
            }
        }
        assert_eq!(documented, transitions);
    }

    #[test]
    fn no_event_leads_back() {
        // In the order of the enum a connection only ever goes on, but for `Ending` and `Finishing`, which
        // differ in what the peer has done.
        for state in STATES {
            for event in EVENTS {
                assert!(state.after(event) as u8 >= state as u8, "{state:?} after {event:?}");
            }
        }
    }
}
