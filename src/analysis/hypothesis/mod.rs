//! Hypotheses: files that describe a whole algorithm: which claims hold, where, in which order, and
//! what feeds what. `hypotheses/README.md` has the grammar.

mod expression;
mod test;

pub use expression::{Digits, Fed, Number, OrderSide, Pattern, Place, SetClaim, Where};
pub use test::{
    ClauseCase, ClauseKind, ClauseResult, TestError, TestedHypothesis, Tester, test_hypothesis,
};

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::text::line;
use crate::inputs::model::{LoadError, ModelFolder, Operations, RawFile};
use crate::storage::PlainText;

/// Largest hypothesis file that is read; the bundled ones have 4 KB.
pub const MAX_HYPOTHESIS_BYTES: usize = 1 << 20;

/// Most clauses; the bundled hypotheses have at most twenty.
pub const MAX_CLAUSES: usize = 1000;

/// Errors in a hypothesis.
#[derive(Debug, Error)]
pub enum HypothesisError {
    /// A file that cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file that is not text.
    #[error("{file}: {source}")]
    NotText {
        file: String,
        /// The decoding error.
        source: std::string::FromUtf8Error,
    },
    /// A file larger than any sensible hypothesis.
    #[error("{file}: {bytes} bytes, more than the {MAX_HYPOTHESIS_BYTES} that are read")]
    TooLong { file: String, bytes: usize },
    /// A file that does not follow the grammar. The message shows the line.
    #[error("{file}: {source}")]
    Grammar {
        file: String,
        /// The error, with its place in the file.
        source: Box<toml::de::Error>,
    },
    /// A file without a clause.
    #[error(
        "{file}: no clause (expected [[exists]], [[shared]], [[order]], [[intervention]], [[feeds]] or [[keep]])"
    )]
    Empty { file: String },
    /// A file with more clauses than any sensible hypothesis.
    #[error("{file}: {clauses} clauses, more than the {MAX_CLAUSES} that are read")]
    TooManyClauses { file: String, clauses: usize },
    /// A clause that uses n without a range for it.
    #[error("{file}: clause {clause:?} uses n but has no range (for = \"… to …\")")]
    NothingRuns { file: String, clause: String },
    /// A model outside the hypothesis's scope.
    #[error("{hypothesis:?} requires {wanted}, but the model has {found}")]
    OtherModel {
        hypothesis: String,
        wanted: String,
        /// What the model has.
        found: String,
    },
    /// A node that the model does not have.
    #[error("{file}: {source}")]
    Node {
        file: String,
        source: crate::domain::node::NodeError,
    },
}

/// A hypothesis, as read from its file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hypothesis {
    #[serde(deserialize_with = "line")]
    pub name: String,
    /// Its statement in words, and where it was published.
    #[serde(default)]
    pub about: String,
    /// The models it applies to.
    #[serde(default)]
    pub model: Models,
    /// Nodes that must exist.
    #[serde(default)]
    pub exists: Vec<Exists>,
    /// Tasks that the same nodes must have.
    #[serde(default)]
    pub shared: Vec<SharedClause>,
    /// The order of positions.
    #[serde(default)]
    pub order: Vec<Order>,
    /// Claims about given nodes, tested by intervening.
    #[serde(default)]
    pub intervention: Vec<InterventionClause>,
    #[serde(default)]
    pub feeds: Vec<Feeds>,
    /// Nodes that belong to the circuit without any claim about them.
    #[serde(default)]
    pub keep: Vec<Keep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Operations it must have been trained for, all of them: `add`, `sub`.
    #[serde(default)]
    pub does: Vec<Does>,
    pub layers_from: Option<usize>,
    pub layers_to: Option<usize>,
    /// Minimum number of heads in a layer.
    pub heads_from: Option<usize>,
    /// Maximum number of heads in a layer.
    pub heads_to: Option<usize>,
    /// Minimum number of digits in an operand.
    pub digits_from: Option<usize>,
    /// Maximum number of digits in an operand.
    pub digits_to: Option<usize>,
    /// Its name; `*` matches any text.
    pub name: Option<NamePattern>,
}

/// A condition that a model does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    pub wanted: String,
    /// What the model has.
    pub found: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "requires {}, but the model has {}",
            self.wanted, self.found
        )
    }
}

impl Models {
    /// The first condition that a model does not meet.
    pub fn unmet(&self, name: &str, operations: Operations, shape: &Shape) -> Option<Unmet> {
        let other = |wanted: String, found: String| Some(Unmet { wanted, found });
        if let Some(pattern) = self.name.as_ref().filter(|p| !p.0.matches(name)) {
            return other(
                format!("a name matching {}", pattern.0),
                format!("the name {name}"),
            );
        }
        if let Some(missing) = self.does.iter().find(|does| !does.holds(operations)) {
            let missing = match missing {
                Does::Add => "addition",
                Does::Sub => "subtraction",
            };
            return other(
                format!("training for {missing}"),
                format!("only {operations}"),
            );
        }
        for (found, from, to, what) in [
            (shape.n_layers, self.layers_from, self.layers_to, "layers"),
            (
                shape.n_heads,
                self.heads_from,
                self.heads_to,
                "heads per layer",
            ),
            (shape.n_digits, self.digits_from, self.digits_to, "digits"),
        ] {
            if let Some(from) = from.filter(|&from| found < from) {
                return other(format!("at least {from} {what}"), found.to_string());
            }
            if let Some(to) = to.filter(|&to| found > to) {
                return other(format!("at most {to} {what}"), found.to_string());
            }
        }
        None
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(glob::Pattern);

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pattern = glob::Pattern::new(&text).map(NamePattern);
        pattern.map_err(|error| format!("invalid pattern {text:?}: {error}"))
    }
}

/// An operation that a model was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Does {
    Add,
    Sub,
}

impl Does {
    /// Whether a model was trained for it.
    pub fn holds(self, operations: Operations) -> bool {
        match self {
            Does::Add => operations.trains_addition(),
            Does::Sub => operations.trains_subtraction(),
        }
    }
}

/// A head or an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    Head,
    Mlp,
}

/// A layer, by number or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Layer {
    Number(usize),
    /// `last`.
    Named(Last),
}

/// The name for the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Last {
    Last,
}

impl Layer {
    /// Its number in a model.
    pub const fn number(self, shape: &Shape) -> usize {
        match self {
            Layer::Number(layer) => layer,
            Layer::Named(Last::Last) => shape.n_layers - 1,
        }
    }
}

/// Conditions on a node.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Like {
    pub at: Option<Where>,
    /// A head or an MLP.
    pub kind: Option<NodeKind>,
    pub layer: Option<Layer>,
}

impl Like {
    /// Whether a node meets the conditions for a given `n`.
    pub fn fits(&self, node: &Node, n: usize, shape: &Shape) -> bool {
        let at = self
            .at
            .as_ref()
            .is_none_or(|at| at.holds(node.position(), n, shape));
        let kind = self
            .kind
            .is_none_or(|kind| (kind == NodeKind::Head) == node.head().is_some());
        let layer = self
            .layer
            .is_none_or(|layer| layer.number(shape) == node.layer());
        at && kind && layer
    }
}

/// "For each digit, a node of this kind represents this variable."
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exists {
    #[serde(deserialize_with = "line")]
    pub says: String,
    pub claim: Pattern,
    /// The range of n.
    #[serde(rename = "for")]
    pub digits: Option<Digits>,
    pub at: Option<Where>,
    pub kind: Option<NodeKind>,
    pub layer: Option<Layer>,
    /// Whether to try every matching node by intervening, claimed or not.
    #[serde(default)]
    pub search: bool,
    /// Whether the hypothesis can hold without this clause.
    #[serde(default)]
    pub optional: bool,
    /// Operations that the model must be trained for if the clause is to apply.
    #[serde(default)]
    pub does: Vec<Does>,
}

impl Exists {
    fn like(&self) -> Like {
        Like {
            at: self.at.clone(),
            kind: self.kind,
            layer: self.layer,
        }
    }
}

/// "For each digit, the same nodes represent all of these variables."
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedClause {
    #[serde(deserialize_with = "line")]
    pub says: String,
    pub claims: Vec<Pattern>,
    /// The range of n.
    #[serde(rename = "for")]
    pub digits: Option<Digits>,
    /// Whether the hypothesis can hold without this clause.
    #[serde(default)]
    pub optional: bool,
    /// Operations that the model must be trained for if the clause is to apply.
    #[serde(default)]
    pub does: Vec<Does>,
}

/// "For each digit, this is to the left of that."
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(deserialize_with = "line")]
    pub says: String,
    pub first: OrderSide,
    pub then: OrderSide,
    /// The range of n.
    #[serde(rename = "for")]
    pub digits: Option<Digits>,
    /// Whether the hypothesis can hold without this clause.
    #[serde(default)]
    pub optional: bool,
    /// Operations that the model must be trained for if the clause is to apply.
    #[serde(default)]
    pub does: Vec<Does>,
}

/// "These nodes together represent this variable."
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterventionClause {
    #[serde(deserialize_with = "line")]
    pub says: String,
    /// The claims, each about its own nodes.
    pub claims: Vec<SetClaim>,
    /// Whether the hypothesis can hold without this clause.
    #[serde(default)]
    pub optional: bool,
}

/// "For each digit, this feeds that."
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    #[serde(deserialize_with = "line")]
    pub says: String,
    pub from: Pattern,
    pub to: Fed,
    /// The range of n.
    #[serde(rename = "for")]
    pub digits: Option<Digits>,
    /// Whether the hypothesis can hold without this clause.
    #[serde(default)]
    pub optional: bool,
    /// Operations that the model must be trained for if the clause is to apply.
    #[serde(default)]
    pub does: Vec<Does>,
}

/// Nodes of the circuit, by name or by conditions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Why they belong to it.
    #[serde(deserialize_with = "line")]
    pub says: String,
    #[serde(default)]
    pub nodes: Vec<NamedNode>,
    pub at: Option<Where>,
    pub kind: Option<NodeKind>,
    pub layer: Option<Layer>,
}

/// A node's name in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamedNode(pub NodeName);

impl TryFrom<String> for NamedNode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(NamedNode)
            .map_err(|error| format!("{error}"))
    }
}

impl Keep {
    /// The nodes, resolved against a model.
    ///
    /// # Errors
    /// [`crate::domain::node::NodeError`] for a name the model does not have.
    pub fn nodes(&self, shape: &Shape) -> Result<Vec<Node>, crate::domain::node::NodeError> {
        let like = Like {
            at: self.at.clone(),
            kind: self.kind,
            layer: self.layer,
        };
        let mut nodes = self
            .nodes
            .iter()
            .map(|named| named.0.resolve(shape))
            .collect::<Result<Vec<Node>, _>>()?;
        if self.nodes.is_empty() {
            let all = Node::all(shape).into_iter();
            nodes.extend(all.filter(|node| like.fits(node, 0, shape)));
        }
        Ok(nodes)
    }
}

impl Hypothesis {
    /// Reads the file at a path.
    ///
    /// # Errors
    /// [`HypothesisError`].
    pub fn open(path: &Path) -> Result<Self, HypothesisError> {
        let file = path.display().to_string();
        match String::from_utf8(RawFile::read(path)?.bytes) {
            Ok(text) => Self::read(&file, &text),
            Err(source) => Err(HypothesisError::NotText { file, source }),
        }
    }

    /// Checks that the hypothesis applies to this model.
    ///
    /// # Errors
    /// [`HypothesisError::OtherModel`] with both sides.
    pub fn check_folder(&self, folder: &ModelFolder) -> Result<(), HypothesisError> {
        self.check_model(&folder.name, folder.operations(), &folder.weights.shape())
    }

    /// Parses a file's text; `file` names it in errors.
    ///
    /// # Errors
    /// [`HypothesisError`], with the line where possible.
    pub fn read(file: &str, text: &str) -> Result<Self, HypothesisError> {
        if text.len() > MAX_HYPOTHESIS_BYTES {
            return Err(HypothesisError::TooLong {
                file: file.into(),
                bytes: text.len(),
            });
        }
        let text = text.trim_start_matches('\u{feff}');
        let grammar = |source| HypothesisError::Grammar {
            file: file.into(),
            source: Box::new(source),
        };
        toml::from_str::<PlainText<true>>(text).map_err(grammar)?;
        let hypothesis: Hypothesis = toml::from_str(text).map_err(grammar)?;
        let clauses = hypothesis.exists.len()
            + hypothesis.shared.len()
            + hypothesis.order.len()
            + hypothesis.intervention.len()
            + hypothesis.feeds.len()
            + hypothesis.keep.len();
        if clauses == 0 {
            return Err(HypothesisError::Empty { file: file.into() });
        }
        if clauses > MAX_CLAUSES {
            return Err(HypothesisError::TooManyClauses {
                file: file.into(),
                clauses,
            });
        }
        match hypothesis.without_range() {
            Some(clause) => Err(HypothesisError::NothingRuns {
                file: file.into(),
                clause: clause.into(),
            }),
            None => Ok(hypothesis),
        }
    }

    /// A clause that uses n without a range for it.
    fn without_range(&self) -> Option<&str> {
        let exists = self.exists.iter().filter(|c| {
            c.digits.is_none()
                && (c.claim.is_running() || c.at.as_ref().is_some_and(Where::is_running))
        });
        let order = self
            .order
            .iter()
            .filter(|c| c.digits.is_none() && (c.first.is_running() || c.then.is_running()));
        let shared = self
            .shared
            .iter()
            .filter(|c| c.digits.is_none() && c.claims.iter().any(Pattern::is_running));
        let feeds = self
            .feeds
            .iter()
            .filter(|c| c.digits.is_none() && (c.from.is_running() || c.to.is_running()));
        let keep = self
            .keep
            .iter()
            .filter(|c| c.at.as_ref().is_some_and(Where::is_running));
        exists
            .map(|c| c.says.as_str())
            .chain(shared.map(|c| c.says.as_str()))
            .chain(order.map(|c| c.says.as_str()))
            .chain(feeds.map(|c| c.says.as_str()))
            .chain(keep.map(|c| c.says.as_str()))
            .next()
    }

    /// Checks that the hypothesis applies to this model.
    ///
    /// # Errors
    /// [`HypothesisError::OtherModel`] with both sides.
    pub fn check_model(
        &self,
        name: &str,
        operations: Operations,
        shape: &Shape,
    ) -> Result<(), HypothesisError> {
        match self.model.unmet(name, operations, shape) {
            None => Ok(()),
            Some(Unmet { wanted, found }) => Err(HypothesisError::OtherModel {
                hypothesis: self.name.clone(),
                wanted,
                found,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_many_stars_take_no_longer() {
        let matches = |pattern: &str, text: &str| {
            let pattern = NamePattern::try_from(pattern.to_owned()).unwrap();
            pattern.0.matches(text)
        };
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*_mix_*", "w126_mix_d5"),
            ("a*b*c", "abbc"),
            ("*ab*ab*", "abxab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*a", "a"),
            ("a", "ab"),
            ("*ab*ab*", "ab_b"),
            ("a*b", "ba"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(60), &"ab".repeat(2000)));
    }
}
