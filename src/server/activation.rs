//! Socket activation: listening sockets that the process inherits, each with the name of its service.
//!
//! A service manager such as systemd opens the sockets, and keeps them while the server restarts: the kernel goes on
//! to accept connections for it (`sd_listen_fds(3)`, `FileDescriptorName=` in `systemd.socket(5)`).

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;

use crate::event_loop::ENDPOINTS_MAX;
use crate::net::sockets;
use crate::server::error::ServeError;
use crate::service::endpoint::{parse_service, unknown_service};
use crate::service::{self, DatagramService, Definition, Make, Settings, StreamService};

/// The name of the socket on which the admin endpoint is served.
const METRICS: &str = "metrics";

/// The sockets of another process, which this one serves.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) services: Vec<InheritedService>,
    /// The listener of the admin endpoint, and its address.
    pub(super) metrics: Option<(TcpListener, SocketAddr)>,
}

/// A socket with its service.
pub(super) struct InheritedService {
    pub(super) service: &'static Definition,
    /// Its connections begin with a PROXY header.
    pub(super) behind_proxy: bool,
    pub(super) socket: InheritedSocket,
    pub(super) address: SocketAddr,
}

/// The socket, and what makes its service.
pub(super) enum InheritedSocket {
    Stream(TcpListener, fn(Settings) -> Box<dyn StreamService>),
    Datagram(UdpSocket, fn(Settings) -> Box<dyn DatagramService>),
}

/// The sockets that this process has inherited. The caller has opened nothing yet, since a descriptor may be missing
/// and its number would be given to another file.
///
/// # Errors
/// The first that cannot be served.
pub(super) fn inherited() -> Result<Inherited, ServeError> {
    let variable = |name| env::var(name).ok();
    let pid = std::process::id();
    let names =
        names(pid, variable("LISTEN_PID"), variable("LISTEN_FDS"), variable("LISTEN_FDNAMES").as_deref());
    let names = names.map_err(ServeError::Start)?;
    let mut inherited = Inherited::default();
    if names.is_empty() {
        return Ok(inherited);
    }
    let mut descriptors = ListenFd::from_env();
    for (index, name) in names.iter().enumerate() {
        inherited
            .adopt(&mut descriptors, index, name)
            .map_err(|why| ServeError::Start(format!("inherited socket '{name}': {why}")))?;
    }
    Ok(inherited)
}

/// The names of the sockets that are meant for the process `pid`.
fn names(
    pid: u32,
    listen_pid: Option<String>,
    count: Option<String>,
    listed: Option<&str>,
) -> Result<Vec<String>, String> {
    // Without this variable, or for another process, the others are left over from a parent.
    if listen_pid.is_none_or(|listen_pid| listen_pid != pid.to_string()) {
        return Ok(Vec::new());
    }
    let Some(count) = count else { return Ok(Vec::new()) };
    let number: usize = count.parse().ok().filter(|number| *number <= ENDPOINTS_MAX).ok_or_else(|| {
        format!("LISTEN_FDS={count}: expected a number of sockets, at most {ENDPOINTS_MAX}")
    })?;
    let names: Vec<String> =
        listed.map_or_else(Vec::new, |listed| listed.split(':').map(Into::into).collect());
    if names.len() == number {
        Ok(names)
    } else {
        let names = names.len();
        Err(format!(
            "LISTEN_FDS={number}, with {names} names in LISTEN_FDNAMES: each inherited socket must have the name of its \
             service (FileDescriptorName= in the socket unit)"
        ))
    }
}

impl Inherited {
    /// Takes the inherited socket at `index`, which `name` says how to serve.
    fn adopt(&mut self, descriptors: &mut ListenFd, index: usize, name: &str) -> Result<(), String> {
        if name != METRICS {
            self.services.push(adopt_service(descriptors, index, name)?);
        } else if let Some((_, address)) = &self.metrics {
            return Err(format!("{address} has this name already, and metrics are served at one address"));
        } else {
            self.metrics = Some(adopt_listener(descriptors, index)?);
        }
        Ok(())
    }
}

fn adopt_service(descriptors: &mut ListenFd, index: usize, name: &str) -> Result<InheritedService, String> {
    let (service, behind_proxy) = parse_name(name)?;
    let (socket, address) = match service.make {
        Make::Stream(make) => {
            let (listener, address) = adopt_listener(descriptors, index)?;
            (InheritedSocket::Stream(listener, make), address)
        }
        Make::Datagram(make) => {
            let socket = descriptors.take_udp_socket(index).map_err(failed)?.ok_or_else(gone)?;
            let address = bound(socket.local_addr())?;
            socket.set_nonblocking(true).map_err(failed)?;
            (InheritedSocket::Datagram(socket, make), address)
        }
    };
    Ok(InheritedService { service, behind_proxy, socket, address })
}

/// The service of a socket that is called `name`, and whether it is behind a proxy.
fn parse_name(name: &str) -> Result<(&'static Definition, bool), String> {
    let service = name.split('+').next().unwrap_or_default();
    let parsed = match service::named(service) {
        Some(_) => parse_service(name),
        None if service == METRICS => return Err(format!("'{METRICS}' is served without a proxy")),
        None => Err(unknown_service(service, "metrics or ")),
    };
    parsed.map_err(|why| format!("{why}: set FileDescriptorName= in the socket unit"))
}

/// Non-blocking is a property that all processes of a socket share, so it is the same in both models.
fn adopt_listener(descriptors: &mut ListenFd, index: usize) -> Result<(TcpListener, SocketAddr), String> {
    let listener = descriptors.take_tcp_listener(index).map_err(failed)?.ok_or_else(gone)?;
    let address = bound(sockets::adopt(&listener))?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((listener, address))
}

/// The address of a socket, which has a port.
fn bound(address: io::Result<SocketAddr>) -> Result<SocketAddr, String> {
    let address = address.map_err(failed)?;
    if address.port() == 0 {
        return Err("it is not bound to a port".into());
    }
    Ok(address)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: io::Error) -> String {
    error.to_string()
}

fn gone() -> String {
    "it was taken before".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_process_7(
        listen_pid: &str,
        count: &str,
        listen_names: Option<&str>,
    ) -> Result<Vec<String>, String> {
        names(7, Some(listen_pid.into()), Some(count.into()), listen_names)
    }

    #[test]
    fn sockets_for_another_process_are_not_taken() {
        assert_eq!(of_process_7("7", "2", Some("message:month")).unwrap(), ["message", "month"]);
        assert_eq!(of_process_7("8", "2", Some("message:month")).unwrap(), [""; 0]);
        assert_eq!(of_process_7("", "2", Some("message:month")).unwrap(), [""; 0]);
        assert_eq!(names(7, None, Some("1".into()), Some("message")).unwrap(), [""; 0]);
        assert_eq!(names(7, Some("7".into()), None, None).unwrap(), [""; 0]);
    }

    #[test]
    fn each_inherited_socket_has_a_name() {
        let unnamed = of_process_7("7", "2", None).unwrap_err();
        assert!(unnamed.starts_with("LISTEN_FDS=2, with 0 names in LISTEN_FDNAMES"), "{unnamed}");
        let unnamed = of_process_7("7", "2", Some("message")).unwrap_err();
        assert!(unnamed.starts_with("LISTEN_FDS=2, with 1 names in LISTEN_FDNAMES"), "{unnamed}");
        let excessive = of_process_7("7", "1", Some("message:month")).unwrap_err();
        assert!(excessive.starts_with("LISTEN_FDS=1, with 2 names in LISTEN_FDNAMES"), "{excessive}");
    }

    #[test]
    fn the_number_of_inherited_sockets_is_limited() {
        for count in ["256", "-1", "x", "18446744073709551615"] {
            let error = of_process_7("7", count, None).unwrap_err();
            assert_eq!(error, format!("LISTEN_FDS={count}: expected a number of sockets, at most 255"));
        }
    }
}
