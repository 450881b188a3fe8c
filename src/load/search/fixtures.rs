//! Searches whose runs are made up, for tests.

use std::time::Duration;

use super::options::{Quantity, SearchOptions};
use super::result::SearchResult;
use super::search_by;
use crate::load::options::LoadOptions;
use crate::load::stats::summary::{LoadModel, Outcome, Summary};
use crate::load::stats::times::Times;

/// The options of a search for this quantity.
pub(in crate::load) fn options(
    find: Quantity,
    until: &[&str],
    change: fn(&mut LoadOptions),
) -> SearchOptions {
    let mut first = LoadOptions::of("message".parse().unwrap());
    change(&mut first);
    let until = until.iter().map(|it| it.parse().unwrap()).collect();
    SearchOptions::new(find, until, Duration::from_secs(10), first)
}

/// Searches with results that are a function of the number of the step and its value. None: a signal.
pub(in crate::load) fn searched(
    options: &SearchOptions,
    mut result: impl FnMut(usize, u64, &mut Summary) -> Option<()>,
) -> SearchResult {
    let run = |number, value| {
        let mut summary = Summary::sample();
        if options.find == Quantity::Rate {
            #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
            let rate = value as f64;
            summary.load_model = LoadModel::Open;
            (summary.messages.rate, summary.messages.offered_rate) = (rate, Some(rate));
            summary.messages.sent = value * 10;
        } else {
            (summary.connections.asked, summary.connections.opened) = (value, value);
        }
        let is_run = result(number, value, &mut summary).is_some();
        Ok(is_run.then(|| Outcome { summary, seconds: Vec::new(), times: Times::new() }))
    };
    search_by(options, run).unwrap()
}

/// The server gets slow from this rate on.
pub(in crate::load) fn slow_above(capacity: u64) -> impl FnMut(usize, u64, &mut Summary) -> Option<()> {
    move |_, value, summary| {
        summary.latency_us.response.p99 = Some(if value > capacity { 9000.0 } else { 1000.0 });
        Some(())
    }
}
