//! The kinds of errors of connections and messages.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize, Serializer};

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum ErrorKind {
    /// No descriptor is left for another connection.
    Descriptors,
    /// No port of the source addresses is free.
    Ports,
    /// The source address is not an address of this machine.
    Source,
    /// The kernel is out of memory for sockets.
    Memory,
    /// Nothing listens at the target.
    Refused,
    /// There is no route to the target.
    Unreachable,
    /// A connection was not established in time.
    ConnectTimeout,
    /// The server closed a connection before anything was sent on it: it is at its limit.
    ServerCap,
    /// The server ended the stream.
    Closed,
    /// The connection was reset.
    Reset,
    /// The reply is not the expected one.
    WrongReply,
    /// The server replied with the reason why it ends the stream.
    ServerRefuses,
    /// A datagram was not answered in time.
    ReplyTimeout,
    /// A request was answered as if it were the first of a new peer.
    NewSession,
    /// A message was due, and no connection was free to send it.
    NoFreeConnection,
    /// Any other error of the network.
    Network,
}

/// What keeps connections from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenLimit {
    /// No descriptor was left.
    Descriptors,
    /// No port of the source addresses was free.
    Ports,
    /// A source address is not an address of this machine.
    Source,
    /// The kernel was out of memory for sockets.
    Memory,
    /// The server accepted other connections, and did not accept the rest in time.
    Backlog,
    /// Nothing listens at the target.
    Refused,
    /// The server closed connections at once, as at a limit of its own.
    ServerCap,
    /// The target did not answer, or there is no route to it.
    Unreachable,
}

impl ErrorKind {
    /// What an error of connecting, reading or writing means.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match (error.kind(), error.raw_os_error()) {
            (_, Some(libc::EMFILE | libc::ENFILE)) => Self::Descriptors,
            (Kind::OutOfMemory, _) | (_, Some(libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)) => Self::Memory,
            (Kind::InvalidInput, None) => Self::Source,
            (Kind::AddrNotAvailable, _) | (_, Some(libc::EAGAIN)) => Self::Ports,
            // In use: the kernel connected the socket to itself, so nothing listens there.
            (Kind::ConnectionRefused | Kind::AddrInUse, _) => Self::Refused,
            (Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe, _) => Self::Reset,
            (Kind::TimedOut, _) => Self::ConnectTimeout,
            (Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown, _) => Self::Unreachable,
            _ => Self::Network,
        }
    }

    /// The limit that this error of opening a connection stands for. `others_opened`: other connections of
    /// the same run were opened.
    pub(crate) fn limit(self, others_opened: bool) -> OpenLimit {
        match self {
            Self::Descriptors => OpenLimit::Descriptors,
            Self::Ports => OpenLimit::Ports,
            Self::Source => OpenLimit::Source,
            Self::Memory => OpenLimit::Memory,
            Self::Refused => OpenLimit::Refused,
            // A server that has accepted others and no longer answers has a full backlog.
            Self::ConnectTimeout if others_opened => OpenLimit::Backlog,
            Self::ConnectTimeout
            | Self::Unreachable
            | Self::Network
            | Self::ReplyTimeout
            | Self::NewSession
            | Self::NoFreeConnection => OpenLimit::Unreachable,
            Self::ServerCap | Self::Closed | Self::Reset | Self::WrongReply | Self::ServerRefuses => {
                OpenLimit::ServerCap
            }
        }
    }

    /// Whether every other connection would fail in the same way.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Descriptors | Self::Memory | Self::Ports | Self::Source)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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
            Self::NewSession => "session lost",
            Self::NoFreeConnection => "never sent, no free connection",
            Self::Network => "network error",
        })
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
    fn every_error_of_connect_read_and_write_has_its_kind() {
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
    fn a_timeout_means_a_full_backlog_if_others_were_opened() {
        assert_eq!(ErrorKind::ConnectTimeout.limit(true), OpenLimit::Backlog);
        assert_eq!(ErrorKind::ConnectTimeout.limit(false), OpenLimit::Unreachable);
        assert_eq!(ErrorKind::Refused.limit(true), OpenLimit::Refused);
        assert_eq!(ErrorKind::Unreachable.limit(true), OpenLimit::Unreachable);
        for kind in [ErrorKind::ServerCap, ErrorKind::Closed, ErrorKind::Reset, ErrorKind::ServerRefuses] {
            assert_eq!(kind.limit(true), OpenLimit::ServerCap);
        }
    }

    #[test]
    fn only_local_limits_stop_the_opening_at_once() {
        for kind in [ErrorKind::Descriptors, ErrorKind::Memory, ErrorKind::Ports, ErrorKind::Source] {
            assert!(kind.is_final());
        }
        for kind in [ErrorKind::Refused, ErrorKind::Reset, ErrorKind::ConnectTimeout, ErrorKind::Network] {
            assert!(!kind.is_final());
        }
    }
}
