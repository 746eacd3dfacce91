//! Steps and ramps: how the logit difference follows while the message of the last layer's heads is
//! mixed from that of one carry to that of the other.

use ndarray::{Array1, Array2};
use serde::Deserialize;

use super::MapError;
use super::lab::{At, HookAt, Lab, Which, matrix, vector};
use super::measure::Row;
use super::patching::{additions, carry_variable, heads, label, mlp, stimuli};
use super::shapes::estimate;
use crate::analysis::hypothesis::{Digits, Last, Layer};
use crate::domain::arithmetic::{Answer, AnswerToken, Class, Prompt};
use crate::domain::causal::{Coupling, Kind, Pair, Stimulus, StimulusName, predict};
use crate::experiment::stats::Count;
use crate::network::engine::{Decode, Intervention, Overwrite, PathPatch, Scale, Source, Target};
use crate::network::logits::AnswerLogits;

/// Equal parts that the mix is divided into.
const PARTS: usize = 8;

/// Parts of a quarter.
const QUARTER: usize = PARTS / 4;

/// Pairs of one row.
const PAIRS: usize = 128;

/// Least change of the logit difference, in logits, of pairs whose shape is asked about: where the
/// message moves nothing, it moves nothing in steps or ramps.
const LEAST_CHANGE: f64 = 1.0;

/// What is reported of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sweep {
    /// The largest share of the change that falls into a quarter of the way: 0.25 of a ramp, 1 of a
    /// step.
    SteepestQuarter,
    /// The same with the ReLU of every hidden unit held as it is without the message.
    SteepestQuarterLinear,
    /// The share of pairs whose token has become the predicted one with this much of the message of
    /// the mean of all pairs. It is a step in any model, since the highest logit is read.
    Flipped(f64),
}

/// A sweep, with one row for each class, column and depth.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixing {
    pub stimulus: StimulusName,
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    pub digits: Digits,
    pub depths: Option<Digits>,
    #[serde(default)]
    pub redrawn: bool,
    pub report: Sweep,
    #[serde(default)]
    pub which: Which,
}

/// The values of all heads of the last layer at a position, `[pairs, heads, d_head]` flattened.
struct Messages {
    source: Array2<f64>,
    base: Array2<f64>,
}

impl Messages {
    fn mixed(&self, pair: usize, share: f64) -> Vec<f32> {
        let mixed = &self.base.row(pair) * (1.0 - share) + &self.source.row(pair) * share;
        mixed.iter().map(|&value| value as f32).collect()
    }
}

impl Mixing {
    /// Measures every row.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let all = stimuli(
            lab,
            self.stimulus,
            &self.classes,
            &self.digits,
            self.depths.as_ref(),
        );
        let alpha = lab.options.alpha / (2 * all.len().max(1)) as f64;
        let mut rows = Vec::new();
        for stimulus in &all {
            let mut rng = lab.stream(&format!("{name}/{}", label(stimulus)));
            let coupling = match self.redrawn {
                true => Coupling::Redrawn,
                false => Coupling::Twin,
            };
            let n_digits = lab.shape().n_digits;
            let drawn = stimulus.pairs(Kind::Counterfactual, coupling, n_digits, PAIRS, &mut rng);
            let pairs = lab.answered(self.which, stimulus.reads(), drawn)?;
            if pairs.is_empty() {
                continue;
            }
            rows.extend(self.row(lab, stimulus, &pairs, alpha)?);
        }
        Ok(rows)
    }

    fn row(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        pairs: &[Pair],
        alpha: f64,
    ) -> Result<Option<Row>, MapError> {
        let token = stimulus.reads();
        let predicted: Vec<Answer> = (pairs.iter())
            .map(|pair| predict(carry_variable(stimulus), &pair.source, &pair.base))
            .map(|answer| answer.expect("source and base are of one class"))
            .collect();
        let sides = Sides {
            token,
            bases: pairs.iter().map(|pair| Prompt::truth(pair.base)).collect(),
            sources: pairs.iter().map(|pair| pair.source).collect(),
            predicted,
        };
        if let Sweep::Flipped(share) = self.report {
            let mut messages = sides.messages(lab, self.which)?;
            messages.average(stimulus, pairs);
            let logits = sides.mixed(lab, self.which, &messages, &[share])?;
            let mut count = Count::default();
            for (logits, predicted) in logits[0].iter().zip(&sides.predicted) {
                count.add(logits.answer().get(token) == predicted.get(token));
            }
            return Ok(Some(Row::count(label(stimulus), count, alpha)));
        }
        let shares: Vec<f64> = (0..=PARTS).map(|part| part as f64 / PARTS as f64).collect();
        let messages = sides.messages(lab, self.which)?;
        let logits = match self.report {
            Sweep::SteepestQuarterLinear => sides.linear(lab, self.which, &messages, &shares)?,
            _ => sides.mixed(lab, self.which, &messages, &shares)?,
        };
        let steepest: Vec<f64> = (0..pairs.len())
            .filter_map(|pair| {
                let along: Vec<f64> = logits
                    .iter()
                    .map(|at| sides.lead(pair, &at[pair]))
                    .collect();
                steepest_quarter(&along)
            })
            .collect();
        let row = |estimate| Row::estimate(label(stimulus), estimate, alpha, steepest.len() as u64);
        Ok(estimate(&steepest).map(row))
    }
}

impl Messages {
    /// Replaces each message by the mean of those with the same carry.
    fn average(&mut self, stimulus: &Stimulus, pairs: &[Pair]) {
        let carries = |question| crate::domain::causal::case_of(question, stimulus.digit).carry();
        for of_sources in [true, false] {
            let carried: Vec<bool> = (pairs.iter())
                .map(|pair| {
                    carries(if of_sources {
                        &pair.source.question
                    } else {
                        &pair.base
                    })
                })
                .collect();
            let rows = if of_sources {
                &mut self.source
            } else {
                &mut self.base
            };
            for carry in [false, true] {
                let mut mean = Array1::zeros(rows.ncols());
                let members: Vec<usize> =
                    (0..pairs.len()).filter(|&i| carried[i] == carry).collect();
                for &member in &members {
                    mean += &rows.row(member);
                }
                mean /= members.len().max(1) as f64;
                for &member in &members {
                    rows.row_mut(member).assign(&mean);
                }
            }
        }
    }
}

/// The largest share of the change along a sweep that falls into a quarter of it; `None` where
/// hardly anything changes.
fn steepest_quarter(along: &[f64]) -> Option<f64> {
    let all = along.last()? - along.first()?;
    let quarters = along
        .windows(QUARTER + 1)
        .map(|part| part[QUARTER] - part[0]);
    (all >= LEAST_CHANGE).then(|| quarters.fold(f64::MIN, f64::max) / all)
}

/// Pairs that are mixed, with the token read and the answers predicted.
struct Sides {
    token: AnswerToken,
    bases: Vec<Prompt>,
    sources: Vec<Prompt>,
    predicted: Vec<Answer>,
}

impl Sides {
    fn hook(at: At) -> HookAt {
        HookAt {
            at,
            layer: Layer::Named(Last::Last),
        }
    }

    /// The lead of the predicted token over the base's own, in logits.
    fn lead(&self, pair: usize, logits: &AnswerLogits) -> f64 {
        let row = logits.row(self.token);
        let of = |answer: &Answer| f64::from(row[usize::from(answer.get(self.token))]);
        of(&self.predicted[pair]) - of(&self.bases[pair].forced)
    }

    fn messages(&self, lab: &Lab, which: Which) -> Result<Messages, MapError> {
        let position = lab.shape().predicting(self.token);
        Ok(Messages {
            source: lab.read(which, &self.sources, Self::hook(At::Z), position)?,
            base: lab.read(which, &self.bases, Self::hook(At::Z), position)?,
        })
    }

    /// The logits at each share of the message: only the last MLP reads it.
    fn mixed(
        &self,
        lab: &Lab,
        which: Which,
        messages: &Messages,
        shares: &[f64],
    ) -> Result<Vec<Vec<AnswerLogits>>, MapError> {
        let engine = lab.engine_of(which);
        let (position, last) = (lab.shape().predicting(self.token), lab.last_layer());
        let run = engine.run(&self.bases)?;
        let nodes = heads(lab, last, position);
        let target = Target::Nodes(vec![mlp(lab, last, position)]);
        let width = lab.shape().d_head;
        shares
            .iter()
            .map(|&share| {
                let values: Vec<Vec<f32>> = (0..self.bases.len())
                    .map(|pair| messages.mixed(pair, share))
                    .collect();
                let jobs: Vec<(usize, PathPatch)> = (values.iter().enumerate())
                    .map(|(pair, values)| {
                        let of_heads = nodes.iter().copied().zip(values.chunks_exact(width));
                        (
                            pair,
                            PathPatch::new(of_heads, target.clone(), Scale::Frozen),
                        )
                    })
                    .collect();
                Ok(engine.patch_paths(&run, &jobs)?)
            })
            .collect()
    }

    /// As [`Sides::mixed`], with every hidden unit on or off as it is in the base question.
    fn linear(
        &self,
        lab: &Lab,
        which: Which,
        messages: &Messages,
        shares: &[f64],
    ) -> Result<Vec<Vec<AnswerLogits>>, MapError> {
        let engine = lab.engine_of(which);
        let weights = lab.weights_of(which);
        let (position, last) = (lab.shape().predicting(self.token), lab.last_layer());
        let name = |part: &str| format!("blocks.{last}.{part}");
        let into = matrix(weights, &name("mlp.W_in"), lab.shape().d_model);
        let hidden = lab.read(which, &self.bases, Self::hook(At::Pre), position)?;
        let mid = lab.read(which, &self.bases, Self::hook(At::ResidMid), position)?;
        let out = matrix(weights, &name("attn.W_O"), lab.shape().d_heads());
        let mut change = (&messages.source - &messages.base).dot(&out);
        let scale = vector(weights, &name("ln2.w"));
        for (mut change, mid) in change.rows_mut().into_iter().zip(mid.rows()) {
            let mean = change.mean().unwrap_or(0.0);
            let deviation = mid.std(0.0);
            change.mapv_inplace(|value| (value - mean) / deviation);
            change *= &scale;
        }
        let change = change.dot(&into);
        let run = engine.run(&self.bases)?;
        let site = mlp(lab, last, position).into();
        shares
            .iter()
            .map(|&share| {
                let values: Vec<Vec<f32>> = (hidden.rows().into_iter().zip(change.rows()))
                    .map(|(hidden, change)| {
                        let units = hidden.iter().zip(change);
                        let unit = |(&hidden, &change): (&f64, &f64)| match hidden > 0.0 {
                            true => (hidden + share * change) as f32,
                            false => 0.0,
                        };
                        units.map(unit).collect()
                    })
                    .collect();
                let jobs: Vec<(usize, Intervention)> = (values.iter().enumerate())
                    .map(|(pair, value)| {
                        let source = Source::Stored;
                        (
                            pair,
                            Intervention::new([Overwrite {
                                site,
                                source,
                                value,
                            }]),
                        )
                    })
                    .collect();
                Ok(engine.intervene(&run, &jobs, Decode::Forced)?)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_falls_into_a_quarter_and_a_ramp_spreads_over_all() {
        let ramp: Vec<f64> = (0..=PARTS).map(|part| 3.0 * part as f64).collect();
        assert!((steepest_quarter(&ramp).unwrap() - 0.25).abs() < 1e-12);
        let step: Vec<f64> = (0..=PARTS)
            .map(|part| if part < 6 { 0.0 } else { 9.0 })
            .collect();
        assert_eq!(steepest_quarter(&step), Some(1.0));
    }

    #[test]
    fn what_hardly_changes_has_no_shape() {
        assert_eq!(steepest_quarter(&[0.0; PARTS + 1]), None);
    }
}
