//! The drawing of a series: its line, marks, error bars or bars.

use plotters::prelude::{Circle, EmptyElement, LineSeries, PathElement, Polygon, Rectangle};
use plotters::style::ShapeStyle;

use super::canvas::{Chart, Drawn, LINE, PIXEL, ink};
use super::downsample::{downsample, runs};
use super::mark::{RADIUS, cap, outline};
use super::trace::Trace;
use super::{COLORS, Plot, Point, Stroke};

/// Draws the series `number` of `plot`. Error bars at the same position would cover each other, so the series is
/// moved by `shift` to the right, in linear coordinates.
pub(super) fn draw(plot: &Plot, number: usize, shift: f64, chart: &mut Chart<'_, '_>) -> Drawn<Trace> {
    let series = &plot.series[number];
    if series.stroke == Stroke::Bars {
        return bars(plot, number, chart);
    }
    let points = downsample(&series.points);
    let (style, look) = (style(plot, number), plot.look(number));
    let position = |point: &Point| plot.position(point).map(|(x, y)| (x + shift, y));
    for run in runs(&points, position) {
        if series.stroke == Stroke::Marked || run.len() == 1 {
            let shape = if series.stroke == Stroke::Marked { look } else { 0 };
            run.iter().try_for_each(|at| mark(shape, *at, style, chart))?;
        }
        if run.len() > 1 {
            chart.draw_series(LineSeries::new(run, style))?;
        }
    }
    for point in points.iter().filter(|_| series.stroke == Stroke::Marked) {
        let Some((low, high)) = point.spread else { continue };
        for (y, outward) in [(high, -1), (low, 1)] {
            let end = position(&Point { y: Some(plot.limited(y)), ..*point });
            let shape = (end.is_some() && plot.is_within(y)).then(|| cap(look, outward));
            if let Some(middle) = position(point) {
                // A logarithmic axis has no zero: the bar leaves it at the bottom.
                let end = end.unwrap_or((middle.0, chart.y_range().start));
                half_error_bar(middle, end, shape, style, chart)?;
            }
        }
    }
    let drawn = points.iter().filter_map(|point| Some((chart.backend_coord(&position(point)?), *point)));
    Ok(Trace { number, points: drawn.collect() })
}

fn bars(plot: &Plot, number: usize, chart: &mut Chart<'_, '_>) -> Drawn<Trace> {
    let series = &plot.series[number];
    let mut trace = Trace { number, points: Vec::new() };
    let base = chart.y_range().start;
    for pair in series.points.windows(2) {
        let (Some((x, y)), Some(end)) = (plot.position(&pair[0]), plot.x.scale.position(pair[1].x)) else {
            continue;
        };
        let mut bar = Rectangle::new([(x, y), (end, base)], style(plot, number).filled());
        bar.set_margin(0, 0, GAP, GAP);
        chart.draw_series([bar])?;
        trace.points.push((chart.backend_coord(&(x.midpoint(end), y)), pair[0]));
    }
    Ok(trace)
}

fn mark(number: usize, at: (f64, f64), style: ShapeStyle, chart: &mut Chart<'_, '_>) -> Drawn {
    match outline(number) {
        None => chart.draw_series([Circle::new(at, RADIUS, style.filled())])?,
        Some(outline) => {
            let shape = EmptyElement::at(at) + Polygon::new(outline.to_vec(), style.filled());
            chart.draw_series([shape])?
        }
    };
    Ok(())
}

/// A line from a point to the `end` of its range, with a stroke there, whose shape differs by series as the color does.
fn half_error_bar(
    point: (f64, f64),
    end: (f64, f64),
    shape: Option<Vec<(i32, i32)>>,
    style: ShapeStyle,
    chart: &Chart<'_, '_>,
) -> Drawn {
    if chart.backend_coord(&point) == chart.backend_coord(&end) {
        return Ok(());
    }
    let area = chart.plotting_area();
    area.draw(&PathElement::new([point, end], style))?;
    shape.map_or(Ok(()), |shape| area.draw(&(EmptyElement::at(end) + PathElement::new(shape, style))))
}

fn style(plot: &Plot, number: usize) -> ShapeStyle {
    let is_dashed = plot.series[number].stroke == Stroke::Dashed;
    ShapeStyle::from(ink(is_dashed, plot.look(number) % COLORS)).stroke_width(LINE)
}

/// Half the space between two bars.
const GAP: u32 = PIXEL / 2;
