//! The drawing of a plot, in the only file that uses `plotters`.

use std::io::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, DrawingArea, DrawingAreaErrorKind, EmptyElement,
    IntoDrawingArea, LineSeries, PathElement, RGBColor, SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, ShapeStyle};

use super::axis::Frame;
use super::downsample::{downsample, runs};
use super::{COLORS, Plot, Point, Series, Stroke};
use crate::report::html;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Frame, Frame>>;
type Drawn = Result<(), DrawingAreaErrorKind<Error>>;

/// `plotters` draws at integer coordinates, so the plot is drawn larger by this factor.
const ZOOM: i32 = 4;

/// Width and height in pixels, before the page scales the plot.
const SIZE: (i32, i32) = (560, 300);

/// Width and height of the drawing.
pub(crate) const DRAWING_SIZE: (u32, u32) = ((SIZE.0 * ZOOM).unsigned_abs(), (SIZE.1 * ZOOM).unsigned_abs());

/// Space in pixels above the lines for the name of the left axis.
const TOP: i32 = 32;
/// Space for the labels at the left.
const LEFT: i32 = 60;
/// Space for the labels at the bottom, and for the name of that axis.
const BOTTOM: i32 = 48;
/// Space for half of the last label at the bottom.
const RIGHT: i32 = 28;

impl Plot {
    /// The drawing, as an SVG element that is as wide as the page lets it be.
    #[must_use]
    pub(crate) fn svg(&self) -> String {
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        let label = html::text(&format!("{}: {}", self.title, names.join(", ")));
        let (width, height) = DRAWING_SIZE;
        let start = format!(
            "svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\""
        );
        html::element(&start, &self.drawing()) + "\n"
    }

    /// The content of an SVG element of [`DRAWING_SIZE`].
    pub(crate) fn drawing(&self) -> String {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, DRAWING_SIZE);
        draw(self, &area.into_drawing_area()).expect("writing to a string does not fail");
        let content = svg.split_once('>').map_or("", |(_, content)| content);
        colored(content.trim_end().trim_end_matches("</svg>").to_owned())
    }
}

fn draw(plot: &Plot, area: &Area<'_>) -> Drawn {
    let position = |point: &Point| Some((plot.x.scale.position(point.x)?, plot.y.scale.position(point.y?)?));
    let shown =
        || plot.series.iter().flat_map(|series| &series.points).filter(|point| position(point).is_some());
    if shown().next().is_none() {
        let middle = (SIZE.0 / 2, SIZE.1 / 2);
        return write("nothing was measured", middle, Pos::new(HPos::Center, VPos::Center), area);
    }
    // Gaps in the line take space as well.
    let x = plot.x.frame(plot.series.iter().flat_map(|series| &series.points).map(|point| point.x));
    let y = plot.y.frame(shown().flat_map(values));
    let mut chart = ChartBuilder::on(area)
        .margin_top(TOP * ZOOM)
        .margin_right(RIGHT * ZOOM)
        .x_label_area_size(BOTTOM * ZOOM)
        .y_label_area_size(LEFT * ZOOM)
        .build_cartesian_2d(x, y)?;
    draw_axes(plot, area, &mut chart)?;
    for (number, series) in plot.series.iter().enumerate() {
        draw_series(plot, series, number % COLORS, &mut chart)?;
    }
    area.present()
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
    write(plot.y.label, (0, 0), Pos::new(HPos::Left, VPos::Top), area)?;
    write(plot.x.label, (SIZE.0 - RIGHT, SIZE.1), Pos::new(HPos::Right, VPos::Bottom), area)
}

fn draw_series(plot: &Plot, series: &Series, color: usize, chart: &mut Chart<'_, '_>) -> Drawn {
    let points = downsample(&series.points);
    let ink = ink(series.stroke == Stroke::Dashed, color);
    let (line, dot) = (ShapeStyle::from(ink).stroke_width(LINE), ink.filled());
    let position = |x: f64, y: f64| Some((plot.x.scale.position(x)?, plot.y.scale.position(y)?));
    for run in runs(&points, |point| position(point.x, point.y?)) {
        let marked = series.stroke == Stroke::Marked || run.len() == 1;
        let marks: Vec<_> = run.iter().filter(|_| marked).map(|at| Circle::new(*at, MARK, dot)).collect();
        if run.len() > 1 {
            chart.draw_series(LineSeries::new(run, line))?;
        }
        chart.draw_series(marks)?;
    }
    for point in &points {
        let Some((low, high)) = point.spread else { continue };
        let ends = (position(point.x, low), position(point.x, high));
        if let (Some(low), Some(high)) = ends {
            draw_bar(chart, low, high, line)?;
        }
    }
    Ok(())
}

/// An error bar: a line with a short stroke at each end.
fn draw_bar(chart: &Chart<'_, '_>, low: (f64, f64), high: (f64, f64), style: ShapeStyle) -> Drawn {
    let area = chart.plotting_area();
    area.draw(&PathElement::new([low, high], style))?;
    for end in [low, high] {
        let stroke = PathElement::new([(-BAR, 0), (BAR, 0)], style);
        area.draw(&(EmptyElement::at(end) + stroke))?;
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

impl Ranged for Frame {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "the result is within `pixels`")]
    fn map(&self, position: &f64, pixels: (i32, i32)) -> i32 {
        let share = (position - self.range.start) / (self.range.end - self.range.start);
        pixels.0 + (f64::from(pixels.1 - pixels.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // No lines between the ticks.
        let ticks = if hint.weight().allow_light_points() { &[] } else { self.ticks.as_slice() };
        ticks.iter().map(|(position, _)| *position).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Frame {
    fn format_ext(&self, position: &f64) -> String {
        let off = |tick: &(f64, String)| (tick.0 - position).abs();
        let nearest = self.ticks.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
        nearest.map_or_else(String::new, |(_, text)| text.clone())
    }
}

/// The page sets the font size; `plotters` needs one too.
fn text() -> TextStyle<'static> {
    ("sans-serif", 14 * ZOOM).into_font().color(&TEXT)
}

/// Width of a line in pixels, at any size of the plot.
const LINE: u32 = 2;
/// Length of a tick. Its label is twice as far from the axis.
const TICK: i32 = 5 * ZOOM;
/// Radius of a mark.
const MARK: i32 = 4 * ZOOM;
/// Half of the stroke at the end of an error bar.
const BAR: i32 = 5 * ZOOM;

// Placeholders for colors: each is replaced by a CSS variable of the page.
const TEXT: RGBColor = RGBColor(0, 0, 1);
const GRID: RGBColor = RGBColor(0, 0, 2);
const AXIS: RGBColor = RGBColor(0, 0, 3);

fn ink(dashed: bool, color: usize) -> RGBColor {
    RGBColor(1, u8::from(dashed), u8::try_from(color).unwrap_or(0))
}

/// Replaces the placeholder colors of `svg` by variables, and removes attributes that the page sets.
fn colored(mut svg: String) -> String {
    let hex = |RGBColor(red, green, blue)| format!("\"#{red:02X}{green:02X}{blue:02X}\"");
    for (color, variable) in [(TEXT, "plot-text"), (GRID, "plot-grid"), (AXIS, "plot-axis")] {
        svg = svg.replace(&hex(color), &format!("\"var(--{variable})\""));
    }
    for color in 0..COLORS {
        let variable = format!("\"var(--series-{})\"", color + 1);
        svg = svg.replace(&hex(ink(false, color)), &variable);
        let dashed = format!("stroke={}", hex(ink(true, color)));
        svg = svg.replace(&dashed, &format!("class=\"dashed\" stroke={variable}"));
        svg = svg.replace(&hex(ink(true, color)), &variable);
    }
    svg.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "")
}
