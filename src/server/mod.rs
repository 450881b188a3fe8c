//! `serve`: opens what the options name, once, and runs the chosen model with it.

#[cfg(feature = "cli")]
mod activation;
pub(crate) mod by_loop;
mod error;
mod memory;
#[cfg(feature = "cli")]
mod metrics;
pub(crate) mod options;
#[cfg(feature = "cli")]
mod privileges;
#[cfg(feature = "cli")]
mod sandbox;
pub(crate) mod setup;
#[cfg(feature = "cli")]
mod threads;

pub(crate) use error::ServeError;

#[cfg(not(feature = "cli"))]
use crate::journal::target::JournalTarget;
#[cfg(not(feature = "cli"))]
use crate::journal::{Format, HAS_JOURNAL};

use options::{Model, ServeOptions};
use setup::Setup;

/// Serves until a signal asks to stop.
///
/// # Errors
/// See [`ServeError`]. Nothing is left running.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), ServeError> {
    #[cfg(not(feature = "cli"))]
    if options.sandbox == options::Sandbox::On
        || options.user.is_some()
        || options.proxy_protocol
        || options.endpoints.iter().any(|endpoint| endpoint.behind_proxy)
    {
        let reason = "this build has no sandbox and no PROXY protocol, and cannot change its user";
        return Err(ServeError::Start(reason.into()));
    }
    #[cfg(not(feature = "cli"))]
    if options.journal_format == Format::Json {
        return Err(ServeError::Start("this build has no JSON journal".into()));
    }
    #[cfg(not(feature = "cli"))]
    if options.metrics.is_some() {
        return Err(ServeError::Start("this build has no metrics".into()));
    }
    #[cfg(not(feature = "cli"))]
    if !HAS_JOURNAL && options.journal != JournalTarget::None {
        return Err(ServeError::Start("this build has no journal".into()));
    }
    match options.model {
        Model::Loop => by_loop::serve(Setup::open(options)?),
        #[cfg(feature = "cli")]
        Model::Threads => threads::serve(Setup::open(options)?, options.thread_stack_bytes),
        #[cfg(not(feature = "cli"))]
        Model::Threads => Err(ServeError::Start("this build has no thread per connection".into())),
    }
}
