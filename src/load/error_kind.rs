//! What can go wrong with a connection or a message, by reason.

use std::io;

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No descriptor is left for one more connection.
    Descriptors,
    /// No port of the source addresses is free.
    Ports,
    /// The address to connect from is not this machine's.
    Source,
    /// The kernel is out of memory for sockets.
    Memory,
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// A connection was asked for, and nothing came back in time.
    NoConnection,
    /// The server closed the connection before anything was sent on it: it has enough.
    ServerCap,
    /// The server ended the stream.
    Closed,
    /// The connection was reset.
    Reset,
    /// The reply is not what it should be.
    WrongReply,
    /// The server said why it does not go on.
    ServerRefuses,
    /// A datagram was not answered in time.
    NoAnswer,
    /// A message was due, and no connection was free to take it.
    NoPlace,
    /// Anything else that the network says.
    Network,
}

impl Trouble {
    /// The reason in words, as in a table of them.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "out of descriptors",
            Self::Ports => "out of ports",
            Self::Source => "no such source address",
            Self::Memory => "out of memory",
            Self::Refused => "connection refused",
            Self::Unreachable => "unreachable",
            Self::NoConnection => "no connection in time",
            Self::ServerCap => "closed at once by the server",
            Self::Closed => "closed by the server",
            Self::Reset => "reset by the server",
            Self::WrongReply => "wrong reply",
            Self::ServerRefuses => "refused by the server",
            Self::NoAnswer => "no answer in time",
            Self::NoPlace => "never sent, no free connection",
            Self::Network => "network error",
        }
    }

    /// The limit that keeps connections from being opened, as scripts read it. `others_opened`: some of the
    /// same run were.
    pub(crate) fn limit(self, others_opened: bool) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Ports => "ports",
            Self::Source => "source",
            Self::Memory => "memory",
            Self::Refused => "refused",
            // Whoever has answered before and does not now has no room left for those who wait.
            Self::NoConnection if others_opened => "backlog",
            Self::NoConnection | Self::Unreachable | Self::Network | Self::NoAnswer | Self::NoPlace => {
                "unreachable"
            }
            Self::ServerCap | Self::Closed | Self::Reset | Self::WrongReply | Self::ServerRefuses => {
                "server_cap"
            }
        }
    }

    /// Whether trying again at once is in vain for every connection, not only for this.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Descriptors | Self::Memory | Self::Ports | Self::Source)
    }

    /// What an error of a connection means, before it is there or after.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match (error.kind(), error.raw_os_error()) {
            (_, Some(libc::EMFILE | libc::ENFILE)) => Self::Descriptors,
            (Kind::OutOfMemory, _) | (_, Some(libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)) => Self::Memory,
            (Kind::InvalidInput, None) => Self::Source,
            (Kind::AddrNotAvailable, _) | (_, Some(libc::EAGAIN)) => Self::Ports,
            // The connection has reached itself: nobody listens there.
            (Kind::ConnectionRefused | Kind::AddrInUse, _) => Self::Refused,
            (Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe, _) => Self::Reset,
            (Kind::TimedOut, _) => Self::NoConnection,
            (Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown, _) => Self::Unreachable,
            _ => Self::Network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_connect_read_and_write_has_its_reason() {
        for (errno, trouble) in [
            (libc::EMFILE, Trouble::Descriptors),
            (libc::ENFILE, Trouble::Descriptors),
            (libc::ENOBUFS, Trouble::Memory),
            (libc::ENOMEM, Trouble::Memory),
            (libc::ENOSPC, Trouble::Memory),
            (libc::EADDRNOTAVAIL, Trouble::Ports),
            (libc::EAGAIN, Trouble::Ports),
            (libc::ECONNREFUSED, Trouble::Refused),
            (libc::EADDRINUSE, Trouble::Refused),
            (libc::ECONNRESET, Trouble::Reset),
            (libc::ECONNABORTED, Trouble::Reset),
            (libc::EPIPE, Trouble::Reset),
            (libc::ETIMEDOUT, Trouble::NoConnection),
            (libc::EHOSTUNREACH, Trouble::Unreachable),
            (libc::ENETUNREACH, Trouble::Unreachable),
            (libc::ENETDOWN, Trouble::Unreachable),
            (libc::EACCES, Trouble::Network),
            (libc::EPERM, Trouble::Network),
            (libc::EINVAL, Trouble::Network),
            (libc::EMSGSIZE, Trouble::Network),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(Trouble::of(&error), trouble, "{error}");
        }
    }

    #[test]
    fn whoever_has_answered_others_has_no_room_left() {
        assert_eq!(Trouble::NoConnection.limit(true), "backlog");
        assert_eq!(Trouble::NoConnection.limit(false), "unreachable");
        assert_eq!(Trouble::Refused.limit(true), "refused");
        assert_eq!(Trouble::Unreachable.limit(true), "unreachable");
        for trouble in [Trouble::ServerCap, Trouble::Closed, Trouble::Reset, Trouble::ServerRefuses] {
            assert_eq!(trouble.limit(true), "server_cap");
        }
    }

    #[test]
    fn only_what_is_short_here_stops_the_opening_at_once() {
        let finals = [Trouble::Descriptors, Trouble::Memory, Trouble::Ports];
        for (trouble, limit) in finals.into_iter().zip(["descriptors", "memory", "ports"]) {
            assert!(trouble.is_final());
            assert_eq!(trouble.limit(true), limit);
        }
        for trouble in [Trouble::Refused, Trouble::Reset, Trouble::NoConnection, Trouble::Network] {
            assert!(!trouble.is_final());
        }
    }
}
