//! Whether each node of a circuit does more than a random one (C. Shi et al., "Hypothesis testing the
//! circuit hypothesis in LLMs", NeurIPS 2024): leaving a node out of the circuit is compared
//! with leaving a random node out of the circuit with random nodes added.

use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use super::criteria::TestBench;
use super::null_hypotheses::{Decision, distance};
use super::{NodeSet, Scoring};
use crate::domain::node::{Node, NodeName};
use crate::experiment::resampling::{drawn_p_value, holm, is_p_value};
use crate::experiment::stats::rounded;
use crate::experiment::{TIE_MARGIN, stream};
use crate::network::engine::EngineError;

/// Questions of each class on which nodes are left out.
const QUESTIONS: usize = 50;

/// Fewest and most random nodes that each node is compared with.
const RANDOM_NODES: (usize, usize) = (199, 1999);

/// The quantile of random nodes that a node of a minimal circuit reaches, as published.
pub const QUANTILE: f64 = 0.9;

/// The nodes of a circuit against random nodes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct MinimalityTest {
    /// Random nodes that each node is compared with.
    pub random_nodes: usize,
    /// The largest change first.
    pub nodes: Vec<NodeMinimality>,
    /// Shown where every node is needed, at the error for all of them (each null hypothesis must be
    /// rejected, so none needs a share); rejected where an adjusted p-value says of a node that it is
    /// not above the quantile of random nodes.
    pub decision: Decision,
}

/// One node of a circuit against random nodes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct NodeMinimality {
    pub node: NodeName,
    /// How much leaving it out changes the logit difference, as a mean of its size over questions.
    #[serde(serialize_with = "rounded")]
    pub change: f64,
    /// Random nodes whose change is smaller.
    pub above: usize,
    /// Of the null hypothesis that it is like a random node.
    #[serde(serialize_with = "rounded")]
    pub needed_p_value: f64,
    /// The same, adjusted for the number of nodes.
    #[serde(serialize_with = "rounded")]
    pub needed_adjusted: f64,
    /// Of the published null hypothesis that its change is above [`QUANTILE`] of random nodes', adjusted
    /// for the number of nodes.
    #[serde(serialize_with = "rounded")]
    pub minimal_adjusted: f64,
}

impl MinimalityTest {
    pub(super) fn is_possible(&self) -> bool {
        let node = |node: &NodeMinimality| {
            let p_values = [
                node.needed_p_value,
                node.needed_adjusted,
                node.minimal_adjusted,
            ];
            node.change >= 0.0
                && node.above <= self.random_nodes
                && p_values.into_iter().all(is_p_value)
        };
        !self.nodes.is_empty() && self.nodes.iter().all(node)
    }

    /// Compares the changes of nodes with those of random ones.
    fn of(changes: Vec<(NodeName, f64)>, random: &[f64], alpha: f64) -> Self {
        let below = |change: f64| random.iter().filter(|&&random| random < change).count();
        let above: Vec<usize> = changes.iter().map(|&(_, change)| below(change)).collect();
        let needed: Vec<f64> = (above.iter())
            .map(|&above| drawn_p_value(random.len() - above, random.len()))
            .collect();
        let reached = Binomial::new(QUANTILE, random.len() as u64).expect("a probability");
        let minimal: Vec<f64> = above
            .iter()
            .map(|&above| reached.cdf(above as u64))
            .collect();
        let (needed_adjusted, minimal_adjusted) = (holm(&needed), holm(&minimal));
        let mut nodes: Vec<NodeMinimality> = (changes.into_iter().enumerate())
            .map(|(i, (node, change))| NodeMinimality {
                node,
                change,
                above: above[i],
                needed_p_value: needed[i],
                needed_adjusted: needed_adjusted[i],
                minimal_adjusted: minimal_adjusted[i],
            })
            .collect();
        nodes.sort_by(|a, b| b.change.total_cmp(&a.change).then(a.node.cmp(&b.node)));
        let decision = if nodes.iter().any(|node| node.minimal_adjusted <= alpha) {
            Decision::Rejected
        } else if nodes.iter().all(|node| node.needed_p_value <= alpha) {
            Decision::Shown
        } else {
            Decision::Open
        };
        MinimalityTest {
            random_nodes: random.len(),
            nodes,
            decision,
        }
    }
}

impl TestBench<'_> {
    /// Compares each node of a circuit with random ones. `None` where there is no node to compare, in
    /// the circuit or outside, or no question.
    pub(super) fn minimality_test(
        &self,
        keep: &NodeSet,
        testing: Scoring,
    ) -> Result<Option<MinimalityTest>, EngineError> {
        let outside: Vec<Node> = self.nodes().difference(keep).copied().collect();
        let classes = &self.judging.classes;
        if keep.is_empty() || outside.is_empty() || classes.is_empty() {
            return Ok(None);
        }
        let (fewest, most) = RANDOM_NODES;
        // Half of the error must be within reach of a p-value.
        let draws = (2.0 / testing.alpha).ceil() as usize;
        let draws = draws.saturating_sub(1).clamp(fewest, most);
        let pairs = self.pairs(keep, &outside, draws, testing.seed);
        let sets: Vec<&NodeSet> = pairs
            .iter()
            .flat_map(|(with, without)| [with, without])
            .collect();
        let mut changes = vec![0.0; pairs.len()];
        for questions in classes {
            let found = self
                .judging
                .logit_differences(questions, &sets, QUESTIONS)?;
            for (change, pair) in changes.iter_mut().zip(found.chunks_exact(2)) {
                *change += distance(&pair[0], &pair[1]);
            }
        }
        for change in &mut changes {
            *change /= classes.len() as f64;
            if *change < f64::from(TIE_MARGIN) {
                *change = 0.0;
            }
        }
        let (own, random) = changes.split_at(keep.len());
        let own = keep
            .iter()
            .map(Node::name)
            .zip(own.iter().copied())
            .collect();
        Ok(Some(MinimalityTest::of(own, random, testing.alpha)))
    }

    /// The circuit with and without each of its nodes, and then, `draws` times, with a random number of
    /// random nodes added and without one of these.
    fn pairs(
        &self,
        keep: &NodeSet,
        outside: &[Node],
        draws: usize,
        seed: u64,
    ) -> Vec<(NodeSet, NodeSet)> {
        let own = keep
            .iter()
            .map(|&node| (keep.clone(), self.judging.without(keep, node)));
        let mut rng = stream(seed, "circuit/inflated");
        let mut outside = outside.to_vec();
        let random = (0..draws).map(|_| {
            outside.shuffle(&mut rng);
            let added = rng.random_range(1..=outside.len());
            let added = outside[..added].iter().copied();
            let inflated: NodeSet = keep.iter().copied().chain(added).collect();
            let without = self.judging.without(&inflated, outside[0]);
            (inflated, without)
        });
        own.chain(random).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(changes: &[f64], random: &[f64]) -> Decision {
        let names = (0..changes.len()).map(|i| format!("P{i}L0H0").parse().unwrap());
        let changes = names.zip(changes.iter().copied()).collect();
        MinimalityTest::of(changes, random, 0.01).decision
    }

    #[test]
    fn a_circuit_is_minimal_where_each_node_is_above_random_ones() {
        let idle = [0.0; 199];
        assert_eq!(decision(&[1.0, 0.5], &idle), Decision::Shown);
        assert_eq!(decision(&[1.0, 0.0], &idle), Decision::Rejected);
        // Above 190 of 199: neither like a random node nor shown to be above all.
        let mut some = idle;
        some[..9].fill(2.0);
        assert_eq!(decision(&[1.0], &some), Decision::Open);
    }
}
