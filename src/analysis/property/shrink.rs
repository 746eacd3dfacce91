//! Shrinks many failing cases in lock-step: each step runs one simpler case of every tree, all in
//! one batch.

use std::collections::HashMap;

use proptest::strategy::ValueTree;

use super::Property;
use super::case::Case;
use super::tree::CaseTree;
use super::trial::Examiner;
use crate::network::engine::EngineError;

/// Shrinks failing cases as far as their trees allow, and returns them in the same order. A case
/// reached by several trees is run once.
///
/// # Errors
/// [`EngineError`], which does not occur for questions made for this model.
pub fn shrink(
    examiner: &Examiner,
    property: &Property,
    mut trees: Vec<CaseTree>,
) -> Result<Vec<Case>, EngineError> {
    let mut known: HashMap<Case, bool> = HashMap::new();
    let mut best: Vec<Case> = trees.iter().map(ValueTree::current).collect();
    let mut growing: Vec<bool> = trees.iter_mut().map(CaseTree::simplify).collect();
    while growing.contains(&true) {
        let mut batch: Vec<Case> = Vec::new();
        for i in 0..trees.len() {
            while growing[i] {
                let case = trees[i].case();
                let Some(&fails) = known.get(case) else {
                    batch.push(case.clone());
                    break;
                };
                if fails {
                    best[i] = case.clone();
                }
                growing[i] = match fails {
                    true => trees[i].simplify(),
                    false => trees[i].complicate(),
                };
            }
        }
        batch.sort();
        batch.dedup();
        examiner.examine(property, &batch, |i, tried| {
            known.insert(batch[i].clone(), tried.outcome.fails());
        })?;
    }
    Ok(best)
}
