//! An idle probe on the page.

use super::*;
use crate::load::stats::idle_probe::{DeathTimes, ProbeGroup, ProbeResult};

/// Four groups, of which the longer ones have dead connections. The silences are these numbers of seconds.
fn probed(silences: [f64; 4]) -> Outcome {
    let [a, b, c, d] = silences;
    let group = ProbeGroup::sample;
    let closed = Some(DeathTimes { first: 52.0, median: 55.0, last: 58.3 });
    let longest =
        ProbeGroup { unanswered: 200, closed_in_silence: 50, closed_after_seconds: closed, ..group(d, 0) };
    let groups = vec![group(a, 250), group(b, 250), group(c, 90), longest];
    let answer = "some connections (410 of 500) die silently after between 30 s and 1 min".into();
    let (alive_up_to_seconds, dead_from_seconds) = (Some(b), Some(c));
    let mut outcome = sample();
    outcome.summary.load_model = LoadModel::Probe;
    outcome.summary.idle_probe =
        Some(ProbeResult { answer, alive_up_to_seconds, dead_from_seconds, dead: 410, groups });
    outcome
}

#[test]
fn an_idle_probe_has_a_survival_curve_and_its_groups() {
    let shown = page(&probed([10.0, 30.0, 60.0, 300.0]));
    write_sample("load-idle-probe.html", &shown);
    for text in [
        "Some connections (410 of 500) die silently after between 30 s and 1 min.",
        "Connections by silence: alive, died silently, closed",
        "200 silently; 50 closed in the silence, after 52 s to 58.3 s",
        "silence, logarithmic",
        "of 1,000 probed",
    ] {
        assert!(shown.contains(text) && !page(&sample()).contains(text), "{text}");
    }
    assert_eq!(mismatched_tag(&shown), None);
}

#[test]
fn the_axis_of_similar_silences_begins_at_zero() {
    let shown = page(&probed([10.0, 20.0, 30.0, 60.0]));
    write_sample("load-idle-probe-linear.html", &shown);
    assert!(!shown.contains("silence, logarithmic"), "{shown}");
}
