//! Tests and intervals that draw: the bootstrap of statistics of questions, exact p-values of drawn
//! permutations and sets, Holm's correction, and the independence of two outputs.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::stats::{Bounds, rounded};

/// Bootstrap samples of the questions: at an error of 0.01, ten values lie beyond each bound.
pub const RESAMPLES: usize = 2000;

/// A statistic of questions.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct BootstrapEstimate {
    #[serde(serialize_with = "rounded")]
    pub value: f64,
    /// The percentile interval; absent if the statistic is not defined in each bootstrap sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Bounds>,
}

impl BootstrapEstimate {
    /// Whether the interval, if there is one, is one.
    pub fn is_possible(&self) -> bool {
        self.interval.is_none_or(|of| of.lower <= of.upper)
    }
}

/// Whether a number can be a p-value.
pub fn is_p_value(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

/// Estimates statistics of `questions`, each with a percentile bootstrap interval that is meant to miss
/// with probability `alpha` (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993,
/// chapter 13): questions are drawn with replacement, and `statistics` gets how often each was drawn.
/// The interval is approximate, more so for few questions.
///
/// `None` where a statistic is not defined on the questions themselves.
pub fn bootstrap(
    questions: usize,
    alpha: f64,
    rng: &mut impl Rng,
    statistics: impl Fn(&[f64]) -> Option<Vec<f64>>,
) -> Option<Vec<BootstrapEstimate>> {
    let found = statistics(&vec![1.0; questions])?;
    let mut sample = || {
        let mut times = vec![0.0; questions];
        for _ in 0..questions {
            times[rng.random_range(0..questions)] += 1.0;
        }
        statistics(&times)
    };
    let drawn: Option<Vec<Vec<f64>>> = (0..RESAMPLES).map(|_| sample()).collect();
    let interval = |index: usize| {
        let values = drawn.as_ref()?.iter().map(|values| values[index]);
        Some(percentiles(values.collect(), alpha))
    };
    let estimates = found.into_iter().enumerate();
    let estimates = estimates.map(|(index, value)| BootstrapEstimate {
        value,
        interval: interval(index),
    });
    Some(estimates.collect())
}

/// The values that a share of `alpha`/2 of all lies beyond, on either side.
fn percentiles(mut values: Vec<f64>, alpha: f64) -> Bounds {
    values.sort_by(f64::total_cmp);
    let beyond = (alpha / 2.0 * values.len() as f64).floor() as usize;
    let beyond = beyond.min((values.len() - 1) / 2);
    Bounds {
        lower: values[beyond],
        upper: values[values.len() - 1 - beyond],
    }
}

/// How much of the way from nothing to everything a treatment of questions goes: the difference of the
/// summed `values` to `nothing`, as a share of that of `everything` to `nothing`. Each question counts
/// `times` times.
///
/// `None` unless `everything` is above `nothing` by `least` a question.
pub fn recovered(
    values: &[f64],
    nothing: &[f64],
    everything: &[f64],
    times: &[f64],
    least: f64,
) -> Option<f64> {
    let sum = |of: &[f64]| -> f64 { of.iter().zip(times).map(|(value, n)| value * n).sum() };
    let whole = sum(everything) - sum(nothing);
    let asked: f64 = times.iter().sum();
    (whole > least * asked).then(|| (sum(values) - sum(nothing)) / whole)
}

/// The exact p-value of `at_least` of `draws` random draws that are as extreme as what was observed, which
/// counts as a draw itself (B. Phipson and G. Smyth, "Permutation p-values should never be zero",
/// Statistical Applications in Genetics and Molecular Biology 9 (2010)).
pub fn drawn_p_value(at_least: usize, draws: usize) -> f64 {
    (at_least + 1) as f64 / (draws + 1) as f64
}

/// The p-values adjusted for their number, in the order given, so that the probability of any false
/// rejection is bounded (S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
/// Journal of Statistics 6 (1979)).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        largest = largest.max(left * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// How far two outputs depend on each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dependence {
    /// The Hilbert–Schmidt independence criterion; 0 where an output is constant.
    pub hsic: f64,
    /// Of the null hypothesis that they are independent.
    pub p_value: f64,
}

/// The dependence of two outputs of the same questions, `[question][width]`, within strata: the
/// Hilbert–Schmidt independence criterion with Gaussian kernels as wide as the median distance, and a test
/// by permutation of the questions of each stratum (A. Gretton et al., "A kernel statistical test of
/// independence", NIPS 2007). Outputs are equal if no value differs by `rounding`.
///
/// # Panics
/// Unless both outputs and the strata are of equally many questions.
pub fn dependence<S: Ord>(
    first: &[impl AsRef<[f32]>],
    second: &[impl AsRef<[f32]>],
    strata: &[S],
    rounding: f32,
    permutations: usize,
    rng: &mut impl Rng,
) -> Dependence {
    assert!(first.len() == strata.len() && second.len() == strata.len());
    let mut members: BTreeMap<&S, Vec<usize>> = BTreeMap::new();
    for (question, stratum) in strata.iter().enumerate() {
        members.entry(stratum).or_default().push(question);
    }
    let members: Vec<Vec<usize>> = members.into_values().collect();
    let mut kernels: Vec<(Kernel, Kernel)> = (Kernel::of_each(first, &members, rounding)
        .into_iter())
    .zip(Kernel::of_each(second, &members, rounding))
    .collect();
    for (first, _) in &mut kernels {
        first.center();
    }
    let mut orders: Vec<Vec<usize>> = members.iter().map(|of| (0..of.len()).collect()).collect();
    let sum = |orders: &[Vec<usize>]| -> f64 {
        let each = kernels.iter().zip(orders);
        each.map(|((first, second), order)| first.product(second, order))
            .sum()
    };
    /// Sums of the same terms in another order are equal.
    const SAME: f64 = 1e-9;
    let observed = sum(&orders);
    let mut at_least = 0;
    for _ in 0..permutations {
        for order in &mut orders {
            order.shuffle(rng);
        }
        at_least += usize::from(sum(&orders) >= observed - SAME);
    }
    Dependence {
        hsic: observed.max(0.0) / (strata.len() as f64).powi(2),
        p_value: drawn_p_value(at_least, permutations),
    }
}

/// How alike the outputs of some questions are, 0 to 1, `[size, size]`.
struct Kernel {
    size: usize,
    values: Vec<f64>,
}

impl Kernel {
    /// A kernel for the questions of each stratum, all of one width.
    fn of_each(outputs: &[impl AsRef<[f32]>], strata: &[Vec<usize>], rounding: f32) -> Vec<Self> {
        let squares = |members: &Vec<usize>| -> Vec<f64> {
            let pairs = members
                .iter()
                .flat_map(|&a| members.iter().map(move |&b| (a, b)));
            pairs
                .map(|(a, b)| square_distance(outputs[a].as_ref(), outputs[b].as_ref(), rounding))
                .collect()
        };
        let squares: Vec<Vec<f64>> = strata.iter().map(squares).collect();
        let mut apart: Vec<f64> = squares.concat();
        apart.retain(|&square| square > 0.0);
        apart.sort_by(f64::total_cmp);
        // Without a distance all outputs are equal, whatever the width.
        let width = apart.get(apart.len() / 2).copied().unwrap_or(1.0);
        let kernel = |(squares, members): (Vec<f64>, &Vec<usize>)| Kernel {
            size: members.len(),
            values: (squares.iter())
                .map(|square| (-square / (2.0 * width)).exp())
                .collect(),
        };
        squares.into_iter().zip(strata).map(kernel).collect()
    }

    /// Takes away the mean of each row and each column.
    fn center(&mut self) {
        let size = self.size as f64;
        // Kernels are symmetric: the means of rows are those of columns.
        let means: Vec<f64> = (self.values.chunks_exact(self.size))
            .map(|row| row.iter().sum::<f64>() / size)
            .collect();
        let mean = means.iter().sum::<f64>() / size;
        for (row, values) in self.values.chunks_exact_mut(self.size).enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                *value += mean - means[row] - means[column];
            }
        }
    }

    /// The sum of products with another kernel whose questions are in this order.
    fn product(&self, other: &Kernel, order: &[usize]) -> f64 {
        let rows = self.values.chunks_exact(self.size).zip(order);
        let row = |(row, &i): (&[f64], &usize)| -> f64 {
            let others = &other.values[i * self.size..][..self.size];
            row.iter()
                .zip(order)
                .map(|(value, &j)| value * others[j])
                .sum()
        };
        rows.map(row).sum()
    }
}

/// The squared Euclidean distance; 0 if no value differs by more than `rounding`.
fn square_distance(one: &[f32], other: &[f32], rounding: f32) -> f64 {
    let differences = || one.iter().zip(other).map(|(a, b)| (a - b).abs());
    match differences().all(|difference| difference < rounding) {
        true => 0.0,
        false => differences().map(|d| f64::from(d).powi(2)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::stream;

    #[test]
    fn a_bootstrapped_mean_has_the_interval_of_its_standard_error() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let mean = |times: &[f64]| {
            let sum: f64 = values.iter().zip(times).map(|(value, n)| value * n).sum();
            Some(vec![sum / times.iter().sum::<f64>()])
        };
        let found = bootstrap(100, 0.05, &mut stream(1, "mean"), mean).unwrap();
        let Bounds { lower, upper } = found[0].interval.unwrap();
        // The standard error is 28.87 / 10, and 1.96 of them are 5.66.
        assert_eq!(found[0].value, 49.5);
        assert!(
            (lower - 43.84).abs() < 0.7 && (upper - 55.16).abs() < 0.7,
            "{lower} {upper}"
        );
    }

    #[test]
    fn a_statistic_that_some_sample_leaves_undefined_has_no_interval() {
        let undefined = |times: &[f64]| (times[0] < 2.0).then(|| vec![1.0]);
        let found = bootstrap(10, 0.05, &mut stream(1, "undefined"), undefined).unwrap();
        assert_eq!((found[0].value, found[0].interval), (1.0, None));
        assert_eq!(bootstrap(10, 0.05, &mut stream(1, "none"), |_| None), None);
    }

    #[test]
    fn what_is_recovered_is_a_share_of_what_there_is() {
        let share =
            |values: &[f64], times: &[f64]| recovered(values, &[0.0, 2.0], &[4.0, 4.0], times, 0.1);
        assert_eq!(share(&[1.0, 2.0], &[1.0, 1.0]), Some(1.0 / 6.0));
        assert_eq!(share(&[1.0, 2.0], &[2.0, 0.0]), Some(0.25));
        assert_eq!(recovered(&[1.0], &[1.0], &[1.05], &[1.0], 0.1), None);
    }

    #[test]
    fn a_drawn_p_value_is_never_zero() {
        assert_eq!(drawn_p_value(0, 99), 0.01);
        assert_eq!(drawn_p_value(99, 99), 1.0);
    }

    #[test]
    fn p_values_are_adjusted_as_in_a_worked_example() {
        // Times 4, 3, 2 and 1 in increasing order, and none below the one before it.
        let adjusted = holm(&[0.03, 0.005, 0.04, 0.01]);
        for (found, expected) in adjusted.iter().zip([0.06, 0.02, 0.06, 0.03]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    /// Outputs of 60 questions in two strata: noise, and a function of it or other noise.
    fn of_noise(depends: bool) -> Dependence {
        let mut rng = stream(3, "noise");
        let mut noise = || -> Vec<[f32; 1]> { (0..60).map(|_| [rng.random::<f32>()]).collect() };
        let (first, other) = (noise(), noise());
        // Without a correlation: the square of the distance from the middle.
        let squared: Vec<[f32; 1]> = first.iter().map(|[x]| [(x - 0.5) * (x - 0.5)]).collect();
        let second = if depends { squared } else { other };
        let strata: Vec<usize> = (0..60).map(|question| question % 2).collect();
        dependence(&first, &second, &strata, 1e-4, 999, &mut rng)
    }

    #[test]
    fn a_function_without_correlation_is_dependent_and_other_noise_is_not() {
        let (depends, not) = (of_noise(true), of_noise(false));
        assert_eq!(depends.p_value, 0.001);
        assert!(not.p_value > 0.05, "{not:?}");
        assert!(depends.hsic > 3.0 * not.hsic, "{depends:?} {not:?}");
    }

    #[test]
    fn what_differs_between_strata_alone_is_independent() {
        let values: Vec<[f32; 1]> = (0..40u8)
            .map(|question| [f32::from(question % 2)])
            .collect();
        let test = |strata: &[usize]| {
            dependence(
                &values,
                &values,
                strata,
                1e-4,
                199,
                &mut stream(1, "strata"),
            )
        };
        let apart: Vec<usize> = (0..40).map(|question| question % 2).collect();
        assert_eq!(
            test(&apart),
            Dependence {
                hsic: 0.0,
                p_value: 1.0
            }
        );
        assert_eq!(test(&[0; 40]).p_value, 1.0 / 200.0);
    }
}
