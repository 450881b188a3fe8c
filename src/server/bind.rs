//! What both models do before they serve: resolve hosts, make services, say what listens where, and what
//! went wrong.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::event_loop::LoopError;
use crate::server::options::{JournalTo, ServeOptions};
use crate::service::Settings;
use crate::service::endpoint::Endpoint;

/// What services are told when they are made.
pub(crate) fn settings(options: &ServeOptions) -> Settings {
    Settings { message_bytes_max: options.message_bytes_max, time_zone: local_time_zone() }
}

/// The zone of `TZ`, or else the machine's, or else UTC, as the C library has it.
fn local_time_zone() -> tz::TimeZone {
    let zone = match std::env::var("TZ") {
        Ok(name) => tz::TimeZone::from_posix_tz(&name),
        Err(_) => tz::TimeZone::local(),
    };
    zone.unwrap_or_else(|error| {
        log::debug!("no local time zone ({error}), using UTC");
        tz::TimeZone::utc()
    })
}

/// The first address of the endpoint's host.
pub(crate) fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, ServeError> {
    let unresolved = |why: &dyn fmt::Display| {
        ServeError::Start(format!("{endpoint}: host '{}' does not resolve: {why}", endpoint.host))
    };
    let mut addresses =
        (endpoint.host.as_str(), endpoint.port).to_socket_addrs().map_err(|error| unresolved(&error))?;
    addresses.next().ok_or_else(|| unresolved(&"it has no address"))
}

/// One line for each endpoint, then that all is well; scripts wait for these and read the ports from them.
pub(crate) fn announce(listening: &[(&Endpoint, SocketAddr)]) {
    for (Endpoint { service, .. }, address) in listening {
        log::info!("listening: {} {} {address}", service.name, service.transport());
    }
    log::info!("ready");
}

pub(crate) fn cannot_listen(endpoint: &Endpoint, error: &io::Error) -> ServeError {
    let hints = [
        (io::ErrorKind::AddrInUse, ": another program has this port, or it is given twice"),
        (io::ErrorKind::PermissionDenied, ": ports below 1024 need privileges"),
        (io::ErrorKind::AddrNotAvailable, ": no interface of this machine has this address"),
    ];
    let hint = hints.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, hint)| hint);
    ServeError::Start(format!("{endpoint}: cannot listen: {error}{hint}"))
}

pub(crate) fn no_journal(options: &ServeOptions, error: &io::Error) -> ServeError {
    let name = match &options.journal {
        JournalTo::File(path) => path.display().to_string(),
        JournalTo::Stdout | JournalTo::Nowhere => "standard output".into(),
    };
    ServeError::Start(format!("{name}: messages cannot be recorded there: {error}"))
}

/// Why serving did not begin, or ended.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// It did not begin; one line that says why.
    Start(String),
    /// It ended.
    Run(LoopError),
}

impl ServeError {
    /// The status that the process exits with: 74 (`EX_IOERR`) when messages can no longer be recorded.
    #[must_use]
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Run(LoopError::Journal(_)) => 74,
            Self::Run(LoopError::Poll(_)) | Self::Start(_) => 1,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(line) => f.write_str(line),
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}
