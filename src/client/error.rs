//! Why a client gives up: a value that prints as one line.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::journal::escape::escaped;

/// A failure, the server it concerns, and the texts that were not sent. It prints as one line,
/// `server: failure`, or `server: failure; unsent`.
#[derive(Debug)]
pub struct ClientError {
    /// The server, as an endpoint: `message=127.0.0.1:9999`.
    pub server: String,
    /// What went wrong.
    pub failure: Failure,
    /// The texts after the one at which the conversation ended, if it had come to one.
    pub unsent: Option<Unsent>,
}

impl ClientError {
    /// The arguments are wrong: `reason`.
    pub(super) fn of_usage(server: &str, reason: String) -> Self {
        Self { server: server.into(), failure: Failure::Usage(reason), unsent: None }
    }

    /// Whether the options are wrong, so that nothing was tried.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self.failure, Failure::Usage(_))
    }

    /// Whether the reader of the replies has gone: writing one failed with
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    #[must_use]
    pub fn is_reader_gone(&self) -> bool {
        matches!(&self.failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.failure)?;
        self.unsent.as_ref().map_or(Ok(()), |unsent| write!(f, "; {unsent}"))
    }
}

impl std::error::Error for ClientError {}

/// Texts that were not sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsent {
    /// How many.
    pub texts: usize,
    /// The first of them, [escaped](crate::journal::escape) and shortened.
    pub first: String,
}

impl Unsent {
    /// Of `texts`; `None` if there are none.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn of<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut first = escaped(texts.next()?);
        if let Some((end, _)) = first.char_indices().nth(SHOWN_CHARACTERS_MAX) {
            first.truncate(end);
            first.push('…');
        }
        Some(Self { texts: 1 + texts.count(), first })
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.texts, &self.first) {
            (1, first) => write!(f, "1 later text was not sent: '{first}'"),
            (texts, first) => write!(f, "{texts} later texts were not sent: '{first}', …"),
        }
    }
}

/// Maximum length of a text in an error message.
#[cfg(any(test, feature = "cli"))]
const SHOWN_CHARACTERS_MAX: usize = 40;

/// What can go wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The options are wrong, for this reason.
    Usage(String),
    /// The host has no address, or the resolver failed.
    Unresolved(io::Error),
    /// Nothing listens at the address.
    Refused,
    /// The connection is connected to itself: nothing listens at the port, and the system has assigned the
    /// same port as the local one.
    ReachedItself,
    /// There is no route to the address.
    Unreachable(io::Error),
    /// A timeout has passed.
    TimedOut {
        /// What the client was waiting for.
        awaited: Awaited,
        /// The timeout.
        after: Duration,
    },
    /// A datagram was not answered.
    NoAnswer {
        /// How often it was sent.
        tries: u32,
        /// The time that all tries took together.
        after: Duration,
    },
    /// The server closed, or dropped, the connection.
    Closed {
        /// Bytes received of the reply.
        received_bytes: usize,
    },
    /// The bytes received cannot be a reply of the service.
    NotTheProtocol {
        /// The service that was expected.
        service: &'static str,
        /// Why they cannot.
        reason: String,
    },
    /// The reply is longer than the limit.
    ReplyTooLong {
        /// The limit in bytes.
        reply_bytes_max: usize,
    },
    /// This text is the farewell of the service, and others follow it.
    EndedByText(String),
    /// The server refused to go on, for this reason.
    Refusal(String),
    /// A system call failed.
    Network {
        /// The step of the client: `connecting`, `sending` or `receiving`.
        step: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// All addresses of the host failed.
    AllAddresses {
        /// The number of addresses tried.
        tried: u32,
        /// The last of them.
        last: SocketAddr,
        /// Its failure.
        failure: Box<Failure>,
    },
    /// Transient failures did not end before the time limit.
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// The limit.
        after: Duration,
        /// The failure of the last attempt.
        last: Box<Failure>,
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
    /// A line of input is too long.
    LineTooLong {
        /// Which line, the first is 1.
        line: u64,
        /// The longest that is accepted.
        bytes_max: usize,
    },
    /// A reply could not be printed.
    Output(io::Error),
}

/// What the client was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The connection.
    Connection,
    /// The server to read what is sent.
    Sending,
    /// The end of a reply.
    Reply {
        /// Bytes received of it.
        received_bytes: usize,
    },
}

impl Failure {
    /// The failure for an error of the system at `step`.
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

    /// Whether the same request may succeed at another attempt: the server refused the connection at its port, could
    /// not be reached, closed the connection, or did not answer in time. The rest is final: what the server
    /// refused with a reason, what is not its protocol, a host without an address, and every other error of the system.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::{AddrNotAvailable, ConnectionAborted, ConnectionReset, NetworkDown, TimedOut};
        match self {
            Self::Refused
            | Self::ReachedItself
            | Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::NoAnswer { .. }
            | Self::Closed { .. } => true,
            // There are no free ports for a while, for example.
            Self::Network { error, .. } => matches!(
                error.kind(),
                AddrNotAvailable | ConnectionAborted | ConnectionReset | NetworkDown | TimedOut
            ),
            Self::AllAddresses { failure, .. } => failure.is_transient(),
            Self::Usage(_)
            | Self::Unresolved(_)
            | Self::NotTheProtocol { .. }
            | Self::ReplyTooLong { .. }
            | Self::EndedByText(_)
            | Self::Refusal(_)
            | Self::GaveUp { .. }
            | Self::Input(_)
            | Self::LineNotUtf8 { .. }
            | Self::LineTooLong { .. }
            | Self::Output(_) => false,
        }
    }

    /// Whether the server closed or stopped sending, without an error of its own.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::TimedOut { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(reason) => f.write_str(reason),
            Self::Unresolved(error) => write!(f, "cannot resolve the host: {error}"),
            Self::Refused => f.write_str("connection refused: is the server running?"),
            Self::ReachedItself => {
                f.write_str("connection refused: nothing listens there, the connection had reached itself")
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
                    write!(f, "timed out after {after:?} with {received_bytes} bytes of a reply received")
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
                write!(f, "the server closed the connection after {received_bytes} bytes of a reply")
            }
            Self::NotTheProtocol { service, reason } => {
                write!(f, "the server does not speak {service}: {reason}")
            }
            Self::ReplyTooLong { reply_bytes_max } => {
                write!(f, "the reply is longer than {reply_bytes_max} bytes")
            }
            Self::EndedByText(text) => write!(f, "'{}' ended the conversation", escaped(text.as_bytes())),
            Self::Refusal(reason) => write!(f, "the server refused: {}", escaped(reason.as_bytes())),
            Self::Network { step, error } => write!(f, "{step} failed: {error}"),
            Self::AllAddresses { tried, last, failure } => {
                write!(f, "{failure} ({tried} addresses tried, the last was {last})")
            }
            Self::GaveUp { attempts, after, last } => {
                write!(f, "{last} ({attempts} attempts, tried again for {after:?})")
            }
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
            Self::LineNotUtf8 { line, position } => {
                write!(f, "line {line} of the input is not UTF-8: its byte {position} begins no character")
            }
            Self::LineTooLong { line, bytes_max } => {
                write!(f, "line {line} of the input is longer than {bytes_max} bytes")
            }
            Self::Output(error) => write!(f, "cannot print a reply: {error}"),
        }
    }
}

/// Whether the call should be repeated until the deadline: after the timeout of the socket, which is only as
/// exact as the system's clock, or a signal.
pub(super) fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_names_the_endpoint() {
        let server = "message=127.0.0.1:9999".into();
        let failure = Failure::Refusal("too\nlong\u{1b}".into());
        assert_eq!(
            ClientError { server, failure, unsent: None }.to_string(),
            "message=127.0.0.1:9999: the server refused: too\\nlong\\u{1b}"
        );
    }

    #[test]
    fn an_error_has_the_number_of_unsent_texts_and_the_first_of_them_shortened() {
        let error = |texts: &[&str]| {
            let unsent = Unsent::of(texts.iter().map(|text| text.as_bytes()));
            let server = "month=127.0.0.1:8091".into();
            ClientError { server, failure: Failure::Refused, unsent }.to_string()
        };
        let failed = "month=127.0.0.1:8091: connection refused: is the server running?";
        assert_eq!(error(&[]), failed);
        assert_eq!(error(&["a\nb"]), format!("{failed}; 1 later text was not sent: 'a\\nb'"));
        assert_eq!(error(&["", "b", "c"]), format!("{failed}; 3 later texts were not sent: '', …"));
        let longest = "ü".repeat(40);
        assert!(error(&[&longest]).ends_with(&format!("'{longest}'")));
        assert!(error(&[&format!("{longest}ü")]).ends_with(&format!("'{longest}…'")));
    }

    #[test]
    fn a_timeout_error_has_the_step_and_the_time() {
        let after = Duration::from_millis(1500);
        let error = |awaited| Failure::TimedOut { awaited, after }.to_string();
        assert_eq!(error(Awaited::Connection), "timed out connecting after 1.5s");
        assert_eq!(error(Awaited::Sending), "timed out sending after 1.5s: the server does not read");
        assert_eq!(error(Awaited::Reply { received_bytes: 0 }), "timed out waiting for a reply after 1.5s");
        assert_eq!(
            error(Awaited::Reply { received_bytes: 9 }),
            "timed out after 1.5s with 9 bytes of a reply received"
        );
    }
}
