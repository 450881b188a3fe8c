//! The values of a plot, for the script that shows them under the pointer.

use std::fmt::Write;

use super::{COLORS, Plot, Point, Stroke};
use crate::report::html::{element, text};

/// The points of a series that were drawn.
#[derive(Debug)]
pub(super) struct Trace {
    /// The number of the series.
    pub(super) number: usize,
    /// Where each point is in the drawing, and the point.
    pub(super) points: Vec<((i32, i32), Point)>,
}

/// `traces` as elements that draw nothing. Values are formatted here, since only the axes know how.
pub(super) fn elements(plot: &Plot, traces: &[Trace]) -> String {
    traces.iter().filter(|trace| !trace.points.is_empty()).map(|trace| of_trace(plot, trace)).collect()
}

fn of_trace(plot: &Plot, trace: &Trace) -> String {
    let series = &plot.series[trace.number];
    let list = |separator: &str, of: &dyn Fn(usize) -> String| -> String {
        (0..trace.points.len()).map(of).collect::<Vec<_>>().join(separator)
    };
    let point = |index: usize| trace.points[index].1;
    let at = |index: usize| {
        let x = point(index).x;
        if series.stroke != Stroke::Bars {
            return (plot.x.exact)(x);
        }
        let next = series.points.iter().find(|other| other.x > x).map_or(x, |other| other.x);
        format!("{} to {}", (plot.x.exact)(x), (plot.x.exact)(next))
    };
    let value = |index: usize| {
        let Point { y, spread, .. } = point(index);
        let mut shown = y.map(plot.y.exact).unwrap_or_default();
        if let Some((low, high)) = spread {
            let _ = write!(shown, " ({} to {})", (plot.y.exact)(low), (plot.y.exact)(high));
        }
        shown
    };
    let start = format!(
        "g class=\"trace\" data-name=\"{}\" data-key=\"{}\" data-x=\"{}\" data-y=\"{}\" data-at=\"{}\" data-values=\"{}\"",
        text(&series.name),
        plot.look(trace.number) % COLORS + 1,
        list(" ", &|index| trace.points[index].0.0.to_string()),
        list(" ", &|index| trace.points[index].0.1.to_string()),
        text(&list(SEPARATOR, &at)),
        text(&list(SEPARATOR, &value)),
    );
    element(&start, "") + "\n"
}

/// Separates texts; no format of a number has it.
const SEPARATOR: &str = "|";
