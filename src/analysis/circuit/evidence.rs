//! What scoring circuits found, as reports state it and as it is stored.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Added, CircuitScore, Minimality, Pruned};
use crate::analysis::hypothesis::TestedHypothesis;
use crate::domain::node::NodeName;
use crate::domain::shape::Shape;
use crate::experiment::stats::Count;
use crate::storage::{pretty_json, read_stored};

/// The name and version of the form of `circuit.json`.
pub const SCHEMA: &str = "circuitcheck/circuit/1";

/// Circuits of one model beside each other. The same model, circuits and seed give the same bytes,
/// whatever the number of threads.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct CircuitEvidence {
    /// [`SCHEMA`].
    pub schema: String,
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    pub shape: Shape,
    /// Most rightly answered questions of each class.
    pub questions: usize,
    /// Random sets that each score is compared with.
    pub random_sets: usize,
    /// Chance of any wrong interval among a circuit's scores.
    pub alpha: f64,
    /// Share of questions that growing and pruning hold to.
    pub until: f64,
    pub seed: u64,
    /// Nodes that can reach an answer: what circuits are made of.
    pub available: usize,
    /// Those whose mean ablation, alone, makes some question go wrong.
    pub useful: BTreeSet<NodeName>,
    pub circuits: Vec<Circuit>,
}

/// One circuit and what was found of it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Circuit {
    /// Where its nodes are from: a hypothesis, or a file.
    pub from: String,
    /// The nodes kept at work.
    pub nodes: BTreeSet<NodeName>,
    /// How it does on each class, by each ablation of all other nodes.
    pub scores: Vec<CircuitScore>,
    /// The useful nodes that it has.
    pub covered: BTreeSet<NodeName>,
    /// The useful nodes that meet a clause of the hypothesis; the others are only kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<BTreeSet<NodeName>>,
    /// What is lost without each node, the greatest loss first; empty where it was not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minimality: Vec<Minimality>,
    /// Nodes added until enough questions were right; empty where that was not asked for, or was so
    /// from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<Added>,
    /// What is left of it, grown, with all that could be spared left out; absent where it was not
    /// asked for or too few questions were right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
    /// The hypothesis, clause by clause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<TestedHypothesis>,
}

/// Why stored circuits cannot be read.
#[derive(Debug, Error)]
pub enum CircuitError {
    /// No JSON, or JSON of another form.
    #[error("no scores of circuits: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Circuits of another version of the form.
    #[error("the circuits are of the form {found:?}, this program reads {SCHEMA:?}")]
    Schema {
        /// The form it names.
        found: String,
    },
}

impl CircuitEvidence {
    /// The evidence as it is stored: JSON with two spaces of indent and a line feed at the end.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// Reads stored evidence. Written again it gives the same bytes.
    ///
    /// # Errors
    /// [`CircuitError`] where it is of another form.
    pub fn from_json(json: &[u8]) -> Result<Self, CircuitError> {
        read_stored(json, SCHEMA, |found| CircuitError::Schema { found })
    }

    /// How many of the useful nodes are among these.
    pub fn coverage(&self, nodes: &BTreeSet<NodeName>) -> Count {
        Count {
            hits: self.useful.intersection(nodes).count() as u64,
            trials: self.useful.len() as u64,
        }
    }
}

impl Circuit {
    /// Heads and MLPs that are kept.
    pub fn make_up(&self) -> (usize, usize) {
        let heads = self.nodes.iter().filter(|node| node.is_head()).count();
        (heads, self.nodes.len() - heads)
    }
}
