//! The states of a connection, and what leads from one to the next.

/// What is true of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A proxy has connected, and its header, which names the peer, is not complete. The service knows nothing of it.
    Awaiting,
    /// The bytes of the peer go to the service, and the answers of the service go to the peer.
    Open,
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
            (Self::Awaiting, ConnEvent::Flushed | ConnEvent::ReadEnded) => Self::Awaiting,
            (Self::Awaiting | Self::Open, ConnEvent::Identified) | (Self::Open, ConnEvent::Flushed) => {
                Self::Open
            }
            (Self::Open, ConnEvent::ReadEnded)
            | (Self::HalfOpen, ConnEvent::ReadEnded | ConnEvent::Flushed | ConnEvent::Identified) => {
                Self::HalfOpen
            }
            (Self::Awaiting | Self::Open | Self::Ending, ConnEvent::ServiceEnded)
            | (Self::Ending, ConnEvent::Identified | ConnEvent::ReadEnded) => Self::Ending,
            (
                Self::Awaiting | Self::Open | Self::HalfOpen | Self::Ending | Self::Finishing,
                ConnEvent::PeerEnded,
            )
            | (Self::HalfOpen, ConnEvent::ServiceEnded)
            | (Self::Finishing, ConnEvent::ServiceEnded | ConnEvent::Identified | ConnEvent::ReadEnded) => {
                Self::Finishing
            }
            (Self::Ending | Self::Lingering, ConnEvent::Flushed)
            | (Self::Lingering, ConnEvent::ServiceEnded | ConnEvent::Identified | ConnEvent::ReadEnded) => {
                Self::Lingering
            }
            (Self::Finishing, ConnEvent::Flushed)
            | (Self::Lingering, ConnEvent::PeerEnded)
            | (
                Self::Closed,
                ConnEvent::Identified
                | ConnEvent::PeerEnded
                | ConnEvent::ReadEnded
                | ConnEvent::ServiceEnded
                | ConnEvent::Flushed,
            ) => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const STATES: [State; 7] = [
        State::Awaiting,
        State::Open,
        State::HalfOpen,
        State::Ending,
        State::Finishing,
        State::Lingering,
        State::Closed,
    ];
    const EVENTS: [ConnEvent; 5] = [
        ConnEvent::Identified,
        ConnEvent::PeerEnded,
        ConnEvent::ReadEnded,
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
