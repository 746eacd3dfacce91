//! Parts of a graph: what leads to a vertex, what depends on it, and what lies between two.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use thiserror::Error;

use super::{Graph, VertexKind};
use crate::domain::arithmetic::AnswerToken;
use crate::domain::node::NodeName;
use crate::domain::task::Variable;
use crate::inputs::claims::Claim;

/// Selects vertices: an answer token `A3`, the claims of a node `P9L0H1`, or of a variable `A1.ST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    Token(AnswerToken),
    /// Every claim whose nodes include this one.
    Node(NodeName),
    /// Every claim of this variable.
    Variable(Variable),
}

/// Errors in a selector.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SelectorError {
    /// Text that does not name a vertex.
    #[error(
        "invalid vertex {0:?}: expected an answer token such as A3, a node such as P9L0H1, or a variable such as A1.ST"
    )]
    Malformed(String),
    /// A vertex that is not in the graph.
    #[error("the graph has no vertex {selector}, only {known}")]
    Missing { selector: Selector, known: String },
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Token(token) => token.fmt(f),
            Selector::Node(node) => node.fmt(f),
            Selector::Variable(variable) => variable.fmt(f),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(given: &str) -> Result<Self, SelectorError> {
        let text = given.to_uppercase();
        let text = text.as_str();
        if let Ok(node) = text.parse() {
            return Ok(Selector::Node(node));
        }
        let token = text
            .strip_prefix('A')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        if let Some(place) = token.and_then(|digits| digits.parse().ok()) {
            return Ok(Selector::Token(AnswerToken(place)));
        }
        // A variable is displayed the same on every node.
        let nowhere = "P0L0H0".parse().expect("a node name");
        match Claim::parse(nowhere, text).variable {
            Ok(variable) => Ok(Selector::Variable(variable)),
            Err(_) => Err(SelectorError::Malformed(given.into())),
        }
    }
}

impl Graph {
    /// The vertices that a selector matches.
    ///
    /// # Errors
    /// [`SelectorError::Missing`] where there are none.
    pub fn select(&self, selector: Selector) -> Result<Vec<NodeIndex>, SelectorError> {
        let means = |kind: &VertexKind| match (selector, kind) {
            (Selector::Token(wanted), VertexKind::Token(token)) => wanted == *token,
            (Selector::Node(wanted), VertexKind::Claim { nodes, .. }) => {
                nodes.iter().any(|node| node.name() == wanted)
            }
            (Selector::Variable(wanted), VertexKind::Claim { variable, .. }) => wanted == *variable,
            _ => false,
        };
        let found: Vec<NodeIndex> = self
            .edges
            .node_indices()
            .filter(|&vertex| means(&self.edges[vertex].kind))
            .collect();
        if found.is_empty() {
            let known: Vec<String> = self
                .edges
                .node_weights()
                .map(|vertex| vertex.kind.to_string())
                .collect();
            return Err(SelectorError::Missing {
                selector,
                known: known.join(", "),
            });
        }
        Ok(found)
    }

    /// These vertices and all that can be reached from them, forwards or backwards, along edges
    /// that propagate verdicts.
    pub fn reachable(&self, from: &[NodeIndex], direction: Direction) -> BTreeSet<NodeIndex> {
        let mut seen: BTreeSet<NodeIndex> = from.iter().copied().collect();
        let mut open: Vec<NodeIndex> = from.to_vec();
        while let Some(vertex) = open.pop() {
            let next = match direction {
                Direction::Incoming => self.feeding(vertex),
                Direction::Outgoing => self.fed_by(vertex),
            };
            open.extend(next.into_iter().filter(|&next| seen.insert(next)));
        }
        seen
    }

    /// The vertices on some path from one of `from` to one of `to`.
    pub fn between(&self, from: &[NodeIndex], to: &[NodeIndex]) -> BTreeSet<NodeIndex> {
        let after = self.reachable(from, Direction::Outgoing);
        let before = self.reachable(to, Direction::Incoming);
        after.intersection(&before).copied().collect()
    }

    /// The subgraph of these vertices, with the verdicts of the whole graph.
    pub fn part(&self, keep: &BTreeSet<NodeIndex>) -> Graph {
        Graph {
            shape: self.shape,
            edges: self.edges.filter_map(
                |vertex, weight| keep.contains(&vertex).then(|| weight.clone()),
                |_, edge| Some(edge.clone()),
            ),
            left_out: self.left_out.clone(),
            protocol: self.protocol.clone(),
        }
    }
}
