//! The server that a client uses: where it is, how long to wait for it, and whether to try again.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::address;
use super::error::{ClientError, Failure};
use crate::service::endpoint::{write_address, write_endpoint};

#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) timeout: Duration,
    pub(super) datagram_retries: u32,
    /// How long transient failures are followed by another attempt.
    pub(super) retry_limit: Option<Duration>,
}

impl Server {
    /// The addresses of the host.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        if self.timeout.is_zero() {
            return Err(Failure::Usage(TIMEOUT_0.into()));
        }
        address::resolve(&self.host, self.port)
    }

    /// A failure of `service` at this server.
    pub(super) fn error(&self, service: &str, failure: Failure) -> ClientError {
        ClientError { server: Name { service, server: self }.to_string(), failure, unsent: None }
    }
}

/// Prints as `HOST:PORT`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, &self.host, self.port)
    }
}

/// Prints as an endpoint.
struct Name<'a> {
    service: &'a str,
    server: &'a Server,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_endpoint(f, self.service, &self.server.host, self.server.port)
    }
}

pub(super) const TIMEOUT_0: &str = "the timeout must be longer than 0";
pub(super) const PORT_0: &str = "port 0 is for servers, a client needs the port of one";
