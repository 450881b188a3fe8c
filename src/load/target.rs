//! The target of `load`: a service, or any other server.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::service::endpoint::{Endpoint, parse_address, unknown_service, write_endpoint};
use crate::service::{self, ClientSide, Definition};

/// The target of a run.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// A name or an address; an IPv6 address without brackets.
    host: String,
    port: u16,
}

/// What a target is, and so what is sent to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A service of this program.
    Service(&'static Definition),
    /// Any TCP server, on which connections are only opened and held.
    Hold,
    /// Any TCP server, with requests of the user.
    Tcp,
    /// Any UDP server, with requests of the user.
    Udp,
}

impl Target {
    /// The name of the service, or `hold`, `tcp` or `udp`.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Service(service) => service.name,
            Kind::Hold => HOLD,
            Kind::Tcp => TCP,
            Kind::Udp => UDP,
        }
    }

    /// Requests and correct replies, if it is a service.
    pub(crate) fn client_side(&self) -> Option<ClientSide> {
        match self.kind {
            Kind::Service(service) => Some(service.client_side()),
            Kind::Hold | Kind::Tcp | Kind::Udp => None,
        }
    }

    pub(crate) fn is_datagrams(&self) -> bool {
        matches!(self.kind, Kind::Udp) || matches!(self.client_side(), Some(ClientSide::Datagram(_)))
    }

    /// Whether nothing is sent.
    pub(crate) fn is_hold(&self) -> bool {
        matches!(self.kind, Kind::Hold)
    }

    /// The first address of the host.
    pub(crate) fn resolve(&self) -> io::Result<SocketAddr> {
        let mut found = (self.host.as_str(), self.port).to_socket_addrs()?;
        found.next().ok_or_else(|| io::Error::other("no address"))
    }
}

impl From<Endpoint> for Target {
    fn from(Endpoint { service, host, port, .. }: Endpoint) -> Self {
        Self { kind: Kind::Service(service), host, port }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').map_or((text, None), |(name, it)| (name, Some(it)));
        let other =
            [(HOLD, Kind::Hold), (TCP, Kind::Tcp), (UDP, Kind::Udp)].into_iter().find(|it| it.0 == name);
        let target = if let Some((name, kind)) = other {
            let address = address.ok_or_else(|| format!("{name} needs a port: {name}=[HOST:]PORT"))?;
            let (host, port) = parse_address(address)?;
            Self { kind, host, port }
        } else if service::named(name.split('+').next().unwrap_or(name)).is_some() {
            Endpoint::parse_target(text)?.into()
        } else {
            return Err(unknown_service(name, "hold, tcp, udp or "));
        };
        if target.port == 0 { Err("cannot connect to port 0".into()) } else { Ok(target) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_endpoint(f, self.name(), &self.host, self.port)
    }
}

const HOLD: &str = "hold";
const TCP: &str = "tcp";
const UDP: &str = "udp";

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<String, String> {
        text.parse::<Target>().map(|target| target.to_string())
    }

    #[test]
    fn a_target_is_an_endpoint_or_the_host_and_port_of_any_server() {
        assert_eq!(target("message"), Ok("message=127.0.0.1:9999".into()));
        assert_eq!(target("hold=db.example:5432"), Ok("hold=db.example:5432".into()));
        assert_eq!(target("hold=[::1]:80"), Ok("hold=[::1]:80".into()));
        assert_eq!(target("hold=80"), Ok("hold=127.0.0.1:80".into()));
        assert_eq!(target("tcp=[::1]:6379"), Ok("tcp=[::1]:6379".into()));
        assert_eq!(target("udp=53"), Ok("udp=127.0.0.1:53".into()));
    }

    #[test]
    fn an_invalid_target_is_rejected_with_the_reason() {
        assert_eq!(
            target("echo").unwrap_err(),
            "unknown service 'echo', expected hold, tcp, udp or one of message, greeting, daytime, reply, month"
        );
        assert_eq!(target("hold").unwrap_err(), "hold needs a port: hold=[HOST:]PORT");
        assert_eq!(target("udp").unwrap_err(), "udp needs a port: udp=[HOST:]PORT");
        assert_eq!(target("hold=0").unwrap_err(), "cannot connect to port 0");
        assert_eq!(target("hold=x:y").unwrap_err(), "'y' is not a port, expected a number from 0 to 65535");
        let error = "only serve has '+proxy': this command sends no PROXY header";
        assert_eq!(target("message+proxy=80").unwrap_err(), error);
        assert!(target("hold=::1:80").unwrap_err().ends_with("as in [::1]:8091"));
        assert_eq!(target("message=0").unwrap_err(), "cannot connect to port 0");
    }
}
