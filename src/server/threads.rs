//! A thread for each connection, blocking sockets, and the same sessions and services as the event loop.
//!
//! It exists for comparison, so it is as good as such a server can be: small stacks, buffers that grow only for
//! peers that send much, one write for the answers of one read, no system call for a timeout that does not
//! change, no lock on the way of a message that is not recorded. Each datagram endpoint has a thread too.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

mod admission;
mod clock;
mod connection;
mod datagrams;
mod ending;
mod inherited;
mod memory;
mod meter;
mod shared;

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use procfs::FromRead;
use procfs::process::Status;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use socket2::SockRef;

use crate::conn::admission::Refusal;
use crate::conn::log_throttle::LogKind;
use crate::journal::target::JournalSink;
use crate::journal::{Journal, Sink};
use crate::limits::Limits;
use crate::net::AcceptFailure;
use crate::net::notify::Notifier;
use crate::net::signals::Signals;
use crate::server::error::ServeError;
use crate::server::metrics::Metrics;
use crate::server::options::{Model, THREAD_STACK_BYTES};
use crate::server::setup::{AdminEndpoint, OpenSocket, Setup, announce};
use crate::service::{Output, StreamService};

use admission::Admission;
use datagrams::ReceivingSocket;
use ending::{Reports, forward_signals, wait_for_end};
use inherited::Wait;
use meter::{ThreadMeter, ThreadMetrics};
use shared::Shared;

/// Serves until a signal asks to stop. Each connection's thread has a stack of `stack_bytes`.
///
/// # Errors
/// See [`ServeError`].
pub(crate) fn serve(setup: Setup, stack_bytes: usize) -> Result<(), ServeError> {
    let is_reopened = setup.journal.as_ref().is_some_and(JournalSink::is_reopened);
    let journal = match setup.journal {
        Some(sink) => Journal::to(Box::new(BlockingSink(sink)), setup.ack).in_format(setup.journal_format),
        None => Journal::none(),
    };
    let (events, received) = mpsc::channel();
    // Besides those of connections: this one, that of signals, and one for each endpoint.
    let own_threads = 2 + setup.sockets.len();
    let mut shared = Shared::new(setup.limits, journal, own_threads, events.clone());
    if setup.metrics.is_some() {
        shared.measure(ThreadMeter::new(shared.limits.memory_bytes_max));
    }
    let shared = Arc::new(shared);
    let failed = |error: io::Error| ServeError::Start(format!("cannot start a thread: {error}"));
    let signals = |signals: &[i32]| {
        let failed = |error| ServeError::Start(format!("cannot install signal handlers: {error}"));
        Signals::new(signals).map_err(failed)
    };
    let stops = signals(&[SIGINT, SIGTERM])?;
    let hangups = signals(if is_reopened { &[SIGHUP] } else { &[] })?;
    let summaries = signals(&[SIGUSR1])?;
    drop(setup.starting);
    // Sessions expire while no datagram comes, too.
    let receive_timeout = (shared.limits.session_timeout / 4).max(Duration::from_millis(1));
    // The sandbox forbids what these do.
    let (wait, end_of_waits) = Wait::new().map_err(failed)?;
    let notifier = Notifier::from_environment();
    let unconnected = |error| ServeError::Start(format!("cannot connect to NOTIFY_SOCKET: {error}"));
    let notifier = notifier.map_err(unconnected)?;
    // Threads that are started later are confined too.
    setup.confinement.enter(Model::Threads)?;
    spawn("signals", THREAD_STACK_BYTES, move || forward_signals(stops, hangups, summaries, &events))
        .map_err(failed)?;
    let mut listeners = Vec::new();
    for (socket, address) in setup.sockets.into_iter().zip(&setup.listening) {
        let shared = shared.clone();
        let wait = address.is_inherited.then(|| wait.clone());
        match socket {
            OpenSocket::Stream(listener, service) => {
                let behind_proxy = address.behind_proxy;
                // Accepted sockets inherit it.
                let unset =
                    |error: io::Error| ServeError::Start(format!("cannot set the write timeout: {error}"));
                SockRef::from(&listener).set_write_timeout(shared.limits.write_timeout).map_err(unset)?;
                let listener = Arc::new(listener);
                if wait.is_none() {
                    listeners.push(listener.clone());
                }
                let service = service.into();
                let endpoint = StreamEndpoint { listener, wait, service, behind_proxy, is_admin: false };
                let accept = move || accept(&endpoint, &shared, stack_bytes);
                spawn("accept", THREAD_STACK_BYTES, accept).map_err(failed)?;
            }
            OpenSocket::Datagram(bound, service) => {
                let _ = bound.socket.set_read_timeout(Some(receive_timeout));
                let receiving = ReceivingSocket { bound, wait, timeout: receive_timeout };
                let answer = move || datagrams::answer(&receiving, service.as_ref(), &shared);
                spawn("datagrams", THREAD_STACK_BYTES, answer).map_err(failed)?;
            }
        }
    }
    let metrics_address = setup.metrics.as_ref().map(|metrics| metrics.address);
    if let (Some(AdminEndpoint { listener, is_inherited, process, .. }), Some(measured)) =
        (setup.metrics, shared.measured())
    {
        let listener = Arc::new(listener);
        let wait = is_inherited.then(|| wait.clone());
        if wait.is_none() {
            listeners.push(listener.clone());
        }
        let metrics = Metrics::new(measured, process, Model::Threads);
        let service = Arc::new(ThreadMetrics { metrics, shared: shared.clone() });
        let endpoint = StreamEndpoint { listener, wait, service, behind_proxy: false, is_admin: true };
        let shared = shared.clone();
        let accept = move || accept(&endpoint, &shared, ADMIN_STACK_BYTES);
        spawn("metrics", THREAD_STACK_BYTES, accept).map_err(failed)?;
    }
    drop(wait);
    announce(&setup.listening, metrics_address);
    let reports = Reports::to(notifier);
    wait_for_end((&received, reports), &listeners, end_of_waits, &shared).map_err(ServeError::Run)
}

/// A sink whose writer waits until it is writable. Threads that record then wait too, and so do their
/// acknowledgements; the others continue.
struct BlockingSink(JournalSink);

impl Sink for BlockingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.0.reopen()
    }

    fn remove_torn_line(&mut self, torn_bytes: usize) {
        self.0.remove_torn_line(torn_bytes);
    }
}

fn spawn(name: &str, stack_bytes: usize, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(stack_bytes).spawn(run).map(drop)
}

/// What a thread accepts connections with.
struct StreamEndpoint {
    listener: Arc<TcpListener>,
    /// How to wait for them, if the socket does not.
    wait: Option<Wait>,
    service: Arc<dyn StreamService>,
    behind_proxy: bool,
    is_admin: bool,
}

/// The stack of a thread that serves the admin endpoint: it parses HTTP, and reads files.
const ADMIN_STACK_BYTES: usize = 256 * 1024;

fn accept(endpoint: &StreamEndpoint, shared: &Arc<Shared>, stack_bytes: usize) {
    let StreamEndpoint { listener, wait, .. } = endpoint;
    let mut failures_in_a_row = 0;
    loop {
        if let Some(wait) = wait {
            wait.until_readable(&**listener, None);
            if shared.is_draining() {
                // Connections that wait are the next server's.
                return;
            }
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                failures_in_a_row = 0;
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if let Err(error) = open(stream, peer, endpoint, shared, stack_bytes) {
                    log::debug!("{peer}: cannot start a thread: {error}");
                    pause(shared.limits.accept_pause);
                }
            }
            Err(_) if shared.is_draining() => return,
            // Another process was faster.
            Err(error) if wait.is_some() && error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                failures_in_a_row += 1;
                let concerns_one = AcceptFailure::of(&error) == AcceptFailure::ThisConnection;
                if concerns_one {
                    shared.count(|counts| &counts.accepts_failed, 1);
                }
                if !concerns_one || failures_in_a_row >= shared.limits.accepts_per_turn_max {
                    shared.warn(LogKind::AcceptPaused, format_args!("accepting is paused: {error}"));
                    pause(shared.limits.accept_pause);
                }
            }
        }
    }
}

/// Whether there are as many threads as there may be. A connection is no longer counted shortly before its thread
/// and the memory it has mapped are gone, so near the limit the kernel is asked.
fn has_too_many_threads(shared: &Shared) -> bool {
    let Limits { connections_max, refusals_max, .. } = shared.limits;
    if shared.connections() < connections_max - connections_max / 8 {
        return false;
    }
    let threads_max = connections_max + refusals_max + shared.own_threads;
    Status::from_file("/proc/self/status").is_ok_and(|status| status.threads >= threads_max as u64)
}

fn pause(duration: Duration) {
    thread::sleep(duration);
}

fn open(
    stream: TcpStream,
    peer: SocketAddr,
    endpoint: &StreamEndpoint,
    shared: &Arc<Shared>,
    stack_bytes: usize,
) -> io::Result<()> {
    let service = &endpoint.service;
    if endpoint.is_admin {
        let Some(admission) = Admission::of_admin(shared, stream, peer) else { return Ok(()) };
        let service = service.clone();
        return spawn("admin connection", stack_bytes, move || {
            let reason = connection::serve(&admission, service.as_ref());
            log::debug!("{peer}: admin connection closed: {reason}");
        });
    }
    shared.count(|counts| &counts.opened, 1);
    let admission = match Admission::new(shared, stream, peer, endpoint.behind_proxy) {
        Ok(admission) => admission,
        Err((stream, refusal)) => {
            refuse_at_once(&stream, peer, service.as_ref(), shared, refusal);
            return Ok(());
        }
    };
    let connection = admission.connection.clone();
    let deadline = Instant::now() + shared.limits.linger_timeout;
    while has_too_many_threads(shared) {
        if Instant::now() >= deadline {
            refuse_at_once(&connection.stream, peer, service.as_ref(), shared, Refusal::NoThread);
            return Ok(());
        }
        pause(THREAD_END_PAUSE);
    }
    let served = service.clone();
    let spawned = spawn("connection", stack_bytes, move || {
        let reason = connection::serve(&admission, served.as_ref());
        let peer = admission.peer.get();
        admission.shared.count_closed(reason);
        log::debug!("{peer} closed: {reason}");
        if reason.is_logged() {
            admission.shared.warn(LogKind::Closed(reason), format_args!("{peer}: {reason}"));
        }
    });
    if spawned.is_err() {
        refuse_at_once(&connection.stream, peer, service.as_ref(), shared, Refusal::NoThread);
    }
    spawned
}

/// Sends the reason, which the empty buffer of a new connection takes. The connection is closed after that: bytes
/// that have arrived are read first, since unread ones make the kernel send a reset, which may overtake the reason.
fn refuse_at_once(
    stream: &TcpStream,
    peer: SocketAddr,
    service: &dyn StreamService,
    shared: &Shared,
    refusal: Refusal,
) {
    let mut answer = Vec::new();
    service.refused(&refusal.to_string(), &mut Output::new(peer, &mut answer, None));
    let socket = SockRef::from(stream);
    let _ = socket.send_with_flags(&answer, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let _ = socket.recv_with_flags(&mut [MaybeUninit::uninit(); 4096], libc::MSG_DONTWAIT);
    let reason = refusal.close_reason();
    shared.count_closed(reason);
    shared.warn(LogKind::Closed(reason), format_args!("{peer}: {reason}"));
}

/// How long to wait for threads of connections that are closed to end.
const THREAD_END_PAUSE: Duration = Duration::from_millis(1);
