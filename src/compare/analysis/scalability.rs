//! The universal scalability law: throughput by the number of concurrent connections.
//!
//! `X(N) = λN / (1 + σ(N − 1) + κN(N − 1))`: `λ` is the throughput of one connection, `σ` the share of work that is
//! serialized (contention), `κ` the cost of coordination between pairs (coherence). After N. J. Gunther, *Guerrilla
//! Capacity Planning*, 2007.

use std::fmt;

use serde::Serialize;

/// A fitted law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Fit {
    /// Messages per second with one connection.
    pub lambda: f64,
    /// Contention: the share of work that is serialized, 0 or more.
    pub sigma: f64,
    /// Coherence: the cost of coordination between pairs of connections, 0 or more.
    pub kappa: f64,
    /// Share of the variance that the law explains, up to 1.
    pub r_squared: f64,
    /// Number of points.
    pub points: usize,
}

/// Why points have no fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoFit {
    /// There are only these different numbers of connections with throughput.
    Points(usize),
    /// No law with parameters that are allowed is near the points.
    NoSolution,
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Points(known) => write!(
                f,
                "the law has 3 parameters and needs at least {POINTS_MIN} numbers of connections with replies, here \
                 {known}"
            ),
            Self::NoSolution => f.write_str("no law without negative parameters is near the points"),
        }
    }
}

impl Fit {
    /// Fits the law to `points` of connections and throughput by least squares of the relative error of `N / X`, which is
    /// linear in `1/λ`, `σ/λ` and `κ/λ`. Neither `σ` nor `κ` is negative.
    ///
    /// # Errors
    /// Why the points have no fit.
    pub(super) fn of(points: &[(f64, f64)]) -> Result<Self, NoFit> {
        let points: Vec<(f64, f64)> = points.iter().copied().filter(|(n, x)| *n >= 1.0 && *x > 0.0).collect();
        let mut counts: Vec<u64> = points.iter().map(|(n, _)| n.to_bits()).collect();
        counts.sort_unstable();
        counts.dedup();
        if counts.len() < POINTS_MIN {
            return Err(NoFit::Points(counts.len()));
        }
        // Where a parameter would be negative, it is held at zero and the others are fitted again.
        let subsets = [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
        let fits = subsets.into_iter().filter_map(|free| Some((free, solve(&points, free)?)));
        let allowed = fits.filter(|(_, [one, sigma, kappa])| *one > 0.0 && *sigma >= 0.0 && *kappa >= 0.0);
        let errors = allowed.map(|(_, a)| (error(&points, a), a));
        let (_, [one, sigma, kappa]) =
            errors.min_by(|(one, _), (other, _)| one.total_cmp(other)).ok_or(NoFit::NoSolution)?;
        let fit = Self {
            lambda: 1.0 / one,
            sigma: sigma / one,
            kappa: kappa / one,
            r_squared: 0.0,
            points: points.len(),
        };
        Ok(Self { r_squared: fit.explains(&points), ..fit })
    }

    /// Throughput of `n` connections.
    #[must_use]
    pub(crate) fn at(&self, n: f64) -> f64 {
        self.lambda * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The number of connections with the greatest throughput; `None` without coherence cost.
    #[must_use]
    pub(crate) fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0).then(|| ((1.0 - self.sigma) / self.kappa).sqrt())
    }

    /// Whether the law explains enough of the variance.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.r_squared >= R_SQUARED_MIN
    }

    fn explains(&self, points: &[(f64, f64)]) -> f64 {
        let mean = points.iter().map(|(_, x)| x).sum::<f64>() / count(points);
        let all: f64 = points.iter().map(|(_, x)| (x - mean).powi(2)).sum();
        let left: f64 = points.iter().map(|(n, x)| (x - self.at(*n)).powi(2)).sum();
        if all > 0.0 { 1.0 - left / all } else { 0.0 }
    }
}

/// The terms in which the law is linear, relative to the point.
fn terms((n, x): (f64, f64)) -> [f64; 3] {
    [1.0, n - 1.0, n * (n - 1.0)].map(|term| term * x / n)
}

fn error(points: &[(f64, f64)], a: [f64; 3]) -> f64 {
    points
        .iter()
        .map(|point| (terms(*point).iter().zip(a).map(|(t, a)| t * a).sum::<f64>() - 1.0).powi(2))
        .sum()
}

/// Least squares of the terms that are `free`; the others are zero.
fn solve(points: &[(f64, f64)], free: [bool; 3]) -> Option<[f64; 3]> {
    // The terms differ by many powers of ten, so each is scaled to the same length.
    let mut scale = [0.0; 3];
    for point in points {
        for (scale, term) in scale.iter_mut().zip(terms(*point)) {
            *scale += term * term;
        }
    }
    let scale = scale.map(|squares: f64| if squares > 0.0 { squares.sqrt() } else { 1.0 });
    let mut rows = [[0.0; 4]; 3];
    for point in points {
        let terms = terms(*point);
        for (row, i) in rows.iter_mut().zip(0..) {
            for (cell, j) in row.iter_mut().zip(0..) {
                let right = if j == 3 { 1.0 } else { terms[j] / scale[j] };
                *cell += terms[i] / scale[i] * right;
            }
        }
    }
    for (index, free) in free.into_iter().enumerate() {
        if !free {
            rows[index] = [0.0; 4];
            rows[index][index] = 1.0;
            for row in rows.iter_mut().enumerate().filter(|(other, _)| *other != index).map(|(_, row)| row) {
                row[index] = 0.0;
            }
        }
    }
    let solution = eliminate(rows)?;
    Some([0, 1, 2].map(|index| solution[index] / scale[index]))
}

/// Gauss-Jordan elimination with partial pivoting.
fn eliminate(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot = (column..3).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let by = rows[column][column];
        if by.abs() < 1e-12 {
            return None;
        }
        rows[column] = rows[column].map(|cell| cell / by);
        let pivot = rows[column];
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != column) {
            let by = row[column];
            row.iter_mut().zip(pivot).for_each(|(cell, pivot)| *cell -= by * pivot);
        }
    }
    Some(rows.map(|row| row[3]))
}

#[expect(clippy::cast_precision_loss, reason = "points are few")]
fn count(points: &[(f64, f64)]) -> f64 {
    points.len() as f64
}

/// With fewer numbers of connections, three parameters fit nearly anything.
const POINTS_MIN: usize = 5;

/// The share of the variance that a fit must explain.
const R_SQUARED_MIN: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [f64; 6] = [1.0, 10.0, 100.0, 1000.0, 10_000.0, 20_000.0];

    fn points(lambda: f64, sigma: f64, kappa: f64) -> Vec<(f64, f64)> {
        let law = Fit { lambda, sigma, kappa, r_squared: 1.0, points: 0 };
        COUNTS.iter().map(|n| (*n, law.at(*n))).collect()
    }

    fn near(found: f64, right: f64) -> bool {
        (found - right).abs() <= 1e-6 * right.abs() + 1e-15
    }

    #[test]
    fn the_law_behind_exact_points_is_found() {
        for (lambda, sigma, kappa) in
            [(20_000.0, 0.1, 1e-6), (1.0, 0.0, 0.0), (500.0, 0.5, 0.0), (3.0, 0.0, 1e-8), (9e4, 0.02, 1e-4)]
        {
            let fit = Fit::of(&points(lambda, sigma, kappa)).unwrap();
            let right = near(fit.lambda, lambda) && near(fit.sigma, sigma) && near(fit.kappa, kappa);
            assert!(right && fit.r_squared > 0.999_999 && fit.is_good(), "{fit:?}");
        }
    }

    #[test]
    fn a_few_percent_of_noise_hardly_change_the_fit() {
        let noise = [1.03, 0.98, 1.01, 0.97, 1.02, 0.99];
        let disturbed: Vec<_> =
            points(20_000.0, 0.1, 1e-6).into_iter().zip(noise).map(|((n, x), by)| (n, x * by)).collect();
        let fit = Fit::of(&disturbed).unwrap();
        assert!((fit.sigma - 0.1).abs() < 0.02 && (fit.kappa - 1e-6).abs() < 5e-7, "{fit:?}");
        assert!(fit.is_good(), "{fit:?}");
        assert!((fit.peak().unwrap() - 950.0).abs() < 250.0, "{fit:?}");
    }

    #[test]
    fn few_points_or_scattered_points_are_no_good_fit() {
        assert_eq!(Fit::of(&points(1.0, 0.1, 0.0)[..4]), Err(NoFit::Points(4)));
        let twice = [&points(1.0, 0.1, 0.0)[..4], &points(1.0, 0.1, 0.0)[..4]].concat();
        assert_eq!(Fit::of(&twice), Err(NoFit::Points(4)), "the same four numbers of connections");
        let zigzag: Vec<_> = COUNTS.into_iter().zip([1.0, 9.0, 1.0, 9.0, 1.0, 9.0]).collect();
        assert!(!Fit::of(&zigzag).unwrap().is_good());
        assert_eq!(Fit::of(&[]), Err(NoFit::Points(0)));
        let mut silent = points(1.0, 0.1, 0.0)[..5].to_vec();
        silent[4].1 = 0.0;
        let why = Fit::of(&silent).unwrap_err().to_string();
        assert!(why.ends_with("needs at least 5 numbers of connections with replies, here 4"), "{why}");
    }

    #[test]
    fn superlinear_growth_has_no_negative_contention() {
        let better: Vec<_> = COUNTS.into_iter().map(|n| (n, n.powf(1.2))).collect();
        let fit = Fit::of(&better).unwrap();
        assert!(fit.sigma >= 0.0 && fit.kappa >= 0.0 && fit.peak().is_none(), "{fit:?}");
    }
}
