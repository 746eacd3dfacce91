//! Which node sets within one layer are worth trying, and which of those that represent something
//! add to their subsets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Carrier, Screened};
use crate::domain::causal::Quantity;
use crate::domain::node::{Node, NodeName};
use crate::experiment::NodeSet;

/// A node moves a quantity in part if at least this share of screening trials moves some token as
/// predicted.
const IN_PART: f64 = 0.15;

/// Most nodes of a set across positions.
const MOST_NODES: usize = 4;

/// Most sets across positions per useful head.
const SETS_PER_NODE: usize = 4;

/// Heads of one layer and position: every two of them, and all.
pub(super) fn beside_each_other(nodes: &[Node]) -> Vec<NodeSet> {
    let mut places: BTreeMap<(usize, usize), Vec<Node>> = BTreeMap::new();
    for &node in nodes.iter().filter(|node| node.head().is_some()) {
        let heads = places.entry((node.position(), node.layer())).or_default();
        heads.push(node);
    }
    let mut found = BTreeSet::new();
    for heads in places.values() {
        for (i, &first) in heads.iter().enumerate() {
            found.extend(
                heads[i + 1..]
                    .iter()
                    .map(|&other| NodeSet::of([first, other])),
            );
        }
        if heads.len() > 2 {
            found.insert(NodeSet::of(heads.iter().copied()));
        }
    }
    found.into_iter().collect()
}

/// The largest possible number of sets across positions.
pub(super) fn most_across(nodes: &[Node]) -> usize {
    SETS_PER_NODE * nodes.iter().filter(|node| node.head().is_some()).count()
}

/// Sets of heads of one layer at different positions that each move one quantity in part: for each
/// quantity and layer, all subsets of the [`MOST_NODES`] heads that move it most. At most `most`
/// sets, preferring those whose weakest member moves it most.
pub(super) fn across(
    catalogue: &[Quantity],
    node_sets: &[NodeSet],
    carriers: &[Carrier],
    screened: &Screened,
    most: usize,
) -> Vec<NodeSet> {
    let mut partial: BTreeMap<(usize, usize), Vec<(f64, Node)>> = BTreeMap::new();
    for (&(quantity, node_set), &share) in screened {
        let [node] = node_sets[node_set].nodes[..] else {
            continue;
        };
        let holds = carriers[node_set]
            .scores
            .iter()
            .any(|score| score.holds && score.quantity == catalogue[quantity]);
        if node.head().is_some() && share >= IN_PART && !holds {
            let of = partial.entry((quantity, node.layer())).or_default();
            of.push((share, node));
        }
    }
    let mut proposed: Vec<(f64, NodeSet)> = Vec::new();
    for mut parts in partial.into_values() {
        parts.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        parts.truncate(MOST_NODES);
        for chosen in 0u32..1 << parts.len() {
            let set: Vec<(f64, Node)> = (0..parts.len())
                .filter(|i| chosen >> i & 1 == 1)
                .map(|i| parts[i])
                .collect();
            // Members are sorted by how much they move, so the last is the weakest.
            if let [_, .., (weakest, _)] = set[..] {
                proposed.push((weakest, NodeSet::of(set.iter().map(|&(_, node)| node))));
            }
        }
    }
    proposed.retain(|(_, set)| !node_sets.contains(set));
    proposed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut seen = BTreeSet::new();
    proposed.retain(|(_, set)| seen.insert(set.clone()));
    proposed.truncate(most);
    proposed.into_iter().map(|(_, set)| set).collect()
}

/// All single nodes, and the sets that represent something no smaller set within them represents.
pub(super) fn that_add_something(mut carriers: Vec<Carrier>) -> Vec<Carrier> {
    carriers.sort_by(|a, b| {
        let by_size = a.nodes.len().cmp(&b.nodes.len());
        by_size.then_with(|| a.nodes.cmp(&b.nodes))
    });
    let mut kept: Vec<Carrier> = Vec::new();
    for mut carrier in carriers {
        let inside = |smaller: &&Carrier| is_part(&smaller.nodes, &carrier.nodes);
        let known: BTreeSet<Quantity> = (kept.iter().filter(inside))
            .flat_map(|smaller| smaller.scores.iter().filter(|score| score.holds))
            .map(|score| score.quantity)
            .collect();
        if carrier.nodes.len() > 1 {
            (carrier.carries).retain(|carried| !known.contains(&carried.quantity));
        }
        if carrier.nodes.len() == 1 || !carrier.is_none() {
            kept.push(carrier);
        }
    }
    kept
}

fn is_part(smaller: &[NodeName], larger: &[NodeName]) -> bool {
    smaller.len() < larger.len() && smaller.iter().all(|node| larger.contains(node))
}
