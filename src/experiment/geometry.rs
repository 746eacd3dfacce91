//! The geometry of activations: distances between centroids that noise does not inflate, angles
//! between subspaces, dimensionality, and the order of points on a circle.
//!
//! The mean of a squared distance between two sample centroids is the squared distance plus the
//! noise of both. Products of different samples have no such bias, so all lengths here are taken
//! from them: the mean over all splits into independent halves (Walther et al., NeuroImage 137
//! (2016), "crossnobis").

use std::f64::consts::TAU;

use linfa_linalg::eigh::{EigSort, EighInto};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::Rng;
use rand::seq::SliceRandom;
use statrs::distribution::{ContinuousCDF, Normal};

use super::codes::{permutation_p, row_basis};
use super::stats::Bounds;

/// A value with the standard error of its estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalEstimate {
    pub value: f64,
    pub standard_error: f64,
}

impl NormalEstimate {
    /// Normal bounds, each wrong with probability about `alpha`.
    pub fn bounds(&self, alpha: f64) -> Bounds {
        let normal = Normal::standard();
        let reach = normal.inverse_cdf(1.0 - alpha) * self.standard_error;
        Bounds {
            lower: self.value - reach,
            upper: self.value + reach,
        }
    }
}

/// Sums over the samples of some groups.
#[derive(Debug, Clone)]
struct Sums {
    samples: Vec<f64>,
    /// The sum of the rows of each group, `[groups, width]`.
    sums: Vec<Array1<f64>>,
    /// The sum of the squared lengths of each group's rows.
    squares: Vec<f64>,
}

impl Sums {
    fn of(groups: &[&Array2<f64>]) -> Self {
        Sums {
            samples: groups.iter().map(|rows| rows.nrows() as f64).collect(),
            sums: groups.iter().map(|rows| rows.sum_axis(Axis(0))).collect(),
            squares: groups
                .iter()
                .map(|rows| rows.iter().map(|v| v * v).sum())
                .collect(),
        }
    }

    /// The sums without one sample of a group.
    fn without(&self, group: usize, row: ArrayView1<f64>) -> Self {
        let mut rest = self.clone();
        rest.samples[group] -= 1.0;
        rest.sums[group] -= &row;
        rest.squares[group] -= row.dot(&row);
        rest
    }

    /// The product of two groups' centroids; of a group with itself, over different samples only.
    fn product(&self, a: usize, b: usize) -> f64 {
        let product = self.sums[a].dot(&self.sums[b]);
        if a == b {
            (product - self.squares[a]) / (self.samples[a] * (self.samples[a] - 1.0))
        } else {
            product / (self.samples[a] * self.samples[b])
        }
    }

    /// `(a − from) · (b − from)`.
    fn product_from(&self, from: usize, a: usize, b: usize) -> f64 {
        self.product(a, b) - self.product(a, from) - self.product(b, from)
            + self.product(from, from)
    }

    fn squared_distance(&self, a: usize, b: usize) -> f64 {
        self.product_from(a, b, b)
    }
}

/// The squared distance between the centroids of two groups of rows, without the bias of noise; it
/// is negative as often as positive where the centroids are the same.
///
/// # Panics
/// If a group has fewer than two rows.
pub fn squared_distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert!(
        a.nrows() > 1 && b.nrows() > 1,
        "different samples are needed"
    );
    Sums::of(&[a, b]).squared_distance(0, 1)
}

/// The p-value of [`squared_distance`] under exchange of the groups' rows.
pub fn distance_p(
    a: &Array2<f64>,
    b: &Array2<f64>,
    permutations: usize,
    rng: &mut impl Rng,
) -> f64 {
    let observed = squared_distance(a, b);
    let shuffled = exchanged(a, b, permutations, rng, squared_distance);
    permutation_p(observed, &shuffled)
}

/// A statistic of two groups after their rows were exchanged at random.
fn exchanged(
    a: &Array2<f64>,
    b: &Array2<f64>,
    permutations: usize,
    rng: &mut impl Rng,
    statistic: impl Fn(&Array2<f64>, &Array2<f64>) -> f64,
) -> Vec<f64> {
    let all = ndarray::concatenate![Axis(0), *a, *b];
    let mut order: Vec<usize> = (0..all.nrows()).collect();
    (0..permutations)
        .map(|_| {
            order.shuffle(rng);
            let (first, second) = order.split_at(a.nrows());
            statistic(&all.select(Axis(0), first), &all.select(Axis(0), second))
        })
        .collect()
}

/// A statistic of some groups with its jackknife standard error: each sample is left out once
/// (Efron and Stein, Annals of Statistics 9 (1981)).
fn jackknife(groups: &[&Array2<f64>], statistic: impl Fn(&Sums) -> f64) -> NormalEstimate {
    let sums = Sums::of(groups);
    let mut variance = 0.0;
    for (group, rows) in groups.iter().enumerate() {
        let values: Vec<f64> = (rows.axis_iter(Axis(0)))
            .map(|row| statistic(&sums.without(group, row)))
            .collect();
        let samples = values.len() as f64;
        let mean = values.iter().sum::<f64>() / samples;
        let squares: f64 = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        variance += (samples - 1.0) / samples * squares;
    }
    NormalEstimate {
        value: statistic(&sums),
        standard_error: variance.sqrt(),
    }
}

/// Where a third centroid lies in relation to the line through two others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffAxis {
    /// Its squared distance from the line, in squared distances of the two; negative as often as
    /// positive where it lies on the line.
    pub squared_ratio: NormalEstimate,
    /// Where its foot on the line is: 0 at the first of the two, 1 at the second.
    pub along: NormalEstimate,
}

impl OffAxis {
    /// The centroid of `third` in relation to those of `first` and `second`.
    ///
    /// # Panics
    /// If a group has fewer than three rows.
    pub fn measure(first: &Array2<f64>, second: &Array2<f64>, third: &Array2<f64>) -> Self {
        let groups = [first, second, third];
        assert!(groups.iter().all(|rows| rows.nrows() > 2));
        OffAxis {
            squared_ratio: jackknife(&groups, |sums| off_axis(sums).0),
            along: jackknife(&groups, |sums| off_axis(sums).1),
        }
    }

    /// The distance from the line in distances of the two; 0 where the square is negative.
    pub fn ratio(&self) -> f64 {
        self.squared_ratio.value.max(0.0).sqrt()
    }
}

/// The squared distance from the axis in squared lengths of the axis, and the place along it, of
/// group 2 in relation to groups 0 and 1.
fn off_axis(sums: &Sums) -> (f64, f64) {
    let axis = sums.squared_distance(0, 1);
    let along = sums.product_from(0, 1, 2) / axis;
    let from_first = sums.squared_distance(0, 2);
    (from_first / axis - along * along, along)
}

/// The p-value of a third centroid's distance from the line through two others, under exchange of
/// its rows with those of the first: the line itself is kept, so that the exchange does not shorten
/// it.
pub fn off_axis_p(
    first: &Array2<f64>,
    second: &Array2<f64>,
    third: &Array2<f64>,
    permutations: usize,
    rng: &mut impl Rng,
) -> f64 {
    let statistic =
        |moved: &Array2<f64>, rows: &Array2<f64>| off_axis(&Sums::of(&[moved, second, rows])).0;
    let observed = statistic(first, third);
    permutation_p(
        observed,
        &exchanged(first, third, permutations, rng, statistic),
    )
}

/// The angles between two subspaces spanned by rows, ascending, in degrees: as many as the smaller
/// has dimensions.
pub fn principal_angles(a: &Array2<f64>, b: &Array2<f64>) -> Vec<f64> {
    let (a, b) = (row_basis(a), row_basis(b));
    let (smaller, larger) = if a.nrows() <= b.nrows() {
        (a, b)
    } else {
        (b, a)
    };
    let products = smaller.dot(&larger.t());
    let squares = products.dot(&products.t());
    let (squares, _) = squares
        .eigh_into()
        .expect("a product of real matrices is symmetric")
        .sort_eig_desc();
    squares
        .iter()
        .map(|square| square.clamp(0.0, 1.0).sqrt().acos().to_degrees())
        .collect()
}

/// The effective number of dimensions that rows vary in: the squared sum of the covariance's
/// eigenvalues by the sum of their squares.
pub fn participation_ratio(rows: &Array2<f64>) -> f64 {
    let centred = centred(rows);
    let covariance = match rows.nrows() < rows.ncols() {
        true => centred.dot(&centred.t()),
        false => centred.t().dot(&centred),
    };
    let trace: f64 = covariance.diag().sum();
    trace * trace / covariance.iter().map(|value| value * value).sum::<f64>()
}

fn centred(rows: &Array2<f64>) -> Array2<f64> {
    rows - &rows.mean_axis(Axis(0)).expect("there are rows")
}

/// The share of the rows' variance that turns `frequency` times while the row's number goes round
/// once.
pub fn frequency_share(rows: &Array2<f64>, frequency: usize) -> f64 {
    let points = rows.nrows();
    let centred = centred(rows);
    let total: f64 = centred.iter().map(|value| value * value).sum();
    let wave = |phase: f64| -> f64 {
        let wave = Array1::from_shape_fn(points, |point| {
            (TAU * (frequency * point) as f64 / points as f64 - phase).cos()
        });
        let component = centred.t().dot(&wave);
        component.dot(&component)
    };
    // A cosine's squared length is half the number of points, but at the highest frequency all.
    let power = match 2 * frequency == points {
        true => wave(0.0) / points as f64,
        false => 2.0 / points as f64 * (wave(0.0) + wave(TAU / 4.0)),
    };
    power / total
}

/// How well the angles of rows in the plane of their first two principal components follow the rows'
/// numbers round a circle, in either direction: 1 if equally spaced in order.
pub fn circular_order(rows: &Array2<f64>) -> f64 {
    order_of(&plane_angles(rows), &(0..rows.nrows()).collect::<Vec<_>>())
}

/// The p-value of [`circular_order`] under other numberings of the rows.
pub fn circular_order_p(rows: &Array2<f64>, permutations: usize, rng: &mut impl Rng) -> f64 {
    let angles = plane_angles(rows);
    let mut numbers: Vec<usize> = (0..rows.nrows()).collect();
    let observed = order_of(&angles, &numbers);
    let relabelled: Vec<f64> = (0..permutations)
        .map(|_| {
            numbers.shuffle(rng);
            order_of(&angles, &numbers)
        })
        .collect();
    permutation_p(observed, &relabelled)
}

/// The length of the mean of `exp(i (angle ∓ 2π number / points))`, the longer of both signs.
fn order_of(angles: &[f64], numbers: &[usize]) -> f64 {
    let points = angles.len() as f64;
    let length = |sign: f64| {
        let turned = angles
            .iter()
            .zip(numbers)
            .map(|(angle, &number)| angle - sign * TAU * number as f64 / points);
        let (cosines, sines) = turned.fold((0.0, 0.0), |(cosines, sines), angle: f64| {
            (cosines + angle.cos(), sines + angle.sin())
        });
        cosines.hypot(sines) / points
    };
    length(1.0).max(length(-1.0))
}

fn plane_angles(rows: &Array2<f64>) -> Vec<f64> {
    let centred = centred(rows);
    let (values, vectors) = (centred.dot(&centred.t()))
        .eigh_into()
        .expect("a product of a matrix with itself is symmetric")
        .sort_eig_desc();
    let scale = |component: usize| values[component].max(0.0).sqrt();
    (0..rows.nrows())
        .map(|row| (vectors[(row, 1)] * scale(1)).atan2(vectors[(row, 0)] * scale(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const WIDTH: usize = 40;
    const SAMPLES: usize = 120;

    fn noise(rng: &mut ChaCha8Rng) -> f64 {
        (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
    }

    /// Rows around a centre given by its first coordinates.
    fn cloud(centre: &[f64], rng: &mut ChaCha8Rng) -> Array2<f64> {
        Array2::from_shape_fn((SAMPLES, WIDTH), |(_, column)| {
            noise(rng) + centre.get(column).unwrap_or(&0.0)
        })
    }

    #[test]
    fn a_distance_is_not_inflated_by_noise() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let trials = 200;
        let mut mean = |gap: f64| {
            let total: f64 = (0..trials)
                .map(|_| squared_distance(&cloud(&[], &mut rng), &cloud(&[gap], &mut rng)))
                .sum();
            total / f64::from(trials)
        };
        // The naive estimate is off by 2 · 40 / 120.
        assert!(mean(0.0).abs() < 0.05);
        assert!((mean(1.5) - 2.25).abs() < 0.1);
    }

    #[test]
    fn planted_centroids_are_apart_and_noise_is_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let own = cloud(&[], &mut rng);
        let other = cloud(&[1.5], &mut rng);
        assert_eq!(distance_p(&own, &other, 99, &mut rng), 0.01);
        let same = cloud(&[], &mut rng);
        assert!(distance_p(&own, &same, 99, &mut rng) > 0.01);
    }

    #[test]
    fn a_third_symbol_lies_off_the_axis_and_a_binary_one_on_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (first, second) = (cloud(&[], &mut rng), cloud(&[4.0], &mut rng));
        let third = cloud(&[2.0, 2.0], &mut rng);
        let off = OffAxis::measure(&first, &second, &third);
        assert!((off.ratio() - 0.5).abs() < 0.1, "{off:?}");
        assert!((off.along.value - 0.5).abs() < 0.1, "{off:?}");
        assert!(off.squared_ratio.bounds(0.005).lower > 0.1, "{off:?}");
        assert_eq!(off_axis_p(&first, &second, &third, 99, &mut rng), 0.01);

        let binary = cloud(&[], &mut rng);
        let on = OffAxis::measure(&first, &second, &binary);
        // A quarter of the axis, squared: the limit that claims are held to.
        assert!(on.squared_ratio.bounds(0.005).upper < 0.0625, "{on:?}");
        assert!(off_axis_p(&first, &second, &binary, 99, &mut rng) > 0.01);
    }

    /// The published null shuffles all labels: it shortens the axis as well, so that a planted third
    /// symbol looks like chance.
    #[test]
    fn shuffling_all_labels_does_not_see_a_third_symbol() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let third_off = 0.5;
        let groups = [
            cloud(&[], &mut rng),
            cloud(&[4.0], &mut rng),
            cloud(&[2.0, third_off * 4.0], &mut rng),
        ];
        let naive = |groups: &[Array2<f64>]| {
            let means: Vec<Array1<f64>> = (groups.iter())
                .map(|rows| rows.mean_axis(Axis(0)).unwrap())
                .collect();
            let (axis, third) = (&means[1] - &means[0], &means[2] - &means[0]);
            let along = third.dot(&axis) / axis.dot(&axis);
            let off = &third - &(along * &axis);
            (off.dot(&off) / axis.dot(&axis)).sqrt()
        };
        let observed = naive(&groups);
        let all = ndarray::concatenate![Axis(0), groups[0], groups[1], groups[2]];
        let mut order: Vec<usize> = (0..all.nrows()).collect();
        let shuffled: Vec<f64> = (0..99)
            .map(|_| {
                order.shuffle(&mut rng);
                let parts: Vec<Array2<f64>> = (order.chunks(SAMPLES))
                    .map(|part| all.select(Axis(0), part))
                    .collect();
                naive(&parts)
            })
            .collect();
        assert!(permutation_p(observed, &shuffled) > 0.5);
    }

    #[test]
    fn angles_are_those_between_the_planes() {
        let (x, y, z) = (
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        );
        let diagonal = [0.0, 1.0, 1.0, 0.0];
        let plane = ndarray::arr2(&[x, y]);
        let turned = ndarray::arr2(&[x, diagonal]);
        let angles = principal_angles(&plane, &turned);
        assert!(
            angles[0].abs() < 1e-5 && (angles[1] - 45.0).abs() < 1e-9,
            "{angles:?}"
        );
        let apart = principal_angles(&plane, &ndarray::arr2(&[z]));
        assert!((apart[0] - 90.0).abs() < 1e-9);
    }

    #[test]
    fn dimensions_are_counted_by_their_variance() {
        let even = Array2::from_diag(&Array1::ones(6));
        // Six unit vectors vary in the five dimensions of a simplex.
        assert!((participation_ratio(&even) - 5.0).abs() < 1e-9);
        let line = Array2::from_shape_fn((6, 3), |(row, column)| (row * (column + 1)) as f64);
        assert!((participation_ratio(&line) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_planted_circle_is_in_order_and_noise_is_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let circle = Array2::from_shape_fn((10, 20), |(row, column)| {
            let angle = TAU * row as f64 / 10.0;
            let point = match column {
                0 => 3.0 * angle.cos(),
                1 => 3.0 * angle.sin(),
                _ => 0.0,
            };
            point + 0.2 * noise(&mut rng)
        });
        assert!(circular_order(&circle) > 0.95);
        assert!(frequency_share(&circle, 1) > 0.8);
        assert!(circular_order_p(&circle, 999, &mut rng) <= 0.001);
        let points = Array2::from_shape_fn((10, 20), |_| noise(&mut rng));
        assert!(circular_order_p(&points, 999, &mut rng) > 0.01);
        let shares: f64 = (1..=5)
            .map(|frequency| frequency_share(&points, frequency))
            .sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    }
}
