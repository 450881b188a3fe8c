//! Callbacks for the progress of a run.

use std::time::Duration;

use super::stats::summary::Second;
use super::stats::times::Times;

/// Receives the progress of a run.
pub(crate) trait Observer {
    /// The run starts after this time. Called several times a second until then.
    fn waiting(&mut self, _left: Duration) {}

    /// The run starts: its first connection is requested now.
    fn began(&mut self) {}

    /// `opened` connections are open. Called several times a second while connections are opened.
    fn opening(&mut self, _opened: u64, _elapsed_seconds: f64) {}

    /// Opening is over, and sending starts.
    fn driving(&mut self) {}

    /// The warm-up is over, and measuring starts.
    fn measuring(&mut self) {}

    /// The last message was sent; replies may be outstanding. They wait while this runs.
    fn measured(&mut self) {}

    /// The run is over, and its connections are still open.
    fn finished(&mut self) {}

    /// A second, or the opening, is over. `times` are those since the previous call alone.
    fn second(&mut self, _second: &Second, _times: &Times) {}
}

/// Ignores the progress.
impl Observer for () {}
