//! The page of a search.

use super::histogram::{Noted, drawable};
use super::{card, sentence};
use crate::load::output::search::{answer, cells, certainty, columns, early_end, end, number, title};
use crate::load::search::options::{Quantity, SearchOptions};
use crate::load::search::result::{Certainty, SearchResult, StepRow};
use crate::load::search::verdict::StepEnd;
use crate::load::stats::summary::LoadModel;
use crate::load::stats::threshold::Threshold;
use crate::report::format::{NONE, count, time_us};
use crate::report::page::{Column, Page, Table, Tone};
use crate::report::plot::{Axis, Plot, Scale, Series, Stroke};
use crate::report::record::VERSION;
use crate::report::run_info::RunInfo;
use crate::units::float;

/// The page about `result`, as HTML.
pub(crate) fn search(result: &SearchResult, options: &SearchOptions, run: &RunInfo) -> String {
    let heading = match result.find {
        Quantity::Rate => "loopline load --find rate",
        Quantity::Connections => "loopline load --find connections",
    };
    let subtitle = format!("{} of {} each", title(result), time_us(options.step.as_secs_f64() * 1e6));
    let mut page = Page::new(heading, &subtitle);
    page.run(run);
    page.lead(&format!("{}.", sentence(&answer(result))));
    notes(result, &mut page);
    cards(result, &mut page);
    page.section("Steps", EXPLANATION);
    page.plots(&plots(result, &options.until));
    page.table(&table(result));
    page.finish(&format!("Written by loopline {VERSION}."))
}

/// How far the answer can be trusted.
fn notes(result: &SearchResult, page: &mut Page) {
    if let Some(end) = result.ended_early {
        page.note(
            Tone::Warning,
            &format!("{}.", sentence(early_end(end))),
            "More steps may change the answer.",
        );
    }
    let limit = result.above.as_ref().map(|above| above.end);
    if matches!(limit, Some(StepEnd::Generator | StepEnd::Host)) {
        page.note(
            Tone::Warning,
            "Not the limit of the server.",
            "It may be capable of more than the answer.",
        );
    }
    if let (Some(certainty), Some(words)) = (result.certainty, certainty(result)) {
        let is_sure = certainty == Certainty::Repeated;
        let (tone, name) = if is_sure { (Tone::Good, "Certain.") } else { (Tone::Warning, "Uncertain.") };
        page.note(tone, name, &format!("{}.", sentence(words)));
    }
}

fn cards(result: &SearchResult, page: &mut Page) {
    let in_steps = |steps: u32, all: u32| format!("in {steps} of {}", count(all.into()));
    let held = result.answer.map_or_else(
        || card("largest that held", NONE.into(), "none"),
        |answer| {
            let note = in_steps(result.answer_held, result.answer_steps);
            card("largest that held", number(result, answer), &note)
        },
    );
    let above = result.above.as_ref().map_or_else(
        || card("smallest that did not", NONE.into(), "none was found"),
        |above| {
            let note = match above.steps {
                // It has no verdict: the step reached a limit that is not the server's.
                0 => end(above.end).into(),
                steps => in_steps(above.failed, steps),
            };
            card("smallest that did not", number(result, above.value), &note)
        },
    );
    page.cards(&[held, above]);
}

/// Each metric of a condition, and how the server kept up.
fn plots(result: &SearchResult, until: &[Threshold]) -> Vec<Noted> {
    let of_condition = |(index, threshold): (usize, &Threshold)| {
        let is_time = threshold.is_time();
        let value = |row: &StepRow| {
            let value = row.thresholds.get(index)?.value;
            if is_time { value.map(drawable) } else { value }
        };
        let y = if is_time {
            Axis::new("time, logarithmic", Scale::Log, time_us)
        } else {
            Axis::numbers("value", Scale::Linear)
        };
        let mut plot = plot(result, format!("{} by step", threshold.metric()), y, &value);
        plot.reference = Some(threshold.limit()).filter(|limit| *limit > 0.0 || !threshold.is_time());
        (plot, "The line across is the value of the condition.")
    };
    let kept = match (result.find, result.load_model) {
        (Quantity::Connections, _) => {
            let y = Axis::numbers("connections", Scale::Linear);
            let plot = plot(result, "Connections that were opened".into(), y, &|row| Some(float(row.opened)));
            (plot, "As many as requested, or the server or this host allowed no more.")
        }
        (Quantity::Rate, _) => {
            let y = Axis::numbers("acknowledged per second", Scale::Log);
            let plot = plot(result, "Acknowledged messages".into(), y, &|row| Some(row.rate));
            (plot, "As many as offered, or the server did not keep up.")
        }
    };
    let sends = result.load_model != LoadModel::Hold && result.find == Quantity::Connections;
    let rate = sends.then(|| {
        let y = Axis::numbers("acknowledged per second", Scale::Linear);
        (plot(result, "Acknowledged messages".into(), y, &|row| Some(row.rate)), "")
    });
    until.iter().enumerate().map(of_condition).chain([kept]).chain(rate).collect()
}

/// `value` of each step over its number, with the boundary marked.
fn plot(result: &SearchResult, title: String, y: Axis, value: &dyn Fn(&StepRow) -> Option<f64>) -> Plot {
    let x = match result.find {
        Quantity::Rate => Axis::numbers("offered per second", Scale::Log),
        Quantity::Connections => Axis::numbers("connections requested", Scale::Log),
    };
    let series = |name: &str, is: fn(StepEnd) -> bool| {
        let mut points: Vec<(u64, Option<f64>)> =
            result.steps.iter().filter(|row| is(row.end)).map(|row| (row.value, value(row))).collect();
        points.sort_by_key(|(x, _)| *x);
        // Only what held is a line: other steps stand for themselves.
        let is_line = is(StepEnd::Held);
        let gap = |x: u64| (!is_line).then_some((float(x), None));
        let points = points.into_iter().flat_map(|(x, y)| [(float(x), y)].into_iter().chain(gap(x)));
        Series::new(name, points).drawn(Stroke::Marked)
    };
    let lines = vec![
        series("held", |end| end == StepEnd::Held),
        series("failed", is_failed),
        series("did not count", |end| end != StepEnd::Held && !is_failed(end)),
    ];
    let mut plot = Plot::new(title, x, y, lines);
    plot.references_x =
        result.answer.into_iter().chain(result.above.as_ref().map(|it| it.value)).map(float).collect();
    plot
}

fn is_failed(end: StepEnd) -> bool {
    matches!(end, StepEnd::Condition | StepEnd::NotKeptUp | StepEnd::Connections | StepEnd::ServerFailed)
}

fn table(result: &SearchResult) -> Table<'static> {
    let rows =
        result.steps.iter().enumerate().map(|(index, row)| cells(result, index, row).to_vec()).collect();
    let names = columns(result);
    let column = |(index, name): (usize, &'static str)| match index {
        2 => Column::Short(name),
        8 => Column::Text(name),
        _ => Column::Numbers(name),
    };
    Table { title: "All steps", columns: names.into_iter().enumerate().map(column).collect(), rows, note: "" }
}

const EXPLANATION: &str = "Each step was a run of its own. The lines from top to bottom are the boundary: the largest \
     number that held, and the smallest that did not.";
