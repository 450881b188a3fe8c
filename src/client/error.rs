//! Why a client gives up, as a value and as one line for the person who reads it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::frame::BadFrame;
use crate::journal::escape::escape;
use crate::service::endpoint::Endpoint;

/// What went wrong, and with which server. It prints as one line, `endpoint: what went wrong`.
#[derive(Debug)]
pub struct ClientError {
    /// The server, as it was asked for.
    pub endpoint: Endpoint,
    /// What went wrong.
    pub failure: Failure,
}

impl ClientError {
    /// Whether the options make no sense, so that nothing was tried.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self.failure, Failure::Usage(_))
    }

    /// Whether nobody reads the replies any more.
    #[must_use]
    pub fn is_reader_gone(&self) -> bool {
        matches!(&self.failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.failure)
    }
}

impl std::error::Error for ClientError {}

/// What can go wrong.
#[derive(Debug)]
pub enum Failure {
    /// The options make no sense, for the reason given.
    Usage(String),
    /// The host has no address, or nobody could be asked for it.
    Unresolved(io::Error),
    /// Nothing listens at the address.
    Refused,
    /// The connection has both its ends here. It happens when nothing listens, and the system gives the
    /// connection the very port it connects to as its own.
    ReachedItself,
    /// There is no way to the address.
    Unreachable(io::Error),
    /// A timeout has passed.
    TimedOut {
        /// What was waited for.
        awaited: Awaited,
        /// The timeout.
        after: Duration,
    },
    /// No try of a datagram was answered.
    NoAnswer {
        /// How often it was sent.
        tries: u32,
        /// How long all tries were waited for.
        after: Duration,
    },
    /// The server closed, or dropped, the connection.
    Closed {
        /// Bytes that had come of the reply.
        received_bytes: usize,
    },
    /// The server answered with bytes that are no frame.
    NotTheProtocol(BadFrame),
    /// The server went on after this many bytes.
    AnswerTooLong {
        /// The limit in bytes.
        answer_bytes_max: usize,
    },
    /// The server refused what it was sent, for the reason given.
    Refusal(String),
    /// The system failed at a step on the network.
    Network {
        /// What was to be done.
        step: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// No address of the host answered.
    Everywhere {
        /// How many were tried.
        tried: u32,
        /// The last of them.
        last: SocketAddr,
        /// What went wrong there.
        failure: Box<Failure>,
    },
    /// The input could not be read.
    Input(io::Error),
    /// A line of input is not UTF-8.
    LineNotUtf8 {
        /// Which line, the first is 1.
        line: u64,
        /// The first byte of the line that begins no character, counted from 0.
        position: usize,
    },
    /// A line of input is longer than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    LineTooLong {
        /// Which line, the first is 1.
        line: u64,
    },
    /// A reply could not be printed. When whoever read them has gone the kind is
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    Output(io::Error),
}

/// What a timeout was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The connection.
    Connection,
    /// The server taking what is sent.
    Sending,
    /// The end of a reply.
    Reply {
        /// Bytes that had come of it.
        received_bytes: usize,
    },
}

impl Failure {
    /// What `error` of the system means on the way to an address.
    pub(super) fn of_network(step: &'static str, error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        if error.kind() == ConnectionRefused {
            Self::Refused
        } else if matches!(error.kind(), NetworkUnreachable | HostUnreachable) {
            Self::Unreachable(error)
        } else {
            Self::Network { step, error }
        }
    }

    /// Whether the server simply said no more.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::TimedOut { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(reason) => f.write_str(reason),
            Self::Unresolved(error) => write!(f, "the host does not resolve: {error}"),
            Self::Refused => f.write_str("connection refused: is the server running?"),
            Self::ReachedItself => {
                f.write_str("connection refused: nothing listens there, the client had only reached itself")
            }
            Self::Unreachable(error) => write!(f, "unreachable: {error}"),
            Self::TimedOut { awaited, after } => match awaited {
                Awaited::Connection => write!(f, "timed out connecting after {after:?}"),
                Awaited::Sending => {
                    write!(f, "timed out sending after {after:?}: the server does not read")
                }
                Awaited::Reply { received_bytes: 0 } => {
                    write!(f, "timed out waiting for a reply after {after:?}")
                }
                Awaited::Reply { received_bytes } => {
                    write!(f, "timed out in the middle of a reply after {after:?}, ")?;
                    write!(f, "{received_bytes} bytes of it came")
                }
            },
            Self::NoAnswer { tries, after } => {
                let tries_are = if *tries == 1 { "try" } else { "tries" };
                write!(f, "no answer after {tries} {tries_are} in {after:?}")
            }
            Self::Closed { received_bytes: 0 } => {
                f.write_str("the server closed the connection before replying")
            }
            Self::Closed { received_bytes } => {
                write!(f, "the server closed the connection in the middle of a reply, ")?;
                write!(f, "{received_bytes} bytes of it came")
            }
            Self::NotTheProtocol(bad_frame) => write!(f, "the server does not speak message: {bad_frame}"),
            Self::AnswerTooLong { answer_bytes_max } => {
                write!(f, "the server answers more than {answer_bytes_max} bytes")
            }
            Self::Refusal(reason) => {
                let mut line = Vec::new();
                escape(reason.as_bytes(), &mut line);
                write!(f, "the server refused: {}", String::from_utf8_lossy(&line))
            }
            Self::Network { step, error } => write!(f, "{step} failed: {error}"),
            Self::Everywhere { tried, last, failure } => {
                write!(f, "{failure} ({tried} addresses tried, the last was {last})")
            }
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
            Self::LineNotUtf8 { line, position } => {
                write!(f, "line {line} of the input is not UTF-8: its byte {position} begins no character")
            }
            Self::LineTooLong { line } => {
                write!(f, "line {line} of the input is longer than {} bytes", super::LINE_BYTES_MAX)
            }
            Self::Output(error) => write!(f, "cannot print a reply: {error}"),
        }
    }
}

/// Whether `error` only ends a wait early, to be taken up again until its deadline: the timeout of the
/// socket, which is no more exact than the system's clock, or a signal.
pub(super) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_names_the_endpoint() {
        let endpoint: Endpoint = "message".parse().unwrap();
        let failure = Failure::Refusal("too\nlong\u{1b}".into());
        assert_eq!(
            ClientError { endpoint, failure }.to_string(),
            "message=127.0.0.1:9999: the server refused: too\\nlong\\u{1b}"
        );
    }

    #[test]
    fn a_timeout_says_what_for_and_after_how_long() {
        let after = Duration::from_millis(1500);
        let said = |awaited| Failure::TimedOut { awaited, after }.to_string();
        assert_eq!(said(Awaited::Connection), "timed out connecting after 1.5s");
        assert_eq!(said(Awaited::Sending), "timed out sending after 1.5s: the server does not read");
        assert_eq!(said(Awaited::Reply { received_bytes: 0 }), "timed out waiting for a reply after 1.5s");
        assert_eq!(
            said(Awaited::Reply { received_bytes: 9 }),
            "timed out in the middle of a reply after 1.5s, 9 bytes of it came"
        );
    }
}
