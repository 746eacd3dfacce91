//! Where an experiment acts, as it is written: places, and groups of nodes.

use std::fmt;
use std::str::FromStr;

use super::super::act::Place;
use crate::domain::edge::EdgeError;
use crate::domain::node::{Component, Node};
use crate::domain::shape::Shape;
use crate::domain::site::{Site, SiteError};
use crate::domain::task::Variable;
use crate::domain::text::text_form;

/// A place, or a group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Place(Place),
    NodeGroup(NodeGroup),
    /// The nodes that the model's claims give for a variable.
    Claimed(Variable),
}

/// Nodes by position, layer and kind: `P*L2H*`, `P15L*H0`, `P*L0M*`, `P15L1*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeGroup {
    position: Option<usize>,
    layer: Option<usize>,
    kind: GroupKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum GroupKind {
    Any,
    Heads(Option<usize>),
    Mlps,
}

impl NodeGroup {
    /// The group's nodes in a model.
    pub fn nodes(&self, shape: &Shape) -> Vec<Node> {
        let in_group = |node: &Node| {
            let component = node.name().component;
            let fits = match (self.kind, component) {
                (GroupKind::Any, _) | (GroupKind::Heads(None), Component::Head(_)) => true,
                (GroupKind::Heads(Some(head)), Component::Head(other)) => head == other,
                (GroupKind::Mlps, Component::Mlp(_)) => true,
                _ => false,
            };
            fits && self
                .position
                .is_none_or(|position| position == node.position())
                && self.layer.is_none_or(|layer| layer == node.layer())
        };
        Node::all(shape).into_iter().filter(in_group).collect()
    }
}

impl fmt::Display for NodeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |number: Option<usize>| number.map_or("*".to_owned(), |n| n.to_string());
        write!(f, "P{}L{}", any(self.position), any(self.layer))?;
        match self.kind {
            GroupKind::Any => f.write_str("*"),
            GroupKind::Heads(head) => write!(f, "H{}", any(head)),
            GroupKind::Mlps => f.write_str("M*"),
        }
    }
}

impl FromStr for NodeGroup {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let malformed = || SiteError::Malformed { text: text.into() };
        let number = |part: &str| match part {
            "*" => Some(None),
            _ if part.bytes().all(|b| b.is_ascii_digit()) => part.parse().ok().map(Some),
            _ => None,
        };
        let (position, rest) = (text.strip_prefix('P'))
            .and_then(|rest| rest.split_once('L'))
            .ok_or_else(malformed)?;
        let (layer, kind) = match rest.split_once(['H', 'M']) {
            Some((layer, "*" | "0" | "LP")) if rest.contains('M') => (layer, GroupKind::Mlps),
            Some((layer, head)) if rest.contains('H') => {
                (layer, GroupKind::Heads(number(head).ok_or_else(malformed)?))
            }
            // `L1*`, or `L**` for any layer.
            _ => (
                rest.strip_suffix('*').ok_or_else(malformed)?,
                GroupKind::Any,
            ),
        };
        Ok(NodeGroup {
            position: number(position).ok_or_else(malformed)?,
            layer: number(layer).ok_or_else(malformed)?,
            kind,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Place(place) => place.fmt(f),
            Target::NodeGroup(group) => group.fmt(f),
            Target::Claimed(variable) => write!(f, "claimed {variable}"),
        }
    }
}

/// Text that names neither a place nor a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Place(#[from] EdgeError),
    #[error(transparent)]
    NodeGroup(#[from] SiteError),
    #[error(transparent)]
    Variable(#[from] crate::domain::task::UnknownVariable),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Ok(match text.strip_prefix("claimed ") {
            Some(variable) => Target::Claimed(variable.parse()?),
            None if text.contains('*') => Target::NodeGroup(text.parse()?),
            None => Target::Place(text.parse()?),
        })
    }
}

impl From<Site> for Target {
    fn from(site: Site) -> Self {
        Target::Place(site.into())
    }
}

text_form!(Target);

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::EXAMPLE;

    #[test]
    fn targets_round_trip() {
        for text in [
            "P15L0H2",
            "P15L0.ln2",
            "P15L1H2 -> P15L1M0",
            "P*L2H*",
            "P15L*H0",
            "P*L0M*",
            "P15L1*",
            "P*L**",
            "claimed A3.ST",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        for text in ["P*", "*", "P*L1X*", "P*L1H+1*", "claimed A3.XX", "P15"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_group_has_the_nodes_of_its_position_layer_and_kind() {
        let count = |text: &str| text.parse::<NodeGroup>().unwrap().nodes(&SHAPE).len();
        assert_eq!(count("P*L**"), 19 * 2 * 4);
        assert_eq!(count("P*L1*"), 19 * 4);
        assert_eq!(count("P*L*H1"), 19 * 2);
        assert_eq!(count("P15L*M*"), 2);
        assert_eq!(count("P15L1H2"), 1);
    }
}
