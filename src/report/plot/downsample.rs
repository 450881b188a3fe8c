//! Reduces a series to the points that are drawn.

use super::Point;

/// The approximate maximum number of points.
const POINTS_MAX: usize = 1000;

/// Keeps the minimum and the maximum of each group of neighbors, so that about [`POINTS_MAX`] of `points` remain.
/// Extremes and gaps keep their positions.
pub(super) fn downsample(points: &[Point]) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    points.chunks(points.len().div_ceil(POINTS_MAX / 2)).flat_map(extremes).collect()
}

/// The runs of `points` between gaps, each point converted by `position`.
pub(super) fn runs<T>(points: &[Point], position: impl Fn(&Point) -> Option<T>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (position(point), runs.last_mut()) {
            (Some(position), Some(run)) => run.push(position),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The first gap, the minimum and the maximum of `points`, in their order.
fn extremes(points: &[Point]) -> Vec<Point> {
    let valued = || points.iter().enumerate().filter_map(|(index, point)| Some((index, point.y?)));
    let min = valued().min_by(|a, b| a.1.total_cmp(&b.1));
    let max = valued().max_by(|a, b| a.1.total_cmp(&b.1));
    let gap = points.iter().position(|point| point.y.is_none());
    let mut kept: Vec<usize> = [min, max].into_iter().flatten().map(|(index, _)| index).chain(gap).collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: impl Iterator<Item = Option<f64>>) -> Vec<Point> {
        (0u32..).zip(values).map(|(x, y)| Point { x: x.into(), y, spread: None }).collect()
    }

    #[test]
    fn a_long_series_keeps_its_extremes_and_its_gaps() {
        let mut long = points((0..100_000u32).map(|n| Some(f64::from(n % 7))));
        long[31_234].y = Some(1_000.0);
        long[77_777].y = Some(-1_000.0);
        long[50_000].y = None;
        let reduced = downsample(&long);
        assert!(reduced.len() <= POINTS_MAX + 1, "{}", reduced.len());
        for index in [31_234, 77_777, 50_000] {
            assert!(reduced.contains(&long[index]), "{index}");
        }
        assert!(reduced.is_sorted_by_key(|point| point.x));
    }

    #[test]
    fn a_short_series_stays_as_it_is() {
        let short = points([Some(1.0), None, Some(2.0), Some(3.0), None].into_iter());
        assert_eq!(downsample(&short), short);
        assert_eq!(runs(&short, |point| point.y), [vec![1.0], vec![2.0, 3.0]]);
        assert!(runs(&[], |point| point.y).is_empty());
    }
}
