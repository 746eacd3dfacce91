//! Distinguishes quantities that all hold for one node set, by the pairs of questions on which
//! their predictions differ.

use super::catalogue::{rank, shown_by};
use super::{Carried, CarrierSearch, QuantityScore};
use crate::domain::arithmetic::{Answer, TokenSet};
use crate::domain::causal::{Family, Kind, Pair, Quantity, Stratum};
use crate::experiment::{NodeSet, SourceFrom, stream};
use crate::network::engine::EngineError;

/// Counterfactual pairs drawn for each of two quantities, from which those with differing
/// predictions are taken.
const PAIRS: usize = 256;

/// Fewest differing pairs that can distinguish two quantities.
const FEWEST: usize = 8;

/// How two quantities compare where their predictions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranking {
    /// No difference on any token that the nodes can change.
    Same,
    /// The first is right more often.
    First,
    Second,
    /// Both are right equally often.
    Neither,
}

impl CarrierSearch<'_> {
    /// The quantities a node set represents, out of all that hold for it.
    pub(super) fn told_apart(
        &self,
        node_set: &NodeSet,
        held: &[&QuantityScore],
    ) -> Result<Vec<Carried>, EngineError> {
        let mut held = held.to_vec();
        held.sort_by_key(|score| (rank(score.quantity), score.quantity));
        let mut lost_to: Vec<Option<usize>> = vec![None; held.len()];
        let mut same_as: Vec<Option<usize>> = vec![None; held.len()];
        for second in 0..held.len() {
            for first in 0..second {
                match self.relation(node_set, held[first], held[second])? {
                    Ranking::Same if same_as[first].is_none() => {
                        same_as[second].get_or_insert(first);
                    }
                    Ranking::First => lost_to[second] = Some(first),
                    Ranking::Second => lost_to[first] = Some(second),
                    Ranking::Same | Ranking::Neither => {}
                }
            }
        }
        let of = |list: &[Option<usize>], kept: usize| -> Vec<Quantity> {
            (0..held.len())
                .filter(|&i| list[i] == Some(kept))
                .map(|i| held[i].quantity)
                .collect()
        };
        Ok((0..held.len())
            .filter(|&i| lost_to[i].is_none() && same_as[i].is_none())
            .map(|i| Carried {
                quantity: held[i].quantity,
                same_here: of(&same_as, i),
                contains: of(&lost_to, i),
            })
            .collect())
    }

    fn relation(
        &self,
        node_set: &NodeSet,
        first: &QuantityScore,
        second: &QuantityScore,
    ) -> Result<Ranking, EngineError> {
        let quantities = [first.quantity, second.quantity];
        let share_a_class = quantities[0]
            .classes()
            .iter()
            .any(|class| quantities[1].classes().contains(class));
        if !share_a_class || quantities.iter().any(Quantity::predicts_only_direction) {
            return Ok(Ranking::Neither);
        }
        let shown = shown_by(&node_set.nodes, &self.engine.shape());
        let affected_tokens = first
            .affected_tokens
            .union(second.affected_tokens)
            .intersection(shown);
        let pairs = self.where_they_differ(quantities, affected_tokens);
        if pairs.len() < FEWEST {
            return Ok(Ranking::Same);
        }
        let mut right = [0u32; 2];
        let node_sets = std::slice::from_ref(node_set);
        (self.bench()).run(
            quantities[0],
            &pairs,
            SourceFrom::Source,
            node_sets,
            |block| {
                for (trial, outcome) in block.trials.iter().zip(block.outcomes[0].iter().flatten())
                {
                    for (right, quantity) in right.iter_mut().zip(quantities) {
                        let predicted = quantity.predict(&trial.pair.source, &trial.pair.base);
                        let is_right = predicted
                            .is_some_and(|answer| agree(&answer, &outcome.answer, affected_tokens));
                        *right += u32::from(is_right);
                    }
                }
            },
        )?;
        Ok(match right[0].cmp(&right[1]) {
            std::cmp::Ordering::Greater => Ranking::First,
            std::cmp::Ordering::Less => Ranking::Second,
            std::cmp::Ordering::Equal => Ranking::Neither,
        })
    }

    /// Counterfactual pairs of either quantity on which both make a prediction, and the predictions
    /// differ.
    fn where_they_differ(
        &self,
        quantities: [Quantity; 2],
        affected_tokens: TokenSet,
    ) -> Vec<(Stratum, Pair)> {
        let n_digits = self.engine.shape().n_digits;
        let drawn = quantities.map(|quantity| {
            let family = Family::new(quantity, Kind::Counterfactual, n_digits);
            let mut rng = stream(self.options.seed, &format!("{quantity}/telling/apart"));
            family.draws().take(PAIRS, &mut rng)
        });
        let mut pairs = drawn.concat();
        pairs.retain(|(_, pair)| {
            let [first, second] = quantities.map(|q| q.predict(&pair.source, &pair.base));
            match (first, second) {
                (Some(first), Some(second)) => !agree(&first, &second, affected_tokens),
                _ => false,
            }
        });
        pairs
    }
}

/// Whether two answers are equal on the affected tokens.
fn agree(first: &Answer, second: &Answer, affected_tokens: TokenSet) -> bool {
    (first.changed_from(second).intersection(affected_tokens)).is_empty()
}
