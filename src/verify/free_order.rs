//! Claims about the order of the operands, free-running: the flipped sign is then part of the input
//! that the digits after it are predicted from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::causal::{Family, Kind, Stratum};
use crate::domain::task::Variable;
use crate::experiment::{AffectedTokens, AfterSign, Bench, NodeSet, SourceFrom, Terms, stream};
use crate::network::engine::EngineError;

/// Pairs on which the sign is read.
const PAIRS: usize = 128;

/// The effect of patching when the model reads its own tokens, on pairs in which the sign is
/// predicted to flip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub struct FreeOrder {
    /// Pairs that the unpatched model answers correctly.
    pub trials: u64,
    /// Of these, pairs in which the sign flipped.
    pub turned: u64,
    /// Of those, pairs in which every digit after it is that of the other sign.
    pub whole: u64,
}

/// For each claim that predicts a flipped sign, the effect of patching its nodes; `bench` decodes
/// free-running.
///
/// # Errors
/// [`EngineError`] where an intervention was not applied.
pub fn measure(
    bench: &Bench,
    seed: u64,
    claims: &[(Variable, &NodeSet)],
) -> Result<Vec<Option<FreeOrder>>, EngineError> {
    let n_digits = bench.engine.shape().n_digits;
    let mut found = vec![None; claims.len()];
    let mut by_variable: BTreeMap<Variable, Vec<usize>> = BTreeMap::new();
    for (claim, (variable, _)) in claims.iter().enumerate() {
        by_variable.entry(*variable).or_default().push(claim);
    }
    for (variable, sharing) in by_variable {
        let family = Family::new(variable, Kind::Counterfactual, n_digits);
        if !family.strata().contains(&Stratum::Order) {
            continue;
        }
        let turning = family.restricted_to(|stratum| stratum == Stratum::Order);
        let mut rng = stream(seed, &format!("{variable}/telling/free"));
        let pairs = turning.draws().take(PAIRS, &mut rng);
        let node_sets: Vec<NodeSet> = (sharing.iter())
            .map(|&claim| claims[claim].1.clone())
            .collect();
        let terms = Terms::new(variable, AffectedTokens::everything(n_digits));
        let mut read = vec![(FreeOrder::default(), AfterSign::default()); node_sets.len()];
        bench.run(variable, &pairs, SourceFrom::Source, &node_sets, |block| {
            for ((order, after), outcomes) in read.iter_mut().zip(&block.outcomes) {
                for (trial, outcome) in block.trials.iter().zip(outcomes) {
                    let Some(outcome) = outcome else { continue };
                    order.trials += 1;
                    if trial.judge(outcome, &terms).moved {
                        after.add(trial, &outcome.answer);
                    }
                }
            }
        })?;
        for (&claim, (order, after)) in sharing.iter().zip(read) {
            found[claim] = Some(FreeOrder {
                turned: after.turned,
                whole: after.follow_order,
                ..order
            });
        }
    }
    Ok(found)
}

impl std::fmt::Display for FreeOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "free-running, the sign flips in {} of {} trials, and all digits follow it in {}",
            self.turned, self.trials, self.whole
        )
    }
}
