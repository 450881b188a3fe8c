//! Opens everything that `serve` needs, once, for either model: limits, sockets, services, the journal.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

#[cfg(feature = "signals")]
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::event_loop::ENDPOINTS_MAX;
use crate::frame::HEADER_BYTES;
#[cfg(feature = "cli")]
use crate::journal::target::JournalTarget;
use crate::journal::target::{self, JournalSink};
use crate::journal::{Ack, Format, HAS_JOURNAL};
use crate::limits::Limits;
use crate::net::HAS_UDP;
use crate::net::fd_limit;
use crate::net::kernel::bound_socket::BoundSocket;
#[cfg(feature = "signals")]
use crate::net::signals::EndedBySignals;
use crate::net::sockets::{self, SocketOptions};
#[cfg(feature = "cli")]
use crate::server::activation::{self, Inherited, InheritedService, InheritedSocket};
use crate::server::error::ServeError;
use crate::server::memory;
#[cfg(feature = "cli")]
use crate::server::metrics::ProcessSource;
#[cfg(feature = "cli")]
use crate::server::options::Model;
use crate::server::options::ServeOptions;
#[cfg(feature = "cli")]
use crate::server::privileges::Identity;
#[cfg(feature = "cli")]
use crate::server::sandbox::Confinement;
use crate::service::daytime::HAS_TIME_ZONE;
use crate::service::endpoint::Endpoint;
#[cfg(feature = "cli")]
use crate::service::endpoint::HostPort;
use crate::service::{ALL, DatagramService, Definition, Make, Settings, StreamService};

/// Everything that a server needs to run.
pub(crate) struct Setup {
    pub(crate) sockets: Vec<OpenSocket>,
    /// What listens where, in the same order.
    pub(crate) listening: Vec<Listening>,
    #[cfg(feature = "cli")]
    pub(super) metrics: Option<AdminEndpoint>,
    /// `None`: messages are not recorded.
    pub(crate) journal: Option<JournalSink>,
    pub(crate) ack: Ack,
    pub(crate) journal_format: Format,
    /// Fitted to what this process may have.
    pub(crate) limits: Limits,
    pub(crate) socket_options: SocketOptions,
    #[cfg(feature = "cli")]
    pub(super) confinement: Confinement,
    /// Until the server handles signals.
    #[cfg(feature = "signals")]
    pub(super) starting: Option<EndedBySignals>,
}

/// A service, and the address with the port that was taken for it.
#[derive(Clone, Copy)]
pub(crate) struct Listening {
    pub(crate) service: &'static Definition,
    pub(crate) address: SocketAddr,
    /// Another process has the socket too, and goes on to have it when this server ends.
    pub(super) is_inherited: bool,
    /// Its connections begin with a PROXY header.
    pub(crate) behind_proxy: bool,
}

/// The admin endpoint.
#[cfg(feature = "cli")]
pub(super) struct AdminEndpoint {
    pub(super) listener: TcpListener,
    /// With the port that was taken.
    pub(super) address: SocketAddr,
    /// As of [`Listening`].
    pub(super) is_inherited: bool,
    pub(super) process: ProcessSource,
}

#[cfg(feature = "cli")]
impl AdminEndpoint {
    /// The admin endpoint of a server with these `sockets`.
    fn new(listener: TcpListener, address: SocketAddr, is_inherited: bool, sockets: &[OpenSocket]) -> Self {
        let datagram_sockets = sockets.iter().filter_map(|socket| match socket {
            OpenSocket::Datagram(bound, _) => Some(&bound.socket),
            OpenSocket::Stream(..) => None,
        });
        Self { listener, address, is_inherited, process: ProcessSource::new(datagram_sockets) }
    }
}

/// The socket of an endpoint, and its service.
pub(crate) enum OpenSocket {
    Stream(TcpListener, Box<dyn StreamService>),
    Datagram(BoundSocket, Box<dyn DatagramService>),
}

impl OpenSocket {
    /// The descriptors that it takes: its own, and those of sockets beside it that only send.
    #[cfg_attr(not(feature = "batches"), expect(clippy::unused_self, reason = "only batches need others"))]
    fn descriptors(&self) -> usize {
        #[cfg(feature = "batches")]
        if let Self::Datagram(bound, _) = self {
            return 1 + bound.batches.senders();
        }
        1
    }
}

impl Setup {
    /// Opens what `options` name.
    ///
    /// # Errors
    /// The first that cannot be opened. Nothing stays open.
    pub(crate) fn open(options: &ServeOptions) -> Result<Self, ServeError> {
        #[cfg(feature = "cli")]
        let Inherited { services: inherited, metrics: inherited_metrics } = activation::inherited()?;
        #[cfg(feature = "cli")]
        check_metrics(inherited_metrics.as_ref(), options.metrics.as_ref())?;
        #[cfg(not(feature = "cli"))]
        let (inherited, inherited_metrics): ([(); 0], Option<()>) = ([], None);
        let is_measured = options.metrics.is_some() || inherited_metrics.is_some();
        let defaults: Vec<Endpoint>;
        let endpoints = if options.endpoints.is_empty() && inherited.is_empty() {
            defaults = ALL.iter().map(Endpoint::of).collect();
            &defaults
        } else {
            &options.endpoints
        };
        let endpoint_count = inherited.len() + endpoints.len();
        let endpoints_max = ENDPOINTS_MAX - usize::from(is_measured);
        if endpoint_count > endpoints_max {
            let reason = format!("{endpoint_count} endpoints, at most {endpoints_max} can be served");
            return Err(ServeError::Start(reason));
        }
        #[cfg(feature = "signals")]
        let starting = catch_file_size_signal()
            .and_then(|()| EndedBySignals::new(&[SIGINT, SIGTERM]))
            .map_err(|error| ServeError::Start(format!("cannot install signal handlers: {error}")))?;
        #[cfg(feature = "cli")]
        let identity = options.user.as_deref().map(Identity::parse).transpose()?;
        let mut limits = options.limits.clone();
        let descriptors_max = fd_limit::raise_limit();
        let settings =
            Settings { message_bytes_max: options.message_bytes_max, time_zone: local_time_zone() };
        let (mut sockets, mut listening) = (Vec::new(), Vec::new());
        #[cfg(feature = "cli")]
        for inherited in inherited {
            let (socket, it) = serve_inherited(inherited, &settings, options.sockets);
            sockets.push(socket);
            listening.push(it);
        }
        for endpoint in endpoints {
            let (socket, address) = bind(endpoint, &settings, options.sockets)?;
            sockets.push(socket);
            let Endpoint { service, behind_proxy, .. } = *endpoint;
            listening.push(Listening { service, address, is_inherited: false, behind_proxy });
        }
        let admin_descriptors = if is_measured { limits.admin_connections_max + 1 } else { 0 };
        let others = admin_descriptors + sockets.iter().map(OpenSocket::descriptors).sum::<usize>();
        let warning = fd_limit::fit(&mut limits, options.connections_max, others, descriptors_max);
        if let Some(warning) = warning {
            log::warn!("{warning}");
        }
        if options.proxy_protocol {
            put_behind_proxy(&mut listening);
        }
        #[cfg(feature = "cli")]
        let metrics = match &options.metrics {
            Some(at) => {
                let (listener, address) = listen_admin(at, options.sockets)?;
                Some(AdminEndpoint::new(listener, address, false, &sockets))
            }
            None => inherited_metrics
                .map(|(listener, address)| AdminEndpoint::new(listener, address, true, &sockets)),
        };
        #[cfg(feature = "cli")]
        let new_journal = match &options.journal {
            JournalTarget::File(path) => path.symlink_metadata().is_err().then_some(path),
            JournalTarget::Stdout | JournalTarget::None => None,
        };
        // The journal is opened last: until the ports are ours, it may be that of another server.
        let journal = if HAS_JOURNAL { open_journal(options)? } else { None };
        #[cfg(feature = "cli")]
        if options.model == Model::Threads {
            fit_threads(&mut limits);
        }
        #[cfg(feature = "cli")]
        if let Some(identity) = identity {
            if let (Some(path), Some(journal)) = (new_journal, &journal) {
                identity.own(path, journal)?;
            }
            identity.assume()?;
        }
        #[cfg(feature = "cli")]
        let reopened = reopened_path(options, journal.as_ref());
        // A server that does not start has logged nothing but why.
        memory::fit(&mut limits, options.memory_bytes_max, options.message_bytes_max);
        limits.planned_buffer_bytes =
            options.preallocate.then(|| options.message_bytes_max.saturating_add(HEADER_BYTES));
        Ok(Self {
            sockets,
            listening,
            #[cfg(feature = "cli")]
            metrics,
            journal,
            ack: options.ack,
            journal_format: options.journal_format,
            limits,
            socket_options: options.sockets,
            #[cfg(feature = "signals")]
            starting: Some(starting),
            #[cfg(feature = "cli")]
            confinement: Confinement { sandbox: options.sandbox, journal: reopened },
        })
    }
}

/// Checks that the admin endpoint is not both inherited and named.
#[cfg(feature = "cli")]
fn check_metrics(
    inherited: Option<&(TcpListener, SocketAddr)>,
    named: Option<&HostPort>,
) -> Result<(), ServeError> {
    let (Some((_, address)), Some(at)) = (inherited, named) else { return Ok(()) };
    let reason = format!("--metrics {at}: they are served at the inherited socket 'metrics', {address}");
    Err(ServeError::Start(reason))
}

/// The path at which the journal is opened again.
#[cfg(feature = "cli")]
fn reopened_path(options: &ServeOptions, journal: Option<&JournalSink>) -> Option<std::path::PathBuf> {
    match &options.journal {
        JournalTarget::File(path) if journal.is_some_and(JournalSink::is_reopened) => Some(path.clone()),
        JournalTarget::File(_) | JournalTarget::Stdout | JournalTarget::None => None,
    }
}

fn open_journal(options: &ServeOptions) -> Result<Option<JournalSink>, ServeError> {
    let journal = target::open(&options.journal, options.ack).map_err(|error| {
        ServeError::Start(format!("{}: cannot open the journal: {error}", options.journal))
    })?;
    if options.ack == Ack::Synced && journal.as_ref().is_some_and(|journal| !journal.survives()) {
        log::warn!("--ack synced: {} is no file, there is nothing to sync", options.journal);
    }
    Ok(journal)
}

/// Connections of all endpoints begin with the header of a proxy.
fn put_behind_proxy(listening: &mut [Listening]) {
    let mut streams = listening.iter_mut().filter(|it| it.service.is_stream()).peekable();
    if streams.peek().is_none() {
        log::warn!("--proxy-protocol has no effect: no endpoint is on TCP");
    }
    streams.for_each(|it| it.behind_proxy = true);
}

/// A write beyond the limit on the size of files (`ulimit -f`), to the journal or to the log, then fails, instead of ending
/// the process by SIGXFSZ.
#[cfg(feature = "signals")]
fn catch_file_size_signal() -> io::Result<()> {
    signal_hook::flag::register(libc::SIGXFSZ, std::sync::Arc::default()).map(drop)
}

/// Logs one line for each endpoint, then `ready`. Scripts wait for these and read the ports from them.
pub(super) fn announce(listening: &[Listening], #[cfg(feature = "cli")] metrics: Option<SocketAddr>) {
    for Listening { service, address, behind_proxy, .. } in listening {
        let note = if *behind_proxy { " (behind a proxy)" } else { "" };
        log::info!("listening: {} {} {address}{note}", service.name, service.transport());
    }
    #[cfg(feature = "cli")]
    if let Some(address) = metrics {
        log::info!("listening: metrics tcp {address}");
    }
    log::info!("ready");
}

/// Limits `limits` to the threads that this machine allows.
#[cfg(feature = "cli")]
fn fit_threads(limits: &mut Limits) {
    if let Some(warning) = crate::doctor::fit_threads(limits) {
        log::warn!("{warning}");
    }
}

/// The service of an inherited socket.
#[cfg(feature = "cli")]
fn serve_inherited(
    inherited: InheritedService,
    settings: &Settings,
    options: SocketOptions,
) -> (OpenSocket, Listening) {
    let InheritedService { service, behind_proxy, socket, address } = inherited;
    let socket = match socket {
        InheritedSocket::Stream(listener, make) => OpenSocket::Stream(listener, make(settings.clone())),
        InheritedSocket::Datagram(socket, make) => {
            let bound = BoundSocket::adopt(socket, address, options);
            OpenSocket::Datagram(bound, make(settings.clone()))
        }
    };
    (socket, Listening { service, address, is_inherited: true, behind_proxy })
}

fn bind(
    endpoint: &Endpoint,
    settings: &Settings,
    options: SocketOptions,
) -> Result<(OpenSocket, SocketAddr), ServeError> {
    let address = resolve(endpoint, &endpoint.host, endpoint.port)?;
    let open = || match endpoint.service.make {
        Make::Stream(make) => {
            let listener = sockets::listen(address, options)?;
            let address = listener.local_addr()?;
            Ok((OpenSocket::Stream(listener, make(settings.clone())), address))
        }
        Make::Datagram(_) if !HAS_UDP => Err(io::ErrorKind::Unsupported.into()),
        Make::Datagram(make) => {
            let bound = BoundSocket::bind(address, options)?;
            let address = bound.address;
            Ok((OpenSocket::Datagram(bound, make(settings.clone())), address))
        }
    };
    open().map_err(|error| cannot_listen(endpoint, &error))
}

/// Opens the listener of the admin endpoint.
#[cfg(feature = "cli")]
fn listen_admin(at: &HostPort, options: SocketOptions) -> Result<(TcpListener, SocketAddr), ServeError> {
    let name = format!("--metrics {at}");
    let address = resolve(&name, &at.host, at.port)?;
    // Each process of several that share the other ports has metrics of its own.
    let options = SocketOptions { reuse_port: false, ..options };
    let open = || {
        let listener = sockets::listen(address, options)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(|error| cannot_listen(&name, &error))
}

/// Whether this build resolves the names of hosts.
const HAS_HOST_NAMES: bool = cfg!(any(feature = "host-names", not(feature = "only")));

/// The first address of the host of `endpoint`.
fn resolve(endpoint: &dyn fmt::Display, host: &str, port: u16) -> Result<SocketAddr, ServeError> {
    let unresolved =
        |why: &dyn fmt::Display| ServeError::Start(format!("{endpoint}: cannot resolve the host: {why}"));
    if !HAS_HOST_NAMES {
        let address = host.parse().map_err(|_| unresolved(&"this build takes addresses only"))?;
        return Ok(SocketAddr::new(address, port));
    }
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| unresolved(&error))?;
    addresses.next().ok_or_else(|| unresolved(&"it has no address"))
}

fn cannot_listen(endpoint: &dyn fmt::Display, error: &io::Error) -> ServeError {
    let hints = [
        (io::ErrorKind::AddrInUse, ": another process has this port, or it is given twice"),
        (io::ErrorKind::PermissionDenied, ": ports below 1024 need privileges"),
        (io::ErrorKind::AddrNotAvailable, ": no interface of this machine has this address"),
    ];
    let hint = hints.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, hint)| hint);
    ServeError::Start(format!("{endpoint}: cannot listen: {error}{hint}"))
}

/// The zone of `TZ`, or else the machine's, or else UTC, as in the C library.
fn local_time_zone() -> tz::TimeZone {
    if !HAS_TIME_ZONE {
        return tz::TimeZone::utc();
    }
    let zone = match std::env::var("TZ") {
        Ok(name) => tz::TimeZone::from_posix_tz(&name),
        Err(_) => tz::TimeZone::local(),
    };
    zone.unwrap_or_else(|error| {
        log::debug!("no local time zone ({error}), using UTC");
        tz::TimeZone::utc()
    })
}
