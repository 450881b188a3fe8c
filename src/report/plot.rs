//! Line plots as SVG, drawn by `plotters`, coloured by the page they stand on.
//!
//! A plot knows nothing of what it shows. Its colours are CSS variables (`--series-1`, `--plot-grid`, …), so one
//! drawing serves a light page and a dark one; [`crate::report::page`] has their values.

mod axis;
mod draw;
mod thin;

pub(crate) use axis::{Axis, Scale};

/// Series that have a colour of their own. The ones after them begin again with the first.
pub(crate) const COLOURS: usize = 6;

/// A line plot.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// What it shows. It is not drawn: it stands above the plot, and is what a screen reader says.
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
    /// What it is called in the legend.
    pub name: String,
    /// Its points from left to right.
    pub points: Vec<Point>,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// A point of a series. Where there is no `y`, or one that the axis cannot show, the line is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Its place on the axis at the bottom.
    pub x: f64,
    /// Its value.
    pub y: Option<f64>,
    /// The least and the greatest of what `y` stands for, drawn as an error bar.
    pub spread: Option<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// A line.
    Solid,
    /// A broken line, for what would cover another.
    Dashed,
    /// A line with a mark at each point, for few of them.
    Marked,
}

impl Series {
    /// A line through `points`, broken where there is no value.
    pub(crate) fn new(name: &str, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Self {
        let points = points.into_iter().map(|(x, y)| Point { x, y, spread: None }).collect();
        Self { name: name.into(), points, stroke: Stroke::Solid }
    }

    /// The same, drawn as `stroke`.
    #[must_use]
    pub(crate) fn drawn(self, stroke: Stroke) -> Self {
        Self { stroke, ..self }
    }

    /// Whether there is anything to draw.
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
    fn a_plot_is_coloured_by_the_page_and_scales_with_it() {
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]), line(&[2.0, 3.0]).drawn(Stroke::Dashed)]).svg();
        assert!(svg.starts_with("<svg class=\"plot\" viewBox=\"0 0 "), "{svg}");
        assert!(svg.contains("role=\"img\" aria-label=\"a &lt;plot&gt;: line, line\""), "{svg}");
        assert_eq!(count(&svg, "stroke=\"var(--series-1)\""), 1, "{svg}");
        assert_eq!(count(&svg, "class=\"dashed\" stroke=\"var(--series-2)\""), 1, "{svg}");
        assert!(!svg.contains("\"#") && !svg.contains("http"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn both_axes_have_their_labels_and_their_names() {
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
    fn what_cannot_be_drawn_as_a_line_does_no_harm() {
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
    fn a_gap_breaks_the_line_and_a_point_alone_is_a_dot() {
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
    fn an_axis_reaches_as_far_as_its_points_with_a_value_or_not() {
        let mut series = line(&[1.0; 61]);
        series.points.iter_mut().skip(20).for_each(|point| point.y = None);
        assert!(plot(Scale::Linear, vec![series]).svg().contains(">\n60 s\n</text>"));
    }

    #[test]
    fn marks_and_error_bars_stand_at_each_point() {
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
    fn colours_begin_again_after_the_last() {
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]); COLOURS + 1]).svg();
        assert_eq!(count(&svg, "var(--series-1)"), 2, "{svg}");
        assert_eq!(count(&svg, "var(--series-6)"), 1, "{svg}");
    }
}
