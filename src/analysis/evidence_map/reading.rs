//! Probes: what a linear read-out tells of a question's digits at a hook and position, in the same
//! column and in others.

use ndarray::{Array1, Axis};
use rand::RngExt;
use serde::Deserialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::MapError;
use super::contributions::ov_preimage;
use super::lab::{At, HookAt, Lab, Which};
use super::measure::Row;
use super::patching::{additions, label, stimuli};
use crate::analysis::hypothesis::{Digits, Last, Layer, Place};
use crate::domain::arithmetic::{Class, Prompt, Question};
use crate::domain::causal::{Case, Stimulus, StimulusName, Value, case_of, value};
use crate::domain::task::{Task, Variable};
use crate::experiment::codes::{Labelled, Reader, Transfer, decode};

/// Questions of one set.
const QUESTIONS: usize = 400;

/// Relabellings for a p-value.
const PERMUTATIONS: usize = 999;

/// The label that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The carry or borrow out of the column.
    Carry,
    /// The column's tri-case: below, at or above what passes a carry on.
    TriCase,
    /// The column's base value, 0 to 9.
    Base,
    /// The digit of the second operand in the column: the token that stands at its own position.
    Token,
}

impl Label {
    fn of(self, question: &Question, digit: usize) -> u8 {
        let class = question.class();
        let task = match (self, class) {
            (Label::Carry, _) => return u8::from(case_of(question, digit).carry()),
            (Label::Token, _) => return question.column(digit).1,
            (Label::TriCase, Class::Add) => Task::St,
            (Label::TriCase, _) => Task::Mt,
            (Label::Base, Class::Add) => Task::Sa,
            (Label::Base, Class::Sub) => Task::Md,
            (Label::Base, Class::Neg) => Task::Nd,
        };
        let variable = Variable {
            task,
            digit: Some(digit),
        };
        match value(variable, &Prompt::truth(*question)) {
            Some(Value::Base(base)) => base,
            Some(Value::Tri(tri)) => (tri as i8 + 1) as u8,
            other => unreachable!("{variable} of {question} is {other:?}"),
        }
    }
}

/// What is reported of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Balanced accuracy on held-out questions of each set, with a p-value under permuted labels.
    Within,
    /// Balanced accuracy in the other sets of a class, taken together.
    Across,
    /// The share of what is read above chance within sets that is read across them.
    Retention,
    /// Of two undecided cases alone, balanced accuracy within each set.
    Undecided,
}

/// A single direction of a stream that the last layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAxis {
    /// The one that the last layer's heads would turn into the difference that the carry makes where it is
    /// combined.
    CarryPreimage,
    Random,
}

/// A probe experiment. The sets are the columns or, if `across_depths`, the depths of one column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probing {
    pub stimulus: StimulusName,
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    pub digits: Digits,
    pub depths: Option<Digits>,
    pub label: Label,
    pub hook: HookAt,
    /// Where it is read; `n` is the column.
    pub at: Place,
    pub report: Report,
    /// The one direction that is read; by default all of them.
    pub axis: Option<ReadAxis>,
    #[serde(default = "published_reader")]
    pub reader: Reader,
    #[serde(default)]
    pub which: Which,
    #[serde(default = "questions")]
    pub questions: usize,
}

const fn questions() -> usize {
    QUESTIONS
}

const fn published_reader() -> Reader {
    Reader::Logistic { c: 0.5 }
}

/// Questions of a stimulus, in equal numbers of each case.
pub(super) fn questions_of(
    lab: &Lab,
    which: Which,
    stimulus: &Stimulus,
    count: usize,
    name: &str,
) -> Result<Vec<Question>, MapError> {
    let n_digits = lab.shape().n_digits;
    let mut rng = lab.stream(name);
    let cases = stimulus.cases();
    let drawn = if cases.is_empty() {
        stimulus.draw_any(n_digits, count, &mut rng)
    } else {
        let each = count / cases.len();
        (cases.into_iter())
            .flat_map(|case| stimulus.draw(case, n_digits, each, &mut rng))
            .collect()
    };
    Ok(lab.answered_questions(which, stimulus.reads(), drawn)?)
}

impl Probing {
    /// Measures every row; each bound is wrong with probability at most an even share of the error.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let mut rows = Vec::new();
        let all = stimuli(
            lab,
            self.stimulus,
            &self.classes,
            &self.digits,
            self.depths.as_ref(),
        );
        for of_class in all.chunk_by(|a, b| a.class == b.class) {
            let mut sets = Vec::new();
            for stimulus in of_class {
                sets.extend(self.set(lab, stimulus, name)?.map(|set| (*stimulus, set)));
            }
            rows.extend(self.rows(lab, &sets, all.len(), name)?);
        }
        Ok(rows)
    }

    /// The labelled activations of a stimulus; `None` if the model has no such place or too few
    /// questions.
    fn set(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        name: &str,
    ) -> Result<Option<Labelled>, MapError> {
        let Some(position) = self.at.position(stimulus.digit, &lab.shape()) else {
            return Ok(None);
        };
        let name = format!("{name}/{}", label(stimulus));
        let mut drawn = questions_of(lab, self.which, stimulus, self.questions, &name)?;
        if self.report == Report::Undecided {
            drawn
                .retain(|question| matches!(case_of(question, stimulus.digit), Case::Undecided(_)));
        }
        let labels: Vec<u8> = drawn
            .iter()
            .map(|q| self.label.of(q, stimulus.digit))
            .collect();
        let prompts: Vec<Prompt> = drawn.into_iter().map(Prompt::truth).collect();
        let mut rows = lab.read(self.which, &prompts, self.hook, position)?;
        if let Some(axis) = self.axis {
            let direction = self.direction(lab, axis, stimulus, &prompts, &labels, &name)?;
            rows = rows.dot(&direction).insert_axis(Axis(1));
        }
        let set = Labelled { rows, labels };
        Ok((set.labels.len() >= FEWEST && set.classes().len() > 1).then_some(set))
    }

    /// A unit direction of the stream, `[d_model]`.
    fn direction(
        &self,
        lab: &Lab,
        axis: ReadAxis,
        stimulus: &Stimulus,
        prompts: &[Prompt],
        labels: &[u8],
        name: &str,
    ) -> Result<Array1<f64>, MapError> {
        let width = lab.shape().d_model;
        let direction = match axis {
            ReadAxis::Random => {
                let mut rng = lab.stream(&format!("{name}/axis"));
                let normal = Normal::standard();
                Array1::from_shape_fn(width, |_| normal.inverse_cdf(rng.random()))
            }
            ReadAxis::CarryPreimage => {
                let hook = HookAt {
                    at: At::ResidMid,
                    layer: Layer::Named(Last::Last),
                };
                let position = lab.shape().predicting(stimulus.reads());
                let rows = lab.read(self.which, prompts, hook, position)?;
                let combined = Labelled {
                    rows,
                    labels: labels.to_vec(),
                };
                let mean = |label| combined.of_class(label).mean_axis(Axis(0));
                match (mean(1), mean(0)) {
                    (Some(with), Some(without)) => ov_preimage(lab, self.which, &(with - without)),
                    _ => Array1::zeros(width),
                }
            }
        };
        let length = direction.dot(&direction).sqrt().max(f64::MIN_POSITIVE);
        Ok(direction / length)
    }

    fn rows(
        &self,
        lab: &Lab,
        sets: &[(Stimulus, Labelled)],
        of: usize,
        name: &str,
    ) -> Result<Vec<Row>, MapError> {
        let alpha = lab.options.alpha / (2 * of.max(1)) as f64;
        let Some((first, _)) = sets.first() else {
            return Ok(Vec::new());
        };
        let mut rng = lab.stream(&format!("{name}/probes/{}", first.class));
        if matches!(self.report, Report::Within | Report::Undecided) {
            let mut rows = Vec::new();
            for (stimulus, set) in sets {
                let (train, test) = set.split(&mut rng);
                if train.classes().len() < 2 {
                    continue;
                }
                let decoded = decode(self.reader, &train, &test, PERMUTATIONS, &mut rng)?;
                let row = Row::recalls(label(stimulus), &decoded.recalls, alpha);
                rows.push(row.with_p(decoded.p_value()));
            }
            return Ok(rows);
        }
        if sets.len() < 2 {
            return Ok(Vec::new());
        }
        let only: Vec<Labelled> = sets.iter().map(|(_, set)| set.clone()).collect();
        let transfer = Transfer::measure(self.reader, &only, &mut rng)?;
        let of = format!("{}, {} sets", first.class, sets.len());
        let row = match self.report {
            Report::Across => {
                let across = &transfer.across;
                Row::bounded(
                    of,
                    across.balanced(),
                    across.bounds(alpha),
                    across.samples(),
                )
            }
            _ => {
                let samples = transfer.across.samples();
                Row::bounded(
                    of,
                    transfer.retention(),
                    transfer.retention_bounds(alpha),
                    samples,
                )
            }
        };
        Ok(vec![row])
    }
}

/// Fewest questions that a probe is fitted to and scored on.
const FEWEST: usize = 40;
