//! Which nodes a circuit could do without, which it lacks, and the smallest that suffices.

use serde::Serialize;

use super::{NodeSet, Workbench};
use crate::ablation::Ablation;
use crate::engine::EngineError;
use crate::node::Node;
use crate::stats::{Count, rounded};
use crate::verify::stream;

/// Questions of each class that candidates are compared on: a choice needs fewer than a score.
const COMPARED_ON: usize = 24;

/// Candidates looked at in each step of growth. The best of the last full look come first, so few
/// are missed; a full look at several hundred nodes would take minutes a step.
const LOOKED_AT: usize = 16;

/// What a circuit loses without one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Minimality {
    /// The node left out.
    pub node: Node,
    /// Questions of all classes right without it, others at their means.
    pub right: Count,
    /// Share lost against the whole circuit.
    #[serde(serialize_with = "rounded")]
    pub loss: f64,
}

/// One node added to a circuit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Added {
    /// The node.
    pub node: Node,
    /// Questions of all classes right with it, others at their means.
    pub right: Count,
    /// The same with as many nodes added at random.
    pub random: Count,
}

/// A circuit made smaller.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pruned {
    /// What is left.
    pub nodes: NodeSet,
    /// Questions of all classes right with it, others at their means.
    pub right: Count,
}

impl Workbench<'_> {
    /// Questions of all classes right with only `keep` at work, others at their means.
    pub fn right_in_all(&self, keep: &NodeSet) -> Result<Count, EngineError> {
        let mut all = Count::default();
        for questions in &self.classes {
            let found = self.right(questions, keep, Ablation::Mean)?;
            all.hits += found.hits;
            all.trials += found.trials;
        }
        Ok(all)
    }

    fn without(&self, keep: &NodeSet, node: Node) -> NodeSet {
        let mut rest = keep.clone();
        rest.remove(&node);
        rest
    }

    fn with(&self, keep: &NodeSet, node: Node) -> NodeSet {
        let mut more = keep.clone();
        more.insert(node);
        more
    }

    /// Candidates by the loss that each leaves when `change` is made for it, least first.
    fn ranked(
        &self,
        candidates: &[Node],
        change: impl Fn(Node) -> NodeSet,
    ) -> Result<Vec<(Node, f64)>, EngineError> {
        let mut ranked = candidates
            .iter()
            .map(|&node| Ok((node, self.loss(&change(node), COMPARED_ON)?)))
            .collect::<Result<Vec<_>, EngineError>>()?;
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        Ok(ranked)
    }
}

/// What a circuit loses without each of its nodes, the greatest loss first.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn minimality(bench: &Workbench, keep: &NodeSet) -> Result<Vec<Minimality>, EngineError> {
    let whole = bench.right_in_all(keep)?;
    let mut found = keep
        .iter()
        .map(|&node| {
            let right = bench.right_in_all(&bench.without(keep, node))?;
            Ok(Minimality {
                node,
                right,
                loss: whole.share() - right.share(),
            })
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    found.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.node.cmp(&b.node)));
    Ok(found)
}

/// Adds the node that lowers the loss most, again and again, until `until` of the questions are
/// right or `most` nodes were added; `progress` hears of each.
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
    use rand::seq::SliceRandom;
    let mut circuit = keep.clone();
    let mut added: Vec<Added> = Vec::new();
    let mut at_random: Vec<Node> = bench.nodes.difference(keep).copied().collect();
    at_random.shuffle(&mut stream(seed, "circuit/growth"));
    let mut queue: Vec<Node> = Vec::new();
    let mut right = bench.right_in_all(&circuit)?;
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
        right = bench.right_in_all(&circuit)?;
        let random = keep.iter().chain(at_random.iter().take(added.len() + 1));
        let step = Added {
            node,
            right,
            random: bench.right_in_all(&random.copied().collect())?,
        };
        progress(&step);
        added.push(step);
    }
    Ok(added)
}

/// Tries each node once, the least missed first, and leaves it out where `until` of the questions
/// stay right without it. What is left is small, and no node of it could be tried again for free; a
/// smaller set may exist.
///
/// # Errors
/// [`EngineError`] where an ablation was not applied.
pub fn prune(
    bench: &Workbench,
    keep: &NodeSet,
    until: f64,
    progress: &mut dyn FnMut(usize),
) -> Result<Pruned, EngineError> {
    let mut circuit = keep.clone();
    let nodes: Vec<Node> = circuit.iter().copied().collect();
    let ranked = bench.ranked(&nodes, |node| bench.without(&circuit, node))?;
    let mut right = bench.right_in_all(&circuit)?;
    for (node, _) in ranked {
        let smaller = bench.without(&circuit, node);
        let found = bench.right_in_all(&smaller)?;
        if found.share() >= until {
            circuit = smaller;
            right = found;
        }
        progress(circuit.len());
    }
    Ok(Pruned {
        nodes: circuit,
        right,
    })
}
