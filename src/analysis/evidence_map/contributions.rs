//! What the last layer's heads bring from each column to the place where a digit is predicted, along the
//! direction that tells the carry there.

use ndarray::{Array1, Array2, Axis};
use serde::Deserialize;

use super::MapError;
use super::lab::{At, HookAt, Lab, Which};
use super::measure::Row;
use super::patching::{heads, label, stimuli};
use super::shapes::estimate;
use crate::analysis::hypothesis::{Digits, Last, Layer};
use crate::domain::arithmetic::{Class, Prompt, Question};
use crate::domain::causal::{Case, Stimulus, StimulusName, case_of};
use crate::domain::edge::Sender;
use crate::domain::site::Site;
use crate::experiment::geometry::NormalEstimate;

/// Questions, half of which the direction is learned on.
const QUESTIONS: usize = 1200;

/// Fewest questions of a mean.
const FEWEST: usize = 20;

/// Contributions of columns. A row for each column at or below those whose carry is asked about.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contributing {
    /// The columns whose carry out is asked about.
    pub digits: Digits,
    #[serde(default)]
    pub which: Which,
}

impl Contributing {
    /// Measures how much more is brought from a column that makes a carry than from one that makes none, in
    /// lengths of the line between the two means that the direction joins.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let all = stimuli(lab, StimulusName::Random, &[Class::Add], &self.digits, None);
        let mut found = Vec::new();
        for stimulus in &all {
            let mut rng = lab.stream(&format!("{name}/{}", label(stimulus)));
            let drawn = stimulus.draw_any(lab.shape().n_digits, QUESTIONS, &mut rng);
            let questions = lab.answered_questions(self.which, stimulus.reads(), drawn)?;
            let (learned, judged) = questions.split_at(questions.len() / 2);
            let Some(direction) = self.direction(lab, stimulus, learned)? else {
                continue;
            };
            for column in 0..=stimulus.digit {
                let gap = self.gap(lab, stimulus, column, judged, &direction)?;
                found.extend(
                    gap.map(|gap| (format!("{}, from column {column}", label(stimulus)), gap)),
                );
            }
        }
        let alpha = lab.options.alpha / (2 * found.len().max(1)) as f64;
        let samples = (QUESTIONS / 2) as u64;
        let row = |(of, gap)| Row::estimate(of, gap, alpha, samples);
        Ok(found.into_iter().map(row).collect())
    }

    /// The difference of the stream before the last MLP with and without the carry, divided by its squared
    /// length: along it, the two means are 1 apart.
    fn direction(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        questions: &[Question],
    ) -> Result<Option<Array1<f64>>, MapError> {
        let prompts: Vec<Prompt> = questions.iter().map(|&q| Prompt::truth(q)).collect();
        let hook = HookAt {
            at: At::ResidMid,
            layer: Layer::Named(Last::Last),
        };
        let position = lab.shape().predicting(stimulus.reads());
        let stream = lab.read(self.which, &prompts, hook, position)?;
        let mean = |carry: bool| {
            let carries = |&i: &usize| case_of(&questions[i], stimulus.digit).carry() == carry;
            let rows: Vec<usize> = (0..questions.len()).filter(carries).collect();
            let enough = rows.len() >= FEWEST;
            enough
                .then(|| stream.select(Axis(0), &rows).mean_axis(Axis(0)))
                .flatten()
        };
        let (Some(with), Some(without)) = (mean(true), mean(false)) else {
            return Ok(None);
        };
        let difference = with - without;
        let squared = difference.dot(&difference);
        Ok(Some(difference / squared))
    }

    /// The gap between a column's questions that make a carry there and those that make none.
    fn gap(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        column: usize,
        questions: &[Question],
        direction: &Array1<f64>,
    ) -> Result<Option<NormalEstimate>, MapError> {
        let shape = lab.shape();
        let position = shape.predicting(stimulus.reads());
        let keys = [shape.first_operand(column), shape.second_operand(column)];
        let sender = |head| Sender::new(Site::from(head))?.reading_at(keys);
        let heads = heads(lab, lab.last_layer(), position).into_iter();
        let senders: Result<Vec<Sender>, _> = heads.map(sender).collect();
        let senders = senders.map_err(MapError::edge)?;
        let prompts: Vec<Prompt> = questions.iter().map(|&q| Prompt::truth(q)).collect();
        let engine = lab.engine_of(self.which);
        let read = engine.contributions(&prompts, senders.iter().cloned())?;
        let along = |prompt: usize| -> f64 {
            let brought = senders.iter().map(|sender| read.get(prompt, sender));
            let products = brought.map(|value| {
                let products = value.iter().zip(direction);
                products.map(|(&v, d)| f64::from(v) * d).sum::<f64>()
            });
            products.sum()
        };
        let of = |carry: bool| {
            let is = |&i: &usize| case_of(&questions[i], column) == Case::Committed(carry);
            let values: Vec<f64> = (0..questions.len()).filter(is).map(along).collect();
            (values.len() >= FEWEST)
                .then(|| estimate(&values))
                .flatten()
        };
        Ok(of(true)
            .zip(of(false))
            .map(|(with, without)| NormalEstimate {
                value: with.value - without.value,
                standard_error: with.standard_error.hypot(without.standard_error),
            }))
    }
}

/// The direction in the last layer's input that its heads would turn into the difference of the carry: its
/// pre-image under all heads' W_V W_O, `[d_model]`.
pub(super) fn ov_preimage(lab: &Lab, which: Which, difference: &Array1<f64>) -> Array1<f64> {
    let weights = lab.weights_of(which);
    let shape = lab.shape();
    let last = lab.last_layer();
    let name = |part: &str| format!("blocks.{last}.attn.{part}");
    // W_V is [h, d_model, d_head], W_O [h, d_head, d_model].
    let values = super::lab::matrix(weights, &name("W_V"), shape.n_heads * shape.d_model);
    let outputs = super::lab::matrix(weights, &name("W_O"), shape.d_heads());
    let head = outputs.dot(difference);
    let mut preimage = Array1::zeros(shape.d_model);
    for number in 0..shape.n_heads {
        let rows = number * shape.d_model..(number + 1) * shape.d_model;
        let own: Array2<f64> = values.slice(ndarray::s![rows, ..]).to_owned();
        let columns = number * shape.d_head..(number + 1) * shape.d_head;
        preimage += &own.dot(&head.slice(ndarray::s![columns]));
    }
    preimage
}
