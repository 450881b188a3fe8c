//! The drawing of a plot: axes, series, labels.

use plotters::prelude::{ChartBuilder, IntoDrawingArea, PathElement, SVGBackend, Text, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont};

use super::canvas::{AXIS, Area, Chart, Drawn, GRID, LINE, TEXT, ZOOM, colored};
use super::series;
use super::trace::{self, Trace};
use super::{Plot, Point, Stroke};
use crate::report::html;

/// Width and height in pixels, before the page scales the plot.
const SIZE: (i32, i32) = (560, 308);

/// Width and height of the drawing.
pub(crate) const DRAWING_SIZE: (u32, u32) = ((SIZE.0 * ZOOM).unsigned_abs(), (SIZE.1 * ZOOM).unsigned_abs());

/// Space in pixels above the lines for the name of the left axis, and for the label of a peak.
const TOP: i32 = 40;
/// Space in addition for the numbers of marks, above the label of a peak.
const MARK_ROW: i32 = 18;
/// Space for the labels at the left.
const LEFT: i32 = 60;
/// Space for the labels at the bottom, and for the name of that axis.
const BOTTOM: i32 = 48;
/// Space for half of the last label at the bottom.
const RIGHT: i32 = 28;

impl Plot {
    /// The drawing, as an SVG element that is as wide as the page lets it be. Its values are in elements that draw
    /// nothing.
    #[must_use]
    pub(crate) fn svg(&self) -> String {
        let names: Vec<&str> = self.drawn().map(|(_, series)| series.name.as_str()).collect();
        let label = html::text(&format!("{}: {}", self.title, names.join(", ")));
        let (width, height) = DRAWING_SIZE;
        let top = top(self);
        let area = [LEFT, top, SIZE.0 - LEFT - RIGHT, SIZE.1 - top - BOTTOM].map(|length| length * ZOOM);
        let start = format!(
            "svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\" \
             data-area=\"{} {} {} {}\"",
            area[0], area[1], area[2], area[3]
        );
        let (drawing, traces) = self.render();
        html::element(&start, &(drawing + &trace::elements(self, &traces))) + "\n"
    }

    /// The content of an SVG element of [`DRAWING_SIZE`].
    pub(crate) fn drawing(&self) -> String {
        self.render().0
    }

    fn render(&self) -> (String, Vec<Trace>) {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, DRAWING_SIZE);
        let traces = draw(self, &area.into_drawing_area()).expect("writing to a string does not fail");
        let content = svg.split_once('>').map_or("", |(_, content)| content);
        (colored(content.trim_end().trim_end_matches("</svg>").to_owned()), traces)
    }
}

fn draw(plot: &Plot, area: &Area<'_>) -> Drawn<Vec<Trace>> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let shown = || points().filter(|point| plot.position(point).is_some());
    if shown().next().is_none() {
        let middle = (SIZE.0 / 2, SIZE.1 / 2);
        write("nothing was measured", middle, Pos::new(HPos::Center, VPos::Center), area)?;
        return Ok(Vec::new());
    }
    // Gaps in the line take space as well.
    let x = plot.x.frame(points().map(|point| point.x));
    let y = plot.y.frame(shown().flat_map(values).map(|value| plot.limited(value)).chain(plot.reference));
    let (width, across) = (SIZE.0 - LEFT - RIGHT, x.range.end - x.range.start);
    let mut chart = ChartBuilder::on(area)
        .margin_top(top(plot) * ZOOM)
        .margin_right(RIGHT * ZOOM)
        .x_label_area_size(BOTTOM * ZOOM)
        .y_label_area_size(LEFT * ZOOM)
        .build_cartesian_2d(x, y)?;
    draw_axes(plot, area, &mut chart)?;
    let shifts = shifts(plot);
    let traces = plot.drawn().map(|(number, _)| {
        series::draw(plot, number, shifts[number] * across / f64::from(width), &mut chart)
    });
    let traces = traces.collect::<Drawn<Vec<Trace>>>()?;
    traces
        .iter()
        .filter(|trace| plot.series[trace.number].has_peak)
        .try_for_each(|it| draw_peak(plot, it, area))?;
    area.present()?;
    Ok(traces)
}

/// Space in pixels above the lines.
fn top(plot: &Plot) -> i32 {
    let has_peak = plot.series.iter().any(|series| series.has_peak);
    if has_peak && !plot.marks.is_empty() { TOP + MARK_ROW } else { TOP }
}

/// How far each series is moved to the right, in pixels, so that error bars are side by side.
fn shifts(plot: &Plot) -> Vec<f64> {
    let has_bars = |number: usize| {
        let series = &plot.series[number];
        series.stroke == Stroke::Marked && series.points.iter().any(|point| point.spread.is_some())
    };
    let moved: Vec<usize> =
        plot.drawn().map(|(number, _)| number).filter(|number| has_bars(*number)).collect();
    let mut shifts = vec![0.0; plot.series.len()];
    let mut shift = -SHIFT * f64::from(u32::try_from(moved.len().saturating_sub(1)).unwrap_or(0)) / 2.0;
    for number in moved {
        shifts[number] = shift;
        shift += SHIFT;
    }
    shifts
}

/// Writes the largest value above its point.
fn draw_peak(plot: &Plot, trace: &Trace, area: &Area<'_>) -> Drawn {
    let value = |point: &Point| point.y.unwrap_or(f64::NEG_INFINITY);
    let largest = trace.points.iter().max_by(|a, b| value(&a.1).total_cmp(&value(&b.1)));
    let Some(((x, y), point)) = largest else { return Ok(()) };
    let (x, y) = (x / ZOOM, y / ZOOM);
    let horizontal = match x {
        left if left < LEFT + LABEL => HPos::Left,
        right if right > SIZE.0 - RIGHT - LABEL => HPos::Right,
        _ => HPos::Center,
    };
    let text = point.y.map(plot.y.exact).unwrap_or_default();
    write(&text, (x, y - PEAK_GAP), Pos::new(horizontal, VPos::Bottom), area)
}

/// The grid with its labels at the left, the axis at the bottom, and the names of both.
fn draw_axes(plot: &Plot, area: &Area<'_>, chart: &mut Chart<'_, '_>) -> Drawn {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(GRID)
        .axis_style(GRID.mix(0.0))
        .label_style(text())
        .set_all_tick_mark_size(TICK)
        .draw()?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_y_axis()
        .axis_style(AXIS)
        .label_style(text())
        .set_all_tick_mark_size(TICK)
        .draw()?;
    if let Some(y) = plot.reference.and_then(|value| plot.y.scale.position(value)) {
        let x = chart.x_range();
        let across = PathElement::new([(x.start, y), (x.end, y)], AXIS.stroke_width(LINE));
        chart.plotting_area().draw(&across)?;
    }
    for x in plot.references_x.iter().filter_map(|value| plot.x.scale.position(*value)) {
        let y = chart.y_range();
        let down = PathElement::new([(x, y.start), (x, y.end)], AXIS.stroke_width(LINE));
        chart.plotting_area().draw(&down)?;
    }
    draw_marks(plot, area, chart)?;
    write(plot.y.label, (0, 0), Pos::new(HPos::Left, VPos::Top), area)?;
    write(plot.x.label, (SIZE.0 - RIGHT, SIZE.1), Pos::new(HPos::Right, VPos::Bottom), area)
}

/// A line across the plot at each mark, with its number above it unless the one before is too near.
fn draw_marks(plot: &Plot, area: &Area<'_>, chart: &mut Chart<'_, '_>) -> Drawn {
    let mut free_from = i32::MIN;
    for (number, mark) in (1..).zip(&plot.marks) {
        let Some(x) = plot.x.scale.position(*mark) else { continue };
        let y = chart.y_range();
        let across = PathElement::new([(x, y.start), (x, y.end)], GRID.stroke_width(LINE));
        chart.plotting_area().draw(&across)?;
        let at = chart.backend_coord(&(x, y.end)).0 / ZOOM + MARK_GAP;
        if at >= free_from {
            let text = number.to_string();
            free_from = at + MARK_LABEL * i32::try_from(text.len()).unwrap_or(1);
            write(&text, (at, TOP), Pos::new(HPos::Left, VPos::Bottom), area)?;
        }
    }
    Ok(())
}

fn values(point: &Point) -> impl Iterator<Item = f64> {
    let (low, high) = point.spread.unzip();
    [point.y, low, high].into_iter().flatten()
}

fn write(content: &str, at: (i32, i32), anchor: Pos, area: &Area<'_>) -> Drawn {
    area.draw(&Text::new(content.to_owned(), (at.0 * ZOOM, at.1 * ZOOM), text().pos(anchor)))
}

/// The page sets the font size; `plotters` needs one too.
fn text() -> TextStyle<'static> {
    ("sans-serif", 14 * ZOOM).into_font().color(&TEXT)
}

/// Length of a tick. Its label is twice as far from the axis.
const TICK: i32 = 5 * ZOOM;
/// Space between a peak and its label.
const PEAK_GAP: i32 = 5;
/// Space between a mark and its number.
const MARK_GAP: i32 = 3;
/// Width of a digit of a mark, and the space after it.
const MARK_LABEL: i32 = 10;
/// Half the width of the label of a peak.
const LABEL: i32 = 30;
/// Distance in pixels between error bars of two series at the same position.
const SHIFT: f64 = 8.0;
