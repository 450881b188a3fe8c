//! Being told how a run goes, while it goes.

use crate::load::stats::summary::Second;
use crate::load::stats::tally::Times;

/// Somebody who is told how a run goes.
pub(crate) trait Observer {
    /// Some connections more are open; more than once a second, and only while they are being opened.
    fn opening(&mut self, opened: u64, asked: u64, elapsed_seconds: f64) {
        let _ = (opened, asked, elapsed_seconds);
    }

    /// Connections are open, and messages are sent from now on.
    fn driving(&mut self) {}

    /// Messages are measured from now on: what came before was to warm up.
    fn measuring(&mut self) {}

    /// The last message that is measured has been sent; replies may be on their way. What this takes, they
    /// wait.
    fn measured(&mut self) {}

    /// The run is over, and its connections are still open.
    fn over(&mut self) {}

    /// A second is over. `times` are those of this second alone, in nanoseconds.
    fn second(&mut self, second: &Second, times: &Times) {
        let _ = (second, times);
    }
}

/// Nobody.
impl Observer for () {}
