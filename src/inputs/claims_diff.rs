//! What differs between two claims or behaviours files, node by node and tag by tag.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::claims::{Tag, TaggedNode};
use crate::domain::node::NodeName;

/// Which of two files list a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    Both,
    First,
    Second,
}

/// A node of which two files say different things.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeDifference {
    pub node: NodeName,
    pub listed: Presence,
    /// Tags that the first file alone has, in its order.
    #[serde(serialize_with = "texts")]
    pub first: Vec<Tag>,
    /// Tags that the second file alone has, in its order.
    #[serde(serialize_with = "texts")]
    pub second: Vec<Tag>,
    /// Whether the tags that both have stand in another order.
    pub reordered: bool,
    /// Keys other than the known ones whose values differ.
    pub keys: BTreeSet<String>,
}

fn texts<S: Serializer>(tags: &[Tag], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tags.iter().map(ToString::to_string))
}

/// All that differs between two files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub nodes: Vec<NodeDifference>,
    /// Whether the nodes that both list stand in another order.
    pub reordered: bool,
}

impl Difference {
    pub fn between(first: &[TaggedNode], second: &[TaggedNode]) -> Self {
        let firsts: BTreeMap<NodeName, &TaggedNode> = by_name(first);
        let seconds: BTreeMap<NodeName, &TaggedNode> = by_name(second);
        let names: BTreeSet<NodeName> = firsts.keys().chain(seconds.keys()).copied().collect();
        let nodes = names
            .into_iter()
            .filter_map(|name| {
                let found = compare(
                    name,
                    firsts.get(&name).copied(),
                    seconds.get(&name).copied(),
                );
                found.differs().then_some(found)
            })
            .collect();
        let order = |nodes: &[TaggedNode], other: &BTreeMap<NodeName, &TaggedNode>| {
            let names = nodes.iter().map(|tagged| tagged.node);
            names
                .filter(|name| other.contains_key(name))
                .collect::<Vec<_>>()
        };
        Difference {
            nodes,
            reordered: order(first, &seconds) != order(second, &firsts),
        }
    }

    /// Whether the files say the same, in the same order.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.reordered
    }
}

fn by_name(nodes: &[TaggedNode]) -> BTreeMap<NodeName, &TaggedNode> {
    nodes.iter().map(|tagged| (tagged.node, tagged)).collect()
}

impl NodeDifference {
    fn differs(&self) -> bool {
        self.listed != Presence::Both
            || !self.first.is_empty()
            || !self.second.is_empty()
            || self.reordered
            || !self.keys.is_empty()
    }
}

fn compare(
    node: NodeName,
    first: Option<&TaggedNode>,
    second: Option<&TaggedNode>,
) -> NodeDifference {
    let tags = |tagged: Option<&TaggedNode>| tagged.map_or(Vec::new(), |t| t.tags.clone());
    let (first_tags, second_tags) = (tags(first), tags(second));
    // A tag given twice counts twice.
    let without = |tags: &[Tag], other: &[Tag]| -> (Vec<Tag>, Vec<Tag>) {
        let mut left = other.to_vec();
        tags.iter().cloned().partition(|tag| {
            let at = left.iter().position(|other| other == tag);
            at.map(|at| left.remove(at)).is_none()
        })
    };
    let (only_first, shared_first) = without(&first_tags, &second_tags);
    let (only_second, shared_second) = without(&second_tags, &first_tags);
    let keys = match (first, second) {
        (Some(first), Some(second)) => (first.extra.keys())
            .chain(second.extra.keys())
            .filter(|key| first.extra.get(*key) != second.extra.get(*key))
            .cloned()
            .collect(),
        _ => BTreeSet::new(),
    };
    NodeDifference {
        node,
        listed: match (first, second) {
            (Some(_), None) => Presence::First,
            (None, Some(_)) => Presence::Second,
            _ => Presence::Both,
        },
        first: only_first,
        second: only_second,
        reordered: shared_first != shared_second,
        keys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::claims::read_tagged_nodes;

    fn file(entries: &[(usize, &str, &str)]) -> Vec<TaggedNode> {
        let entries: Vec<String> = entries
            .iter()
            .map(|(position, tags, more)| {
                format!(
                    r#"{{"position":{position},"layer":0,"is_head":true,"num":1,"tags":[{tags}]{more}}}"#
                )
            })
            .collect();
        read_tagged_nodes("file", format!("[{}]", entries.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn a_file_does_not_differ_from_itself() {
        let nodes = file(&[(9, r#""Fail%:3","Impact:A5""#, ""), (10, "", "")]);
        assert!(Difference::between(&nodes, &nodes).is_empty());
    }

    #[test]
    fn tags_nodes_and_keys_that_differ_are_told_apart() {
        let first = file(&[
            (8, r#""Fail%:3","Impact:A5","Impact:A5""#, ""),
            (9, "", ""),
            (10, "", r#","note":1"#),
        ]);
        let second = file(&[
            (8, r#""Impact:A5","Fail%:4""#, ""),
            (10, "", r#","note":2"#),
            (11, r#""New:x""#, ""),
        ]);
        let found = Difference::between(&first, &second);
        assert!(!found.reordered);
        let [eight, nine, ten, eleven] = &found.nodes[..] else {
            panic!("{found:?}");
        };
        let written = |tags: &[Tag]| tags.iter().map(Tag::to_string).collect::<Vec<_>>();
        assert_eq!(written(&eight.first), ["Fail%:3", "Impact:A5"]);
        assert_eq!(written(&eight.second), ["Fail%:4"]);
        assert_eq!(eight.listed, Presence::Both);
        assert_eq!(nine.listed, Presence::First);
        assert_eq!(ten.keys, BTreeSet::from(["note".to_owned()]));
        assert_eq!(eleven.listed, Presence::Second);
        assert_eq!(written(&eleven.second), ["New:x"]);
    }

    #[test]
    fn another_order_is_a_difference() {
        let first = file(&[(8, r#""A:1","B:2""#, ""), (9, "", "")]);
        let second = file(&[(8, r#""B:2","A:1""#, ""), (9, "", "")]);
        assert!(Difference::between(&first, &second).nodes[0].reordered);
        let turned = file(&[(9, "", ""), (8, r#""A:1","B:2""#, "")]);
        let found = Difference::between(&first, &turned);
        assert!(found.nodes.is_empty() && found.reordered && !found.is_empty());
    }
}
