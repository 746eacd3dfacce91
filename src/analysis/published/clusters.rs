//! Tri-case clustering: whether a head's output clusters by the three cases of a digit.

use std::collections::BTreeSet;

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans;
use linfa_linalg::eigh::{EigSort, Eigh, EighInto};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::Serialize;

use crate::domain::arithmetic::{Operation, Prompt, Question, power_of_ten};
use crate::domain::node::Node;
use crate::inputs::model::Weights;

use super::quirk::{Quirk, Quirks};

const CASE_QUESTIONS: usize = 100;

/// Draws per question wanted, after which a case counts as exhausted.
const DRAWS_PER_QUESTION: usize = 2;

/// Digits below this are filled up if a case has too few questions.
const FILLED_BELOW: usize = 3;

/// Principal components that are clustered.
const COMPONENTS: usize = 6;

/// Runs of k-means, of which the best is used.
const RUNS: usize = 10;

/// Minimum share of the variance for the first component (exclusive).
const LEAST_SHARE: f64 = 0.30;

const LEAST_SILHOUETTE: f64 = 0.20;

const LEAST_CALINSKI_HARABASZ: f64 = 50.0;

/// Minimum agreement of clusters and cases (exclusive).
const LEAST_AGREEMENT: f64 = 0.50;

/// The three cases of a digit: a sum of at most 8, of 9, of at least 10; a first digit below, equal
/// to and above the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TriCaseKind {
    Low,
    Middle,
    High,
}

/// Questions of the three cases of one digit under one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriCase {
    pub operation: Operation,
    pub digit: usize,
    /// The questions, the lowest case first.
    pub questions: Vec<Prompt>,
}

impl TriCase {
    /// Draws the questions; `None` if the published tool cannot divide the total by three.
    pub fn draw(
        operation: Operation,
        digit: usize,
        n_digits: usize,
        quirks: &Quirks,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        let questions: Vec<Prompt> = [TriCaseKind::Low, TriCaseKind::Middle, TriCaseKind::High]
            .into_iter()
            .flat_map(|case| draw_case(operation, case, digit, n_digits, quirks, rng))
            .map(|(a, b)| Prompt::truth(Question::new(a, operation, b, n_digits)))
            .collect();
        // The tool treats each third as a case, whatever it contains.
        questions.len().is_multiple_of(3).then_some(TriCase {
            operation,
            digit,
            questions,
        })
    }
}

fn draw_case(
    operation: Operation,
    case: TriCaseKind,
    digit: usize,
    n_digits: usize,
    quirks: &Quirks,
    rng: &mut impl Rng,
) -> Vec<(u128, u128)> {
    let mut pairs = BTreeSet::new();
    for _ in 0..CASE_QUESTIONS * DRAWS_PER_QUESTION {
        if pairs.len() == CASE_QUESTIONS {
            break;
        }
        pairs.insert(draw_pair(operation, case, digit, rng));
    }
    if !quirks.has(Quirk::BlurredCases) {
        // As many as in the other cases, since a score grows with the number of questions.
        return pairs.iter().copied().cycle().take(CASE_QUESTIONS).collect();
    }
    if pairs.len() < CASE_QUESTIONS && digit < FILLED_BELOW {
        let own: Vec<(u128, u128)> = pairs.iter().copied().collect();
        for _ in 0..CASE_QUESTIONS * DRAWS_PER_QUESTION {
            if pairs.len() == CASE_QUESTIONS {
                break;
            }
            let more = power_of_ten(digit) * rng.random_range(0..=power_of_ten(n_digits - digit));
            let &(a, b) = own.choose(rng).expect("a case has a pair");
            pairs.insert((a + more, b + more));
        }
    }
    let fits = |operand: u128| operand < power_of_ten(n_digits);
    pairs
        .into_iter()
        .filter(|&(a, b)| fits(a) && fits(b))
        .collect()
}

/// One pair of operands whose highest digit has this case and whose lower digits produce no carry
/// or borrow into it.
fn draw_pair(
    operation: Operation,
    case: TriCaseKind,
    digit: usize,
    rng: &mut impl Rng,
) -> (u128, u128) {
    let (x, y) = match (operation, case) {
        (Operation::Add, TriCaseKind::Low) => {
            let x = rng.random_range(0..=8);
            (x, rng.random_range(0..=8 - x))
        }
        (Operation::Add, TriCaseKind::Middle) => {
            let x = rng.random_range(0..=9);
            (x, 9 - x)
        }
        (Operation::Add, TriCaseKind::High) => {
            let x = rng.random_range(1..=9);
            (x, rng.random_range(10 - x..=9))
        }
        (Operation::Sub, TriCaseKind::Low) => {
            let x = rng.random_range(0..=8);
            (x, rng.random_range(x + 1..=9))
        }
        (Operation::Sub, TriCaseKind::Middle) => {
            let x = rng.random_range(0..=9);
            (x, x)
        }
        (Operation::Sub, TriCaseKind::High) => {
            let x = rng.random_range(1..=9);
            (x, rng.random_range(0..x))
        }
    };
    let unit = power_of_ten(digit);
    let below = rng.random_range(0..unit);
    let other = match operation {
        Operation::Add => rng.random_range(0..unit - below),
        Operation::Sub => rng.random_range(0..=below),
    };
    (x * unit + below, y * unit + other)
}

/// The scores of one clustering.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Mean silhouette, −1 to 1.
    pub silhouette: f64,
    /// Calinski–Harabasz score: variance between clusters divided by variance within them.
    pub calinski_harabasz: f64,
    /// Agreement of clusters and cases: the unweighted mean over clusters of the share of its most
    /// common case.
    pub label_agreement: f64,
}

impl Scores {
    fn pass(&self) -> bool {
        self.silhouette >= LEAST_SILHOUETTE
            && self.calinski_harabasz >= LEAST_CALINSKI_HARABASZ
            && self.label_agreement > LEAST_AGREEMENT
    }

    fn larger(self, other: Scores) -> Scores {
        Scores {
            silhouette: self.silhouette.max(other.silhouette),
            calinski_harabasz: self.calinski_harabasz.max(other.calinski_harabasz),
            label_agreement: self.label_agreement.max(other.label_agreement),
        }
    }
}

/// How a head's output clusters by case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Clustering {
    /// Share of the variance in the first component.
    pub first_share: f64,
    /// Scores with two and with three clusters, if the share is high enough, rounded or not.
    pub scores: Option<[Scores; 2]>,
}

/// Whether a first component's share is above the minimum.
fn share_passes(share: f64, rounded: bool) -> bool {
    if rounded {
        (share * 100.0).round_ties_even() / 100.0 > LEAST_SHARE
    } else {
        share > LEAST_SHARE
    }
}

impl Clustering {
    /// Whether the head gets the tag.
    pub fn passes(&self, quirks: &Quirks) -> bool {
        if !share_passes(self.first_share, quirks.has(Quirk::RoundedShare)) {
            return false;
        }
        match self.scores {
            None => false,
            Some([two, three]) if quirks.has(Quirk::SeparateScores) => two.larger(three).pass(),
            Some([two, three]) => two.pass() || three.pass(),
        }
    }
}

/// The geometry of a head's output: the principal components of `z · W_O` are those of `z ·
/// factor`, which is only `[d_head, d_head]`, because `factor · factorᵀ = W_O · W_Oᵀ`.
pub struct HeadOutput {
    node: Node,
    factor: Array2<f64>,
}

impl HeadOutput {
    /// The geometry of every head among `nodes`, in their order.
    pub fn all(weights: &Weights, nodes: &[Node]) -> Vec<Self> {
        nodes
            .par_iter()
            .filter_map(|&node| Some(Self::new(weights, node, node.head()?)))
            .collect()
    }

    pub fn node(&self) -> Node {
        self.node
    }

    fn new(weights: &Weights, node: Node, head: usize) -> Self {
        let shape = weights.shape();
        let (d_head, d_model) = (shape.d_head, shape.d_model);
        let array = weights.array(&format!("blocks.{}.attn.W_O", node.layer()));
        let size = d_head * d_model;
        let output: Vec<f64> = array.data()[head * size..][..size]
            .iter()
            .map(|&weight| f64::from(weight))
            .collect();
        let output = Array2::from_shape_vec((d_head, d_model), output)
            .expect("a head's W_O is [d_head, d_model]");
        let (values, vectors) = output
            .dot(&output.t())
            .eigh_into()
            .expect("a square matrix has eigenvectors");
        let scale = values.mapv(|value| value.max(0.0).sqrt());
        HeadOutput {
            node,
            factor: vectors * &scale,
        }
    }

    /// Clusters the head's activations `z`, `[questions, d_head]`, each third of which is one case.
    pub fn cluster<'z>(&self, z: impl ExactSizeIterator<Item = &'z [f32]>) -> Clustering {
        let questions = z.len();
        let values: Vec<f64> = z.flatten().map(|&value| f64::from(value)).collect();
        let z = Array2::from_shape_vec((questions, self.factor.nrows()), values)
            .expect("activations are d_head wide");
        let output = z.dot(&self.factor);
        let mean = output.mean_axis(Axis(0)).expect("there are questions");
        let centred = output - &mean;
        let (variances, axes) = centred
            .t()
            .dot(&centred)
            .eigh()
            .expect("a square matrix has eigenvectors")
            .sort_eig_desc();
        let total: f64 = variances.iter().map(|v| v.max(0.0)).sum();
        let first_share = if total > 0.0 {
            variances[0] / total
        } else {
            0.0
        };
        let asked = [true, false].map(|rounded| share_passes(first_share, rounded));
        let scores = asked.contains(&true).then(|| {
            let kept = COMPONENTS.min(axes.ncols());
            let points = standardised(centred.dot(&axes.slice(s![.., ..kept])));
            let distances = distances(&points);
            [2, 3].map(|clusters| scores(&points, &distances, clusters))
        });
        Clustering {
            first_share,
            scores,
        }
    }
}

/// Columns scaled to a mean of zero and a variance of one; constant columns are left unscaled.
fn standardised(mut points: Array2<f64>) -> Array2<f64> {
    for mut column in points.columns_mut() {
        let mean = column.mean().expect("there are questions");
        let deviation = column.std(0.0);
        column.mapv_inplace(|value| {
            if deviation > 0.0 {
                (value - mean) / deviation
            } else {
                value - mean
            }
        });
    }
    points
}

/// Distances between all points, `[points, points]`.
fn distances(points: &Array2<f64>) -> Array2<f64> {
    let count = points.nrows();
    let mut distances = Array2::zeros((count, count));
    for a in 0..count {
        for b in 0..a {
            let distance = squared_distance(points.row(a), points.row(b)).sqrt();
            distances[[a, b]] = distance;
            distances[[b, a]] = distance;
        }
    }
    distances
}

fn squared_distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn scores(points: &Array2<f64>, distances: &Array2<f64>, clusters: usize) -> Scores {
    let dataset = DatasetBase::from(points.clone());
    // The generator has a fixed seed, and there are no more clusters than distinct points.
    let clusters = clusters.min(different_points(points));
    let model = KMeans::params(clusters)
        .n_runs(RUNS)
        .fit(&dataset)
        .expect("the points are numbers, and no fewer than the clusters");
    let labels: Array1<usize> = model.predict(points);
    Scores {
        silhouette: silhouette(distances, &labels, clusters),
        calinski_harabasz: calinski_harabasz(points, &labels, clusters),
        label_agreement: label_agreement(&labels, clusters),
    }
}

fn different_points(points: &Array2<f64>) -> usize {
    let different: BTreeSet<Vec<u64>> = points
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|value| value.to_bits()).collect())
        .collect();
    different.len()
}

fn sizes(labels: &Array1<usize>, clusters: usize) -> Vec<usize> {
    let mut sizes = vec![0; clusters];
    labels.iter().for_each(|&label| sizes[label] += 1);
    sizes
}

/// The mean over points of (b − a) / max(a, b), where a is the mean distance to the other members
/// of the point's cluster and b the smallest mean distance to another cluster; 0 for a cluster of
/// one.
fn silhouette(distances: &Array2<f64>, labels: &Array1<usize>, clusters: usize) -> f64 {
    let sizes = sizes(labels, clusters);
    let mut total = 0.0;
    for (point, &own) in labels.iter().enumerate() {
        if sizes[own] < 2 {
            continue;
        }
        let mut sums = vec![0.0; clusters];
        for (distance, &label) in distances.row(point).iter().zip(labels) {
            sums[label] += distance;
        }
        let inside = sums[own] / (sizes[own] - 1) as f64;
        let outside = (0..clusters)
            .filter(|&label| label != own && sizes[label] > 0)
            .map(|label| sums[label] / sizes[label] as f64)
            .fold(f64::INFINITY, f64::min);
        if outside.is_finite() && inside.max(outside) > 0.0 {
            total += (outside - inside) / inside.max(outside);
        }
    }
    total / labels.len() as f64
}

/// (between / (k − 1)) / (within / (n − k)), in sums of squared distances.
fn calinski_harabasz(points: &Array2<f64>, labels: &Array1<usize>, clusters: usize) -> f64 {
    let sizes = sizes(labels, clusters);
    let mut centres: Array2<f64> = Array2::zeros((clusters, points.ncols()));
    for (row, &label) in points.rows().into_iter().zip(labels) {
        let mut centre = centres.row_mut(label);
        centre += &(&row / sizes[label] as f64);
    }
    let mean = points.mean_axis(Axis(0)).expect("there are questions");
    let between: f64 = (0..clusters)
        .map(|label| sizes[label] as f64 * squared_distance(centres.row(label), mean.view()))
        .sum();
    let inside: f64 = points
        .rows()
        .into_iter()
        .zip(labels)
        .map(|(row, &label)| squared_distance(row, centres.row(label)))
        .sum();
    let freedom = (points.nrows() - clusters) as f64 / (clusters.max(2) - 1) as f64;
    if inside > 0.0 {
        between / inside * freedom
    } else {
        // The value for clusters of equal points.
        1.0
    }
}

/// The unweighted mean over clusters of the share of its most common case.
fn label_agreement(labels: &Array1<usize>, clusters: usize) -> f64 {
    let third = labels.len() / 3;
    let mut counts = vec![[0usize; 3]; clusters];
    for (point, &label) in labels.iter().enumerate() {
        counts[label][point / third] += 1;
    }
    let shares: Vec<f64> = counts
        .iter()
        .filter(|counts| counts.iter().sum::<usize>() > 0)
        .map(|counts| {
            let most = counts.iter().max().expect("there are three cases");
            *most as f64 / counts.iter().sum::<usize>() as f64
        })
        .collect();
    shares.iter().sum::<f64>() / shares.len() as f64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::domain::node::NodeName;
    use crate::inputs::model::ModelFolder;

    /// Clusters 100 points around each centre; centres differ in two of a head's dimensions, with a
    /// little noise in all.
    fn clustering(centres: [[f32; 2]; 3]) -> Clustering {
        let model = ModelFolder::bundled();
        let name: NodeName = "P12L0H1".parse().unwrap();
        let node = name.resolve(&model.weights.shape()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let rows: Vec<Vec<f32>> = centres
            .iter()
            .flat_map(|centre| std::iter::repeat_n(centre, 100))
            .map(|centre| {
                let mut z: Vec<f32> = (0..model.weights.shape().d_head)
                    .map(|_| rng.random_range(-0.1..0.1))
                    .collect();
                z[0] += centre[0];
                z[1] += centre[1];
                z
            })
            .collect();
        HeadOutput::new(&model.weights, node, 1).cluster(rows.iter().map(Vec::as_slice))
    }

    #[test]
    fn an_output_that_tells_the_cases_apart_is_tagged_and_one_that_does_not_is_not() {
        let found = clustering([[5.0, 0.0], [-3.0, 4.0], [-3.0, -4.0]]);
        let [_, three] = found.scores.unwrap();
        assert!(three.label_agreement > 0.99, "{found:?}");
        assert!(found.passes(&Quirks::published()) && found.passes(&Quirks::none()));
        let found = clustering([[1.0, 0.0]; 3]);
        assert!(!found.passes(&Quirks::published()), "{found:?}");
    }

    #[test]
    fn the_silhouette_and_the_variance_ratio_are_those_worked_by_hand() {
        // Points 0, 2 and 10, 12 on a line, in two clusters.
        let points = Array2::from_shape_vec((4, 1), vec![0.0, 2.0, 10.0, 12.0]).unwrap();
        let labels = Array1::from_vec(vec![0, 0, 1, 1]);
        let outer = (11.0 - 2.0) / 11.0;
        let inner = (9.0 - 2.0) / 9.0;
        let found = silhouette(&distances(&points), &labels, 2);
        assert!((found - (outer + inner) / 2.0).abs() < 1e-12, "{found}");
        // Between: 4 · 5², within: 4 · 1, two degrees of freedom over one.
        let found = calinski_harabasz(&points, &labels, 2);
        assert!((found - 50.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn agreement_is_the_unweighted_mean_of_majorities() {
        // One cluster holds a whole case, the other two cases evenly.
        let labels = Array1::from_vec(vec![0, 0, 1, 1, 1, 1]);
        assert_eq!(label_agreement(&labels, 2), 0.75);
    }

    #[test]
    fn questions_of_a_case_have_its_digit_and_nothing_from_below() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for operation in [Operation::Add, Operation::Sub] {
            let drawn = TriCase::draw(operation, 3, 5, &Quirks::published(), &mut rng).unwrap();
            assert_eq!(drawn.questions.len(), 300);
            for (i, prompt) in drawn.questions.iter().enumerate() {
                let question = prompt.question;
                let (x, y) = question.column(3);
                let order = match operation {
                    Operation::Add => (x + y).cmp(&9),
                    Operation::Sub => x.cmp(&y),
                };
                assert_eq!(order as i32, i as i32 / 100 - 1, "{question}");
                assert_eq!(question.column(4), (0, 0));
                let (a, b) = (question.first() % 1000, question.second() % 1000);
                match operation {
                    Operation::Add => assert!(a + b < 1000, "{question}"),
                    Operation::Sub => assert!(a >= b, "{question}"),
                }
            }
        }
    }

    #[test]
    fn the_units_have_too_few_pairs_and_are_filled_up_only_by_the_quirk() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..20 {
            // 45 pairs sum to at most 8, 10 to 9 and 45 to at least 10.
            let strict = TriCase::draw(Operation::Add, 0, 5, &Quirks::none(), &mut rng).unwrap();
            let different: BTreeSet<&Prompt> = strict.questions.iter().collect();
            assert_eq!(strict.questions.len(), 3 * CASE_QUESTIONS);
            assert!(different.len() <= 45 + 10 + 45);
            let filled = TriCase::draw(Operation::Add, 0, 5, &Quirks::published(), &mut rng);
            if let Some(filled) = filled {
                let different: BTreeSet<&Prompt> = filled.questions.iter().collect();
                assert!(different.len() > 200);
            }
        }
    }
}
