//! Probes and geometry agree with scikit-learn and numpy.
//!
//! `tests/reference/codes/codes.json` was made by `make.py` beside it.

use std::fs;

use circuitcheck::experiment::codes::{Labelled, Probe, Reader};
use circuitcheck::experiment::geometry::{
    OffAxis, circular_order, frequency_share, participation_ratio, principal_angles,
    squared_distance,
};
use ndarray::Array2;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    two: Case,
    four: Case,
    groups: Vec<Vec<Vec<f64>>>,
    off_axis: OffAxisReference,
    a: Vec<Vec<f64>>,
    b: Vec<Vec<f64>>,
    angles: Vec<f64>,
    points: Vec<Vec<f64>>,
    participation_ratio: f64,
    frequency_shares: Vec<f64>,
    circular_order: f64,
}

#[derive(Deserialize)]
struct Case {
    rows: Vec<Vec<f64>>,
    labels: Vec<u8>,
    training: usize,
    #[serde(rename = "logistic_c_0.5")]
    logistic: Fitted,
    #[serde(rename = "ridge_alpha_2")]
    ridge: Fitted,
}

#[derive(Deserialize)]
struct Fitted {
    weights: Vec<Vec<f64>>,
    intercept: Vec<f64>,
    balanced_accuracy: f64,
}

#[derive(Deserialize)]
struct OffAxisReference {
    squared_distance: f64,
    squared_ratio: f64,
    along: f64,
}

fn reference() -> Reference {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/reference/codes/codes.json"
    );
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    let flat = rows.concat();
    Array2::from_shape_vec((rows.len(), rows[0].len()), flat).unwrap()
}

fn assert_near(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() < TOLERANCE,
        "{what}: {found}, expected {expected}"
    );
}

impl Case {
    fn check(&self, reader: Reader, expected: &Fitted) {
        let samples = |range: std::ops::Range<usize>| Labelled {
            rows: matrix(&self.rows[range.clone()]),
            labels: self.labels[range].to_vec(),
        };
        let probe = Probe::fit(reader, &samples(0..self.training)).unwrap();
        let test = samples(self.training..self.labels.len());
        assert_near(
            probe.recalls(&test).balanced(),
            expected.balanced_accuracy,
            "accuracy",
        );
        // For two labels scikit-learn keeps the direction from one to the other alone.
        let (weights, intercept) = (probe.weights(), probe.intercept());
        for (label, expected_weights) in expected.weights.iter().enumerate() {
            let of = |column: usize| match (expected.weights.len(), reader) {
                (1, Reader::Logistic { .. }) => {
                    (weights[(column, 1)] - weights[(column, 0)], intercept[1])
                }
                (1, Reader::Ridge { .. }) => (weights[(column, 1)], intercept[1]),
                _ => (weights[(column, label)], intercept[label]),
            };
            for (column, &expected_weight) in expected_weights.iter().enumerate() {
                assert_near(of(column).0, expected_weight, "weight");
            }
            // The intercepts of a softmax are free up to a common constant.
            let shift = match (expected.weights.len(), reader) {
                (1, _) | (_, Reader::Ridge { .. }) => 0.0,
                _ => intercept[0] - expected.intercept[0],
            };
            assert_near(of(0).1 - shift, expected.intercept[label], "intercept");
        }
    }
}

#[test]
fn logistic_probes_are_those_of_scikit_learn() {
    let reference = reference();
    for case in [&reference.two, &reference.four] {
        case.check(Reader::Logistic { c: 0.5 }, &case.logistic);
    }
}

#[test]
fn ridge_probes_are_those_of_scikit_learn() {
    let reference = reference();
    for case in [&reference.two, &reference.four] {
        case.check(Reader::Ridge { alpha: 2.0 }, &case.ridge);
    }
}

#[test]
fn distances_without_bias_are_those_of_sums_over_different_samples() {
    let reference = reference();
    let groups: Vec<Array2<f64>> = reference.groups.iter().map(|rows| matrix(rows)).collect();
    let off = OffAxis::measure(&groups[0], &groups[1], &groups[2]);
    let expected = &reference.off_axis;
    assert_near(
        squared_distance(&groups[0], &groups[1]),
        expected.squared_distance,
        "distance",
    );
    assert_near(off.squared_ratio.value, expected.squared_ratio, "off axis");
    assert_near(off.along.value, expected.along, "along");
}

#[test]
fn geometry_is_that_of_numpy() {
    let reference = reference();
    let angles = principal_angles(&matrix(&reference.a), &matrix(&reference.b));
    assert_eq!(angles.len(), reference.angles.len());
    for (found, &expected) in angles.iter().zip(&reference.angles) {
        assert_near(*found, expected, "angle");
    }
    let points = matrix(&reference.points);
    assert_near(
        participation_ratio(&points),
        reference.participation_ratio,
        "participation ratio",
    );
    for (index, &expected) in reference.frequency_shares.iter().enumerate() {
        assert_near(frequency_share(&points, index + 1), expected, "share");
    }
    assert_near(circular_order(&points), reference.circular_order, "order");
}
