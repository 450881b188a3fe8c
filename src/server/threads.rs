//! The other model: a thread for each connection, blocking sockets, and the very same services.
//!
//! It is here to be compared with, so it is as good as such a server can be: small stacks, buffers that grow
//! only for those who send much, one write for the answers of one read, no system call for a timeout that
//! does not change, no lock on the way of a message that is not recorded. Each datagram endpoint has a
//! thread too.

#![expect(clippy::disallowed_methods, reason = "blocking threads tell the time for themselves")]

mod connection;
mod shared;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::SockRef;

use crate::conn::reply_rules;
use crate::conn::sessions::Sessions;
use crate::doctor;
use crate::event_loop::LoopError;
use crate::journal::sink::{self, Destination};
use crate::journal::{Journal, Sink};
use crate::net::sockets;
use crate::net::{AcceptFailure, Tick};
use crate::server::bind::{self, ServeError, cannot_listen, no_journal};
use crate::server::options::{ServeOptions, THREAD_STACK_BYTES};
use crate::service::endpoint::Endpoint;
use crate::service::{DatagramService, Make, Output, StreamService};

use shared::{Admitted, Shared};

/// What the main thread waits for.
enum Happening {
    /// SIGINT or SIGTERM.
    Signal,
    /// Messages can no longer be recorded.
    JournalFailed(io::Error),
    /// The last connection has ended while draining.
    Drained,
}

/// An endpoint that is bound, and its service.
enum Bound {
    Stream(Arc<TcpListener>, Arc<dyn StreamService>),
    Datagram(UdpSocket, Box<dyn DatagramService>),
}

/// Serves until a signal asks to stop.
///
/// # Errors
/// See [`ServeError`].
pub(crate) fn serve(options: &ServeOptions) -> Result<(), ServeError> {
    let mut bound = Vec::new();
    let mut listening = Vec::new();
    for endpoint in &options.endpoints {
        let (one, address) = bind(endpoint, options)?;
        bound.push(one);
        listening.push((endpoint, address));
    }
    // Only now is the record touched: it may be that of another server, which has the ports.
    let journal = match sink::open(&options.journal).map_err(|error| no_journal(options, &error))? {
        Some(destination) => Journal::to(Box::new(Patient(destination)), options.ack),
        None => Journal::none(),
    };
    let mut limits = options.limits.clone();
    if let Some(told) = doctor::fit_threads(&mut limits) {
        log::warn!("{told}");
    }
    let (happened, happenings) = mpsc::channel();
    let shared = Arc::new(Shared::new(limits, journal, happened.clone()));
    let no_thread = |error: io::Error| ServeError::Start(format!("a thread could not be started: {error}"));
    forward_signals(happened)?;
    let mut listeners = Vec::new();
    for one in bound {
        let shared = shared.clone();
        match one {
            Bound::Stream(listener, service) => {
                listeners.push(listener.clone());
                let stack_bytes = options.thread_stack_bytes;
                let accept = move || accept(&listener, &service, &shared, stack_bytes);
                spawn("accept", THREAD_STACK_BYTES, accept).map_err(no_thread)?;
            }
            Bound::Datagram(socket, service) => {
                let answer = move || answer_datagrams(&socket, service.as_ref(), &shared);
                spawn("datagrams", THREAD_STACK_BYTES, answer).map_err(no_thread)?;
            }
        }
    }
    bind::announce(&listening);
    wait_for_the_end(&happenings, &listeners, &shared).map_err(ServeError::Run)
}

fn bind(endpoint: &Endpoint, options: &ServeOptions) -> Result<(Bound, SocketAddr), ServeError> {
    let failed = |error: io::Error| cannot_listen(endpoint, &error);
    let address = bind::resolve(endpoint)?;
    match endpoint.service.make {
        Make::Stream(make) => {
            let listener = sockets::listen(address, options.sockets).map_err(failed)?;
            // Accepted sockets inherit it.
            SockRef::from(&listener).set_write_timeout(options.limits.write_timeout).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let service = Arc::from(make(bind::settings(options)));
            Ok((Bound::Stream(Arc::new(listener), service), address))
        }
        Make::Datagram(make) => {
            let socket = sockets::bind(address, options.sockets).map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            Ok((Bound::Datagram(socket, make(bind::settings(options))), address))
        }
    }
}

/// A destination whose writer waits until it takes something. Who records then waits too, and so do their
/// acknowledgements; those who record nothing go on.
struct Patient(Destination);

impl Sink for Patient {
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
}

/// Threads end with the process: this returns when it is time to.
fn wait_for_the_end(
    happenings: &Receiver<Happening>,
    listeners: &[Arc<TcpListener>],
    shared: &Shared,
) -> Result<(), LoopError> {
    loop {
        match happenings.recv() {
            Ok(Happening::Signal) => break,
            Ok(Happening::Drained) => {}
            Ok(Happening::JournalFailed(error)) => return Err(LoopError::Journal(error)),
            Err(_) => return Ok(()),
        }
    }
    let deadline = Instant::now() + shared.limits.drain_timeout;
    log::info!("stopping: {} connections", shared.connections());
    shared.drain();
    for listener in listeners {
        // Wakes the thread that waits in accept; whoever connects from now on is refused by the kernel.
        let _ = SockRef::from(&**listener).shutdown(std::net::Shutdown::Both);
    }
    while shared.connections() > 0 {
        match happenings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Happening::Drained) => {}
            Ok(Happening::Signal) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                log::warn!("stopped before {} connections were done", shared.connections());
                break;
            }
            Ok(Happening::JournalFailed(error)) => return Err(LoopError::Journal(error)),
        }
    }
    shared.record_is_free().map_err(LoopError::Journal)
}

fn forward_signals(happened: Sender<Happening>) -> Result<(), ServeError> {
    let failed = |error: io::Error| ServeError::Start(format!("signals could not be taken over: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    spawn("signals", THREAD_STACK_BYTES, move || {
        for _ in signals.forever() {
            if happened.send(Happening::Signal).is_err() {
                return;
            }
        }
    })
    .map_err(failed)
}

fn spawn(name: &str, stack_bytes: usize, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(stack_bytes).spawn(run).map(drop)
}

fn accept(
    listener: &TcpListener,
    service: &Arc<dyn StreamService>,
    shared: &Arc<Shared>,
    stack_bytes: usize,
) {
    loop {
        if shared.connections() >= shared.limits.connections_max + shared.limits.refusals_max
            || has_too_many_threads(shared)
        {
            pause(shared.limits.accept_pause);
            continue;
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                if let Err(error) = open(stream, peer, service, shared, stack_bytes) {
                    log::debug!("{peer}: no thread for it: {error}");
                    pause(shared.limits.accept_pause);
                }
            }
            Err(_) if shared.is_draining() => return,
            Err(error) => match AcceptFailure::of(&error) {
                AcceptFailure::ThatOne => {}
                AcceptFailure::NoneWaits | AcceptFailure::Exhausted => {
                    log::debug!("accepting pauses: {error}");
                    pause(shared.limits.accept_pause);
                }
            },
        }
    }
}

/// Whether there are as many threads as there may be. A connection is counted as over before its thread is
/// quite gone, and what that thread has mapped goes with it; so near the limit the kernel is asked.
fn has_too_many_threads(shared: &Shared) -> bool {
    let most = shared.limits.connections_max;
    if shared.connections() < most - most / 8 {
        return false;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse::<usize>().ok());
    threads.is_some_and(|threads| threads >= most + shared.limits.refusals_max)
}

fn pause(duration: Duration) {
    thread::sleep(duration);
}

fn open(
    stream: TcpStream,
    peer: SocketAddr,
    service: &Arc<dyn StreamService>,
    shared: &Arc<Shared>,
    stack_bytes: usize,
) -> io::Result<()> {
    let admitted = Admitted::to(shared, stream, peer);
    let service = service.clone();
    spawn("connection", stack_bytes, move || {
        let reason = connection::serve(&admitted, service.as_ref());
        log::debug!("{} closed: {reason}", admitted.connection.peer);
    })
}

fn answer_datagrams(socket: &UdpSocket, service: &dyn DatagramService, shared: &Shared) {
    let started = Instant::now();
    let mut sessions = Sessions::new(&shared.limits);
    let mut buffer = vec![0; service.datagram_bytes_max() + 1];
    let (mut answer, mut lines) = (Vec::new(), Vec::new());
    loop {
        // An error of receiving is one peer's, told to us on the way: the next datagram may be fine.
        let Ok((bytes, peer)) = socket.recv_from(&mut buffer) else { continue };
        let now = Tick::after(started.elapsed());
        let mut out = Output::new(peer, &mut answer, shared.records.then_some(&mut lines));
        reply_rules::answer(service, &mut sessions, &buffer[..bytes], peer, &mut out, now);
        if shared.record(&mut lines) && !answer.is_empty() {
            // A datagram that is not sent is lost, as datagrams may be.
            let _ = socket.send_to(&answer, peer);
        }
        answer.clear();
        sessions.expire(now);
    }
}
