//! The changes from one list of claims to another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::inputs::claims::{TaggedNode, claims_of};

/// The changes from one list of claims to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub kept: usize,
    /// Claims only in the second list, as `P9L0H1 A2.ST`.
    pub gained: Vec<String>,
    /// Claims only in the first list.
    pub lost: Vec<String>,
    /// Variables in both lists, but on disjoint sets of nodes.
    pub moved: Vec<Moved>,
}

/// A variable that is claimed for other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub variable: Variable,
    /// The nodes in the first list.
    pub from: Vec<NodeName>,
    /// The nodes in the second list.
    pub to: Vec<NodeName>,
}

impl Changes {
    /// The changes from one claims file to another; tags without a known task are skipped.
    pub fn between(before: &[TaggedNode], after: &[TaggedNode]) -> Self {
        let (before, after) = (by_variable(before), by_variable(after));
        let variables: BTreeSet<Variable> = before.keys().chain(after.keys()).copied().collect();
        let mut changes = Changes::default();
        let none = BTreeSet::new();
        for variable in variables {
            let from = before.get(&variable).unwrap_or(&none);
            let to = after.get(&variable).unwrap_or(&none);
            let kept = from.intersection(to).count();
            changes.kept += kept;
            if kept == 0 && !from.is_empty() && !to.is_empty() {
                changes.moved.push(Moved {
                    variable,
                    from: from.iter().copied().collect(),
                    to: to.iter().copied().collect(),
                });
                continue;
            }
            let named = |node: &NodeName| format!("{node} {variable}");
            changes.gained.extend(to.difference(from).map(named));
            changes.lost.extend(from.difference(to).map(named));
        }
        changes
    }
}

fn by_variable(nodes: &[TaggedNode]) -> BTreeMap<Variable, BTreeSet<NodeName>> {
    let mut found: BTreeMap<Variable, BTreeSet<NodeName>> = BTreeMap::new();
    for claim in claims_of(nodes) {
        if let Ok(variable) = claim.variable {
            found.entry(variable).or_default().insert(claim.node);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::claims::read_tagged_nodes;
    use crate::inputs::claims::write_claims;

    fn claims(list: &[(&str, &str)]) -> Vec<TaggedNode> {
        let claims: Vec<(NodeName, Variable)> = list
            .iter()
            .map(|(node, variable)| {
                let claim = crate::inputs::claims::Claim::parse(node.parse().unwrap(), variable);
                (claim.node, claim.variable.unwrap())
            })
            .collect();
        read_tagged_nodes("claims", write_claims(&claims).as_bytes()).unwrap()
    }

    #[test]
    fn claims_are_kept_gained_lost_or_moved() {
        let before = claims(&[
            ("P9L0H1", "A2.ST"),
            ("P9L0H2", "A1.ST"),
            ("P15L0H1", "A2.SA"),
            ("P16L0H1", "A1.SA"),
        ]);
        let after = claims(&[
            ("P9L0H1", "A2.ST"),
            ("P8L0H2", "A2.ST"),
            ("P11L0H1", "A1.ST"),
            ("P16L0H1", "A1.SA"),
            ("P17L0H1", "A0.SA"),
        ]);
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.kept, 2);
        assert_eq!(changes.gained, ["P17L0H1 A0.SA", "P8L0H2 A2.ST"]);
        assert_eq!(changes.lost, ["P15L0H1 A2.SA"]);
        let [moved] = &changes.moved[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(moved.variable.to_string(), "A1.ST");
        assert_eq!(moved.from, ["P9L0H2".parse().unwrap()]);
        assert_eq!(moved.to, ["P11L0H1".parse().unwrap()]);
    }
}
