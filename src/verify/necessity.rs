//! Necessity: what mean-ablating a claim's nodes costs where its variable matters and where it does
//! not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{Prompt, Question};
use crate::domain::causal::needs;
use crate::domain::task::Variable;
use crate::experiment::stats::Count;
use crate::experiment::{Baseline, NodeSet};
use crate::network::engine::{Activations, Decode, Engine, EngineError, Intervention, Source};

/// Correctly answered questions ablated on each side.
pub(super) const QUESTIONS: usize = 128;

/// Accuracy with a claim's nodes mean-ablated, on questions the unpatched network answers
/// correctly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct Necessity {
    /// Still correct, among questions whose answer depends on the variable.
    pub needing: Count,
    /// Still correct, among questions whose answer does not.
    pub not_needing: Count,
}

impl Necessity {
    /// How much more accuracy is lost where the variable matters.
    pub fn drop(&self) -> f64 {
        self.not_needing.share() - self.needing.share()
    }
}

/// Mean-ablates each node set on questions that need its variable and on questions that do not.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn measure(
    engine: &Engine,
    means: &Activations,
    baseline: &Baseline,
    claims: &[(Variable, &NodeSet)],
) -> Result<Vec<Necessity>, EngineError> {
    let mut found = vec![Necessity::default(); claims.len()];
    let mut by_variable: BTreeMap<Variable, Vec<usize>> = BTreeMap::new();
    for (claim, (variable, _)) in claims.iter().enumerate() {
        by_variable.entry(*variable).or_default().push(claim);
    }
    for (variable, sharing) in by_variable {
        // Alternate between classes, so that each contributes.
        let longest = baseline.right.values().map(Vec::len).max().unwrap_or(0);
        let questions = (0..longest)
            .flat_map(|i| baseline.right.values().filter_map(move |all| all.get(i)))
            .copied();
        let (needing, not_needing): (Vec<Question>, Vec<Question>) =
            questions.partition(|question| needs(variable, question));
        let node_sets: Vec<&NodeSet> = sharing.iter().map(|&claim| claims[claim].1).collect();
        let needing = still_right(engine, means, &needing, &node_sets)?;
        let not_needing = still_right(engine, means, &not_needing, &node_sets)?;
        for (i, &claim) in sharing.iter().enumerate() {
            found[claim] = Necessity {
                needing: needing[i],
                not_needing: not_needing[i],
            };
        }
    }
    Ok(found)
}

/// Questions that stay correct with each node set ablated.
fn still_right(
    engine: &Engine,
    means: &Activations,
    questions: &[Question],
    node_sets: &[&NodeSet],
) -> Result<Vec<Count>, EngineError> {
    let prompts: Vec<Prompt> = questions
        .iter()
        .take(QUESTIONS)
        .map(|&question| Prompt::truth(question))
        .collect();
    let run = engine.run(&prompts)?;
    node_sets
        .iter()
        .map(|node_set| {
            let ablate = || {
                let nodes = node_set.nodes.iter();
                Intervention::new(nodes.map(|&n| means.overwrite(0, n, Source::Mean)))
            };
            let jobs: Vec<(usize, Intervention)> =
                (0..prompts.len()).map(|i| (i, ablate())).collect();
            let mut count = Count::default();
            let logits = engine.intervene(&run, &jobs, Decode::Forced)?;
            for (logits, prompt) in logits.iter().zip(&prompts) {
                count.add(logits.answer() == prompt.forced);
            }
            Ok(count)
        })
        .collect()
}
