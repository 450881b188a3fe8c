//! A plot as an SVG file, in light or dark colors by the setting of the reader.

use super::style;
use crate::report::html::{element, text};
use crate::report::plot::{DRAWING_SIZE, KEY_SIZE, Plot, key};

/// The whole SVG file: title, legend, and the drawing of `plot`.
#[must_use]
pub(crate) fn picture(plot: &Plot) -> String {
    let (width, height) = DRAWING_SIZE;
    let (width, height) = (width + 2 * MARGIN, height + TOP + MARGIN);
    let label = text(&plot.title);
    let rules = format!(
        "{}.plot text, svg > text {{ font-family: sans-serif; font-size: {TEXT}px; fill: var(--plot-text); }}\n\
         svg > .title {{ font-weight: 600; fill: var(--text); }}\n\
         svg * {{ vector-effect: non-scaling-stroke; stroke-linejoin: round; }}\n\
         svg .dashed {{ stroke-dasharray: 5 5; }}\n",
        style::colors()
    );
    let background =
        format!("<rect width=\"{width}\" height=\"{height}\" rx=\"40\" fill=\"var(--surface)\"/>\n");
    let title = element(&format!("text class=\"title\" x=\"{MARGIN}\" y=\"{}\"", MARGIN + TEXT), &label);
    let drawn =
        element(&format!("g class=\"plot\" transform=\"translate({MARGIN} {TOP})\""), &plot.drawing());
    let inside = [element("style", &rules), background, title, legend(plot), drawn].join("\n");
    let start = format!(
        "svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{}\" height=\"{}\" \
         role=\"img\" aria-label=\"{label}\"",
        width / ZOOM,
        height / ZOOM
    );
    element(&start, &inside) + "\n"
}

/// The names of the series, side by side.
fn legend(plot: &Plot) -> String {
    let mut x = MARGIN;
    let y = MARGIN + 3 * TEXT;
    let entries = plot.drawn().map(|(number, series)| {
        let start = format!("g transform=\"translate({x} {})\"", y - (TEXT / 3 + KEY_SIZE.1 / 2));
        let end = x + KEY_SIZE.0;
        let name = element(&format!("text x=\"{}\" y=\"{y}\"", end + TEXT / 2), &text(&series.name));
        // The width of a letter is about half its height.
        x = end + 2 * TEXT + series.name.chars().map(|_| 11 * TEXT).sum::<u32>() / 20;
        element(&start, &key(plot, number)) + &name
    });
    entries.collect()
}

/// Units of the drawing per pixel.
const ZOOM: u32 = 4;

/// Margin around the drawing.
const MARGIN: u32 = 60;

/// Space above the drawing for title and legend.
const TOP: u32 = 290;

/// Font size.
const TEXT: u32 = 54;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::mismatched_tag;
    use crate::report::plot::{Axis, Scale, Series, Stroke};

    #[test]
    fn a_picture_has_its_title_its_legend_and_its_colors() {
        let y = Axis::numbers("y", Scale::Linear);
        let series = vec![
            Series::new("one & all", [(0.0, Some(1.0)), (1.0, Some(2.0))]),
            Series::new("other", [(0.0, Some(2.0)), (1.0, Some(1.0))]).drawn(Stroke::Dashed),
        ];
        let svg = picture(&Plot::new("a <title>", Axis::time("x"), y, series));
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 2360 "), "{svg}");
        for part in
            ["a &lt;title&gt;</text>", ">one &amp; all</text>", "--series-1: #", "prefers-color-scheme: dark"]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<svg").count(), 1, "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1, "{svg}");
        assert_eq!(mismatched_tag(&svg), None, "{svg}");
    }
}
