//! Which nodes a circuit does not need, which it lacks, and a small circuit that suffices.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{NodeSet, Workbench};
use crate::domain::node::{Node, NodeName};
use crate::experiment::stats::{Count, rounded};
use crate::experiment::stream;
use crate::network::engine::EngineError;

/// Questions of each class on which candidates are compared: choosing takes fewer than scoring.
const COMPARED_ON: usize = 24;

/// Candidates evaluated in each step of growth, the best of the last full evaluation first. Few
/// good ones are missed; a full evaluation of several hundred nodes would take minutes per step.
const LOOKED_AT: usize = 16;

/// Nodes left out, one at a time, in one pass over the questions: enough for shared work to be
/// cheap, few enough for progress to show.
const LEFT_OUT_TOGETHER: usize = 16;

/// The loss of a circuit without one node.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Minimality {
    pub node: NodeName,
    /// Correctly answered questions of all classes without it, all other nodes mean-ablated.
    pub right: Count,
    /// Share of questions lost compared with the whole circuit.
    #[serde(serialize_with = "rounded")]
    pub loss: f64,
}

/// One node added to a circuit.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Added {
    pub node: NodeName,
    /// Correctly answered questions of all classes with it, all other nodes mean-ablated.
    pub right: Count,
    /// The same with as many nodes added at random.
    pub random: Count,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Pruned {
    pub nodes: BTreeSet<NodeName>,
    /// Correctly answered questions of all classes, all other nodes mean-ablated.
    pub right: Count,
}

impl Workbench<'_> {
    pub(super) fn without(&self, keep: &NodeSet, node: Node) -> NodeSet {
        let mut rest = keep.clone();
        rest.remove(&node);
        rest
    }

    fn with(&self, keep: &NodeSet, node: Node) -> NodeSet {
        let mut more = keep.clone();
        more.insert(node);
        more
    }

    /// Candidates sorted by the loss that remains after `change` is made for each, smallest first.
    fn ranked(
        &self,
        candidates: &[Node],
        change: impl Fn(Node) -> NodeSet,
    ) -> Result<Vec<(Node, f64)>, EngineError> {
        let sets: Vec<NodeSet> = candidates.iter().map(|&node| change(node)).collect();
        let losses = self.losses(&sets.iter().collect::<Vec<_>>(), COMPARED_ON)?;
        let mut ranked: Vec<(Node, f64)> = candidates.iter().copied().zip(losses).collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        Ok(ranked)
    }
}

/// The loss of a circuit without each of its nodes, largest first. `progress` receives the number
/// of nodes left out and the total.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn minimality(
    bench: &Workbench,
    keep: &NodeSet,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Minimality>, EngineError> {
    let whole = bench.right(keep)?;
    let nodes: Vec<Node> = keep.iter().copied().collect();
    let mut found = Vec::with_capacity(nodes.len());
    for some in nodes.chunks(LEFT_OUT_TOGETHER) {
        progress(found.len(), nodes.len());
        let sets: Vec<NodeSet> = some.iter().map(|&node| bench.without(keep, node)).collect();
        let counts = bench.right_of_each(&sets.iter().collect::<Vec<_>>())?;
        found.extend(some.iter().zip(counts).map(|(node, right)| Minimality {
            node: node.name(),
            right,
            loss: whole.share() - right.share(),
        }));
    }
    found.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.node.cmp(&b.node)));
    Ok(found)
}

/// Repeatedly adds the node that lowers the loss most, until the share `until` of the questions is
/// answered correctly or `most` nodes were added; `progress` receives each addition.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn grow(
    bench: &Workbench,
    keep: &NodeSet,
    until: f64,
    most: usize,
    seed: u64,
    progress: &mut dyn FnMut(&Added),
) -> Result<Vec<Added>, EngineError> {
    let mut circuit = keep.clone();
    let mut added: Vec<Added> = Vec::new();
    let mut at_random: Vec<Node> = bench.nodes.difference(keep).copied().collect();
    at_random.shuffle(&mut stream(seed, "circuit/growth"));
    let mut queue: Vec<Node> = Vec::new();
    let mut right = bench.right(&circuit)?;
    while right.share() < until && added.len() < most && circuit.len() < bench.nodes.len() {
        if queue.len() < LOOKED_AT {
            let rest: Vec<Node> = bench.nodes.difference(&circuit).copied().collect();
            let ranked = bench.ranked(&rest, |node| bench.with(&circuit, node))?;
            queue = ranked
                .into_iter()
                .map(|(node, _)| node)
                .take(2 * LOOKED_AT)
                .collect();
        }
        let looked_at = &queue[..queue.len().min(LOOKED_AT)];
        let ranked = bench.ranked(looked_at, |node| bench.with(&circuit, node))?;
        let Some(&(node, _)) = ranked.first() else {
            break;
        };
        queue.retain(|&other| other != node);
        circuit.insert(node);
        let random = keep.iter().chain(at_random.iter().take(added.len() + 1));
        let random: NodeSet = random.copied().collect();
        let counts = bench.right_of_each(&[&circuit, &random])?;
        right = counts[0];
        let step = Added {
            node: node.name(),
            right,
            random: counts[1],
        };
        progress(&step);
        added.push(step);
    }
    Ok(added)
}

/// Tries each node once, the least important first, and leaves it out if the share `until` of the
/// questions is still answered correctly; `None` if it is not to begin with. The result is small,
/// but a smaller circuit may exist. `progress` receives the number of nodes tried and the total.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn prune(
    bench: &Workbench,
    keep: &NodeSet,
    until: f64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Pruned>, EngineError> {
    let mut circuit = keep.clone();
    let mut right = bench.right(&circuit)?;
    if right.share() < until {
        return Ok(None);
    }
    let nodes: Vec<Node> = circuit.iter().copied().collect();
    let ranked = bench.ranked(&nodes, |node| bench.without(&circuit, node))?;
    for (done, (node, _)) in ranked.into_iter().enumerate() {
        progress(done, nodes.len());
        let smaller = bench.without(&circuit, node);
        let found = bench.right(&smaller)?;
        if found.share() >= until {
            circuit = smaller;
            right = found;
        }
    }
    Ok(Some(Pruned {
        nodes: circuit.iter().map(Node::name).collect(),
        right,
    }))
}
