//! Linear codes: what a linear read-out, fitted to some activations, tells of others.

use std::collections::BTreeMap;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_linalg::cholesky::SolveC;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::resampling::drawn_p_value;
use super::stats::{Bounds, Count, Errors, share_bounds};

/// Share of the samples that a probe is fitted to, as published.
pub const TRAINING_SHARE: f64 = 0.7;

/// Most steps of the optimiser, as published.
const MAX_STEPS: u64 = 2000;

/// The optimiser stops at a gradient of this length.
const GRADIENT_TOLERANCE: f64 = 1e-4;

/// Why a probe cannot be fitted.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// All samples have the same label.
    #[error("a probe needs samples of two labels or more, there are {found}")]
    TooFewLabels { found: usize },
    /// The optimiser failed.
    #[error("the probe could not be fitted: {0}")]
    Fit(String),
}

/// Activations, each with the label of its question.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `[samples, width]`
    pub rows: Array2<f64>,
    /// `[samples]`
    pub labels: Vec<u8>,
}

impl Labelled {
    /// Samples from rows of equal width.
    ///
    /// # Panics
    /// If there is no row, or rows differ in width.
    pub fn new<'r>(samples: impl IntoIterator<Item = (&'r [f32], u8)>) -> Self {
        let (mut values, mut labels, mut width) = (Vec::new(), Vec::new(), 0);
        for (row, label) in samples {
            width = row.len();
            values.extend(row.iter().map(|&value| f64::from(value)));
            labels.push(label);
        }
        let rows = Array2::from_shape_vec((labels.len(), width), values);
        Labelled {
            rows: rows.expect("rows of equal width"),
            labels,
        }
    }

    /// The different labels, ascending.
    pub fn classes(&self) -> Vec<u8> {
        let mut classes = self.labels.clone();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Samples of two sets together.
    pub fn and(&self, other: &Self) -> Self {
        Labelled {
            rows: concatenate![Axis(0), self.rows, other.rows],
            labels: [&self.labels[..], &other.labels].concat(),
        }
    }

    /// Some of the samples, in the order given.
    pub fn select(&self, samples: &[usize]) -> Self {
        Labelled {
            rows: self.rows.select(Axis(0), samples),
            labels: samples.iter().map(|&sample| self.labels[sample]).collect(),
        }
    }

    /// The rows of the samples with a label.
    pub fn of_class(&self, label: u8) -> Array2<f64> {
        let samples: Vec<usize> = (0..self.labels.len())
            .filter(|&sample| self.labels[sample] == label)
            .collect();
        self.rows.select(Axis(0), &samples)
    }

    /// Samples to fit to and samples to score, drawn without replacement.
    pub fn split(&self, rng: &mut impl Rng) -> (Self, Self) {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        order.shuffle(rng);
        let (train, test) = order.split_at((order.len() as f64 * TRAINING_SHARE) as usize);
        (self.select(train), self.select(test))
    }

    /// The samples with every label as often as the most frequent one: rarer labels are drawn with
    /// replacement.
    pub fn oversampled(&self, rng: &mut impl Rng) -> Self {
        let members = |label: u8| -> Vec<usize> {
            let all = 0..self.labels.len();
            all.filter(|&sample| self.labels[sample] == label).collect()
        };
        let groups: Vec<Vec<usize>> = self.classes().into_iter().map(members).collect();
        let most = groups.iter().map(Vec::len).max().unwrap_or(0);
        let mut chosen = Vec::with_capacity(most * groups.len());
        for group in groups {
            if group.len() == most {
                chosen.extend(group);
            } else {
                let drawn = (0..most).map(|_| group[rng.random_range(0..group.len())]);
                chosen.extend(drawn);
            }
        }
        self.select(&chosen)
    }
}

/// How a probe is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// L2-regularised logistic regression with scikit-learn's `C`, the intercept not regularised.
    Logistic { c: f64 },
    /// Ridge regression on −1 and 1 for each label with scikit-learn's `alpha`, the intercept not
    /// regularised.
    Ridge { alpha: f64 },
}

/// A fitted read-out: the label with the highest score `row · weights + intercept`.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    labels: Vec<u8>,
    /// `[width, labels]`
    weights: Array2<f64>,
    /// `[labels]`
    intercept: Array1<f64>,
}

impl Probe {
    /// Fits a probe.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn fit(reader: Reader, data: &Labelled) -> Result<Self, ProbeError> {
        let labels = data.classes();
        if labels.len() < 2 {
            return Err(ProbeError::TooFewLabels {
                found: labels.len(),
            });
        }
        match reader {
            Reader::Logistic { c } if labels.len() == 2 => Self::fit_two(c, data, labels),
            Reader::Logistic { c } => Self::fit_many(c, data, labels),
            Reader::Ridge { alpha } => Self::fit_ridge(alpha, data, labels),
        }
    }

    /// Two labels have one weight vector, which is regularised once.
    fn fit_two(c: f64, data: &Labelled, labels: Vec<u8>) -> Result<Self, ProbeError> {
        let fitted = LogisticRegression::default()
            .alpha(1.0 / c)
            .max_iterations(MAX_STEPS)
            .gradient_tolerance(GRADIENT_TOLERANCE)
            .fit(&dataset(data))
            .map_err(failed)?;
        let sign = match fitted.labels().pos.class == labels[1] {
            true => 1.0,
            false => -1.0,
        };
        let mut weights = Array2::zeros((data.rows.ncols(), 2));
        weights.column_mut(1).assign(&(fitted.params() * sign));
        Ok(Probe {
            labels,
            weights,
            intercept: Array1::from(vec![0.0, sign * fitted.intercept()]),
        })
    }

    fn fit_many(c: f64, data: &Labelled, labels: Vec<u8>) -> Result<Self, ProbeError> {
        let fitted = MultiLogisticRegression::default()
            .alpha(1.0 / c)
            .max_iterations(MAX_STEPS)
            .gradient_tolerance(GRADIENT_TOLERANCE)
            .fit(&dataset(data))
            .map_err(failed)?;
        Ok(Probe {
            labels,
            weights: fitted.params().clone(),
            intercept: fitted.intercept().clone(),
        })
    }

    fn fit_ridge(alpha: f64, data: &Labelled, labels: Vec<u8>) -> Result<Self, ProbeError> {
        let (samples, width) = data.rows.dim();
        let targets = Array2::from_shape_fn((samples, labels.len()), |(sample, label)| {
            match data.labels[sample] == labels[label] {
                true => 1.0,
                false => -1.0,
            }
        });
        let middle = mean(&data.rows);
        let middle_target = mean(&targets);
        let rows = &data.rows - &middle;
        let targets = targets - &middle_target;
        let failed = |error: linfa_linalg::LinalgError| ProbeError::Fit(error.to_string());
        // Solve in whichever space is smaller; both give the same weights.
        let weights = if width <= samples {
            let mut gram = rows.t().dot(&rows);
            gram.diag_mut().mapv_inplace(|value| value + alpha);
            gram.solvec(&rows.t().dot(&targets)).map_err(failed)?
        } else {
            let mut gram = rows.dot(&rows.t());
            gram.diag_mut().mapv_inplace(|value| value + alpha);
            rows.t().dot(&gram.solvec(&targets).map_err(failed)?)
        };
        let intercept = middle_target - middle.dot(&weights);
        Ok(Probe {
            labels,
            weights,
            intercept,
        })
    }

    /// The label of each row.
    pub fn predict(&self, rows: &Array2<f64>) -> Vec<u8> {
        let scores = rows.dot(&self.weights) + &self.intercept;
        let best = |scores: ndarray::ArrayView1<f64>| {
            let highest = |best: usize, label: usize| {
                if scores[label] > scores[best] {
                    label
                } else {
                    best
                }
            };
            self.labels[(1..scores.len()).fold(0, highest)]
        };
        scores.axis_iter(Axis(0)).map(best).collect()
    }

    /// The direction that the score of the second of two labels grows along, `[width]`.
    pub fn direction(&self) -> Array1<f64> {
        &self.weights.column(1) - &self.weights.column(0)
    }

    /// The weights, `[width, labels]`.
    pub fn weights(&self) -> &Array2<f64> {
        &self.weights
    }

    /// The intercepts, `[labels]`.
    pub fn intercept(&self) -> &Array1<f64> {
        &self.intercept
    }

    /// How many samples of each label are read rightly.
    pub fn recalls(&self, data: &Labelled) -> Recalls {
        Recalls::of(&data.labels, &self.predict(&data.rows))
    }
}

fn dataset(data: &Labelled) -> DatasetBase<Array2<f64>, Array1<u8>> {
    DatasetBase::new(data.rows.clone(), Array1::from(data.labels.clone()))
}

fn failed(error: linfa_logistic::error::Error) -> ProbeError {
    ProbeError::Fit(error.to_string())
}

/// The mean row.
fn mean(rows: &Array2<f64>) -> Array1<f64> {
    rows.mean_axis(Axis(0)).expect("there are rows")
}

/// Samples read rightly, by label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
pub struct Recalls(pub BTreeMap<u8, Count>);

impl Recalls {
    /// Counts what was read of samples with labels.
    pub fn of(labels: &[u8], read: &[u8]) -> Self {
        let mut recalls = Recalls::default();
        for (&label, &read) in labels.iter().zip(read) {
            recalls.0.entry(label).or_default().add(label == read);
        }
        recalls
    }

    /// Balanced accuracy: the mean over labels of the share read rightly.
    pub fn balanced(&self) -> f64 {
        self.0.values().map(Count::share).sum::<f64>() / self.0.len().max(1) as f64
    }

    /// Bounds of balanced accuracy, each wrong with probability at most `alpha`: [`balanced_bounds`].
    pub fn bounds(&self, alpha: f64) -> Bounds {
        let samples = self.0.values().map(|count| count.trials);
        balanced_bounds(self.balanced(), samples, alpha)
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.0.values().map(|count| count.trials).sum()
    }

    /// Adds the counts of other samples.
    pub fn extend(&mut self, other: &Self) {
        for (&label, count) in &other.0 {
            let own = self.0.entry(label).or_default();
            own.hits += count.hits;
            own.trials += count.trials;
        }
    }
}

/// Bounds of the mean over labels of a share, given the samples of each label.
///
/// Were each label's samples as few as the rarest label's, the mean would vary no less; and the mean of
/// independent events varies no more than that of as many events of one probability (W. Hoeffding, "On the
/// distribution of the number of successes in independent trials", 1956). So the bound is that of the
/// number of labels times the samples of the rarest.
fn balanced_bounds(share: f64, samples: impl Iterator<Item = u64>, alpha: f64) -> Bounds {
    let samples: Vec<u64> = samples.collect();
    let fewest = samples.iter().min().copied().unwrap_or(0);
    share_bounds(
        share,
        fewest * samples.len() as u64,
        Errors {
            lower: alpha,
            upper: alpha,
        },
    )
}

/// What a probe reads in samples it was not fitted to, against the same with those samples' labels permuted.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub recalls: Recalls,
    /// Balanced accuracy on permuted labels, one for each permutation.
    pub permuted: Vec<f64>,
}

impl Decoded {
    /// The share of permutations that do as well, counting the labels' own order as one.
    pub fn p_value(&self) -> f64 {
        permutation_p(self.recalls.balanced(), &self.permuted)
    }
}

/// The p-value of a statistic against its values under permutation: [`drawn_p_value`].
pub fn permutation_p(observed: f64, permuted: &[f64]) -> f64 {
    let as_high = permuted.iter().filter(|&&value| value >= observed).count();
    drawn_p_value(as_high, permuted.len())
}

/// Fits a probe to `train` and reads `test`, and scores the same against permuted labels of `test`. A refit
/// to permuted labels would not do: along an axis of much variance it reads all or nothing, by chance.
///
/// # Errors
/// See [`ProbeError`].
pub fn decode(
    reader: Reader,
    train: &Labelled,
    test: &Labelled,
    permutations: usize,
    rng: &mut impl Rng,
) -> Result<Decoded, ProbeError> {
    let read = Probe::fit(reader, &train.oversampled(rng))?.predict(&test.rows);
    let recalls = Recalls::of(&test.labels, &read);
    let mut labels = test.labels.clone();
    let mut permuted = Vec::with_capacity(permutations);
    for _ in 0..permutations {
        labels.shuffle(rng);
        permuted.push(Recalls::of(&labels, &read).balanced());
    }
    Ok(Decoded { recalls, permuted })
}

/// What probes fitted to one set of samples read in the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Recalls on held-out samples of the sets fitted to, taken together.
    pub within: Recalls,
    /// What all other sets' probes read in each of these samples.
    pub across: ReadByOthers,
    /// Balanced accuracy of guessing.
    pub chance: f64,
}

/// Of samples by label, the share of some probes that read each of them rightly. All probes read the same
/// samples, so a sample counts once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadByOthers(BTreeMap<u8, Vec<f64>>);

impl ReadByOthers {
    /// Balanced accuracy: the mean over labels of the mean share.
    pub fn balanced(&self) -> f64 {
        let mean = |shares: &Vec<f64>| shares.iter().sum::<f64>() / shares.len() as f64;
        self.0.values().map(mean).sum::<f64>() / self.0.len().max(1) as f64
    }

    /// Bounds of balanced accuracy, each wrong with probability at most `alpha`: [`balanced_bounds`].
    pub fn bounds(&self, alpha: f64) -> Bounds {
        let samples = self.0.values().map(|shares| shares.len() as u64);
        balanced_bounds(self.balanced(), samples, alpha)
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.0.values().map(|shares| shares.len() as u64).sum()
    }
}

impl Transfer {
    /// Fits a probe to a part of each set, and reads the other part of it and all other sets.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn measure(
        reader: Reader,
        sets: &[Labelled],
        rng: &mut impl Rng,
    ) -> Result<Self, ProbeError> {
        let parts: Vec<(Labelled, Labelled)> = sets.iter().map(|set| set.split(rng)).collect();
        let even: Vec<Labelled> = (parts.iter())
            .map(|(train, _)| train.oversampled(rng))
            .collect();
        let probes = (even.par_iter())
            .map(|train| Probe::fit(reader, train))
            .collect::<Result<Vec<_>, ProbeError>>()?;
        let (mut within, mut across) = (Recalls::default(), ReadByOthers::default());
        for (number, (_, test)) in parts.iter().enumerate() {
            within.extend(&probes[number].recalls(test));
            let others = probes.iter().enumerate().filter(|(i, _)| *i != number);
            let read: Vec<Vec<u8>> = others.map(|(_, probe)| probe.predict(&test.rows)).collect();
            for (sample, &label) in test.labels.iter().enumerate() {
                let right = read.iter().filter(|read| read[sample] == label).count();
                let share = right as f64 / read.len().max(1) as f64;
                across.0.entry(label).or_default().push(share);
            }
        }
        let labels = sets.iter().map(|set| set.classes().len()).max();
        Ok(Transfer {
            within,
            across,
            chance: 1.0 / labels.unwrap_or(1) as f64,
        })
    }

    /// The share of what is read above chance within sets that is read across them.
    pub fn retention(&self) -> f64 {
        (self.across.balanced() - self.chance) / (self.within.balanced() - self.chance)
    }

    /// Bounds of the retention: both accuracies are bounded with half of the error. Where the
    /// accuracy within sets may be chance, nothing is known.
    pub fn retention_bounds(&self, alpha: f64) -> Bounds {
        let (within, across) = (
            self.within.bounds(alpha / 2.0),
            self.across.bounds(alpha / 2.0),
        );
        if within.lower <= self.chance {
            return Bounds {
                lower: f64::NEG_INFINITY,
                upper: f64::INFINITY,
            };
        }
        let ratio = |across: f64, within: f64| (across - self.chance) / (within - self.chance);
        let widest = |across: f64, low: bool| {
            let (a, b) = (ratio(across, within.lower), ratio(across, within.upper));
            if low { a.min(b) } else { a.max(b) }
        };
        Bounds {
            lower: widest(across.lower, true),
            upper: widest(across.upper, false),
        }
    }
}

/// The directions of a probe's scores as an orthogonal basis of unit rows, `[rank, width]`: what a
/// subspace intervention exchanges.
pub fn row_basis(vectors: &Array2<f64>) -> Array2<f64> {
    let mut basis: Vec<Array1<f64>> = Vec::new();
    for vector in vectors.axis_iter(Axis(0)) {
        let mut rest = vector.to_owned();
        let length = rest.dot(&rest).sqrt();
        // Twice, since one pass leaves rounding errors of nearly parallel vectors.
        for _ in 0..2 {
            for unit in &basis {
                let along = rest.dot(unit);
                rest.scaled_add(-along, unit);
            }
        }
        let left = rest.dot(&rest).sqrt();
        if left > length * INDEPENDENT {
            basis.push(rest / left);
        }
    }
    let mut rows = Array2::zeros((basis.len(), vectors.ncols()));
    for (i, unit) in basis.iter().enumerate() {
        rows.slice_mut(s![i, ..]).assign(unit);
    }
    rows
}

/// A vector of which less than this share is left beside the others adds no direction.
const INDEPENDENT: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const WIDTH: usize = 12;
    const C: Reader = Reader::Logistic { c: 1.0 };

    fn noise(rng: &mut ChaCha8Rng) -> f64 {
        // A sum of uniforms is near enough to normal.
        (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
    }

    /// Samples whose label moves them along one axis by `gap`.
    fn planted(samples: usize, axis: usize, gap: f64, rng: &mut ChaCha8Rng) -> Labelled {
        let labels: Vec<u8> = (0..samples)
            .map(|sample| u8::from(sample % 2 == 0))
            .collect();
        let rows = Array2::from_shape_fn((samples, WIDTH), |(sample, column)| {
            let moved = if column == axis {
                gap * f64::from(labels[sample])
            } else {
                0.0
            };
            noise(rng) + moved
        });
        Labelled { rows, labels }
    }

    #[test]
    fn a_planted_code_is_decoded_and_noise_is_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for reader in [C, Reader::Ridge { alpha: 1.0 }] {
            let mut decoded = |gap: f64| {
                let (train, test) = planted(1200, 3, gap, &mut rng).split(&mut rng);
                decode(reader, &train, &test, 19, &mut rng).unwrap()
            };
            let code = decoded(6.0);
            assert!(code.recalls.bounds(0.005).lower > 0.9, "{code:?}");
            assert_eq!(code.p_value(), 0.05);
            let noise = decoded(0.0);
            assert!(noise.recalls.bounds(0.005).lower < 0.5, "{noise:?}");
            assert!(noise.p_value() > 0.05, "{noise:?}");
        }
    }

    #[test]
    fn along_one_axis_permuted_labels_are_read_in_half_of_the_samples() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut samples = planted(1200, 0, 30.0, &mut rng);
        samples.rows = samples.rows.slice(s![.., ..1]).to_owned();
        let (train, test) = samples.split(&mut rng);
        let decoded = decode(C, &train, &test, 99, &mut rng).unwrap();
        assert_eq!(decoded.p_value(), 0.01);
        let half = |share: &f64| (0.4..0.6).contains(share);
        assert!(decoded.permuted.iter().all(half), "{decoded:?}");
    }

    #[test]
    fn a_shared_code_transfers_and_a_code_of_each_set_does_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let shared: Vec<Labelled> = (0..3).map(|_| planted(300, 4, 6.0, &mut rng)).collect();
        let shared = Transfer::measure(C, &shared, &mut rng).unwrap();
        assert!(shared.retention_bounds(0.005).lower > 0.9);
        let own: Vec<Labelled> = (0..3)
            .map(|axis| planted(300, axis, 6.0, &mut rng))
            .collect();
        let own = Transfer::measure(C, &own, &mut rng).unwrap();
        assert!(
            own.retention_bounds(0.005).upper < 0.4,
            "{}",
            own.retention()
        );
        assert!(own.within.balanced() > 0.95);
    }

    #[test]
    fn a_rare_label_bounds_a_balanced_accuracy() {
        let count = |hits, trials| Count { hits, trials };
        let recalls = Recalls(BTreeMap::from([(0, count(5, 10)), (1, count(700, 1000))]));
        assert_eq!(
            recalls.bounds(0.01),
            share_bounds(0.6, 20, Errors::even(0.01))
        );
    }

    #[test]
    fn what_one_of_two_other_probes_reads_counts_half() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut sets: Vec<Labelled> = (0..3).map(|_| planted(300, 4, 12.0, &mut rng)).collect();
        // The code of the third set is reversed.
        sets[2]
            .labels
            .iter_mut()
            .for_each(|label| *label = 1 - *label);
        let transfer = Transfer::measure(C, &sets, &mut rng).unwrap();
        assert_eq!(transfer.within.balanced(), 1.0);
        // The first two sets read each other and not the third, which reads neither.
        let share = transfer.across.balanced();
        assert!((share - 1.0 / 3.0).abs() < 0.05, "{share}");
    }

    #[test]
    fn nothing_is_known_of_the_retention_of_what_is_not_decoded() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let sets: Vec<Labelled> = (0..2).map(|_| planted(100, 0, 0.0, &mut rng)).collect();
        let bounds = Transfer::measure(C, &sets, &mut rng)
            .unwrap()
            .retention_bounds(0.005);
        assert_eq!(bounds.lower, f64::NEG_INFINITY);
    }

    #[test]
    fn rare_labels_are_drawn_as_often_as_frequent_ones() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let data = Labelled {
            rows: Array2::from_shape_fn((10, 1), |(sample, _)| sample as f64),
            labels: vec![0, 0, 0, 0, 0, 0, 0, 1, 1, 2],
        };
        let even = data.oversampled(&mut rng);
        for label in [0, 1, 2] {
            assert_eq!(even.of_class(label).nrows(), 7);
        }
        let own = |value: &f64| [7.0, 8.0].contains(value);
        assert!(even.of_class(1).iter().all(own));
    }

    #[test]
    fn the_probe_of_samples_in_fewer_dimensions_than_samples_is_that_of_the_dual() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let data = planted(40, 2, 2.0, &mut rng);
        let reader = Reader::Ridge { alpha: 0.5 };
        let primal = Probe::fit(reader, &data).unwrap();
        // Columns of zeros make the same problem wider than it has samples.
        let mut wide = Array2::zeros((40, 60));
        wide.slice_mut(s![.., ..WIDTH]).assign(&data.rows);
        let dual = Probe::fit(
            reader,
            &Labelled {
                rows: wide,
                labels: data.labels.clone(),
            },
        )
        .unwrap();
        let difference = &dual.weights().slice(s![..WIDTH, ..]) - primal.weights();
        assert!(difference.iter().all(|value| value.abs() < 1e-9));
    }

    #[test]
    fn one_label_is_an_error() {
        let data = Labelled {
            rows: Array2::zeros((4, 2)),
            labels: vec![1; 4],
        };
        let error = Probe::fit(C, &data).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a probe needs samples of two labels or more, there are 1"
        );
    }

    #[test]
    fn a_basis_is_orthonormal_and_leaves_dependent_vectors_out() {
        let vectors = ndarray::array![[3.0, 0.0, 0.0], [6.0, 0.0, 0.0], [1.0, 2.0, 0.0]];
        let basis = row_basis(&vectors);
        assert_eq!(basis, ndarray::array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    }
}
