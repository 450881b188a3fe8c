//! `serve`: opens what the options name, and runs the model that they ask for.

pub(crate) mod bind;
pub(crate) mod options;
#[cfg(feature = "cli")]
mod threads;

use std::io;
use std::os::fd::AsFd;

use crate::event_loop::EventLoop;
use crate::journal::Journal;
use crate::journal::sink;
use crate::net::fd_limit;
use crate::net::kernel::KernelNet;
pub(crate) use crate::server::bind::ServeError;
use crate::server::bind::{announce, cannot_listen, no_journal, resolve, settings};
use crate::server::options::{Model, ServeOptions};
use crate::service::Make;

/// Serves until a signal asks to stop.
///
/// # Errors
/// See [`ServeError`]. Nothing is left running.
pub(crate) fn serve(mut options: ServeOptions) -> Result<(), ServeError> {
    let told = fd_limit::fit(&mut options.limits, options.connections_max, options.endpoints.len());
    if let Some(told) = told {
        log::warn!("{told}");
    }
    match options.model {
        Model::Loop => serve_by_loop(&options),
        #[cfg(feature = "cli")]
        Model::Threads => threads::serve(&options),
        #[cfg(not(feature = "cli"))]
        Model::Threads => Err(ServeError::Start("this build has no thread per connection".into())),
    }
}

fn serve_by_loop(options: &ServeOptions) -> Result<(), ServeError> {
    let network = |error: io::Error| ServeError::Start(format!("the poller could not be made: {error}"));
    let net = KernelNet::new(options.sockets).map_err(network)?;
    let mut server = EventLoop::new(net, options.limits.clone());
    #[cfg(feature = "signals")]
    server
        .net()
        .take_signals()
        .map_err(|error| ServeError::Start(format!("signals could not be taken over: {error}")))?;
    let settings = settings(options);
    let mut listening = Vec::new();
    for endpoint in &options.endpoints {
        let address = resolve(endpoint)?;
        let bound = match endpoint.service.make {
            Make::Stream(make) => server.listen(address, make(settings.clone())),
            Make::Datagram(make) => server.bind(address, make(settings.clone())),
        };
        listening.push((endpoint, bound.map_err(|error| cannot_listen(endpoint, &error))?));
    }
    // Only now is the record touched: it may be that of another server, which has the ports.
    let journal = open_journal(options, server.net())?;
    server.record_to(journal);
    announce(&listening);
    server.run().map_err(ServeError::Run)
}

fn open_journal(options: &ServeOptions, net: &mut KernelNet) -> Result<Journal, ServeError> {
    let failed = |error: io::Error| no_journal(options, &error);
    let Some(destination) = sink::open(&options.journal).map_err(failed)? else {
        return Ok(Journal::none());
    };
    match net.watch_journal(destination.as_fd()) {
        // The poller's word for what never makes a writer wait, such as a plain file or /dev/null.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        outcome => outcome.map_err(failed)?,
    }
    Ok(Journal::to(Box::new(destination), options.ack))
}
