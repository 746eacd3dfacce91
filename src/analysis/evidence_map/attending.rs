//! Attention that moves with a carry: what the heads where a digit is predicted attend to in pairs of
//! questions that differ in the deciding column alone.

use serde::Deserialize;

use super::MapError;
use super::lab::{Lab, Which, pattern_of};
use super::measure::Row;
use super::patching::{additions, heads, label, stimuli};
use crate::analysis::hypothesis::Digits;
use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::causal::{Coupling, Kind, Pair, Stimulus, StimulusName};
use crate::domain::node::Node;
use crate::experiment::stats::{Bounds, Count, Errors, mean_bounds};

/// Pairs of one row, of each kind.
const PAIRS: usize = 512;

/// Pairs of each kind on which the head is found. The rows are measured on others.
const SEARCH_PAIRS: usize = 64;

/// What is reported of a head's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attended {
    /// The share of pairs that differ in the carry in which the most attended position is another.
    TopMoves,
    /// The attention that moves to other positions where the carry differs, less that which moves where
    /// it does not: the difference of two mean total variations.
    Shift,
}

/// Attention with and without a carry. A row for each class, column and depth, of the head of any layer
/// that moves most.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attending {
    pub stimulus: StimulusName,
    #[serde(default = "additions")]
    pub classes: Vec<Class>,
    pub digits: Digits,
    pub depths: Option<Digits>,
    pub report: Attended,
    #[serde(default)]
    pub which: Which,
}

/// A head's attention in the two questions of some pairs.
struct Patterns {
    pairs: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Patterns {
    /// Of each pair, the attention that has moved, 0 to 1.
    fn shifts(&self) -> Vec<f64> {
        let shift = |(source, base): &(Vec<f32>, Vec<f32>)| {
            let moved = source
                .iter()
                .zip(base)
                .map(|(s, b)| f64::from((s - b).abs()));
            (moved.sum::<f64>() / 2.0).min(1.0)
        };
        self.pairs.iter().map(shift).collect()
    }

    fn top_moves(&self) -> Count {
        let top = |row: &[f32]| (0..row.len()).max_by(|&i, &j| row[i].total_cmp(&row[j]));
        let mut count = Count::default();
        for (source, base) in &self.pairs {
            count.add(top(source) != top(base));
        }
        count
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Attending {
    /// Measures every row.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let depths = self.depths.as_ref();
        let all = stimuli(lab, self.stimulus, &self.classes, &self.digits, depths);
        let alpha = lab.options.alpha / (2 * all.len().max(1)) as f64;
        let mut rows = Vec::new();
        for stimulus in &all {
            rows.extend(self.row(lab, stimulus, alpha, name)?);
        }
        Ok(rows)
    }

    fn row(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        alpha: f64,
        name: &str,
    ) -> Result<Option<Row>, MapError> {
        let [differing, alike] = [Kind::Counterfactual, Kind::Control];
        // The stream does not name the measurement, so that all find the same head.
        let search = "search/attention";
        let found = self.pairs(lab, stimulus, differing, SEARCH_PAIRS, search)?;
        let placebo = self.pairs(lab, stimulus, alike, SEARCH_PAIRS, search)?;
        let judged = self.pairs(lab, stimulus, differing, PAIRS, name)?;
        let controls = self.pairs(lab, stimulus, alike, PAIRS, name)?;
        if [&found, &placebo, &judged, &controls]
            .iter()
            .any(|pairs| pairs.len() < 2)
        {
            return Ok(None);
        }
        let position = lab.shape().predicting(stimulus.reads());
        let candidates: Vec<Node> = (0..lab.shape().n_layers)
            .flat_map(|layer| heads(lab, layer, position))
            .collect();
        let moved = self.patterns(lab, &candidates, &found)?;
        let still = self.patterns(lab, &candidates, &placebo)?;
        let mut best: Option<(f64, Node)> = None;
        for (head, (moved, still)) in candidates.into_iter().zip(moved.iter().zip(&still)) {
            let excess = mean(&moved.shifts()) - mean(&still.shifts());
            if best.is_none_or(|(most, _)| excess > most) {
                best = Some((excess, head));
            }
        }
        let (_, head) = best.expect("every layer has a head");
        let of_head = |pairs: &[Pair]| {
            let mut patterns = self.patterns(lab, &[head], pairs)?;
            Ok::<Patterns, MapError>(patterns.pop().expect("one head was asked for"))
        };
        let of = format!("{}: {}", label(stimulus), head.name());
        let moved = of_head(&judged)?;
        Ok(Some(match self.report {
            Attended::TopMoves => Row::count(of, moved.top_moves(), alpha),
            Attended::Shift => {
                let controls = of_head(&controls)?;
                let (moved, still) = (moved.shifts(), controls.shifts());
                let errors = Errors::even(alpha / 2.0);
                let (upper, lower) = (mean_bounds(&moved, errors), mean_bounds(&still, errors));
                let bounds = Bounds {
                    lower: upper.lower - lower.upper,
                    upper: upper.upper - lower.lower,
                };
                Row::bounded(of, mean(&moved) - mean(&still), bounds, moved.len() as u64)
            }
        }))
    }

    /// Pairs that differ in the deciding column alone, both answered correctly.
    fn pairs(
        &self,
        lab: &Lab,
        stimulus: &Stimulus,
        kind: Kind,
        count: usize,
        name: &str,
    ) -> Result<Vec<Pair>, MapError> {
        let mut rng = lab.stream(&format!("{name}/{}/{kind:?}", label(stimulus)));
        let n_digits = lab.shape().n_digits;
        let drawn = stimulus.pairs(kind, Coupling::Twin, n_digits, count, &mut rng);
        Ok(lab.answered(self.which, stimulus.reads(), drawn)?)
    }

    /// The attention of each of some heads.
    fn patterns(
        &self,
        lab: &Lab,
        heads: &[Node],
        pairs: &[Pair],
    ) -> Result<Vec<Patterns>, MapError> {
        let prompts: Vec<Prompt> = (pairs.iter())
            .flat_map(|pair| [pair.source, Prompt::truth(pair.base)])
            .collect();
        let engine = lab.engine_of(self.which);
        let read = engine.activations(&prompts, heads.iter().map(pattern_of))?;
        let of_head = |head: &Node| {
            let row = |prompt: usize| read.get(prompt, pattern_of(head)).to_vec();
            let of_pair = |pair: usize| (row(2 * pair), row(2 * pair + 1));
            Patterns {
                pairs: (0..pairs.len()).map(of_pair).collect(),
            }
        };
        Ok(heads.iter().map(of_head).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_that_moves_half_its_mass_has_a_shift_of_a_half() {
        let patterns = Patterns {
            pairs: vec![
                (vec![0.5, 0.5, 0.0], vec![0.0, 0.5, 0.5]),
                (vec![0.2, 0.8, 0.0], vec![0.2, 0.8, 0.0]),
            ],
        };
        assert_eq!(patterns.shifts(), [0.5, 0.0]);
        let moves = patterns.top_moves();
        assert_eq!((moves.hits, moves.trials), (1, 2));
    }
}
