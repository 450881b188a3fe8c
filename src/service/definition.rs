//! The definition of a service: its name, its default port, its line in the help, and how its two sides are made.

use std::fmt;

#[cfg(any(test, feature = "cli"))]
use super::client_side::ClientSide;
use super::client_side::{DatagramClient, StreamClient};
use super::server_side::{DatagramService, StreamService};

/// The definition of a service. The ones of the program are in [`ALL`](super::ALL).
pub struct Definition {
    /// The name in an [endpoint](super::endpoint::Endpoint).
    pub name: &'static str,
    /// The port when an endpoint has none.
    pub default_port: u16,
    /// Makes the server side. Which variant it is decides the transport.
    pub make: Make,
    // The minimal build has no use for these two.
    #[cfg(any(test, feature = "cli"))]
    summary: &'static str,
    #[cfg(any(test, feature = "cli"))]
    client_side: ClientSide,
}

/// Makes the server side of a service.
pub enum Make {
    /// For TCP.
    Stream(fn(Settings) -> Box<dyn StreamService>),
    /// For UDP.
    Datagram(fn(Settings) -> Box<dyn DatagramService>),
}

/// What services are configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum size of a message in bytes.
    pub message_bytes_max: usize,
    /// The local time zone.
    pub time_zone: tz::TimeZone,
}

impl Definition {
    /// A service on TCP.
    #[must_use]
    pub const fn stream(
        name: &'static str,
        default_port: u16,
        summary: &'static str,
        make: fn(Settings) -> Box<dyn StreamService>,
        client: &'static dyn StreamClient,
    ) -> Self {
        let _ = (summary, client);
        Self {
            name,
            default_port,
            make: Make::Stream(make),
            #[cfg(any(test, feature = "cli"))]
            summary,
            #[cfg(any(test, feature = "cli"))]
            client_side: ClientSide::Stream(client),
        }
    }

    /// A service on UDP.
    #[must_use]
    pub const fn datagram(
        name: &'static str,
        default_port: u16,
        summary: &'static str,
        make: fn(Settings) -> Box<dyn DatagramService>,
        client: &'static dyn DatagramClient,
    ) -> Self {
        let _ = (summary, client);
        Self {
            name,
            default_port,
            make: Make::Datagram(make),
            #[cfg(any(test, feature = "cli"))]
            summary,
            #[cfg(any(test, feature = "cli"))]
            client_side: ClientSide::Datagram(client),
        }
    }

    /// `tcp` or `udp`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self.make {
            Make::Stream(_) => "tcp",
            Make::Datagram(_) => "udp",
        }
    }

    /// Whether it is served on TCP.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.make, Make::Stream(_))
    }

    /// What it does, as the help shows it: a phrase without a full stop.
    #[cfg(any(test, feature = "cli"))]
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Requests and correct replies.
    #[cfg(any(test, feature = "cli"))]
    #[must_use]
    pub fn client_side(&self) -> ClientSide {
        self.client_side
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
