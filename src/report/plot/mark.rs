//! The marks of series, and their keys in a legend.

use super::{COLORS, Plot, Stroke};
use crate::report::html::element;

/// The outline of a mark around its point, in units of the drawing; `None` for a circle.
pub(super) fn outline(number: usize) -> Option<&'static [(i32, i32)]> {
    match number % 4 {
        0 => None,
        1 => Some(&[(0, -22), (22, 0), (0, 22), (-22, 0)]),
        2 => Some(&[(-16, -16), (16, -16), (16, 16), (-16, 16)]),
        _ => Some(&[(0, -22), (20, 14), (-20, 14)]),
    }
}

/// The end of an error bar, as a line across it; `outward` is -1 at the upper end and 1 at the lower.
pub(super) fn cap(number: usize, outward: i32) -> Vec<(i32, i32)> {
    let slope = match number % 3 {
        0 => 0,
        1 => 16 * outward,
        _ => -16 * outward,
    };
    vec![(-CAP, -slope), (0, 0), (CAP, -slope)]
}

/// Width and height of a key.
pub(crate) const KEY_SIZE: (u32, u32) = (80, 54);

/// Radius of a circle as a mark.
pub(super) const RADIUS: i32 = 16;

/// Half the width of the end of an error bar.
const CAP: i32 = 18;

/// The key of the series `number` in a legend, as the content of an SVG element of [`KEY_SIZE`].
pub(crate) fn key(plot: &Plot, number: usize) -> String {
    let (series, number) = (&plot.series[number], plot.look(number));
    let color = format!("var(--series-{})", number % COLORS + 1);
    let (width, middle) = (KEY_SIZE.0, KEY_SIZE.1 / 2);
    if series.stroke == Stroke::Bars {
        let start = format!("rect x=\"15\" y=\"4\" width=\"50\" height=\"46\" fill=\"{color}\"");
        return element(&start, "");
    }
    let dashed = if series.stroke == Stroke::Dashed { " class=\"dashed\"" } else { "" };
    let line =
        format!("path{dashed} d=\"M0 {middle}H{width}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"3\"");
    let line = element(&line, "");
    if series.stroke != Stroke::Marked {
        return line;
    }
    let at = format!("fill=\"{color}\" transform=\"translate({} {middle})\"", width / 2);
    let mark = match outline(number) {
        None => format!("circle r=\"{RADIUS}\" {at}"),
        Some(outline) => {
            let points: Vec<String> = outline.iter().map(|(x, y)| format!("{x},{y}")).collect();
            format!("polygon points=\"{}\" {at}", points.join(" "))
        }
    };
    line + &element(&mark, "")
}
