//! An endpoint as users write it: `SERVICE[+proxy][=[HOST:]PORT]`.

use std::fmt;
use std::str::FromStr;

use crate::service::{self, Definition};

/// The host of an endpoint that names none.
const DEFAULT_HOST: &str = "127.0.0.1";

/// Behind the name of a service that is reached through a proxy.
const PROXY_SUFFIX: &str = "+proxy";

/// A service, and the host and port where it is served.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Which service.
    pub service: &'static Definition,
    /// A name or an address; an IPv6 address has no brackets.
    pub host: String,
    /// The port; with 0 the system assigns a free one.
    pub port: u16,
    /// Connections to it begin with a header of the PROXY protocol.
    pub behind_proxy: bool,
}

impl Endpoint {
    /// `service` at its default port on loopback.
    #[must_use]
    pub fn of(service: &'static Definition) -> Self {
        Self { service, host: DEFAULT_HOST.into(), port: service.default_port, behind_proxy: false }
    }

    /// Parses an endpoint to connect to.
    ///
    /// # Errors
    /// Names the part that is invalid.
    #[cfg(feature = "cli")]
    pub(crate) fn parse_target(text: &str) -> Result<Self, String> {
        let endpoint: Self = text.parse()?;
        if endpoint.behind_proxy {
            return Err(format!("only serve has '{PROXY_SUFFIX}': this command sends no PROXY header"));
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.behind_proxy { PROXY_SUFFIX } else { "" };
        write_endpoint(f, format_args!("{}{suffix}", self.service.name), &self.host, self.port)
    }
}

/// Writes `NAME=HOST:PORT`.
pub(crate) fn write_endpoint(
    f: &mut fmt::Formatter<'_>,
    name: impl fmt::Display,
    host: &str,
    port: u16,
) -> fmt::Result {
    write!(f, "{name}=")?;
    write_address(f, host, port)
}

/// Writes `HOST:PORT`.
pub(crate) fn write_address(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    write!(f, "{open}{host}{close}:{port}")
}

/// The error for a `name` that is no service, with the one probably meant or all; `others` are also possible.
pub(crate) fn unknown_service(name: &str, others: &str) -> String {
    let lowercase = name.to_ascii_lowercase();
    let distances =
        service::ALL.iter().map(|service| (edit_distance(&lowercase, service.name), service.name));
    match distances.min() {
        Some((0..=EDITS_MAX, meant)) => format!("unknown service '{name}', did you mean '{meant}'?"),
        _ => format!("unknown service '{name}', expected {others}one of {}", service::names()),
    }
}

/// The number of bytes to insert, remove or replace to make `to` of `from`: the Levenshtein distance.
fn edit_distance(from: &str, to: &str) -> usize {
    // The distances of the part of `from` seen so far to each beginning of `to`.
    let mut distances: Vec<usize> = (0..=to.len()).collect();
    for removed in from.bytes() {
        let mut replaced = distances[0];
        distances[0] += 1;
        for (position, inserted) in to.bytes().enumerate() {
            replaced += usize::from(removed != inserted);
            let changed = replaced.min(distances[position] + 1).min(distances[position + 1] + 1);
            replaced = std::mem::replace(&mut distances[position + 1], changed);
        }
    }
    distances[to.len()]
}

/// Maximum number of edits at which a name counts as misspelled.
const EDITS_MAX: usize = 2;

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').map_or((text, None), |(name, it)| (name, Some(it)));
        let (service, behind_proxy) = parse_service(name)?;
        let endpoint = Self { behind_proxy, ..Self::of(service) };
        let Some(address) = address else { return Ok(endpoint) };
        let (host, port) = parse_address(address)?;
        Ok(Self { host, port, ..endpoint })
    }
}

/// A host and a port, as users write them: `[HOST:]PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; an IPv6 address has no brackets.
    pub host: String,
    /// The port; with 0 the system assigns a free one.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, &self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = parse_address(text)?;
        Ok(Self { host, port })
    }
}

/// Parses `SERVICE` or `SERVICE+proxy`: which service, and whether it is behind a proxy.
///
/// # Errors
/// Names the part that is invalid.
pub(crate) fn parse_service(text: &str) -> Result<(&'static Definition, bool), String> {
    let (name, suffix) = text.find('+').map_or((text, ""), |at| text.split_at(at));
    let service = service::named(name).ok_or_else(|| unknown_service(name, ""))?;
    match suffix {
        "" => Ok((service, false)),
        PROXY_SUFFIX if service.is_stream() => Ok((service, true)),
        PROXY_SUFFIX => {
            Err(format!("{name} is served on UDP, where the PROXY protocol has no connection to name"))
        }
        _ => Err(format!("'{suffix}' is unknown, expected {PROXY_SUFFIX}")),
    }
}

/// Parses `[HOST:]PORT`.
///
/// # Errors
/// Names the part that is invalid.
pub(crate) fn parse_address(text: &str) -> Result<(String, u16), String> {
    let is_bracketed = text.starts_with('[') && text.ends_with(']');
    if is_bracketed
        || (!text.contains(':')
            && text.contains(|character: char| {
                character.is_ascii_alphabetic() || !character.is_ascii() || character == '.'
            }))
    {
        return Err(format!("'{text}' has no port: expected HOST:PORT or PORT, as in {text}:9999"));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((DEFAULT_HOST, text));
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bracketed.is_none() && host.contains(':') {
        return Err(format!("'{text}' is not HOST:PORT: an IPv6 address goes in brackets, as in [::1]:8091"));
    }
    let host = bracketed.unwrap_or(host);
    if host.is_empty() {
        return Err(format!("'{text}' has no host before the colon"));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.is_empty() {
        return Err(format!("'{port}' is not a port, expected a number from 0 to 65535"));
    }
    let port = port.parse().map_err(|_| format!("port {port} is out of range, expected 0 to 65535"))?;
    Ok((host.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<Endpoint>().map_or_else(|error| error, |endpoint| endpoint.to_string())
    }

    #[test]
    fn host_and_port_have_defaults() {
        assert_eq!(read("message"), "message=127.0.0.1:9999");
        assert_eq!(read("daytime"), "daytime=127.0.0.1:9998");
        assert_eq!(read("message=0"), "message=127.0.0.1:0");
        assert_eq!(read("message=0.0.0.0:9999"), "message=0.0.0.0:9999");
        assert_eq!(read("month=[::1]:8091"), "month=[::1]:8091");
        assert_eq!(read("month=[fe80::1%lo]:8091"), "month=[fe80::1%lo]:8091");
        assert_eq!(read("reply=localhost:80"), "reply=localhost:80");
    }

    #[test]
    fn a_service_behind_a_proxy_is_marked_and_only_one_on_tcp() {
        assert_eq!(read("message+proxy"), "message+proxy=127.0.0.1:9999");
        assert_eq!(read("daytime+proxy=[::1]:13"), "daytime+proxy=[::1]:13");
        assert_eq!(
            read("month+proxy=1"),
            "month is served on UDP, where the PROXY protocol has no connection to name"
        );
        assert_eq!(read("message+tls"), "'+tls' is unknown, expected +proxy");
        assert_eq!(read("message+=1"), "'+' is unknown, expected +proxy");
        assert_eq!(read("mesage+proxy"), "unknown service 'mesage', did you mean 'message'?");
    }

    #[test]
    #[cfg(feature = "cli")]
    fn an_endpoint_to_connect_to_is_not_behind_a_proxy() {
        assert_eq!(Endpoint::parse_target("message").unwrap().to_string(), "message=127.0.0.1:9999");
        assert_eq!(
            Endpoint::parse_target("message+proxy=1").unwrap_err(),
            "only serve has '+proxy': this command sends no PROXY header"
        );
    }

    #[test]
    fn the_error_for_a_misspelled_service_suggests_the_one_meant() {
        for (text, meant) in [
            ("Message", "message"),
            ("mesasge=9999", "message"),
            ("greetings", "greeting"),
            ("DAYTIM", "daytime"),
            ("rply", "reply"),
            ("mouth", "month"),
        ] {
            let name = text.split('=').next().unwrap();
            assert_eq!(read(text), format!("unknown service '{name}', did you mean '{meant}'?"));
        }
        for text in ["", "time", "mes", "greetin gs s"] {
            assert!(read(text).contains(", expected one of message, "), "{}", read(text));
        }
    }

    #[test]
    fn the_distance_is_the_number_of_bytes_to_edit() {
        assert_eq!(edit_distance("", ""), 0);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("flaw", "lawn"), 2);
    }

    #[test]
    fn an_error_shows_the_part_that_is_wrong() {
        assert_eq!(
            read("echo=7"),
            "unknown service 'echo', expected one of message, greeting, daytime, reply, month"
        );
        for host in ["localhost", "192.0.2.1", "[::1]"] {
            let error = format!("'{host}' has no port: expected HOST:PORT or PORT, as in {host}:9999");
            assert_eq!(read(&format!("message={host}")), error);
        }
        assert_eq!(read("message=localhost:x"), "'x' is not a port, expected a number from 0 to 65535");
        assert_eq!(read("message="), "'' is not a port, expected a number from 0 to 65535");
        assert_eq!(read("message=+5"), "'+5' is not a port, expected a number from 0 to 65535");
        assert_eq!(read("message=65536"), "port 65536 is out of range, expected 0 to 65535");
        assert_eq!(read("message=:99"), "':99' has no host before the colon");
        assert_eq!(
            read("month=::1:8091"),
            "'::1:8091' is not HOST:PORT: an IPv6 address goes in brackets, as in [::1]:8091"
        );
    }
}
