//! The scores of circuits, as reported and stored.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Added, CircuitScore, CircuitTests, Minimality, Pruned};
use crate::analysis::hypothesis::TestedHypothesis;
use crate::domain::node::NodeName;
use crate::domain::shape::Shape;
use crate::experiment::stats::Count;
use crate::storage::{pretty_json, read_stored};

/// The name and version of the format of `circuit.json`.
pub const SCHEMA: &str = "circuitcheck/circuit/1";

/// Circuits of one model, side by side. The same model, circuits and seed give the same bytes,
/// whatever the number of threads.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct CircuitEvidence {
    /// [`SCHEMA`].
    pub schema: String,
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    pub shape: Shape,
    /// Most correctly answered questions of each class.
    pub questions: usize,
    /// Random sets that each score is compared with.
    pub random_sets: usize,
    /// Probability of any wrong interval among a circuit's scores.
    pub alpha: f64,
    /// Share of correctly answered questions that growing and pruning aim for.
    pub until: f64,
    pub seed: u64,
    /// Nodes that can affect an answer: those that circuits are made of.
    pub available: usize,
    /// Nodes whose mean ablation, alone, makes some question fail.
    pub useful: BTreeSet<NodeName>,
    pub circuits: Vec<Circuit>,
}

/// One circuit with its scores.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Circuit {
    /// The origin of its nodes: a hypothesis, or a file.
    pub from: String,
    /// The nodes kept intact.
    pub nodes: BTreeSet<NodeName>,
    /// Its scores on each class, with all other nodes ablated in each way.
    pub scores: Vec<CircuitScore>,
    /// The useful nodes in it.
    pub covered: BTreeSet<NodeName>,
    /// The useful nodes that meet a clause of the hypothesis; the others are kept without
    /// explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<BTreeSet<NodeName>>,
    /// The loss without each node, largest first; empty if not requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minimality: Vec<Minimality>,
    /// Nodes added until enough questions were answered correctly; empty if not requested, or if
    /// enough were from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<Added>,
    /// The circuit, grown first, without the nodes that are not needed; absent if not requested or
    /// if too few questions were answered correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
    /// The tests of the literature; absent if not requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<CircuitTests>,
    /// The hypothesis, clause by clause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<TestedHypothesis>,
}

/// Why stored circuits cannot be read.
#[derive(Debug, Error)]
pub enum CircuitError {
    /// Not JSON, or JSON of another format.
    #[error("not stored circuit scores: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Circuits of another version of the format.
    #[error("the circuits have the format {found:?}; this version reads {SCHEMA:?}")]
    Schema {
        /// The format it names.
        found: String,
    },
    /// Figures that no test gives, such as a p-value above one.
    #[error("the stored tests of {0} have figures that no test gives")]
    Impossible(String),
}

impl CircuitEvidence {
    /// The evidence as stored: JSON with two spaces of indent and a final line feed.
    pub fn to_json(&self) -> String {
        pretty_json(self)
    }

    /// Reads stored evidence. Written again it gives the same bytes.
    ///
    /// # Errors
    /// [`CircuitError`] where it has another format, or figures that no test gives.
    pub fn from_json(json: &[u8]) -> Result<Self, CircuitError> {
        let evidence: Self = read_stored(json, SCHEMA, |found| CircuitError::Schema { found })?;
        let is_possible =
            |circuit: &&Circuit| circuit.tests.as_ref().is_none_or(CircuitTests::is_possible);
        match evidence
            .circuits
            .iter()
            .find(|circuit| !is_possible(circuit))
        {
            Some(circuit) => Err(CircuitError::Impossible(circuit.from.clone())),
            None => Ok(evidence),
        }
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
    /// Number of heads and of MLPs kept.
    pub fn make_up(&self) -> (usize, usize) {
        let heads = self.nodes.iter().filter(|node| node.is_head()).count();
        (heads, self.nodes.len() - heads)
    }
}
