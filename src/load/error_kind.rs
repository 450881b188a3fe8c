//! What can go wrong with a connection or a message, by reason.

use std::fmt;
use std::io;

use serde::Serialize;

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
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
    ConnectTimeout,
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
    ReplyTimeout,
    /// A message was due, and no connection was free to take it.
    NoFreeConnection,
    /// Anything else that the network says.
    Network,
}

impl ErrorKind {
    /// The reason in words, as in a table of them.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "out of descriptors",
            Self::Ports => "out of ports",
            Self::Source => "no such source address",
            Self::Memory => "out of memory",
            Self::Refused => "connection refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "no connection in time",
            Self::ServerCap => "closed at once by the server",
            Self::Closed => "closed by the server",
            Self::Reset => "reset by the server",
            Self::WrongReply => "wrong reply",
            Self::ServerRefuses => "refused by the server",
            Self::ReplyTimeout => "no answer in time",
            Self::NoFreeConnection => "never sent, no free connection",
            Self::Network => "network error",
        }
    }

    /// The limit that keeps connections from being opened. `others_opened`: some of the
    /// same run were.
    pub(crate) fn limit(self, others_opened: bool) -> OpenLimit {
        match self {
            Self::Descriptors => OpenLimit::Descriptors,
            Self::Ports => OpenLimit::Ports,
            Self::Source => OpenLimit::Source,
            Self::Memory => OpenLimit::Memory,
            Self::Refused => OpenLimit::Refused,
            // Whoever has answered before and does not now has no room left for those who wait.
            Self::ConnectTimeout if others_opened => OpenLimit::Backlog,
            Self::ConnectTimeout
            | Self::Unreachable
            | Self::Network
            | Self::ReplyTimeout
            | Self::NoFreeConnection => OpenLimit::Unreachable,
            Self::ServerCap | Self::Closed | Self::Reset | Self::WrongReply | Self::ServerRefuses => {
                OpenLimit::ServerCap
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
            (Kind::TimedOut, _) => Self::ConnectTimeout,
            (Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown, _) => Self::Unreachable,
            _ => Self::Network,
        }
    }
}

/// What kept connections from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenLimit {
    Descriptors,
    Ports,
    Source,
    Memory,
    Refused,
    Backlog,
    Unreachable,
    /// The connections that the server allows.
    ServerCap,
}

impl fmt::Display for OpenLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_connect_read_and_write_has_its_reason() {
        for (errno, kind) in [
            (libc::EMFILE, ErrorKind::Descriptors),
            (libc::ENFILE, ErrorKind::Descriptors),
            (libc::ENOBUFS, ErrorKind::Memory),
            (libc::ENOMEM, ErrorKind::Memory),
            (libc::ENOSPC, ErrorKind::Memory),
            (libc::EADDRNOTAVAIL, ErrorKind::Ports),
            (libc::EAGAIN, ErrorKind::Ports),
            (libc::ECONNREFUSED, ErrorKind::Refused),
            (libc::EADDRINUSE, ErrorKind::Refused),
            (libc::ECONNRESET, ErrorKind::Reset),
            (libc::ECONNABORTED, ErrorKind::Reset),
            (libc::EPIPE, ErrorKind::Reset),
            (libc::ETIMEDOUT, ErrorKind::ConnectTimeout),
            (libc::EHOSTUNREACH, ErrorKind::Unreachable),
            (libc::ENETUNREACH, ErrorKind::Unreachable),
            (libc::ENETDOWN, ErrorKind::Unreachable),
            (libc::EACCES, ErrorKind::Network),
            (libc::EPERM, ErrorKind::Network),
            (libc::EINVAL, ErrorKind::Network),
            (libc::EMSGSIZE, ErrorKind::Network),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(ErrorKind::of(&error), kind, "{error}");
        }
    }

    #[test]
    fn whoever_has_answered_others_has_no_room_left() {
        assert_eq!(ErrorKind::ConnectTimeout.limit(true), OpenLimit::Backlog);
        assert_eq!(ErrorKind::ConnectTimeout.limit(false), OpenLimit::Unreachable);
        assert_eq!(ErrorKind::Refused.limit(true), OpenLimit::Refused);
        assert_eq!(ErrorKind::Unreachable.limit(true), OpenLimit::Unreachable);
        for kind in [ErrorKind::ServerCap, ErrorKind::Closed, ErrorKind::Reset, ErrorKind::ServerRefuses] {
            assert_eq!(kind.limit(true), OpenLimit::ServerCap);
        }
    }

    #[test]
    fn only_what_is_short_here_stops_the_opening_at_once() {
        let finals = [ErrorKind::Descriptors, ErrorKind::Memory, ErrorKind::Ports];
        for (kind, limit) in
            finals.into_iter().zip([OpenLimit::Descriptors, OpenLimit::Memory, OpenLimit::Ports])
        {
            assert!(kind.is_final());
            assert_eq!(kind.limit(true), limit);
        }
        for kind in [ErrorKind::Refused, ErrorKind::Reset, ErrorKind::ConnectTimeout, ErrorKind::Network] {
            assert!(!kind.is_final());
        }
    }
}
