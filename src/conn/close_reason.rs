//! Why a connection was closed.

use std::fmt;

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum CloseReason {
    /// The service, or the peer between two frames, ended the stream.
    Served,
    /// The peer ended its side inside a frame.
    Truncated,
    /// The peer's bytes were refused.
    BadInput,
    /// The table was full when the peer connected.
    Full,
    /// The peer's source had as many connections as it may have when the peer connected.
    SourceFull,
    /// A frame was not complete at the frame timeout.
    FrameTimeout,
    /// No frame began before the idle timeout.
    IdleTimeout,
    /// The peer accepted no bytes of its replies for the write timeout.
    WriteTimeout,
    /// The memory budget was in use, and this connection held much of it, or for long.
    OutOfMemory,
    /// The peer did not take what others sent it.
    TooSlow,
    /// The peer reset the connection.
    Reset,
    /// The network failed in another way.
    Failed,
    /// A connection to another server could not be opened.
    NotConnected,
    /// The connection could not be registered with the poller.
    Unregistered,
    /// The server stopped.
    Stopped,
    /// A proxy's connection ended before the first byte of a header, as those do that only check whether the server
    /// accepts.
    NoProxyHeader,
    /// The PROXY header was refused, or there was none before other bytes.
    BadProxyHeader,
    /// The PROXY header was not complete at its timeout.
    ProxyHeaderTimeout,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Served,
        Self::Truncated,
        Self::BadInput,
        Self::Full,
        Self::SourceFull,
        Self::FrameTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::OutOfMemory,
        Self::TooSlow,
        Self::Reset,
        Self::Failed,
        Self::NotConnected,
        Self::Unregistered,
        Self::Stopped,
        Self::NoProxyHeader,
        Self::BadProxyHeader,
        Self::ProxyHeaderTimeout,
    ];

    /// The reason for an error of reading or writing.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        if matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected) {
            Self::Reset
        } else {
            Self::Failed
        }
    }
}

impl CloseReason {
    /// Whether the connection was refused by a limit.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::Full | Self::SourceFull)
    }

    /// Its name in metrics.
    #[cfg(feature = "cli")]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Truncated => "truncated",
            Self::BadInput => "bad_input",
            Self::Full => "full",
            Self::SourceFull => "source_full",
            Self::FrameTimeout => "frame_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::TooSlow => "too_slow",
            Self::Reset => "reset",
            Self::Failed => "failed",
            Self::NotConnected => "not_connected",
            Self::Unregistered => "unregistered",
            Self::Stopped => "stopped",
            Self::NoProxyHeader => "no_proxy_header",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::ProxyHeaderTimeout => "proxy_header_timeout",
        }
    }

    /// Whether the connection ended before it counted as one of its source.
    pub(crate) fn precedes_admission(self) -> bool {
        self.is_refusal()
            || matches!(self, Self::NoProxyHeader | Self::BadProxyHeader | Self::ProxyHeaderTimeout)
    }

    /// Whether the operator should know: it points at a peer that misbehaves, or at a limit. Bad input and
    /// bad headers are logged with their reason when they are refused.
    pub(crate) fn is_logged(self) -> bool {
        match self {
            Self::Full
            | Self::SourceFull
            | Self::FrameTimeout
            | Self::WriteTimeout
            | Self::OutOfMemory
            | Self::TooSlow
            | Self::Failed
            | Self::NotConnected
            | Self::Unregistered
            | Self::ProxyHeaderTimeout => true,
            Self::Served
            | Self::Truncated
            | Self::BadInput
            | Self::IdleTimeout
            | Self::Reset
            | Self::Stopped
            | Self::NoProxyHeader
            | Self::BadProxyHeader => false,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Served => "served",
            Self::Truncated => "the peer ended its side inside a frame",
            Self::BadInput => "bad input",
            Self::Full => "the server is full",
            Self::SourceFull => "its source has too many connections",
            Self::FrameTimeout => "a frame was incomplete at its timeout",
            Self::IdleTimeout => "idle for too long",
            Self::WriteTimeout => "the peer read none of its answers for too long",
            Self::OutOfMemory => "the memory budget was in use, and it held much or for long",
            Self::TooSlow => "it did not take what others sent it",
            Self::Reset => "reset by the peer",
            Self::Failed => "the network failed",
            Self::NotConnected => "it could not be opened",
            Self::Unregistered => "it could not be registered with the poller",
            Self::Stopped => "the server stopped",
            Self::NoProxyHeader => "ended before a PROXY header",
            Self::BadProxyHeader => "bad PROXY header",
            Self::ProxyHeaderTimeout => "no complete PROXY header at its timeout",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn those_that(has: impl Fn(CloseReason) -> bool) -> Vec<CloseReason> {
        CloseReason::ALL.into_iter().filter(|reason| has(*reason)).collect()
    }

    #[test]
    fn limits_and_failures_are_logged_and_what_peers_do_every_day_is_not() {
        use CloseReason::{
            BadProxyHeader, Failed, FrameTimeout, Full, NoProxyHeader, NotConnected, OutOfMemory,
            ProxyHeaderTimeout, SourceFull, TooSlow, Unregistered, WriteTimeout,
        };
        assert_eq!(
            those_that(CloseReason::is_logged),
            [
                Full,
                SourceFull,
                FrameTimeout,
                WriteTimeout,
                OutOfMemory,
                TooSlow,
                Failed,
                NotConnected,
                Unregistered,
                ProxyHeaderTimeout
            ]
        );
        assert_eq!(those_that(CloseReason::is_refusal), [Full, SourceFull]);
        let early = [Full, SourceFull, NoProxyHeader, BadProxyHeader, ProxyHeaderTimeout];
        assert_eq!(those_that(CloseReason::precedes_admission), early);
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let texts: BTreeSet<String> = CloseReason::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), CloseReason::ALL.len());
        #[cfg(feature = "cli")]
        {
            let labels: BTreeSet<&str> = CloseReason::ALL.iter().map(|reason| reason.label()).collect();
            assert_eq!(labels.len(), CloseReason::ALL.len());
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn each_reason_is_documented_with_its_label_and_whether_it_is_logged() {
        let page = include_str!("../../docs/OPERATING.md");
        for reason in CloseReason::ALL {
            let label = reason.label();
            let row = page.lines().find(|line| line.starts_with(&format!("| {reason} | `{label}` | ")));
            let row = row.unwrap_or_else(|| panic!("no row for '{reason}', {label}"));
            assert_eq!(row.contains("` | yes | "), reason.is_logged(), "{row}");
        }
    }
}
