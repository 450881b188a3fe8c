//! One event loop for all connections.

use std::io;
use std::os::fd::AsFd;

use crate::event_loop::EventLoop;
use crate::journal::target::JournalSink;
use crate::journal::{HAS_JOURNAL, Journal};
use crate::net::kernel::KernelNet;
#[cfg(feature = "cli")]
use crate::net::notify::Notifier;
use crate::server::error::ServeError;
#[cfg(feature = "cli")]
use crate::server::metrics::Metrics;
#[cfg(feature = "cli")]
use crate::server::options::Model;
#[cfg(feature = "cli")]
use crate::server::setup::AdminEndpoint;
use crate::server::setup::{OpenSocket, Setup, announce};

pub(super) fn serve(setup: Setup) -> Result<(), ServeError> {
    #[cfg(feature = "cli")]
    let metrics = setup.metrics.as_ref().map(|metrics| metrics.address);
    #[cfg(feature = "signals")]
    let mut setup = setup;
    #[cfg(feature = "signals")]
    let is_reopened = setup.journal.as_ref().is_some_and(JournalSink::is_reopened);
    #[cfg(feature = "cli")]
    let confinement = setup.confinement.clone();
    #[cfg(feature = "signals")]
    let starting = setup.starting.take();
    let listening = setup.listening.clone();
    let mut server = event_loop(setup)?;
    #[cfg(feature = "signals")]
    {
        server.net().take_signals().map_err(failed("install signal handlers"))?;
        #[cfg(feature = "cli")]
        server.net().take_summary_requests().map_err(failed("install signal handlers"))?;
        if is_reopened {
            server.net().take_hangups().map_err(failed("install signal handlers"))?;
        }
        drop(starting);
    }
    #[cfg(feature = "cli")]
    let notifier = Notifier::from_environment().map_err(failed("connect to NOTIFY_SOCKET"))?;
    #[cfg(feature = "cli")]
    confinement.enter(Model::Loop)?;
    announce(
        &listening,
        #[cfg(feature = "cli")]
        metrics,
    );
    #[cfg(feature = "cli")]
    if let Some(notifier) = notifier {
        server.net().report_ready(notifier);
    }
    server.run().map_err(ServeError::Run)
}

/// The event loop that serves what is open; signals do not stop it.
pub(crate) fn event_loop(setup: Setup) -> Result<EventLoop<KernelNet>, ServeError> {
    let net = KernelNet::new(setup.socket_options).map_err(failed("open the poller"))?;
    let mut server = EventLoop::new(net, setup.limits);
    for (socket, listening) in setup.sockets.into_iter().zip(&setup.listening) {
        match socket {
            OpenSocket::Stream(listener, service) if listening.is_inherited => {
                server.listen_inherited(service, |net, token| net.adopt_listener(listener, token))
            }
            OpenSocket::Stream(listener, service) => {
                server.listen_with(service, |net, token| net.adopt_listener(listener, token))
            }
            OpenSocket::Datagram(socket, service) => {
                server.bind_with(service, |net, token| net.adopt_bound(socket, token))
            }
        }
        .map_err(failed("poll an endpoint"))?;
        #[cfg(feature = "cli")]
        if listening.behind_proxy {
            server.expect_proxy_header();
        }
        #[cfg(not(feature = "cli"))]
        debug_assert!(!listening.behind_proxy);
    }
    #[cfg(feature = "cli")]
    if let Some(AdminEndpoint { listener, is_inherited, process, .. }) = setup.metrics {
        let service = Box::new(Metrics::new(server.measure(), process, Model::Loop));
        let adopt = |net: &mut KernelNet, token| net.adopt_listener(listener, token);
        if is_inherited {
            server.listen_inherited(service, adopt)
        } else {
            server.listen_with(service, adopt)
        }
        .map_err(failed("poll an endpoint"))?;
        server.serve_admin_at_last_endpoint();
    }
    if let Some(sink) = setup.journal.filter(|_| HAS_JOURNAL) {
        watch(&sink, server.net()).map_err(failed("poll the journal"))?;
        server.set_journal(Journal::to(Box::new(sink), setup.ack).in_format(setup.journal_format));
    }
    Ok(server)
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |error| ServeError::Start(format!("cannot {what}: {error}"))
}

fn watch(sink: &JournalSink, net: &mut KernelNet) -> io::Result<()> {
    match net.watch_journal(sink.as_fd()) {
        // What never makes a writer wait cannot be registered, such as a regular file or /dev/null.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}
