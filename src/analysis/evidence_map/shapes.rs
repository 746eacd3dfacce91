//! Shapes of activations: whether an undecided digit has a symbol of its own, whether the last MLP's
//! output depends on the carry only where it must, and how digits lie in the embedding.

use ndarray::{Array2, ArrayView1, Axis, s};
use serde::Deserialize;

use super::MapError;
use super::lab::{At, HookAt, Lab, Which, matrix};
use super::measure::Row;
use super::patching::{additions, carry_variable, label, stimuli};
use super::reading::questions_of;
use crate::analysis::hypothesis::{Digits, Layer, Place};
use crate::domain::arithmetic::{Class, Prompt, Question};
use crate::domain::causal::{Case, Coupling, Kind, Stimulus, StimulusName, carry_into, case_of};
use crate::experiment::geometry::{
    NormalEstimate, OffAxis, circular_order, circular_order_p, frequency_share, off_axis_p,
    participation_ratio,
};

/// Questions of a stimulus, a quarter of each case.
const QUESTIONS: usize = 960;

/// Exchanges of rows for a p-value.
const PERMUTATIONS: usize = 199;

/// Relabellings of the digits, as published.
const RELABELLINGS: usize = 10_000;

/// Rows of one sum of digits that make a centroid.
const FEWEST_OF_A_SUM: usize = 12;

/// What is reported of an undecided digit's centroid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Its squared distance from the line between the committed centroids, in squared lengths of
    /// that line; the p-value is that of exchanging its rows with those of the committed ones.
    OffAxis,
    /// That squared distance, less the mean of those of all other single sums (differences): an
    /// undecided digit always has the same one, and so would any digit whose sum is shown. All
    /// questions have the carry in that an undecided digit with this carry out has.
    Excess,
    /// How far its foot on the line is from the committed centroid of the same carry, in lengths of
    /// the line.
    Displacement,
}

/// The centroids of undecided digits against those of committed ones.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centroids {
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    pub digits: Digits,
    pub hook: HookAt,
    pub at: Place,
    pub report: Aspect,
    #[serde(default)]
    pub which: Which,
}

/// The activations of one stimulus' questions with what the questions are.
struct Cloud {
    rows: Array2<f64>,
    questions: Vec<Question>,
    digit: usize,
}

impl Cloud {
    fn of(&self, keep: impl Fn(&Question) -> bool) -> Array2<f64> {
        let samples: Vec<usize> = (0..self.questions.len())
            .filter(|&sample| keep(&self.questions[sample]))
            .collect();
        self.rows.select(Axis(0), &samples)
    }

    fn of_case(&self, case: Case) -> Array2<f64> {
        self.of(|question| case_of(question, self.digit) == case)
    }

    /// A column's sum, or its difference with ten added.
    fn key(&self, question: &Question) -> u8 {
        let (x, y) = question.column(self.digit);
        match question.class() {
            Class::Add => x + y,
            Class::Sub => 10 + x - y,
            Class::Neg => 10 + y - x,
        }
    }

    /// The questions whose column receives a carry, or none.
    fn receiving(&self, carry: bool) -> Self {
        let receives = |&i: &usize| carry_into(&self.questions[i], self.digit) == carry;
        let samples: Vec<usize> = (0..self.questions.len()).filter(receives).collect();
        Cloud {
            rows: self.rows.select(Axis(0), &samples),
            questions: samples.iter().map(|&i| self.questions[i]).collect(),
            digit: self.digit,
        }
    }

    /// The squared ratios of single committed sums that carry as given, each against the others.
    fn other_sums(&self, carry: bool) -> Vec<NormalEstimate> {
        let opposite = self.of_case(Case::Committed(!carry));
        let same = |question: &Question| case_of(question, self.digit) == Case::Committed(carry);
        let mut found = Vec::new();
        for key in 0..=MOST_OF_A_KEY {
            let own = self.of(|q| same(q) && self.key(q) == key);
            let rest = self.of(|q| same(q) && self.key(q) != key);
            if own.nrows() >= FEWEST_OF_A_SUM && rest.nrows() >= FEWEST_OF_A_SUM {
                found.push(OffAxis::measure(&rest, &opposite, &own).squared_ratio);
            }
        }
        found
    }
}

/// The largest [key](Cloud::key).
const MOST_OF_A_KEY: u8 = 19;

fn mean(estimates: &[NormalEstimate]) -> Option<NormalEstimate> {
    let count = estimates.len() as f64;
    let sum = |of: &dyn Fn(&NormalEstimate) -> f64| estimates.iter().map(of).sum::<f64>();
    (!estimates.is_empty()).then(|| NormalEstimate {
        value: sum(&|e| e.value) / count,
        standard_error: sum(&|e| e.standard_error * e.standard_error).sqrt() / count,
    })
}

impl Centroids {
    /// Measures two rows for each column, one for each carry.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let all = stimuli(lab, StimulusName::Four, &self.classes, &self.digits, None);
        let alpha = lab.options.alpha / (4 * all.len().max(1)) as f64;
        let mut rows = Vec::new();
        for stimulus in &all {
            let Some(position) = self.at.position(stimulus.digit, &lab.shape()) else {
                continue;
            };
            let stream = format!("{name}/{}", label(stimulus));
            let questions = questions_of(lab, self.which, stimulus, QUESTIONS, &stream)?;
            let prompts: Vec<Prompt> = questions.iter().map(|&q| Prompt::truth(q)).collect();
            let cloud = Cloud {
                rows: lab.read(self.which, &prompts, self.hook, position)?,
                questions,
                digit: stimulus.digit,
            };
            for carry in [false, true] {
                let of = format!("{}, carry {}", label(stimulus), u8::from(carry));
                rows.extend(self.row(lab, &cloud, carry, of, alpha));
            }
        }
        Ok(rows)
    }

    fn row(&self, lab: &Lab, cloud: &Cloud, carry: bool, of: String, alpha: f64) -> Option<Row> {
        let receiving;
        let cloud = match self.report {
            Aspect::Excess => {
                receiving = cloud.receiving(carry);
                &receiving
            }
            _ => cloud,
        };
        let same = cloud.of_case(Case::Committed(carry));
        let opposite = cloud.of_case(Case::Committed(!carry));
        let undecided = cloud.of_case(Case::Undecided(carry));
        let samples = undecided.nrows() as u64;
        if [&same, &opposite, &undecided]
            .iter()
            .any(|rows| rows.nrows() < FEWEST_OF_A_SUM)
        {
            return None;
        }
        let off = OffAxis::measure(&same, &opposite, &undecided);
        Some(match self.report {
            Aspect::Displacement => Row::estimate(of, off.along, alpha, samples),
            Aspect::OffAxis => {
                let mut rng = lab.stream(&format!("off-axis/{of}"));
                let p = off_axis_p(&same, &opposite, &undecided, PERMUTATIONS, &mut rng);
                Row::estimate(of, off.squared_ratio, alpha, samples).with_p(p)
            }
            Aspect::Excess => {
                let others = mean(&cloud.other_sums(carry))?;
                let own = off.squared_ratio;
                let excess = NormalEstimate {
                    value: own.value - others.value,
                    standard_error: own.standard_error.hypot(others.standard_error),
                };
                Row::estimate(of, excess, alpha, samples)
            }
        })
    }
}

/// How much an MLP's output depends on the carry in where the column passes it on, and where it does
/// not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependence {
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    pub digits: Digits,
    pub layer: Layer,
    /// Where the MLP is; `n` is the column that is undecided or committed.
    pub at: Place,
    pub report: Toggled,
    #[serde(default)]
    pub which: Which,
}

/// What is reported of the carry's toggling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toggled {
    /// Mean cosine distance of the outputs where the column is committed, divided by that where it
    /// is undecided.
    Ratio,
    /// Mean cosine distance where it is undecided.
    Undecided,
}

/// Pairs of one kind of column.
const TOGGLES: usize = 256;

impl Dependence {
    /// Measures a row for each column.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let all = stimuli(lab, StimulusName::Four, &self.classes, &self.digits, None);
        let alpha = lab.options.alpha / (2 * all.len().max(1)) as f64;
        let mut rows = Vec::new();
        for stimulus in &all {
            let Some(position) = self.at.position(stimulus.digit, &lab.shape()) else {
                continue;
            };
            let committed = self.distances(lab, stimulus, false, position, name)?;
            let undecided = self.distances(lab, stimulus, true, position, name)?;
            let (Some(committed), Some(undecided)) = (estimate(&committed), estimate(&undecided))
            else {
                continue;
            };
            let value = match self.report {
                Toggled::Undecided => undecided,
                Toggled::Ratio => quotient(committed, undecided),
            };
            rows.push(Row::estimate(label(stimulus), value, alpha, TOGGLES as u64));
        }
        Ok(rows)
    }

    /// The cosine distances of the MLP's outputs in questions that differ in the carry into the
    /// column alone.
    fn distances(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        undecided: bool,
        position: usize,
        name: &str,
    ) -> Result<Vec<f64>, MapError> {
        let Some(below) = stimulus.digit.checked_sub(1) else {
            return Ok(Vec::new());
        };
        // The column below decides; twins share all others, and so the column asked about.
        let toggles = Stimulus::new(StimulusName::Any, stimulus.class, below);
        let mut rng = lab.stream(&format!("{name}/{}/{undecided}", label(stimulus)));
        let drawn = toggles.pairs(
            Kind::Counterfactual,
            Coupling::Twin,
            lab.shape().n_digits,
            // A tenth of random columns are undecided.
            TOGGLES * if undecided { DRAWN_PER_UNDECIDED } else { 2 },
            &mut rng,
        );
        let is = |question: &Question| {
            matches!(case_of(question, stimulus.digit), Case::Undecided(_)) == undecided
        };
        let fitting = drawn
            .into_iter()
            .filter(|pair| is(&pair.base))
            .take(TOGGLES);
        let pairs = lab.answered(self.which, carry_token(stimulus), fitting.collect())?;
        let prompts: Vec<Prompt> = (pairs.iter())
            .flat_map(|pair| [pair.source, Prompt::truth(pair.base)])
            .collect();
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let hook = HookAt {
            at: At::MlpOut,
            layer: self.layer,
        };
        let outputs = lab.read(self.which, &prompts, hook, position)?;
        Ok((0..pairs.len())
            .map(|pair| cosine_distance(outputs.row(2 * pair), outputs.row(2 * pair + 1)))
            .collect())
    }
}

/// 1 minus the cosine of the angle between two vectors; a vector without length is at distance 0 from
/// another one, and at distance 1 from all else.
fn cosine_distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let lengths = (a.dot(&a) * b.dot(&b)).sqrt();
    match (a == b, lengths > 0.0) {
        (true, _) => 0.0,
        (_, false) => 1.0,
        _ => 1.0 - a.dot(&b) / lengths,
    }
}

const DRAWN_PER_UNDECIDED: usize = 14;

fn carry_token(stimulus: &Stimulus) -> crate::domain::arithmetic::AnswerToken {
    let digit = carry_variable(stimulus).digit;
    crate::domain::arithmetic::AnswerToken(digit.expect("a combiner has a digit"))
}

/// The mean with its standard error.
pub(super) fn estimate(values: &[f64]) -> Option<NormalEstimate> {
    let count = values.len() as f64;
    (values.len() > 1).then(|| {
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        NormalEstimate {
            value: mean,
            standard_error: (squares / (count - 1.0) / count).sqrt(),
        }
    })
}

/// The quotient of two independent estimates, to first order.
fn quotient(a: NormalEstimate, b: NormalEstimate) -> NormalEstimate {
    let value = a.value / b.value;
    NormalEstimate {
        value,
        standard_error: (a.standard_error / b.value).hypot(value * b.standard_error / b.value),
    }
}

/// How the ten digits lie in the embedding or in the unembedding.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digitwise {
    pub of: Table,
    pub report: DigitsShape,
    #[serde(default)]
    pub which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    Embedding,
    Unembedding,
}

/// What is reported of ten points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigitsShape {
    /// The effective number of dimensions; 9 is the most that ten points can have.
    Dimensions,
    /// The share of variance that goes round once.
    FirstFrequency,
    /// How well the angles in the plane of most variance follow the digits, with the p-value under
    /// other numberings.
    CircularOrder,
}

const DIGITS: usize = 10;

impl Digitwise {
    /// Measures the one row.
    pub fn measure(&self, lab: &Lab, name: &str) -> Vec<Row> {
        let weights = lab.weights_of(self.which);
        let width = lab.shape().d_model;
        let points = match self.of {
            Table::Embedding => {
                let all = matrix(weights, "embed.W_E", crate::domain::shape::D_VOCAB);
                all.slice(s![..DIGITS, ..]).to_owned()
            }
            Table::Unembedding => {
                let all = matrix(weights, "unembed.W_U", width);
                all.slice(s![.., ..DIGITS]).t().to_owned()
            }
        };
        let row = match self.report {
            DigitsShape::Dimensions => Row::exact("ten digits", participation_ratio(&points)),
            DigitsShape::FirstFrequency => Row::exact("ten digits", frequency_share(&points, 1)),
            DigitsShape::CircularOrder => {
                let mut rng = lab.stream(name);
                let p = circular_order_p(&points, RELABELLINGS, &mut rng);
                Row::exact("ten digits", circular_order(&points)).with_p(p)
            }
        };
        vec![row]
    }
}
