//! What the nodes that a map lists can do alone, against as many random nodes of the same kinds.

use serde::Deserialize;

use super::MapError;
use super::lab::Lab;
use super::measure::Row;
use crate::analysis::circuit::{NodeSet, Scoring, Workbench};
use crate::domain::arithmetic::Class;
use crate::network::ablation::Ablation;

/// Questions of each class, as published.
const QUESTIONS: usize = 300;

/// Random sets that the listed nodes are compared with.
const RANDOM_SETS: usize = 5;

/// The listed nodes kept at work, all others ablated. A row for each class.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeping {
    pub classes: Vec<Class>,
    pub ablation: Ablation,
    /// Which nodes are kept.
    #[serde(default)]
    pub kept: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Those that features.json and behaviors.json list.
    #[default]
    Listed,
    /// Those, and all heads and MLPs of the last layer.
    ListedAndLastLayer,
    /// Random sets of as many heads and MLPs as are listed.
    Random,
}

impl Keeping {
    /// Measures a row for each class.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab) -> Result<Vec<Row>, MapError> {
        let bench = Workbench::new(lab.engine, lab.baseline, QUESTIONS)?;
        let listed: NodeSet = lab.listed_nodes().into_iter().collect();
        if listed.is_empty() {
            return Err(MapError::NotApplicable(
                "no features.json or behaviors.json lists its nodes".into(),
            ));
        }
        let mut keep: NodeSet = listed.intersection(bench.nodes()).copied().collect();
        if self.kept == Kept::ListedAndLastLayer {
            let last = lab.last_layer();
            keep.extend(bench.nodes().iter().filter(|node| node.layer() == last));
        }
        let scoring = Scoring {
            random_sets: match self.kept {
                Kept::Random => RANDOM_SETS,
                _ => 0,
            },
            alpha: lab.options.alpha,
            seed: lab.options.seed,
        };
        let scores = bench.score(&keep, scoring, &mut |_, _| {})?;
        let scores: Vec<_> = (scores.into_iter())
            .filter(|score| score.ablation == self.ablation && self.classes.contains(&score.class))
            .collect();
        let alpha = lab.options.alpha / (2 * scores.len().max(1)) as f64;
        Ok(scores
            .iter()
            .map(|score| {
                let of = format!(
                    "{}, {} of {} nodes",
                    score.class,
                    keep.len(),
                    bench.nodes().len()
                );
                let count = match self.kept {
                    Kept::Random => score.random,
                    _ => score.right.count(),
                };
                Row::count(of, count, alpha)
            })
            .collect())
    }
}
