//! Line plots as SVG, drawn by `plotters`.
//!
//! The colors are CSS variables (`--series-1`, `--plot-grid`, …), so that one drawing serves light and dark pages;
//! [`crate::report::page`] has their values.

mod axis;
mod downsample;
mod draw;

pub(crate) use axis::{Axis, Scale};
pub(crate) use draw::DRAWING_SIZE;

/// The number of colors for series; further series reuse them.
pub(crate) const COLORS: usize = 6;

/// A line plot.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// The title, shown above the plot and read by screen readers, but not part of the drawing.
    pub title: String,
    /// The axis at the bottom.
    pub x: Axis,
    /// The axis at the left.
    pub y: Axis,
    /// The lines, the last on top.
    pub series: Vec<Series>,
}

/// A line of a plot.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points from left to right.
    pub points: Vec<Point>,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// A point of a series. Without `y`, or with one that the axis cannot show, the line is interrupted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// The position on the axis at the bottom.
    pub x: f64,
    /// The value.
    pub y: Option<f64>,
    /// The range of `y`, drawn as an error bar.
    pub spread: Option<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// A line.
    Solid,
    /// A dashed line.
    Dashed,
    /// A line with a mark at each point, for few points.
    Marked,
}

impl Series {
    /// A line through `points`, interrupted where there is no value.
    pub(crate) fn new(name: &str, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Self {
        let points = points.into_iter().map(|(x, y)| Point { x, y, spread: None }).collect();
        Self { name: name.into(), points, stroke: Stroke::Solid }
    }

    /// The same series, drawn as `stroke`.
    #[must_use]
    pub(crate) fn drawn(self, stroke: Stroke) -> Self {
        Self { stroke, ..self }
    }

    /// Whether no point has a value.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.points.iter().all(|point| point.y.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format;

    fn plot(y: Scale, series: Vec<Series>) -> Plot {
        let y = Axis { label: "value", scale: y, show: format::with_prefix };
        Plot { title: "a <plot>".into(), x: Axis::time("time"), y, series }
    }

    fn line(values: &[f64]) -> Series {
        let seconds = (0u32..).map(f64::from);
        Series::new("line", seconds.zip(values.iter().map(|value| Some(*value))))
    }

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn a_plot_takes_its_colors_and_its_size_from_the_page() {
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]), line(&[2.0, 3.0]).drawn(Stroke::Dashed)]).svg();
        assert!(svg.starts_with("<svg class=\"plot\" viewBox=\"0 0 "), "{svg}");
        assert!(svg.contains("role=\"img\" aria-label=\"a &lt;plot&gt;: line, line\""), "{svg}");
        assert_eq!(count(&svg, "stroke=\"var(--series-1)\""), 1, "{svg}");
        assert_eq!(count(&svg, "class=\"dashed\" stroke=\"var(--series-2)\""), 1, "{svg}");
        assert!(!svg.contains("\"#") && !svg.contains("http"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn both_axes_have_labels_and_names() {
        let svg = plot(Scale::Linear, vec![line(&[10_000.0; 61])]).svg();
        for text in ["value", "time", "0", "4 k", "10 k", "30 s", "60 s"] {
            assert_eq!(
                count(&svg, &format!(">\n{text}\n</text>")),
                1 + usize::from(text == "0"),
                "{text} {svg}"
            );
        }
    }

    #[test]
    fn values_that_no_line_can_show_are_left_out() {
        let values: [&[f64]; 8] = [
            &[],
            &[0.0],
            &[5.0],
            &[0.0, 0.0, 0.0],
            &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
            &[-1.0, 1.0],
            &[f64::MIN_POSITIVE, f64::MIN_POSITIVE],
            &[1e300, 1e-300],
        ];
        for scale in [Scale::Linear, Scale::Whole, Scale::Time, Scale::Log, Scale::Nines] {
            for values in values {
                let svg = plot(scale, vec![line(values)]).svg();
                assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{scale:?} {values:?} {svg}");
            }
            assert!(plot(scale, vec![]).svg().contains("nothing was measured"));
        }
    }

    #[test]
    fn a_gap_interrupts_the_line_and_a_single_point_is_a_dot() {
        let mut series = line(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        series.points[2].y = None;
        let svg = plot(Scale::Linear, vec![series.clone()]).svg();
        assert_eq!(count(&svg, "stroke=\"var(--series-1)\""), 2, "{svg}");
        series.points[3].y = None;
        let svg = plot(Scale::Linear, vec![series]).svg();
        assert_eq!(count(&svg, "stroke=\"var(--series-1)\""), 1, "{svg}");
        assert_eq!(count(&svg, "<circle"), 1, "{svg}");
    }

    #[test]
    fn an_axis_includes_points_without_a_value() {
        let mut series = line(&[1.0; 61]);
        series.points.iter_mut().skip(20).for_each(|point| point.y = None);
        assert!(plot(Scale::Linear, vec![series]).svg().contains(">\n60 s\n</text>"));
    }

    #[test]
    fn each_point_has_a_mark_and_an_error_bar() {
        let mut series = line(&[1.0, 2.0, 3.0]).drawn(Stroke::Marked);
        series.points[1].spread = Some((1.5, 2.5));
        let svg = plot(Scale::Log, vec![series]).svg();
        assert_eq!(count(&svg, "<circle"), 3, "{svg}");
        assert_eq!(
            count(&svg, "stroke=\"var(--series-1)\""),
            1 + 3,
            "the line, and a bar with two ends: {svg}"
        );
    }

    #[test]
    fn colors_are_reused_after_the_last() {
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]); COLORS + 1]).svg();
        assert_eq!(count(&svg, "var(--series-1)"), 2, "{svg}");
        assert_eq!(count(&svg, "var(--series-6)"), 1, "{svg}");
    }
}
