//! Redraws and reruns the trials of each claim's node alone, from evidence.

use std::collections::BTreeMap;

use thiserror::Error;

use super::evidence::{ClaimEvidence, Evidence};
use super::phases::{AGAIN, ALONE};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::{Bench, Goal, Judgment, NodeSet, Reference, default_block, judge};
use crate::network::engine::{Engine, EngineError};

/// The trials of one claim.
pub struct Replayed<'a> {
    pub claim: &'a ClaimEvidence,
    /// Its judged trials, in drawing order; capped if there are very many.
    pub judgments: Vec<Judgment>,
}

/// A claim's index in the evidence, its node, and the error its trials may spend.
type Asked = (usize, Node, f64);

/// Why trials could not be rerun.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The rerun trials do not match the evidence.
    #[error(
        "{claim}: rerun trials differ from the evidence, which is from other weights or another version of circuitcheck"
    )]
    Differs {
        /// The claim.
        claim: String,
    },
}

/// Reruns the trials of every tested claim's node alone (same seed, same trials) and compares the
/// counts with the evidence. `progress` receives the number of variables done and the total.
///
/// # Errors
/// [`ReplayError`], at the first claim whose trials differ from the evidence.
pub fn replay<'a>(
    engine: &Engine,
    evidence: &'a Evidence,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Replayed<'a>>, ReplayError> {
    let protocol = &evidence.protocol;
    let shape = engine.shape();
    let mut by_variable: BTreeMap<(Variable, bool), Vec<Asked>> = BTreeMap::new();
    for (index, claim) in evidence.claims.iter().enumerate() {
        let Some(trials) = &claim.trials else {
            continue;
        };
        let task = claim.task.parse();
        if let (Ok(task), Ok(node)) = (task, claim.node.resolve(&shape)) {
            let digit = claim.digit;
            let asked =
                (by_variable.entry((Variable { task, digit }, trials.judged_again))).or_default();
            asked.push((index, node, trials.alpha));
        }
    }
    // A node alone needs no mean-ablation, so no means are read.
    let means = engine.activations(&[], [])?;
    let bench = Bench {
        engine,
        means: &means,
        decode: protocol.decode.of_verdicts(),
        reference: Reference::Truth,
        block: default_block(engine),
    };
    let mut found: BTreeMap<usize, Vec<Judgment>> = BTreeMap::new();
    let of = by_variable.len();
    for (done, ((variable, again), claims)) in by_variable.into_iter().enumerate() {
        progress(done, of);
        let rules = protocol.rules().with_alpha(claims[0].2);
        let node_sets: Vec<NodeSet> = claims.iter().map(|(_, n, _)| NodeSet::of([*n])).collect();
        let (goal, name) = if again {
            (Goal::Standing, AGAIN)
        } else {
            (Goal::Holds, ALONE)
        };
        let findings = judge(&bench, variable, node_sets, goal, rules, name)?;
        for ((index, ..), finding) in claims.iter().zip(findings) {
            let claim = &evidence.claims[*index];
            let stored = claim.trials.as_ref().map(|trials| &trials.alone);
            // Bounds are stored rounded, so compare the integer counts behind them.
            let counts = |measures: &crate::experiment::Measures| {
                let rates = measures
                    .interchange_accuracy
                    .values()
                    .chain([&measures.control_pairs]);
                let rates = rates.chain(measures.tokens.iter().map(|cell| &cell.moved));
                rates.map(|r| (r.hits, r.trials)).collect::<Vec<_>>()
            };
            if stored.map(counts) != Some(counts(&finding.measures)) {
                return Err(ReplayError::Differs {
                    claim: claim.claim.clone(),
                });
            }
            found.insert(*index, finding.kept);
        }
    }
    Ok(found
        .into_iter()
        .map(|(index, judgments)| Replayed {
            claim: &evidence.claims[index],
            judgments,
        })
        .collect())
}
