//! Measures, question by question, whether nodes attend where claims about attention say they do.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::published_test::attention_row;
use crate::domain::arithmetic::Prompt;
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};
use crate::experiment::stats::{Count, Rate};
use crate::experiment::{Baseline, NEGLIGIBLE};
use crate::network::engine::{Engine, EngineError};

/// Correctly answered questions per class on which attention is measured.
pub(super) const QUESTIONS: usize = 256;

/// Minimum share of a head's attention for the published files to list a source position.
const NAMED: f32 = 0.01;

/// How often a node attends as its claim says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attends {
    /// Questions in which it gives at least 1 % of its attention to a position that the task is
    /// about.
    pub rate: Rate,
}

impl Attends {
    /// Whether it attends in more than a negligible share of questions.
    pub fn is_shown(self) -> bool {
        self.rate.lower > NEGLIGIBLE
    }

    /// Whether it attends in only a negligible share of questions.
    pub fn is_refuted(self) -> bool {
        self.rate.upper <= NEGLIGIBLE
    }
}

/// The positions of which a claim of this task says that the node attends to at least one. Empty
/// for tasks that are not about attention.
pub fn attended_positions(task: Task, shape: &Shape) -> Vec<usize> {
    match task {
        Task::Opr => vec![shape.operator()],
        Task::Sgn => vec![shape.sign()],
        Task::Slt => vec![shape.operator(), shape.sign()],
        _ => Vec::new(),
    }
}

/// Measures the attention of the nodes of every claim about attention. `alpha` is the error of one
/// claim, in each direction. An MLP attends to nothing.
///
/// # Errors
/// [`EngineError`], which does not occur for questions drawn for this model.
pub fn measure(
    engine: &Engine,
    baseline: &Baseline,
    claims: impl Iterator<Item = (Node, Variable)>,
    alpha: f64,
) -> Result<BTreeMap<(Node, Task), Attends>, EngineError> {
    let shape = engine.shape();
    let mut counts: BTreeMap<(Node, Task), Count> = claims
        .map(|(node, variable)| (node, variable.task))
        .filter(|(_, task)| !attended_positions(*task, &shape).is_empty())
        .map(|claim| (claim, Count::default()))
        .collect();
    if counts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let prompts: Vec<Prompt> = (baseline.right.values())
        .flat_map(|right| right.iter().take(QUESTIONS))
        .map(|&question| Prompt::truth(question))
        .collect();
    let asked: Vec<(Node, Task)> = counts.keys().copied().collect();
    let attends = |prompt: &Prompt| -> Result<Vec<bool>, EngineError> {
        let patterns = engine.mean_attention(std::slice::from_ref(prompt))?;
        let named = |&(node, task): &(Node, Task)| {
            let row = attention_row(engine, &patterns, node);
            let positions = attended_positions(task, &shape);
            row.is_some_and(|row| positions.iter().any(|&position| row[position] >= NAMED))
        };
        Ok(asked.iter().map(named).collect())
    };
    let found: Vec<Vec<bool>> = prompts.par_iter().map(attends).collect::<Result<_, _>>()?;
    for attended in found {
        for (count, attends) in counts.values_mut().zip(attended) {
            count.add(attends);
        }
    }
    let rate = |(claim, count)| {
        let rate = Rate::sampled(count, alpha);
        (claim, Attends { rate })
    };
    Ok(counts.into_iter().map(rate).collect())
}
