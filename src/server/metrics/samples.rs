//! The samples of the last ten minutes as JSON.

use serde::Serialize;

use crate::event_loop::measurements::{Measurements, Sample};
use crate::server::options::Model;

pub(super) const CONTENT_TYPE: &str = "application/json";

#[derive(Serialize)]
struct Document<'a> {
    interval_seconds: u32,
    /// The value of `after` in the next request.
    next: u64,
    version: &'static str,
    model: Model,
    /// Seconds since the epoch.
    started: i64,
    stopping: bool,
    samples: Vec<&'a Sample>,
}

/// The number in `after=N`, the whole query; zero without a query, and `None` if it is something else.
pub(super) fn first(query: Option<&str>) -> Option<u64> {
    query.map_or(Some(0), |query| query.strip_prefix("after=")?.parse().ok())
}

/// Appends the samples from number `first` on, and what a page shows of their server, to `body`.
pub(super) fn write(measured: &Measurements, model: Model, first: u64, body: &mut Vec<u8>) {
    let document = Document {
        interval_seconds: 1,
        next: measured.samples.next(),
        version: env!("CARGO_PKG_VERSION"),
        model,
        started: measured.started,
        stopping: measured.is_stopping,
        samples: measured.samples.since(first).collect(),
    };
    serde_json::to_writer(body, &document).expect("writing to a Vec cannot fail");
}
