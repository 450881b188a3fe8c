//! What of a series is drawn: runs without a gap, and no more points than can be seen.

use super::Point;

/// Points that are drawn of a series at most, about.
const POINTS_MAX: usize = 1000;

/// The least and the greatest of as many neighbours as it takes to leave [`POINTS_MAX`] of `points`: every
/// extreme stays, and where it was. Gaps stay as well.
pub(super) fn thin(points: &[Point]) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    points.chunks(points.len().div_ceil(POINTS_MAX / 2)).flat_map(extremes).collect()
}

/// The runs of `points` between gaps, as what `place` makes of each.
pub(super) fn runs<T>(points: &[Point], place: impl Fn(&Point) -> Option<T>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (place(point), runs.last_mut()) {
            (Some(placed), Some(run)) => run.push(placed),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The first gap, the least and the greatest of `points`, in their order.
fn extremes(points: &[Point]) -> Vec<Point> {
    let valued = || points.iter().enumerate().filter_map(|(place, point)| Some((place, point.y?)));
    let least = valued().min_by(|a, b| a.1.total_cmp(&b.1));
    let greatest = valued().max_by(|a, b| a.1.total_cmp(&b.1));
    let gap = points.iter().position(|point| point.y.is_none());
    let mut kept: Vec<usize> =
        [least, greatest].into_iter().flatten().map(|(place, _)| place).chain(gap).collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|place| points[place]).collect()
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
        let thin = thin(&long);
        assert!(thin.len() <= POINTS_MAX + 1, "{}", thin.len());
        for place in [31_234, 77_777, 50_000] {
            assert!(thin.contains(&long[place]), "{place}");
        }
        assert!(thin.is_sorted_by_key(|point| point.x));
    }

    #[test]
    fn a_short_series_stays_as_it_is() {
        let short = points([Some(1.0), None, Some(2.0), Some(3.0), None].into_iter());
        assert_eq!(thin(&short), short);
        assert_eq!(runs(&short, |point| point.y), [vec![1.0], vec![2.0, 3.0]]);
        assert!(runs(&[], |point| point.y).is_empty());
    }
}
