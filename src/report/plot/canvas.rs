//! What drawings are made on: types of `plotters`, units, and colors that the page decides.

use std::io::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{Cartesian2d, ChartContext, DrawingArea, DrawingAreaErrorKind, RGBColor, SVGBackend};

use super::COLORS;
use super::axis::Frame;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Frame, Frame>>;
pub(super) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<Error>>;

/// `plotters` draws at integer coordinates, so the plot is drawn larger by this factor.
pub(super) const ZOOM: i32 = 4;

/// A pixel of the unscaled plot.
pub(super) const PIXEL: u32 = ZOOM.unsigned_abs();

/// Width of a line in pixels, at any size of the plot.
pub(super) const LINE: u32 = 2;

// Placeholders for colors: each is replaced by a CSS variable of the page.
pub(super) const TEXT: RGBColor = RGBColor(0, 0, 1);
pub(super) const GRID: RGBColor = RGBColor(0, 0, 2);
pub(super) const AXIS: RGBColor = RGBColor(0, 0, 3);

/// The placeholder for the color of a series.
pub(super) fn ink(dashed: bool, color: usize) -> RGBColor {
    RGBColor(1, u8::from(dashed), u8::try_from(color).unwrap_or(0))
}

/// Replaces the placeholder colors of `svg` by variables, and removes attributes that the page sets.
pub(super) fn colored(mut svg: String) -> String {
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
