//! The part of the page about silent connections: a survival curve over the silence.

use super::histogram::Noted;
use crate::load::output::idle_probe::{COLUMNS, NOTE, cells};
use crate::load::stats::idle_probe::{ProbeGroup, silence};
use crate::report::format::share;
use crate::report::page::{Column, Table};
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::units::float;

/// The share of connections that are alive after each silence, and how the others ended.
pub(super) fn survival(groups: &[ProbeGroup]) -> Noted {
    type Pick = fn(&ProbeGroup) -> u64;
    let deaths: [(&str, Pick); 4] = [
        ("died silently", |group| group.unanswered),
        ("reset", |group| group.reset_in_silence + group.reset_on_sending),
        ("closed", |group| group.closed_in_silence + group.closed_on_sending),
        ("session lost", |group| group.session_lost),
    ];
    let is_wide = groups.last().zip(groups.first()).is_some_and(|(longest, shortest)| {
        longest.silence_seconds >= shortest.silence_seconds * LOGARITHMIC_FROM
    });
    // A logarithmic axis has no zero.
    let begin = if is_wide { None } else { Some((0.0, Some(1.0))) };
    let known = || groups.iter().filter_map(|group| Some((group, group.survived()?)));
    let alive = known().map(|(group, survived)| (group.silence_seconds, Some(survived)));
    let alive = Series::new("alive", begin.into_iter().chain(alive)).drawn(Stroke::Marked);
    let dead = deaths.into_iter().filter(|(_, pick)| groups.iter().any(|group| pick(group) > 0));
    let dead = dead.map(|(name, pick)| {
        let points = known().map(|(group, _)| {
            (group.silence_seconds, Some(float(pick(group)) / float(group.alive + group.dead)))
        });
        Series::new(name, points).drawn(Stroke::Dashed)
    });
    let x =
        if is_wide { Axis::new("silence, logarithmic", Scale::Log, silence) } else { Axis::time("silence") };
    let y = Axis::new("share of connections", Scale::Linear, share);
    let series = [alive].into_iter().chain(dead).collect();
    (Plot::new("Connections by silence", x, y, series), "Of the connections that were probed.")
}

/// The groups.
pub(super) fn table(groups: &[ProbeGroup]) -> Table<'static> {
    let columns = COLUMNS.iter().enumerate().map(|(index, name)| match index {
        index if index + 1 == COLUMNS.len() => Column::Text(name),
        _ => Column::Numbers(name),
    });
    Table {
        title: "Connections by silence",
        columns: columns.collect(),
        rows: groups.iter().map(|group| cells(group).to_vec()).collect(),
        note: NOTE,
    }
}

/// The axis is logarithmic if the longest silence is this many times the shortest.
const LOGARITHMIC_FROM: f64 = 10.0;
