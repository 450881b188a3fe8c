//! The heartbeats of idle connections on the page.

use super::*;
use crate::load::stats::summary::Heartbeats;

#[test]
fn heartbeats_have_a_table_and_a_column_of_latencies() {
    let mut with = sample();
    with.summary.heartbeats = Some(Heartbeats {
        sent: 26_701,
        acknowledged: 26_700,
        unanswered: 1,
        latency_us: Latency { max: Some(81_100.0), count: 26_700, ..Latency::default() },
        ..Heartbeats::default()
    });
    let [shown, without] = [&with, &sample()].map(page);
    for text in ["Heartbeats: sent", "26,701", ">heartbeat<", "81.1 ms"] {
        assert!(shown.contains(text) && !without.contains(text), "{text}");
    }
}
