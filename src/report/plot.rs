//! Line plots as SVG, drawn by `plotters`.
//!
//! The colors are CSS variables (`--series-1`, `--plot-grid`, …), so that one drawing serves light and dark pages;
//! [`crate::report::page`] has their values.

mod axis;
mod canvas;
mod downsample;
mod draw;
mod mark;
mod series;
mod trace;

pub(crate) use axis::{Axis, Scale};
pub(crate) use draw::DRAWING_SIZE;
pub(crate) use mark::{KEY_SIZE, key};

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
    /// A value to compare with, drawn as a line across the plot.
    pub reference: Option<f64>,
    /// Positions on the axis at the bottom, marked with their numbers from 1.
    pub marks: Vec<f64>,
    /// Values of the axis at the bottom to compare with, drawn as lines from top to bottom.
    pub references_x: Vec<f64>,
    /// The part of the left axis that is drawn at most. An error bar that leaves it has no end there.
    pub limits: Option<(f64, f64)>,
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
    /// Whether the largest value is written beside its point.
    pub has_peak: bool,
    /// The number of the series whose color and marks it has; `None` for its own.
    pub like: Option<usize>,
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
    /// A bar from each point to the next, at the height of the first: a histogram.
    Bars,
}

impl Plot {
    /// A plot of `series`.
    pub(crate) fn new(title: impl Into<String>, x: Axis, y: Axis, series: Vec<Series>) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            series,
            reference: None,
            marks: Vec::new(),
            references_x: Vec::new(),
            limits: None,
        }
    }

    /// The series that have something to show, with their numbers. Only these are in a legend.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = (usize, &Series)> {
        let is_drawn = |series: &Series| series.points.iter().any(|point| self.position(point).is_some());
        self.series.iter().enumerate().filter(move |(_, series)| is_drawn(series))
    }

    /// `value`, or the end of the drawn part of the left axis that it is beyond.
    fn limited(&self, value: f64) -> f64 {
        self.limits.map_or(value, |(low, high)| value.max(low).min(high))
    }

    fn is_within(&self, value: f64) -> bool {
        self.limits.is_none_or(|(low, high)| (low..=high).contains(&value))
    }

    /// The number that decides about color and marks of a series.
    fn look(&self, number: usize) -> usize {
        self.series[number].like.unwrap_or(number)
    }

    /// The linear coordinates of `point`, if both axes can show it.
    fn position(&self, point: &Point) -> Option<(f64, f64)> {
        Some((self.x.scale.position(point.x)?, self.y.scale.position(point.y?)?))
    }
}

impl Series {
    /// A line through `points`, interrupted where there is no value.
    pub(crate) fn new(name: &str, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Self {
        let points = points.into_iter().map(|(x, y)| Point { x, y, spread: None }).collect();
        Self { name: name.into(), points, stroke: Stroke::Solid, has_peak: false, like: None }
    }

    /// The same series, drawn as `stroke`.
    #[must_use]
    pub(crate) fn drawn(self, stroke: Stroke) -> Self {
        Self { stroke, ..self }
    }

    /// The same series, in the color of the series `number`.
    #[must_use]
    pub(crate) fn like(self, number: usize) -> Self {
        Self { like: Some(number), ..self }
    }

    /// The same series, with its largest value written beside the point.
    #[must_use]
    pub(crate) fn with_peak(self) -> Self {
        Self { has_peak: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format;

    fn plot(y: Scale, series: Vec<Series>) -> Plot {
        let y = Axis::new("value", y, format::with_prefix);
        Plot::new("a <plot>", Axis::time("time"), y, series)
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
        for scale in
            [Scale::Linear, Scale::Whole, Scale::Time, Scale::Log, Scale::Bytes, Scale::Counts, Scale::Nines]
        {
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
            1 + 4,
            "the line, and two halves of a bar with an end each: {svg}"
        );
    }

    #[test]
    fn error_bars_of_two_series_are_side_by_side_with_different_ends() {
        let mut series = line(&[1.0, 2.0, 3.0]).drawn(Stroke::Marked);
        series.points[1].spread = Some((1.5, 2.5));
        let svg = plot(Scale::Linear, vec![series.clone(), series]).svg();
        let bars = |color: u32| -> Vec<Vec<(i32, i32)>> {
            let color = format!("stroke=\"var(--series-{color})\"");
            let lines = svg.lines().filter(|line| line.contains("<polyline") && line.contains(&color));
            lines.map(corners).collect()
        };
        let [first, second] = [1, 2].map(|color| bars(color).split_off(1));
        assert_eq!((first.len(), second.len()), (4, 4), "two halves of a bar with an end each: {svg}");
        assert!((second[0][0].0 - first[0][0].0).abs() >= 20, "{first:?} {second:?}");
        let shape = |end: &[(i32, i32)]| end.iter().map(|at| at.1 - end[0].1).collect::<Vec<_>>();
        assert_ne!(shape(&first[1]), shape(&second[1]), "{first:?} {second:?}");
    }

    /// The points of a line in an SVG.
    fn corners(line: &str) -> Vec<(i32, i32)> {
        let (_, points) = line.split_once("points=\"").unwrap();
        let points = points.split('"').next().unwrap().split_whitespace();
        points
            .map(|at| at.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect()
    }

    #[test]
    fn values_under_the_pointer_are_formatted_as_on_the_axes() {
        let y = Axis::new("time", Scale::Log, format::time_us);
        let mut series = line(&[870.4, 1_240.0, 0.0, 3.1e6]);
        series.name = "<p99>".into();
        series.points[1].spread = Some((1_100.0, 1_300.0));
        let svg = Plot::new("p", Axis::time("time"), y, vec![line(&[]), series]).svg();
        assert_eq!(count(&svg, "class=\"trace\""), 1, "a line that is not drawn has no values: {svg}");
        assert!(svg.contains("data-name=\"&lt;p99&gt;\" data-key=\"2\""), "{svg}");
        assert!(svg.contains("data-at=\"0 µs|1 s|3 s\""), "{svg}");
        assert!(svg.contains("data-values=\"870 µs|1.24 ms (1.1 ms to 1.3 ms)|3.1 s\""), "{svg}");
        assert!(svg.contains("data-area=\"240 160 "), "{svg}");
        assert!(svg.contains("data-x=\"240 "), "the first point is at the left axis: {svg}");
    }

    #[test]
    fn bars_reach_from_the_axis_to_their_counts() {
        let points = [(1.0, Some(10.0)), (2.0, None), (4.0, Some(1.0)), (8.0, None)];
        let bars = Series::new("n", points).drawn(Stroke::Bars);
        let (x, y) = (Axis::new("x", Scale::Log, format::time_us), Axis::numbers("count", Scale::Counts));
        let svg = Plot::new("histogram", x, y, vec![bars]).svg();
        assert_eq!(count(&svg, "fill=\"var(--series-1)\""), 2, "an empty bucket has no bar: {svg}");
        assert!(svg.contains("data-at=\"1 µs to 2 µs|4 µs to 8 µs\" data-values=\"10|1\""), "{svg}");
    }

    #[test]
    fn the_largest_value_of_a_peak_is_written_beside_it() {
        let peak = |values: &[f64]| plot(Scale::Linear, vec![line(values).with_peak()]).svg();
        assert_eq!(count(&peak(&[1.0, 7.3, 2.0]), ">\n7.3\n</text>"), 1);
        assert!(peak(&[7.3, 1.0]).contains("text-anchor=\"start\""), "inside the plot");
        assert_eq!(count(&plot(Scale::Linear, vec![line(&[1.0, 7.3])]).svg(), ">\n7.3\n</text>"), 0);
    }

    #[test]
    fn marks_are_lines_with_their_numbers_where_there_is_room() {
        let mut plot = plot(Scale::Linear, vec![line(&[10_000.0; 61])]);
        let lines = |plot: &Plot| count(&plot.svg(), "<polyline");
        let without = lines(&plot);
        plot.marks = vec![0.0, 20.0, 20.1, 40.0];
        assert_eq!(lines(&plot), without + 4);
        let svg = plot.svg();
        let labels = ["1", "2", "3", "4"].map(|number| count(&svg, &format!(">\n{number}\n</text>")));
        assert_eq!(labels, [1, 1, 0, 1], "{svg}");
    }

    #[test]
    fn references_from_top_to_bottom_have_no_numbers() {
        let mut plot = plot(Scale::Linear, vec![line(&[10_000.0; 61])]);
        let parts = |plot: &Plot| ["<polyline", "<text"].map(|part| count(&plot.svg(), part));
        let [lines, texts] = parts(&plot);
        plot.references_x = vec![20.0, 40.0];
        assert_eq!(parts(&plot), [lines + 2, texts]);
    }

    #[test]
    fn a_reference_is_always_in_sight() {
        let mut plot = plot(Scale::Log, vec![line(&[3.0, 4.0])]);
        let lines = |plot: &Plot| count(&plot.svg(), "<polyline");
        let without = lines(&plot);
        plot.reference = Some(1.0);
        assert_eq!(lines(&plot), without + 1);
        assert!(plot.svg().contains(">\n1\n</text>"));
    }

    #[test]
    fn an_error_bar_that_leaves_the_drawn_part_has_no_end_there() {
        let mut series = line(&[1.0, 2.0]).drawn(Stroke::Marked);
        series.points[0].spread = Some((1e-30, 1e30));
        series.points[1].spread = Some((1.5, 1e30));
        let mut plot = plot(Scale::Log, vec![series]);
        plot.limits = Some((0.1, 10.0));
        let svg = plot.svg();
        let own = "stroke=\"var(--series-1)\"";
        assert_eq!(count(&svg, own), 1 + 2 + 2 + 1, "the line, two bars of two halves, and one end: {svg}");
        assert_eq!(count(&svg, ">\n0.1\n</text>") + count(&svg, ">\n10\n</text>"), 2, "{svg}");
    }

    #[test]
    fn an_error_bar_from_zero_leaves_a_logarithmic_axis_at_the_bottom() {
        let mut series = line(&[2.0, 1.0]).drawn(Stroke::Marked);
        series.points[0].spread = Some((0.0, 2.5));
        let svg = plot(Scale::Log, vec![series]).svg();
        let own = "stroke=\"var(--series-1)\"";
        assert_eq!(count(&svg, own), 1 + 2 + 1, "the line, two halves of a bar, and one end: {svg}");
    }

    #[test]
    fn a_series_can_have_the_color_of_another() {
        let fitted = line(&[1.0, 2.0]).drawn(Stroke::Dashed).like(0);
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]), line(&[2.0, 3.0]), fitted]).svg();
        assert_eq!(count(&svg, "stroke=\"var(--series-1)\""), 2, "{svg}");
        assert_eq!(count(&svg, "data-key=\"1\""), 2, "{svg}");
        assert_eq!(count(&svg, "series-3"), 0, "{svg}");
    }

    #[test]
    fn colors_are_reused_after_the_last() {
        let svg = plot(Scale::Linear, vec![line(&[1.0, 2.0]); COLORS + 1]).svg();
        assert_eq!(count(&svg, "var(--series-1)"), 2, "{svg}");
        assert_eq!(count(&svg, "var(--series-6)"), 1, "{svg}");
    }
}
