//! The drawing of a plot. The only file that knows `plotters`.

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
use super::thin::{runs, thin};
use super::{COLOURS, Plot, Point, Series, Stroke};
use crate::report::html;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Frame, Frame>>;
type Drawn = Result<(), DrawingAreaErrorKind<Error>>;

/// `plotters` draws at whole numbers. So the plot is drawn this much larger than it is meant to be seen.
const FINENESS: i32 = 4;

/// Width and height in pixels, before the page scales it.
const SIZE: (i32, i32) = (560, 300);

/// Room in pixels above the lines for the name of the axis at the left.
const TOP: i32 = 32;
/// Room for the labels at the left.
const LEFT: i32 = 60;
/// Room for the labels at the bottom, and for the name of that axis.
const BOTTOM: i32 = 48;
/// Room for the half of the last label at the bottom.
const RIGHT: i32 = 28;

impl Plot {
    /// The drawing, as an SVG element that is as wide as the page lets it be.
    #[must_use]
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        let size = (SIZE.0 * FINENESS, SIZE.1 * FINENESS);
        let area = SVGBackend::with_string(&mut svg, (size.0.unsigned_abs(), size.1.unsigned_abs()));
        draw(self, &area.into_drawing_area()).expect("a string takes whatever is drawn");
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        let label = format!("{}: {}", self.title, names.join(", "));
        let start = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            size.0,
            size.1,
            html::text(&label)
        );
        let drawn = svg.split_once('>').map_or("", |(_, drawn)| drawn);
        coloured(start + drawn)
    }
}

fn draw(plot: &Plot, area: &Area<'_>) -> Drawn {
    let place = |point: &Point| Some((plot.x.scale.place(point.x)?, plot.y.scale.place(point.y?)?));
    let shown =
        || plot.series.iter().flat_map(|series| &series.points).filter(|point| place(point).is_some());
    if shown().next().is_none() {
        let middle = (SIZE.0 / 2, SIZE.1 / 2);
        return write("nothing was measured", middle, Pos::new(HPos::Center, VPos::Center), area);
    }
    // Where the line is broken there is room for it all the same.
    let x = plot.x.frame(plot.series.iter().flat_map(|series| &series.points).map(|point| point.x));
    let y = plot.y.frame(shown().flat_map(values));
    let mut chart = ChartBuilder::on(area)
        .margin_top(TOP * FINENESS)
        .margin_right(RIGHT * FINENESS)
        .x_label_area_size(BOTTOM * FINENESS)
        .y_label_area_size(LEFT * FINENESS)
        .build_cartesian_2d(x, y)?;
    draw_axes(plot, area, &mut chart)?;
    for (number, series) in plot.series.iter().enumerate() {
        draw_series(plot, series, number % COLOURS, &mut chart)?;
    }
    area.present()
}

/// The grid with its labels at the left, then the axis at the bottom, and the names of both at their ends.
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

fn draw_series(plot: &Plot, series: &Series, colour: usize, chart: &mut Chart<'_, '_>) -> Drawn {
    let points = thin(&series.points);
    let ink = ink(series.stroke == Stroke::Dashed, colour);
    let (line, dot) = (ShapeStyle::from(ink).stroke_width(LINE), ink.filled());
    let place = |x: f64, y: f64| Some((plot.x.scale.place(x)?, plot.y.scale.place(y)?));
    for run in runs(&points, |point| place(point.x, point.y?)) {
        let marked = series.stroke == Stroke::Marked || run.len() == 1;
        let marks: Vec<_> = run.iter().filter(|_| marked).map(|at| Circle::new(*at, MARK, dot)).collect();
        if run.len() > 1 {
            chart.draw_series(LineSeries::new(run, line))?;
        }
        chart.draw_series(marks)?;
    }
    for point in &points {
        let Some((low, high)) = point.spread else { continue };
        let ends = (place(point.x, low), place(point.x, high));
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

fn write(words: &str, at: (i32, i32), anchor: Pos, area: &Area<'_>) -> Drawn {
    area.draw(&Text::new(words.to_owned(), (at.0 * FINENESS, at.1 * FINENESS), text().pos(anchor)))
}

impl Ranged for Frame {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "it is within `pixels`")]
    fn map(&self, place: &f64, pixels: (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        pixels.0 + (f64::from(pixels.1 - pixels.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between the ticks.
        let ticks = if hint.weight().allow_light_points() { &[] } else { self.ticks.as_slice() };
        ticks.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Frame {
    fn format_ext(&self, place: &f64) -> String {
        let off = |tick: &(f64, String)| (tick.0 - place).abs();
        let nearest = self.ticks.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
        nearest.map_or_else(String::new, |(_, text)| text.clone())
    }
}

/// The page says how large it is; `plotters` has to have something.
fn text() -> TextStyle<'static> {
    ("sans-serif", 14 * FINENESS).into_font().color(&TEXT)
}

/// Pixels of a line, however large the plot is shown.
const LINE: u32 = 2;
/// Length of a tick. Its label is twice as far from the axis.
const TICK: i32 = 5 * FINENESS;
/// Radius of a mark.
const MARK: i32 = 4 * FINENESS;
/// Half of the stroke at the end of an error bar.
const BAR: i32 = 5 * FINENESS;

// What is drawn has no colours yet: each of these stands for a variable of the page.
const TEXT: RGBColor = RGBColor(0, 0, 1);
const GRID: RGBColor = RGBColor(0, 0, 2);
const AXIS: RGBColor = RGBColor(0, 0, 3);

fn ink(dashed: bool, colour: usize) -> RGBColor {
    RGBColor(1, u8::from(dashed), u8::try_from(colour).unwrap_or(0))
}

/// `svg` with what each colour stands for, and without what the page says.
fn coloured(mut svg: String) -> String {
    let hex = |RGBColor(red, green, blue)| format!("\"#{red:02X}{green:02X}{blue:02X}\"");
    for (colour, variable) in [(TEXT, "plot-text"), (GRID, "plot-grid"), (AXIS, "plot-axis")] {
        svg = svg.replace(&hex(colour), &format!("\"var(--{variable})\""));
    }
    for colour in 0..COLOURS {
        let variable = format!("\"var(--series-{})\"", colour + 1);
        svg = svg.replace(&hex(ink(false, colour)), &variable);
        let dashed = format!("stroke={}", hex(ink(true, colour)));
        svg = svg.replace(&dashed, &format!("class=\"dashed\" stroke={variable}"));
        svg = svg.replace(&hex(ink(true, colour)), &variable);
    }
    svg.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "")
}
