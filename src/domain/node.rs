//! Nodes: one head or the MLP of one layer at one token position.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::arithmetic::AnswerToken;
use super::shape::Shape;
use super::text::text_form;

/// Errors in a node name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum NodeError {
    /// Text that is not a node name.
    #[error("{text:?} is no node name: expected one such as P12L0H1 (a head) or P14L1M0 (an MLP)")]
    Malformed { text: String },
    /// A position the model does not have.
    #[error("node {node} is at position {found}, the model has positions 0 to {last}")]
    Position {
        node: NodeName,
        found: usize,
        last: usize,
    },
    /// A layer the model does not have.
    #[error("node {node} is in layer {found}, the model has layers 0 to {last}")]
    Layer {
        node: NodeName,
        found: usize,
        last: usize,
    },
    /// A head the model does not have.
    #[error("node {node} is head {found}, the model has heads 0 to {last}")]
    Head {
        node: NodeName,
        found: usize,
        last: usize,
    },
    /// An MLP slice other than 0: the published format has one slice for each MLP.
    #[error("node {node} is MLP slice {found}, an MLP has slice 0 alone")]
    Slice { node: NodeName, found: usize },
}

/// Which part of a layer a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// An attention head, by its number.
    Head(usize),
    /// The MLP, by its slice.
    Mlp(usize),
}

/// The name of a node, as files and users write it, not yet checked against a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    /// Token position.
    pub position: usize,
    pub layer: usize,
    /// Head or MLP; heads sort before MLPs, as in the published files.
    pub component: Component,
}

impl NodeName {
    pub fn is_head(self) -> bool {
        self.head().is_some()
    }

    /// Whether both are heads or both are MLPs.
    pub fn same_kind(self, other: Self) -> bool {
        self.is_head() == other.is_head()
    }

    /// The head's number, or `None` for an MLP.
    pub fn head(self) -> Option<usize> {
        match self.component {
            Component::Head(head) => Some(head),
            Component::Mlp(_) => None,
        }
    }

    /// The node of a model with this shape.
    ///
    /// # Errors
    /// [`NodeError`] if the model has no such position, layer, head or slice.
    pub fn resolve(self, shape: &Shape) -> Result<Node, NodeError> {
        let node = self;
        if self.position >= shape.n_ctx() {
            return Err(NodeError::Position {
                node,
                found: self.position,
                last: shape.n_ctx() - 1,
            });
        }
        if self.layer >= shape.n_layers {
            return Err(NodeError::Layer {
                node,
                found: self.layer,
                last: shape.n_layers - 1,
            });
        }
        match self.component {
            Component::Head(head) if head >= shape.n_heads => Err(NodeError::Head {
                node,
                found: head,
                last: shape.n_heads - 1,
            }),
            Component::Mlp(slice) if slice > 0 => Err(NodeError::Slice { node, found: slice }),
            _ => Ok(Node(self)),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}L{}", self.position, self.layer)?;
        match self.component {
            Component::Head(head) => write!(f, "H{head}"),
            Component::Mlp(slice) => write!(f, "M{slice}"),
        }
    }
}

impl FromStr for NodeName {
    type Err = NodeError;

    /// Parses `P12L0H1`, `P06L0H1`, `P14L1M0`, `P14L1MLP`.
    fn from_str(text: &str) -> Result<Self, NodeError> {
        let malformed = || NodeError::Malformed { text: text.into() };
        // Check digits here because `usize::from_str` also accepts a leading `+`.
        let number = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| part.parse::<usize>().ok())
                .flatten()
                .ok_or_else(malformed)
        };
        let (position, rest) = text
            .strip_prefix('P')
            .and_then(|rest| rest.split_once('L'))
            .ok_or_else(malformed)?;
        let component_at = rest.find(['H', 'M']).ok_or_else(malformed)?;
        let (layer, component) = rest.split_at(component_at);
        let component = match component.split_at(1) {
            ("H", head) => Component::Head(number(head)?),
            ("M", "LP") => Component::Mlp(0),
            (_, slice) => Component::Mlp(number(slice)?),
        };
        Ok(NodeName {
            position: number(position)?,
            layer: number(layer)?,
            component,
        })
    }
}

text_form!(NodeName);

/// A node that exists in a given model. It can only be created by [`NodeName::resolve`], so it is
/// never out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(NodeName);

impl Node {
    /// Every node of a model, by position, then layer, heads before the MLP.
    pub fn all(shape: &Shape) -> Vec<Node> {
        let mut nodes = Vec::new();
        for position in 0..shape.n_ctx() {
            for layer in 0..shape.n_layers {
                nodes.extend(Node::all_at(shape, position, layer));
            }
        }
        nodes
    }

    /// The heads and the MLP of one layer at one position, heads first.
    pub fn all_at(shape: &Shape, position: usize, layer: usize) -> Vec<Node> {
        (0..shape.n_heads)
            .map(Component::Head)
            .chain([Component::Mlp(0)])
            .map(|component| {
                Node(NodeName {
                    position,
                    layer,
                    component,
                })
            })
            .collect()
    }

    /// The name, which also contains position, layer and component.
    pub fn name(&self) -> NodeName {
        self.0
    }

    /// The names of nodes, in order.
    pub fn names(nodes: &[Node]) -> Vec<NodeName> {
        nodes.iter().map(Node::name).collect()
    }

    /// Token position.
    pub fn position(&self) -> usize {
        self.0.position
    }

    pub fn layer(&self) -> usize {
        self.0.layer
    }

    /// The head's number, or `None` for an MLP.
    pub fn head(&self) -> Option<usize> {
        self.0.head()
    }

    /// Whether both are heads or both are MLPs.
    pub fn same_kind(&self, other: &Node) -> bool {
        self.0.same_kind(other.0)
    }

    /// Its index in the order of computation: layer by layer, MLPs after heads.
    pub fn depth(&self) -> usize {
        2 * self.layer() + usize::from(self.head().is_none())
    }

    /// Whether another node can read what this one writes, directly or through other nodes.
    pub fn can_feed(&self, other: &Node) -> bool {
        self.writes_to(other)
            || (self.layer() < other.layer() && self.position() <= other.position())
    }

    /// Whether the node adds to what `reader` reads, with no other node between: a head reads all
    /// positions up to its own; an MLP reads its own position, including the heads of its layer.
    pub fn writes_to(&self, reader: &Node) -> bool {
        match reader.head() {
            Some(_) => self.layer() < reader.layer() && self.position() <= reader.position(),
            None => self.position() == reader.position() && self.depth() < reader.depth(),
        }
    }

    /// Whether what this node writes can affect the logits of an answer token, directly or through
    /// other nodes.
    pub fn can_feed_token(&self, token: AnswerToken, shape: &Shape) -> bool {
        let predicting = shape.predicting(token);
        self.position() == predicting
            || (self.position() < predicting && self.layer() + 1 < shape.n_layers)
    }

    /// The answer token whose logits the node adds to, with no other node between.
    pub fn writes_to_token(&self, shape: &Shape) -> Option<AnswerToken> {
        shape.predicted_at(self.position())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape::EXAMPLE;

    fn parse(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn the_spellings_found_in_published_files_name_the_same_node() {
        assert_eq!(parse("P06L0H1"), parse("P6L0H1"));
        assert_eq!(parse("P14L1MLP"), parse("P14L1M0"));
        assert_eq!(parse("P14L1MLP").to_string(), "P14L1M0");
    }

    #[test]
    fn text_that_is_no_node_name_is_refused() {
        for text in [
            "", "P", "P1", "P1L0", "L0H1", "P1L0H", "P1L0X2", "P+1L0H1", "P1L0H1 ", "P1L0M",
        ] {
            let error = text.parse::<NodeName>().unwrap_err();
            assert_eq!(
                error,
                NodeError::Malformed { text: text.into() },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_node_outside_the_model_is_refused_with_the_figure_and_the_bound() {
        let error = |text: &str| parse(text).resolve(&SHAPE).unwrap_err().to_string();
        assert_eq!(
            error("P19L0H0"),
            "node P19L0H0 is at position 19, the model has positions 0 to 18"
        );
        assert_eq!(
            error("P3L2H0"),
            "node P3L2H0 is in layer 2, the model has layers 0 to 1"
        );
        assert_eq!(
            error("P3L1H3"),
            "node P3L1H3 is head 3, the model has heads 0 to 2"
        );
        assert_eq!(
            error("P3L1M1"),
            "node P3L1M1 is MLP slice 1, an MLP has slice 0 alone"
        );
    }

    #[test]
    fn a_node_feeds_what_comes_after_it_at_its_position_or_later() {
        let node = |text: &str| parse(text).resolve(&SHAPE).unwrap();
        let feeds = |from: &str, to: &str| node(from).can_feed(&node(to));
        assert!(
            feeds("P3L0H1", "P3L0M0") && feeds("P3L0H1", "P3L1H0") && feeds("P3L0M0", "P9L1M0")
        );
        assert!(!feeds("P3L0H1", "P3L0H1") && !feeds("P3L0H1", "P3L0H2"));
        assert!(!feeds("P3L0M0", "P3L0H1") && !feeds("P3L0H1", "P4L0M0"));
        assert!(!feeds("P3L0H1", "P2L1H0") && !feeds("P3L1H1", "P4L0H0"));
    }

    #[test]
    fn a_node_can_feed_what_a_chain_of_nodes_that_write_to_each_other_leads_to() {
        let nodes = Node::all(&SHAPE);
        for from in &nodes {
            let mut reached: Vec<bool> = nodes.iter().map(|to| from.writes_to(to)).collect();
            // In two layers no path has more than three steps.
            for _ in 0..3 {
                let open: Vec<usize> = (0..nodes.len()).filter(|&i| reached[i]).collect();
                for (to, reached) in nodes.iter().zip(&mut reached) {
                    *reached |= open.iter().any(|&i| nodes[i].writes_to(to));
                }
            }
            for (to, reached) in nodes.iter().zip(reached) {
                assert_eq!(from.can_feed(to), reached, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_node_feeds_the_token_predicted_where_it_is_and_below_the_last_layer_all_after_it() {
        let node = |text: &str| parse(text).resolve(&SHAPE).unwrap();
        let fed = |text: &str| -> Vec<usize> {
            let tokens = (0..=6).filter(|&k| node(text).can_feed_token(AnswerToken(k), &SHAPE));
            tokens.collect()
        };
        assert_eq!(
            node("P17L1H0").writes_to_token(&SHAPE),
            Some(AnswerToken(0))
        );
        assert_eq!(
            node("P11L0M0").writes_to_token(&SHAPE),
            Some(AnswerToken(6))
        );
        assert_eq!(node("P10L1H0").writes_to_token(&SHAPE), None);
        assert_eq!(node("P18L1H0").writes_to_token(&SHAPE), None);
        assert_eq!(fed("P15L1H0"), [2]);
        assert_eq!(fed("P15L0H0"), [0, 1, 2]);
        assert_eq!(fed("P3L0H0"), [0, 1, 2, 3, 4, 5, 6]);
        assert!(fed("P3L1H0").is_empty() && fed("P18L0H0").is_empty());
    }

    #[test]
    fn every_node_of_a_model_resolves_and_they_are_sorted() {
        let nodes = Node::all(&SHAPE);
        assert_eq!(nodes.len(), 19 * 2 * 4);
        assert!(nodes.is_sorted());
        assert!(nodes.iter().all(|n| n.name().resolve(&SHAPE) == Ok(*n)));
    }

    proptest! {
        #[test]
        fn names_round_trip(position in 0usize..200, layer in 0usize..20, part in 0usize..20, head: bool) {
            let component = if head { Component::Head(part) } else { Component::Mlp(part) };
            let name = NodeName { position, layer, component };
            prop_assert_eq!(name.to_string().parse::<NodeName>().unwrap(), name);
        }
    }
}
