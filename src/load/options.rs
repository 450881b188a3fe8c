//! What a user can ask of `load`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

pub(crate) use super::schedule::Arrivals;
use crate::load::udp::IN_FLIGHT_MAX;
use crate::service::Make;
use crate::service::endpoint::Endpoint;
use crate::service::reply;

/// What is driven.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A service of ours.
    Service(Endpoint),
    /// Any TCP server, on which connections are only opened and held.
    Hold {
        /// A name or an address; an IPv6 address stands without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// What is asked of a run.
#[derive(Debug, Clone)]
pub(crate) struct LoadOptions {
    /// What is driven.
    pub target: Target,
    /// Connections.
    pub connections: u32,
    /// Of them, how many send; all of them if `None`.
    pub active: Option<u32>,
    /// How long messages are sent.
    pub duration: Duration,
    /// How long messages are sent before anything is measured.
    pub warmup: Duration,
    /// Open loop: messages a second over all connections. `None`: closed loop.
    pub rate: Option<u64>,
    /// How the messages of an open loop follow each other.
    pub arrivals: Arrivals,
    /// Closed loop: messages in flight on a connection.
    pub pipeline: u32,
    /// Bytes of a message's body.
    pub body_bytes: usize,
    /// Connections opened a second; as fast as they are accepted if `None`.
    pub open_rate: Option<u64>,
    /// Local addresses to connect from.
    pub sources: Vec<IpNet>,
    /// Each message has a connection of its own, as it always has with services that end the stream.
    pub one_shot: bool,
    /// How long a connection may take to be there (10 s if `None`), and after how long the answer to a
    /// datagram is late (1 s if `None`).
    pub timeout: Option<Duration>,
    /// How long replies that are on their way at the end are waited for.
    pub drain_timeout: Duration,
}

impl LoadOptions {
    /// What is asked for when only the target is said.
    #[must_use]
    pub(crate) fn of(target: Target) -> Self {
        Self {
            target,
            connections: 50,
            active: None,
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            rate: None,
            arrivals: Arrivals::Uniform,
            pipeline: 1,
            body_bytes: BODY_BYTES,
            open_rate: None,
            sources: Vec::new(),
            one_shot: false,
            timeout: None,
            drain_timeout: Duration::from_secs(2),
        }
    }

    /// Whether each message has a connection of its own.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.one_shot || self.target.service_name().is_some_and(|name| ENDING.contains(&name))
    }

    /// What can not be had together.
    ///
    /// # Errors
    /// One line that names it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = self.target.service_name();
        let refuse = |line: &str| Err(line.to_owned());
        if self.rate.is_some() && self.pipeline > 1 {
            return refuse(
                "--pipeline is for the closed loop: with --rate the schedule decides what is in flight",
            );
        }
        if self.arrivals == Arrivals::Poisson && self.rate.is_none() {
            return refuse("--arrivals is for the open loop: it needs --rate");
        }
        let sends = self.rate.is_some() || self.active.is_some() || self.one_shot || self.pipeline > 1;
        if name.is_none() && sends {
            return refuse(
                "hold sends nothing: --rate, --active, --pipeline and --one-shot are for services",
            );
        }
        if self.is_one_shot() && (self.pipeline > 1 || self.active.is_some()) {
            return refuse(
                "each message has a connection of its own here: --pipeline and --active do not apply",
            );
        }
        if self.is_one_shot() && self.open_rate.is_some() {
            return refuse("each message has a connection of its own here: --open-rate does not apply");
        }
        if self.one_shot && self.target.is_datagrams() {
            return refuse("--one-shot is for tcp services");
        }
        if self.target.is_datagrams() && self.pipeline > IN_FLIGHT_MAX {
            return Err(format!(
                "--pipeline of month is at most {IN_FLIGHT_MAX}: its answers are told apart by the month"
            ));
        }
        if self.body_bytes != BODY_BYTES && !matches!(name, Some("message" | "reply")) {
            return refuse("--size is for message and reply: the other services take no body");
        }
        if self.body_bytes > BODY_BYTES_MAX {
            return refuse("--size is at most 1GiB");
        }
        if name == Some("reply") && !(1..=reply::REQUEST_BYTES_MAX).contains(&self.body_bytes) {
            return Err(format!("--size of reply is from 1 to {} bytes", reply::REQUEST_BYTES_MAX));
        }
        if self.active.is_some_and(|active| active > self.connections) {
            return refuse("--active is more than --connections");
        }
        Ok(())
    }
}

impl Target {
    /// The name of the service; `None` for a target that is only held.
    pub(crate) fn service_name(&self) -> Option<&'static str> {
        match self {
            Self::Service(endpoint) => Some(endpoint.service.name),
            Self::Hold { .. } => None,
        }
    }

    pub(crate) fn is_datagrams(&self) -> bool {
        matches!(self, Self::Service(endpoint) if matches!(endpoint.service.make, Make::Datagram(_)))
    }

    /// The first address of the host.
    pub(crate) fn resolve(&self) -> io::Result<SocketAddr> {
        let (host, port) = match self {
            Self::Service(endpoint) => (&endpoint.host, endpoint.port),
            Self::Hold { host, port } => (host, *port),
        };
        let mut addresses = (host.as_str(), port).to_socket_addrs()?;
        addresses.next().ok_or_else(|| io::Error::other("it has no address"))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(place) = text.strip_prefix("hold=") else {
            if text == "hold" {
                return Err("hold needs to be told where: hold=HOST:PORT".into());
            }
            let unknown = |error: String| error.replace("expected one of", "expected hold or one of");
            let endpoint: Endpoint = text.parse().map_err(unknown)?;
            return if endpoint.port == 0 { Err(NO_PORT.into()) } else { Ok(Self::Service(endpoint)) };
        };
        if !place.contains(':') {
            return Err("hold needs a host and a port: hold=HOST:PORT".into());
        }
        // Hosts and ports are written as for a service.
        let endpoint: Endpoint =
            format!("message={place}").parse().map_err(|error: String| error.replace("message=", "hold="))?;
        if endpoint.port == 0 {
            Err(NO_PORT.into())
        } else {
            Ok(Self::Hold { host: endpoint.host, port: endpoint.port })
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(endpoint) => endpoint.fmt(f),
            Self::Hold { host, port } if host.contains(':') => write!(f, "hold=[{host}]:{port}"),
            Self::Hold { host, port } => write!(f, "hold={host}:{port}"),
        }
    }
}

/// Local addresses as users write them: addresses and ranges between commas.
///
/// # Errors
/// Names the part that is neither.
pub(crate) fn parse_sources(text: &str) -> Result<Vec<IpNet>, String> {
    let parse = |part: &str| {
        let address = part.parse::<IpAddr>().map(IpNet::from);
        address
            .or_else(|_| part.parse())
            .map_err(|_| format!("'{part}' is neither an address nor a range, as in 10.0.0.5 or 10.0.0.0/24"))
    };
    text.split(',').map(|part| parse(part.trim())).collect()
}

/// Services that end the stream behind their reply.
const ENDING: [&str; 3] = ["greeting", "daytime", "reply"];

const NO_PORT: &str = "port 0 is no place to connect to";

/// Bytes of a message's body unless something else is said.
pub(crate) const BODY_BYTES: usize = 26;

/// A message stands whole in memory.
const BODY_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<String, String> {
        text.parse::<Target>().map(|target| target.to_string())
    }

    #[test]
    fn a_target_is_an_endpoint_or_what_is_held() {
        assert_eq!(target("message"), Ok("message=127.0.0.1:9999".into()));
        assert_eq!(target("hold=db.example:5432"), Ok("hold=db.example:5432".into()));
        assert_eq!(target("hold=[::1]:80"), Ok("hold=[::1]:80".into()));
    }

    #[test]
    fn what_is_no_target_is_named() {
        assert_eq!(
            target("echo").unwrap_err(),
            "unknown service 'echo', expected hold or one of message, greeting, daytime, reply, month"
        );
        assert_eq!(target("hold").unwrap_err(), "hold needs to be told where: hold=HOST:PORT");
        assert_eq!(target("hold=80").unwrap_err(), "hold needs a host and a port: hold=HOST:PORT");
        assert_eq!(target("hold=x:y").unwrap_err(), "'y' is not a port, expected a number from 0 to 65535");
        assert!(target("hold=::1:80").unwrap_err().ends_with("as in hold=[::1]:9999"));
        assert_eq!(target("message=0").unwrap_err(), NO_PORT);
    }

    #[test]
    fn sources_are_addresses_and_ranges() {
        let sources = parse_sources("10.0.0.5, 10.1.0.0/24,::1").unwrap();
        let written: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["10.0.0.5/32", "10.1.0.0/24", "::1/128"]);
        assert!(parse_sources("10.0.0.5,eth0").unwrap_err().starts_with("'eth0' is neither"));
        assert!(parse_sources("").unwrap_err().starts_with("'' is neither"));
    }

    #[test]
    fn what_can_not_be_had_together_is_refused() {
        let refused = |text: &str, change: fn(&mut LoadOptions)| {
            let mut options = LoadOptions::of(text.parse().unwrap());
            change(&mut options);
            options.check().unwrap_err()
        };
        let mut fine = LoadOptions::of("month".parse().unwrap());
        fine.pipeline = 12;
        assert_eq!(fine.check(), Ok(()));
        assert!(refused("month", |it| it.pipeline = 13).contains("at most 12"));
        assert!(refused("month", |it| it.one_shot = true).contains("tcp"));
        assert!(refused("month", |it| it.body_bytes = 1).contains("--size"));
        assert!(refused("reply", |it| it.body_bytes = 1025).contains("1 to 1024"));
        assert!(refused("greeting", |it| it.pipeline = 2).contains("--pipeline"));
        assert!(refused("hold=[::1]:1", |it| it.rate = Some(1)).contains("hold sends nothing"));
        assert!(refused("message", |it| it.arrivals = Arrivals::Poisson).contains("--rate"));
        assert!(refused("message", |it| (it.rate, it.pipeline) = (Some(1), 2)).contains("closed loop"));
        assert!(refused("message", |it| it.active = Some(51)).contains("--active"));
        assert!(refused("hold=[::1]:1", |it| it.pipeline = 2).contains("hold sends nothing"));
        assert!(refused("daytime", |it| it.open_rate = Some(1)).contains("--open-rate"));
        assert!(refused("message", |it| it.body_bytes = (1 << 30) + 1).contains("1GiB"));
    }
}
